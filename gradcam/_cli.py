"""The command line: ``gradcam explain``, ``predict``, ``compare``, ``demo``, ``info``, ``convert``.

What was asked for goes to standard output as soon as it is known, tables for people or JSON for
programs; warnings and errors go to standard error. What draws or tabulates is imported by the
command that needs it, so that ``gradcam --help`` answers at once.
"""

from __future__ import annotations

import io
import json
import math
import re
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn, TypeVar

import click

import gradcam
from gradcam._weights.reading import is_published

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from gradcam._engine.network import Network
    from gradcam._engine.tape import Tape
    from gradcam._results.explanation import Explanation
    from gradcam.weights import Description

DEFAULT_OUT = Path("gradcam-out")
DEFAULT_DEMO = Path("gradcam-demo")

MODELS = (
    "pictograms",
    *(f"vgg{depth}{norm}" for norm in ("", "_bn") for depth in (11, 13, 16, 19)),
)
METHODS = tuple(gradcam.METHODS)

SOME_FAILED, NOTHING_DONE, INTERRUPTED = 1, 2, 130

_NO_WEIGHTS = """\
{model} needs --weights: gradcam brings no ImageNet weights, and would not make any up.
  --weights imagenet   downloads torchvision's, once (553 MB for vgg16)
  --weights FILE       takes a file of yours: PyTorch, Keras, Caffe, ONNX, safetensors or .npz
Or leave --model out: the built-in pictograms model needs no download."""


class _Main(click.Group):
    """A group whose mistakes end in one sentence and an exit code, never in a traceback."""

    def main(self, *args: Any, standalone_mode: bool = True, **kwargs: Any) -> Any:
        run: Callable[..., Any] = super().main
        if not standalone_mode:
            return run(*args, standalone_mode=False, **kwargs)
        for stream in (sys.stdout, sys.stderr):
            # A name that the terminal cannot show is no reason to fail after all the work.
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
        try:
            code = run(*args, standalone_mode=False, **kwargs)
        except (click.Abort, KeyboardInterrupt):
            self._leave("Interrupted.", INTERRUPTED)
        except click.ClickException as error:
            error.show()
            raise SystemExit(NOTHING_DONE) from None
        except (ValueError, IndexError, OSError, MemoryError, ImportError) as error:
            self._leave(f"Error: {_sentence(error)}", NOTHING_DONE)
        raise SystemExit(code if isinstance(code, int) else 0)

    @staticmethod
    def _leave(sentence: str, code: int) -> NoReturn:
        click.echo(sentence, err=True)
        raise SystemExit(code)


