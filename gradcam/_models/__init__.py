"""Architectures as lists of layers, and the input presets that belong to their weights."""
