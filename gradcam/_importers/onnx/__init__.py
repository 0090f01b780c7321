"""ONNX graphs: which operations they have, and what layers they become."""
