"""Caffe's networks as layers: which layers the class scores depend on, and where they end.

A caffemodel is often a snapshot of the net that was trained: it has layers that read labels,
losses, and classifiers that help the training alone. The scores are what the last loss reads, if
all losses read the same label; what they do not depend on is left out, whatever it is.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gradcam._importers import caffe_input
from gradcam._importers.builder import Builder
from gradcam._importers.caffe_input import Source
from gradcam._importers.caffe_layers import LAYERS, Call, title_of
from gradcam._importers.imported import DEFAULT_SIZE, Choices, Imported
from gradcam._importers.values import Value
from gradcam._pictures import presets
from gradcam._weights.graph import Graph, Node
from gradcam._weights.tensors import Weights, WeightsError, listed

_LOSSES = {
    "SoftmaxWithLoss": "",
    "SigmoidCrossEntropyLoss": "sigmoid",
    "HingeLoss": "",
    "InfogainLoss": "",
    "MultinomialLogisticLoss": "",
}
"""Losses of classifiers, whose first bottom holds the scores or probabilities; and the head that
makes probabilities of scores, if it is not the usual one."""

_ASIDE = ("Accuracy", "ArgMax", "HDF5Output", "Silence")
"""Types of layers that read scores, and whose own results are not scores."""

_SIZES = (DEFAULT_SIZE, *((side, side) for side in (227, 256, 299, 32, 28, 64)))
"""Sizes that are tried if the file does not say the input's."""

_VGG = re.compile(r"conv[1-5]_[1-4]|CAM_conv")
"""Names of convolutions in the networks of VGG's authors, and in CAM's."""

_MAX_LAYERS = 10_000
"""Layers that the scores may depend on, which bounds the time."""

Link = tuple[int, int]
"""A value: the number of the node that writes it, and of its output."""


@dataclass(frozen=True)
class _Linked:
    """A net whose values are told apart, also where a layer writes over its own input.

    Attributes
    ----------
    nodes : list of Node
    reads : list of tuple of Link
        What each node reads.
    last : dict of str to Link
        The last value of each name.
    """

    nodes: list[Node]
    reads: list[tuple[Link, ...]]
    last: dict[str, Link]

    def needed(self, value: Link) -> list[int]:
        """Return the numbers of the nodes that a value depends on, in order."""
        found, waiting = {value[0]}, [value[0]]
        while waiting:
            for number, _ in self.reads[waiting.pop()]:
                if number not in found:
                    found.add(number)
                    waiting.append(number)
        return sorted(found)

    def is_source(self, number: int) -> bool:
        return not self.reads[number]

    def losses(self) -> list[int]:
        """Return the numbers of the losses of classifiers."""
        return [i for i, node in enumerate(self.nodes) if node.op in _LOSSES and self.reads[i]]


def imported(weights: Weights, choices: Choices) -> Imported:
    """Return the network that a caffemodel describes.

    Raises
    ------
    WeightsError
        If a layer is not supported or malformed, the input or the output is not clear, or it is not
        a classifier; the message names the layer.
    """
    graph = weights.graph
    assert isinstance(graph, Graph)
    notes = []
    if not any(node.inputs for node in graph.nodes):
        notes.append("The file does not say which layer reads which: each reads the one before it.")
    linked = _link(_in_one_phase(graph))
    score, head = _score(linked, choices.output, notes)
    needed = linked.needed(score)
    if len(needed) > _MAX_LAYERS:
        raise WeightsError(f"{len(needed)} layers, expected at most {_MAX_LAYERS}")
    source = _source(linked, needed, notes)
    found = _built(weights, choices, linked, needed, score, head, source, notes)
    named = not source.mean_file and _is_vgg(linked, needed) and found.channels == 3
    own = [] if named else notes
    preset = caffe_input.preset_of(source, found.channels, found.size, own)
    if preset is None and named:
        preset = presets.find("caffe")
        notes.append(
            "The layers have the names of VGG's authors, so pictures are taken as theirs: BGR, "
            "minus the mean of ImageNet's pixels; preset= sets another way."
        )
    return replace(found, preset=preset, notes=tuple(notes))


# ------------------------------------------------------------------------ the graph


