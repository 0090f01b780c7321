"""``gradcam inside units``: the units of a layer, named by the masks that they match."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np
from click.core import ParameterSource

import gradcam
from gradcam._annotations.masks import CLASSES
from gradcam._annotations.reading import Annotations, Format, open_annotations
from gradcam._annotations.truth import Annotation, placed
from gradcam._cli import options, records, terminal
from gradcam._cli.app import SOME_FAILED, sentence
from gradcam._cli.evaluate import check_apart
from gradcam._cli.inputs import Found, find
from gradcam._cli.inside import check_exist, figure_file, inside, is_watched, write
from gradcam._cli.many import Record, check_out, folder_error, report_failed, report_ignored
from gradcam._cli.options import Choice
from gradcam._cli.outputs import check_not_replaced, check_writable
from gradcam._cli.table import Columns, Row, table_at
from gradcam._labels.classes import known_class

if TYPE_CHECKING:
    from rich.table import Table

    from gradcam._engine.network import Network
    from gradcam._labels.classes import Labels
    from gradcam.inside import Concept, Dissection, Reason
    from gradcam.inside._concepts import Mask

COLUMNS: Columns = {
    "unit": int,
    "concept": str,
    "kind": str,
    "iou": float,
    "threshold": float,
    "silent": int,
}
"""The columns of the table: a row for each unit. `concept` and `iou` are those of the best one,
which is the unit's name if the IoU is above that of --iou."""

_MOST = 4
"""Units of a concept that are listed."""


@inside.command(short_help="Name the units of a layer by the masks that they match.")
@click.argument("pictures", nargs=-1, metavar="[DIR]...", type=click.Path(path_type=Path))
@options.annotations_path
@options.annotations_format
@click.option(
    "--scenes",
    type=click.IntRange(1),
    default=500,
    show_default=True,
    metavar="N",
    help="How many scenes of pictograms are drawn, if no pictures are named.",
)
@options.seed("The seed of the first scene.")
@options.choice
@click.option(
    "--layer",
    "-l",
    metavar="LAYER",
    help="A layer with a map, by any of its names (see: gradcam info).  Default: the layer of "
    "Grad-CAM.",
)
@click.option(
    "--quantile",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.995,
    show_default=True,
    metavar="SHARE",
    help="A unit fires where its value is above this share of all its values.  For colours "
    "use 0.95.",
)
@click.option(
    "--iou",
    type=click.FloatRange(0, 1, max_open=True),
    default=0.05,
    show_default=True,
    help="A unit gets a name if its intersection over union with the concept is above this.",
)
@click.option(
    "--count",
    type=click.IntRange(1, 30),
    default=8,
    show_default=True,
    metavar="N",
    help="How many units the figure shows.",
)
@click.option(
    "--explain",
    "-e",
    "explained",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="PICTURE",
    help="Say by the names of units why this picture has its most probable class, or that of "
    "--class; may be repeated.",
)
@options.classes
@options.batch
@options.table
@options.out
@options.as_json
def units(
    pictures: tuple[Path, ...],
    annotations: Path | None,
    format: Format | None,
    scenes: int,
    seed: int,
    choice: Choice,
    layer: str | None,
    quantile: float,
    iou: float,
    count: int,
    explained: tuple[Path, ...],
    classes: tuple[str, ...],
    batch: int,
    table_file: Path | None,
    out: Path,
    as_json: bool,
) -> int:
    """Name the units of a layer by what they respond to: DIR/units-relu5_3.png.

    \b
    gradcam inside units
    gradcam inside units --explain picture.png
    gradcam inside units val --annotations instances.json --model imagenet

    A unit's map is enlarged to each picture.  Where it is above a threshold, which few of the
    unit's values reach, the unit fires, and these places are compared with the mask of each
    concept, over all pictures together (Network Dissection, Bau et al. 2017).  The unit's name is
    the concept with the highest intersection over union.

    Without pictures, scenes of pictograms are drawn, whose masks and colours are known, and the
    network is that of the pictograms unless another one is named.  For pictures of your own, name
    the annotations: the mask of an object, or its box if there is no mask.  Pictures without
    annotation only count for the thresholds.

    The masks of other pictures show how many units would have a name by chance.
    """
    _check_options(pictures, annotations, format, explained, classes)
    check_exist(pictures)
    for picture in explained:
        check_exist([picture])
    choice = _chosen(choice, pictures)
    table = None if table_file is None else table_at(table_file, COLUMNS)
    check_writable([out / "units.png"])
    given = None if annotations is None else _Given.read(pictures, annotations, format, out)
    if annotations is not None:
        check_not_replaced([table_file], [annotations, annotations / CLASSES])
    network = choice.network()
    terminal.note(choice, network, pictures)
    asked = records.asked(network.labels, classes)
    settings = _Settings(layer, quantile, iou, batch, is_watched(as_json))
    dissection = (
        settings.scenes(network, scenes, seed)
        if given is None
        else given.dissect(network, settings)
    )
    if table is not None:
        rows = table()
        rows.add(_rows(dissection))
        rows.close()
    _report(dissection, count, out, as_json)
    failed = [] if given is None else given.failed(dissection)
    for picture in explained:
        try:
            _explain(dissection, picture, asked, as_json)
        except (ValueError, OSError) as error:
            failed.append(_failure(picture, error))
    tried = len(explained) + (0 if given is None else len(given.found.names))
    report_failed(failed, tried, tried)
    return SOME_FAILED if failed else 0


