"""What each object of a scene truly does to each score: the scene is drawn again without it.

An explanation says which parts of a picture a score is due to. In a scene of pictograms this is
known exactly: :func:`effects` draws it with every choice of its objects and runs the network on
each picture. There is no patch, blur or grey in place of an object, only what was behind it.
:func:`agreement` compares how a map divides its evidence among the objects with that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from gradcam._engine.network import Network
from gradcam._labels.classes import Labels, Target
from gradcam._methods.passes import one_of
from gradcam._results.explanation import Explanation
from gradcam._results.objectives import On, check_on
from gradcam.measures._given import MapLike, map_on_picture, seen_of
from gradcam.pictograms._effects_figure import Shown, draw
from gradcam.pictograms._networks import model
from gradcam.pictograms._scenes import CLASSES, Scene

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_F64 = NDArray[np.float64]

_ROUNDING = 1e-6
"""Shares that differ by less are equal but for rounding."""

Truth = Literal["shapley", "removal"]
"""Which effects of the objects count, see :class:`Effects`."""


@dataclass(frozen=True, eq=False, repr=False)
class Effects:
    """The effect of each of K objects on each of C scores.

    Attributes
    ----------
    scene : Scene
    labels : Labels
        The classes of the scores.
    on : "score" or "probability"
        What was measured.
    values : (2 ** K, C) array of float64
        The scores with each choice of objects. Bit k of the row's number says whether object k is
        there: row 0 is the background with its distractors, the last row the whole scene.
    """

    scene: Scene
    labels: Labels
    on: On
    values: _F64

    @property
    def removal(self) -> _F64:
        """(K, C): what each score loses if the object alone is removed, S(x) - S(x without it)."""
        whole = len(self.values) - 1
        without = [whole - (1 << k) for k in range(len(self.scene.objects))]
        found: _F64 = self.values[whole] - self.values[without]
        return found

    @property
    def shapley(self) -> _F64:
        """(K, C): the exact Shapley value of each object (Shapley 1953).

        What a score gains if the object is added, averaged over all orders in which the objects
        can be added to the background. The values of all objects sum to the score of the whole
        scene minus that of the background.
        """
        found: _F64 = _shapley_weights(len(self.scene.objects)) @ self.values
        return found

    def of(self, truth: Truth) -> _F64:
        """Return :attr:`shapley` or :attr:`removal`, (K, C)."""
        one_of("truth", truth, ("shapley", "removal"))
        return self.shapley if truth == "shapley" else self.removal

    def index(self, number: int) -> int | None:
        """Return the index among the scores of the class of an object; None if it has no score.

        It is found by its synset, else by its label among the classes without a synset.
        """
        synset, label = CLASSES[self.scene.objects[number].index]
        for name in (synset, label):
            try:
                found = self.labels.find(name)
            except ValueError:  # there is none of this name, or there are several
                continue
            if name == synset or not found.synset:
                return found.index
        return None

    def plot(self) -> Figure:
        """Draw the scene and its Shapley values, as a slide.

        Raises
        ------
        ValueError
            If the network has none of the classes of the objects.
        """
        names = [each.label.replace("_", " ") for each in self.scene.objects]
        columns = self._columns(names)
        if not columns:
            raise ValueError("the network has none of the classes of the objects: nothing to draw")
        shown = self.shapley[:, list(columns)]
        classes = list(columns.values())
        return draw(Shown(self.scene.picture, self.on, names, classes, shown))

    def _columns(self, names: Sequence[str]) -> dict[int, str]:
        """Return the names of the objects whose class has a score, by the score's index."""
        known = [(self.index(n), name) for n, name in enumerate(names)]
        return {index: name for index, name in known if index is not None}

    def __repr__(self) -> str:
        """Return the Shapley values as a table: a row for each object, a column for its class."""
        names = [each.label for each in self.scene.objects]
        columns = self._columns(names)
        wide = max(map(len, names))
        cells = {index: max(8, len(name)) for index, name in columns.items()}
        lines = [f"<Effects of {len(names)} objects, Shapley values of the {self.on}:"]
        lines.append(" " * wide + "".join(f"  {columns[i]:>{w}}" for i, w in cells.items()))
        for name, row in zip(names, self.shapley, strict=True):
            lines.append(
                f"{name:<{wide}}" + "".join(f"  {row[i]:>+{w}.3g}" for i, w in cells.items())
            )
        return "\n".join(lines) + ">"


