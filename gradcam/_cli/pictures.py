"""``gradcam predict``, ``explain`` and ``compare``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

import gradcam
from gradcam._cli import options, records, terminal
from gradcam._cli.many import Record, Run
from gradcam._cli.options import Choice
from gradcam._files import fitting
from gradcam._text import percent

if TYPE_CHECKING:
    from rich.table import Table

    from gradcam._engine.network import Network
    from gradcam._results.objectives import On


@click.command(short_help="List the most probable classes of pictures.")
@options.pictures
@options.choice
@click.option("--top", "-k", type=click.IntRange(1), default=5, show_default=True, metavar="K")
@options.as_json
def predict(pictures: tuple[Path, ...], choice: Choice, top: int, as_json: bool) -> int:
    """List the most probable classes of pictures (or folders of pictures)."""
    network = choice.network()
    terminal.note(network.about, pictures)

    def work(path: Path, name: str) -> Record:
        return {"predictions": records.predictions(network.forward(path), top)}

    def show(record: Record) -> Table:
        rows = terminal.table()
        for each in record["predictions"]:
            share = each["probability"]
            rows.add_row(each["label"], each["synset"], percent(share), terminal.bar(share))
        return rows

    return Run(work, show, as_json).over(pictures)


@click.command(short_help="Explain classes of pictures, each as a PNG file.")
@options.pictures
@options.choice
@options.classes
@click.option(
    "--top",
    "-k",
    type=click.IntRange(1),
    metavar="K",
    help="Explain the K most probable classes.  Default: 1, or none if --class is given.",
)
@options.methods("grad_cam")
@options.layer
@options.on
@options.out
@options.cmap("jet")
@click.option("--npz", is_flag=True, help="Write the raw map and its weights as .npz too.")
@options.as_json
def explain(
    pictures: tuple[Path, ...],
    choice: Choice,
    classes: tuple[str, ...],
    top: int | None,
    methods: tuple[str, ...],
    layer: str | None,
    on: On,
    out: Path,
    cmap: str,
    npz: bool,
    as_json: bool,
) -> int:
    """Explain classes of pictures (or folders of pictures), each as a PNG file.

    DIR/cat-grad_cam-tiger_cat.png is Grad-CAM of the class tiger_cat in cat.jpg.  If two pictures
    have the same name, the second becomes cat-2.
    """
    from gradcam import plot

    plot.colour(0, cmap)  # refuse an unknown colour map before any work
    network = choice.network()
    _check_layer(network, layer, methods)
    asked = records.asked(network.labels, classes)
    terminal.note(network.about, pictures)
    count = top if top is not None else 0 if asked else 1

    def work(path: Path, name: str) -> Record:
        tape = network.forward(path)
        predictions = records.predictions(tape, max(count, 5))
        targets = list(dict.fromkeys([*asked, *(p["index"] for p in predictions[:count])]))
        slugs = records.slugs(network.labels, targets)
        made = []
        for method in methods:
            at = layer if gradcam.METHODS[method].takes_layer else None
            explanations = tape.explain(method, targets, layer=at, on=on)
            for index, found in zip(targets, explanations, strict=True):
                file = out / fitting(f"{name}-{method}-{slugs[index]}.png")
                plot.save(found.render(cmap), file)
                if npz:
                    found.save(file.with_suffix(".npz"))
                made.append(records.explanation(found, network.labels[index], file, npz))
        return {"predictions": predictions, "explanations": made}

    def show(record: Record) -> Table:
        rows = terminal.table()
        for each in record["explanations"]:
            rows.add_row(
                each["class"]["label"], percent(each["probability"]), Path(each["file"]).name
            )
        return rows

    return Run(work, show, as_json, out).over(pictures)


@click.command(short_help="Draw all methods side by side, as one figure.")
@options.pictures
@options.choice
@options.classes
@click.option(
    "--top",
    "-k",
    type=click.IntRange(1),
    default=3,
    show_default=True,
    metavar="K",
    help="A row for each of the K most probable classes, if no --class is given.",
)
@options.methods("saliency", "deconvnet", "guided_backprop", "grad_cam", "guided_grad_cam")
@options.layer
@options.on
@options.out
@options.cmap("inferno")
@click.option(
    "--scale",
    type=click.Choice(("column", "map")),
    default="column",
    show_default=True,
    help="What the maps share their maximum with: all of a column, so that classes can be "
    "compared, or none.",
)
@click.option(
    "--dpi", type=click.IntRange(20, 600), default=120, show_default=True, help="Pixels per inch."
)
@options.as_json
def compare(
    pictures: tuple[Path, ...],
    choice: Choice,
    classes: tuple[str, ...],
    top: int,
    methods: tuple[str, ...],
    layer: str | None,
    on: On,
    out: Path,
    cmap: str,
    scale: Literal["column", "map"],
    dpi: int,
    as_json: bool,
) -> int:
    """Draw the explanations of a picture side by side, as one figure.

    A row for each class, a column for each method, on one colour scale: DIR/cat-compare.png.
    """
    from gradcam import plot

    plot.colour(0, cmap)  # refuse an unknown colour map before any work
    network = choice.network()
    _check_layer(network, layer, methods)
    asked = records.asked(network.labels, classes)
    terminal.note(network.about, pictures)

    def work(path: Path, name: str) -> Record:
        figure = gradcam.compare(
            network.forward(path),
            asked or None,
            top=top,
            methods=methods,
            layer=layer,
            on=on,
            cmap=cmap,
            scale=scale,
        )
        file = out / fitting(f"{name}-compare.png")
        plot.save(figure, file, dpi=dpi)
        return {"file": str(file)}

    def show(record: Record) -> Table:
        rows = terminal.table()
        rows.add_row(Path(record["file"]).name)
        return rows

    return Run(work, show, as_json, out).over(pictures)


def _check_layer(network: Network, layer: str | None, methods: Sequence[str]) -> None:
    """Refuse a layer that nothing can be shown of, before the first picture is read."""
    if layer is None:
        return
    if not any(gradcam.METHODS[name].takes_layer for name in methods):
        *others, last = (name for name, method in gradcam.METHODS.items() if method.takes_layer)
        raise click.UsageError(
            f"--layer has no effect on {', '.join(methods)}: it goes with --method "
            f"{', '.join(others)} or {last}."
        )
    shape = records.shapes(network)[network.names(layer)[0]]
    if len(shape) != 3 or shape[1] * shape[2] == 1:
        raise click.UsageError(
            f"the layer {layer} has no spatial map (its shape is {terminal.shape_text(shape)}): "
            f"choose a convolution, ReLU or pooling before it, for example "
            f"{network.target_layer}."
        )
