"""Architectures as tables: one row per layer, and a registry of all tables.

A table says for every layer what it computes, which layers are its inputs, and how PyTorch, Caffe
and Keras name it. Everything else follows from the rows: which tensors a weight file must hold and
their shapes (:mod:`gradcam._models.checkpoints`), random weights, and the layers of a network.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradcam._engine.layers import INPUT, Attribute, Layer
from gradcam._pictures.presets import Preset
from gradcam._weights.tensors import EPS

CHANNELS = 3
"""Channels of the input as published: red, green and blue. Weight files may have others."""

ANY_GROUPS = 0
"""As a convolution's attribute "groups": as many as the shape of its weight says. It is for
depthwise convolutions, whose groups are their channels, and for authors who disagree."""

_PARAMETERS = {
    "conv": ("weight", "bias"),
    "linear": ("weight", "bias"),
    "batch_norm": ("weight", "bias", "running_mean", "running_var"),
    "layer_norm": ("weight", "bias"),
    "affine": ("scale",),
}
"""The parameters of each operation that has any, by PyTorch's names. The constant shift of an
affine layer is zero: only ConvNeXt has such layers, which scale alone."""

TENSORS = {"scale": "layer_scale"}
"""What torchvision calls a parameter if not by the name here."""


@dataclass(frozen=True)
class Row:
    """One layer of an architecture.

    Attributes
    ----------
    name : str
        In the style of Caffe (``conv1_1``); unique in the architecture.
    op : str
        One of :data:`gradcam._engine.layers.OPS`.
    inputs : tuple of str
        Names of the rows whose outputs are the inputs. Empty: the row before.
    attributes : mapping of str to number, string or pair
        As in :class:`gradcam.Layer`.
    kernel : (int, int)
        Height and width of a convolution's kernel.
    units : int
        Output channels of a convolution, or outputs of a linear layer, as published. Weight files
        may have others.
    bias : bool
        Whether a convolution or linear layer has a bias.
    torchvision, keras : str
        The names of its output in these libraries; empty if there is none.
    stored : mapping of str to str
        The names of the layer in weight files, by library ("keras", "timm"), if they differ from
        the names above.
    also : tuple of str
        Further names of its output: the modules that end with it ("layer4", "layer4.2").
    """

    name: str
    op: str
    inputs: tuple[str, ...] = ()
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    kernel: tuple[int, int] = (1, 1)
    units: int = 0
    bias: bool = True
    torchvision: str = ""
    keras: str = ""
    stored: Mapping[str, str] = field(default_factory=dict)
    also: tuple[str, ...] = ()

    @cached_property
    def parameters(self) -> dict[str, str]:
        """The tensors of its parameters, by torchvision's names."""
        names = _PARAMETERS.get(self.op, ())
        if not self.bias and self.op in ("conv", "linear"):
            names = names[:1]
        prefix = self.stored.get("torchvision", self.torchvision)
        return {name: f"{prefix}.{TENSORS.get(name, name)}" for name in names}

    @property
    def groups(self) -> int:
        """The groups of a convolution; :data:`ANY_GROUPS` if its weight says how many."""
        groups = self.attributes.get("groups", 1)
        assert isinstance(groups, int)
        return groups

    @property
    def aliases(self) -> tuple[str, ...]:
        """Its names in torchvision and Keras, and further ones."""
        return tuple(name for name in (self.torchvision, self.keras, *self.also) if name)

    def stored_as(self, library: str) -> str:
        """Return the layer's name in weight files of a library: "caffe", "torchvision", "timm", ...

        It is empty if that library does not have the layer.
        """
        own = {"caffe": self.name, "keras": self.keras}.get(library, self.torchvision)
        return self.stored.get(library, own)


class Extent(NamedTuple):
    """The size of a layer's output for one image, as far as the shapes of weights depend on it.

    Attributes
    ----------
    width : int
        Channels of a map, or features of a vector.
    positions : int
        Height times width of a map; 0 if that depends on the image. For a flattened map, how many
        neighbouring features belong to one channel.
    """

    width: int
    positions: int


