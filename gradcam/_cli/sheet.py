"""``gradcam sheet``: the most probable classes of pictures, with a map for each."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click
from click.core import ParameterSource

import gradcam
from gradcam._annotations.reading import Annotations, Format, open_annotations
from gradcam._cli import asked, options, records, terminal
from gradcam._cli.app import NOTHING_DONE, SOME_FAILED, sentence
from gradcam._cli.evaluate import check_apart
from gradcam._cli.inputs import Found, find
from gradcam._cli.many import Record, check_out, folder_error, report_failed, report_ignored
from gradcam._cli.options import Choice
from gradcam._cli.outputs import check_not_replaced, check_writable
from gradcam._labels.classes import is_number
from gradcam._registry import METHODS
from gradcam._text import percent

if TYPE_CHECKING:
    from gradcam._engine.network import Network
    from gradcam._sheet.content import ClassMap, SheetRow
    from gradcam._sheet.given import Given
    from gradcam._sheet.result import ClassSheet
    from gradcam._sheet.summary import RankSummary

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
@options.seed(
    "The seed of the first scene of --scenes; the default is not a seed of training.",
    default=100_000,
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
    type=click.IntRange(1, 10),
    default=3,
    show_default=True,
    metavar="K",
    help="How many of the most probable classes.",
)
@options.method("grad_cam")
@options.layer
@options.annotations_path
@options.annotations_format
@options.class_indices
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
    format: Format | None,
    class_indices: bool,
    out: Path,
    batch: int,
    as_json: bool,
) -> int:
    """Show the most probable classes of pictures, with a map for each, on one page.

    \b
    gradcam sheet photos                       probabilities and maps
    gradcam sheet photos -a instances.json     and how much of each map lies on what
    gradcam sheet --examples
    gradcam sheet --scenes 100                 100 scenes with 2 objects: how much is on the ground?

    If the truth is known, the shares of a map add up to 100 %: those on the objects and that on
    the ground.  Boxes count as objects with all that is in them.  In the scenes, things that belong
    to no class are ground.

    DIR/sheet.html is one file with all pictures in it, and DIR/sheet.png a figure of five of them;
    further files are sheet-2.html, of each further 100 pictures, and sheet-2.png, of each further
    five.  The classes of each picture are printed as soon as they are known; the files are written
    at the end.
    """
    if bool(pictures) + (scenes is not None) + examples != 1:
        raise click.UsageError("name pictures or folders, or give --scenes N, or --examples.")
    from gradcam._sheet.given import given

    _check_options(pictures, scenes, annotations)
    found, files, empty = _found(pictures, out)
    count = len(files) if pictures else scenes or len(gradcam.pictograms.examples())
    _check_files(out, files, annotations, count)
    if not pictures and choice.is_default:
        choice = replace(choice, model="pictograms")
    truth = None if annotations is None else _opened(annotations, pictures, out, format)
    network = choice.network()
    asked.check_layer(network, layer, [method])
    terminal.note(choice, network, pictures)

    drawn = None if scenes is None else _Drawn(scenes, objects, seed)
    every = given(files, truth, None, class_indices) if pictures else _scenes(drawn)
    printing = _Printing(as_json, drawn)
    made = _made(network, every, method, top, layer, batch, printing, count)
    written = [file for name in FILES for file in _saved(made, out / name)]
    failed = [(str(path), sentence(folder_error(path))) for path in empty]
    for name, error in made.skipped:
        failed.append((name, sentence(error).removeprefix(f"{name}: ")))
    _report(made, written, failed, as_json, truth)
    report_ignored(found)
    report_failed(failed, len(made.rows) + len(failed), len(made.rows) + len(failed))
    if failed:
        return SOME_FAILED if made.rows else NOTHING_DONE
    return 0


def _check_options(pictures: Sequence[Path], scenes: int | None, annotations: Path | None) -> None:
    """Raise UsageError if an option has no effect."""
    source = click.get_current_context().get_parameter_source
    if annotations is not None and not pictures:
        raise click.UsageError("--annotations goes with pictures: the truth of scenes is known.")
    for name, other, value in (
        ("objects", "--scenes", scenes),
        ("seed", "--scenes", scenes),
        ("format", "--annotations", annotations),
        ("class_indices", "--annotations", annotations),
    ):
        if value is None and source(name) is not ParameterSource.DEFAULT:
            raise click.UsageError(f"--{name.replace('_', '-')} has no effect without {other}.")


def _found(pictures: Sequence[Path], out: Path) -> tuple[Found, list[Path], list[Path]]:
    """Return what was found, the files in it, and the folders without pictures."""
    if not pictures:
        return Found(), [], []
    check_out(out, pictures)
    found = find(pictures, out)
    empty = [path for path in found.names if path.is_dir()]
    files = [path for path in found.names if path not in empty]
    if not files:
        raise click.ClickException(f"{empty[0]}: {sentence(folder_error(empty[0]))}")
    return found, files, empty


def _check_files(out: Path, files: Sequence[Path], annotations: Path | None, count: int) -> None:
    """Check that the files can be written, and that none of them is read."""
    from gradcam._sheet.files import paths

    written = [path for name in FILES for path in paths(out / name, count)]
    check_not_replaced(written, [*files, *([] if annotations is None else [annotations])])
    check_writable(written)


def _opened(
    annotations: Path, pictures: Sequence[Path], out: Path, format: Format | None
) -> Annotations:
    """Open annotations, which must lie apart from what is read and written."""
    folders = [path for path in pictures if path.is_dir()]
    truth = open_annotations(annotations, folders, format)
    check_apart(truth, folders)
    if annotations.is_dir() and annotations.resolve() in (out.resolve(), *out.resolve().parents):
        raise click.UsageError(
            f"{out} is in the folder of --annotations: choose another folder with --out."
        )
    return truth


class _Drawn(NamedTuple):
    """The scenes of --scenes."""

    scenes: int
    objects: int
    seed: int


def _scenes(drawn: _Drawn | None) -> Iterable[Given]:
    """Return the scenes that are drawn, or those of --examples."""
    from gradcam._sheet.given import given

    pictograms = gradcam.pictograms
    if drawn is None:
        names = [path.stem for path in pictograms.examples()]
        scenes = [pictograms.example_scene(name) for name in names]
        return given(scenes, None, [name.replace("_", " ") for name in names])
    seeds = range(drawn.seed, drawn.seed + drawn.scenes)
    several = (pictograms.scene(seed, objects=drawn.objects) for seed in seeds)
    return given(several, None, None, first=drawn.seed)


class _Printing:
    """Prints the rows, one after the other."""

    def __init__(self, as_json: bool, drawn: _Drawn | None) -> None:
        self.as_json = as_json
        self._drawn = drawn
        self._count = 0

    def __call__(self, row: SheetRow) -> None:
        """Print the classes of one picture."""
        if self.as_json:
            record = _record(row)
            if self._drawn is not None:
                seed = self._drawn.seed + self._count
                record["scene"] = {"seed": seed, "objects": self._drawn.objects}
            self._count += 1
            click.echo(json.dumps(record))
            return
        lines = terminal.table()
        for each in row.maps:
            synset, share = each.target.synset, percent(each.probability)
            lines.add_row(each.target.label, synset, share, each.words)
        terminal.show(terminal.console(), row.name, style="bold", soft_wrap=True)
        terminal.show(terminal.console(), lines)


def _made(
    network: Network,
    every: Iterable[Given],
    method: str,
    top: int,
    layer: str | None,
    batch: int,
    printing: _Printing,
    count: int,
) -> ClassSheet:
    """Run the network over the pictures, so many of them; each row is printed at once."""
    from gradcam._sheet.making import Making

    making = Making(network, METHODS[method], top, asked.layers(layer), "score")
    with terminal.progress(count, printing.as_json) as advance:

        def each(row: SheetRow) -> None:
            printing(row)
            advance(row.name)

        return making.sheet(every, on_error="skip", batch=batch, progress=False, each=each)


def _saved(made: ClassSheet, path: Path) -> list[Path]:
    """Write a file, or several, if there is something to write."""
    if not made.rows:
        return []
    path.parent.mkdir(parents=True, exist_ok=True)
    return made.save(path)


def _record(row: SheetRow) -> Record:
    """Return a row as JSON has it."""
    record: Record = {
        "picture": row.name,
        "size": list(row.size),
        "classes": [_class_record(each) for each in row.maps],
        "decoded": row.decoded,
    }
    if row.ground_area is not None:
        record |= {
            "ground_area": row.ground_area,
            "notes": list(row.notes),
            "unknown_classes": list(row.unknown),
        }
    return record


def _class_record(found: ClassMap) -> Record:
    """Return a class and its map as JSON has them; a share that is not known is null."""
    record: Record = {
        "rank": found.rank,
        **records.of_class(found.target),
        "probability": found.probability,
        "score": found.explanation.score,
    }
    if found.totals is not None:
        record["shares"] = [
            {"on": each.name, "kind": each.kind, "share": _number(each.share)}
            for each in found.shares
        ]
        record["totals"] = {
            name: _number(getattr(found.totals, name)) for name in ("own", "others", "ground")
        }
        record["present"] = found.totals.present
        record["text"] = found.words
    return record


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


def _report(
    made: ClassSheet,
    files: Sequence[Path],
    failed: Sequence[tuple[str, str]],
    as_json: bool,
    truth: Annotations | None,
) -> None:
    """Say what was found over all pictures, and what was written."""
    from gradcam._sheet import words

    if as_json:
        for name, reason in failed:
            click.echo(json.dumps({"picture": name, "error": reason}))
        record: Record = {
            "files": list(map(str, files)),
            "summary": [_summary(each) for each in made.summary],
        }
        if made.has_truth:
            record["unknown_classes"] = dict(made.unknown.most_common())
            record["without_truth"] = sum(row.ground_area is None for row in made.rows)
        click.echo(json.dumps(record))
    elif made.rows:
        if made.has_truth and len(made.rows) > 1:
            _show_summary(made)
        for text in (*words.notes(made.rows), *words.doubts(made)):
            terminal.echo(text)
        if any(map(is_number, made.unknown)):
            from gradcam._cli.tally import NUMBERS

            terminal.echo(NUMBERS)
        if truth is not None and not made.has_truth:
            terminal.echo("The annotations of these pictures do not say where an object is.")
        terminal.echo(f"Written to {files[0].parent}: {_named(files)}")


def _named(files: Sequence[Path]) -> str:
    """Return the names of the files: of each kind the first one, and the last if there are more."""
    kinds = {name: [each for each in files if each.suffix == Path(name).suffix] for name in FILES}
    return ", ".join(
        name if len(some) == 1 else f"{name} to {some[-1].name}" for name, some in kinds.items()
    )


def _summary(each: RankSummary) -> Record:
    """Return the summary of a rank as JSON has it; what is not known is null."""
    return {
        **{name: getattr(each, name) for name in ("rank", "pictures", "flat", "known", "present")},
        **{
            name: {key: _number(value) for key, value in getattr(each, name)._asdict().items()}
            for name in ("own", "others", "ground")
        },
        "ground_area": _number(each.ground_area),
    }


def _show_summary(made: ClassSheet) -> None:
    """Print what the maps of each rank lie on."""
    from gradcam._sheet import words

    first, *others = words.COLUMNS
    lines = terminal.table(first, *(f">{each}" for each in others))
    for each in made.summary:
        lines.add_row(*words.cells(each))
    console = terminal.console()
    terminal.show(console, words.CAPTION, style="bold")
    terminal.show(console, lines)
    terminal.echo(made.finding)
