"""What ``gradcam inside neighbours`` and ``map`` share: the codes of a folder of pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

import gradcam
from gradcam._cli import options, terminal
from gradcam._cli.app import SOME_FAILED
from gradcam._cli.inside import is_watched
from gradcam._cli.many import check_out, report_failed
from gradcam._cli.options import Choice
from gradcam._cli.outputs import check_outside, check_writable

if TYPE_CHECKING:
    from gradcam._engine.network import Network
    from gradcam.inside import Codes

_Command = TypeVar("_Command", bound=Callable[..., object])

_OPTIONS = (
    click.argument("folder", metavar="DIR", type=click.Path(path_type=Path)),
    options.choice,
    click.option(
        "--layer",
        "-l",
        metavar="LAYER",
        help="A layer, by any of its names (see: gradcam info).  Default: what the last linear "
        "layer reads: relu7 in VGG, the pooled map in networks with global average pooling.",
    ),
    click.option(
        "--codes",
        "file",
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE.npz",
        help="Store the codes in this file.  If it exists, they are read from it and the network "
        "does not run; a file of another network, layer or set of pictures is refused.",
    ),
    options.batch,
    options.out,
    options.as_json,
)


def shared(command: _Command) -> _Command:
    """Add the options of commands about the codes of a folder."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def network_of(folder: Path, choice: Choice, out: Path) -> Network:
    """Return the network, having checked where is written."""
    check_out(out, [folder])
    check_outside(out, folder)
    check_writable([out / "figure.png"])
    network = choice.network()
    terminal.note(choice, network, [folder])
    return network


def codes_of(
    network: Network, folder: Path, layer: str | None, file: Path | None, batch: int, as_json: bool
) -> Codes:
    """Return the codes of a folder; pictures that cannot be read are skipped."""
    return gradcam.inside.codes(
        *(network, folder, layer),
        file=file,
        batch=batch,
        on_error="skip",
        progress=is_watched(as_json),
    )


def status(*made: Codes) -> int:
    """Name the pictures that could not be read, and return the exit status."""
    skipped = [each for codes in made for each in codes.skipped]
    count = sum(len(codes) + len(codes.skipped) for codes in made)
    report_failed(skipped, count, count)
    return SOME_FAILED if skipped else 0