def effects(scene: Scene, network: Network | None = None, *, on: On = "score") -> Effects:
    """Return the exact effect of each object of a scene on each score.

    The scene is drawn with every choice of its objects, 16 pictures for four of them, and the
    network runs on all.

    Parameters
    ----------
    scene : Scene
        Of :func:`gradcam.pictograms.scene`, or drawn again from one, with 1 to 4 objects.
    network : Network, optional
        By default :func:`gradcam.pictograms.model`.
    on : "score" or "probability"
        The scores before the softmax, or the probabilities after it.

    Raises
    ------
    ValueError
        If the scene has no objects, or was not drawn by :func:`gradcam.pictograms.scene`.
    TypeError
        If `scene` or `network` is something else.

    Examples
    --------
    >>> from gradcam import pictograms
    >>> found = pictograms.effects(pictograms.scene(7, classes=["cat", "dog"]))
    >>> found.shapley.shape  # (objects, classes)
    (2, 36)
    """
    check_on(on)
    _check_type("scene", scene, Scene, "a Scene, as pictograms.scene draws it")
    if network is not None:
        _check_type("network", network, Network, "a gradcam.Network")
    count = len(scene.objects)
    if count == 0:
        raise ValueError("the scene has no objects, so that there is no effect to measure")
    network = model() if network is None else network
    subsets = range(1 << count)
    absent = ([k for k in range(count) if not subset >> k & 1] for subset in subsets)
    pictures = [scene.without(*each).picture for each in absent]
    tape = network.forward(pictures, record=False)
    values = tape.scores if on == "score" else tape.probabilities
    return Effects(scene, network.labels, on, values.astype(np.float64))


def _check_type(name: str, given: object, wanted: type, words: str) -> None:
    if not isinstance(given, wanted):
        raise TypeError(f"{name}: expected {words}, got {type(given).__name__}")


def _shapley_weights(count: int) -> _F64:
    """Return the (K, 2 ** K) matrix that maps the values of all subsets to Shapley values."""
    weights = np.zeros((count, 1 << count))
    for subset in range(1 << count):
        size = subset.bit_count()
        for k in range(count):
            joins = subset >> k & 1
            others = size - joins
            orders = math.factorial(others) * math.factorial(count - others - 1)
            weights[k, subset] = (1 if joins else -1) * orders / math.factorial(count)
    return weights


@dataclass(frozen=True, eq=False)
class Agreement:
    """How a map's evidence in the objects agrees with what they do.

    A map shows what raises a score, so that effects below zero count as none.

    Attributes
    ----------
    order : float
        0 to 1: the share of pairs of objects that the map puts in the true order. Each pair counts
        in proportion to the difference of the two values of `true`, since the order of objects
        that do nearly the same is decided by the noise of the picture; equal evidence counts half.
        0.5 is expected of a map that knows nothing of the objects. NaN if all values of `true` are
        equal.
    overlap : float
        0 to 1: how much of the evidence in the objects lies where it belongs, the sum over the
        objects of the smaller one of `given` and `true`. NaN if no object raises the score; 0
        if the map is zero in all objects.
    given : (K,) array of float64
        How the map divides over the objects: shares with the sum 1, or zeros.
    true : (K,) array of float64
        How the effects above zero divide over the objects, likewise.
    """

    order: float
    overlap: float
    given: _F64
    true: _F64


