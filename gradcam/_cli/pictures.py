"""``gradcam predict``, ``explain`` and ``compare``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gradcam._cli import asked as asking
from gradcam._cli import options, records, terminal
from gradcam._cli.many import Command, Finish, Record, Saved
from gradcam._cli.maps import Format, maps_of
from gradcam._cli.options import Choice
from gradcam._cli.table import Columns, table_at
from gradcam._cli.table import Table as OpenTable
from gradcam._cli.work import Comparing, Explaining, Scale
from gradcam._compare import COMPARED
from gradcam._text import percent

if TYPE_CHECKING:
    from rich.table import Table

    from gradcam._engine.tape import BatchTape
    from gradcam._results.objectives import On


@click.command(short_help="List the most probable classes of pictures.")
@options.pictures
@options.choice
@click.option("--top", "-k", type=click.IntRange(1), default=5, show_default=True, metavar="K")
@options.batch
@options.table
@options.as_json
def predict(
    pictures: tuple[Path, ...],
    choice: Choice,
    top: int,
    batch: int,
    table_file: Path | None,
    as_json: bool,
) -> int:
    """List the most probable classes of pictures (or folders of pictures)."""
    network = choice.network()
    terminal.note(choice, network, pictures)

    def work(tape: BatchTape, names: Sequence[str]) -> list[Finish]:
        found = [records.predictions(tape, n, top) for n in range(len(tape))]
        return [partial(_return, {"predictions": each}) for each in found]

    def show(record: Record) -> Table:
        rows = terminal.table()
        for each in record["predictions"]:
            share = each["probability"]
            rows.add_row(each["label"], each["synset"], percent(share), terminal.bar(share))
        return rows

    command = Command(network, work, show, as_json, batch, rows=records.prediction_rows)
    return command.over(pictures, _table(table_file, records.PREDICTION_COLUMNS))


_LISTED = 3
"""How many of the most probable classes are listed besides those that are explained."""


def _return(record: Record) -> Saved:
    return record, []


@click.command(short_help="Explain classes of pictures, each as a picture file.")
@options.pictures
@options.choice
@options.classes
@options.units
@options.against
@click.option(
    "--top",
    "-k",
    type=click.IntRange(1),
    metavar="K",
    help="Explain the K most probable classes.  Default: 1, or none if --class or --unit is given.",
)
@options.methods("grad_cam")
@options.method_options
@options.layer
@options.on
@options.out
@options.resume
@options.formats
@options.cmap("inferno")
@options.caption
@options.batch
@options.table
@options.as_json
def explain(
    pictures: tuple[Path, ...],
    choice: Choice,
    classes: tuple[str, ...],
    units: tuple[str, ...],
    against: str | None,
    top: int | None,
    methods: tuple[str, ...],
    given: dict[str, str],
    layer: str | None,
    on: On,
    out: Path,
    resume: bool,
    formats: tuple[Format, ...],
    cmap: str,
    caption: bool,
    batch: int,
    table_file: Path | None,
    as_json: bool,
) -> int:
    """Explain classes of pictures (or folders of pictures), each as a picture file.

    DIR/cat-grad_cam-tiger_cat.png is Grad-CAM of the class tiger_cat in cat.jpg.  Pictures in
    folders of a folder keep their place: DIR/sub/cat-grad_cam-tiger_cat.png.  If two pictures have
    the same name, the second becomes cat-2.
    """
    maps = maps_of(pictures, methods, given, layer, out, formats, cmap, caption)
    network = choice.network()
    asking.check_layer(network, layer, methods)
    asked = asking.read(network, classes, units, against, on)
    terminal.note(choice, network, pictures)
    count = top if top is not None else 0 if asked else 1
    job = Explaining(asked, count, maps)
    made_with = {**choice.digest(), **job.options()}
    command = Command(
        *(network, job.work, _show_explanations, as_json, batch, out, resume, made_with),
        rows=records.explanation_rows,
        ends=maps.ends,
    )
    return command.over(pictures, _table(table_file, records.EXPLANATION_COLUMNS))


def _show_explanations(record: Record) -> Table:
    """Return the classes that were explained, and others that are among the most probable."""
    lines = [
        (each["label"], _certainty(each), Path(each["file"]).name)
        for each in record["explanations"]
    ]
    classes = [each["class"] for each in record["explanations"]]
    explained = {each["index"] for each in classes if each is not None}
    others = [
        (each["label"], each["probability"])
        for each in record["predictions"][:_LISTED]
        if each["index"] not in explained
    ]
    return terminal.shares([*lines, *terminal.probable(others)])


def _certainty(explanation: Record) -> str:
    """Return the probability of a class, the value of another objective."""
    probability = explanation["probability"]
    return f"{explanation['score']:.3g}" if probability is None else percent(probability)


@click.command(short_help="Draw all methods side by side, as one figure.")
@options.pictures
@options.choice
@options.classes
@options.units
@options.against
@click.option(
    "--top",
    "-k",
    type=click.IntRange(1),
    default=3,
    show_default=True,
    metavar="K",
    help="A row for each of the K most probable classes, if no --class or --unit is given.",
)
@options.methods(*COMPARED)
@options.method_options
@options.layer
@click.option(
    "--layers",
    metavar="LAYERS",
    help="Several layers, separated by commas: a column for each of them, for each method for "
    "which a layer can be chosen.",
)
@options.on
@options.out
@options.resume
@options.cmap("inferno")
@click.option(
    "--scale",
    type=click.Choice(("column", "map")),
    default="column",
    show_default=True,
    help="What the maps share their maximum with: all of a column, so that classes can be "
    "compared, or none.",
)
@options.dpi
@options.as_json
def compare(
    pictures: tuple[Path, ...],
    choice: Choice,
    classes: tuple[str, ...],
    units: tuple[str, ...],
    against: str | None,
    top: int,
    methods: tuple[str, ...],
    given: dict[str, str],
    layer: str | None,
    layers: str | None,
    on: On,
    out: Path,
    resume: bool,
    cmap: str,
    scale: Scale,
    dpi: int,
    as_json: bool,
) -> int:
    """Draw the explanations of a picture side by side, as one figure.

    A row for each class, a column for each method, on one colour scale: DIR/cat-compare.png.
    """
    from gradcam import plot

    plot.colour(0, cmap)  # refuse an unknown colour map before any work
    chosen = asking.with_options(methods, given)
    network = choice.network()
    if layer is not None and layers is not None:
        raise click.UsageError("give either --layer or --layers, not both.")
    asking.check_layer(network, layer, methods)
    for each in asking.listed(layers or ""):
        asking.check_layer(network, each, methods, "--layers")
    asked = asking.read(network, classes, units, against, on)
    terminal.note(choice, network, pictures)
    chosen = asking.with_bars(chosen, given, pictures)
    job = Comparing(asked, top, chosen, given, layer, layers, out, cmap, scale, dpi)
    made_with = {**choice.digest(), **job.options()}
    command = Command(
        *(network, job.work, _show_figure, as_json, 1, out, resume, made_with),
        ends=["-compare.png"],
    )
    return command.over(pictures)


def _show_figure(record: Record) -> Table:
    rows = terminal.table()
    rows.add_row(Path(record["file"]).name)
    return rows


def _table(file: Path | None, columns: Columns) -> Callable[[], OpenTable] | None:
    return None if file is None else table_at(file, columns)
