"""Shape against texture: what a network says of an elephant with the texture of a leopard.

Geirhos et al. (2019) showed that networks which were trained on ImageNet rely on the texture, and
people rely on the shape. Here the object is drawn again with the other texture. Everything else in
the scene stays the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from gradcam._engine.network import Network, check_network
from gradcam._engine.tape import Tape
from gradcam._labels.classes import Target, known_class, why_not_known
from gradcam._methods.bootstrap import Interval, bootstrap
from gradcam._methods.passes import check_seed, flag, integer, positive
from gradcam._pictures.grids import Cell, grid
from gradcam._registry import METHODS, Method
from gradcam._results.explanation import Explanation, no_flat_warnings
from gradcam._text import counted, percent
from gradcam.measures._inside import energy_inside
from gradcam.pictograms._networks import model
from gradcam.pictograms._scenes import CLASSES, Scene, class_index, scene

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_F64 = NDArray[np.float64]

SHAPE, TEXTURE, CONFLICT, COLOUR = range(4)
"""The pictures of a scene: the object, an object of the texture's class in its place, the object
with that texture, and the object in the mean colour of that texture."""


@dataclass(frozen=True, eq=False, repr=False)
class Conflict:
    """What a network says of objects whose shape and texture belong to two classes.

    Attributes
    ----------
    shape, texture : Target
        The classes.
    probabilities : (4, N, 2) array of float64
        Of pictures of the shape's class, of the texture's class, of the conflict, and of the shape
        in the texture's mean colour, in each of N scenes: the probabilities of the shape's and of
        the texture's class.
    top : (4, N) array of int64
        The index of the most probable class of each picture.
    inside : (2, N) array of float64
        Of the conflict: the share of the map of either class that lies on the object, 0 to 1; NaN
        if the map is flat.
    area : (N,) array of float64
        The share of the picture that the object covers, 0 to 1.
    scenes : tuple of Scene
        The four pictures of the first one, for the figure.
    method : Method
        Of the maps.
    """

    shape: Target
    texture: Target
    probabilities: _F64
    top: NDArray[np.int64]
    inside: _F64
    area: _F64
    scenes: tuple[Scene, ...]
    method: Method
    _network: Network

    @property
    def shape_probability(self) -> Interval:
        """Of the conflict: the mean probability of the shape's class, with its interval."""
        return bootstrap(self.probabilities[CONFLICT, :, 0])

    @property
    def texture_probability(self) -> Interval:
        """Of the conflict: the mean probability of the texture's class, with its interval."""
        return bootstrap(self.probabilities[CONFLICT, :, 1])

    @property
    def colour_probability(self) -> Interval:
        """Of the shape in the texture's mean colour: the mean probability of the texture's class.

        What is due to the colour alone.
        """
        return bootstrap(self.probabilities[COLOUR, :, 1])

    @property
    def shape_inside(self) -> Interval:
        """Of the conflict: the mean share of the shape's map on the object, with its interval."""
        return bootstrap(self.inside[0])

    @property
    def texture_inside(self) -> Interval:
        """Of the conflict: the mean share of the texture's map on the object, with its interval.

        A map that is the same everywhere has the share :attr:`area` there.
        """
        return bootstrap(self.inside[1])

    @property
    def recognised(self) -> NDArray[np.bool_]:
        """Whether the network is right about both pictures without a conflict, (N,).

        That is the plain one of the shape's class, and the plain one of the texture's.
        """
        shape, texture = self._recognised
        both: NDArray[np.bool_] = shape & texture
        return both

    @property
    def _recognised(self) -> NDArray[np.bool_]:
        """Whether it is right about each of the two, (2, N)."""
        known = np.array([self.shape.index, self.texture.index])[:, None]
        found: NDArray[np.bool_] = self.top[[SHAPE, TEXTURE]] == known
        return found

    @property
    def _decisions(self) -> NDArray[np.bool_]:
        """In which of the recognised scenes it is the shape's class, and the texture's, (2, N)."""
        known = np.array([self.shape.index, self.texture.index])[:, None]
        found: NDArray[np.bool_] = (self.top[CONFLICT] == known) & self.recognised
        return found

    @property
    def decided(self) -> int:
        """In how many scenes one of the two classes is the most probable one in the conflict.

        Of those alone that are :attr:`recognised`, as in Geirhos et al. (2019).
        """
        return int(self._decisions.sum())

    @property
    def shape_bias(self) -> float:
        """The share of these in which it is the shape's, 0 to 1 (Geirhos et al. 2019).

        NaN if there are none.
        """
        by_shape = int(self._decisions[0].sum())
        return by_shape / self.decided if self.decided else math.nan

    @property
    def finding(self) -> str:
        """What was found, in a sentence."""
        shape, texture = self.shape_probability.mean, self.texture_probability.mean
        return (
            f"{self._in_conflict}: {percent(texture)} {self.texture} "
            f"({percent(self.colour_probability.mean)} with its colour alone), {percent(shape)} "
            f"{self.shape}, mean of {self._scenes}; {self._decides}{self._where}"
        )

    @property
    def _scenes(self) -> str:
        return counted(self.top.shape[1], "scene")

    @property
    def _decides(self) -> str:
        """How often the network decides by shape, and in how many scenes it could."""
        shape, texture = self._recognised.sum(1)
        plain = (
            f"{self.shape} and {self.texture} alone are recognised in {shape} and {texture} of "
            f"{self.top.shape[1]}"
        )
        if not self.recognised.any():
            return f"{plain}, never both"
        if not self.decided:
            return f"{plain}; neither of them is ever the most probable class"
        by_shape = self._decisions[0].sum()
        return f"{plain}; decided by shape in {by_shape} of {self.decided}"

    @property
    def _where(self) -> str:
        """How much of the texture's map lies on the object; nothing if all maps are flat."""
        inside = self.texture_inside
        if not inside.size:
            return ""
        width = ""
        if inside.low < inside.high:
            width = f" ({100 * inside.low:.1f} to {100 * inside.high:.1f})"
        return (
            f"; {100 * inside.mean:.1f} %{width} of the map of {self.texture} lies on the object, "
            f"which is {100 * float(self.area.mean()):.1f} % of the area"
        )

    @property
    def _in_conflict(self) -> str:
        return f"{self.shape} shape, {self.texture} texture"

    def plot(self) -> Figure:
        """Draw the first scene: a row for each of its pictures, with maps of both classes.

        Returns
        -------
        matplotlib Figure
            Below each picture are its three most probable classes. The heading is the finding,
            of all scenes.
        """
        with no_flat_warnings():
            cells = [self._row(each) for each in self.scenes]
        title = self.method.title
        columns = ["Top three classes"]
        columns += [f"{title}: {each}" for each in (self.shape, self.texture)]
        colour = f"{self.shape} shape, {self.texture} colour"
        rows = [str(self.shape), str(self.texture), self._in_conflict, colour]
        details = "Each map is scaled to its own maximum; below it is the probability of its class."
        if self.top.shape[1] > 1:
            details += f" The heading is about {self._scenes}; the pictures are those of the first."
        return grid(cells, heading=self.finding, details=details, columns=columns, rows=rows)

    def _row(self, drawn: Scene) -> list[Cell]:
        """Return a picture with what the network says of it, and the maps of both classes."""
        tape = self._network.forward(drawn.picture)
        top = [f"{label.replace('_', ' ')} {percent(p)}" for _, label, p in tape.top(3)]
        maps = _maps(tape, self.method, self.shape, self.texture)
        return [
            Cell(drawn.picture, "\n".join(top)),
            *(Cell(each.image, f"{each.words} {each.certainty}") for each in maps),
        ]

    def __repr__(self) -> str:
        return f"<Conflict: {self.finding}>"


