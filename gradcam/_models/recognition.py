"""Recognise a registered architecture in a list of layers, by its structure alone.

Two lists are compared in a normal form, in which what leaves the result unchanged makes no
difference: batch normalisation and scales are a part of the convolution before them, dropout and
flattening are left out, a fully connected layer is a convolution of one position, and so on. Widths
do not count, so that a narrower network of the same structure is recognised, as in weight files.

A checksum of the normal form finds the architectures that can be meant, in a table of all checksums
(:mod:`gradcam._models.checksums`), so that no other tables are made. Then the layers are compared
one by one, from the scores back to the input: this decides, and says which layer is which.
"""

from __future__ import annotations

import operator
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from typing import NamedTuple, SupportsIndex, cast

import numpy as np

from gradcam._engine.layers import HEADS, INPUT, WEIGHTED, Layer, complete, pair
from gradcam._importers.imported import DEFAULT_SIZE, Imported
from gradcam._models import checkpoints  # noqa: F401  registers the architectures
from gradcam._models.architecture import ANY_GROUPS, Architecture, find, registered
from gradcam._models.checksums import CHECKSUMS
from gradcam._pictures import presets
from gradcam._pictures.presets import Preset

_SCALES = ("batch_norm", "affine")
_WITHOUT_EFFECT = ("dropout", "flatten", "adaptive_average_pool")
"""Left out, the last one because a flattened map says its number of positions."""

_COMMUTATIVE = ("add", "multiply")

_MAX_PARTS = 1000
"""A concatenation of concatenations is taken for one, up to so many parts."""

_POOLED = ("global_average_pool", "global_max_pool")

_DEFAULT_PRESET = "torchvision"

TAKEN_FOR_GRANTED = (
    "How pictures become input is not stored: it was taken for granted that it is as usual "
    "for {title} in {library} (preset {preset!r}); pass preset= if it is not."
)


def recognised(imported: Imported) -> Imported:
    """Return the network with its architecture, and the names of the architecture's layers.

    The layers keep their own names; those of the architecture are added, unless one of them is the
    name of another layer. The architecture's target layer is used; its usual preset only where
    :attr:`Imported.library` says whose.
    """
    if imported.architecture:
        return imported
    matches = _matches(imported)
    if not matches:
        return imported
    match = min(matches, key=_Match.distance)
    aliases: defaultdict[str, list[str]] = defaultdict(list)
    if not match.conflicts():
        for name, layer in match.names().items():
            aliases[layer].append(name)
    target = match.pairs.get(match.architecture.target_layer, imported.target_layer)
    return _with_preset(
        replace(
            imported,
            layers=tuple(_renamed(layer, aliases[layer.name]) for layer in imported.layers),
            architecture=match.architecture.name,
            target_layer=target,
        )
    )


def _renamed(layer: Layer, names: Sequence[str]) -> Layer:
    aliases = dict.fromkeys(name for name in (*layer.aliases, *names) if name != layer.name)
    return replace(layer, aliases=tuple(aliases))


def _with_preset(imported: Imported) -> Imported:
    """Return the network with the usual preset of its architecture, if the file says none."""
    if imported.preset is not None or not imported.library:
        return imported
    architecture = find(imported.architecture)
    preset = _usual_preset(architecture, imported.library)
    note = TAKEN_FOR_GRANTED.format(
        title=architecture.title, library=imported.library, preset=preset.name
    )
    return replace(imported, preset=preset, notes=(*imported.notes, note))


def _usual_preset(architecture: Architecture, library: str) -> Preset:
    """Return the preset of an architecture's graphs.

    All networks of torchvision take the same normalisation; two convert it to another one, which
    the presets of their weight files do for them.
    """
    plain = presets.find(_DEFAULT_PRESET)
    usual = architecture.presets.get(library, plain)
    if (usual.mean, usual.std) == (plain.mean, plain.std):
        return usual
    size, margin = usual.size, usual.shorter_side
    if (size, margin) == (plain.size, plain.shorter_side):
        return plain
    return replace(plain, name=f"torchvision-{size}", size=size, shorter_side=margin)


def tensor_names(imported: Imported) -> dict[tuple[str, str], str]:
    """Return torchvision's names of all weights, by the layer and its name of the weight.

    Empty if the architecture is not known, or its layers have other weights: where batch
    normalisation was folded into convolutions.
    """
    matches = [m for m in _matches(imported) if m.architecture.name == imported.architecture]
    if not matches:
        return {}
    match = matches[0]
    rows = {match.pairs.get(row.name): row for row in match.architecture.rows if row.parameters}
    names: dict[tuple[str, str], str] = {}
    for layer in imported.layers:
        row = rows.get(layer.name)
        weights = set(layer.weights)
        if layer.op == "affine" and not np.any(layer.weights["shift"]):
            weights.discard("shift")
        if row is None and not weights:
            continue
        if row is None or row.op != layer.op or set(row.parameters) != weights:
            return {}
        names |= {(layer.name, key): name for key, name in row.parameters.items()}
    return names


