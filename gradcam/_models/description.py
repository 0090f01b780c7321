"""Describe what a weight file holds, for people and programs: its network, or why it has none."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gradcam._engine.layers import INPUT, Layer
from gradcam._engine.network import Network
from gradcam._files import expanded, file_digest
from gradcam._importers import stored
from gradcam._importers.imported import Imported
from gradcam._labels import imagenet
from gradcam._models.loading import Options, imported_from, network_of, with_name
from gradcam._text import printable
from gradcam._weights import folder
from gradcam._weights.reading import load
from gradcam._weights.tensors import Weights, WeightsError


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
class LayerEntry:
    """One layer of the network in a file, for one picture of the description's size.

    Attributes
    ----------
    name : str
        As in :attr:`gradcam.Network.layers`.
    aliases : tuple of str
        Its further names.
    op : str
        Its operation.
    shape : tuple of int
        Of its output: (C, H, W) or (F,).
    parameters : int
        Values of its weights, those of a batch normalisation that was folded into it among them:
        trained ones, and those that an import makes of constant scales, of zeros around a map and
        the like. Running statistics are not counted.
    flop : int
        Operations of a convolution or fully connected layer, computed by its definition: a
        multiplication and an addition count as two, biases do not count. 0 for others.
    """

    name: str
    aliases: tuple[str, ...]
    op: str
    shape: tuple[int, ...]
    parameters: int
    flop: int


@dataclass(frozen=True)
class Contents:
    """The network in a weight file.

    Attributes
    ----------
    name : str
        Of the network.
    title : str
        What it is made from, in words: "an ONNX graph of pytorch 2.13".
    channels : int
        Of the input.
    size : (height, width)
        Of the input: of the file, if it says one, else the preset's, else 224 x 224.
    fixed : bool
        Whether the network takes only this size.
    target_layer : str
        Of Grad-CAM.
    labels_from : "file", "ImageNet" or "numbers"
        Where the names of the classes come from.
    notes : tuple of str
        What was taken for granted.
    layers : tuple of LayerEntry
        From the input's on.
    """

    name: str
    title: str
    channels: int
    size: tuple[int, int]
    fixed: bool
    target_layer: str
    labels_from: str
    notes: tuple[str, ...]
    layers: tuple[LayerEntry, ...]

    @property
    def parameters(self) -> int:
        """Of all layers together."""
        return sum(layer.parameters for layer in self.layers)

    @property
    def flop(self) -> int:
        """Of all layers together, for one picture."""
        return sum(layer.flop for layer in self.layers)

    def to_dict(self) -> dict[str, object]:
        """Return everything as dicts, lists, strings and numbers, for JSON."""
        lists = {"size": list(self.size), "notes": list(self.notes)}
        layers = [
            dataclasses.asdict(each) | {"aliases": list(each.aliases), "shape": list(each.shape)}
            for each in self.layers
        ]
        totals = {"parameters": self.parameters, "flop": self.flop}
        return dataclasses.asdict(self) | lists | totals | {"layers": layers}


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
        Of the whole file, in hexadecimal; None of a folder, and if it was not requested.
    architecture : str or None
        The function that makes such a network, "vgg16"; None if there is none.
    reason : str
        Why the file cannot be used; empty if it can.
    classes : int or None
    preset : str or None
        The name of the input preset; None if the file does not say how pictures become input.
    network : Contents or None
        The network; None if the file cannot be used.
    values : int
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
    reason: str
    classes: int | None
    preset: str | None
    network: Contents | None
    values: int
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
        if self.network is None:
            yield "network", f"not known here: {self.reason}"
        else:
            yield from self._network_facts(self.network)
        types = ", ".join(self.dtypes)
        yield "values", f"{self.values:,} in {len(self.tensors)} tensors, {types or 'empty'}"
        if self.ignored and self.network is not None:
            yield "ignored", f"{len(self.ignored)} tensors that the network does not use"
        for key, value in self.metadata.items():
            if self.network is not None and key in _SHOWN:
                continue
            text = value if len(value) <= 200 else f"{value[:200]} ..."
            yield printable(key), printable(text)

    def _network_facts(self, network: Contents) -> Iterator[tuple[str, str]]:
        name = self.architecture or printable(network.name)
        yield "network", f"{name}, {self.classes} classes"
        yield "made from", printable(network.title)
        height, width = network.size
        only = "this size only" if network.fixed else "other sizes are possible"
        yield "input", f"{network.channels} x {height} x {width}; {only}"
        yield "labels", _LABELS[network.labels_from]
        missing = "none: pass preset=, for how pictures become input"
        yield "preset", missing if self.preset is None else printable(self.preset)
        yield "Grad-CAM at", printable(network.target_layer)
        total = f"{network.parameters:,} parameters, {network.flop / 1e6:,.1f} MFLOP"
        yield "in all", f"{total} for one picture (a multiplication and an addition are two)"
        for note in network.notes:
            yield "note", printable(note)

    def __str__(self) -> str:
        return "\n".join(f"{title:11} {text}" for title, text in self.facts())

    def to_dict(self) -> dict[str, object]:
        """Return everything as dicts, lists, strings and numbers, for JSON."""
        found: dict[str, object] = dataclasses.asdict(self)
        found["ignored"] = list(self.ignored)
        found["dtypes"] = list(self.dtypes)
        if self.network is not None:
            found["network"] = self.network.to_dict()
        found["tensors"] = [
            {"name": each.name, "shape": list(each.shape), "dtype": each.dtype}
            | {"values": each.values}
            for each in self.tensors
        ]
        return found


def describe(
    path: str | os.PathLike[str],
    *,
    digest: bool = True,
    size: int | tuple[int, int] | None = None,
    output: str | None = None,
) -> Description:
    """Describe a weight file: its format, its tensors, and the layers and input of its network.

    Files of unknown networks are described too, with the reason why they cannot be used, unless
    `size` or `output` is given.

    Parameters
    ----------
    path : path
        A file that :func:`gradcam.weights.load` reads.
    digest : bool
        Whether to compute the SHA-256, which reads the whole file.
    size, output
        As for :func:`gradcam.load`.

    Raises
    ------
    WeightsError, OSError, ImportError
        If the file cannot be read, as :func:`gradcam.weights.load`; or its network cannot be made
        with this `size` or `output`.
    """
    path = expanded(os.fsdecode(path))
    options = Options(size=size, output=output)
    options.check()
    content = load(path)
    imported, network, contents, reason = None, None, None, ""
    try:
        imported = with_name(imported_from(content, options), path)
        network = network_of(imported, options)
        contents = _contents(network, imported)
    except (MemoryError, ValueError) as error:
        network = None
        if size is not None or output is not None:
            raise WeightsError(f"{path}: {error}") from error
        reason = str(error)
    tensors = _entries(content)
    preset = network.preset if network else None
    files = folder.files(path) if os.path.isdir(path) else (path,)
    return Description(
        path=path,
        format=content.format,
        bytes=sum(map(os.path.getsize, files)),
        sha256=file_digest(path, "sha256") if digest and files == (path,) else None,
        architecture=imported.architecture or None if network and imported else None,
        reason=reason,
        classes=imported.classes if network and imported else None,
        preset=preset.name if preset else None,
        network=contents,
        values=sum(tensor.values for tensor in tensors),
        ignored=imported.ignored if network and imported else (),
        metadata=dict(content.metadata),
        tensors=tensors,
    )


_SHOWN = (stored.KEY, "classes", "preset", "names")
"""Entries of the metadata that the summary shows in other words."""

_LABELS = {
    "file": "in the file",
    "ImageNet": "ImageNet's, because their number fits",
    "numbers": "none: classes are numbered",
}


def _contents(network: Network, imported: Imported) -> Contents:
    size = network.input_size
    known = network.labels in (imagenet.labels(), imagenet.labels_after_background())
    usual = "ImageNet" if known else "numbers"
    return Contents(
        name=network.name,
        title=imported.title,
        channels=imported.channels,
        size=size,
        fixed=network.fixed,
        target_layer=network.target_layer,
        labels_from="file" if imported.labels is not None else usual,
        notes=imported.notes,
        layers=_layers(network, imported, size),
    )


_STATISTICS = ("running_mean", "running_var")


def _layers(network: Network, imported: Imported, size: tuple[int, int]) -> tuple[LayerEntry, ...]:
    """Return the layers as they run; what was folded into a layer counts with it."""
    before = {layer.name: layer for layer in imported.layers}
    shapes = network.shapes(*size)
    entries = []
    for name, layer in network.layers.items():
        own = before.get(name)
        parts = [own] if own is not None else []
        if own is not None and own.op == "batch_norm" and layer.op != "affine":
            parts.append(before[own.inputs[0] if own.inputs else _preceding(own, imported)])
        op = " + ".join(part.op for part in reversed(parts)) or layer.op
        parameters = sum(map(_parameters, parts))
        flop = 2 * layer.products * math.prod(shapes[name]) if layer.op != INPUT else 0
        entries.append(
            LayerEntry(name, network.names(name)[1:], op, shapes[name], parameters, flop)
        )
    return tuple(entries)


def _preceding(layer: Layer, imported: Imported) -> str:
    """Return the layer before another in the list, which is its input if it names none."""
    return imported.layers[imported.layers.index(layer) - 1].name


def _parameters(layer: Layer) -> int:
    """Return the number of trained values."""
    return sum(
        math.prod(np.shape(values))
        for key, values in layer.weights.items()
        if key not in _STATISTICS
    )


def _entries(content: Weights) -> tuple[TensorEntry, ...]:
    return tuple(
        TensorEntry(name, values.shape, content.dtypes.get(name, str(values.dtype)))
        for name, values in content.tensors.items()
    )