class Extents:
    """The extents of the layers of an architecture, computed row by row."""

    def __init__(self) -> None:
        self._extents = {INPUT: Extent(CHANNELS, 0)}
        self._last = INPUT

    def set_channels(self, channels: int) -> None:
        """Set the channels of the input."""
        self._extents[INPUT] = Extent(channels, 0)

    def reads_input(self, row: Row) -> bool:
        """Whether the row's only input is that of the network."""
        return (row.inputs or (self._last,)) == (INPUT,)

    def input(self, row: Row) -> Extent:
        """Return the extent of the row's input: the first one, or all of a concatenation."""
        inputs = [self._extents[name] for name in row.inputs or (self._last,)]
        if row.op == "concatenate":
            return Extent(sum(each.width for each in inputs), inputs[0].positions)
        return inputs[0]

    def add(self, row: Row, units: int) -> None:
        """Record the row's output; `units` are those of its weight, if it has one."""
        width, positions = self.input(row)
        if row.op == "linear":
            width, positions = units, 1
        elif row.op == "conv":
            width, positions = units, 0
        elif row.op in ("max_pool", "average_pool"):
            positions = 0
        elif row.op in ("global_average_pool", "global_max_pool"):
            positions = 1
        elif row.op == "slice":
            start, stop = row.attributes["start"], row.attributes["stop"]
            assert isinstance(start, int) and isinstance(stop, int)
            width = stop - start
        elif row.op == "adaptive_average_pool":
            positions = _area(row.attributes["size"])
        elif row.op == "flatten":
            if not positions:
                raise ValueError(f"row {row.name!r}: flatten needs an input of fixed size")
            width *= positions
        self._extents[row.name] = Extent(width, positions)
        self._last = row.name


def _area(size: object) -> int:
    if isinstance(size, Sequence):
        return math.prod(size)
    assert isinstance(size, int)
    return size * size


def timm_doubt(assumed: str, other: str) -> dict[str, str]:
    """Return :attr:`Architecture.doubts` of two networks of timm whose tensors have one form."""
    return {
        "timm": f"The tensors can be those of timm's {assumed} or of its {other}, whose "
        f"convolutions have other borders and whose batch normalisations have another epsilon: "
        f"{assumed} is assumed. A folder of timm, whose config.json names the network, says it."
    }


class Trained(NamedTuple):
    """A file of trained weights that torchvision publishes.

    Attributes
    ----------
    weights : str
        What users pass: "imagenet", or torchvision's "IMAGENET1K_V2".
    name : str
        The file's name, with the first digits of its SHA-256 before the last dot.
    mebibytes : float
        Its size in units of 1,048,576 bytes, to three decimals.
    preset : Preset
        How pictures become input.
    """

    weights: str
    name: str
    mebibytes: float
    preset: Preset


