"""The .npz reader, fuzzed, also with damaged members in valid zip files."""

from __future__ import annotations

import io

import numpy as np
from zip_mutations import mutate

from gradcam._weights.npz import read

__all__ = ["mutate", "read", "seeds"]


def seeds() -> list[bytes]:
    rng = np.random.default_rng(0)
    arrays = {
        "conv1_1_W": rng.standard_normal((3, 3, 3, 4)).astype(np.float32),
        "conv1_1_b": rng.standard_normal(4),
        "fc": np.asfortranarray(rng.standard_normal((5, 6)).astype(np.float16)),
        "counts": np.arange(3),
    }
    files = []
    for save in (np.savez, np.savez_compressed):
        file = io.BytesIO()
        save(file, **arrays)
        files.append(file.getvalue())
    return files