def _in_one_phase(graph: Graph) -> list[Node]:
    """Return the nodes, without those for training alone that have a counterpart for tests."""
    tests = [node for node in graph.nodes if node.attributes.get("only") == "TEST"]
    names = {node.name for node in tests}
    tops = {top for node in tests for top in node.outputs}
    return [
        node
        for node in graph.nodes
        if node.attributes.get("only") != "TRAIN"
        or not (node.name in names or tops.intersection(node.outputs))
    ]


def _link(nodes: list[Node]) -> _Linked:
    """Connect each bottom with the last layer before it that writes it.

    A copy (Split) is the value itself. What no layer writes is an input.
    """
    chain = not any(node.inputs for node in nodes)
    result = _Linked([], [], {})
    before: Link | None = None
    for node in nodes:
        is_source = not node.inputs and (not chain or node.op in caffe_input.SOURCES)
        if chain and not is_source:
            if before is None:
                before = _add(result, Node("Input", "data", (), ("data",)), ())
            reads: tuple[Link, ...] = (before,)
        else:
            for bottom in node.inputs:
                if bottom not in result.last:
                    _add(result, Node("Input", bottom, (), (bottom,)), ())
            reads = tuple(result.last[bottom] for bottom in node.inputs)
        if node.op == "Split" and len(reads) == 1:
            result.last.update(dict.fromkeys(node.outputs, reads[0]))
        elif node.op not in _ASIDE:
            written = _add(result, node, reads)
            before = before if is_source and before else written
    return result


def _add(linked: _Linked, node: Node, reads: tuple[Link, ...]) -> Link:
    number = len(linked.nodes)
    linked.nodes.append(node)
    linked.reads.append(reads)
    for i, top in enumerate(node.outputs):
        linked.last[top] = (number, i)
    return number, 0


def _score(linked: _Linked, output: str | None, notes: list[str]) -> tuple[Link, str]:
    """Return the value that holds the scores or probabilities, and the head to be added."""
    if output is not None:
        score = _chosen(linked, output)
        return score, _head_of(linked, score)
    losses = linked.losses()
    if losses:
        score = _of_last_loss(linked, losses, notes)
        return score, _head_of(linked, score)
    read = {value for reads in linked.reads for value in reads}
    ends = [
        (number, i)
        for number, node in enumerate(linked.nodes)
        if not linked.is_source(number)
        for i in range(max(1, len(node.outputs)))
        if (number, i) not in read
    ]
    if len(ends) != 1:
        names = listed(_name(linked, end) for end in ends)
        raise WeightsError(
            f"the net has {len(ends)} outputs ({names}): choose the one with the class scores, "
            f"with output="
        )
    return ends[0], ""


def _of_last_loss(linked: _Linked, losses: Sequence[int], notes: list[str]) -> Link:
    """Return the scores that the last loss reads, if the others are aids to train them.

    Raises
    ------
    WeightsError
        If the losses read different labels: the net has several tasks.
    """
    scores = tuple(dict.fromkeys(linked.reads[loss][0] for loss in losses))
    if len(scores) == 1:
        return scores[0]
    names = listed(_name(linked, score) for score in scores)
    labels = {linked.reads[loss][1:2] for loss in losses}
    if len(labels) > 1 or () in labels:
        raise WeightsError(
            f"the net has {len(losses)} losses of different labels, for the scores {names}: choose "
            f"one of these, with output="
        )
    notes.append(
        f"Losses of the same label read {names}: the scores are those of the last loss, "
        f"{_name(linked, scores[-1])}; output= chooses others."
    )
    return scores[-1]


def _head_of(linked: _Linked, score: Link) -> str:
    """Return the head that goes with the last loss that reads these scores."""
    ops = [linked.nodes[loss].op for loss in linked.losses() if linked.reads[loss][0] == score]
    return _LOSSES[ops[-1]] if ops else ""


def _chosen(linked: _Linked, output: str) -> Link:
    """Return the value of this name, or what the layer of this name writes; a loss reads it."""
    for number in reversed(range(len(linked.nodes))):
        node = linked.nodes[number]
        if node.name == output:
            is_loss = node.op in _LOSSES and linked.reads[number]
            return linked.reads[number][0] if is_loss else (number, 0)
    if output not in linked.last:
        raise WeightsError(f"output={output!r}: the net has no layer and no top of this name")
    return linked.last[output]


def _name(linked: _Linked, value: Link) -> str:
    outputs = linked.nodes[value[0]].outputs
    return outputs[value[1]] if outputs else linked.nodes[value[0]].name


