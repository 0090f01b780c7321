"""``gradcam info`` and ``convert``: the installation, models, weight files and the cache."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypedDict

import click

import gradcam
from gradcam._cli import options, records, terminal
from gradcam._cli.options import Choice
from gradcam._cli.wording import for_commands
from gradcam._weights.tensors import listed

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from gradcam._engine.network import Network
    from gradcam._models.description import Contents, Description


class LayerRecord(TypedDict, total=False):
    """A layer; without weights its shape is not known."""

    name: str
    aliases: list[str]
    shape: list[int]
    values: int


class ModelRecord(TypedDict):
    """What `gradcam info` prints about the installation and a model."""

    config: dict[str, str]
    networks: dict[str, str]
    model: str
    preset: str | None
    target_layer: str
    classes: list[records.ClassRecord]
    layers: list[LayerRecord]


class CacheFile(TypedDict):
    """A file of the cache; `size` is in bytes, `last_used` in seconds since 1970."""

    path: str
    kind: str
    size: int
    last_used: float
    source: str


class CacheRecord(TypedDict):
    """What the cache holds; sizes are in bytes, and `folder` is null if caching is off."""

    folder: str | None
    limit: int
    total: int
    files: list[CacheFile]


@click.command(short_help="Show the installation, a model, a weight file, or the cache.")
@click.argument("file", required=False, type=click.Path(path_type=Path))
@options.choice
@click.option("--cache", "show_cache", is_flag=True, help="Show what the cache holds.")
@click.option("--clear-cache", is_flag=True, help="Remove the cache's files, but no downloads.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def info(
    file: Path | None, choice: Choice, show_cache: bool, clear_cache: bool, as_json: bool
) -> int:
    """Show the installation, a model's classes and layers, or what the weight file FILE holds.

    The parameters of a layer are all values of its weights, those of constant scales among them.

    With --cache, show the files of the cache: transformed and converted weights, which make later
    starts faster.
    """
    if show_cache or clear_cache:
        if file is not None or choice:
            raise click.UsageError("--cache and --clear-cache are used without a file or a model.")
        return _info_cache(clear_cache, as_json)
    if file is not None:
        if replace(choice, size=None, output=None):
            raise click.UsageError(
                "FILE is shown with --size and --output alone: leave out --model, --weights and "
                "others."
            )
        description = gradcam.weights.describe(file, size=choice.size, output=choice.output)
        if as_json:
            click.echo(json.dumps(description.to_dict()))
        else:
            _show_file(description)
        return 0
    content = _model_record(choice)
    if as_json:
        click.echo(json.dumps(content))
    else:
        _show_model(content)
    return 0


@click.command(short_help="Write the network in a weight file of any kind as safetensors.")
@click.argument("source", metavar="IN", type=click.Path(path_type=Path))
@click.argument("target", metavar="OUT.safetensors", type=click.Path(path_type=Path))
@click.option(
    "--dtype",
    type=click.Choice(("float32", "float16")),
    default="float32",
    show_default=True,
    help="float16 halves the file and rounds to 11 bits of precision.",
)
@click.option(
    "--labels",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The names of the classes, which OUT then holds: text, JSON or TSV.",
)
@click.option(
    "--preset",
    type=click.Choice(tuple(gradcam.PRESETS)),
    help="How pictures are prepared for the weights.  Default: what goes with IN.",
)
@options.size
@options.output
@click.option("--force", is_flag=True, help="Replace OUT if it exists.")
def convert(
    source: Path,
    target: Path,
    dtype: Literal["float32", "float16"],
    labels: Path | None,
    preset: str | None,
    size: tuple[int, int] | None,
    output: str | None,
    force: bool,
) -> int:
    """Write the network in the weight file IN as safetensors, which loads fastest.

    OUT holds the layers with their names and weights, the classes and the preset, and needs no
    other library.  Its tensors have torchvision's names if the network is one of torchvision's.
    """
    if target.exists() and not force and not target.samefile(source):
        raise click.UsageError(f"{target} exists already: name another file, or use --force.")
    found = gradcam.weights.convert(
        *(source, target),
        dtype=dtype,
        labels=labels,
        preset=preset,
        size=size,
        output=output,
        force=force,
    )
    name = "none" if found.preset is None else found.preset.name
    terminal.echo(
        f"{target}: {found.architecture or found.name}, {found.classes} classes, preset {name}, "
        f"{dtype}, {target.stat().st_size:,} bytes"
    )
    if found.ignored:
        terminal.echo(
            f"{len(found.ignored)} tensors of {source} are not part of the network and were left "
            f"out"
        )
    return 0


def _info_cache(clear: bool, as_json: bool) -> int:
    """Show the cache, or remove its files first."""
    from gradcam import _cache

    removed = _cache.clear() if clear else 0
    if clear and not as_json:
        terminal.echo(f"removed {_megabytes(removed)}")
    folder = _cache.folder()
    files: list[CacheFile] = [
        {
            "path": str(entry.path),
            "kind": entry.kind,
            "size": entry.size,
            "last_used": entry.last_used,
            "source": entry.source,
        }
        for entry in _cache.entries()
    ]
    content: CacheRecord = {
        "folder": None if folder is None else str(folder),
        "limit": _cache.MAX_BYTES,
        "total": sum(each["size"] for each in files),
        "files": files,
    }
    if as_json:
        click.echo(json.dumps(content))
    else:
        _show_cache(content)
    return 0


_CONTENTS = {
    "forward": "convolutions, for forward passes",
    "backward": "convolutions, for backward passes",
    "input-major": "fully connected, for inputs with zeros",
    "sums": "fully connected, summed over positions",
    "converted": "weights in another order",
}


def _show_cache(content: CacheRecord) -> None:
    """Print what the cache holds."""
    console = terminal.console()
    facts = terminal.table()
    facts.add_row("folder", content["folder"] or "none: caching is off")
    count = len(content["files"])
    files = f"{count} file{'s' * (count != 1)}"
    facts.add_row("total", f"{_megabytes(content['total'])} in {files}")
    limit = f"{_megabytes(content['limit'])}; the least recently used files are removed first"
    facts.add_row("limit", limit)
    facts.add_row("another folder", "environment variable GRADCAM_CACHE=FOLDER, or =off")
    facts.add_row("to clear it", "gradcam info --clear-cache")
    terminal.show(console, facts)
    if not content["files"]:
        return
    rows = terminal.table("Kind", "Content", ">Size", "Last used", "Weight file", "File")
    for each in content["files"]:
        used = datetime.fromtimestamp(each["last_used"]).strftime("%Y-%m-%d %H:%M")
        size, name = _megabytes(each["size"]), Path(each["path"]).name
        contents = _CONTENTS.get(each["kind"], "")
        rows.add_row(each["kind"], contents, size, used, each["source"] or "?", name)
    terminal.show(console, "")
    terminal.show(console, rows)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"


def _model_record(choice: Choice) -> ModelRecord:
    from gradcam._config import config

    if choice.trained or choice.weights is not None:
        network = choice.network()
        shapes = records.shapes(network)
    else:  # the names do not depend on the weights; the shapes do
        network = _without_weights(choice)
        shapes = {}
    layers: list[LayerRecord] = []
    for name in network.layers:
        layer: LayerRecord = {"name": name, "aliases": list(network.names(name)[1:])}
        if name in shapes:
            layer |= {"shape": list(shapes[name]), "values": math.prod(shapes[name])}
        layers.append(layer)
    return {
        "config": config(),
        "networks": _trained(),
        "model": network.name,
        "preset": None if network.preset is None else network.preset.name,
        "target_layer": network.target_layer,
        "classes": [records.of_class(target) for target in network.labels],
        "layers": layers,
    }


def _trained() -> dict[str, str]:
    """Return what the networks with their own weights know, and which of them is the default."""
    installed = gradcam.imagenet.is_installed()
    known = f"photographs of {len(gradcam.imagenet.labels())} classes"
    drawn = f"drawings of {len(gradcam.pictograms.CLASSES)} classes"
    return {
        "imagenet": f"{known}; " + ("the default" if installed else gradcam.imagenet.INSTALL),
        "pictograms": drawn + ("" if installed else "; the default"),
    }


def _without_weights(choice: Choice) -> Network:
    """Return a network with the layers of the chosen model and weights of 0.

    Raises
    ------
    click.UsageError
        If an option is given that has no effect on the names of classes and layers.
    """
    if replace(choice, model=None, preset=None, labels=None):
        raise click.UsageError(
            "--head, --size and --output go with --weights FILE, whose network they change."
        )
    make = getattr(gradcam, str(choice.model))
    tensors = make.architecture.zero_tensors()
    network: Network = make(tensors, preset=choice.preset, labels=choice.labels)
    return network


_SENTENCES = ("network", "preset", "note")
"""Facts of a weight file that may be sentences of the library."""


def _show_file(description: Description) -> None:
    """Print what a weight file holds."""
    console = terminal.console()
    facts = terminal.table()
    for title, text in description.facts():
        facts.add_row(title, for_commands(text) if title in _SENTENCES else text)
    terminal.show(console, facts)
    terminal.show(console, "")
    network = description.network
    terminal.show(console, _tensor_rows(description) if network is None else _layer_rows(network))


def _tensor_rows(description: Description) -> Table:
    rows = terminal.table("Tensor", "Shape", ">Values", "Type")
    for tensor in description.tensors:
        shape = terminal.shape_text(tensor.shape)
        rows.add_row(tensor.name, shape, f"{tensor.values:,}", tensor.dtype)
    return rows


_NAMES = 4
"""Further names of a layer that are shown; exporters can give a dozen."""


def _layer_rows(network: Contents) -> Table:
    rows = terminal.table("Layer", "Operation", "Output", ">Parameters", ">MFLOP", "Also called")
    for layer in network.layers:
        parameters = f"{layer.parameters:,}" if layer.parameters else ""
        flop = f"{layer.flop / 1e6:,.3f}" if layer.flop else ""
        shape, others = terminal.shape_text(layer.shape), listed(layer.aliases, _NAMES)
        rows.add_row(layer.name, layer.op, shape, parameters, flop, others)
    total = (f"{network.parameters:,}", f"{network.flop / 1e6:,.3f}")
    rows.add_row("in all", "", "", *total, "")
    return rows


def _show_model(content: ModelRecord) -> None:
    """Print the installation, and a model's classes and layers."""
    console = terminal.console()
    facts = terminal.table()
    for key, value in content["config"].items():
        facts.add_row(key, value)
    facts.add_row()
    for name, about in content["networks"].items():
        facts.add_row(f"--model {name}", about)
    facts.add_row()
    facts.add_row("model", f"{content['model']}, {len(content['classes'])} classes")
    if "shape" not in content["layers"][0]:
        facts.add_row("weights", "none; with --weights FILE, layers show their shapes, too")
    facts.add_row("preset", content["preset"] or "none: pictures need --preset")
    facts.add_row("Grad-CAM at", content["target_layer"])
    terminal.show(console, facts)
    _show_classes(console, content)
    _show_layers(console, content)


def _show_classes(console: Console, content: ModelRecord) -> None:
    from rich.columns import Columns

    terminal.show(console, "")
    terminal.show(console, "  Classes: index, synset and label", style="bold")
    names = [
        " ".join(filter(None, (f"  {c['index']:>3}", c["synset"], c["label"])))
        for c in content["classes"]
    ]
    columns = Columns(names, padding=(0, 1), equal=True, column_first=True)
    terminal.show(console, columns, width=None if console.is_terminal else 100)


def _show_layers(console: Console, content: ModelRecord) -> None:
    shaped = "shape" in content["layers"][0]
    rows = terminal.table("Layer", "Also called", *(("Output", ">Values") if shaped else ()))
    for layer in content["layers"]:
        size = (terminal.shape_text(layer["shape"]), f"{layer['values']:,}") if shaped else ()
        rows.add_row(layer["name"], ", ".join(layer["aliases"]), *size)
    terminal.show(console, "")
    terminal.show(console, rows)
