"""Scenes whose objects have attributes that words can name: colours, sizes, counts, places.

A described scene has one to four objects of 16 kinds. Objects of one kind form a *group*: they have
the same colour and size. Captions (`_captions`) and questions (`_questions`) are made of the
groups, so that what is true of a picture is known exactly.

Scenes are divided by their *layout*, the groups from left to right with all attributes: one layout
in ten is for tests alone. Training skips those, so no layout of a test occurs in training.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradcam._methods.passes import check_seed
from gradcam.pictograms._colouring import COLOURS, coloured, two_coloured
from gradcam.pictograms._drawing import (
    OPAQUE,
    Placed,
    Recipe,
    draw_ground,
    draw_patch,
    random_position,
    state_of,
)
from gradcam.pictograms._scenes import Scene, class_index, draw

Size = Literal["small", "large"]
Relation = Literal["left of", "right of", "above", "below"]

RELATIONS: tuple[Relation, ...] = ("left of", "right of", "above", "below")


class Noun(NamedTuple):
    """A kind of object: its word, the plural, the pictogram's class and the cells that show it."""

    word: str
    plural: str
    label: str
    cells: tuple[int, ...]


NOUNS: tuple[Noun, ...] = (
    Noun("boat", "boats", "yawl", (41,)),
    Noun("butterfly", "butterflies", "monarch", (19,)),
    Noun("camel", "camels", "Arabian_camel", (21,)),
    Noun("car", "cars", "jeep", (31,)),
    Noun("cat", "cats", "cat", (10,)),
    Noun("dog", "dogs", "dog", (5, 7)),
    Noun("elephant", "elephants", "elephant", (22,)),
    Noun("goose", "geese", "goose", (0,)),
    Noun("guitar", "guitars", "electric_guitar", (28,)),
    Noun("lobster", "lobsters", "American_lobster", (2,)),
    Noun("mushroom", "mushrooms", "mushroom", (43,)),
    Noun("pizza", "pizzas", "pizza", (45,)),
    Noun("plane", "planes", "airliner", (24,)),
    Noun("snail", "snails", "snail", (1,)),
    Noun("teapot", "teapots", "teapot", (37,)),
    Noun("umbrella", "umbrellas", "umbrella", (39,)),
)

SIDE = 224
MAX_OBJECTS = 4
_SHARES_OF_COUNTS = (0.15, 0.25, 0.3, 0.3)  # scenes of 1, 2, 3 and 4 objects
_TWO_COLOURS = 0.15  # of the groups of one object
# The longer side of an object, in pixels of a picture of 224 x 224.
_LENGTHS: dict[Size, tuple[float, float]] = {"small": (50, 62), "large": (88, 108)}
_MAX_LARGE = 2
_DIVISIONS: dict[int, tuple[tuple[int, ...], ...]] = {
    1: ((1,),),
    2: ((1, 1), (1, 1), (2,)),
    3: ((1, 1, 1), (2, 1), (3,)),
    4: ((1, 1, 1, 1), (2, 1, 1), (2, 2), (3, 1), (4,), (4,)),
}
_ATTEMPTS = 200
_MIN_VISIBLE = 0.9
_CLEAR = 0.14  # of the side: the smallest distance of a relation that is named
_TEST_SHARE = 10


Asked = tuple[Noun, tuple[str, ...], Size, int]
"""What a group is to be: its noun, colours, size and count."""


@dataclass(frozen=True)
class Group:
    """Objects of one kind.

    Attributes
    ----------
    noun : Noun
    colours : tuple of str
        One, or two: then the upper half has the first one, and the lower half the second one.
    size : "small" or "large"
    members : tuple of int
        Positions in :attr:`Described.objects`.
    """

    noun: Noun
    colours: tuple[str, ...]
    size: Size
    members: tuple[int, ...]

    @property
    def count(self) -> int:
        """The number of its objects."""
        return len(self.members)