@click.group(
    cls=_Main,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(gradcam.__version__, message="gradcam %(version)s")
def main() -> None:
    """See why a convolutional network decided what it did.

    \b
    gradcam demo --open                          the built-in scenes, explained, in a browser
    gradcam explain cat.jpg                      a heat map of the most probable class
    gradcam explain cat.jpg --class dog -m grad_cam -m saliency
    gradcam compare cat.jpg                      one figure: the top classes x five methods

    The model is the built-in one, which knows three dozen pictograms, unless --weights names
    another: a VGG in a file of PyTorch, Keras, Caffe, ONNX, safetensors or NumPy.

    \b
    Exit status:
      0    all is done
      1    some pictures failed, and were named on standard error; the others are done
      2    nothing was done: a mistake in the command, or every picture failed
      130  interrupted
    """


_Command = TypeVar("_Command", bound=Callable[..., Any])


def _options(*decorators: Callable[[Any], Any]) -> Callable[[_Command], _Command]:
    def apply(command: _Command) -> _Command:
        for decorator in reversed(decorators):
            command = decorator(command)
        return command

    return apply


_pictures = click.argument(
    "pictures", nargs=-1, required=True, metavar="PICTURE...", type=click.Path(path_type=Path)
)
_model = _options(
    click.option(
        "--model",
        type=click.Choice(MODELS),
        show_choices=False,
        metavar="MODEL",
        help="pictograms (built in; the default), or vgg11, vgg13, vgg16, vgg19, or one of these "
        "with _bn.  With --weights FILE: what the file holds.",
    ),
    click.option(
        "--weights",
        metavar="FILE|NAME",
        help="A weight file of PyTorch, Keras, Caffe, ONNX, safetensors or .npz, whatever its "
        "name; or imagenet or imagenet-caffe, which are downloaded once.",
    ),
    click.option(
        "--preset",
        type=click.Choice(tuple(gradcam.PRESETS)),
        help="How the weights want pictures prepared.  Default: what goes with the file.",
    ),
    click.option(
        "--labels",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="The names of the classes: text, JSON or TSV.  Default: what the weight file says, "
        "ImageNet's where there are 1000, else numbers.",
    ),
)
_classes = click.option(
    "--class",
    "-c",
    "classes",
    multiple=True,
    metavar="NAME|INDEX|SYNSET",
    help="Explain this class; may be repeated.",
)
_layer = click.option(
    "--layer",
    "-l",
    metavar="LAYER",
    help="The layer of Grad-CAM, by its Caffe, torchvision or Keras name (see: gradcam info).  "
    "Default: the last rectified map, relu5_3 in VGG-16.",
)
_on = click.option(
    "--on",
    type=click.Choice(("score", "probability")),
    default="score",
    show_default=True,
    help="Explain the class's score before the softmax, or its probability.",
)
_out = click.option(
    "--out",
    "-o",
    type=click.Path(path_type=Path, file_okay=False),
    default=DEFAULT_OUT,
    show_default=True,
    metavar="DIR",
    help="The folder to write to; made if need be.  Files of an earlier run are replaced.",
)
_json = click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print JSON on standard output, one object a line for each picture, and nothing else.",
)


def _cmap(default: str) -> Callable[[Any], Any]:
    return click.option(
        "--cmap",
        default=default,
        show_default=True,
        metavar="NAME",
        help="Colour map: any name of matplotlib's, or 'paper' for the Grad-CAM paper's own.",
    )


def _known_methods(
    ctx: click.Context, parameter: click.Parameter, names: Sequence[str]
) -> tuple[str, ...]:
    """Return the methods' names as Python has them, each once: Grad-CAM is grad_cam."""
    try:
        return tuple(dict.fromkeys(gradcam._methods.find(name).__name__ for name in names))
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, parameter) from None


def _method(*default: str) -> Callable[[Any], Any]:
    return click.option(
        "--method",
        "-m",
        "methods",
        multiple=True,
        callback=_known_methods,
        default=default,
        show_default=True,
        metavar="METHOD",
        help=f"{', '.join(METHODS[:-1])} or {METHODS[-1]}; may be repeated.",
    )


# ------------------------------------------------------------------------ commands


@main.command(short_help="List the most probable classes of pictures.")
@_pictures
@_model
@click.option("--top", "-k", type=click.IntRange(1), default=5, show_default=True, metavar="K")
@_json
def predict(
    pictures: tuple[Path, ...],
    model: str | None,
    weights: str | None,
    preset: str | None,
    labels: Path | None,
    top: int,
    as_json: bool,
) -> int:
    """List the most probable classes of pictures (or folders of pictures)."""
    from gradcam import plot

    network = _network(model, weights, preset, labels)

    def work(path: Path, name: str) -> dict[str, Any]:
        return {"predictions": _predictions(network.forward(path), network, top)}

    def show(record: dict[str, Any]) -> Table:
        rows = _table()
        for class_ in record["predictions"]:
            share = class_["probability"]
            rows.add_row(class_["label"], class_["synset"], plot.percent(share), _bar(share))
        return rows

    return _for_each(pictures, work, show, as_json)


