"""TorchScript files, written by ``torch.jit.save``: opened with PyTorch, and not run.

The file is a zip of pickled constants, storages and code in TorchScript, a small language without
access to files or the network. Opening a file runs none of its functions but ``__setstate__``,
which quantised modules have; files with such a function are refused.
"""

from __future__ import annotations

import os
import warnings
from typing import Any

from gradcam._weights.program import Script
from gradcam._weights.tensors import Weights, WeightsError
from gradcam._weights.torch_tensors import Parameters
from gradcam._weights.zips import Archive

_MAX_CODE = 64 << 20
"""Maximum size of the code in bytes."""


def read(path: str | os.PathLike[str]) -> Weights:
    """Open a file of TorchScript.

    Raises
    ------
    ImportError
        If PyTorch is not installed.
    WeightsError
        If PyTorch refuses it, or opening it would run a function.
    """
    with open(path, "rb") as file:
        archive = Archive(file, path)
        code = [m for name, m in archive.members.items() if "/code/" in f"/{name}"]
        if sum(member.size for member in code) > _MAX_CODE:
            raise WeightsError(
                f"{path}: a TorchScript file with more than {_MAX_CODE} bytes of code"
            )
        if any(b"__setstate__" in archive.read(m).tobytes() for m in code):
            raise WeightsError(
                f"{path}: a TorchScript file whose loading runs functions (__setstate__), as "
                f"quantised models have, which is not supported: export the model before "
                f"quantisation"
            )
    try:
        import torch

        jit: Any = torch.jit
    except ImportError:
        raise ImportError(
            f"{path}: a TorchScript file, which only PyTorch can open: pip install torch"
        ) from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            module: Any = jit.load(os.fsdecode(path), map_location="cpu")
        module.eval()
    except Exception as error:  # PyTorch raises errors of many types
        words = " ".join(str(error).split()).partition(". ")[0]
        raise WeightsError(
            f"{path}: a TorchScript file that PyTorch cannot open: damaged? ({words:.200})"
        ) from None
    return Weights(Parameters(module.state_dict()), format="TorchScript", graph=Script(module))
