"""Where the co-attention answerer looks: Grad-CAM at each block, and its attention.

The Grad-CAM paper says of such a network, with a ResNet: "we see small changes in Grad-CAM for most
adjacent layers and larger changes between layers that involve dimensionality reduction" (section
7.2). A map of fewer positions is another one for this reason alone. So the map before the stride is
also compared with itself at the resolution after it. In the place of what people look at stands the
mask of the objects that the answer depends on.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypedDict

import numpy as np
from numpy.typing import NDArray

from gradcam import _core
from gradcam._engine.tape import Tape
from gradcam._results.explanation import no_flat_warnings
from gradcam.measures import bootstrap, spearman
from gradcam.pictograms._attribute_networks import LAST_MAP
from gradcam.vqa._accuracy import Figures, figures
from gradcam.vqa._agreement import asked, random_map
from gradcam.vqa._answerer import Answerer
from gradcam.vqa._coattention import BLOCKS, LEVELS, STRIDES
from gradcam.vqa._reply import Reply

_F32 = NDArray[np.float32]
_Mask = NDArray[np.bool_]

RESNET = (LAST_MAP, *BLOCKS)
"""What the small ResNet reads, and its blocks."""

PARTS = ("relu1_2", "relu2_2", "relu3_3", "relu4_3", *RESNET)
"""The last map of each part of the VGG, and the blocks."""

_SHRINKING = 1 + STRIDES.index(2)
_BEFORE = RESNET[_SHRINKING - 1]

REDUCED = f"{_BEFORE} at the resolution of {RESNET[_SHRINKING]}"
"""The control for the change of the resolution."""

_COMPARED = dict(zip(PARTS[1:], PARTS, strict=False)) | {REDUCED: _BEFORE}
"""What each map is compared with."""

ATTENTION = tuple(f"attention, {level} level" for level in LEVELS)
RANDOM = "random map"


class Judged(TypedDict):
    """How maps agree with the masks: Spearman's correlation, and the share of maxima on them."""

    mask: Figures
    pointing: Figures


class Block(TypedDict):
    """A block: the shape of its map, and Spearman's correlation with the block before it."""

    shape: list[int]
    with_previous: Figures | None
    truth: Judged


class Looks(TypedDict):
    """Grad-CAM at each block; the attention at the last one, by level, and random maps.

    In the ResNet, `alike` is the mean correlation of neighbours of one shape, `changed` that of
    neighbours of different shapes, and `resolution` that of the map before the change with itself
    at the resolution after it: means over questions.
    """

    blocks: dict[str, Block]
    maps: dict[str, Judged]
    alike: Figures
    changed: Figures
    resolution: Figures


class _Row(NamedTuple):
    """What is kept of one map."""

    mask: float
    pointing: float
    with_previous: float


def looks(answerer: Answerer, questions: int) -> Looks:
    """Measure the maps of the network's answers to this many questions about scenes for tests.

    They are the questions of `agreement`. All maps are enlarged to the input; a flat one, which has
    no order, counts as a correlation of 0.
    """
    rows: dict[str, list[_Row]] = {}
    for number, (scene, question) in enumerate(asked(questions)):
        tape = answerer.network.forward(scene.picture)
        reply = answerer.ask(tape, question.text)
        mask = scene.mask(*question.groups)
        maps = _maps(tape, reply, number, mask.shape)
        for name, map in maps.items():
            row = _row(map, mask, maps.get(_COMPARED.get(name, "")))
            rows.setdefault(name, []).append(row)
    return _summary(answerer, rows)


def _maps(tape: Tape, reply: Reply, seed: int, size: tuple[int, ...]) -> dict[str, _F32]:
    """Return all maps of an answer at the size of the picture."""
    height, width = size
    found: dict[str, _F32] = {}
    with no_flat_warnings():
        for block in PARTS:
            found[block] = tape.grad_cam(reply, layer=block).map
        before = tape.grad_cam(reply, layer=_BEFORE)
        found[REDUCED] = before.geometry.to_picture(_halved(before.evidence))
    for level, name in zip(LEVELS, ATTENTION, strict=True):
        positions = reply.attention[level].positions
        found[name] = np.asarray(_core.resize(positions, (height, width), "half_pixel"))
    found[RANDOM] = random_map(seed, (height, width))
    return found


def _halved(map: _F32) -> _F32:
    """Return the means of each 2 x 2 values."""
    height, width = map.shape
    means: _F32 = map.reshape(height // 2, 2, width // 2, 2).mean((1, 3))
    return means


def _row(map: _F32, mask: _Mask, before: _F32 | None) -> _Row:
    alike = np.nan if before is None else np.nan_to_num(spearman(map, before))
    on_mask = np.nan_to_num(spearman(map, mask))
    return _Row(float(on_mask), float(mask.flat[int(map.argmax())]), float(alike))


def _summary(answerer: Answerer, rows: Mapping[str, Sequence[_Row]]) -> Looks:
    """Return the means with their intervals."""
    network = answerer.network
    shapes = {block: list(network.shape(block, network.input_size)) for block in PARTS}
    by_pair = {name: [row.with_previous for row in rows[name]] for name in _COMPARED}
    pairs = list(itertools.pairwise(RESNET))
    same = [b for a, b in pairs if shapes[a] == shapes[b]]
    other = [b for a, b in pairs if shapes[a] != shapes[b]]
    blocks = {
        block: Block(
            shape=shapes[block],
            with_previous=figures(bootstrap(by_pair[block])) if block in by_pair else None,
            truth=_judged(rows[block]),
        )
        for block in PARTS
    }
    return Looks(
        blocks=blocks,
        maps={name: _judged(rows[name]) for name in (*ATTENTION, RANDOM)},
        alike=figures(bootstrap(np.mean([by_pair[b] for b in same], axis=0))),
        changed=figures(bootstrap(np.mean([by_pair[b] for b in other], axis=0))),
        resolution=figures(bootstrap(by_pair[REDUCED])),
    )


def _judged(rows: Sequence[_Row]) -> Judged:
    return Judged(
        mask=figures(bootstrap([row.mask for row in rows])),
        pointing=figures(bootstrap([row.pointing for row in rows])),
    )
