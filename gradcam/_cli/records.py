"""What the commands print about classes, predictions and explanations, as JSON has it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from gradcam._labels.classes import top_indices

if TYPE_CHECKING:
    from gradcam._engine.graph import Graph
    from gradcam._engine.tape import Tape
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


def predictions(tape: Tape, top: int) -> list[Prediction]:
    """Return the `top` most probable classes."""
    scores, probabilities = tape.scores[0], tape.probabilities[0]
    return [
        {
            **of_class(tape.labels[index]),
            "probability": float(probabilities[index]),
            "score": float(scores[index]),
        }
        for index in top_indices(scores, top)
    ]


def explanation(found: Explanation, target: Target, file: Path, npz: bool) -> dict[str, object]:
    """Return the record of a class's explanation that was written to `file`."""
    return {
        "method": found.method,
        "layer": found.layer,
        "class": of_class(target),
        "probability": found.probability,
        "score": found.score,
        "box": found.box(),
        "file": str(file),
        **({"npz": str(file.with_suffix(".npz"))} if npz else {}),
    }


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
