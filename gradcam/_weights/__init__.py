"""Readers and writers of weight files: from bytes to tensors, with no knowledge of networks."""