@main.command(short_help="Explain classes of pictures, each as a PNG file.")
@_pictures
@_model
@_classes
@click.option(
    "--top",
    "-k",
    type=click.IntRange(1),
    metavar="K",
    help="Explain the K most probable classes.  Default: 1, or none where --class is given.",
)
@_method("grad_cam")
@_layer
@_on
@_out
@_cmap("jet")
@click.option("--npz", is_flag=True, help="Write the raw map and its weights as .npz too.")
@_json
def explain(
    pictures: tuple[Path, ...],
    model: str | None,
    weights: str | None,
    preset: str | None,
    labels: Path | None,
    classes: tuple[str, ...],
    top: int | None,
    methods: tuple[str, ...],
    layer: str | None,
    on: str,
    out: Path,
    cmap: str,
    npz: bool,
    as_json: bool,
) -> int:
    """Explain classes of pictures (or folders of pictures), each as a PNG file.

    DIR/cat-grad_cam-tiger_cat.png is Grad-CAM of the class tiger_cat in cat.jpg.  Where two
    pictures have the same name, the second becomes cat-2.
    """
    from gradcam import plot

    plot.colour(0, cmap)
    network = _network(model, weights, preset, labels)
    _check_layer(network, layer, methods)
    asked = _asked(network, classes)
    if top is None:
        top = 0 if asked else 1

    def work(path: Path, name: str) -> dict[str, Any]:
        tape = network.forward(path)
        predictions = _predictions(tape, network, max(top, 5))
        targets = list(dict.fromkeys([*asked, *(p["index"] for p in predictions[:top])]))
        slugs = _slugs(network, targets)
        made = []
        for method in methods:
            options = {"layer": layer} if layer and method in plot.ON_A_LAYER else {}
            for found in tape.explain(method, targets, on=on, **options):
                file = out / f"{name}-{method}-{slugs[found.target.index]}.png"
                plot.save(plot.picture_of(found, cmap), file)
                if npz:
                    found.save(file.with_suffix(".npz"))
                made.append(_record(found, file, npz))
        return {"predictions": predictions, "explanations": made}

    def show(record: dict[str, Any]) -> Table:
        rows = _table()
        for made in record["explanations"]:
            rows.add_row(
                made["class"]["label"],
                plot.percent(made["probability"]),
                Path(made["file"]).name,
            )
        return rows

    return _for_each(pictures, work, show, as_json, out)


