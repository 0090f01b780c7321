"""The safetensors reader, fuzzed."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from gradcam._weights.safetensors import read, write

__all__ = ["read", "seeds"]


def seeds() -> list[bytes]:
    rng = np.random.default_rng(0)
    tensors = {
        "features.0.weight": rng.standard_normal((4, 3, 3, 3)),
        "features.0.bias": rng.standard_normal(4),
        "empty": np.zeros((0, 7)),
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "seed")
        files = []
        for dtype in ("float32", "float16"):
            write(tensors, path, {"preset": "torchvision"}, dtype)
            files.append(path.read_bytes())
    return files
