"""``gradcam inside filters``: the filters of the first convolution."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

import gradcam
from gradcam._cli import options, terminal
from gradcam._cli.inside import figure_file, inside, report, write
from gradcam._cli.options import Choice
from gradcam._cli.outputs import check_writable

if TYPE_CHECKING:
    from gradcam.inside._filters import Scale


@inside.command(short_help="The filters of the first convolution, as pictures.")
@options.choice
@click.option(
    "--layer",
    "-l",
    metavar="LAYER",
    help="A convolution that reads the picture.  Default: the first one.",
)
@click.option(
    "--scale",
    type=click.Choice(("each", "all")),
    default="each",
    show_default=True,
    help="Whether the colours of each filter go up to its own largest weight, or to that of all.",
)
@options.out
@options.as_json
def filters(choice: Choice, layer: str | None, scale: Scale, out: Path, as_json: bool) -> int:
    """Draw the filters of the first convolution as pictures: DIR/filters-conv1.png.

    Only filters that read the picture itself have colours: those of other layers have a weight for
    each map of the layer before.
    """
    check_writable([out / "filters.png"])
    network = choice.network()
    terminal.note(choice, network, [])
    found = gradcam.inside.filters(network, layer)
    file = figure_file(out / "filters", found.layer, *(["scale-all"] if scale == "all" else []))
    write(found.plot(scale), file)
    count, channels, height, width = found.weights.shape
    record = {
        "layer": found.layer,
        "filters": count,
        "shape": [channels, height, width],
        "colour_shares": found.colour_shares.tolist(),
        "finding": found.finding,
        "file": str(file),
    }
    report(found.finding, record, out, as_json)
    return 0
