"""What is measured of every question answerer, and its tables, with the paper's figures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypedDict

from gradcam._files import file_digest
from gradcam._tables import titled
from gradcam.vqa import Answerer
from gradcam.vqa._accuracy import Figures, Right, accuracy, blind_answers
from gradcam.vqa._agreement import PATCH, STRIDE, Agreement, agreement

_METHODS = {
    "grad_cam": "Grad-CAM",
    "guided_backprop": "guided backprop",
    "random": "random map",
    "area": "area of the objects",
}
_PAPER = {"grad_cam": ".60 ± .038", "guided_backprop": ".42 ± .038"}
_PAPER_PEOPLE = {"grad_cam": ".136", "random": "0"}


class Measured(TypedDict):
    """Figures, and the SHA-256 of the weights that they belong to."""

    weights: str
    accuracy: dict[str, Right]
    agreement: dict[str, Agreement]


def measured(answerer: Answerer, scenes: int, questions: int) -> Measured:
    """Measure a shipped answerer.

    Parameters
    ----------
    answerer : Answerer
    scenes : int
        For the answers, with up to four questions each.
    questions : int
        Whose maps are compared with occlusion and with masks.
    """
    return Measured(
        weights=digest(answerer.kind),
        accuracy=accuracy(answerer, scenes, blind_answers()),
        agreement=agreement(answerer, questions),
    )


def digest(kind: str) -> str:
    """Return the SHA-256 of the shipped weights."""
    return file_digest(Path(__file__).parent / f"{kind}.safetensors", "sha256")


def tables(found: Measured) -> list[str]:
    """Return the tables of what :func:`measured` returns, with the paper's figures beside ours."""
    return [_accuracy_table(found["accuracy"]), _agreement_table(found["agreement"])]


def _accuracy_table(found: dict[str, Right]) -> str:
    columns = ["question", "right", "blind network", "most frequent", "n"]
    rows = [
        [
            kind,
            *(percent(each) for each in (row["right"], row["blind"], row["frequent"])),
            str(row["right"]["size"]),
        ]
        for kind, row in found.items()
    ]
    note = (
        "In brackets: 95 % intervals. Blind network: the same one, trained with a code of zero in "
        "the place of the picture's. Most frequent: the most frequent answer to the question in "
        "training."
    )
    return titled("Right answers about unseen scenes, %", columns, rows, note)


def _agreement_table(found: dict[str, Agreement]) -> str:
    columns = ["map", "occlusion", "paper", "mask", "paper", "pointing %", "energy %"]
    rows = []
    for name, title in _METHODS.items():
        row = found[name]
        is_map = name != "area"
        rows.append(
            [
                title,
                number(row["occlusion"]) if is_map else "",
                _PAPER.get(name, ""),
                number(row["mask"]) if is_map else "",
                _PAPER_PEOPLE.get(name, ""),
                percent(row["pointing"]),
                percent(row["energy"]),
            ]
        )
    size = found["grad_cam"]["mask"]["size"]
    note = (
        f"Means over {size} answers with 95 % intervals. Occlusion: Spearman's rank correlation "
        f"with the loss of the answer's score if a patch of {PATCH} x {PATCH} pixels of 112 x 112, "
        f"every {STRIDE} pixels, is hidden; the paper's interval is its standard error. Mask: "
        f"Spearman's correlation with the mask of the objects on which the true answer depends; "
        f"the paper's figures are the correlation with people's attention. Pointing: the maximum "
        f"lies on these objects. Energy: the share of the map on them."
    )
    return titled("What maps of answers agree with", columns, rows, note)


def percent(found: Figures) -> str:
    """Return a share and its interval, in percent."""
    return _interval(found, lambda value: f"{100 * value:.1f}")


def number(found: Figures) -> str:
    """Return a figure and its interval."""
    return _interval(found, lambda value: f"{value:.3f}")


def _interval(found: Figures, text: Callable[[float], str]) -> str:
    return f"{text(found['mean'])} ({text(found['low'])} to {text(found['high'])})"
