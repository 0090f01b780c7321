"""A network's graph: its layers with their weights, their names, its classes and its input."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradcam import _core
from gradcam._engine.assembly import Assembled
from gradcam._engine.layers import INPUT, NONLINEAR, Layer
from gradcam._engine.transformed import TransformedWeights
from gradcam._labels.classes import Labels
from gradcam._pictures.presets import Preset
from gradcam._text import printable

_F32 = NDArray[np.float32]

DEFAULT_SIZE = (224, 224)
"""Height and width of the input if neither the file, nor the preset, nor the caller says them."""


class _Sized(NamedTuple):
    """What depends on the size of the input: shapes by layer, layers without a spatial map."""

    size: tuple[int, int]
    shapes: tuple[tuple[int, ...], ...]
    vectors: tuple[str, ...]


class Graph:
    """An immutable network, as tapes and methods see it; threads may share it.

    Attributes
    ----------
    name : str
        For messages.
    core : gradcam._core.Network
    labels : Labels
        The classes, in the order of the scores.
    preset : Preset or None
        How pictures become input; None: only preprocessed arrays are taken.
    layers : mapping of str to Layer
        Every layer by its first name, in the order in which they run, from ``"input"`` on. Their
        weights are those that the core reads, not copies: do not change them.
    score_layer : str
        The layer of the class scores.
    probability_layer : str or None
        The softmax after it, its logarithm, or the sigmoid of each score, if there is one.
    target_layer : str
        The layer of Grad-CAM, unless another one is chosen.
    size : (height, width) or None
        Of the input, as the file says; None: any.
    fixed : bool
        Whether the network takes only this size.
    about : str
        Sentences for the user: what the network knows, and what was taken for granted about its
        file; empty for most networks.
    assumed : tuple of str
        The sentences of `about` that are a warning when the network is loaded: what its file does
        not say, and may well be otherwise.
    redrawn : Graph or None
        The network whose weights were replaced with random ones to get this one.
    transformed : TransformedWeights or None
        The cache of transformed weights, for networks that were loaded from a file.
    """

    about: str = ""
    assumed: tuple[str, ...] = ()
    size: tuple[int, int] | None = None
    fixed: bool = False
    redrawn: Graph | None = None

    def __init__(
        self, assembled: Assembled, labels: Labels, preset: Preset | None, name: str
    ) -> None:
        self.name = name
        self.core = assembled.core
        self.labels = labels
        self.preset = preset
        self.layers: Mapping[str, Layer] = MappingProxyType(
            {layer.name: layer for layer in assembled.layers}
        )
        self.score_layer = assembled.score_layer
        self.probability_layer = assembled.probability_layer
        self.target_layer = assembled.target_layer
        self.transformed: TransformedWeights | None = None
        operations = [layer.op for layer in assembled.layers]
        self._convolutions = [n for n, op in enumerate(operations) if op == "conv"]
        self._nonlinear = [n for n, op in enumerate(operations) if op in NONLINEAR]
        self._names = assembled.names
        self._sized: _Sized | None = None

    def index(self, layer: str) -> int:
        """Return the number of a layer in the core, by its Caffe, torchvision or Keras name.

        Raises
        ------
        ValueError
            If the name is unknown (the message lists the layers), or the layer is a convolution
            that its batch normalisation was folded into.
        """
        return self._names.index(layer)

    def names(self, layer: str) -> tuple[str, ...]:
        """Return every name of one layer, the first as in :attr:`layers`."""
        return self._names.of(layer)

    def shapes(self, height: int, width: int) -> dict[str, tuple[int, ...]]:
        """Return the shape of each layer's output for one picture, by first name.

        Returns
        -------
        dict of str to (C, H, W) or (F,)

        Raises
        ------
        ValueError
            If an input of that size is too small for the network.
        """
        try:
            return dict(zip(self.layers, self.core.shapes(height, width), strict=True))
        except ValueError as error:
            raise ValueError(
                f"{self.name}, input of {height} x {width}: {self._named(error)}"
            ) from None

    @property
    def input_size(self) -> tuple[int, int]:
        """Height and width of the input for pictures, unless the caller gives another size."""
        usual = DEFAULT_SIZE if self.preset is None else (self.preset.size, self.preset.size)
        return self.size or usual

    def check_size(self, size: Sequence[int]) -> None:
        """Raise ValueError if the network takes only another (height, width) of the input."""
        if self.fixed and self.size is not None and tuple(size) != self.size:
            (height, width), (rows, columns) = self.size, size
            raise ValueError(
                f"{self.name} is made for inputs of {height} x {width}, got {rows} x {columns}: "
                f"give pictures without size=, which are resized to that, or arrays of that size; "
                f"if its file leaves the size open, load it with size="
            )

    def shape(self, layer: str, size: tuple[int, int]) -> tuple[int, ...]:
        """Return the shape of one layer's output for one picture of this (height, width)."""
        return self._for_size(size).shapes[self.index(layer)]

    def vectors(self, size: tuple[int, int]) -> tuple[str, ...]:
        """Return the layers without a spatial map, for pictures of this (height, width)."""
        return self._for_size(size).vectors

    def _for_size(self, size: tuple[int, int]) -> _Sized:
        """Return what depends on the size of the input; only that of the latest size is kept."""
        latest = self._sized  # another thread may replace it
        if latest is None or latest.size != size:
            shapes = self.shapes(*size)
            vectors = tuple(name for name, shape in shapes.items() if len(shape) == 1)
            latest = self._sized = _Sized(size, tuple(shapes.values()), vectors)
        return latest

    def run_core(
        self,
        input: _F32,
        keep: Sequence[str] = (),
        *,
        until: str | None = None,
        record: bool = True,
        start: str = INPUT,
        size: tuple[int, int] | None = None,
    ) -> _core.Tape:
        """Run the core: from the output of `start` up to `until`, by default the whole network.

        Parameters
        ----------
        input : (N, ...) array of float32
            The output of `start`: by default the network's input, (N, C, H, W).
        keep : sequence of str
            Layers whose output can be read from the tape.
        until : str, optional
            The last layer that is computed.
        record : bool
            Whether backward passes are possible.
        start : str
            The layer that `input` is the output of.
        size : (height, width), optional
            Of the network's input, if `start` is another layer.
        """
        if self.transformed is not None:
            self.transformed.before_forward()
        numbers = sorted({self.index(layer) for layer in keep})
        last = None if until is None else self.index(until)
        with self.named_errors():
            tape = self.core.forward(
                input, numbers, last, record=record, start=self.index(start), size=size
            )
        if self.transformed is not None:
            self.transformed.after_forward()
        return tape

    def prepare_backward(self, start: str, ends: Sequence[str], *, pooled: bool = False) -> None:
        """Let a backward pass of the core use cached weights.

        Parameters
        ----------
        start : str
            The layer that the pass starts from.
        ends : sequence of str
            The layers wanted.
        pooled : bool
            Whether the gradient is averaged over the positions of the layer wanted.
        """
        if self.transformed is None or not ends:
            return
        first, last = min(self.index(end) for end in ends), self.index(start)
        passed = [n for n in self._convolutions if first < n <= last]
        if passed:
            self.transformed.before_backward(passed)
        elif pooled:
            self.transformed.before_sums()

    def nonlinear_between(self, start: str, ends: Sequence[str]) -> bool:
        """Return whether layers that are not linear run from one of `ends` on, before `start`."""
        first, last = min(map(self.index, ends), default=0), self.index(start)
        return any(first <= n < last for n in self._nonlinear)

    @contextmanager
    def named_errors(self) -> Iterator[None]:
        """Name layers in the messages of the core, which knows them by their numbers."""
        try:
            yield
        except ValueError as error:
            raise ValueError(self._named(error)) from None

    def __repr__(self) -> str:
        preset = self.preset.name if self.preset else None
        return (
            f"<{type(self).__name__} {printable(self.name)}: {len(self.layers)} layers, "
            f"{len(self.labels)} classes, input preset {preset}, "
            f"target layer {printable(self.target_layer)}>"
        )

    def _named(self, error: ValueError) -> str:
        """Return a message of the core, which knows layers by number, with their names."""
        names = dict(enumerate(self.layers))
        return re.sub(r"\blayer (\d+)", lambda m: f"layer {names.get(int(m[1]), m[1])}", str(error))
