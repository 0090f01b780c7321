"""Measure the first question answerer on unseen scenes: its answers, and what its maps show.

    python -m gradcam.vqa evaluate

``lstm-evaluation.json`` holds the figures of the shipped weights, as ``--out`` writes them. All
scenes are for tests: no scene, and no layout of one, occurs in training. Layouts of
four objects of one kind are few, and only 3 of these 96 are for tests: "4", which is mostly the
most frequent answer to "how many" in training, is rare there, so that answers without the picture
are right less often than by chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gradcam._tables import titled
from gradcam.pictograms._commands import new_parser, report
from gradcam.vqa import model
from gradcam.vqa._evaluation import Measured, measured, percent, tables
from gradcam.vqa._two_colours import TwoColours, two_colours


class Evaluation(Measured):
    """All figures."""

    two_colours: TwoColours


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
    return {
        **measured(answerer, scenes, questions),
        "two_colours": two_colours(answerer, objects),
    }


def to_text(found: Evaluation) -> str:
    """Return the tables, with the paper's figures beside ours."""
    return "\n\n".join([*tables(found), _two_colours_table(found["two_colours"])])


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


def main(arguments: Sequence[str]) -> None:
    """Print the tables; write the figures as JSON."""
    parser = new_parser(
        "vqa evaluate", "Measure the first question answerer and its maps on unseen scenes."
    )
    add = parser.add_argument
    add("--scenes", type=int, default=3000, help="scenes for the answers")
    add("--questions", type=int, default=200, help="questions whose maps are measured")
    add("--objects", type=int, default=100, help="objects of two colours")
    add("--out", type=Path, help="write the figures as JSON")
    options = parser.parse_args(arguments)
    found = evaluate(options.scenes, options.questions, options.objects)
    report(found, to_text(found), options.out)