def _check_options(
    pictures: Sequence[Path],
    annotations: Path | None,
    format: Format | None,
    explained: Sequence[Path],
    classes: Sequence[str],
) -> None:
    """Raise UsageError for options that do not go together."""
    if pictures and annotations is None:
        raise click.UsageError(
            "Pictures need annotations, which say what they show and where: --annotations PATH.  "
            "Without pictures, scenes of pictograms are drawn."
        )
    if annotations is not None and not pictures:
        raise click.UsageError("--annotations: name the folder of the pictures, too.")
    if format is not None and annotations is None:
        raise click.UsageError("--format goes with --annotations.")
    if classes and not explained:
        raise click.UsageError("--class goes with --explain PICTURE.")
    context = click.get_current_context()
    for name in ("scenes", "seed"):
        if pictures and context.get_parameter_source(name) is not ParameterSource.DEFAULT:
            raise click.UsageError(f"--{name} goes without pictures: it is about drawn scenes.")


def _chosen(choice: Choice, pictures: Sequence[Path]) -> Choice:
    """Return the choice of the network; for scenes, that of the pictograms by default."""
    if pictures or choice:
        return choice
    terminal.echo(
        "Network: pictograms, because the pictures are scenes of them; --model or --weights names "
        "another",
        err=True,
    )
    return Choice(model="pictograms")


@dataclass(frozen=True)
class _Settings:
    """How units are named."""

    layer: str | None
    quantile: float
    iou: float
    batch: int
    progress: bool

    def scenes(self, network: Network, count: int, first: int) -> Dissection:
        """Name units by scenes of pictograms."""
        return gradcam.pictograms.dissect(
            network,
            self.layer,
            scenes=count,
            first=first,
            quantile=self.quantile,
            iou=self.iou,
            batch=self.batch,
            progress=self.progress,
        )


@dataclass(frozen=True)
class _Given:
    """Pictures and their annotations.

    Attributes
    ----------
    found : Found
    files : list of Path
        The pictures.
    truth : Annotations
    """

    found: Found
    files: list[Path]
    truth: Annotations

    @classmethod
    def read(
        cls, pictures: Sequence[Path], annotations: Path, format: Format | None, out: Path
    ) -> _Given:
        """Find the pictures, and open the annotations."""
        check_out(out, pictures)
        folders = [path for path in pictures if path.is_dir()]
        truth = open_annotations(annotations, folders, format)
        check_apart(truth, folders)
        found = find(pictures, out)
        files = [path for path in found.names if not path.is_dir()]
        if not files:
            empty = next(iter(found.names))
            raise click.ClickException(f"{empty}: {sentence(folder_error(empty))}")
        check_not_replaced([out / "units-*.png"], [*files, annotations])
        truth.expect(files)
        return cls(found, files, truth)

    def dissect(self, network: Network, settings: _Settings) -> Dissection:
        """Name units by the annotations."""
        from gradcam.inside._dissect import NoConcept

        known = 0

        def masks(number: int, size: tuple[int, int]) -> dict[Concept, Mask]:
            nonlocal known
            annotation = self.truth.of(self.files[number])
            if annotation is None:
                return {}
            known += 1
            return _masks(annotation, size, network.labels)

        try:
            return gradcam.inside.dissect(
                network,
                self.files,
                masks,
                settings.layer,
                quantile=settings.quantile,
                iou=settings.iou,
                batch=settings.batch,
                on_error="skip",
                progress=settings.progress,
            )
        except NoConcept as error:
            if known:
                raise
            raise click.ClickException(
                f"no picture has annotations in {self.truth.path}, which has {self.truth.count}, "
                f"for example {self.truth.example!r}"
            ) from error

    def failed(self, dissection: Dissection) -> list[tuple[str, str]]:
        """Say what was ignored, and return the pictures that failed, and why."""
        report_ignored(self.found)
        empty = [path for path in self.found.names if path.is_dir()]
        return [
            *((str(path), sentence(folder_error(path))) for path in empty),
            *(_failure(self.files[number], error) for number, error in dissection.skipped),
        ]


