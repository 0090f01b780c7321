"""``gradcam failures``: the pictures of a folder that a network gets wrong."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import gradcam
from gradcam._cli import options, records, terminal
from gradcam._cli.app import SOME_FAILED, sentence
from gradcam._cli.options import Choice
from gradcam._cli.outputs import check_outside, check_writable
from gradcam._cli.table import Columns, Row, table_at
from gradcam._text import percent

if TYPE_CHECKING:
    from rich.table import Table

    from gradcam import Failure, Failures

FIGURE = "failures.png"
"""The file of the figure, in the output folder."""

_MOST = 10
"""Confusions and unknown classes that are printed."""

_DPI = 120

COLUMNS: Columns = {
    "picture": str,
    "class": int,
    "synset": str,
    "label": str,
    "probability": float,
    "predicted_class": int,
    "predicted_synset": str,
    "predicted_label": str,
    "predicted_probability": float,
}
"""The columns of the table: a row for each failure, the most confident one first."""


@click.command(short_help="Find the pictures that a network gets wrong, and explain them.")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@options.choice
@click.option(
    "--count",
    "-n",
    type=click.IntRange(1, 50),
    default=6,
    show_default=True,
    metavar="N",
    help="How many failures are drawn and printed, the most confident ones.",
)
@click.option(
    "--method",
    "-m",
    default="guided_grad_cam",
    show_default=True,
    metavar="METHOD",
    help="The method that explains them (see: gradcam methods).",
)
@click.option(
    "--class-indices",
    is_flag=True,
    help="A folder whose name is a number is the network's class of this index, from 0.  "
    "Otherwise a number is a label.",
)
@options.out
@options.batch
@options.table
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, and nothing else.")
def failures(
    folder: Path,
    choice: Choice,
    count: int,
    method: str,
    class_indices: bool,
    out: Path,
    batch: int,
    table_file: Path | None,
    as_json: bool,
) -> int:
    """Find the pictures that a network gets wrong, and explain the most confident errors.

    DIR has a folder for each class, named by a label or synset of the network's.

    \b
    gradcam failures fruit                     fruit/banana/1.jpg, fruit/lemon/1.jpg, ...
    gradcam failures val --table errors.csv    ImageNet's folders: val/n01440764/...

    The figure, failures.png in the folder of --out, shows the wrong and the right class side by
    side, each with its map and probability.  Sometimes the maps show a reason: the two look alike,
    the object is hidden, or something else is in the picture (Selvaraju et al. 2017, section 6.1).

    Pictures of classes that the network does not know are counted and left out.
    """
    check_outside(out, folder)
    check_writable([out / FIGURE])
    open_table = None if table_file is None else table_at(table_file, COLUMNS)
    chosen = gradcam.METHODS.find(method)
    network = choice.network()
    terminal.note(choice, network, [folder])
    found = gradcam.failures(
        *(network, folder),
        method=chosen,
        class_indices=class_indices,
        batch=batch,
        on_error="skip",
        progress=terminal.is_seen() and not as_json,
    )
    if open_table is not None:
        table = open_table()
        table.add([_row(each) for each in found.wrong])
        table.close()
    figure = _draw(found, count, out)
    if as_json:
        click.echo(json.dumps(_record(found, figure)))
    else:
        _show(found, count, figure)
    for picture, error in found.skipped:
        terminal.echo(f"Error: {_reason(picture, error)}", err=True)
    return SOME_FAILED if found.skipped else 0


def _draw(found: Failures, count: int, out: Path) -> Path | None:
    """Write the figure; if nothing is wrong, say that an earlier figure is not of this run."""
    from gradcam import plot

    file = out / FIGURE
    if not found.wrong:
        if file.exists():
            terminal.echo(
                f"Nothing is wrong, so no figure is drawn: {file} is of an earlier run.", err=True
            )
        return None
    out.mkdir(parents=True, exist_ok=True)
    plot.save(found.plot(count), file, dpi=_DPI)
    return file


def _row(failure: Failure) -> Row:
    truth, predicted = failure.truth, failure.predicted
    return {
        "picture": failure.name,
        "class": truth.index,
        "synset": truth.synset,
        "label": truth.label,
        "probability": failure.truth_probability,
        "predicted_class": predicted.index,
        "predicted_synset": predicted.synset,
        "predicted_label": predicted.label,
        "predicted_probability": failure.predicted_probability,
    }


def _record(found: Failures, figure: Path | None) -> Mapping[str, Any]:
    """Return everything as JSON has it."""
    mean, low, high, _ = found.accuracy
    interval = (low, high) if low < high else (None, None)  # without a width it says nothing
    return {
        "network": found.network,
        "pictures": found.count,
        "wrong": found.wrong_count,
        "accuracy": {"mean": mean, "low": interval[0], "high": interval[1]},
        "confusions": [
            {
                "class": records.of_class(each.truth),
                "predicted": records.of_class(each.predicted),
                "times": each.times,
            }
            for each in found.confusions
        ],
        "failures": [_row(each) for each in found.wrong],
        "unknown": {name: len(pictures) for name, pictures in found.unknown.items()},
        "skipped": [str(picture) for picture, _ in found.skipped],
        "file": None if figure is None else str(figure),
    }


def _show(found: Failures, count: int, figure: Path | None) -> None:
    """Print what was found."""
    terminal.echo(f"{found.finding}.")
    console = terminal.console()
    if found.wrong:
        terminal.show(console, _surest(found, count))
        terminal.show(console, _confused(found))
    if found.unknown:
        shown = [f"{name} ({len(of)})" for name, of in [*found.unknown.items()][:_MOST]]
        more = ", ..." if len(found.unknown) > _MOST else ""
        terminal.echo(
            f"Classes that the network does not know, or not for certain, left out: "
            f"{', '.join(shown)}{more}."
        )
    if figure is not None:
        terminal.echo(f"Written to {figure}")


def _surest(found: Failures, count: int) -> Table:
    """Return the table of the failures that are drawn."""
    rows = terminal.table("Picture", "True class", ">Probability", "Taken for", ">Probability")
    for each in found.wrong[:count]:
        chances = percent(each.truth_probability), percent(each.predicted_probability)
        rows.add_row(each.name, str(each.truth), chances[0], str(each.predicted), chances[1])
    return rows


def _confused(found: Failures) -> Table:
    """Return the table of the most frequent confusions."""
    rows = terminal.table("True class", "Taken for", ">Pictures")
    for each in found.confusions[:_MOST]:
        rows.add_row(str(each.truth), str(each.predicted), str(each.times))
    return rows


def _reason(picture: object, error: Exception) -> str:
    """Return why a picture was skipped, with its name once."""
    words = sentence(error)
    return words if words.startswith(str(picture)) else f"{picture}: {words}"
