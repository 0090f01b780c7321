"""What the commands print about classes, predictions and explanations, as JSON has it."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
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


def explanation(found: Explanation, files: Mapping[str, Path]) -> dict[str, object]:
    """Return the record of an explanation that was written to files, by their format.

    Its class is null if something else than a class was explained.
    """
    first, *others = files.items()
    return {
        "method": found.method,
        "layer": found.layer,
        "label": found.label,
        "class": None if found.target is None else of_class(found.target),
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
            "class": each["class"] and each["class"]["index"],
            "synset": each["class"] and each["class"]["synset"],
            "label": each["label"],
            **{name: each[name] for name in ("score", "probability", "method", "layer", "file")},
            **dict(zip(("x0", "y0", "x1", "y1"), each["box"] or (), strict=False)),
        }
        for each in record["explanations"]
    ]


def asked(labels: Labels, classes: Sequence[str]) -> list[int]:
    """Return the indices of the classes named on the command line, each once."""
    named = [int(name) if name.isdecimal() else name for name in classes]
    return list(dict.fromkeys(labels.find(name).index for name in named))


Explained = tuple[str, "Target | None"]
"""What was explained: its label, and the class if it is one."""


_LONGEST = 60
"""Characters of the part of a file name that says what was explained."""


def slug(label: str, limit: int = _LONGEST) -> str:
    """Return a label as a part of a file name; a long one is cut, and a digest of it all added."""
    name = re.sub(r"[^\w.-]+", "_", label.replace("'", "")).strip("_.")
    if len(name) <= limit:
        return name
    import hashlib  # slow to import

    digest = hashlib.sha256(os.fsencode(label)).hexdigest()[:6]
    return f"{name[: limit - 7].rstrip('_.-')}-{digest}"


def slugs(explained: Iterable[Explained], limit: int = _LONGEST) -> dict[Explained, str]:
    """Return a part of a file name for everything that was explained.

    Classes with one label get their index too.
    """
    names = {each: slug(each[0], limit) for each in explained}
    shared = Counter(name.casefold() for name in names.values())
    for number, (each, name) in enumerate(names.items()):
        if shared[name.casefold()] > 1 or not name:
            names[each] = f"{name}-{number if each[1] is None else each[1].index}"
    return names


def shapes(graph: Graph) -> dict[str, tuple[int, ...]]:
    """Return the shape of each layer's output for a picture of the usual size."""
    return graph.shapes(*graph.input_size)