def _masks(annotation: Annotation, size: tuple[int, int], labels: Labels) -> dict[Concept, Mask]:
    """Return the places of the classes of one picture: their masks, or else their boxes."""
    found: dict[Concept, Mask] = {}
    for each in placed(annotation, size):
        target = known_class(labels, each.label)
        concept = gradcam.inside.Concept(each.label if target is None else target.label)
        mask = found.setdefault(concept, np.zeros(size, bool))
        if each.mask is not None:
            mask |= each.mask
        elif each.box is not None:
            x0, y0, x1, y1 = each.box
            mask[y0:y1, x0:x1] = True
    return found


def _failure(picture: Path, error: Exception) -> tuple[str, str]:
    return str(picture), sentence(error).removeprefix(f"{picture}: ")


def _rows(dissection: Dissection) -> list[Row]:
    """Return the rows of the table."""
    best = dissection.scores.argmax(1).tolist()
    return [
        {
            "unit": unit,
            "concept": dissection.concepts[n].name,
            "kind": dissection.concepts[n].kind,
            "iou": float(dissection.scores[unit, n]),
            "threshold": float(dissection.thresholds[unit]),
            "silent": int(dissection.silent[unit]),
        }
        for unit, n in enumerate(best)
    ]


def _report(dissection: Dissection, count: int, out: Path, as_json: bool) -> None:
    """Write the figure, if a unit has a name, and print what was found."""
    parts = [f"count-{count}"] if count != 8 else []
    place = figure_file(out / "units", dissection.layer, *parts)
    file = place if dissection.units else None
    if file is not None:
        write(dissection.plot(count=count), file)
    if as_json:
        click.echo(json.dumps(_record(dissection, file)))
    else:
        terminal.echo(f"{dissection.finding}.")
    if dissection.caution:
        terminal.echo(f"Warning: {dissection.caution}.", err=True)
    if file is None:
        earlier = f"  {place} is that of an earlier run." if place.exists() else ""
        terminal.echo(
            f"No figure: no unit has a name.  Try a lower --iou, another --quantile, or more "
            f"pictures.{earlier}",
            err=True,
        )
    elif not as_json:
        terminal.show(terminal.console(), _shown(dissection))
        terminal.echo(f"  {file.name}")
        terminal.echo(f"Written to {out}")


def _record(dissection: Dissection, file: Path | None) -> Record:
    """Return what JSON says of the units."""
    return {
        "layer": dissection.layer,
        "pictures": dissection.pictures,
        "quantile": dissection.quantile,
        "iou": dissection.iou,
        "units": len(dissection.names),
        "silent": np.flatnonzero(dissection.silent).tolist(),
        "named": [
            {
                "unit": each.number,
                "concept": each.concept.name,
                "kind": each.concept.kind,
                "iou": each.iou,
            }
            for each in dissection.units
        ],
        "by_chance": dissection.by_chance,
        "caution": dissection.caution,
        "absent": [str(each) for each in dissection.absent],
        "finding": dissection.finding,
        "file": None if file is None else str(file),
    }


def _shown(dissection: Dissection) -> Table:
    """Return the concepts, each with its best units."""
    rows = terminal.table("concept", ">IoU", ">units", "best units")
    for concept, found in dissection.detectors.items():
        best = ", ".join(str(each.number) for each in found[:_MOST])
        more = ", ..." if len(found) > _MOST else ""
        rows.add_row(str(concept), f"{found[0].iou:.2f}", str(len(found)), f"{best}{more}")
    return rows


def _explain(dissection: Dissection, picture: Path, classes: Sequence[int], as_json: bool) -> None:
    """Say why a picture has a class, for each class asked for or the most probable one."""
    tape = dissection.network.forward(picture)
    for index in classes or [int(tape.scores[0].argmax())]:
        said = dissection.sentence(tape.grad_cam(index, layer=dissection.layer))
        if not as_json:
            terminal.echo(f"{picture}: {said}")
            continue
        record = {
            "picture": str(picture),
            "class": records.of_class(tape.labels[index]),
            "sentence": said.text,
            "highest": [_reason(each) for each in said.highest],
            "lowest": [_reason(each) for each in said.lowest],
        }
        click.echo(json.dumps(record))


def _reason(reason: Reason) -> Record:
    known = reason.concept is not None
    return {
        "unit": reason.unit,
        "alpha": reason.alpha,
        "concept": reason.concept.name if reason.concept else None,
        "kind": reason.concept.kind if reason.concept else None,
        "iou": reason.iou if known else None,
    }
