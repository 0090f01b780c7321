"""Architectures as tables: one row per layer, and a registry of all tables.

A table says for every layer what it computes, which layers are its inputs, and how PyTorch, Caffe
and Keras name it. Everything else follows from the rows: which tensors a weight file must hold and
their shapes (:mod:`gradcam._models.checkpoints`), random weights, and the layers of a network.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradcam._engine.layers import INPUT, Attribute, Layer
from gradcam._weights.storage import Storage
from gradcam._weights.tensors import EPS

CHANNELS = 3
"""Channels of the input of every architecture: red, green and blue."""

_PARAMETERS = {
    "conv": ("weight", "bias"),
    "linear": ("weight", "bias"),
    "batch_norm": ("weight", "bias", "running_mean", "running_var"),
}
"""The parameters of each operation that has any, by PyTorch's names."""


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

    @cached_property
    def parameters(self) -> dict[str, str]:
        """The tensors of its parameters, by torchvision's names."""
        names = _PARAMETERS.get(self.op, ())
        if not self.bias and self.op != "batch_norm":
            names = names[:1]
        return {name: f"{self.torchvision}.{name}" for name in names}

    @property
    def groups(self) -> int:
        """The groups of a convolution."""
        groups = self.attributes.get("groups", 1)
        assert isinstance(groups, int)
        return groups

    @property
    def aliases(self) -> tuple[str, ...]:
        """Its names in torchvision and Keras."""
        return tuple(name for name in (self.torchvision, self.keras) if name)

    def stored_as(self, library: str) -> str:
        """Return the layer's name in weight files of "caffe", "torchvision", "timm" or "keras".

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
        elif row.op == "global_average_pool":
            positions = 1
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
    """

    name: str
    title: str
    table: Callable[[], Iterable[Row]] = field(repr=False)
    eps: float = EPS

    @cached_property
    def rows(self) -> tuple[Row, ...]:
        """All layers in order; the last one holds the class scores or their softmax."""
        return tuple(self.table())

    def layers(
        self,
        tensors: Mapping[str, NDArray[Any]],
        fc_dtype: Storage = "float32",
        eps: float | None = None,
    ) -> list[Layer]:
        """Return the layers for :meth:`gradcam.Network.from_layers`.

        Parameters
        ----------
        tensors : mapping of str to array
            All tensors that the rows name, with torchvision's names and order of axes.
        fc_dtype : "float32", "float16" or "bfloat16"
            How the weights of linear layers are stored.
        eps : float, optional
            Added to the variance by batch normalisations; by default :attr:`eps`.
        """
        added: dict[str, dict[str, Attribute]] = {
            "linear": {"dtype": fc_dtype},
            "batch_norm": {"eps": self.eps if eps is None else eps},
        }
        return [
            Layer(
                row.name,
                row.op,
                inputs=row.inputs,
                weights={name: tensors[tensor] for name, tensor in row.parameters.items()},
                attributes={**row.attributes, **added.get(row.op, {})},
                aliases=row.aliases,
            )
            for row in self.rows
        ]

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
        linear = [row.name for row in self.rows if row.op == "linear"]
        first = next(row for row in self.rows if row.op == "conv")
        extents = Extents()
        tensors = {}
        for row in self.rows:
            inputs = extents.input(row).width
            units = inputs
            if row.op == "conv":
                units = max(1, row.units * (width or first.units) // first.units)
            elif row.op == "linear":
                units = (classes if row.name == linear[-1] else fc) or row.units
            for parameter, name in row.parameters.items():
                if parameter == "weight" and row.op != "batch_norm":
                    tensors[name] = _he_normal(generator, row, units, inputs)
                else:
                    fill = parameter in ("weight", "running_var")
                    tensors[name] = np.full(units, fill, np.float32)
            extents.add(row, units)
        return tensors


def _he_normal(
    generator: np.random.Generator, row: Row, units: int, inputs: int
) -> NDArray[np.float32]:
    """Return a weight with the variance 2 / (inputs of each unit)."""
    shape = (units, inputs // row.groups, *row.kernel) if row.op == "conv" else (units, inputs)
    values = generator.standard_normal(shape, np.float32)
    values *= np.float32(np.sqrt(2 * units / values.size))
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
