"""Classifiers of your own: a linear layer on the codes of a network, learnt from pictures."""
