"""Results in the user's cache folder, found by a digest of all that they depend on.

These are the sources of gradcam that compute something, the C core, the versions of NumPy and
Pillow, the weights of the network, the method and the options. Without a cache folder nothing is
stored.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache, partial
from importlib.metadata import version
from pathlib import Path

import numpy as np

from gradcam import _cache, _core
from gradcam._engine.graph import Graph
from gradcam._files import atomic_write
from gradcam._registry import Method

_PACKAGE = Path(__file__).resolve().parent.parent

_OTHER = ("_cli", "_demo", "_synthesis", "bench", "critique", "imagenet", "testing")
"""Folders of the package that no result depends on."""

_FOLDER = "evaluation"


def key(kind: str, method: Method | None, network: Graph, plan: Mapping[str, int]) -> str:
    """Return the name of a result: that of the method, or else its kind, and a digest."""
    parts = {
        "code": _code(),
        "weights": _weights(network),
        "method": "" if method is None else _identity(method),
        "plan": dict(plan),
    }
    text = json.dumps(parts, sort_keys=True)
    name = kind if method is None else method.name
    return f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:32]}.json"


def find(name: str) -> Mapping[str, object] | None:
    """Return a stored result; None if there is none, or it cannot be read."""
    folder = _folder()
    if folder is not None and _cache.is_private(folder):
        with suppress(OSError, ValueError):
            found = json.loads((folder / name).read_text("utf-8"))
            if isinstance(found, dict):
                return found
    return None


def store(name: str, result: Mapping[str, object]) -> None:
    """Store a result, if there is a folder that can be used."""
    folder = _folder()
    if folder is None:
        return
    with suppress(OSError):
        _cache.make_folder(folder)
        if _cache.is_private(folder):
            with atomic_write(folder / name, 0o600) as file:
                file.write(json.dumps(result).encode())


def _folder() -> Path | None:
    cache = _cache.folder()
    return None if cache is None else cache.absolute() / _FOLDER


@lru_cache(maxsize=1)
def _code() -> str:
    """Return a digest of the code."""
    found = hashlib.sha256()
    files = [each for each in _PACKAGE.rglob("*") if each.suffix in (".py", ".png", ".json")]
    for path in sorted([*files, Path(_core.__file__)]):
        inside = path.relative_to(_PACKAGE) if path.is_relative_to(_PACKAGE) else Path(path.name)
        if inside.parts[0] not in _OTHER and inside.name not in ("evaluation.json", "_table.py"):
            found.update(f"{inside}\n".encode() + path.read_bytes())
    found.update(f"{np.__version__} {version('pillow')}".encode())
    return found.hexdigest()


def _weights(network: Graph) -> str:
    """Return a digest of the layers with their weights."""
    found = hashlib.sha256()
    for layer in network.layers.values():
        found.update(f"{layer.name} {layer.op} {dict(layer.attributes)}".encode())
        for name, values in sorted(layer.weights.items()):
            found.update(name.encode() + np.ascontiguousarray(values).tobytes())
    found.update(f"{network.name} {network.preset}".encode())
    return found.hexdigest()


def _identity(method: Method) -> str:
    """Return what tells a method apart: its title with the options, and the file of its code."""
    function = method.function
    while isinstance(function, partial):
        function = function.func
    code = getattr(function, "__code__", None)
    source = ""
    if code is not None and not Path(code.co_filename).is_relative_to(_PACKAGE):
        source = code.co_code.hex() + repr(code.co_consts)
        with suppress(OSError):
            source = hashlib.sha256(Path(code.co_filename).read_bytes()).hexdigest()
    return f"{method.name} {method.title} {method.view} {source}"
