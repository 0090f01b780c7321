"""What a weight file holds, and the one error for all that can be wrong with it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

EPS = 1e-5
"""What batch normalisation adds to the variance, where the metadata says nothing else."""


class WeightsError(ValueError):
    """A weight file or a set of tensors that cannot be used; the message says which and why."""


@dataclass(frozen=True)
class Weights:
    """The content of a weight file.

    Attributes
    ----------
    tensors : dict of str to array
        By name, in the order of the file. Floating tensors are float32, and those that lie as
        float32 in the file are read-only views of it, mapped into memory.
    metadata : dict of str to str
        What the file says about itself; empty for formats that say nothing. The models read
        ``classes`` (a JSON list of pairs: synset, label), ``preset`` (a name or a JSON object) and
        ``eps`` (of batch normalisation).
    format : str
        The kind of file, in words: "safetensors", "PyTorch (zip)", ...
    dtypes : dict of str to str
        The types in the file of those tensors that were converted, where the reader tells them.
    ordered : bool
        Whether the tensors are in the order of the layers, as the file tells it.
    """

    tensors: dict[str, NDArray[Any]]
    metadata: dict[str, str] = field(default_factory=dict)
    format: str = ""
    dtypes: dict[str, str] = field(default_factory=dict)
    ordered: bool = False


def as_float32(values: NDArray[Any]) -> NDArray[Any]:
    """Floating values as float32, without a copy where they are; other types untouched."""
    if values.dtype.kind == "f":
        return values.astype(np.float32, copy=False)
    return values


def from_bfloat16(bits: NDArray[Any]) -> NDArray[np.float32]:
    """The numbers whose upper halves, as float32, these 16-bit integers are."""
    wide = bits.astype(np.uint32)
    wide <<= 16
    return wide.view(np.float32)


def listed(names: Iterable[str], limit: int = 6) -> str:
    """The names for a message, the tail of a long list counted rather than told."""
    every = list(names)
    tail = f" and {len(every) - limit} more" if len(every) > limit else ""
    return ", ".join(map(printable, every[:limit])) + tail


def printable(text: str) -> str:
    """A text from a file for a terminal: line ends and control characters as Python spells them."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
