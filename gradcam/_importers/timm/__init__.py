"""Families of timm of every size: depths and widths are those of the tensors."""
