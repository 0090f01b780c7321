"""``gradcam inside neighbours``: nearest neighbours in code and in pixels."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

import gradcam
from gradcam._cli import options, terminal
from gradcam._cli.inside import figure_file, inside, report, write
from gradcam._cli.inside_codes import codes_of, network_of, shared, status
from gradcam._cli.options import Choice
from gradcam._cli.outputs import check_not_replaced

if TYPE_CHECKING:
    from rich.table import Table

    from gradcam.inside import Codes, Neighbours, Precision
    from gradcam.inside._nearest import Metric


@inside.command(short_help="Nearest neighbours in code and in pixels.")
@click.option(
    "--query",
    "-q",
    "queries",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="PICTURE",
    help="Find the neighbours of this picture, which may be one of DIR; may be repeated.  "
    "Default: each picture of DIR is compared with the others.",
)
@click.option(
    "--count",
    type=click.IntRange(1),
    default=5,
    show_default=True,
    metavar="N",
    help="How many neighbours.",
)
@click.option(
    "--metric",
    type=click.Choice(("l2", "cosine")),
    default="l2",
    show_default=True,
    help="How codes are compared: by Euclidean distance, or by 1 minus the cosine.",
)
@click.option(
    "--rows",
    type=click.IntRange(1, 40),
    default=6,
    show_default=True,
    metavar="N",
    help="How many pictures the figure shows with their neighbours.",
)
@options.seed("The seed of the bootstrap, which gives the intervals.")
@shared
def neighbours(
    folder: Path,
    queries: tuple[Path, ...],
    choice: Choice,
    layer: str | None,
    file: Path | None,
    count: int,
    metric: Metric,
    rows: int,
    seed: int,
    batch: int,
    out: Path,
    as_json: bool,
) -> int:
    """Find the nearest neighbours of pictures, in the network's code and in pixels.

    \b
    gradcam inside neighbours photos --query photos/cat.jpg
    gradcam inside neighbours fruit --codes fruit.npz

    The figure neighbours-relu7.png, in the folder of --out, has a row for each picture: its
    neighbours in code, and those in pixels.  If the folder has a folder for each class, frames show
    which neighbours are of the same class, and the share of these is measured, in code and in
    pixels, with 95 % intervals: precision-relu7.png.  Pixels are those of what the network saw,
    reduced to 32 x 32.
    """
    check_not_replaced([out / "neighbours-*.png", out / "precision-*.png"], queries)
    network = network_of(folder, choice, out)
    asked: tuple[Codes, ...] = ()
    if queries:  # first, since they are few, and the folder may be large
        asked = (gradcam.inside.codes(network, queries, layer, batch=batch, on_error="skip"),)
    codes = codes_of(network, folder, layer, file, batch, as_json)
    found = codes.neighbours(asked[0] if asked else None, count, metric=metric)
    precision = precision_file = None
    if not queries and len(codes.pictures.classes) > 1:
        precision = found.precision(seed=seed)
        precision_file = figure_file(out / "precision", found.layer)
    drawn = figure_file(out / "neighbours", found.layer)
    write(found.plot(rows), drawn)
    if precision is not None and precision_file is not None:
        write(precision.plot(), precision_file)
    if as_json:
        for record in _records(found):
            click.echo(json.dumps(record))
    elif queries:
        _show(found)
    finding = found.finding if precision is None else precision.finding
    summary = _summary(found, precision, finding, drawn)
    summary["precision_file"] = None if precision_file is None else str(precision_file)
    report(finding, summary, out, as_json, *([precision_file] if precision_file else []))
    return status(codes, *asked)


def _records(found: Neighbours) -> Iterator[dict[str, object]]:
    """Yield what JSON says of each picture and its neighbours."""
    for n in range(len(found)):
        labels = found.queries.labels
        yield {
            "picture": found.queries.name(n),
            "label": None if labels is None else labels[n],
            "code": _listed(found, found.places[n].tolist(), found.distances[n].tolist()),
            "pixels": _listed(
                found, found.pixel_places[n].tolist(), found.pixel_distances[n].tolist()
            ),
        }


def _listed(
    found: Neighbours, places: list[int], distances: list[float]
) -> list[dict[str, object]]:
    labels = found.pictures.labels
    return [
        {
            "picture": found.pictures.name(place),
            "label": None if labels is None else labels[place],
            "distance": distance,
        }
        for place, distance in zip(places, distances, strict=True)
    ]


def _show(found: Neighbours) -> None:
    """Print the neighbours of each picture."""
    from rich.text import Text

    console = terminal.console()
    for record in _records(found):
        terminal.show(console, Text(str(record["picture"]), "bold"), soft_wrap=True)
        terminal.show(console, _table(record))


def _table(record: dict[str, object]) -> Table:
    rows = terminal.table("", "in code", ">distance", "in pixels", ">distance")
    both = zip(_rows(record["code"]), _rows(record["pixels"]), strict=True)
    for rank, (one, other) in enumerate(both, 1):
        rows.add_row(str(rank), *one, *other)
    return rows


def _rows(listed: object) -> Iterator[tuple[str, str]]:
    assert isinstance(listed, list)
    for each in listed:
        yield each["picture"], f"{each['distance']:.4g}"


def _summary(
    found: Neighbours, precision: Precision | None, finding: str, file: Path
) -> dict[str, object]:
    """Return what JSON says of all pictures."""
    record: dict[str, object] = {
        "network": found.network,
        "layer": found.layer,
        "pictures": len(found.pictures),
        "count": found.count,
        "metric": found.metric,
        "precision": None,
        "finding": finding,
        "file": str(file),
    }
    if precision is not None:
        shares: dict[str, object] = {
            name: {"mean": each.mean, "low": each.low, "high": each.high}
            for name, each in precision.intervals.items()
        }
        by_class = precision.by_class
        more = {"chance": precision.chance, "best": precision.best, "by_class": by_class}
        record["precision"] = shares | more
    return record
