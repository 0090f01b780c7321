"""``gradcam train-head``: a classifier of your own from a folder of pictures by class."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import gradcam
from gradcam._cli import options, terminal
from gradcam._cli.app import SOME_FAILED
from gradcam._cli.options import Choice
from gradcam._cli.outputs import check_not_replaced, check_outside, check_writable
from gradcam._text import percent

if TYPE_CHECKING:
    from rich.table import Table

    from gradcam import Training

_MOST = 10
"""Wrong pictures that are printed."""

_DPI = 120


@click.command(short_help="Train a classifier of your own classes on a folder of pictures.")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--out",
    "-o",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    metavar="FILE.safetensors",
    help="The file to write.",
)
@options.choice
@click.option(
    "--layer",
    "-l",
    metavar="LAYER",
    help="The layer that the codes come from (see: gradcam info).  Default: what the network's "
    "global average pooling returns, else the mean of Grad-CAM's layer.",
)
@click.option(
    "--folds",
    type=click.IntRange(2),
    default=5,
    show_default=True,
    metavar="N",
    help="Folds of the cross-validation that measures the accuracy.",
)
@click.option(
    "--strength",
    "c",
    type=click.FloatRange(0, min_open=True),
    metavar="C",
    help="scikit-learn's C: smaller numbers regularise more.  Default: chosen by cross-validation.",
)
@options.seed("The seed of the random order in which pictures are assigned to folds.")
@click.option(
    "--figure",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE.png",
    help="Also draw the confusion matrix.",
)
@click.option("--force", is_flag=True, help="Replace files that exist.")
@options.batch
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, and nothing else.")
def train_head(
    folder: Path,
    out: Path,
    choice: Choice,
    layer: str | None,
    folds: int,
    c: float | None,
    seed: int,
    figure: Path | None,
    force: bool,
    batch: int,
    as_json: bool,
) -> int:
    """Train a classifier of your own classes, which every command then explains.

    DIR has a folder for each class, with a few dozen pictures in each.

    \b
    gradcam train-head fruit --out fruit.safetensors     fruit/banana/1.jpg, fruit/lemon/1.jpg, ...
    gradcam explain basket.jpg --weights fruit.safetensors --class banana

    A linear layer, a logistic regression, learns the classes from what the network sees in the
    pictures; the rest of the network stays as it is.  --head and --size are about the network that
    is read.  Needs pip install "gradcam[learn]".

    The accuracy is that of pictures that were held out: each is judged by what was learnt without
    it.  Pictures that are nearly the same, such as frames of one film, make it too high.
    """
    _check_files(folder, out, figure, force)
    read = [Path(each) for each in (choice.weights, choice.labels) if each is not None]
    check_not_replaced([out, figure], read)
    if choice.labels is not None:
        raise click.UsageError("--labels: the labels of the new classifier are DIR's folders.")
    network = choice.network()
    terminal.note(choice, network, [folder])
    trained = gradcam.fit_head(
        *(network, folder),
        layer=layer,
        folds=folds,
        C=c,
        seed=seed,
        name=out.stem,
        batch=batch,
        on_error="skip",
        progress=terminal.is_seen() and not as_json,
    )
    training = trained.training
    gradcam.weights.save(trained, out)
    if figure is not None:
        gradcam.plot.save(training.plot(), figure, dpi=_DPI)
    if as_json:
        click.echo(json.dumps(_record(training, seed, out, figure)))
    else:
        _show(training, out, figure)
    for name, reason in training.skipped:
        text = reason if reason.startswith(name) else f"{name}: {reason}"
        terminal.echo(f"Error: {text}", err=True)
    return SOME_FAILED if training.skipped else 0


def _check_files(folder: Path, out: Path, figure: Path | None, force: bool) -> None:
    """Raise UsageError, before any work, if a file cannot be written."""
    for option, file, suffix in (("--out", out, ".safetensors"), ("--figure", figure, ".png")):
        if file is None:
            continue
        if file.suffix != suffix:
            raise click.UsageError(f"{option} {file}: the name must end in {suffix}.")
        if not file.parent.is_dir():
            raise click.UsageError(f"{option} {file}: there is no folder {file.parent}.")
        check_writable([file])
        if file.exists() and not force:
            raise click.UsageError(f"{file} exists already: name another file, or use --force.")
    if figure is not None:
        check_outside(figure, folder, "--figure")


def _use(out: Path) -> str:
    """Return the command that explains pictures with the new file."""
    return f"gradcam explain PICTURE --weights {shlex.quote(str(out))}"


def _record(training: Training, seed: int, out: Path, figure: Path | None) -> dict[str, Any]:
    """Return everything as JSON has it."""
    mean, low, high, size = training.interval
    right = training.confusion.diagonal().tolist()
    return {
        "network": training.network,
        "layer": training.layer,
        "pictures": size,
        "accuracy": {"mean": mean, "low": low, "high": high},
        "chance": training.chance,
        "folds": list(training.per_fold),
        "classes": [
            {"index": index, "label": label, "pictures": count, "right": right[index]}
            for index, (label, count) in enumerate(training.counts.items())
        ],
        "confusion": training.confusion.tolist(),
        "wrong": [each._asdict() for each in training.wrong],
        "C": training.C,
        "seed": seed,
        "seconds": training.seconds,
        "notes": list(training.notes),
        "doubts": list(training.doubts),
        "skipped": [name for name, _ in training.skipped],
        "file": str(out),
        "figure": None if figure is None else str(figure),
        "use": _use(out),
    }


def _show(training: Training, out: Path, figure: Path | None) -> None:
    """Print how it went."""
    console = terminal.console()
    terminal.echo(f"{training.finding}.")
    terminal.echo(training.details)
    for note in training.notes:
        terminal.echo(f"Note: {note}")
    terminal.show(console, _by_class(training))
    wrong = training.wrong
    if wrong:
        terminal.show(console, _errors(training))
        if len(wrong) > _MOST:
            terminal.echo(f"  and {len(wrong) - _MOST} more, which --json lists")
    files = " and ".join(map(str, filter(None, (out, figure))))
    terminal.echo(f"Written to {files} after {training.seconds:.1f} s.  To use it:")
    terminal.echo(_use(out))


def _by_class(training: Training) -> Table:
    """Return the table of the classes."""
    rows = terminal.table("Class", ">Pictures", ">Right", ">", "Most often taken for")
    confusion = training.confusion
    for number, (label, count) in enumerate(training.counts.items()):
        others = confusion[number].copy()
        others[number] = 0
        most = int(others.argmax())
        other = f"{training.classes[most]} ({others[most]})" if others[most] else ""
        right = str(confusion[number, number])
        rows.add_row(label, str(count), right, percent(training.recall[label]), other)
    return rows


def _errors(training: Training) -> Table:
    """Return the table of the most confident errors."""
    rows = terminal.table("Wrong when held out", "Class", "Taken for", ">Probability")
    for each in training.wrong[:_MOST]:
        rows.add_row(each.source, each.label, each.predicted, percent(each.probability))
    return rows
