"""Measure the co-attention answerer on unseen scenes: its answers, its blocks, its attention.

    python -m gradcam.vqa evaluate-coattention

``coattention-evaluation.json`` holds the figures of the shipped weights, as ``--scenes 1200
--questions 80 --out`` writes them. The scenes and questions are the first ones of `_evaluate`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gradcam._tables import titled
from gradcam.pictograms._commands import new_parser, report
from gradcam.vqa import model
from gradcam.vqa._blocks import Judged, Looks, looks
from gradcam.vqa._coattention import MAP
from gradcam.vqa._evaluation import Measured, measured, number, percent, tables

PAPER = (
    '"small changes in Grad-CAM for most adjacent layers and larger changes between layers that '
    'involve dimensionality reduction".'
)


class Evaluation(Measured):
    """All figures."""

    looks: Looks


def evaluate(scenes: int = 3000, questions: int = 200) -> Evaluation:
    """Measure the shipped answerer.

    Parameters
    ----------
    scenes : int
        For the answers, with up to four questions each.
    questions : int
        Whose maps are measured.
    """
    answerer = model("coattention")
    return {**measured(answerer, scenes, questions), "looks": looks(answerer, questions)}


def to_text(found: Evaluation) -> str:
    """Return the tables, with the paper's figures beside ours."""
    judged = found["looks"]
    return "\n\n".join([*tables(found), blocks_table(judged), attention_table(judged)])


def blocks_table(found: Looks) -> str:
    """Return Grad-CAM at each block: agreement with the block before, and with the masks."""
    columns = ["block", "map", "with the one before", "as 7 x 7", "mask", "pointing %"]
    rows = []
    for name, block in found["blocks"].items():
        alike = (block["with_previous"], block["coarse"])
        cells = ["" if each is None else number(each) for each in alike]
        rows.append([name, "x".join(map(str, block["shape"])), *cells, *_truth(block["truth"])])
    fine, coarse = found["steps"], found["coarse"]
    note = (
        f"With the one before: Spearman's correlation of Grad-CAM's maps at neighbouring blocks; "
        f"in the ResNet {number(fine['alike'])} where nothing changes, {number(fine['changed'])} "
        f"where size and channels change. As 7 x 7: both maps are averaged to 7 x 7 first, so that "
        f"the size alone makes no difference; {number(coarse['alike'])} and "
        f"{number(coarse['changed'])}. The paper says of its ResNet-200: {PAPER} Mask, pointing: "
        f"as above."
    )
    return titled("Grad-CAM of an answer at each block", columns, rows, note)


def attention_table(found: Looks) -> str:
    """Return how the attention agrees with the masks, beside Grad-CAM at the last block."""
    rows = [[f"Grad-CAM, {MAP}", *_truth(found["blocks"][MAP]["truth"])]]
    rows += [[name, *_truth(judged)] for name, judged in found["maps"].items()]
    note = "The network's own attention at each level of the question, and Grad-CAM of the answer."
    return titled("Attention and Grad-CAM", ["map", "mask", "pointing %"], rows, note)


def _truth(judged: Judged) -> list[str]:
    return [number(judged["mask"]), percent(judged["pointing"])]


def main(arguments: Sequence[str]) -> None:
    """Print the tables; write the figures as JSON."""
    parser = new_parser(
        "vqa evaluate-coattention",
        "Measure the co-attention answerer and its maps on unseen scenes.",
    )
    add = parser.add_argument
    add("--scenes", type=int, default=3000, help="scenes for the answers")
    add("--questions", type=int, default=200, help="questions whose maps are measured")
    add("--out", type=Path, help="write the figures as JSON")
    options = parser.parse_args(arguments)
    found = evaluate(options.scenes, options.questions)
    report(found, to_text(found), options.out)