@main.command(short_help="Draw all methods side by side, as one figure.")
@_pictures
@_model
@_classes
@click.option(
    "--top",
    "-k",
    type=click.IntRange(1),
    default=3,
    show_default=True,
    metavar="K",
    help="A row for each of the K most probable classes, where no --class is given.",
)
@_method("saliency", "deconvnet", "guided_backprop", "grad_cam", "guided_grad_cam")
@_layer
@_on
@_out
@_cmap("inferno")
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
@_json
def compare(
    pictures: tuple[Path, ...],
    model: str | None,
    weights: str | None,
    preset: str | None,
    labels: Path | None,
    classes: tuple[str, ...],
    top: int,
    methods: tuple[str, ...],
    layer: str | None,
    on: str,
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

    plot.colour(0, cmap)
    network = _network(model, weights, preset, labels)
    _check_layer(network, layer, methods)
    asked = _asked(network, classes)

    def work(path: Path, name: str) -> dict[str, Any]:
        figure = plot.compare(
            network,
            path,
            top,
            targets=asked or None,
            methods=methods,
            layer=layer,
            on=on,
            cmap=cmap,
            scale=scale,
        )
        file = out / f"{name}-compare.png"
        plot.save(figure, file, dpi=dpi)
        return {"file": str(file)}

    def show(record: dict[str, Any]) -> Table:
        rows = _table()
        rows.add_row(Path(record["file"]).name)
        return rows

    return _for_each(pictures, work, show, as_json, out)


@main.command(short_help="Explain the built-in scenes: a folder and a page.")
@click.option(
    "--out",
    "-o",
    type=click.Path(path_type=Path, file_okay=False),
    default=DEFAULT_DEMO,
    show_default=True,
    metavar="DIR",
    help="The folder to write to; made if need be.",
)
@click.option("--open", "open_", is_flag=True, help="Show it in the browser.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON on standard output.")
def demo(out: Path, open_: bool, as_json: bool) -> int:
    """Explain the built-in scenes with the built-in model: a folder with an index.html."""
    from gradcam import _demo as demo_module
    from gradcam import pictograms

    count = len(pictograms.examples())
    with _progress(count, _console(), as_json) as advance:
        index = demo_module.write(out, progress=advance)
    if as_json:
        click.echo(json.dumps({"index": str(index), "pictures": count}))
    else:
        click.echo(f"{count} scenes explained: open {index}")
    if open_:
        import webbrowser

        webbrowser.open(index.resolve().as_uri())
    return 0


@main.command(short_help="Show the installation, a model's classes and layers, or a weight file.")
@click.argument("file", required=False, type=click.Path(path_type=Path))
@_model
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def info(
    file: Path | None,
    model: str | None,
    weights: str | None,
    preset: str | None,
    labels: Path | None,
    as_json: bool,
) -> int:
    """Show the installation, a model's classes and layers, or what the weight file FILE holds."""
    if file is not None:
        if model or weights or preset or labels:
            raise click.UsageError("FILE is shown alone: leave out --model, --weights and others.")
        description = gradcam.weights.describe(file)
        if as_json:
            click.echo(json.dumps(description.to_dict()))
        else:
            _show_file(description)
        return 0
    content = _model_info(model, weights, preset, labels)
    if as_json:
        click.echo(json.dumps(content))
    else:
        _show_model(content)
    return 0


@main.command(short_help="Write the VGG in a weight file of any kind as safetensors.")
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
    help="The names of the classes, to be kept in OUT: text, JSON or TSV.",
)
@click.option(
    "--preset",
    type=click.Choice(tuple(gradcam.PRESETS)),
    help="How the weights want pictures prepared.  Default: what goes with IN.",
)
@click.option("--force", is_flag=True, help="Replace OUT where it is there already.")
def convert(
    source: Path,
    target: Path,
    dtype: Literal["float32", "float16"],
    labels: Path | None,
    preset: str | None,
    force: bool,
) -> int:
    """Write the VGG in the weight file IN as safetensors, which loads fastest.

    OUT has torchvision's names and layout, and says which preset and classes go with them.
    """
    if target.exists() and not force and not target.samefile(source):
        raise click.UsageError(f"{target} exists already: name another file, or use --force.")
    found = gradcam.weights.convert(
        source, target, dtype=dtype, labels=labels, preset=preset, force=force
    )
    click.echo(
        f"{target}: {found.architecture}, {found.classes} classes, preset "
        f"{found.preset.name}, {dtype}, {target.stat().st_size:,} bytes"
    )
    if found.ignored:
        click.echo(f"{len(found.ignored)} tensors of {source} have no part in it and were left out")
    return 0


# ------------------------------------------------------------------------ models and classes


def _network(
    model: str | None, weights: str | None, preset: str | None, labels: Path | None
) -> Network:
    """Return the network that the options name."""
    if model == "pictograms" or (model is None and weights is None):
        if weights is not None or preset is not None or labels is not None:
            raise click.UsageError(
                "the pictograms model brings its own weights, preset and labels; "
                "--preset and --labels go with --weights, or --model vgg16 and its family."
            )
        return gradcam.pictograms.model()
    if weights is None:
        raise click.ClickException(_NO_WEIGHTS.format(model=model))
    if model is None and is_published(weights):
        model = "vgg16"
    make: Callable[..., Network] = getattr(gradcam, model or "load")
    return make(weights, preset=preset, labels=labels)


