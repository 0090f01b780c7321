"""scikit-learn, which a bare installation does not have: it is imported when it is needed."""

from __future__ import annotations

import importlib
from types import ModuleType

INSTALL = 'pip install "gradcam[learn]"'


def scikit(module: str, purpose: str) -> ModuleType:
    """Return a module of scikit-learn, such as ``"sklearn.linear_model"``.

    Raises
    ------
    ImportError
        If scikit-learn is not installed; the message says that `purpose` needs it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(f"{purpose} needs scikit-learn: {INSTALL}") from error
