"""``gradcam evaluate``: measures of explanations over folders of pictures."""

from __future__ import annotations

import importlib
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

import gradcam
from gradcam._annotations.masks import CLASSES
from gradcam._annotations.reading import Annotations, Format, open_annotations
from gradcam._cli import asked, options, terminal
from gradcam._cli.app import NOTHING_DONE
from gradcam._cli.inputs import Job
from gradcam._cli.many import Command
from gradcam._cli.options import Choice
from gradcam._cli.outputs import check_not_replaced
from gradcam._cli.table import table_at
from gradcam._files import atomic_write
from gradcam._labels.classes import is_number
from gradcam._registry import OVER_PICTURE, Method

if TYPE_CHECKING:
    from gradcam._cli.localization import Segments
    from gradcam._cli.tally import Summary
    from gradcam._pictures.segments import Threshold
    from gradcam._results.objectives import On

SUMMARY = "localization.json"
"""The file of the summary, in the output folder."""


@click.group(short_help="Measure explanations over folders of pictures.")
def evaluate() -> None:
    """Measure explanations over folders of pictures whose ground truth is known."""


def _threshold(context: click.Context, parameter: click.Parameter, given: str) -> Threshold:
    """Read a share of the maximum, or otsu."""
    if given == "otsu":
        return "otsu"
    try:
        value = float(given)
    except ValueError:
        value = 0.0
    if not 0 < value <= 1:
        raise click.BadParameter(
            f"expected a share of the maximum, above 0 and up to 1, or otsu, got {given!r}",
            context,
            parameter,
        )
    return value


def _pixels(context: click.Context, parameter: click.Parameter, given: float) -> float:
    """Refuse a number of pixels that is not finite."""
    if not math.isfinite(given):
        raise click.BadParameter(f"expected a number of pixels, got {given}", context, parameter)
    return given


@evaluate.command(short_help="Do maps find the object? Compare them with annotated boxes.")
@click.argument(
    "pictures", nargs=-1, required=True, metavar="DIR...", type=click.Path(path_type=Path)
)
@click.option(
    "--annotations",
    "-a",
    required=True,
    type=click.Path(exists=True, path_type=Path),
    metavar="PATH",
    help="The ground truth: a folder of PASCAL VOC's XML files, as ILSVRC's; a folder of masks; "
    "COCO's JSON; or a CSV with the columns picture, class, x0, y0, x1, y1.",
)
@options.annotations_format
@options.choice
@options.methods("grad_cam")
@options.method_options
@options.layer
@options.on
@click.option(
    "--threshold",
    default="0.15",
    show_default=True,
    callback=_threshold,
    metavar="SHARE|otsu",
    help="Pixels of at least this share of the map's maximum belong to the object; otsu: those "
    "above Otsu's threshold.",
)
@click.option(
    "--segments",
    type=click.Choice(("largest", "all")),
    default="largest",
    show_default=True,
    help="Judge the box of the largest connected segment, or the boxes of all segments, of which "
    "only the best one counts.",
)
@click.option(
    "--grabcut",
    is_flag=True,
    help="Find the boxes of maps of single pixels, such as saliency, by GrabCut, as Simonyan et "
    "al. did (needs OpenCV).",
)
@click.option(
    "--tolerance",
    type=click.FloatRange(0),
    default=15,
    show_default=True,
    callback=_pixels,
    metavar="PIXELS",
    help="How far from the object the map's maximum may be in the pointing game.",
)
@click.option(
    "--ignore-size",
    is_flag=True,
    help="Use boxes as they are, even if the annotation gives the picture another size.",
)
@options.class_indices
@options.out
@options.resume
@options.batch
@options.table
@options.as_json
def localization(
    pictures: tuple[Path, ...],
    annotations: Path,
    format: Format | None,
    choice: Choice,
    methods: tuple[str, ...],
    given: dict[str, str],
    layer: str | None,
    on: On,
    threshold: Threshold,
    segments: Segments,
    grabcut: bool,
    tolerance: float,
    ignore_size: bool,
    class_indices: bool,
    out: Path,
    resume: bool,
    batch: int,
    table_file: Path | None,
    as_json: bool,
) -> int:
    """Compare the maps of the true classes with annotated boxes or masks.

    \b
    gradcam evaluate localization val --annotations Annotations/val -m grad_cam -m saliency
    gradcam evaluate localization photos -a instances.json --table results.csv

    The errors are ILSVRC's.  A classification error: the true class is not the most probable one
    (top-1), or not among the five most probable ones (top-5).  A localization error: a
    classification error, or the box of the class's map has an intersection over union of 0.5 or
    less with each true box.  If a picture has several true classes, one that is right is enough.
    Maps of other classes cannot change the errors and are not computed.

    The map of each true class is also judged by itself, whatever the network predicts: whether its
    maximum is on the object (pointing game), the share of its sum inside the object (energy
    inside), and its mean inside over its mean outside.  The object is the mask if there is one,
    else the box.

    An annotation belongs to the picture of the same name, whatever the suffix.  If several
    annotations or pictures have that name, their folders must agree too: dog/1.xml and dog/1.jpg.
    The class of a mask is that of
    classes.csv in the folder of masks (columns picture, class), else the name of the folder that
    the mask or the picture is in.  Boxes in a CSV count pixels from 0, and x1 and y1 are exclusive;
    Kaggle's LOC_val_solution.csv is read, too.

    Pictures without ground truth, and those whose classes the network does not know, are counted
    and left out.  A crowd in COCO's JSON has no box: only its segmentation counts.  The summary is
    printed and written to localization.json in the folder of --out.
    """
    chosen = asked.with_options(methods, given)
    if grabcut:
        _check_grabcut(chosen)
    folders = [path for path in pictures if path.is_dir()]
    truth = open_annotations(annotations, folders, format)
    check_apart(truth, folders)
    check_not_replaced([out / SUMMARY, table_file], [annotations, annotations / CLASSES])
    network = choice.network()
    asked.check_layer(network, layer, methods)
    terminal.note(choice, network, pictures)

    from gradcam._cli.localization import COLUMNS, Localizing, Settings, rows
    from gradcam._cli.tally import Tally

    settings = Settings(threshold, segments, grabcut, tolerance, ignore_size, class_indices)
    job = Localizing(network, truth, chosen, given, layer, on, settings)
    tally = Tally()

    def first(jobs: Sequence[Job]) -> None:
        truth.expect(job.path for job in jobs)
        (out / SUMMARY).unlink(missing_ok=True)  # of an earlier run

    command = Command(
        *(network, job.work, None, as_json, batch, out, resume),
        {**choice.digest(), **job.options()},
        rows=rows,
        first=first,
        before=job.before,
        every=tally.add,
        silent=(gradcam.FlatMapWarning,),
    )
    status = command.over(pictures, None if table_file is None else table_at(table_file, COLUMNS))
    summary = tally.summary()
    with atomic_write(out / SUMMARY) as file:
        file.write(json.dumps(summary, indent=1).encode())
    if not tally.pictures:
        return _nothing(summary, truth, as_json)
    _show(summary, as_json)
    return status


