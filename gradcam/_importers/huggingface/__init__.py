"""Folders that transformers' ``save_pretrained`` wrote: a file for each family of networks."""
