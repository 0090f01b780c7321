"""The classes of a network, and files that list them."""