def conflict(
    shape: str | int = "elephant",
    texture: str | int = "leopard",
    *,
    network: Network | None = None,
    scenes: SupportsIndex = 20,
    seed: SupportsIndex = 0,
    shading: bool = True,
    method: str | Method = "grad_cam",
) -> Conflict:
    """Ask a network of objects that have the shape of one class and the texture of another.

    Parameters
    ----------
    shape, texture : str or int
        Two classes of :data:`CLASSES`: label, synset or index.
    network : Network, optional
        By default :func:`gradcam.pictograms.model`. It must know both classes.
    scenes : int
        How many are drawn, 1 or more, with one object each.
    seed : int
        Of the first scene; the others follow.
    shading : bool
        As of :meth:`Scene.textured`.
    method : str or Method
        Of the maps.

    Notes
    -----
    With 100 scenes of an elephant with the texture of a leopard, the built-in network's mean
    probability of leopard is 97.1 %; with the leopard's mean colour alone it is 0.2 %. Of the
    leopard's Grad-CAM, 29.1 % (28.0 to 30.1) lies on the animal, of the elephant's 19.9 % (17.2 to
    22.5); the animal covers 9.7 % of the picture.

    Raises
    ------
    ValueError, IndexError, TypeError
        If there is no such class, the network does not know it, both are the same, or an option is
        out of range.

    Examples
    --------
    >>> from gradcam import pictograms
    >>> found = pictograms.conflict("elephant", "leopard", scenes=3)
    >>> found.texture_probability.mean > found.shape_probability.mean
    True
    """
    if network is not None:
        check_network(network)
    pair = class_index(shape), class_index(texture)
    if pair[0] == pair[1]:
        raise ValueError(f"texture: expected another class than the shape's, got {texture!r} twice")
    count, first = positive("scenes", scenes), integer("seed", seed)
    check_seed(seed)
    flag("shading", shading)
    chosen, network = METHODS.find(method), model() if network is None else network
    known = [_known(network, index) for index in pair]
    tops, chances, inside = [], [], []
    drawn: tuple[Scene, ...] = ()
    area = []
    for every in _drawn(pair, first, count, shading):
        drawn = drawn or every
        tape = network.forward([each.picture for each in every], record=False)
        chances.append(tape.probabilities[:, [each.index for each in known]])
        tops.append(tape.scores.argmax(1))
        inside.append(_inside(network, every[CONFLICT], chosen, known))
        area.append(every[CONFLICT].objects[0].mask.mean())
    return Conflict(
        shape=known[0],
        texture=known[1],
        probabilities=np.stack(chances, 1).astype(np.float64),
        top=np.stack(tops, 1).astype(np.int64),
        inside=np.array(inside, np.float64).T,
        area=np.array(area, np.float64),
        scenes=drawn,
        method=chosen,
        _network=network,
    )


