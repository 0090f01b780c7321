"""``gradcam ask``: questions about pictures, answered and explained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

import gradcam
from gradcam._cli import asked as asking
from gradcam._cli import options, records, terminal
from gradcam._cli.many import Command, Finish, Record, Saved, single
from gradcam._cli.maps import Format, Maps, maps_of
from gradcam._cli.outputs import save_figure
from gradcam._cli.question import split
from gradcam._files import sampled_digest
from gradcam._text import percent

if TYPE_CHECKING:
    from rich.table import Table

    from gradcam._engine.tape import BatchTape, Tape
    from gradcam._results.explanation import Explanation
    from gradcam._results.objectives import On
    from gradcam.vqa import Answerer, Reply
    from gradcam.vqa._answerer import Kind

_KINDS: tuple[Kind, ...] = ("lstm", "coattention")

_DPI = 120
"""Pixels per inch of a figure."""

_LONGEST_NAME, _LONGEST_ANSWER = 60, 30
"""Characters of a file name's part for a question with its answer, and for the answer alone."""


@dataclass(frozen=True)
class Asking:
    """What is asked about each picture, and how the maps are saved.

    Attributes
    ----------
    answers : tuple of str
        Those that are explained; none: the most probable one.
    maps : Maps
    figure : bool
        Whether a figure of all is drawn.
    """

    answerer: Answerer
    question: str
    answers: tuple[str, ...]
    on: On
    top: int
    maps: Maps
    figure: bool

    def options(self) -> dict[str, object]:
        """Return everything that the outputs depend on, besides the network."""
        return {
            "command": "ask",
            "question": self.question,
            "--answer": self.answers,
            "--on": self.on,
            "--top": self.top,
            **self.maps.options(),
            "--figure": self.figure,
        }

    def work(self, tape: BatchTape, names: Sequence[str]) -> list[Finish]:
        """Ask about a batch; return what saves each picture's maps."""
        replies = self.answerer.ask(tape, self.question)
        targets = [
            [reply.objective(each, on=self.on) for each in self.answers or (reply.text,)]
            for reply in replies
        ]
        found = self.maps.explain(tape, targets)
        alone = single(tape) if self.figure else None
        return [
            partial(self._save, *each, alone) for each in zip(names, replies, found, strict=True)
        ]

    def _save(
        self, name: str, reply: Reply, explanations: Sequence[Explanation], tape: Tape | None
    ) -> Saved:
        """Save the maps of one picture; with its tape, the figure too."""
        answers = self.answers or (reply.text,)
        texts = [answers[n % len(answers)] for n in range(len(explanations))]
        slugs = _slugs(reply.question.text, answers)
        made, written = self.maps.save(name, explanations, [slugs[text] for text in texts])
        explained = [{"answer": text, **each} for text, each in zip(texts, made, strict=True)]
        record = {**self._record(reply), "explanations": explained}
        if tape is not None:
            file = self.maps.out / f"{name}-ask-{records.slug(reply.question.text)}.png"
            file = save_figure(reply.plot(tape, self.answers or None), file, _DPI)
            record["figure"] = str(file)
            written.append(file)
        return record, written

    def _record(self, reply: Reply) -> Record:
        scores = dict(zip(self.answerer.answers, reply.scores.tolist(), strict=True))
        return {
            "question": reply.question.text,
            "answer": reply.text,
            "probability": reply.probability,
            "answers": [
                {"answer": text, "probability": share, "score": scores[text]}
                for text, share in reply.top(self.top)
            ],
            **({"notes": list(reply.notes)} if reply.notes else {}),
        }


