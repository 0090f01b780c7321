"""Keras models: from their configuration and weights to a list of layers."""
