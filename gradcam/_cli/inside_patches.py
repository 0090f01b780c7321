"""``gradcam inside patches``: the patches of pictures that activate units most."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

import gradcam
from gradcam._cli import options, terminal
from gradcam._cli.app import SOME_FAILED, sentence
from gradcam._cli.inputs import find
from gradcam._cli.inside import (
    check_exist,
    figure_file,
    inside,
    is_watched,
    report,
    write,
)
from gradcam._cli.many import check_out, folder_error, report_failed, report_ignored
from gradcam._cli.options import Choice
from gradcam._cli.outputs import check_not_replaced, check_writable

if TYPE_CHECKING:
    from gradcam.inside import Patch, Patches


@inside.command(short_help="The patches of pictures that activate units of a layer most.")
@options.pictures
@options.choice
@options.any_layer
@click.option(
    "--unit",
    "-u",
    "units",
    type=click.IntRange(0),
    multiple=True,
    metavar="INDEX",
    help="A unit of the layer; may be repeated.  Default: the six whose patches are the most "
    "exceptional, compared with the unit's mean.",
)
@click.option(
    "--count",
    type=click.IntRange(1, 100),
    default=9,
    show_default=True,
    metavar="N",
    help="How many patches of each unit are shown.",
)
@click.option(
    "--per-picture",
    type=click.IntRange(1, 100),
    default=1,
    show_default=True,
    metavar="N",
    help="At most so many patches of one picture.",
)
@click.option("--crop", is_flag=True, help="Show the patches without the rest of the pictures.")
@options.batch
@options.out
@options.as_json
def patches(
    pictures: tuple[Path, ...],
    choice: Choice,
    layer: str | None,
    units: tuple[int, ...],
    count: int,
    per_picture: int,
    crop: bool,
    batch: int,
    out: Path,
    as_json: bool,
) -> int:
    """Show which patches of pictures activate units of a layer most: DIR/patches-relu5_3.png.

    \b
    gradcam inside patches photos --layer relu5_3 --unit 7 --unit 12

    The box on a picture is the unit's receptive field: all that it sees, exact in pixels of the
    network's input.  The number in it or below it is the unit's value.
    """
    check_out(out, pictures)
    found = find(pictures, out)
    empty = [path for path in found.names if path.is_dir()]
    files = [path for path in found.names if path not in empty]
    if not files:
        raise click.ClickException(f"{empty[0]}: {sentence(folder_error(empty[0]))}")
    check_exist(files)
    check_not_replaced([out / "patches-*.png"], files)
    check_writable([out / "patches.png"])
    network = choice.network()
    terminal.note(choice, network, pictures)
    best = gradcam.inside.patches(
        network,
        files,
        layer,
        units or None,
        count,
        per_picture=per_picture,
        batch=batch,
        on_error="skip",
        progress=is_watched(as_json),
    )
    shown = [("count", count, 9), ("per-picture", per_picture, 1)]
    parts = [best.layer, *(map(str, units) if len(units) <= 6 else [])]
    parts += [f"{name}-{value}" for name, value, usual in shown if value != usual]
    file = figure_file(out / "patches", *parts, *(["crop"] if crop else []))
    write(best.plot(crop=crop), file)
    report(best.finding, _record(best, file), out, as_json)
    report_ignored(found)
    failed = [(str(path), sentence(folder_error(path))) for path in empty]
    for path, error in cast("Sequence[tuple[Path, Exception]]", best.skipped):
        failed.append((str(path), sentence(error).removeprefix(f"{path}: ")))
    report_failed(failed, len(found.names), len(found.names))
    return SOME_FAILED if failed else 0


def _record(best: Patches, file: Path) -> dict[str, object]:
    """Return what JSON says of the patches."""
    return {
        "layer": best.layer,
        "pictures": best.pictures,
        "silent": list(best.silent),
        "units": [
            {"unit": unit, "patches": [_of_patch(each) for each in found]}
            for unit, found in best.items()
        ],
        "finding": best.finding,
        "file": str(file),
    }


def _of_patch(patch: Patch) -> dict[str, object]:
    return {
        "picture": patch.name,
        "value": patch.value,
        "position": None if patch.position is None else list(patch.position),
        "box": list(patch.box),
        "field": list(patch.field),
    }
