"""Reading and writing weight files: safetensors and NumPy's .npz, known by their content."""

from __future__ import annotations

import os

from gradcam.weights import safetensors
from gradcam.weights.safetensors import write as save
from gradcam.weights.tensors import Weights, WeightsError

__all__ = ["Weights", "WeightsError", "load", "save"]

_KEYWORDS = ("imagenet", "DEFAULT", "IMAGENET1K_V1")
"""What other libraries call the weights that they download."""


def load(path: str | os.PathLike[str]) -> Weights:
    """Open a weight file; large float32 tensors are mapped, not read.

    Do not change or truncate the file while its tensors are in use.

    Parameters
    ----------
    path : path
        A safetensors or .npz file, whatever its name.

    Returns
    -------
    Weights
        Tensors by name, and the file's metadata.

    Raises
    ------
    WeightsError
        Where the file is empty, truncated, malformed or of another kind.
    OSError
        Where it cannot be opened (FileNotFoundError, PermissionError, ...).
    TypeError
        Where `path` is no path.
    """
    if path in _KEYWORDS and not os.path.exists(path):
        raise ValueError(
            f"weights={path!r}: trained weights are not downloaded; give the path of a safetensors "
            f"or .npz file with torchvision's names"
        )
    with open(os.fspath(path), "rb") as file:  # fspath: a number would be a file descriptor
        start = file.read(16)
    if not start:
        raise WeightsError(f"{path}: the file is empty")
    if start.startswith(b"PK"):
        from gradcam.weights import npz  # zipfile is slow to import

        return npz.read(path)
    if safetensors.recognise(start):
        return safetensors.read(path)
    raise WeightsError(f"{path}: {_kind(start)}; expected a safetensors or .npz file")


def _kind(start: bytes) -> str:
    """What a file that is neither format seems to be, in words."""
    if start.startswith(b"\x89HDF"):
        return "an HDF5 file (Keras?), which this version does not read"
    if start.startswith(b"\x80") or b"\x8a\x0al\xfc" in start:
        return "a Python pickle (PyTorch?), which this version does not read"
    return "neither safetensors nor .npz, or damaged at its start"