def _asked(network: Network, classes: Sequence[str]) -> list[int]:
    """Return the indices of the classes named."""
    named = [int(name) if name.isdecimal() else name for name in classes]
    return list(dict.fromkeys(network.labels.find(name).index for name in named))


def _check_layer(network: Network, layer: str | None, methods: Sequence[str]) -> None:
    """Refuse a layer of which nothing can be shown, before the first picture is read."""
    from gradcam import plot

    if layer is None:
        return
    if not set(methods) & set(plot.ON_A_LAYER):
        raise click.UsageError(
            f"--layer has no effect on {', '.join(methods)}: it goes with --method "
            f"{', '.join(plot.ON_A_LAYER[:-1])} or {plot.ON_A_LAYER[-1]}."
        )
    number = network.index(layer)
    shape = list(_shapes(network).values())[number]
    if len(shape) != 3 or shape[1] * shape[2] == 1:
        raise click.UsageError(
            f"the layer {layer} has no spatial map (its shape is {_shape(shape)}): choose a "
            f"convolution, ReLU or pooling before it, for example {network.target_layer}."
        )


def _shapes(network: Network) -> dict[str, tuple[int, ...]]:
    """Return the shape of each layer's output for a picture that the preset prepared."""
    assert network.preset is not None  # the models that have a name all take pictures
    return network.shapes(network.preset.size, network.preset.size)


def _class(network: Network, index: int) -> dict[str, Any]:
    target = network.labels[index]
    return {"index": index, "synset": target.synset, "label": target.label}


def _predictions(tape: Tape, network: Network, top: int) -> list[dict[str, Any]]:
    """Return the most probable classes of the one picture on this tape."""
    scores, probabilities = tape.scores[0], tape.probabilities[0]
    return [
        {
            **_class(network, index),
            "probability": float(probabilities[index]),
            "score": float(scores[index]),
        }
        for index in (-scores).argsort(kind="stable")[:top].tolist()
    ]


def _record(found: Explanation, file: Path, npz: bool) -> dict[str, Any]:
    target = found.target
    box = found.box()
    return {
        "method": found.method,
        "layer": found.layer,
        "class": {"index": target.index, "synset": target.synset, "label": target.label},
        "probability": found.probability,
        "score": found.score,
        "box": box,
        "file": str(file),
        **({"npz": str(file.with_suffix(".npz"))} if npz else {}),
    }


def _slugs(network: Network, targets: Sequence[int]) -> dict[int, str]:
    """Return a part of a file name for each class; two classes of one label keep apart."""
    slugs = {
        index: re.sub(r"[^\w.-]+", "_", network.labels[index].label.replace("'", "")).strip("_.")
        for index in targets
    }
    shared = Counter(slug.casefold() for slug in slugs.values())
    return {
        index: f"{slug}-{index}" if shared[slug.casefold()] > 1 or not slug else slug
        for index, slug in slugs.items()
    }


# ------------------------------------------------------------------------ many pictures