@click.command(short_help="Ask a question about pictures; explain the answer.")
@click.argument("arguments", nargs=-1, metavar="PICTURE... QUESTION")
@click.option(
    "--answer",
    "answers",
    multiple=True,
    metavar="ANSWER",
    help="Explain this answer, also an improbable one; may be repeated.  Default: the most "
    "probable one.",
)
@click.option(
    "--model",
    type=click.Choice(_KINDS),
    help="The network: an LSTM for the question and a VGG for the picture, or co-attention over "
    "a small ResNet on this VGG's map.  Default: lstm.",
)
@click.option(
    "--weights",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="A file of another answerer, as gradcam.vqa.Answerer.save writes it.",
)
@click.option(
    "--top",
    "-k",
    type=click.IntRange(1),
    default=5,
    show_default=True,
    metavar="K",
    help="List the K most probable answers.",
)
@options.methods("grad_cam")
@options.method_options
@options.layer
@options.on
@click.option(
    "--figure",
    is_flag=True,
    help="Also draw one figure of all: the picture, the most probable answers, and Grad-CAM and "
    "Guided Grad-CAM of each answer that is explained.",
)
@options.out
@options.resume
@options.formats
@options.cmap("inferno")
@options.caption
@options.batch
@options.as_json
def ask(
    arguments: tuple[str, ...],
    answers: tuple[str, ...],
    model: Kind | None,
    weights: Path | None,
    top: int,
    methods: tuple[str, ...],
    given: dict[str, str],
    layer: str | None,
    on: On,
    figure: bool,
    out: Path,
    resume: bool,
    formats: tuple[Format, ...],
    cmap: str,
    caption: bool,
    batch: int,
    as_json: bool,
) -> int:
    """Ask a question about pictures (or folders of pictures), and explain the answer.

    \b
    gradcam scenes scenes                       pictures of the kind that the networks know
    gradcam ask scenes/scene-0.png "what colour is the cat?"
    gradcam ask scenes/scene-0.png "what colour is the cat?" --answer red --figure

    DIR/scene-0-grad_cam-what_colour_is_the_cat_red.png is Grad-CAM of the answer red, and
    DIR/scene-0-ask-what_colour_is_the_cat.png the figure.  The networks know drawings of 16 kinds
    of objects in six colours, as gradcam scenes makes them, and questions such as "is there a red
    dog?", "how many mushrooms are there?" and "what is left of the pizza?".
    """
    pictures, question = split(arguments)
    maps = maps_of(pictures, methods, given, layer, out, formats, cmap, caption)
    if model is not None and weights is not None:
        raise click.UsageError("give either --model or --weights, not both.")
    answerer = gradcam.vqa.model(model or "lstm") if weights is None else gradcam.vqa.load(weights)
    known = tuple(dict.fromkeys(answerer.find_answer(each) for each in answers))
    if figure and len(known) > gradcam.vqa.MOST_SHOWN:
        raise click.UsageError(
            f"--figure shows at most {gradcam.vqa.MOST_SHOWN} answers, not {len(known)}."
        )
    note = answerer.read(question).note
    if note:
        terminal.echo(f"Warning: {note}", err=True)
    asking.check_layer(answerer.network, layer, methods)
    terminal.note_about(answerer.network, pictures)
    job = Asking(answerer, question, known, on, top, maps, figure)
    command = Command(
        *(answerer.network, job.work, _show, as_json, 1 if figure else batch, out, resume),
        {**_digest(answerer, weights), **job.options()},
        silent=(gradcam.vqa.UnknownWordWarning,),
        ends=[*maps.ends, "-ask-*.png"],
    )
    return command.over(pictures)


def _slugs(question: str, answers: Sequence[str]) -> dict[str, str]:
    """Return a part of a file name for each answer: the question, shortened, and all of it."""
    named = records.slugs(((answer, None) for answer in answers), _LONGEST_ANSWER)
    return {
        answer: f"{records.slug(question, _LONGEST_NAME - 1 - len(each))}_{each}"
        for (answer, _), each in named.items()
    }


def _digest(answerer: Answerer, weights: Path | None) -> dict[str, object]:
    """Return what identifies the network."""
    content = None if weights is None else sampled_digest(weights)
    return {
        "gradcam": gradcam.__version__,
        "--model": answerer.kind if weights is None else None,
        "content of --weights": content,
    }


def _show(record: Record) -> Table:
    """Return the answers that were explained, and others that are among the most probable."""
    lines = [
        (each["answer"], percent(each["probability"]), Path(each["file"]).name)
        for each in record["explanations"]
    ]
    explained = {each["answer"] for each in record["explanations"]}
    others = [
        (each["answer"], each["probability"])
        for each in record["answers"]
        if each["answer"] not in explained
    ]
    lines += terminal.probable(others)
    if "figure" in record:
        lines.append(("figure", "", Path(record["figure"]).name))
    return terminal.shares(lines)