@dataclass(frozen=True, eq=False)
class Architecture:
    """A network without its weights.

    Attributes
    ----------
    name : str
        The function of :mod:`gradcam` that makes it: "vgg16".
    title : str
        For people: "VGG-16".
    table : function
        Returns the rows, each after its inputs. It is called once, when they are needed.
    eps : float
        Added to the variance by its batch normalisations.
    signs : mapping of str to str
        For each library whose files are recognised, a layer whose weight's name occurs in no other
        family's files. So a file is recognised without the tables of all networks. Empty: the file
        is compared with the table if no sign of another architecture occurs in it.
    presets : mapping of str to Preset
        How pictures become input, by library, if not by the layout's preset.
    eps_of : mapping of str to float
        By library, if it is not `eps`.
    doubts : mapping of str to str
        By library: a sentence about what files with its names leave open, and what is assumed.
    unused : str
        A pattern for the names of tensors that are part of training only: auxiliary classifiers.
    target_layer : str
        Grad-CAM's layer, if it is not the last map that is not itself a pooling.
    published : tuple of Trained
        Trained weights that can be downloaded.
    """

    name: str
    title: str
    table: Callable[[], Iterable[Row]] = field(repr=False)
    eps: float = EPS
    signs: Mapping[str, str] = field(default_factory=dict)
    presets: Mapping[str, Preset] = field(default_factory=dict)
    eps_of: Mapping[str, float] = field(default_factory=dict)
    doubts: Mapping[str, str] = field(default_factory=dict)
    unused: str = ""
    target_layer: str = ""
    published: tuple[Trained, ...] = ()

    @cached_property
    def rows(self) -> tuple[Row, ...]:
        """All layers in order; the last one holds the class scores or their softmax."""
        return tuple(self.table())

    @cached_property
    def published_shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of each weight of a convolution or linear layer, by torchvision's names."""
        return {
            row.parameters["weight"]: shape
            for row, units, inputs in self._sizes(None, None, None)
            if (shape := _weight_shape(row, units, inputs))
        }

    def layers(
        self,
        tensors: Mapping[str, NDArray[Any]],
        eps: float | None = None,
    ) -> list[Layer]:
        """Return the layers for :meth:`gradcam.Network.from_layers`.

        Parameters
        ----------
        tensors : mapping of str to array
            All tensors that the rows name, with torchvision's names and order of axes.
        eps : float, optional
            Added to the variance by batch normalisations; by default :attr:`eps`.
        """
        added = {"batch_norm": {"eps": self.eps if eps is None else eps}}
        extents = Extents()
        layers = []
        for row in self.rows:
            weights = {name: tensors[tensor] for name, tensor in row.parameters.items()}
            attributes: dict[str, Attribute] = {**added.get(row.op, {}), **row.attributes}
            units = extents.input(row).width
            if row.op == "affine":
                weights["shift"] = np.zeros_like(weights["scale"])
            elif row.op in ("conv", "linear"):
                if row.op == "conv" and row.groups == ANY_GROUPS:
                    attributes["groups"] = units // weights["weight"].shape[1]
                units = len(weights["weight"])
            layers.append(Layer(row.name, row.op, row.inputs, weights, attributes, row.aliases))
            extents.add(row, units)
        return layers

    def random_tensors(
        self,
        *,
        width: int | None = None,
        fc: int | None = None,
        classes: int | None = None,
        seed: int = 0,
    ) -> dict[str, NDArray[np.float32]]:
        """Return He-initialised weights (He et al., 2015) with torchvision's names; biases are 0.

        Parameters
        ----------
        width : int, optional
            Output channels of the first convolution; those of the others change in proportion.
        fc : int, optional
            Outputs of each linear layer but the last.
        classes : int, optional
            Outputs of the last linear layer.
        seed : int
        """
        if any(size is not None and size < 1 for size in (width, fc, classes)):
            raise ValueError(
                f"width, fc and classes must be at least 1, got {width}, {fc}, {classes}"
            )
        generator = np.random.default_rng(seed)
        tensors = {}
        for row, units, inputs in self._sizes(width, fc, classes):
            shape = _weight_shape(row, units, inputs)
            for parameter, name in row.parameters.items():
                if parameter == "weight" and shape:
                    tensors[name] = _he_normal(generator, shape)
                else:
                    fill = parameter in ("weight", "running_var", "scale")
                    tensors[name] = np.full(units, fill, np.float32)
        return tensors

    def zero_tensors(self) -> dict[str, NDArray[np.float32]]:
        """Return weights that are 0, of the published sizes, for what depends on names alone."""
        tensors = {}
        for row, units, inputs in self._sizes(None, None, None):
            shape = _weight_shape(row, units, inputs)
            for parameter, name in row.parameters.items():
                full = shape if parameter == "weight" and shape else (units,)
                make = np.ones if parameter == "running_var" else np.zeros
                tensors[name] = make(full, np.float32)
        return tensors

    def _sizes(
        self, width: int | None, fc: int | None, classes: int | None
    ) -> Iterator[tuple[Row, int, int]]:
        """Yield every row with its units and the width of its input.

        The units of a layer without weights are the width of its input.
        """
        weighted = [row for row in self.rows if row.op in ("conv", "linear")]
        last, first = weighted[-1], next(row for row in weighted if row.op == "conv")
        extents = Extents()
        for row in self.rows:
            inputs = units = extents.input(row).width
            if row.op in ("conv", "linear"):
                units = row.units or inputs  # a depthwise convolution has as many as its input
            if row is last:
                units = classes or units
            elif row.op == "conv" and row.units and width:
                units = max(1, row.units * width // first.units)
            elif row.op == "linear":
                units = fc or units
            yield row, units, inputs
            extents.add(row, units)


def _weight_shape(row: Row, units: int, inputs: int) -> tuple[int, ...]:
    """Return the shape of the weight of a convolution or linear layer, () of others."""
    if row.op == "linear":
        return units, inputs
    if row.op != "conv":
        return ()
    groups = inputs if row.groups == ANY_GROUPS and not row.units else max(1, row.groups)
    return units, inputs // groups, *row.kernel


def _he_normal(generator: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return a weight with the variance 2 / (inputs of each unit)."""
    values = generator.standard_normal(shape, np.float32)
    values *= np.float32(np.sqrt(2 / math.prod(shape[1:])))
    return values


_registry: dict[str, Architecture] = {}


def register(architecture: Architecture) -> None:
    """Add an architecture, which weight files are then recognised as.

    Raises
    ------
    ValueError
        If another one has its name.
    """
    if architecture.name in _registry:
        raise ValueError(f"two architectures are called {architecture.name!r}")
    _registry[architecture.name] = architecture


def registered() -> tuple[Architecture, ...]:
    """Return all architectures, in the order of their registration."""
    return tuple(_registry.values())


def find(name: str) -> Architecture:
    """Return the architecture of that name.

    Raises
    ------
    ValueError
        If the name is unknown; the message lists the names.
    """
    if name not in _registry:
        raise ValueError(f"unknown architecture {name!r}; expected one of {', '.join(_registry)}")
    return _registry[name]