def checksums() -> dict[int, tuple[str, ...]]:
    """Return the content of :mod:`gradcam._models.checksums`: architectures by their checksum."""
    found: defaultdict[int, list[str]] = defaultdict(list)
    for architecture in registered():
        for view in _views_of(architecture):
            found[view.checksum].append(architecture.name)
    return {checksum: tuple(names) for checksum, names in found.items()}


# ------------------------------------------------------------------------ the normal form


@dataclass(eq=False)
class _Node:
    """A layer that counts in the normal form.

    Attributes
    ----------
    layer : Layer
    form : tuple
        Its operation and attributes in the normal form.
    inputs : tuple of _Node
        Those that count.
    checksum : int
        Of its form and all that it depends on.
    scales, others : list of Layer
        What was left out after it: scales of its channels; layers without effect.
    """

    layer: Layer
    form: tuple[object, ...]
    inputs: tuple[_Node, ...]
    checksum: int
    scales: list[Layer] = field(default_factory=list)
    others: list[Layer] = field(default_factory=list)


class _Seen(NamedTuple):
    """What is known of a layer's output."""

    node: _Node
    channels: int
    spatial: bool


class _View:
    """The normal form of a list of layers; `checksum` is that of the class scores."""

    def __init__(self, layers: Sequence[Layer]) -> None:
        self._readers = Counter(name for layer in layers for name in layer.inputs)
        start = _Node(Layer(INPUT, INPUT), (INPUT,), (), 0)
        self._seen = {INPUT: _Seen(start, _channels(layers), True)}
        head = layers[-1].op in HEADS
        for layer in layers[: len(layers) - head]:
            self._seen[layer.name] = self._add(layer)
        last = self._seen[layers[-1].inputs[0] if head else layers[-1].name]
        self.end = last.node
        if head:
            self.end.others.append(layers[-1])
        self.checksum = self.end.checksum

    def _add(self, layer: Layer) -> _Seen:
        inputs = [self._seen[name] for name in layer.inputs]
        first = inputs[0]
        after_weights = layer.op in _SCALES and first.node.form[0] in WEIGHTED
        if after_weights and self._readers[layer.inputs[0]] == 1:
            first.node.scales.append(layer)
            return first
        if _is_without_effect(layer):
            first.node.others.append(layer)
            return first
        nodes = [each.node for each in inputs]
        form = _form(layer, first)
        if layer.op == "concatenate":
            parts = [part for node in nodes for part in _parts(node)]
            nodes = parts if len(parts) <= _MAX_PARTS else nodes
        checksums = [node.checksum for node in nodes]
        order = sorted(checksums) if layer.op in _COMMUTATIVE else checksums
        checksum = zlib.crc32(repr((form, order)).encode())
        node = _Node(layer, form, tuple(nodes), checksum)
        spatial = any(each.spatial for each in inputs) and form[0] not in (*_POOLED, "linear")
        return _Seen(node, _width(layer, inputs), spatial)


def _parts(node: _Node) -> Iterable[_Node]:
    """Return the inputs of a concatenation, any other node itself."""
    return node.inputs if node.form[0] == "concatenate" else (node,)


def _channels(layers: Sequence[Layer]) -> int:
    """Return the channels of the input, as far as they matter: of the first convolution."""
    first = next((each for each in layers if each.op == "conv"), None)
    return np.shape(first.weights["weight"])[1] if first is not None else 1


def _width(layer: Layer, inputs: Sequence[_Seen]) -> int:
    """Return the channels of the output."""
    if layer.op in WEIGHTED:
        return len(np.asarray(layer.weights["weight"]))
    if layer.op == "concatenate":
        return sum(each.channels for each in inputs)
    if layer.op == "slice":
        start, stop = (_integer(layer.attributes[key]) for key in ("start", "stop"))
        return stop - start
    return max(each.channels for each in inputs)


def _is_without_effect(layer: Layer) -> bool:
    if layer.op == "adaptive_average_pool":
        return pair(layer.attributes["size"]) != (1, 1)
    if layer.op in ("max_pool", "average_pool"):
        return _window(layer)[:2] == ((1, 1), (1, 1))
    return layer.op in _WITHOUT_EFFECT


