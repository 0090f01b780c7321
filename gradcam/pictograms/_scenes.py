"""Scenes of pictograms, drawn from a seed, with the class, box and mask of every object.

A scene has one to four pictograms of random scale, rotation, hue and brightness, which may
overlap, on a random background and among distractors, which belong to no class. The mask of each
object is exact, so explanations can be checked pixel by pixel.

The same seed yields the same picture: all random numbers come from one PCG64 generator, and all
drawing uses integers or single float32 operations. Only another version of Pillow may round the
edges of resized or rotated pictograms differently.

A scene can be drawn again without an object, with one moved, replaced, partly covered or in another
texture, or with two of them exchanged, while everything else stays exactly the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import SupportsIndex

import numpy as np
from numpy.typing import NDArray

from gradcam._labels.classes import Labels
from gradcam._methods.passes import check_seed, flag, integer, real
from gradcam.pictograms._backgrounds import Float
from gradcam.pictograms._covers import cover
from gradcam.pictograms._drawing import (
    INDEX,
    OPAQUE,
    Placed,
    Recipe,
    draw_ground,
    draw_patch,
    random_position,
    state_of,
)

__all__ = ["CLASSES", "Scene", "SceneObject", "class_index", "compose", "scene"]

CLASSES: tuple[tuple[str, str], ...] = tuple(
    (entry["synset"], entry["label"]) for entry in INDEX["classes"]
)
"""The classes in the order of the network's scores: (WordNet synset, label)."""

_LABELS = Labels([label for _, label in CLASSES], [synset for synset, _ in CLASSES])

MAX_OBJECTS = 4
MIN_SIDE, MAX_SIDE = 64, 4096

# The longer side of an object, in pixels of a picture whose shorter side is 224. The maximum
# depends on the number of objects, so that all of them fit.
_MIN_SIZE = 56
_MAX_SIZE = {1: 130, 2: 130, 3: 112, 4: 98}
# The minimum visible share of each object's pixels.
_MIN_VISIBLE = 0.6

_ATTEMPTS = 60
"""Random positions that are tried for an object."""

_ATTEMPTS_PER_SIZE = 6
"""Positions that are tried before the object is made smaller, so that the search ends."""


@dataclass(frozen=True, eq=False, repr=False)
class SceneObject:
    """One pictogram of a scene.

    Attributes
    ----------
    index : int
        The index of its class in `CLASSES` and in the network's scores.
    label : str
        The label of its class.
    box : (x0, y0, x1, y1)
        The bounding box of `mask` in pixels, x1 and y1 exclusive.
    mask : (H, W) array of bool
        Its visible pixels: those that no later object covers.
    """

    index: int
    label: str
    box: tuple[int, int, int, int]
    mask: NDArray[np.bool_]

    def __repr__(self) -> str:
        return f"<SceneObject {self.label}, box {self.box}>"


