"""``gradcam sheet``: the most probable classes of pictures, with a map for each."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

import gradcam
from gradcam._annotations.reading import Annotations, open_annotations
from gradcam._cli import asked, options, records, terminal
from gradcam._cli.app import NOTHING_DONE, SOME_FAILED, sentence
from gradcam._cli.evaluate import check_apart
from gradcam._cli.inputs import Found, find
from gradcam._cli.many import Record, check_out, folder_error, report_failed, report_ignored
from gradcam._cli.options import Choice
from gradcam._registry import METHODS
from gradcam._text import percent

if TYPE_CHECKING:
    from gradcam._engine.network import Network
    from gradcam._sheet.content import ClassMap, RankSummary, SheetRow
    from gradcam._sheet.given import Given
    from gradcam._sheet.result import ClassSheet

FILES = ("sheet.html", "sheet.png")
"""The files that are written."""


@click.command(short_help="The most probable classes of pictures with a map each: a page.")
@click.argument("pictures", nargs=-1, metavar="[PICTURE...]", type=click.Path(path_type=Path))
@click.option(
    "--scenes",
    type=click.IntRange(1),
    metavar="N",
    help="In place of pictures: N scenes of pictograms, whose truth is known.",
)
@click.option(
    "--objects",
    type=click.IntRange(1, 4),
    default=2,
    show_default=True,
    metavar="N",
    help="Objects in a scene of --scenes.",
)
@click.option(
    "--seed",
    type=click.IntRange(0),
    default=100_000,
    show_default=True,
    help="Of the first scene of --scenes; the default is not a seed of training.",
)
@click.option(
    "--examples",
    is_flag=True,
    help="In place of pictures: the example scenes of the package, whose truth is known.",
)
@options.choice
@click.option(
    "--top",
    "-k",
    type=click.IntRange(1),
    default=3,
    show_default=True,
    metavar="K",
    help="How many of the most probable classes.",
)
@options.method("grad_cam")
@options.layer
@click.option(
    "--annotations",
    "-a",
    type=click.Path(exists=True, path_type=Path),
    metavar="PATH",
    help="What is where in the pictures: as of gradcam evaluate localization.",
)
@options.out
@options.batch
@options.as_json
def sheet(
    pictures: tuple[Path, ...],
    scenes: int | None,
    objects: int,
    seed: int,
    examples: bool,
    choice: Choice,
    top: int,
    method: str,
    layer: str | None,
    annotations: Path | None,
    out: Path,
    batch: int,
    as_json: bool,
) -> int:
    """Show the most probable classes of pictures, with a map for each, on one page.

    \b
    gradcam sheet photos                       probabilities and maps
    gradcam sheet photos -a instances.json     and how much of each map lies on what
    gradcam sheet --examples
    gradcam sheet --scenes 100                 on the ground, too? 100 scenes with 2 objects

    Where the truth is known, the shares of a map add up to 100 %: those on the objects and that on
    the ground.  Boxes count as objects with all that is in them.  In the scenes, things that belong
    to no class are ground.

    DIR/sheet.html is one file with all pictures in it, and DIR/sheet.png a figure of five of them;
    further files are sheet-2.html, of each further 100 pictures, and sheet-2.png, of each further
    five.
    """
    if bool(pictures) + (scenes is not None) + examples != 1:
        raise click.UsageError("name pictures or folders, or give --scenes N, or --examples.")
    if annotations is not None and not pictures:
        raise click.UsageError("--annotations goes with pictures: the truth of scenes is known.")
    found = Found()
    if pictures:
        check_out(out, pictures)
        found = find(pictures, out)
    empty = [path for path in found.names if path.is_dir()]
    files = [path for path in found.names if path not in empty]
    if empty and not files:
        raise click.ClickException(f"{empty[0]}: {sentence(folder_error(empty[0]))}")
    if not pictures and choice.is_default:
        choice = replace(choice, model="pictograms")
    truth = None if annotations is None else _opened(annotations, pictures, out)
    network = choice.network()
    asked.check_layer(network, layer, [method])
    terminal.note(choice, network, pictures)

    every = _given(files, truth, examples, (scenes or 0, objects, seed))
    made = _made(network, every, method, top, layer, batch, as_json)
    for row in made.rows:
        _print(row, as_json)
    written = [file for name in FILES for file in _saved(made, out / name)]
    failed = [(str(path), sentence(folder_error(path))) for path in empty]
    for name, error in made.skipped:
        failed.append((name, sentence(error).removeprefix(f"{name}: ")))
    _report(made, written, failed, as_json)
    report_ignored(found)
    report_failed(failed, len(made.rows) + len(failed), len(made.rows) + len(failed))
    if failed:
        return SOME_FAILED if made.rows else NOTHING_DONE
    return 0


def _opened(annotations: Path, pictures: Sequence[Path], out: Path) -> Annotations:
    """Open annotations, which must lie apart from what is read and written."""
    folders = [path for path in pictures if path.is_dir()]
    truth = open_annotations(annotations, folders)
    check_apart(truth, folders)
    if annotations.is_dir() and annotations.resolve() == out.resolve():
        raise click.UsageError(
            f"{out} is the folder of --annotations: choose another folder with --out."
        )
    return truth


def _given(
    files: Sequence[Path],
    truth: Annotations | None,
    examples: bool,
    drawn: tuple[int, int, int],
) -> Iterable[Given]:
    """Return the pictures, the example scenes, or `drawn`: how many scenes, objects, and a seed."""
    from gradcam._sheet.given import given

    if files:
        return given(list(files), truth, None)
    pictograms = gradcam.pictograms
    if examples:
        names = [path.stem for path in pictograms.examples()]
        scenes = [pictograms.example_scene(name) for name in names]
        return given(scenes, None, [name.replace("_", " ") for name in names])
    count, objects, seed = drawn
    seeds = range(seed, seed + count)
    return given((pictograms.scene(each, objects=objects) for each in seeds), None, None)


def _made(
    network: Network,
    every: Iterable[Given],
    method: str,
    top: int,
    layer: str | None,
    batch: int,
    as_json: bool,
) -> ClassSheet:
    """Run the network over the pictures."""
    from gradcam._sheet.making import Making

    making = Making(network, METHODS[method], top, asked.layers(layer), "score")
    shown = terminal.is_seen() and not as_json
    return making.sheet(every, on_error="skip", batch=batch, progress=shown)


def _saved(made: ClassSheet, path: Path) -> list[Path]:
    """Write a file, or several, if there is something to write."""
    if not made.rows:
        return []
    path.parent.mkdir(parents=True, exist_ok=True)
    return made.save(path)


def _print(row: SheetRow, as_json: bool) -> None:
    """Print the classes of one picture."""
    if as_json:
        record = {"picture": row.name, "classes": [_record(each) for each in row.maps]}
        click.echo(json.dumps(record))
        return
    lines = terminal.table()
    for each in row.maps:
        synset, share = each.target.synset, percent(each.probability)
        lines.add_row(each.target.label, synset, share, each.words)
    terminal.show(terminal.console(), row.name, style="bold", soft_wrap=True)
    terminal.show(terminal.console(), lines)


def _record(found: ClassMap) -> Record:
    """Return a class and its map as JSON has them; a share of a flat map is null."""
    record: Record = {
        "rank": found.rank,
        **records.of_class(found.target),
        "probability": found.probability,
        "score": found.explanation.score,
    }
    if found.shares:
        record["shares"] = [
            {"on": each.name, "kind": each.kind, "share": _number(each.share)}
            for each in found.shares
        ]
        record["text"] = found.words
    return record


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


def _report(
    made: ClassSheet, files: Sequence[Path], failed: Sequence[tuple[str, str]], as_json: bool
) -> None:
    """Say what was found over all pictures, and what was written."""
    if as_json:
        for name, reason in failed:
            click.echo(json.dumps({"picture": name, "error": reason}))
        summary = [_summary(each) for each in made.summary]
        record: Record = {"files": list(map(str, files)), "summary": summary}
        if summary:
            record["ground_area"] = made.ground_area
        click.echo(json.dumps(record))
    elif made.rows:
        if made.has_truth and len(made.rows) > 1:
            _show_summary(made)
        terminal.echo(f"Written to {files[0].parent}: {_named(files)}")


def _named(files: Sequence[Path]) -> str:
    """Return the names of the files: of each kind the first one, and the last if there are more."""
    kinds = {name: [each for each in files if each.suffix == Path(name).suffix] for name in FILES}
    return ", ".join(
        name if len(some) == 1 else f"{name} to {some[-1].name}" for name, some in kinds.items()
    )


def _summary(each: RankSummary) -> Record:
    """Return the summary of a rank as JSON has it."""
    return {
        "rank": each.rank,
        "pictures": each.pictures,
        "present": each.present,
        **{
            name: {key: _number(value) for key, value in getattr(each, name)._asdict().items()}
            for name in ("own", "others", "ground")
        },
    }


def _show_summary(made: ClassSheet) -> None:
    """Print what the maps of each rank lie on."""
    from gradcam._sheet.content import interval, ordinal

    lines = terminal.table(
        *("Map of the", ">Class is there", ">On its own object", ">On others", ">On the ground")
    )
    for each in made.summary:
        shares = (interval(share) for share in (each.own, each.others, each.ground))
        there = f"{each.present} of {each.pictures}"
        lines.add_row(f"{ordinal(each.rank)} class", there, *shares)
    console = terminal.console()
    terminal.show(console, "What the maps lie on, on average (95 % interval)", style="bold")
    terminal.show(console, lines)
    terminal.echo(made.finding)
