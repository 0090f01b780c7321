"""Where the co-attention answerer looks: Grad-CAM at each block, and its attention.

The Grad-CAM paper shows such a network's maps at each layer: most neighbouring layers agree, and
maps change more where the dimensions change (section 7.2 and the appendix). In the place of what
people look at stands the mask of the objects that the answer depends on.
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
from gradcam.vqa._accuracy import Figures, figures
from gradcam.vqa._agreement import asked, random_map
from gradcam.vqa._answerer import Answerer
from gradcam.vqa._coattention import BLOCKS, LEVELS
from gradcam.vqa._reply import Reply

_F32 = NDArray[np.float32]
_Mask = NDArray[np.bool_]

PARTS = (
    *("relu1_2", "relu2_2", "relu3_3", "relu4_3", "relu5_3"),
    *(f"block{number}" for number in range(1, BLOCKS + 1)),
)
"""The last map of each part of the VGG, and the residual blocks."""

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

    `alike` is the mean correlation of neighbours of one shape, `changed` that of neighbours of
    different shapes: means over questions.
    """

    blocks: dict[str, Block]
    maps: dict[str, Judged]
    alike: Figures
    changed: Figures


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
        before = None
        for name, map in _maps(tape, reply, number, mask.shape).items():
            row = _row(map, mask, before if name in PARTS else None)
            rows.setdefault(name, []).append(row)
            before = map
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
    alike = np.nan if before is None else np.nan_to_num(spearman(map, before))
    on_mask = np.nan_to_num(spearman(map, mask))
    return _Row(float(on_mask), float(mask.flat[int(map.argmax())]), float(alike))


def _summary(answerer: Answerer, rows: Mapping[str, Sequence[_Row]]) -> Looks:
    """Return the means with their intervals."""
    network = answerer.network
    shapes = {block: list(network.shape(block, network.input_size)) for block in PARTS}
    pairs = list(itertools.pairwise(PARTS))
    by_pair = {b: [row.with_previous for row in rows[b]] for _, b in pairs}
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
    )


def _judged(rows: Sequence[_Row]) -> Judged:
    return Judged(
        mask=figures(bootstrap([row.mask for row in rows])),
        pointing=figures(bootstrap([row.pointing for row in rows])),
    )
