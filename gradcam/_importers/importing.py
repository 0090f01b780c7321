"""The importer of each kind of graph, imported when it is needed."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import cast

from gradcam._importers import stored
from gradcam._importers.imported import Choices, Imported
from gradcam._weights.tensors import Weights

IMPORTERS: dict[str, str] = {
    "aten.exported": "aten.exported",
    "aten.script": "aten.script",
    "caffe": "caffe",
    "keras": "keras.importing",
    "layers": "stored",
    "onnx": "onnx.importing",
    "transformers": "huggingface.importing",
}
"""The module of each kind of graph; it has a function ``imported(weights, choices)``."""


def kind_of(weights: Weights) -> str | None:
    """Return the kind of graph that a file has; None if an importer knows none in it."""
    kind = "layers" if stored.KEY in weights.metadata else None
    if weights.graph is not None:
        kind = weights.graph.kind
    return kind if kind in IMPORTERS else None


def import_graph(weights: Weights, choices: Choices) -> Imported:
    """Return the network that the graph of a file describes.

    Raises
    ------
    WeightsError
        If an operation is not supported, or the graph is not a classifier of pictures; the message
        names the node.
    """
    kind = kind_of(weights)
    assert kind is not None
    module = import_module(f"gradcam._importers.{IMPORTERS[kind]}")
    run = cast(Callable[[Weights, Choices], Imported], module.imported)
    return run(weights, choices)