def _for_each(
    pictures: Sequence[Path],
    work: Callable[[Path, str], dict[str, Any]],
    show: Callable[[dict[str, Any]], Table],
    as_json: bool,
    out: Path | None = None,
) -> int:
    """Do `work` on every picture, whatever becomes of the others, and return the exit status.

    `work` gets a path and a name for its output that no other picture has; it writes to `out`.
    """
    from rich.text import Text

    if out is not None:
        if any(path.is_dir() and path.resolve() == out.resolve() for path in pictures):
            raise click.UsageError(
                f"{out} cannot be read and written at once: what is written there would be taken "
                f"for pictures.  Choose another folder with --out."
            )
        out.mkdir(parents=True, exist_ok=True)
    paths = [file for path in pictures for file in _expanded(path)]
    console = _console()
    done = 0
    failed: list[tuple[str, str]] = []
    try:
        with _progress(len(paths), console, as_json) as advance:
            for path, name in zip(paths, _output_names(paths), strict=True):
                record: dict[str, Any] = {"picture": str(path)}
                try:
                    with warnings.catch_warnings(record=True) as caught:
                        warnings.simplefilter("always")
                        if path.is_dir():
                            raise ValueError("there is no picture in this folder")
                        record |= work(path, name)
                except (ValueError, OSError, MemoryError) as error:
                    record["error"] = _sentence(error).removeprefix(f"{path}: ")
                    failed.append((str(path), record["error"]))
                else:
                    done += 1
                if as_json:
                    click.echo(json.dumps(record))
                elif "error" not in record:
                    _print(console, Text(record["picture"], "bold"), soft_wrap=True)
                    _print(console, show(record))
                for warning in caught:
                    click.echo(f"Warning: {path}: {warning.message}", err=True)
                advance(path.name)
    finally:
        if done and out is not None and not as_json:
            click.echo(f"Written to {out}")
        _report(failed, done + len(failed), len(paths))
    if failed:
        return SOME_FAILED if done else NOTHING_DONE
    return 0


def _report(failed: Sequence[tuple[str, str]], tried: int, count: int) -> None:
    """Name the pictures that failed, and once only what they failed of together."""
    reasons = {reason for _, reason in failed}
    if count > 1 and len(failed) == count and len(reasons) == 1:
        click.echo(f"Error: all {count} pictures: {reasons.pop()}", err=True)
        return
    if failed and count > 1:
        click.echo(f"{len(failed)} of {tried} pictures failed:", err=True)
    for path, reason in failed:
        click.echo(f"Error: {path}: {reason}", err=True)


def _expanded(path: Path) -> list[Path]:
    """Return the pictures in a folder; of a file, and a folder without any, the path itself."""
    try:
        return sorted(filter(_looks_like_a_picture, path.iterdir())) or [path]
    except OSError:  # a file, most of the time
        return [path]


def _looks_like_a_picture(path: Path) -> bool:
    suffixes = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")
    return path.suffix.lower() in suffixes and not path.name.startswith(".") and path.is_file()


def _output_names(paths: Sequence[Path]) -> list[str]:
    """Return a name for each picture's output: its own, with a number where it is taken.

    Upper and lower case count as equal, as they do in the file systems of macOS and Windows.
    """
    # A picture that has a name to itself keeps it: of cat, cat and cat-2, the second is cat-3.
    taken = {path.stem.casefold() for path in paths}
    seen: set[str] = set()
    names = []
    for path in paths:
        name = path.stem
        if name.casefold() in seen:
            number = 2
            while f"{name}-{number}".casefold() in taken:
                number += 1
            name = f"{name}-{number}"
            taken.add(name.casefold())
        seen.add(name.casefold())
        names.append(name)
    return names


