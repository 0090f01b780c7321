"""Architectures as tables of layers, and the networks that are loaded from weight files."""
