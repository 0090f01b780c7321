"""``gradcam inside``: what a network has learnt, in figures."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gradcam._cli import terminal
from gradcam._files import fitting

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 120
"""Of the figures."""


@click.group(short_help="Look inside a network: filters, activations, units, codes.")
def inside() -> None:
    """Look inside a network: its filters, activations, units and codes."""


def figure_file(path: Path, *parts: str) -> Path:
    """Return the file of a figure: `path`, and what it shows, such as a layer, in its name."""
    words = (re.sub(r"[^\w.-]+", "_", part).strip("_.") for part in parts)
    return path.with_name(fitting("-".join([path.name, *filter(None, words)]) + ".png"))


def check_exist(pictures: Sequence[Path]) -> None:
    """Raise ClickException if no picture exists: before a network is loaded."""
    if pictures and not any(os.path.lexists(each) for each in pictures):
        raise click.ClickException(f"{pictures[0]}: No such file or directory")


def write(figure: Figure, file: Path) -> None:
    """Write a figure; its folder is made if it is missing."""
    from gradcam import plot

    file.parent.mkdir(parents=True, exist_ok=True)
    plot.save(figure, file, dpi=DPI)


def report(
    finding: str, record: Mapping[str, object], out: Path, as_json: bool, *more: Path
) -> None:
    """Print what was found, and where the figures are: ``record["file"]`` and others."""
    if as_json:
        click.echo(json.dumps(record))
        return
    terminal.echo(f"{finding}.")
    for file in (Path(str(record["file"])), *more):
        terminal.echo(f"  {file.name}")
    terminal.echo(f"Written to {out}")


def is_watched(as_json: bool) -> bool:
    """Return whether someone sees a progress bar."""
    return sys.stderr.isatty() and not as_json
