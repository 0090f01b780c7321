"""Measure the first question answerer on unseen scenes: its answers, and what its maps show.

    python -m gradcam.vqa evaluate

``lstm-evaluation.json`` holds the figures of the shipped weights, as ``--out`` writes them. All
scenes are for tests: no scene, and no layout of one, occurs in training. Layouts of
four objects of one kind are few, and only 3 of these 96 are for tests: "4", which is mostly the
most frequent answer to "how many" in training, is rare there, so that answers without the picture
are right less often than by chance.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypedDict

from gradcam._files import atomic_write
from gradcam._tables import titled
from gradcam.vqa import model
from gradcam.vqa._accuracy import Figures, Right, accuracy, blind_answers
from gradcam.vqa._agreement import PATCH, STRIDE, Agreement, agreement
from gradcam.vqa._two_colours import TwoColours, two_colours

WEIGHTS = Path(__file__).parent / "lstm.safetensors"

_METHODS = {
    "grad_cam": "Grad-CAM",
    "guided_backprop": "guided backprop",
    "random": "random map",
    "area": "area of the objects",
}
_PAPER = {"grad_cam": ".60 ± .038", "guided_backprop": ".42 ± .038"}
_PAPER_PEOPLE = {"grad_cam": ".136", "random": "0"}


class Evaluation(TypedDict):
    """All figures, and the SHA-256 of the weights that they belong to."""

    weights: str
    accuracy: dict[str, Right]
    agreement: dict[str, Agreement]
    two_colours: TwoColours


def digest(weights: Path = WEIGHTS) -> str:
    """Return the SHA-256 of a file of weights."""
    return hashlib.sha256(weights.read_bytes()).hexdigest()


def evaluate(scenes: int = 3000, questions: int = 200, objects: int = 100) -> Evaluation:
    """Measure the shipped answerer.

    Parameters
    ----------
    scenes : int
        For the answers, with up to four questions each.
    questions : int
        Whose maps are compared with occlusion and with masks.
    objects : int
        Of two colours.
    """
    answerer = model("lstm")
    return Evaluation(
        weights=digest(),
        accuracy=accuracy(answerer, scenes, blind_answers()),
        agreement=agreement(answerer, questions),
        two_colours=two_colours(answerer, objects),
    )


def to_text(found: Evaluation) -> str:
    """Return the tables, with the paper's figures beside ours."""
    return "\n\n".join(
        [
            accuracy_table(found["accuracy"]),
            agreement_table(found["agreement"]),
            _two_colours_table(found["two_colours"]),
        ]
    )


def accuracy_table(found: dict[str, Right]) -> str:
    """Return how often answers are right."""
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


def agreement_table(found: dict[str, Agreement]) -> str:
    """Return what maps agree with, the paper's figures beside ours."""
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


def _two_colours_table(found: TwoColours) -> str:
    rows = [
        ["the upper half's colour", percent(found["upper"])],
        ["both colours", percent(found["both"])],
        ["the lower half's colour", percent(found["lower"])],
        ["one colour: on its own half", percent(found["own"])],
        ["(right answers)", percent(found["right"])],
    ]
    note = (
        f"Grad-CAM's values on {found['own']['size']} large objects whose upper half has one "
        f"colour and whose lower half has another one: the share on the upper half when this "
        f'answer to "what colour is ...?" is explained. The paper shows this for one fire '
        f"hydrant."
    )
    return titled("Objects of two colours", ["answer", "on the upper half %"], rows, note)


def percent(found: Figures) -> str:
    """Return a share and its interval, in percent."""
    return _interval(found, lambda value: f"{100 * value:.1f}")


def number(found: Figures) -> str:
    """Return a figure and its interval."""
    return _interval(found, lambda value: f"{value:.3f}")


def _interval(found: Figures, text: Callable[[float], str]) -> str:
    return f"{text(found['mean'])} ({text(found['low'])} to {text(found['high'])})"


def main(arguments: Sequence[str]) -> None:
    """Print the tables; write the figures as JSON."""
    parser = argparse.ArgumentParser(
        prog="python -m gradcam.vqa evaluate",
        description="Measure the first question answerer and its maps on unseen scenes.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--scenes", type=int, default=3000, help="scenes for the answers")
    add("--questions", type=int, default=200, help="questions whose maps are measured")
    add("--objects", type=int, default=100, help="objects of two colours")
    add("--out", type=Path, help="write the figures as JSON")
    options = parser.parse_args(arguments)
    found = evaluate(options.scenes, options.questions, options.objects)
    print(to_text(found))
    if options.out is not None:
        with atomic_write(options.out) as file:
            file.write(json.dumps(found, indent=1).encode() + b"\n")
