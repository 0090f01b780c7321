"""From an ONNX graph to a list of layers.

nodes -> order, of those that the scores depend on
      -> constants folded
      -> patterns: groups of nodes that mean one operation
      -> interpreter: each node adds its layers
      -> Builder.finish
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from gradcam._engine.layers import INPUT
from gradcam._importers.builder import Builder
from gradcam._importers.imported import SIZE_TAKEN, Choices, Imported
from gradcam._importers.onnx import attributes, ends, interpreter, refusals
from gradcam._importers.onnx.inputs import Picture, picture
from gradcam._importers.onnx.interpreter import Constants
from gradcam._importers.onnx.names import names
from gradcam._importers.onnx.operation import shown
from gradcam._importers.onnx.order import inputs_of, needed, producers
from gradcam._importers.onnx.patterns import fused
from gradcam._pictures.presets import PRESETS, Preset
from gradcam._weights.graph import Graph, Node
from gradcam._weights.tensors import Weights, WeightsError, listed

OPSETS = (7, 27)
"""The oldest and the newest version of ONNX's operations that are known."""


def imported(weights: Weights, choices: Choices) -> Imported:
    """Return the network that an ONNX graph describes.

    Raises
    ------
    WeightsError
        If an operation is not supported, or the graph is not a classifier of pictures; the message
        names the node.
    """
    try:
        return _imported(weights, choices)
    except WeightsError as error:
        raise WeightsError(f"an ONNX graph: {error}") from None


def _imported(weights: Weights, choices: Choices) -> Imported:
    graph = weights.graph
    assert isinstance(graph, Graph)
    opset = _opset(graph)
    known = Constants(weights.tensors, opset)
    makers = producers(graph.nodes, {*known.arrays, *graph.inputs})
    positions = {node: i for i, node in enumerate(graph.nodes)}
    end = ends.scores(graph, makers, choices.output)
    output = end.scores
    nodes = needed(output, makers, {*known.arrays, *graph.inputs}, positions)
    source = _input(graph, nodes)
    attributes.check(nodes)
    nodes = [node for node in nodes if not known.fold(node)]
    nodes, unfinished = fused(nodes, known.arrays, graph.inputs, output)
    refusals.check(nodes, known.arrays)
    seen = picture(graph, source, nodes, known.arrays, choices.size)
    builder = Builder(seen.channels, seen.height, seen.width, seen.layout, seen.batch)
    values = {source: builder.input}
    named = names(nodes, weights.tensors)
    try:
        interpreter.run(nodes, known, values, builder, named, _hint(seen))
    except WeightsError as error:
        raise WeightsError(" ".join((f"{error}.", *unfinished)) if unfinished else error) from None
    if output not in values:
        raise WeightsError(f"the output {shown(output)} does not depend on the picture")
    ends.check(end, values[output])
    size = (seen.height, seen.width) if seen.declared else None
    title = f"an ONNX graph of {graph.producer}" if graph.producer else "an ONNX graph"
    result = builder.finish(values[output], size=size, name="network", title=title)
    preset = _preset(result)
    return replace(
        result,
        preset=preset,
        library="torchvision" if graph.producer.startswith("pytorch") else "",
        external=graph.external,
        notes=(*end.notes, *unfinished, *_size_note(seen, builder.fixed), *_notes(graph, preset)),
    )


def _opset(graph: Graph) -> int:
    """Return the version of the operations; the newest one if the file does not say it."""
    oldest, newest = OPSETS
    if graph.opset > newest:
        raise WeightsError(
            f"the file uses opset {graph.opset}, newer than {newest}, the newest known here: "
            f"export the model with an older opset, or update gradcam"
        )
    if 0 < graph.opset < oldest:
        raise WeightsError(
            f"the file uses opset {graph.opset}; the oldest supported one is {oldest}: convert "
            f"the model with onnx.version_converter"
        )
    return graph.opset or newest


def _input(graph: Graph, nodes: list[Node]) -> str:
    """Return the name of the one input that the scores depend on."""
    found = inputs_of(nodes, graph.inputs)
    if len(found) != 1:
        names = f" ({listed(map(repr, found))})" if found else ""
        raise WeightsError(f"its scores depend on {len(found)} inputs{names}, expected one picture")
    return found[0]


def _hint(seen: Picture) -> str:
    """Return what a message about shapes says of the size of the input."""
    if seen.declared or seen.chosen:
        return ""
    return (
        f"the file leaves the size of its input open, and {seen.height} x {seen.width} was "
        f"taken: pass size= if it was made for another one"
    )


def _size_note(seen: Picture, fixed: bool) -> tuple[str, ...]:
    if not fixed or seen.declared or seen.chosen:
        return ()
    return (SIZE_TAKEN.format("The file", seen.height, seen.width),)


def _notes(graph: Graph, preset: Preset | None) -> tuple[str, ...]:
    """Return what is taken for granted beside the size."""
    notes = []
    if not graph.opset:
        notes.append(
            f"The file does not say the version of its operations; opset {OPSETS[1]} was taken."
        )
    if preset is not None:
        notes.append(
            "The first layer scales pixels of 0 to 255. The order of the colours is not stored: "
            "RGB was taken."
        )
    return tuple(notes)


_PIXEL_SCALES = (1 / 260, 1 / 50)
"""Factors of pixel values of 0 to 255: 1 / 255, 1 / 127.5, or these divided by a deviation."""


def _preset(imported: Imported) -> Preset | None:
    """Return the preset of a network that scales pixel values itself; None for any other."""
    readers = [layer for layer in imported.layers if INPUT in layer.inputs]
    if imported.channels != 3 or len(readers) != 1 or readers[0].op != "affine":
        return None
    scale = np.asarray(readers[0].weights["scale"])
    low, high = _PIXEL_SCALES
    return PRESETS["0..255"] if low < scale.min() and scale.max() < high else None