@dataclass(frozen=True, eq=False, repr=False)
class Scene:
    """A picture and its ground truth.

    Attributes
    ----------
    picture : (H, W, 3) array of uint8
        RGB.
    objects : list of SceneObject
        From the back to the front.
    """

    picture: NDArray[np.uint8]
    objects: list[SceneObject]
    _recipe: Recipe | None = None

    def without(self, *numbers: SupportsIndex) -> Scene:
        """Draw the same scene without some objects.

        Background, distractors, all other objects, brightness and grain are the same; what an
        object covered becomes visible.

        Parameters
        ----------
        *numbers : int
            Positions in `objects`, from 0 on.

        Returns
        -------
        Scene
            Whose `objects` are those that are left, in the same order; none at all if all are
            removed.

        Raises
        ------
        IndexError, TypeError
            If there is no object of that number.
        ValueError
            If the scene was not drawn by :func:`scene`.
        """
        recipe = self._drawn()
        removed = {self._number(each) for each in numbers}
        kept = [each for n, each in enumerate(recipe.placed) if n not in removed]
        return draw(recipe.with_objects(kept))

    def moved(self, number: SupportsIndex, by: tuple[SupportsIndex, SupportsIndex]) -> Scene:
        """Draw the same scene with an object elsewhere.

        Parameters
        ----------
        number : int
            The position in `objects`, from 0 on.
        by : (x, y)
            How many pixels to the right and down.

        Raises
        ------
        IndexError, TypeError
            If there is no object of that number, or the offset is not two integers.
        ValueError
            If the object would not be entirely inside the picture, or an object would be hidden; or
            the scene was not drawn by :func:`scene`.
        """
        recipe, n = self._drawn(), self._number(number)
        dx, dy = _offset(by)
        old = recipe.placed[n]
        new = old.at(old.x + dx, old.y + dy, recipe.size)
        if (new.x, new.y) != (old.x + dx, old.y + dy):
            (height, width), (h, w) = recipe.size, old.size
            raise ValueError(
                f"object {n}, {self.objects[n].label}, would leave the picture: it can be moved by "
                f"{-old.x} to {width - w - old.x} in x and {-old.y} to {height - h - old.y} in y, "
                f"not by ({dx}, {dy})"
            )
        return self._changed({n: new})

    def swapped(self, first: SupportsIndex, second: SupportsIndex) -> Scene:
        """Draw the same scene with two objects exchanged.

        Each is centred where the other was, or as near to it as the picture allows. What is in
        front stays in front.

        Parameters
        ----------
        first, second : int
            The positions in `objects`, from 0 on.

        Raises
        ------
        IndexError, TypeError
            If there is no object of that number.
        ValueError
            If an object would be hidden, or the scene was not drawn by :func:`scene`.
        """
        recipe, i, j = self._drawn(), self._number(first), self._number(second)
        a, b = recipe.placed[i], recipe.placed[j]
        return self._changed({i: a.centred_like(b, recipe.size), j: b.centred_like(a, recipe.size)})

    def replaced(self, number: SupportsIndex, name: str | int) -> Scene:
        """Draw the same scene with an object of another class in the place of one.

        It has the centre, the turn, the hue, the brightness and about the length of the old one.

        Parameters
        ----------
        number : int
            The position in `objects`, from 0 on.
        name : str or int
            The new class: its label, synset or index.

        Raises
        ------
        IndexError, TypeError, ValueError
            If there is no such object or class, an object would be hidden, or the scene was not
            drawn by :func:`scene`.
        """
        recipe, n = self._drawn(), self._number(number)
        return self._changed({n: recipe.placed[n].of_class(class_index(name), recipe.size)})

    def textured(
        self,
        number: SupportsIndex,
        name: str | int,
        *,
        shading: bool = True,
        pattern: bool = True,
    ) -> Scene:
        """Draw the same scene with the texture of another class in the shape of an object.

        Shape and texture then contradict each other, as in the pictures of Geirhos et al. (2019).
        The texture comes from the inside of the pictogram that :meth:`replaced` would draw, and is
        continued by image quilting (Efros and Freeman 2001). The object keeps its class. A texture
        that it was given before is replaced.

        Inside a pictogram that is small or thin there are only a few pixels: what is continued is
        then little more than a colour.

        Parameters
        ----------
        number : int
            The position in `objects`, from 0 on.
        name : str or int
            The class of the texture: its label, synset or index.
        shading : bool
            The texture is darker and brighter where the object is, so that its eyes and inner lines
            remain. False: only its outline remains.
        pattern : bool
            False: the mean colour of the texture in place of the texture, to tell what is due to
            the colour alone.

        Raises
        ------
        IndexError, TypeError, ValueError
            If there is no such object or class, or the scene was not drawn by :func:`scene`.
        """
        recipe, n = self._drawn(), self._number(number)
        index = class_index(name)
        new = recipe.placed[n].with_texture(
            index, recipe.size, shading=flag("shading", shading), pattern=flag("pattern", pattern)
        )
        return self._changed({n: new})

    def covered(self, number: SupportsIndex, share: float, *, seed: int = 0) -> Scene:
        """Draw the same scene with a distractor in front of an object, which hides a share of it.

        Parameters
        ----------
        number : int
            The position in `objects`, from 0 on.
        share : float
            Of the object's visible pixels, between 0 and 1. The share that is hidden is seldom
            exactly this: compare the masks of both scenes.
        seed : int
            Chooses the distractor and its place: of up to 40 distractors that hide the share, the
            one that hides least of the other objects, and none of them entirely. It is in front of
            all objects, entirely inside the picture, and belongs to no class.

        Raises
        ------
        IndexError, TypeError
            If there is no object of that number, or the share is not a number.
        ValueError
            If the share is out of range, every distractor would hide an object entirely, or the
            scene was not drawn by :func:`scene`.
        """
        recipe, n = self._drawn(), self._number(number)
        if not 0 < real("share", share) < 1:
            raise ValueError(f"share: expected a number between 0 and 1, got {share}")
        check_seed(seed)
        others = [each.mask for i, each in enumerate(self.objects) if i != n]
        rng = np.random.default_rng(int(seed))
        return draw(recipe.with_cover(cover(rng, self.objects[n].mask, others, float(share))))

    def _changed(self, new: dict[int, Placed]) -> Scene:
        """Return the scene with other objects in the place of those of these numbers."""
        recipe = self._drawn()
        return draw(recipe.with_objects([new.get(n, p) for n, p in enumerate(recipe.placed)]))

    def _drawn(self) -> Recipe:
        if self._recipe is None:
            raise ValueError(
                "this scene holds only its picture and its objects: scenes that "
                "gradcam.pictograms.scene returns can be drawn again"
            )
        return self._recipe

    def _number(self, number: SupportsIndex) -> int:
        """Return the number of an object, having checked it."""
        n = integer("number of an object", number)
        if not 0 <= n < len(self.objects):
            raise IndexError(
                f"there is no object {n}: the scene has {len(self.objects)}, numbered from 0 on"
            )
        return n

    def __repr__(self) -> str:
        height, width = self.picture.shape[:2]
        labels = ", ".join(each.label for each in self.objects) or "no objects"
        return f"<Scene of {height} x {width}: {labels}>"