@dataclass(frozen=True, eq=False, repr=False)
class Arrangement:
    """What a scene shows and where, without its picture.

    Attributes
    ----------
    groups : tuple of Group
    centres : (n, 2) array
        (x, y) of the objects, 0 to 1.
    """

    groups: tuple[Group, ...]
    centres: NDArray[np.float64]

    def group(self, word: str) -> Group | None:
        """Return the group of this noun, singular or plural, or None."""
        for group in self.groups:
            if word in (group.noun.word, group.noun.plural):
                return group
        return None

    def stands(self, group: Group, relation: Relation, other: Group) -> bool:
        """Return whether every object of a group clearly stands in this relation to the other."""
        offsets = [self.along(a, relation, b) for a in group.members for b in other.members]
        return all(far >= _CLEAR and side <= 0.8 * far for far, side in offsets)

    def may_stand(self, group: Group, relation: Relation, other: Group) -> bool:
        """Return whether some would say that an object of a group is in this relation."""
        offsets = [self.along(a, relation, b) for a in group.members for b in other.members]
        return any(far >= 0.03 and side <= 1.25 * far for far, side in offsets)

    def along(self, a: int, relation: Relation, b: int) -> tuple[float, float]:
        """Return how far object `a` is from `b` in this direction, and how far to the side."""
        x, y = self.centres[a] - self.centres[b]
        far = {"left of": -x, "right of": x, "above": -y, "below": y}[relation]
        return far, abs(y) if relation in ("left of", "right of") else abs(x)

    @cached_property
    def layout(self) -> str:
        """The groups from left to right, with all attributes."""
        order = sorted(self.groups, key=lambda group: self.centres[list(group.members), 0].mean())
        return "; ".join(
            f"{g.count} {g.size} {' and '.join(g.colours)} {g.noun.word}" for g in order
        )

    @property
    def is_for_tests(self) -> bool:
        """Whether training skips scenes of this layout."""
        return for_tests(self.layout)


@dataclass(frozen=True, eq=False, repr=False)
class Described(Arrangement):
    """A picture with all that can be said about it.

    Attributes
    ----------
    groups : tuple of Group
    centres : (n, 2) array
        (x, y) of the objects, 0 to 1.
    scene : Scene
        The picture and its objects with boxes and masks; it can be drawn again without some.
    halves : list of tuple of (H, W) array of bool
        For each object, the mask of each of its colours.
    """

    scene: Scene
    halves: list[tuple[NDArray[np.bool_], ...]]

    @property
    def picture(self) -> NDArray[np.uint8]:
        """RGB, (H, W, 3)."""
        return self.scene.picture

    def mask(self, *groups: Group) -> NDArray[np.bool_]:
        """Return the visible pixels of all objects of these groups, (H, W)."""
        found = np.zeros(self.picture.shape[:2], np.bool_)
        for group in groups:
            for member in group.members:
                found |= self.scene.objects[member].mask
        return found

    def __repr__(self) -> str:
        return f"<Described {self.layout}>"


def for_tests(text: str) -> bool:
    """Return whether a layout or a sentence is one of the tenth that training skips."""
    return zlib.crc32(text.encode()) % _TEST_SHARE == 0


def described(seed: int, *, side: int = SIDE) -> Described:
    """Draw the described scene of this seed.

    Parameters
    ----------
    seed : int
        A non-negative integer; the same arguments return the same bytes.
    side : int
        Of the picture, in pixels, 64 to 1024.

    Returns
    -------
    Described

    Raises
    ------
    ValueError
        If an argument is out of range.
    """
    check_seed(seed)
    if not 64 <= side <= 1024:
        raise ValueError(f"side: expected 64 to 1024 pixels, got {side}")
    return compose_described(np.random.default_rng([int(seed), 0x44]), side)