def _sentence(error: BaseException) -> str:
    """Return what an exception says, without the number of an OSError."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    if isinstance(error, MemoryError):
        return str(error) or "not enough memory"
    return str(error) or type(error).__name__


# ------------------------------------------------------------------------ on the terminal


def _console(stderr: bool = False) -> Console:
    from rich.console import Console

    console = Console(stderr=stderr, highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        # In a file or a pipe no line is too long.
        console.width = 1000
    return console


def _table(*titles: str) -> Table:
    """Return an empty table without lines; a title that starts with '>' stands flush right."""
    from rich.table import Table

    table = Table(box=None, show_header=bool(titles), padding=(0, 0, 0, 2), header_style="bold")
    for title in titles:
        table.add_column(title.removeprefix(">"), justify="right" if ">" in title else "left")
    return table


def _print(console: Console, content: Any, **options: Any) -> None:
    """Print on the console; in a file or a pipe, without blanks at the ends of lines."""
    for column in getattr(content, "columns", ()):  # of a table: a name is never cut off
        column.overflow = "fold"
    if console.is_terminal:
        console.print(content, **options)
        return
    with console.capture() as capture:
        console.print(content, **options)
    click.echo(re.sub(" +\n", "\n", capture.get()), nl=False)


def _bar(share: float) -> Any:
    from rich.progress_bar import ProgressBar

    return ProgressBar(total=1, completed=share, width=20)


@contextmanager
def _progress(total: int, console: Console, as_json: bool) -> Iterator[Callable[[str], None]]:
    """Show a progress bar where someone sees it; yield what advances it.

    `console` is standard output: what is printed there appears above the bar.
    """
    errors = _console(stderr=True)
    shown_on = console if console.is_terminal else errors
    if total == 1 or not shown_on.is_terminal or (as_json and console.is_terminal):
        yield lambda name: None
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    with Progress(
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}", markup=False),
        console=shown_on,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=errors.is_terminal,
    ) as bar:
        task = bar.add_task("", total=total)
        yield lambda name: bar.update(task, advance=1, description=name)


# ------------------------------------------------------------------------ info


def _model_info(
    model: str | None, weights: str | None, preset: str | None, labels: Path | None
) -> dict[str, Any]:
    from gradcam._config import config

    if model not in (None, "pictograms") and weights is None:
        # The names do not depend on the weights; shapes do, so there are none to tell.
        vgg = getattr(gradcam, model)
        network: Network = vgg(vgg.random_tensors(width=1, fc=1), preset=preset, labels=labels)
        shapes = {}
    else:
        network = _network(model, weights, preset, labels)
        shapes = _shapes(network)
    sizes = {
        name: {"shape": list(shape), "values": math.prod(shape)} for name, shape in shapes.items()
    }
    assert network.preset is not None
    return {
        "config": config(),
        "model": network.name,
        "preset": network.preset.name,
        "target_layer": network.target_layer,
        "classes": [_class(network, index) for index in range(len(network.labels))],
        "layers": [
            {"name": name, "aliases": list(network.names(name)[1:]), **sizes.get(name, {})}
            for name in network.layers
        ],
    }


def _show_file(description: Description) -> None:
    """Print what a weight file holds."""
    console = _console()
    facts = _table()
    for fact in description.facts():
        facts.add_row(*fact)
    _print(console, facts)
    rows = _table("Tensor", "Shape", ">Values", "Type")
    for tensor in description.tensors:
        rows.add_row(tensor.name, _shape(tensor.shape), f"{tensor.values:,}", tensor.dtype)
    _print(console, "")
    _print(console, rows)


def _show_model(content: dict[str, Any]) -> None:
    """Print what `_model_info` found."""
    from rich.columns import Columns

    console = _console()
    facts = _table()
    for key, value in content["config"].items():
        facts.add_row(key, value)
    facts.add_row()
    facts.add_row("model", f"{content['model']}, {len(content['classes'])} classes")
    shaped = "shape" in content["layers"][0]
    if not shaped:
        facts.add_row("weights", "none; with --weights FILE, layers show their shapes, too")
    facts.add_row("preset", content["preset"])
    facts.add_row("Grad-CAM at", content["target_layer"])
    _print(console, facts)
    _print(console, "\n  Classes: index, synset and label", style="bold")
    names = [
        " ".join(filter(None, (f"  {c['index']:>3}", c["synset"], c["label"])))
        for c in content["classes"]
    ]
    classes = Columns(names, padding=(0, 1), equal=True, column_first=True)
    _print(console, classes, width=None if console.is_terminal else 100)
    rows = _table("Layer", "Also called", *(("Output", ">Values") if shaped else ()))
    for layer in content["layers"]:
        size = (_shape(layer["shape"]), f"{layer['values']:,}") if shaped else ()
        rows.add_row(layer["name"], ", ".join(layer["aliases"]), *size)
    _print(console, "")
    _print(console, rows)


def _shape(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))
