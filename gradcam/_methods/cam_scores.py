"""Class activation maps without gradients: Score-CAM (Wang et al., 2020) and Ablation-CAM
(Desai and Ramaswamy, 2020).

The weight of a channel comes from what the objective is when only that channel's map masks the
picture, or when that channel is set to zero.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from gradcam import _core
from gradcam._engine.forward_pass import ForwardPass
from gradcam._engine.graph import Graph
from gradcam._engine.layers import POOLS, SMOOTH
from gradcam._engine.several_layers import spread
from gradcam._methods.maps import check_feeds, maps_of, weighted_sums
from gradcam._methods.passes import bar, batch_size, batches, layers_read
from gradcam._registry import method
from gradcam._results.explanation import Evidence
from gradcam._results.objectives import Objectives
from gradcam._results.rules import RECTIFIERS
from gradcam._weights.tensors import from_bfloat16

_F32 = NDArray[np.float32]

_BY_CHANNEL = (
    *(*RECTIFIERS, *SMOOTH, *POOLS, "sigmoid", "affine"),
    *("flatten", "dropout"),
)
"""Operations by which each channel of the output depends on the same channel of the input alone."""

_CACHED = 1 << 18
"""Weights that a block product reads at a time."""

_VECTORS = 512
"""Vectors in a pass that starts at a linear layer."""


@method(title="Score-CAM", source="Wang et al. 2020", view="map")
def score_cam(
    tape: ForwardPass,
    objective: Objectives,
    *,
    layer: str,
    batch: int | None = None,
    progress: bool = False,
) -> Evidence:
    """Each channel weighted by the score of the picture under its map as a mask.

    Raw values: the weighted sum before the ReLU, (u, v). A mask is the channel's map, resized to
    the input with corners on corners and scaled to 0 to 1; it multiplies the network's input. The
    weights are the softmax over the channels of the masked pictures' scores. This is
    pytorch-grad-cam's definition. The paper subtracts the score of a baseline, which does not
    change the softmax; torch-cam scales before it resizes, with pixel centres at half positions.

    Channels whose map is flat have the same mask, zero, and are computed once.

    Parameters
    ----------
    layer : str, optional
    batch : int, optional
        Masked pictures in a pass.
    progress : bool
        Show a progress bar on standard error.
    """
    maps = maps_of(tape, layer)
    size = batch_size(tape, batch)
    values = np.empty((objective.count, *maps.shape[:2]), np.float32)
    with bar(values[0].size, "Score-CAM", progress) as done:
        for n, picture in enumerate(tape.input):
            _, scale = spread(maps[n])
            flat = np.isinf(scale[:, 0, 0])
            keep = layers_read(tape, objective, n)
            groups = [np.flatnonzero(~flat)[part] for part in batches(int((~flat).sum()), size)]
            if flat.any():
                groups.append(np.flatnonzero(flat))
            for group in groups:
                masked = _masked(picture, maps[n, group[:1] if flat[group[0]] else group])
                forward = tape.run(masked, keep, record=False)
                values[:, n, group] = objective.variant_values(n, forward)
                done(len(group))
    weights = _softmax(values)
    return Evidence(weighted_sums(weights, maps), weights)


def _masked(picture: _F32, maps: _F32) -> _F32:
    """Return the picture times each of the maps, (B, C, h, w), as a mask from 0 to 1."""
    masks = _core.resize(maps, picture.shape[1:], "align_corners")
    low, scale = spread(masks)
    return picture * ((masks - low) / scale)[:, None]


def _softmax(values: _F32) -> _F32:
    """Return the softmax over the last axis."""
    powers = np.exp(values.astype(np.float64) - values.max(-1, keepdims=True))
    found: _F32 = (powers / powers.sum(-1, keepdims=True)).astype(np.float32)
    return found


@method(title="Ablation-CAM", source="Desai & Ramaswamy 2020", view="map")
def ablation_cam(
    tape: ForwardPass,
    objective: Objectives,
    *,
    layer: str,
    batch: int | None = None,
    progress: bool = False,
) -> Evidence:
    """Each channel weighted by what the score loses without it.

    Raw values: the weighted sum before the ReLU, (u, v). The weights are S - S_k, S_k the score
    with channel k set to zero. The paper and pytorch-grad-cam divide them by S, which makes maps of
    small scores large, and changes the sign of the map of a negative score. pytorch-grad-cam sets
    channels to the layer's minimum minus 1e7 if that minimum is not 0; the paper, and gradcam,
    always to zero.

    If only operations on single channels (pooling, ReLU, flatten) lie between the layer and a
    linear layer, all outputs of that layer come from one product with its weights, and passes
    start there.

    Parameters
    ----------
    layer : str, optional
        A layer through which everything above it is reached.
    batch : int, optional
        Pictures in a pass; of passes from a linear layer, 512 by default.
    progress : bool
        Show a progress bar on standard error.

    Raises
    ------
    ValueError
        If a layer above reads another one below `layer`, or the objective reads a layer that
        it does not feed.
    """
    batch_size(tape, batch)  # refuse a wrong one before any work
    maps = maps_of(tape, layer)
    check_feeds(tape, objective, layer)
    weights = np.zeros((objective.count, *maps.shape[:2]), np.float32)
    with bar(len(tape) * (1 + maps.shape[1]), "Ablation-CAM", progress) as done:
        for n in range(len(tape)):
            read = layers_read(tape, objective, n)
            used = np.flatnonzero(maps[n].any((1, 2)))
            done(maps.shape[1] - len(used))
            found = []
            for start, outputs in _ablated(tape, n, layer, maps[n], used, read, batch):
                forward = _run_from(tape, start, outputs, read)
                found.append(objective.variant_values(n, forward))
                done(len(outputs))
            values = np.concatenate(found, axis=1)  # the first is of the unchanged maps
            weights[:, n, used] = values[:, :1] - values[:, 1:]
    return Evidence(weighted_sums(weights, maps), weights)


def _run_from(tape: ForwardPass, start: str, outputs: _F32, keep: Sequence[str]) -> ForwardPass:
    try:
        return tape.run_from(start, outputs, keep, record=False)
    except ValueError as error:
        raise ValueError(
            f"ablation_cam: {error}; choose a layer through which everything above it is reached"
        ) from None


def _ablated(
    tape: ForwardPass,
    n: int,
    layer: str,
    maps: _F32,
    used: NDArray[np.intp],
    read: Sequence[str],
    batch: int | None,
) -> Iterator[tuple[str, _F32]]:
    """Yield outputs of a layer for the maps as they are, then without each of the channels `used`.

    Yields
    ------
    str, array
        The layer, and its outputs, (B, ...): `layer`, or the linear layer that it feeds.
    """
    linear = _linear_above(tape.graph, layer)
    if linear is not None and all(tape.graph.index(linear) <= tape.graph.index(r) for r in read):
        outputs = _linear_outputs(tape, n, layer, maps, linear)
        changed = np.concatenate([outputs[:1], outputs[1:][used]])
        for part in batches(len(changed), batch or _VECTORS):
            yield linear, changed[part]
        return
    for part in batches(1 + len(used), batch_size(tape, batch)):
        numbers = range(part.start, part.stop)
        copies = np.repeat(maps[None], len(numbers), axis=0)
        for copy, number in zip(copies, numbers, strict=True):
            if number > 0:
                copy[used[number - 1]] = 0
        yield layer, copies


def _linear_above(graph: Graph, layer: str) -> str | None:
    """Return the linear layer that `layer` feeds through operations on single channels alone."""
    name = layer
    while True:
        readers = [each for each in graph.layers.values() if name in each.inputs]
        if len(readers) != 1 or readers[0].op not in ("linear", *_BY_CHANNEL):
            return None
        name = readers[0].name
        if readers[0].op == "linear":
            return name


def _linear_outputs(tape: ForwardPass, n: int, layer: str, maps: _F32, linear: str) -> _F32:
    """Return a linear layer's outputs for picture `n`: as it is, and without each channel.

    With x the layer's input, in blocks x_k of one channel each, and z its input for maps of zero:
    without channel k, the output W x + b changes by W_k (z_k - x_k).

    Returns
    -------
    (1 + K, out) array of float32
    """
    (below,) = tape.graph.layers[linear].inputs
    zero = _run_from(tape, layer, np.zeros_like(maps)[None], [below])
    change = zero.activation(below)[0] - tape.activation(below)[n]
    blocks = change.reshape(len(maps), -1)
    outputs = np.empty((1 + len(maps), *tape.shape(linear)), np.float32)
    outputs[0] = tape.activation(linear)[n]
    weight = np.asarray(tape.graph.layers[linear].weights["weight"])
    for part in batches(len(weight), max(1, _CACHED // weight.shape[1])):
        rows = weight[part]
        bits = rows.dtype == np.uint16  # of bfloat16
        rows = from_bfloat16(rows) if bits else rows.astype(np.float32, copy=False)
        rows = rows.reshape(len(rows), *blocks.shape)
        np.einsum("okp,kp->ko", rows, blocks, out=outputs[1:, part])
    outputs[1:] += outputs[0]
    return outputs
