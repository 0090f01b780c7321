"""Codes: the output of one layer for any number of pictures, a vector for each."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from gradcam import _core
from gradcam._engine.forward_pass import ForwardPass
from gradcam._engine.layers import WEIGHTED
from gradcam._engine.network import Network, Size
from gradcam._engine.stream import OnError, positive
from gradcam._pictures.image import is_picture_source
from gradcam._text import brief

if TYPE_CHECKING:
    from gradcam._engine.network import BatchArray, PictureLike

P = TypeVar("P", bound="PictureLike")

_F32 = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class PooledCodes(Generic[P]):
    """The codes of the pictures that could be read.

    Attributes
    ----------
    values : (N, D) array of float32
        A code for each picture, in the order of the pictures; finite.
    sources : tuple of pictures
        These pictures as they were given. Empty if preprocessed arrays were given.
    positions : (N,) array of int64
        Their positions among the pictures that were given.
    skipped : tuple of (picture, exception)
        The pictures that could not be read.
    layer : str
        The layer that the codes are the output of, by its first name.
    """

    values: _F32
    sources: tuple[P, ...]
    positions: NDArray[np.int64]
    skipped: tuple[tuple[P, Exception], ...]
    layer: str


def code_layer(network: Network) -> str:
    """Return the layer that the last layer with weights reads: the network's own code.

    VGG and AlexNet: the rectified fc7. Networks with global average pooling: the pooled map.

    Raises
    ------
    ValueError
        If the scores are not the output of one last layer with weights.
    """
    layers = network.layers
    layer = layers[network.score_layer]
    while layer.op not in WEIGHTED:
        if len(layer.inputs) != 1:
            raise ValueError(
                f"{network.name}: its scores are not the output of one last layer with weights, "
                f"so it is not known which layer holds its codes: name one, layer="
            )
        layer = layers[layer.inputs[0]]
    code = layers[layer.inputs[0]]
    while code.op == "dropout":
        code = layers[code.inputs[0]]
    return code.name


def pooled_codes(
    network: Network,
    pictures: Iterable[P] | BatchArray,
    layer: str | None = None,
    *,
    batch: int = 8,
    size: Size = None,
    on_error: OnError[P] = "raise",
    progress: bool = False,
    watch: Callable[[ForwardPass], object] | None = None,
) -> PooledCodes[P]:
    """Run pictures through a network and return the output of one layer, a vector for each.

    A map is averaged over its positions; a vector is taken as it is.

    Parameters
    ----------
    network : Network
    pictures : iterable of pictures, or (N, C, H, W) array of float32
        As :meth:`Network.stream` takes them; or preprocessed input.
    layer : str, optional
        By any of its names; by default that of :func:`code_layer`.
    batch, size, on_error, progress
        As of :meth:`Network.stream`. Preprocessed input has its own size.
    watch : callable, optional
        Is given each pass, for what else is wanted of it.

    Returns
    -------
    PooledCodes

    Raises
    ------
    ValueError
        If there is no such layer, no picture, or a code is not finite; if pictures of several
        sizes have codes of several lengths.
    gradcam.PictureError, OSError, TypeError
        As the stream.
    """
    name = network.names(code_layer(network) if layer is None else layer)[0]
    if isinstance(pictures, np.ndarray) and pictures.dtype.kind == "f":
        parts = [_code(tape, name, watch) for tape in _runs(network, pictures, batch)]
        return PooledCodes(_joined(parts, name), (), np.arange(len(pictures)), (), name)
    given = _listed(pictures)
    parts, sources = [], []
    stream = network.stream(
        given, batch, keep=name, size=size, record=False, on_error=on_error, progress=progress
    )
    for some, tape in stream:
        sources.extend(some)
        parts.append(_code(tape, name, watch))
    if stream.skipped and not parts:
        raise ValueError(_none_read(stream.skipped))
    values, positions = _joined(parts, name), _positions(given, sources)
    return PooledCodes(values, tuple(sources), positions, tuple(stream.skipped), name)


def require_different(values: NDArray[np.float32], layer: str) -> None:
    """Raise ValueError if the codes of several pictures are all equal."""
    if len(values) > 1 and (values == values[0]).all():
        raise ValueError(
            f"the codes of all {len(values)} pictures are equal, so they do not distinguish them: "
            f"is the output of layer {layer!r} always the same?"
        )


def _listed(pictures: Iterable[P] | BatchArray) -> list[P]:
    single = is_picture_source(pictures) or getattr(pictures, "ndim", 4) != 4
    if single or not isinstance(pictures, Iterable):
        raise TypeError(f"expected several pictures, got {brief(pictures)}: give a list")
    return list(cast("Iterable[P]", pictures))


def _runs(network: Network, input: NDArray[np.generic], batch: int) -> Iterator[ForwardPass]:
    for start in range(0, len(input), positive("batch", batch)):
        part = cast("BatchArray", input[start : start + batch])
        yield network.forward(part, record=False)


def _code(tape: ForwardPass, layer: str, watch: Callable[[ForwardPass], object] | None) -> _F32:
    """Return the codes of one pass, (N, D)."""
    if watch is not None:
        watch(tape)
    output = tape.activation(layer)
    values = _core.channel_mean(output) if output.ndim == 4 else output
    if not np.isfinite(values).all():
        raise ValueError(
            f"the output of layer {layer!r} of {tape.graph.name} is not finite: its values are "
            f"too large for float32 on one of these pictures"
        )
    return values


def _none_read(skipped: Sequence[tuple[object, Exception]]) -> str:
    """Say that no picture could be read, and why the first could not."""
    (source, error), count = skipped[0], len(skipped)
    name = os.fsdecode(source) if isinstance(source, (str, os.PathLike)) else "picture 1"
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    words = f"{name}: {reason.removeprefix(f'{name}: ')}"
    return (
        words if count == 1 else f"none of the {count} pictures could be read; the first, {words}"
    )


def _joined(parts: Sequence[_F32], layer: str) -> _F32:
    """Return the codes of several passes as one array."""
    if not parts:
        raise ValueError("no pictures")
    lengths = {part.shape[1] for part in parts}
    if len(lengths) > 1:
        raise ValueError(
            f"layer {layer!r} has {min(lengths)} to {max(lengths)} values: pictures of one size "
            f"are needed, or a layer with a map or after a global pooling"
        )
    return np.concatenate(parts)


def _positions(given: Sequence[P], kept: Sequence[P]) -> NDArray[np.int64]:
    """Return where the kept pictures, which are in order, are among those that were given."""
    waiting = iter(enumerate(given))
    return np.array([next(n for n, each in waiting if each is one) for one in kept], np.int64)
