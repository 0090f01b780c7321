"""``gradcam inside activations``: what a layer computes for pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

import gradcam
from gradcam._cli import options, terminal
from gradcam._cli.inside import figure_file, inside, write
from gradcam._cli.many import Command, Finish, Record, Saved, single
from gradcam._cli.options import Choice
from gradcam._cli.outputs import check_writable

if TYPE_CHECKING:
    from rich.table import Table

    from gradcam._engine.tape import BatchTape, Tape
    from gradcam.inside import Activations
    from gradcam.inside._activations import Order, Scale


@dataclass(frozen=True)
class _Drawing:
    """What is drawn of each picture."""

    layer: str
    count: int
    order: Order
    scale: Scale
    out: Path

    def work(self, tape: BatchTape, names: Sequence[str]) -> list[Finish]:
        """Return what draws the layer for a single picture."""
        return [partial(self._save, single(tape), *names)]

    def _save(self, tape: Tape, name: str) -> Saved:
        found = gradcam.inside.activations(tape, self.layer)
        usual = [(f"count-{self.count}", self.count == 35), (self.order, self.order == "strongest")]
        usual += [(f"scale-{self.scale}", self.scale == "each")]
        parts = [part for part, is_usual in usual if not is_usual and found.values.ndim == 3]
        file = figure_file(self.out / f"{name}-activations", found.layer, *parts)
        write(found.plot(self.count, order=self.order, scale=self.scale), file)
        return {**_record(found), "file": str(file)}, [file]


@inside.command(short_help="What the units of a layer compute for pictures.")
@options.pictures
@options.choice
@options.any_layer
@click.option(
    "--count",
    type=click.IntRange(1, 1000),
    default=35,
    show_default=True,
    metavar="N",
    help="How many maps are drawn.",
)
@click.option(
    "--order",
    type=click.Choice(("strongest", "index")),
    default="strongest",
    show_default=True,
    help="Which maps come first: those with the largest values, or those with the smallest "
    "numbers.",
)
@click.option(
    "--scale",
    type=click.Choice(("each", "all")),
    default="each",
    show_default=True,
    help="Whether white is the largest value of each map, or of all.",
)
@options.out
@options.resume
@options.as_json
def activations(
    pictures: tuple[Path, ...],
    choice: Choice,
    layer: str | None,
    count: int,
    order: Order,
    scale: Scale,
    out: Path,
    resume: bool,
    as_json: bool,
) -> int:
    """Draw what the units of a layer compute for pictures: DIR/cat-activations-relu5_3.png.

    The maps of a layer are drawn beside the picture.  For a fully connected or pooled layer, the
    figure has bars of the largest values and a curve of all values.  A sentence says how many units
    are 0 everywhere.
    """
    check_writable([out / "activations.png"])
    network = choice.network()
    name = network.names(network.target_layer if layer is None else layer)[0]
    terminal.note(choice, network, pictures)
    job = _Drawing(name, count, order, scale, out)
    made_with = {"--layer": name, "--count": count, "--order": order, "--scale": scale}
    digest = {**choice.digest(), "command": "inside activations", **made_with}
    command = Command(
        *(network, job.work, _shown, as_json, 1, out, resume, digest),
        ends=["-activations-*.png"],
    )
    return command.over(pictures)


def _record(found: Activations) -> Record:
    """Return what JSON says of a layer."""
    strongest = found.strongest
    return {
        "layer": found.layer,
        "shape": list(found.values.shape),
        "silent": list(found.silent),
        "strongest": [
            {"unit": int(unit), "name": found.names[unit], "value": float(strongest[unit])}
            for unit in found.order()[:10]
        ],
        "finding": found.finding,
    }


def _shown(record: Record) -> Table:
    rows = terminal.table()
    rows.add_row(Path(record["file"]).name, record["finding"])
    return rows
