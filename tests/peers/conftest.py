"""Settings before peers are imported: Keras's backend, and torchvision's operations."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys

os.environ.setdefault("KERAS_BACKEND", "torch")


def _define_torchvision_operations() -> None:
    """Make torchvision importable with a PyTorch that its wheel was not built for.

    Its compiled operations cannot be loaded then, and the import fails because two of them are
    unknown to PyTorch. If these are defined, it succeeds; transforms and models do not use them.
    """
    try:
        import torch

        importlib.import_module("torchvision")
    except ImportError:
        return  # the tests report what is missing
    except RuntimeError:
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        for operation in ("nms", "qnms"):
            torch.library.define(
                f"torchvision::{operation}",
                "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
            )
        with contextlib.suppress(RuntimeError):  # another error: reported by the tests that need it
            importlib.import_module("torchvision")


_define_torchvision_operations()
