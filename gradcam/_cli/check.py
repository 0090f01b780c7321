"""``gradcam check``: is a map right?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gradcam._cli import options, records, terminal
from gradcam._cli.asked import check_layer, layers, with_options
from gradcam._cli.many import Command, Finish, Record, Saved, single
from gradcam._cli.options import Choice
from gradcam._cli.outputs import save_figure
from gradcam._engine.tape import BatchTape, Tape
from gradcam._registry import Method

if TYPE_CHECKING:
    from rich.table import Table

    from gradcam._results.explanation import Explanation
    from gradcam._results.report import Report


@dataclass(frozen=True)
class Checking:
    """What is checked of each picture.

    Attributes
    ----------
    classes : tuple of int
        The classes asked for; none: the most probable one.
    other : int or None
        The class whose map is compared.
    methods : tuple of Method
        With their options.
    given : mapping of str to str
        The options of methods, as they were written.
    layer : str or None
        Of methods that have one.
    """

    classes: tuple[int, ...]
    other: int | None
    methods: tuple[Method, ...]
    given: Mapping[str, str]
    layer: str | None
    steps: int
    seed: int
    out: Path
    dpi: int

    def options(self) -> dict[str, object]:
        """Return everything that the outputs depend on, besides the network."""
        return {
            "command": "check",
            "--class": self.classes,
            "--other": self.other,
            "--method": [method.name for method in self.methods],
            "--option": self.given,
            "--layer": self.layer,
            "--steps": self.steps,
            "--seed": self.seed,
            "--dpi": self.dpi,
        }

    def work(self, tape: BatchTape, names: Sequence[str]) -> list[Finish]:
        """Return what checks the maps of a single picture."""
        return [partial(self._check, single(tape), *names)]

    def _check(self, tape: Tape, name: str) -> Saved:
        made: list[Record] = []
        targets = list(self.classes) or [int(tape.scores[0].argmax())]
        asked = [tape.labels[index] for index in targets]
        slugs = records.slugs((target.label, target) for target in asked)
        for target in asked:
            for method in self.methods:
                layer = layers(self.layer) if method.takes_layer else None
                found = tape.explain(method, target, layer=layer)
                report = found.report(other=self.other, steps=self.steps, seed=self.seed)
                slug = slugs[target.label, target]
                part = f"{method.name}-" if len(self.methods) > 1 else ""
                file = self._write(report, f"{name}-check-{part}{slug}")
                made.append(_record(found, report, file))
        return {"checks": made}, [Path(each["file"]) for each in made]

    def _write(self, report: Report, name: str) -> Path:
        """Write the figure."""
        return save_figure(report.plot(), self.out / f"{name}.png", self.dpi)


def _record(found: Explanation, report: Report, file: Path) -> Record:
    """Return the record of one map."""
    return {
        "method": found.method,
        "layer": found.layer,
        "label": found.label,
        "class": None if found.target is None else records.of_class(found.target),
        "finding": report.finding,
        "passed": report.passed,
        "values": {each.name: _number(each.value) for each in report.checks},
        "limits": {each.name: _number(each.limit) for each in report.checks},
        "failed": [each.name for each in report.checks if not each.passed],
        "file": str(file),
    }


def _number(value: float) -> float | None:
    """Return a number as JSON has it; None for NaN."""
    return value if value == value else None


@click.command(short_help="Check whether maps are right: a figure and a sentence.")
@options.pictures
@options.choice
@options.classes
@options.methods("grad_cam")
@options.method_options
@options.layer
@click.option(
    "--other",
    metavar="NAME|INDEX|SYNSET",
    help="Another class, whose map should differ.  Default: the most probable other one, and one "
    "in the middle of the order of the scores.",
)
@click.option(
    "--steps",
    type=click.IntRange(1),
    default=50,
    show_default=True,
    metavar="N",
    help="Steps in which pixels are deleted.",
)
@options.seed("Seed of the random weights and random orders.")
@options.out
@options.dpi
@options.as_json
def check(
    pictures: tuple[Path, ...],
    choice: Choice,
    classes: tuple[str, ...],
    methods: tuple[str, ...],
    given: dict[str, str],
    layer: str | None,
    other: str | None,
    steps: int,
    seed: int,
    out: Path,
    dpi: int,
    as_json: bool,
) -> int:
    """Check whether maps are right: a figure for a slide and a sentence.

    \b
    random weights   does the map change if the network has random weights?
    edge detector    does the map differ from the edges of the picture?
    another class    does the map differ from the map of another class?
    deletion         does the score fall faster if pixels are deleted in the
                     map's order than in random orders?

    DIR/cat-check-tiger_cat.png is about the class tiger_cat in cat.jpg; with several --method, it
    is cat-check-saliency-tiger_cat.png.  A map that fails a check is a result, and not an error:
    the exit status is 0.
    """
    chosen = with_options(methods, given)
    network = choice.network()
    asked = tuple(records.asked(network.labels, classes))
    compared = None if other is None else records.asked(network.labels, [other])[0]
    if compared in asked:
        raise click.UsageError(f"--other {other}: it is the class that is checked.")
    check_layer(network, layer, methods)
    terminal.note(choice, network, pictures)
    job = Checking(asked, compared, chosen, given, layer, steps, seed, out, dpi)
    made_with = {**choice.digest(), **job.options()}
    command = Command(
        *(network, job.work, _show, as_json, 1, out, False, made_with),
        ends=["-check-*.png"],
    )
    return command.over(pictures)


def _show(record: Record) -> Table:
    """Return what was found, and the files."""
    rows = terminal.table()
    for each in record["checks"]:
        rows.add_row(Path(each["file"]).name, each["finding"])
    return rows
