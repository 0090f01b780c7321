"""``gradcam scenes``: pictures of the kind that captions and questions are about."""

from __future__ import annotations

from pathlib import Path

import click

from gradcam._cli import copies, options, terminal


@click.command(short_help="Draw scenes with known objects, for caption and ask.")
@copies.folder
@click.option(
    "--count",
    "-n",
    type=click.IntRange(1, 10_000),
    default=6,
    show_default=True,
    metavar="N",
    help="How many scenes.",
)
@options.seed("The seed of the first scene; the next ones have the next seeds.")
@copies.force
def scenes(folder: Path, count: int, seed: int, force: bool) -> int:
    """Draw scenes of pictograms to DIR, which is created if missing: DIR/scene-0.png, ...

    They have one to four objects of 16 kinds in six colours and two sizes; what is in each is
    printed.  For example: gradcam caption DIR/scene-0.png, or
    gradcam ask DIR/scene-0.png "how many cats?"
    """
    from gradcam._pictures.encoding import ENCODERS
    from gradcam.pictograms import described

    contents, layouts = {}, {}
    for each in range(seed, seed + count):
        scene = described(each)
        contents[f"scene-{each}.png"] = ENCODERS[".png"](scene.picture)
        layouts[f"scene-{each}.png"] = scene.layout
    copies.write(contents, folder, force)
    rows = terminal.table()
    for name, layout in layouts.items():
        rows.add_row(str(folder / name), layout)
    terminal.show(terminal.console(), rows)
    return 0
