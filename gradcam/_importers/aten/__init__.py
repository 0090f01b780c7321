"""Programs of PyTorch, whose operations are those of its library ATen.

A program comes from ``torch.export`` (:mod:`~gradcam._importers.aten.exported`) or from TorchScript
(:mod:`~gradcam._importers.aten.script`). Both are run by one interpreter
(:mod:`~gradcam._importers.aten.interpreter`), in which a tensor is not an array of numbers, but a
value of the network to be, so that each operation writes layers.
"""