def _form(layer: Layer, before: _Seen) -> tuple[object, ...]:
    """Return the operation and the attributes of a layer in the normal form."""
    attributes, op = layer.attributes, layer.op
    if op == "adaptive_average_pool":  # to one position
        return ("global_average_pool",)
    if op == "linear":
        inputs = np.shape(layer.weights["weight"])[-1]
        return "linear", inputs // max(1, before.channels)
    if op == "conv":
        return _convolution(layer, before)
    if op in ("max_pool", "average_pool"):
        return op, *_window(layer), *_average(layer)
    if op in _SCALES:
        return ("affine",)
    if op == "layer_norm":
        return (op,)
    if op == "slice":
        ends = (_integer(attributes[key]) for key in ("start", "stop"))
        return op, *(str(Fraction(end, max(1, before.channels))) for end in ends)
    return op, *sorted((key, str(value)) for key, value in attributes.items())


def _convolution(layer: Layer, before: _Seen) -> tuple[object, ...]:
    shape = np.shape(layer.weights["weight"])
    groups = _integer(layer.attributes.get("groups", 1))
    kernel = tuple(shape[2:])
    if not before.spatial and kernel == (1, 1) and groups == 1:
        return "linear", 1
    kind = "depthwise" if groups == before.channels else "grouped" if groups > 1 else ""
    stride = pair(layer.attributes.get("stride", 1))
    return "conv", kernel, stride, _padding(layer), _dilation(layer), kind


def _window(layer: Layer) -> tuple[object, ...]:
    """Return kernel, stride and padding of a pooling."""
    kernel = pair(layer.attributes["kernel"])
    return kernel, pair(layer.attributes.get("stride", kernel)), _padding(layer)


def _average(layer: Layer) -> tuple[object, ...]:
    """Return what a sum over a window is divided by."""
    if layer.op == "max_pool":
        return ()
    counted = bool(layer.attributes.get("count_include_pad", True)) or not any(_padding(layer))
    return counted, layer.attributes.get("divisor")


def _padding(layer: Layer) -> tuple[int, ...]:
    """Return the zeros at the top, left, bottom and right."""
    given = layer.attributes.get("padding", 0)
    if isinstance(given, Sequence) and len(given) == 4:
        return tuple(map(_integer, given))
    return pair(given) * 2


def _integer(value: object) -> int:
    return operator.index(cast(SupportsIndex, value))


# ------------------------------------------------------------------------ layer by layer


_Partners = dict[_Node, _Node]
"""The nodes of a list of layers by those of an architecture."""


def _partners(expected: _View, found: _View, size: tuple[int, int]) -> _Partners | None:
    """Return which node is which; None if the structures differ for input of that size."""
    partners: _Partners = {}
    backwards: _Partners = {}
    waiting = [(expected.end, found.end)]
    while waiting:
        ours, theirs = waiting.pop()
        if partners.get(ours) is theirs:
            continue
        if ours in partners or theirs in backwards or ours.form != theirs.form:
            return None
        if len(ours.inputs) != len(theirs.inputs):
            return None
        partners[ours], backwards[theirs] = theirs, ours
        sides = [list(ours.inputs), list(theirs.inputs)]
        if ours.layer.op in _COMMUTATIVE:
            for side in sides:
                side.sort(key=lambda node: node.checksum)
        waiting += zip(*sides, strict=True)
    rounded = [
        theirs.layer for ours, theirs in partners.items() if _rounds(ours) != _rounds(theirs)
    ]
    return partners if not rounded or _fit(rounded, found, size) else None


def _rounds(node: _Node) -> bool:
    return bool(node.layer.attributes.get("ceil_mode", False))


def _pairs(ours: _Node, theirs: _Node) -> dict[str, str]:
    """Return which layers are the same in two nodes, with what was left out after them."""
    first, second = [ours.layer, *ours.scales], [theirs.layer, *theirs.scales]
    if len(first) != len(second):  # folded: only the last output is the same
        first, second = first[-1:], second[-1:]
    result = {a.name: b.name for a, b in zip(first, second, strict=True)}
    waiting: defaultdict[str, list[str]] = defaultdict(list)
    for layer in theirs.others:
        waiting["head" if layer.op in HEADS else layer.op].append(layer.name)
    for layer in ours.others:
        same = waiting["head" if layer.op in HEADS else layer.op]
        if same:
            result[layer.name] = same.pop(0)
    return result


