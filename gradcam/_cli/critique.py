"""``gradcam critique``: the figures of :mod:`gradcam.critique`."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypedDict

import click
from click.core import ParameterSource

import gradcam
from gradcam._cli import options, records, terminal
from gradcam._cli.app import NOTHING_DONE
from gradcam._cli.inputs import find
from gradcam._cli.many import Command, Finish, Record, Saved, single
from gradcam._cli.options import Choice
from gradcam._cli.outputs import check_not_replaced, save_figure
from gradcam._engine.tape import BatchTape, Tape
from gradcam._labels.classes import top_indices

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.table import Table

    from gradcam._engine.network import Network
    from gradcam._labels.classes import Target

ABOUT_A_CLASS = (
    *("score_and_probability", "norm_along_ascent", "second_order", "deconvnet_and_backprop"),
)
"""Functions of :mod:`gradcam.critique` of a tape and a class."""

CROSS, CONFIDENCE = "cross_saliency", "norm_against_confidence"
QUESTIONS = (*ABOUT_A_CLASS, CROSS, CONFIDENCE)

_MOST = 6
"""Pictures and classes in one figure of cross saliency."""

_WITH_ONE = 3
"""Classes in a figure of one picture if one class is named."""


class Finding(TypedDict):
    """What was found; `label` is the class, if it is about one."""

    question: str
    label: str | None
    finding: str
    file: str


class _Result(Protocol):
    """A result of :mod:`gradcam.critique`."""

    @property
    def finding(self) -> str: ...
    def plot(self) -> Figure: ...


@dataclass(frozen=True)
class Asking:
    """The questions of a command about each picture.

    Attributes
    ----------
    questions : tuple of str
        Of :data:`QUESTIONS`.
    classes : tuple of int
        The classes asked for; none: the most probable one.
    """

    questions: tuple[str, ...]
    classes: tuple[int, ...]
    out: Path
    dpi: int

    def options(self) -> dict[str, object]:
        """Return everything that the outputs depend on, besides the network."""
        return {
            "command": "critique",
            "--question": self.questions,
            "--class": self.classes,
            "--dpi": self.dpi,
        }

    def work(self, tape: BatchTape, names: Sequence[str]) -> list[Finish]:
        """Return what answers the questions about a single picture."""
        return [partial(self._save, single(tape), *names)]

    def _save(self, tape: Tape, name: str) -> Saved:
        made = []
        asked = [tape.labels[index] for index in self.classes or (int(tape.scores[0].argmax()),)]
        slugs = records.slugs((target.label, target) for target in asked)
        for target in asked:
            slug = slugs[target.label, target]
            for question in (each for each in ABOUT_A_CLASS if each in self.questions):
                ask: Callable[[Tape, int], _Result] = getattr(gradcam.critique, question)
                found = ask(tape, target.index)
                made.append(self.write(found, question, f"{name}-{question}-{slug}", target.label))
        if CROSS in self.questions:
            crossed = gradcam.critique.cross_saliency(tape, self._crossed(tape))
            made.append(self.write(crossed, CROSS, f"{name}-{CROSS}"))
        return {"findings": made}, [Path(each["file"]) for each in made]

    def _crossed(self, tape: Tape) -> list[int] | None:
        """Return the classes of cross saliency; one alone is beside the most probable others."""
        if len(self.classes) == 1:
            top = top_indices(tape.scores[0], _WITH_ONE)
            return list(dict.fromkeys([*self.classes, *top]))[:_WITH_ONE]
        return list(self.classes) or None

    def write(self, result: _Result, question: str, name: str, label: str | None = None) -> Finding:
        """Write the figure of a result; return what was found."""
        file = save_figure(result.plot(), self.out / f"{name}.png", self.dpi)
        return {"question": question, "label": label, "finding": result.finding, "file": str(file)}

    def over_all(self, network: Network, pictures: Sequence[Path]) -> list[Finding]:
        """Answer the questions about several pictures."""
        made = []
        if CONFIDENCE in self.questions:
            asked = [network.labels[index] for index in self.classes]
            slugs = records.slugs((target.label, target) for target in asked)
            every: list[Target | None] = [*asked] or [None]
            for one in every:
                norms = gradcam.critique.norm_against_confidence(
                    network, pictures, one, on_error="skip"
                )
                label = None if one is None or len(asked) == 1 else one.label
                slug = "" if one is None or label is None else f"-{slugs[one.label, one]}"
                made.append(self.write(norms, CONFIDENCE, f"{CONFIDENCE}{slug}", label))
        if CROSS in self.questions:
            _, tape = next(iter(network.stream(pictures, _MOST, on_error="skip")))
            crossed = gradcam.critique.cross_saliency(tape, list(self.classes) or None)
            made.append(self.write(crossed, CROSS, CROSS))
        return made


@click.command(short_help="Ask critical questions of saliency: figures for slides.")
@options.pictures
@options.choice
@options.classes
@click.option(
    "--question",
    "-q",
    "questions",
    type=click.Choice(QUESTIONS),
    multiple=True,
    default=QUESTIONS,
    show_default=False,
    help="A question to answer; may be repeated.  Default: all of them.",
)
@options.out
@options.dpi
@options.as_json
def critique(
    pictures: tuple[Path, ...],
    choice: Choice,
    classes: tuple[str, ...],
    questions: tuple[str, ...],
    out: Path,
    dpi: int,
    as_json: bool,
) -> int:
    """Ask critical questions of saliency, each answered by a figure for a slide.

    \b
    score_and_probability    explain the probability in place of the score
    norm_along_ascent        gradients while the confidence rises
    second_order             is the first derivative enough?
    deconvnet_and_backprop   are they equal, but for the ReLU?
    cross_saliency           the saliency of one class on the picture of another
    norm_against_confidence  gradients of many pictures

    DIR/cat-second_order-tiger_cat.png is about the class tiger_cat in cat.jpg.  The last two are
    also about all pictures together: DIR/cross_saliency.png, of the first six pictures, and
    DIR/norm_against_confidence.png; with several --class, one of these for each class.
    """
    files = [path for path in find(pictures, out).names if not path.is_dir()]
    source = click.get_current_context().get_parameter_source("questions")
    if CONFIDENCE in questions and source is not ParameterSource.DEFAULT and len(files) == 1:
        raise click.UsageError(f"-q {CONFIDENCE} is about several pictures: name more than one.")
    check_not_replaced([out / f"{each}*.png" for each in (CROSS, CONFIDENCE)], files)
    network = choice.network()
    asked = tuple(records.asked(network.labels, classes))
    if CROSS in questions and len(asked) > _MOST:
        raise click.UsageError(
            f"--class: a figure of {CROSS} holds {_MOST} classes, not {len(asked)}: name fewer, or "
            f"choose other questions with -q."
        )
    terminal.note(choice, network, pictures)
    job = Asking(questions, asked, out, dpi)
    made_with = {**choice.digest(), **job.options()}
    read: list[str] = []

    def work(tape: BatchTape, names: Sequence[str]) -> list[Finish]:
        read.extend(names)
        return job.work(tape, names)

    command = Command(
        *(network, work, _show, as_json, 1, out, False, made_with),
        ends=[f"-{question}*.png" for question in questions],
    )
    status = command.over(pictures)
    if status != NOTHING_DONE and len(read) > 1:
        record = {"pictures": len(read), "findings": job.over_all(network, files)}
        if as_json:
            click.echo(json.dumps(record))
        else:
            terminal.show(terminal.console(), "All pictures", style="bold")
            terminal.show(terminal.console(), _show(record))
    return status


def _show(record: Record) -> Table:
    """Return what was found, and the files."""
    rows = terminal.table()
    for each in record["findings"]:
        rows.add_row(Path(each["file"]).name, each["finding"])
    return rows