def _source(linked: _Linked, needed: Iterable[int], notes: list[str]) -> Source:
    """Return the only input that the scores depend on.

    Raises
    ------
    WeightsError
        If there is none, or there are several.
    """
    sources = [number for number in needed if linked.is_source(number)]
    if len(sources) != 1:
        names = listed(linked.nodes[number].outputs[0] for number in sources) or "none"
        raise WeightsError(
            f"the class scores depend on {len(sources)} inputs ({names}), expected one"
        )
    return caffe_input.source_of(linked.nodes[sources[0]], notes)


def _is_vgg(linked: _Linked, needed: Sequence[int]) -> bool:
    """Whether it has the layers of VGG's authors, by name."""
    nodes = [linked.nodes[number] for number in needed]
    names = [node.name for node in nodes if node.op == "Convolution"]
    return (
        "conv1_1" in names
        and "conv5_1" in names
        and all(map(_VGG.fullmatch, names))
        and not any(node.op in ("BatchNorm", "LRN", "Scale", "Eltwise", "Power") for node in nodes)
    )


# ------------------------------------------------------------------------ the layers


def _built(
    weights: Weights,
    choices: Choices,
    linked: _Linked,
    needed: Sequence[int],
    score: Link,
    head: str,
    source: Source,
    notes: list[str],
) -> Imported:
    """Return the network for the size of the input that the caller or the file says, or that fits.

    Raises
    ------
    WeightsError
        If no size fits; the message is that of the first.
    """
    size = choices.size or source.size
    sizes = _SIZES if size is None else (size,)
    first: WeightsError | None = None
    for height, width in sizes:
        own: list[str] = []
        try:
            found = _network(weights, linked, needed, score, head, source, (height, width), own)
        except WeightsError as error:
            first = first or error
            continue
        if size is None:
            own.append(
                f"The file does not say the size of the input: {height} x {width} is taken, which "
                f"fits its layers; size= sets another."
            )
            found = replace(found, size=(height, width))
        notes.extend(own)
        return found
    assert first is not None
    if size is None and "not a classifier" not in str(first):
        raise WeightsError(
            f"{first} (with an input of {DEFAULT_SIZE[0]} x {DEFAULT_SIZE[1]}: the file does not "
            f"say the size of the input; give it, with size=)"
        )
    raise first


def _network(
    weights: Weights,
    linked: _Linked,
    needed: Sequence[int],
    score: Link,
    head: str,
    source: Source,
    size: tuple[int, int],
    notes: list[str],
) -> Imported:
    """Return the network for an input of this size."""
    nodes = [linked.nodes[number] for number in needed]
    channels = source.channels or _channels(nodes, weights)
    builder = Builder(channels, *size, batch=source.batch)
    values: dict[Link, Value] = {}
    for number, node in zip(needed, nodes, strict=True):
        if linked.is_source(number):
            values[number, 0] = builder.input
            continue
        reads = tuple(values[link] for link in linked.reads[number])
        call = Call(builder, node, reads, _blobs(node, weights), notes)
        try:
            results = LAYERS[node.op](call) if node.op in LAYERS else call.refuse()
            if len(results) < len(node.outputs):
                raise WeightsError(f"writes {len(node.outputs)} tops, expected {len(results)}")
        except ValueError as error:  # WeightsError, and the errors of values
            raise WeightsError(f"{title_of(node)} {error}") from None
        values.update(((number, i), value) for i, value in enumerate(results))
    value = values[score]
    if head:
        value = builder.elementwise(value, "prob", head)
    name = weights.metadata.get("name") or "network"
    return builder.finish(value, size=size, name=name, title="a Caffe model")


def _channels(nodes: Iterable[Node], weights: Weights) -> int:
    """Return the channels that the first convolution reads."""
    for node in nodes:
        if node.op == "Convolution":
            shape = weights.tensors[f"{node.name}.weight"].shape
            group = node.attributes.get("group", 1)
            if len(shape) == 4 and isinstance(group, int) and 0 < group <= math.prod(shape):
                return int(shape[1] * group)
            break
    raise WeightsError("the file does not say how many channels the input has")


def _blobs(node: Node, weights: Weights) -> tuple[NDArray[np.generic], ...]:
    found = []
    for role in ("weight", "bias", *map(str, range(2, 8))):
        blob = weights.tensors.get(f"{node.name}.{role}")
        if blob is None:
            break
        found.append(blob)
    return tuple(found)
