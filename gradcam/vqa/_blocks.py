"""Where the co-attention answerer looks: Grad-CAM at each block, and its attention.

The Grad-CAM paper says of such a network, with a ResNet: "we see small changes in Grad-CAM for most
adjacent layers and larger changes between layers that involve dimensionality reduction" (section
7.2). Maps of fewer positions differ for this reason alone; so neighbours are also compared after
both are averaged to the coarsest resolution. In the place of what people look at stands the mask of
the objects that the answer depends on.
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
from gradcam.vqa._coattention import BLOCKS, LEVELS
from gradcam.vqa._reply import Reply

_F32 = NDArray[np.float32]
_Mask = NDArray[np.bool_]

RESNET = (LAST_MAP, *BLOCKS)
"""What the small ResNet reads, and its blocks."""

PARTS = ("relu1_2", "relu2_2", "relu3_3", "relu4_3", *RESNET)
"""The last map of each part of the VGG, and the blocks."""

COARSE = 7
"""Positions along each side of the last map."""

ATTENTION = tuple(f"attention, {level} level" for level in LEVELS)
RANDOM = "random map"


class Judged(TypedDict):
    """How maps agree with the masks: Spearman's correlation, and the share of maxima on them."""

    mask: Figures
    pointing: Figures


class Block(TypedDict):
    """A block: the shape of its map, and Spearman's correlation with the block before it.

    `coarse` is that of the maps averaged to 7 x 7.
    """

    shape: list[int]
    with_previous: Figures | None
    coarse: Figures | None
    truth: Judged


class Steps(TypedDict):
    """The correlation of neighbours in the ResNet: of one shape, and of different shapes."""

    alike: Figures
    changed: Figures


class Looks(TypedDict):
    """Grad-CAM at each block; the attention at the last one, by level, and random maps.

    `steps` holds means over questions, `coarse` those of maps averaged to 7 x 7.
    """

    blocks: dict[str, Block]
    maps: dict[str, Judged]
    steps: Steps
    coarse: Steps


class _Row(NamedTuple):
    """What is kept of one map."""

    mask: float
    pointing: float
    with_previous: float = np.nan
    coarse: float = np.nan


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
        previous = dict(itertools.pairwise(reversed(PARTS)))
        for name, map in maps.items():
            before = maps[previous[name]] if name in previous else None
            rows.setdefault(name, []).append(_row(map, mask, before))
    return _summary(answerer, rows)


def _maps(tape: Tape, reply: Reply, seed: int, size: tuple[int, ...]) -> dict[str, _F32]:
    """Return all maps of an answer at the size of the picture."""
    height, width = size
    found: dict[str, _F32] = {}
    with no_flat_warnings():
        for block in PARTS:
            found[block] = tape.grad_cam(reply, layer=block).map
    for level, name in zip(LEVELS, ATTENTION, strict=True):
        positions = reply.attention[level].positions
        found[name] = np.asarray(_core.resize(positions, (height, width), "half_pixel"))
    found[RANDOM] = random_map(seed, (height, width))
    return found


def _row(map: _F32, mask: _Mask, before: _F32 | None) -> _Row:
    on_mask, at_maximum = _alike(map, mask), float(mask.flat[int(map.argmax())])
    if before is None:
        return _Row(on_mask, at_maximum)
    return _Row(on_mask, at_maximum, _alike(map, before), _alike(_coarse(map), _coarse(before)))


def _alike(map: _F32, other: NDArray[np.generic]) -> float:
    """Return Spearman's correlation; 0 if a map is flat."""
    return float(np.nan_to_num(spearman(map, other)))


def _coarse(map: _F32) -> _F32:
    """Return the means of a map in 7 x 7 equal parts."""
    height, width = (side // COARSE for side in map.shape)
    means: _F32 = map.reshape(COARSE, height, COARSE, width).mean((1, 3))
    return means


def _summary(answerer: Answerer, rows: Mapping[str, Sequence[_Row]]) -> Looks:
    """Return the means with their intervals."""
    network = answerer.network
    shapes = {block: list(network.shape(block, network.input_size)) for block in PARTS}
    fine, coarse = (
        {block: [getattr(row, kind) for row in rows[block]] for block in PARTS[1:]}
        for kind in ("with_previous", "coarse")
    )
    blocks = {
        block: Block(
            shape=shapes[block],
            with_previous=figures(bootstrap(fine[block])) if block in fine else None,
            coarse=figures(bootstrap(coarse[block])) if block in coarse else None,
            truth=_judged(rows[block]),
        )
        for block in PARTS
    }
    return Looks(
        blocks=blocks,
        maps={name: _judged(rows[name]) for name in (*ATTENTION, RANDOM)},
        steps=_steps(shapes, fine),
        coarse=_steps(shapes, coarse),
    )


def _steps(shapes: Mapping[str, list[int]], alike: Mapping[str, list[float]]) -> Steps:
    """Return how far neighbours in the ResNet agree, by whether their shapes do."""
    changes: dict[bool, list[list[float]]] = {False: [], True: []}
    for before, block in itertools.pairwise(RESNET):
        changes[shapes[before] != shapes[block]].append(alike[block])
    same, changed = (figures(bootstrap(np.mean(changes[key], axis=0))) for key in (False, True))
    return Steps(alike=same, changed=changed)


def _judged(rows: Sequence[_Row]) -> Judged:
    return Judged(
        mask=figures(bootstrap([row.mask for row in rows])),
        pointing=figures(bootstrap([row.pointing for row in rows])),
    )
