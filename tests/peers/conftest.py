"""What must be settled before any peer is imported: Keras's backend, torchvision's operations."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys

os.environ.setdefault("KERAS_BACKEND", "torch")


def _name_the_operations() -> None:
    """Let torchvision be imported beside a PyTorch that its wheel was not built for.

    Its compiled operations then do not load, and its import fails, because it describes two of
    them to PyTorch. Once these have a name it imports; transforms and models need none of them.
    """
    try:
        import torch

        importlib.import_module("torchvision")
    except ImportError:
        return  # the tests say what is absent
    except RuntimeError:
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        for operation in ("nms", "qnms"):
            torch.library.define(
                f"torchvision::{operation}",
                "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
            )
        with contextlib.suppress(RuntimeError):  # some other fault: the tests that need it tell
            importlib.import_module("torchvision")


_name_the_operations()
