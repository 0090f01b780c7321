"""Readers of ground truth: which objects a picture shows, and where they are."""
