"""Describe what a weight file holds, for people and programs, without building a network."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass

from gradcam._files import expanded, file_digest
from gradcam._models import checkpoints
from gradcam._text import printable
from gradcam._weights.reading import load
from gradcam._weights.tensors import Weights


@dataclass(frozen=True)
class TensorEntry:
    """One tensor of a file.

    Attributes
    ----------
    name : str
        In the file.
    shape : tuple of int
    dtype : str
        In the file: "float32", "float16", "bfloat16", ...
    """

    name: str
    shape: tuple[int, ...]
    dtype: str

    @property
    def values(self) -> int:
        """The number of its values."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Description:
    """What a weight file holds; ``print`` shows a summary of a few lines.

    Attributes
    ----------
    path : str
    format : str
        The kind of file: "safetensors", "PyTorch (zip)", ...
    bytes : int
    sha256 : str or None
        Of the whole file, in hexadecimal; None if it was not requested.
    architecture : str or None
        The function that loads it, "vgg16"; None for an unknown network.
    reason : str or None
        Why the network is unknown.
    layout : str or None
        Whose names and order of axes the tensors have.
    classes : int or None
    preset : str or None
        The name of the input preset.
    parameters : int
        The number of values in all tensors together.
    ignored : tuple of str
        Names of tensors that the network does not use.
    metadata : dict of str to str
    tensors : tuple of TensorEntry
        In the order of the file.
    """

    path: str
    format: str
    bytes: int
    sha256: str | None
    architecture: str | None
    reason: str | None
    layout: str | None
    classes: int | None
    preset: str | None
    parameters: int
    ignored: tuple[str, ...]
    metadata: dict[str, str]
    tensors: tuple[TensorEntry, ...]

    @property
    def dtypes(self) -> tuple[str, ...]:
        """The types of the tensors, without repetition."""
        return tuple(dict.fromkeys(tensor.dtype for tensor in self.tensors))

    def facts(self) -> Iterator[tuple[str, str]]:
        """Yield the lines of the summary: title and text."""
        yield "file", self.path
        yield "format", self.format
        yield "size", f"{self.bytes:,} bytes"
        if self.sha256 is not None:
            yield "sha256", self.sha256
        if self.architecture is None:
            yield "network", f"not known here: {self.reason}"
        else:
            yield "network", f"{self.architecture}, {self.classes} classes"
            yield "layout", str(self.layout)
            yield "preset", printable(str(self.preset))
        types = ", ".join(self.dtypes)
        yield "values", f"{self.parameters:,} in {len(self.tensors)} tensors, {types or 'empty'}"
        if self.ignored and self.architecture is not None:
            yield "ignored", f"{len(self.ignored)} tensors that the network does not use"
        for key, value in self.metadata.items():
            text = value if len(value) <= 200 else f"{value[:200]} ..."
            yield printable(key), printable(text)

    def __str__(self) -> str:
        return "\n".join(f"{title:9} {text}" for title, text in self.facts())

    def to_dict(self) -> dict[str, object]:
        """Return everything as dicts, lists, strings and numbers, for JSON."""
        found: dict[str, object] = dataclasses.asdict(self)
        found["ignored"] = list(self.ignored)
        found["dtypes"] = list(self.dtypes)
        found["tensors"] = [
            {"name": each.name, "shape": list(each.shape), "dtype": each.dtype}
            | {"values": each.values}
            for each in self.tensors
        ]
        return found


def describe(path: str | os.PathLike[str], *, digest: bool = True) -> Description:
    """Describe a weight file: its format, architecture, layout, preset, classes and tensors.

    Files of unknown networks are described too, with the reason why they cannot be used.

    Parameters
    ----------
    path : path
        A file that :func:`gradcam.weights.load` reads.
    digest : bool
        Whether to compute the SHA-256, which reads the whole file.

    Raises
    ------
    WeightsError, OSError, ImportError
        If the file cannot be read, as :func:`gradcam.weights.load`.
    """
    path = expanded(os.fsdecode(path))
    content = load(path)
    checkpoint, reason = None, None
    try:
        checkpoint = checkpoints.identify(content)
    except ValueError as error:
        reason = str(error)
    tensors = _entries(content)
    return Description(
        path=path,
        format=content.format,
        bytes=os.path.getsize(path),
        sha256=file_digest(path, "sha256") if digest else None,
        architecture=checkpoint.architecture if checkpoint else None,
        reason=reason,
        layout=checkpoint.layout if checkpoint else None,
        classes=checkpoint.classes if checkpoint else None,
        preset=checkpoint.preset.name if checkpoint else None,
        parameters=sum(tensor.values for tensor in tensors),
        ignored=checkpoint.ignored if checkpoint else (),
        metadata=dict(checkpoint.metadata if checkpoint else content.metadata),
        tensors=tensors,
    )


def _entries(content: Weights) -> tuple[TensorEntry, ...]:
    return tuple(
        TensorEntry(name, values.shape, content.dtypes.get(name, str(values.dtype)))
        for name, values in content.tensors.items()
    )
