"""``gradcam inside map``: the pictures of a folder in a plane, by their codes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gradcam._cli import options
from gradcam._cli.inside import figure_file, inside, report, write
from gradcam._cli.inside_codes import codes_of, network_of, shared, status
from gradcam._cli.options import Choice
from gradcam._scikit import scikit

if TYPE_CHECKING:
    from gradcam.inside import Projection
    from gradcam.inside._projection import Technique


@inside.command("map", short_help="Draw pictures in a plane, by their codes: PCA or t-SNE.")
@click.option(
    "--method",
    "-m",
    type=click.Choice(("pca", "tsne")),
    default="tsne",
    show_default=True,
    help="The two principal components, or t-SNE.",
)
@click.option("--grid", is_flag=True, help="Snap the pictures to a grid, so that all can be seen.")
@click.option(
    "--perplexity",
    type=float,
    metavar="P",
    help="For t-SNE: about how many neighbours count as near, up to a third of the other "
    "pictures.  Default: 30, or as many as are possible.",
)
@options.seed("The same seed gives the same points.")
@shared
def map_(
    folder: Path,
    choice: Choice,
    layer: str | None,
    file: Path | None,
    method: Technique,
    grid: bool,
    perplexity: float | None,
    seed: int,
    batch: int,
    out: Path,
    as_json: bool,
) -> int:
    """Draw the pictures of a folder in a plane, by their codes: map-tsne-relu7.png.

    \b
    gradcam inside map fruit --method tsne --grid

    Pictures with similar codes lie near each other.  If the folder has a folder for
    each class, frames have the colours of the classes, and it is measured how well the plane
    separates them: the share of the five nearest neighbours that are of the same class, in the
    plane and in code.  With --grid each of up to 1600 pictures can be seen.  The figure is written
    to the folder of --out.
    """
    scikit("sklearn", "gradcam inside map")  # before the network runs
    codes = codes_of(network_of(folder, choice, out), folder, layer, file, batch, as_json)
    found = codes.project(method, seed=seed, perplexity=perplexity)
    drawn = figure_file(out / f"map-{method}{'-grid' * grid}", found.layer)
    write(found.plot(grid), drawn)
    if as_json:
        for record in _records(found, grid):
            click.echo(json.dumps(record))
    report(found.finding, _summary(found, drawn), out, as_json)
    return status(codes)


def _records(found: Projection, grid: bool) -> Iterator[dict[str, object]]:
    """Yield what JSON says of each picture."""
    cells = {}
    if grid:
        chosen, places = found.grid()
        cells = dict(zip(chosen.tolist(), places.tolist(), strict=True))
    labels = found.pictures.labels
    for n, (x, y) in enumerate(found.points.tolist()):
        yield {
            "picture": found.pictures.name(n),
            "label": None if labels is None else labels[n],
            "x": x,
            "y": y,
            **({"cell": cells.get(n)} if grid else {}),
        }


def _summary(found: Projection, file: Path) -> dict[str, object]:
    """Return what JSON says of all pictures."""
    return {
        "network": found.network,
        "layer": found.layer,
        "method": found.method,
        "pictures": len(found),
        "seed": found.seed,
        "perplexity": found.perplexity,
        "divergence": found.divergence,
        "explained": None if found.explained is None else found.explained.tolist(),
        "finding": found.finding,
        "file": str(file),
    }