def _drawn(
    pair: tuple[int, int], first: int, count: int, shading: bool
) -> Iterator[tuple[Scene, ...]]:
    """Yield the four pictures of each scene."""
    for seed in range(first, first + count):
        plain = scene(seed, classes=[pair[0]])
        conflict, colour = (
            plain.textured(0, pair[1], shading=shading, pattern=pattern)
            for pattern in (True, False)
        )
        yield plain, plain.replaced(0, pair[1]), conflict, colour


def _known(network: Network, index: int) -> Target:
    """Return the network's class of a pictogram."""
    synset, label = CLASSES[index]
    found = known_class(network.labels, synset) or known_class(network.labels, label)
    if found is None:
        why = why_not_known(network.labels, label)
        raise ValueError(
            f"network: {network.name} has no class {label!r} ({synset}){why and f': {why}'}"
        )
    return found


def _inside(network: Network, drawn: Scene, method: Method, classes: list[Target]) -> list[float]:
    """Return the share of the map of each class that lies on the object."""
    with no_flat_warnings():
        maps = _maps(network.forward(drawn.picture), method, *classes)
        return [energy_inside(each, drawn.objects[0].mask) for each in maps]


def _maps(tape: Tape, method: Method, *classes: Target) -> list[Explanation]:
    return tape.explain(method, [each.index for each in classes])