def class_index(name: str | int) -> int:
    """Return the index of the class with this label, synset or index.

    Raises
    ------
    ValueError, IndexError, TypeError
        If there is no such class, as `gradcam.Labels.find` does; for an unknown name the message
        suggests similar ones.
    """
    return _LABELS.find(name).index


def scene(
    seed: int,
    *,
    objects: int | None = None,
    classes: Sequence[str | int] | None = None,
    size: tuple[int, int] = (224, 224),
) -> Scene:
    """Draw the scene of this seed.

    Parameters
    ----------
    seed : int
        A non-negative integer; the same arguments return the same bytes.
    objects : int, optional
        The number of objects, 1 to 4, all of different classes. By default it is random.
    classes : sequence of str or int, optional
        The class of each object, from the back to the front: labels, synsets or indices. A class
        may occur more than once. By default they are random.
    size : (height, width)
        Of the picture, 64 to 4096 pixels each. The size of objects is proportional to the shorter
        side; if that is 224, they are 56 to 130 pixels long.

    Returns
    -------
    Scene

    Raises
    ------
    ValueError
        If an argument is out of range, or a class is unknown.
    IndexError, TypeError
        If the index of a class is out of range, or a class is neither an index nor a name.

    Examples
    --------
    >>> s = scene(7, classes=["cat", "dog"])
    >>> [o.label for o in s.objects], s.picture.shape
    (['cat', 'dog'], (224, 224, 3))
    """
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise ValueError(f"seed must be a non-negative integer, not {seed!r}")
    height, width = _check_size(size)
    rng = np.random.default_rng(int(seed))
    indices = _random_classes(rng, objects) if classes is None else _given_classes(classes, objects)
    return compose(rng, indices, (height, width), scale=min(height, width) / 224)


def _random_classes(rng: np.random.Generator, objects: int | None) -> list[int]:
    """Return the indices of `objects` different random classes."""
    if objects is None:
        objects = int(rng.integers(1, MAX_OBJECTS + 1))
    _check_count(objects)
    indices: list[int] = rng.choice(len(CLASSES), size=int(objects), replace=False).tolist()
    return indices


def _given_classes(classes: Sequence[str | int], objects: int | None) -> list[int]:
    """Return the indices of `classes`, after checking that there are `objects` of them."""
    if isinstance(classes, (str, int)):
        raise ValueError(f"classes must be a sequence, such as [{classes!r}], not {classes!r}")
    indices = [class_index(name) for name in classes]
    if objects is not None and objects != len(indices):
        raise ValueError(
            f"objects={objects} contradicts the {len(indices)} classes given: omit one of the two"
        )
    _check_count(len(indices))
    return indices