def _nothing(summary: Summary, truth: Annotations, as_json: bool) -> int:
    """Say why no picture was evaluated."""
    from gradcam._cli.tally import NUMBERS

    if as_json:
        click.echo(json.dumps({"summary": summary}))
    reasons = []
    if count := summary["without_ground_truth"]:
        reasons.append(
            f"{count} without ground truth in {truth.path} (which has {truth.count}, for example "
            f"{truth.example!r})"
        )
    if count := summary["unknown_class"]:
        name = next(iter(summary["unknown_classes"]))
        reasons.append(
            f"{count} whose classes the network does not know, or not for certain (for example "
            f"{name!r})"
        )
    if reasons:
        terminal.echo(f"Error: no picture was evaluated: {', '.join(reasons)}", err=True)
    if count := summary["crowds_without_segmentation"]:
        terminal.echo(f"Crowds without a segmentation, left out: {count}.", err=True)
    if any(map(is_number, summary["unknown_classes"])):
        terminal.echo(NUMBERS, err=True)
    return NOTHING_DONE


def _show(summary: Summary, as_json: bool) -> None:
    """Print the summary."""
    if as_json:
        click.echo(json.dumps({"summary": summary}))
        return
    from gradcam._cli.tally import sentences, tables

    console = terminal.console()
    for title, table in tables(summary):
        terminal.show(console, title, style="bold")
        terminal.show(console, table)
    for text in sentences(summary):
        terminal.echo(text)


def check_apart(truth: Annotations, folders: Sequence[Path]) -> None:
    """Raise UsageError if masks lie among the pictures."""
    masks = truth.path.resolve()
    for folder in folders:
        if truth.format == "masks" and folder.resolve() in (masks, *masks.parents):
            raise click.UsageError(
                f"--annotations {truth.path}: the masks are in {folder}, so that they would be "
                f"taken for pictures: name the folders of the pictures alone, or move the masks."
            )


def _check_grabcut(methods: Sequence[Method]) -> None:
    """Refuse --grabcut without effect, or options without effect beside it; OpenCV is needed."""
    over = [method.name for method in methods if method.view in OVER_PICTURE]
    if len(over) == len(methods):
        raise click.UsageError(
            f"--grabcut has no effect on {', '.join(over)}: it finds the boxes of maps of single "
            f"pixels, as those of --method saliency or guided_backprop."
        )
    if not over:
        context = click.get_current_context()
        for name in ("threshold", "segments"):
            if context.get_parameter_source(name) is not ParameterSource.DEFAULT:
                raise click.UsageError(
                    f"--{name} has no effect with --grabcut on {', '.join(m.name for m in methods)}"
                    f": GrabCut finds one box by itself.  Leave out one of the two."
                )
    try:
        importlib.import_module("cv2")
    except ImportError:
        raise click.ClickException(
            "--grabcut needs OpenCV: pip install 'gradcam[localization]', or opencv-python-headless"
        ) from None
