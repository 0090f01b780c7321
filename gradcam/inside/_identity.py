"""Whether stored codes are those of a network, a layer and these pictures."""

from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from gradcam.inside._codes_file import Stored, digests
from gradcam.inside._picture_set import path_of

if TYPE_CHECKING:
    from gradcam._engine.graph import Graph
    from gradcam.inside._given import Given


class Wanted(NamedTuple):
    """Which codes are wanted.

    Attributes
    ----------
    network, layer : str
        Their names.
    size : (height, width)
        Of the input; (0, 0) for each picture's own.
    identity : str
        As of :func:`identity`.
    """

    network: str
    layer: str
    size: tuple[int, int]
    identity: str


def identity(graph: Graph, layer: str, size: tuple[int, int]) -> str:
    """Return a digest of all that the codes of a picture depend on.

    These are the input's size and preset, and the layers up to this one with their weights. Names
    are not part of it, nor is the algorithm of convolutions.
    """
    import hashlib  # slow to import

    preset = None if graph.preset is None else dataclasses.asdict(graph.preset) | {"name": ""}
    found = hashlib.sha256(repr((size, preset)).encode())
    for each in list(graph.layers.values())[: graph.index(layer) + 1]:
        options = {name: each.attributes[name] for name in sorted(each.attributes)}
        options.pop("exact", None)
        found.update(repr((each.op, list(map(graph.index, each.inputs)), options)).encode())
        for name, values in sorted(each.weights.items()):
            array = np.ascontiguousarray(values)
            found.update(repr((name, array.shape, str(array.dtype))).encode())
            found.update(array.data)
    return found.hexdigest()


def require(name: str, stored: Stored, wanted: Wanted, given: Given) -> None:
    """Raise ValueError unless the file of this name holds the codes that are wanted."""
    found = other_network(stored, wanted) or _other_pictures(stored, given)
    if found:
        raise ValueError(f"{name}: {found}; name another file, or remove this one")


def other_network(stored: Stored, wanted: Wanted) -> str:
    """Return how the network or the layer differs; empty if it does not."""
    if (stored.layer, stored.identity) == (wanted.layer, wanted.identity):
        return ""
    if stored.network != wanted.network:
        return f"its codes are of the network {stored.network!r}, not {wanted.network!r}"
    if stored.layer != wanted.layer:
        return f"its codes are of layer {stored.layer!r}, not {wanted.layer!r}"
    if stored.size != wanted.size:
        return f"its codes are of inputs of {_size(stored.size)}, not {_size(wanted.size)}"
    return f"its codes are of {wanted.network!r} with other weights or another preset"


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}" if size[0] else "each picture's own size"


def _other_pictures(stored: Stored, given: Given) -> str:
    """Return how the pictures differ; empty if they do not."""
    paths, kept = given.paths, kept_of(stored, given)
    places, had, skipped = _places(stored, given)
    if had != [places[n] for n in kept] or not set(skipped) <= set(places):
        others = sorted({*had, *skipped} ^ set(places))
        example = f", for example {others[0]!r}" if others else ""
        return (
            f"it was made of {len(had) + len(skipped)} pictures, and these {len(paths)} are not "
            f"the same{example}"
        )
    labels = None if given.labels is None else tuple(given.labels[n] for n in kept)
    if labels != stored.pictures.labels:
        return "its pictures have other labels"
    before = dict(zip(had, stored.digests, strict=True)) | skipped
    now = zip(paths, places, digests(paths), strict=True)
    changed = [path for path, place, digest in now if digest != before[place]]
    if changed:
        return f"{len(changed)} of its pictures changed since, for example {changed[0]!r}"
    return ""


def kept_of(stored: Stored, given: Given) -> list[int]:
    """Return which of the given pictures could be read when the file was made."""
    places, _, skipped = _places(stored, given)
    return [n for n, place in enumerate(places) if place not in skipped]


def _places(stored: Stored, given: Given) -> tuple[list[str], list[str], dict[str, str]]:
    """Return the paths of the given pictures, of those in the file, and of those skipped.

    The latter have their digests.
    They are relative to the folder, which may have been moved, if both were found in a folder.
    """
    in_folders = bool(stored.folder and given.folder)

    def place(path: str, folder: str) -> str:
        whole = os.path.abspath(path)
        return os.path.relpath(whole, os.path.abspath(folder)) if in_folders else whole

    had = [place(path_of(each) or "", stored.folder) for each in stored.pictures.sources]
    names = [place(name, stored.folder) for name, _ in stored.skipped]
    skipped = dict(zip(names, stored.skipped_digests, strict=True))
    return [place(path, given.folder) for path in given.paths], had, skipped
