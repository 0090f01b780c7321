"""The content of a weight file, and the error for everything that can be wrong with it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcam._text import printable
from gradcam._weights.graph import Graph, ModelFolder
from gradcam._weights.keras_model import KerasModel
from gradcam._weights.program import Program, Script

EPS = 1e-5
"""The epsilon of batch normalisation if the metadata does not contain another one."""


class WeightsError(ValueError):
    """A weight file or a set of tensors cannot be used; the message says which one and why."""


class WeightsWarning(UserWarning):
    """A weight file does not say everything; the message says what is assumed."""


@dataclass(frozen=True)
class Weights:
    """The content of a weight file.

    Attributes
    ----------
    tensors : mapping of str to array
        By name, in the order of the file. Floating-point tensors are float32; those that the file
        stores as float32 are read-only views of it, mapped into memory.
    metadata : mapping of str to str
        Metadata of the file; empty for formats without metadata. The models read ``classes`` (a
        JSON list of pairs: synset, label), ``preset`` (a name or a JSON object) and ``eps`` (of
        batch normalisation).
    format : str
        The file format in words: "safetensors", "PyTorch (zip)", ...
    dtypes : mapping of str to str
        The data types in the file of the tensors that were converted, if the reader reports them.
    ordered : bool
        Whether the tensors are in the order of the layers.
    graph : Graph, KerasModel, ModelFolder, Program or Script, optional
        The operations of the network, if the format describes them (ONNX, Caffe, Keras,
        torch.export, TorchScript); or what a folder says beside the weights.
    objects : mapping of str to str
        The classes of objects in the file that hold tensors and were not read, by their names.
    notes : tuple of str
        Sentences about what was not read, for the user.
    """

    tensors: Mapping[str, NDArray[np.generic]]
    metadata: Mapping[str, str] = field(default_factory=dict)
    format: str = ""
    dtypes: Mapping[str, str] = field(default_factory=dict)
    ordered: bool = False
    graph: Graph | KerasModel | ModelFolder | Program | Script | None = None
    objects: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def as_float32(values: NDArray[Any]) -> NDArray[Any]:
    """Convert floating-point values to float32; float32 and other types are returned unchanged."""
    if values.dtype.kind == "f":
        return values.astype(np.float32, copy=False)
    return values


def from_bfloat16(bits: NDArray[Any]) -> NDArray[np.float32]:
    """Convert bfloat16 numbers, given as 16-bit integers of their bits, to float32."""
    wide = bits.astype(np.uint32)
    wide <<= 16
    return wide.view(np.float32)


def listed(names: Iterable[str], limit: int = 6) -> str:
    """Join names for a message; of a long list the first ones and the number of the others."""
    every = list(names)
    tail = f" and {len(every) - limit} more" if len(every) > limit else ""
    return ", ".join(map(printable, every[:limit])) + tail
