"""The pictures that a network gets wrong, and what it saw in them."""