def agreement(
    map: MapLike,
    effects: Effects,
    target: int | str | Target | None = None,
    *,
    truth: Truth = "shapley",
    evidence: Literal["mean", "sum"] = "mean",
) -> Agreement:
    """Compare how a map divides over the objects of a scene with their effects.

    Parameters
    ----------
    map : MapLike
        Of the scene's picture; values below zero are no evidence.
    effects : Effects
        Of the same network.
    target : int, str or Target, optional
        The class that the map explains; by default that of the explanation.
    truth : "shapley" or "removal"
        Which effects: the mean over all orders of adding the objects, or what is lost if one alone
        is removed. "removal" gives no effect to either of two objects that can replace each other.
    evidence : "mean" or "sum"
        What the map gives to an object: its mean or its sum over the object's visible pixels. A map
        that is the same everywhere gives all objects the same mean, but not the same sum. Pixels
        that the network did not see do not count; an object that it did not see gets 0.

    Raises
    ------
    ValueError
        If the explanation is of another picture or network, an array does not have the size of the
        picture or comes without a target, or no class has this name.
    IndexError
        If there is no class of this index.
    TypeError
        If `map`, `effects` or `target` is something else.
    """
    one_of("evidence", evidence, ("mean", "sum"))
    _check_type("effects", effects, Effects, "what pictograms.effects(scene, network) returns")
    if isinstance(map, Explanation):
        _check_explanation(map, effects)
    index = _target_index(map, effects, target)
    true = effects.of(truth)[:, index]
    values = map_on_picture(map)
    objects = effects.scene.objects
    if values.shape != effects.scene.picture.shape[:2]:
        raise ValueError(
            f"map: expected the size of the scene, {effects.scene.picture.shape[:2]}, got "
            f"{values.shape}"
        )
    values = np.maximum(values, 0).astype(np.float64)
    seen = seen_of(map)
    parts = [values[each.mask if seen is None else each.mask & seen] for each in objects]
    counts = [max(part.size, 1) if evidence == "mean" else 1 for part in parts]
    given = np.array([part.sum() for part in parts]) / counts
    shares, wanted = _shares(given), _shares(true)
    overlap = float(np.minimum(shares, wanted).sum()) if wanted.any() else math.nan
    return Agreement(_order(given, wanted), overlap, shares, wanted)


def _check_explanation(map: Explanation, effects: Effects) -> None:
    """Raise ValueError if it is of another picture, or its class not one of these scores."""
    if not np.array_equal(map.picture, effects.scene.picture):
        raise ValueError(
            "map: the explanation is of another picture than the effects: explain "
            "effects.scene.picture"
        )
    target = map.target
    if target is None:
        return
    labels = effects.labels
    here = labels[target.index].label if target.index < len(labels) else None
    if here != target.label:
        words = f"there are {len(labels)} classes" if here is None else f"it is {here!r}"
        raise ValueError(
            f"map: the explanation is of another network than the effects: it explains class "
            f"{target.index}, {target.label!r}, and among the effects {words}"
        )


def _target_index(map: MapLike, effects: Effects, target: int | str | Target | None) -> int:
    if target is None and isinstance(map, Explanation) and map.target is not None:
        return map.target.index
    if target is None:
        raise ValueError("target: give the class that the map explains")
    return effects.labels.find(target).index


def _shares(values: _F64) -> _F64:
    """Return what is above zero, divided by its sum; zeros if there is nothing."""
    above = np.maximum(values, 0)
    total = float(above.sum())
    return above / total if total > 0 else np.zeros_like(above)


def _order(given: _F64, true: _F64) -> float:
    """Return the share of pairs in the true order, weighted by the true difference."""
    first, second = np.triu_indices(len(given), 1)
    difference = true[first] - true[second]
    weights = np.where(np.abs(difference) > _ROUNDING, np.abs(difference), 0)
    if not weights.any():
        return math.nan
    right = (1 + np.sign(given[first] - given[second]) * np.sign(difference)) / 2
    return float(np.average(right, weights=weights))
