"""The figures of all networks that were trained, as they are stored."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from gradcam.pictograms.bias._measured import Measured
from gradcam.pictograms.bias._sets import Kind

_FILE = Path(__file__).parent / "evaluation.json"


@dataclass(frozen=True)
class Trained:
    """A network that was trained, and its figures.

    Attributes
    ----------
    kind : "biased" or "balanced"
        Of the set that it was trained on.
    number : int
        Of the set; also the seed of the training.
    measured : Measured
    """

    kind: Kind
    number: int
    measured: Measured


def to_json(looks: int, networks: Sequence[Trained]) -> str:
    """Return the text of ``evaluation.json``; `looks` are those of the test."""
    content = {"looks": looks, "networks": [asdict(each) for each in networks]}
    return json.dumps(content, indent=1) + "\n"


@lru_cache(maxsize=1)
def trained() -> tuple[Trained, ...]:
    """Return the figures of all ten networks that were trained.

    Five were trained on sets of each kind. Those of number 0 are the two that :func:`model`
    returns.
    """
    content: dict[str, Any] = json.loads(_FILE.read_text(encoding="utf-8"))
    return tuple(
        Trained(row["kind"], row["number"], Measured(**row["measured"]))
        for row in content["networks"]
    )


def mean(kind: Kind) -> Measured:
    """Return the means of the figures over all trainings of a kind."""
    rows = [asdict(each.measured) for each in trained() if each.kind == kind]
    return Measured(**{name: sum(row[name] for row in rows) / len(rows) for name in rows[0]})
