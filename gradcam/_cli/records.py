"""What the commands print about classes, predictions and explanations, as JSON has it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from gradcam._labels.classes import top_indices

if TYPE_CHECKING:
    from gradcam._cli.table import Columns, Row
    from gradcam._engine.graph import Graph
    from gradcam._engine.tape import BatchTape
    from gradcam._labels.classes import Labels, Target
    from gradcam._results.explanation import Explanation


class ClassRecord(TypedDict):
    """A class."""

    index: int
    synset: str
    label: str


class Prediction(ClassRecord):
    """A class with its probability and its score."""

    probability: float
    score: float


def of_class(target: Target) -> ClassRecord:
    """Return the record of a class."""
    return {"index": target.index, "synset": target.synset, "label": target.label}


def predictions(tape: BatchTape, number: int, top: int) -> list[Prediction]:
    """Return the `top` most probable classes of one of the tape's pictures."""
    scores, probabilities = tape.scores[number], tape.probabilities[number]
    return [
        {
            **of_class(tape.labels[index]),
            "probability": float(probabilities[index]),
            "score": float(scores[index]),
        }
        for index in top_indices(scores, top)
    ]


def explanation(found: Explanation, target: Target, files: Mapping[str, Path]) -> dict[str, object]:
    """Return the record of a class's explanation that was written to files, by their format."""
    first, *others = files.items()
    return {
        "method": found.method,
        "layer": found.layer,
        "class": of_class(target),
        "probability": found.probability,
        "score": found.score,
        "box": found.box(),
        "file": str(first[1]),
        **{kind: str(file) for kind, file in others},
        **({"notes": list(found.notes)} if found.notes else {}),
    }


PREDICTION_COLUMNS: Columns = {
    "picture": str,
    "rank": int,
    "class": int,
    "synset": str,
    "label": str,
    "score": float,
    "probability": float,
}

EXPLANATION_COLUMNS: Columns = {
    "picture": str,
    "class": int,
    "synset": str,
    "label": str,
    "score": float,
    "probability": float,
    "method": str,
    "layer": str,
    "x0": int,
    "y0": int,
    "x1": int,
    "y1": int,
    "file": str,
}


def prediction_rows(record: Mapping[str, Any]) -> list[Row]:
    """Return the rows of a table for one picture's predictions."""
    return [
        {"picture": record["picture"], "rank": rank, "class": each["index"]}
        | {name: each[name] for name in ("synset", "label", "score", "probability")}
        for rank, each in enumerate(record["predictions"], 1)
    ]


def explanation_rows(record: Mapping[str, Any]) -> list[Row]:
    """Return the rows of a table for one picture's explanations."""
    return [
        {
            "picture": record["picture"],
            "class": each["class"]["index"],
            "synset": each["class"]["synset"],
            "label": each["class"]["label"],
            **{name: each[name] for name in ("score", "probability", "method", "layer", "file")},
            **dict(zip(("x0", "y0", "x1", "y1"), each["box"] or (), strict=False)),
        }
        for each in record["explanations"]
    ]


def asked(labels: Labels, classes: Sequence[str]) -> list[int]:
    """Return the indices of the classes named on the command line, each once."""
    named = [int(name) if name.isdecimal() else name for name in classes]
    return list(dict.fromkeys(labels.find(name).index for name in named))


def slugs(labels: Labels, targets: Sequence[int]) -> dict[int, str]:
    """Return a part of a file name for each class; classes with one label get their index too."""
    names = {
        index: re.sub(r"[^\w.-]+", "_", labels[index].label[:200].replace("'", ""))[:60].strip("_.")
        for index in targets
    }
    shared = Counter(name.casefold() for name in names.values())
    return {
        index: f"{name}-{index}" if shared[name.casefold()] > 1 or not name else name
        for index, name in names.items()
    }


def shapes(graph: Graph) -> dict[str, tuple[int, ...]]:
    """Return the shape of each layer's output for a picture that the preset prepared."""
    assert graph.preset is not None  # every network that the command line loads has one
    return graph.shapes(graph.preset.size, graph.preset.size)