def compose_described(
    rng: np.random.Generator,
    side: int,
    groups: list[Asked] | None = None,
) -> Described:
    """Draw a scene of given groups (noun, colours, size, count), or of random ones."""
    scale = side / SIDE
    start = state_of(rng)
    canvas = draw_ground(rng, (side, side), scale)
    while True:
        asked = _random_groups(rng) if groups is None else groups
        placed, colour_masks = _place(rng, asked, side)
        if placed is not None:
            break
    scene = draw(Recipe((side, side), scale, start, state_of(rng), placed), canvas)
    centres = np.array([(p.x + p.size[1] / 2, p.y + p.size[0] / 2) for p in placed]) / side
    halves = [
        tuple(_on_picture(part, p, side) & each.mask for part in parts)
        for parts, p, each in zip(colour_masks, placed, scene.objects, strict=True)
    ]
    return Described(groups_of(asked), centres, scene, halves)


def groups_of(asked: list[Asked]) -> tuple[Group, ...]:
    """Return the groups; their objects are numbered in this order."""
    found, first = [], 0
    for noun, colours, size, count in asked:
        found.append(Group(noun, colours, size, tuple(range(first, first + count))))
        first += count
    return tuple(found)


def _random_groups(rng: np.random.Generator) -> list[Asked]:
    """Choose the groups of a scene: (noun, colours, size, count)."""
    total = int(rng.choice(np.arange(1, MAX_OBJECTS + 1), p=_SHARES_OF_COUNTS))
    divisions = _DIVISIONS[total]
    counts = divisions[int(rng.integers(len(divisions)))]
    nouns = rng.choice(len(NOUNS), size=len(counts), replace=False)
    groups: list[Asked] = []
    large = 0
    for noun, count in zip(nouns, counts, strict=True):
        two = count == 1 and rng.random() < _TWO_COLOURS
        chosen = rng.choice(len(COLOURS), size=2 if two else 1, replace=False)
        colours = tuple(list(COLOURS)[i] for i in chosen)
        size: Size = "large" if rng.random() < 0.5 and large + count <= _MAX_LARGE else "small"
        large += count if size == "large" else 0
        groups.append((NOUNS[int(noun)], colours, size, count))
    return groups


def _place(
    rng: np.random.Generator, groups: list[Asked], side: int
) -> tuple[tuple[Placed, ...] | None, list[tuple[NDArray[np.bool_], ...]]]:
    """Place all objects where they hide almost nothing of each other; None if that fails."""
    owner = np.zeros((side, side), np.uint8)  # the number of the object that each pixel shows, or 0
    least = np.zeros(MAX_OBJECTS + 1)  # how many pixels of each object must stay visible
    placed: list[Placed] = []
    masks: list[tuple[NDArray[np.bool_], ...]] = []
    for noun, colours, size, count in groups:
        for _ in range(count):
            length = rng.uniform(*_LENGTHS[size]) * side / SIDE
            cell = int(noun.cells[int(rng.integers(len(noun.cells)))])
            state = state_of(rng)
            patch = draw_patch(rng, cell, length, (side, side))
            shade = rng.uniform(0.88, 1.08)
            if len(colours) == 1:
                patch = coloured(patch, colours[0], shade)
                parts: tuple[NDArray[np.bool_], ...] = (patch[..., 3] >= OPAQUE,)
            else:
                patch, parts = two_coloured(patch, (colours[0], colours[1]), shade)
            opaque = patch[..., 3] >= OPAQUE
            visible = np.bincount(owner.ravel(), minlength=len(least))
            for _attempt in range(_ATTEMPTS):
                x, y = random_position(rng, patch, (side, side))
                region = owner[y : y + patch.shape[0], x : x + patch.shape[1]]
                hidden = np.bincount(region[opaque], minlength=len(least))
                if np.all(visible[1:] - hidden[1:] >= least[1:]):
                    break
            else:
                return None, []
            region[opaque] = len(placed) + 1
            least[len(placed) + 1] = _MIN_VISIBLE * np.count_nonzero(opaque)
            placed.append(Placed(class_index(noun.label), patch, x, y, length, state))
            masks.append(parts)
    return tuple(placed), masks


def _on_picture(part: NDArray[np.bool_], placed: Placed, side: int) -> NDArray[np.bool_]:
    """Return a mask of a patch as a mask of the picture."""
    whole = np.zeros((side, side), np.bool_)
    height, width = placed.size
    whole[placed.y : placed.y + height, placed.x : placed.x + width] = part
    return whole