def _fit(poolings: Iterable[Layer], view: _View, size: tuple[int, int]) -> bool:
    """Whether the windows of all these poolings fit their maps, so that no quotient is rounded."""
    sizes: dict[_Node, tuple[int, int]] = {}
    wanted = set(poolings)
    for node in _in_order(view.end):
        if not node.inputs:
            sizes[node] = size
            continue
        before = sizes[node.inputs[0]]
        sizes[node] = before
        if node.form[0] not in ("conv", "max_pool", "average_pool"):
            continue
        kernel, stride, padding, spread = _geometry(node)
        rooms = [
            before[i] + padding[i] + padding[i + 2] - spread[i] * (kernel[i] - 1) - 1
            for i in (0, 1)
        ]
        if node.layer in wanted and any(rooms[i] % stride[i] for i in (0, 1)):
            return False
        up = _rounds(node)
        rows, columns = (-(-rooms[i] // stride[i]) if up else rooms[i] // stride[i] for i in (0, 1))
        sizes[node] = rows + 1, columns + 1
    return True


def _geometry(node: _Node) -> Sequence[tuple[int, ...]]:
    """Return kernel, stride, padding and dilation of a convolution or pooling."""
    layer = node.layer
    padding = _padding(layer)
    if layer.op == "conv":
        kernel = np.shape(layer.weights["weight"])[2:]
        return kernel, pair(layer.attributes.get("stride", 1)), padding, _dilation(layer)
    kernel = pair(layer.attributes["kernel"])
    return kernel, pair(layer.attributes.get("stride", kernel)), padding, (1, 1)


def _dilation(layer: Layer) -> tuple[int, int]:
    return pair(layer.attributes.get("dilation", 1))


def _in_order(end: _Node) -> list[_Node]:
    """Return all nodes that a node depends on, each after its inputs."""
    order: dict[_Node, None] = {}
    waiting = [end]
    while waiting:
        node = waiting[-1]
        missing = [each for each in node.inputs if each not in order]
        if missing and node not in order:
            waiting += missing
        else:
            order[waiting.pop()] = None
    return list(order)


@dataclass(frozen=True)
class _Match:
    """An architecture with the structure of a list of layers.

    Attributes
    ----------
    architecture : Architecture
    layers : sequence of Layer
    partners : dict of _Node to _Node
    """

    architecture: Architecture
    layers: Sequence[Layer]
    partners: _Partners

    @cached_property
    def pairs(self) -> dict[str, str]:
        """The layers by the architecture's."""
        result: dict[str, str] = {}
        for ours, theirs in self.partners.items():
            result |= _pairs(ours, theirs)
        return result

    def distance(self) -> tuple[int, int, int]:
        """Return how much the layers differ from the published ones, if the structure is equal.

        The weights of another shape; the names that mean something else; and the batch
        normalisations that are missing or too many.
        """
        misfits = sum(
            np.shape(ours.layer.weights["weight"]) != np.shape(theirs.layer.weights["weight"])
            for ours, theirs in self.partners.items()
            if ours.layer.op in WEIGHTED
        )
        norms = [layer.op for layer in self.layers].count("batch_norm")
        missing = abs(norms - [row.op for row in self.architecture.rows].count("batch_norm"))
        return misfits, self.conflicts(), missing

    def conflicts(self) -> int:
        """Return how many of the architecture's names are those of other layers."""
        names = self.names()
        return sum(
            name in names and names[name] != layer.name
            for layer in self.layers
            for name in (layer.name, *layer.aliases)
        )

    def names(self) -> dict[str, str]:
        """Return the layers by the architecture's names."""
        return {
            name: self.pairs[row.name]
            for row in self.architecture.rows
            if row.name in self.pairs
            for name in (row.name, *row.aliases)
        }


def _matches(imported: Imported) -> list[_Match]:
    """Return the architectures with the structure of the layers."""
    layers, size = imported.layers, imported.size or DEFAULT_SIZE
    try:
        view = _View(complete(layers))
    except (LookupError, TypeError, ValueError):  # malformed: assembling them says how
        return []
    return [
        _Match(architecture, layers, partners)
        for architecture in map(find, CHECKSUMS.get(view.checksum, ()))
        for expected in _views_of(architecture)
        if (partners := _partners(expected, view, size)) is not None
    ]


def _views_of(architecture: Architecture) -> Iterator[_View]:
    """Yield the normal form of an architecture; two of one whose authors disagree on groups."""
    layers = complete(architecture.layers(architecture.zero_tensors()))
    yield _View(layers)
    disputed = {
        row.name
        for row in architecture.rows
        if row.op == "conv" and row.groups == ANY_GROUPS and row.units
    }
    if disputed:
        grouped = {"groups": 2}
        yield _View(
            [
                replace(each, attributes={**each.attributes, **grouped})
                if each.name in disputed
                else each
                for each in layers
            ]
        )