def _check_count(objects: int) -> None:
    if not isinstance(objects, (int, np.integer)) or not 1 <= objects <= MAX_OBJECTS:
        raise ValueError(f"a scene has 1 to {MAX_OBJECTS} objects, not {objects!r}")


def _check_size(size: tuple[int, int]) -> tuple[int, int]:
    try:
        height, width = size
        is_integer = int(height) == height and int(width) == width
    except (TypeError, ValueError):
        raise ValueError(f"size must be (height, width) in pixels, not {size!r}") from None
    if not is_integer or not all(MIN_SIDE <= side <= MAX_SIDE for side in size):
        raise ValueError(
            f"size must be (height, width), integers from {MIN_SIDE} to {MAX_SIDE}, not {size!r}"
        )
    return int(height), int(width)


def _offset(by: tuple[SupportsIndex, SupportsIndex]) -> tuple[int, int]:
    try:
        x, y = by
    except (TypeError, ValueError):
        raise TypeError(f"by: expected (x, y) in pixels, got {by!r}") from None
    return integer("by", x), integer("by", y)


def compose(
    rng: np.random.Generator, classes: Sequence[int], size: tuple[int, int], scale: float
) -> Scene:
    """Draw a scene with objects of these class indices; `classes` may be empty.

    `scale` multiplies the sizes of the objects, which are defined for a shorter side of 224. The
    generator must be one of PCG64. The arguments are not checked.
    """
    start = state_of(rng)
    canvas = draw_ground(rng, size, scale)
    placed = _place(rng, classes, size, scale)
    return draw(Recipe(size, scale, start, state_of(rng), placed), canvas)


def _place(
    rng: np.random.Generator, classes: Sequence[int], size: tuple[int, int], scale: float
) -> tuple[Placed, ...]:
    """Choose a pictogram for each class, and a place where it hides little of the others."""
    # owner: the number of the object that each pixel shows, or 0; area and visible: pixels of
    # each object, by number.
    owner = np.zeros(size, np.uint8)
    area = np.zeros(MAX_OBJECTS + 2, np.int64)
    visible = area.copy()
    max_size = _MAX_SIZE[max(1, len(classes))]
    placed = []
    for number, index in enumerate(classes, start=1):
        longest = rng.uniform(_MIN_SIZE, max_size) * scale
        cell = int(rng.choice(INDEX["classes"][index]["cells"]))
        for attempt in range(_ATTEMPTS):
            if attempt % _ATTEMPTS_PER_SIZE == 0:
                length, state = longest * 0.88 ** (attempt // _ATTEMPTS_PER_SIZE), state_of(rng)
                patch = draw_patch(rng, cell, length, size)
                opaque = patch[..., 3] >= OPAQUE
            x, y = random_position(rng, patch, size)
            region = owner[y : y + patch.shape[0], x : x + patch.shape[1]]
            covered = np.bincount(region[opaque], minlength=len(visible))
            if np.all(visible[1:number] - covered[1:number] >= _MIN_VISIBLE * area[1:number]):
                break
        visible -= covered
        visible[number] = area[number] = np.count_nonzero(opaque)
        region[opaque] = number
        placed.append(Placed(index, patch, x, y, length, state))
    return tuple(placed)


def draw(recipe: Recipe, canvas: Float | None = None) -> Scene:
    """Draw a scene by its recipe, on `canvas` if it is given.

    Raises
    ------
    ValueError
        If an object has no visible pixel.
    """
    drawn = recipe.draw(canvas)
    objects = []
    for number, each in enumerate(recipe.placed, start=1):
        mask, label = drawn.owner == number, CLASSES[each.index][1]
        if not mask.any():
            raise ValueError(
                f"object {number - 1}, {label}, would be hidden by others in front of it, and "
                f"would have no mask: choose another place"
            )
        objects.append(SceneObject(each.index, label, _bounding_box(mask), mask))
    return Scene(drawn.picture, objects, recipe)


def _bounding_box(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    rows = np.flatnonzero(mask.any(axis=1))
    columns = np.flatnonzero(mask.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
