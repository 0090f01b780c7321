"""Pictures made by the network: class models, changed pictures, inverted codes.

Each is made by gradient ascent on the input, with the weights fixed (Simonyan et al. 2014).
"""
