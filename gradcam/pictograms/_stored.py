"""Results in the user's cache folder, found by a digest of all that they depend on.

These are the sources of gradcam that compute something, the C core, the versions of NumPy and
Pillow, the layers of the network with their weights, the method and its options; and for the times
the processor, the kernels and the number of threads. Results of methods that are not gradcam's own
are not stored, because their code may depend on anything. Without a cache folder nothing is stored.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import lru_cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcam import _cache, _core
from gradcam._config import processor
from gradcam._engine.graph import Graph
from gradcam._files import atomic_write
from gradcam._registry import METHODS, Method

_PACKAGE = Path(__file__).resolve().parent.parent

_OTHER = ("_cli", "_demo", "_synthesis", "bench", "critique", "imagenet", "testing")
"""Folders of the package that no result depends on."""

_SHOWING = ("evaluation.json", "_table.py")
"""Files that show results."""

_FOLDER = "evaluation"


def key(kind: str, method: Method | None, network: Graph, plan: Mapping[str, int]) -> str | None:
    """Return the name of a result: that of the method, or else its kind, and a digest.

    None if a digest cannot say what the method computes.
    """
    identity = "" if method is None else _identity(method)
    if identity is None:
        return None
    parts = {
        "code": _code(_PACKAGE),
        "machine": [processor(), _core.cpu_level(), _core.get_num_threads()],
        "network": _network(network),
        "method": identity,
        "plan": dict(plan),
    }
    text = json.dumps(parts, sort_keys=True)
    name = kind if method is None else method.name
    return f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:32]}.json"


def find(name: str | None) -> Mapping[str, object] | None:
    """Return a stored result; None if there is none, or it cannot be read."""
    folder = _folder()
    if name is not None and folder is not None and _cache.is_private(folder):
        with suppress(OSError, ValueError):
            found = json.loads((folder / name).read_text("utf-8"))
            if isinstance(found, dict):
                return found
    return None


def store(name: str | None, result: Mapping[str, object]) -> bool:
    """Store a result if there is a folder that can be used; return whether it is stored."""
    folder = _folder()
    if name is None or folder is None:
        return False
    try:
        _cache.make_folder(folder)
        if not _cache.is_private(folder):
            return False
        with atomic_write(folder / name, 0o600) as file:
            file.write(json.dumps(result).encode())
    except OSError:
        return False
    return True


def _folder() -> Path | None:
    cache = _cache.folder()
    return None if cache is None else cache.absolute() / _FOLDER


@lru_cache(maxsize=1)
def _code(package: Path) -> str:
    """Return a digest of the code in the package's folder, and of the C core."""
    found = hashlib.sha256()
    files = [each for each in package.rglob("*") if each.suffix in (".py", ".png", ".json")]
    for path in sorted(files):
        inside = path.relative_to(package)
        if inside.parts[0] not in _OTHER and inside.name not in _SHOWING:
            found.update(f"{inside.as_posix()}\n".encode() + path.read_bytes())
    found.update(Path(_core.__file__).read_bytes())
    found.update(f"{np.__version__} {version('pillow')}".encode())
    return found.hexdigest()


def _network(network: Graph) -> str:
    """Return a digest of the layers, with their inputs and weights, and of the input."""
    found = hashlib.sha256()
    for layer in network.layers.values():
        stated = (layer.name, layer.op, layer.inputs, sorted(layer.attributes.items()))
        found.update(repr(stated).encode())
        for name, values in sorted(layer.weights.items()):
            found.update(f"{name} {_array(np.asarray(values))}".encode())
    ends = (network.score_layer, network.probability_layer, network.target_layer)
    found.update(repr((network.name, network.preset, ends)).encode())
    return found.hexdigest()


def _array(values: NDArray[Any]) -> str:
    digest = hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()
    return f"{values.dtype} {values.shape} {digest}"


def _identity(method: Method) -> str | None:
    """Return what tells a method apart: its name, its title and the values of its options.

    None of a method that is not gradcam's own, or whose options are not plain values or arrays.
    """
    function: Callable[..., object] = method.function
    options: Mapping[str, object] = {}
    if isinstance(function, partial):  # it holds the options of all calls of with_options
        options, function = function.keywords, function.func
    known = METHODS.get(method.name)
    if known is None or known.function is not function or not _is_own(function):
        return None
    values = {name: _value(option) for name, option in sorted(options.items())}
    if None in values.values():
        return None
    return repr((method.name, method.title, method.view, values))


def _is_own(function: Callable[..., object]) -> bool:
    return function.__module__.partition(".")[0] == _core.__name__.partition(".")[0]


def _value(option: object) -> str | None:
    """Return the value of an option as text; None if it has no text that is its value."""
    if option is None or isinstance(option, (bool, int, float, str)):
        return repr(option)
    if isinstance(option, np.ndarray) and option.dtype.kind in "biuf":
        return _array(option)
    if isinstance(option, (list, tuple)):
        parts = [_value(each) for each in option]
        return None if None in parts else f"{type(option).__name__} {parts}"
    return None
