"""The same question, asked about changed copies of a picture and about other networks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradcam import _core
from gradcam._engine.forward_pass import listed, run
from gradcam._engine.graph import Graph
from gradcam._engine.tape import BatchTape, Tape
from gradcam._methods.replacements import bounds
from gradcam._registry import METHODS, OVER_PICTURE, Method
from gradcam._results.explanation import Explanation
from gradcam._results.objectives import Objective, On, TargetLike, check_on
from gradcam.measures._given import MapLike, check_tape, map_at_input

_F32 = NDArray[np.float32]
_F64 = NDArray[np.float64]

Perturb = Callable[[_F32, np.random.Generator], NDArray[np.floating]]
"""A function that returns a changed copy of the network's input, (C, h, w), and draws what is
random from the generator, which is another one for each copy."""

LayerLike = str | Sequence[str] | None
"""The layer or layers that are explained; None: the network's ``target_layer``."""


@dataclass(frozen=True)
class Question:
    """A method and what it explains, for changed copies of a picture and for other networks.

    Attributes
    ----------
    tape : Tape
        Of the picture.
    method : Method
    objective : Objective
        The same for all copies: the top class is that of the picture itself.
    layer : str, sequence of str or None
    """

    tape: Tape
    method: Method
    objective: Objective
    layer: LayerLike

    @classmethod
    def read(
        cls, tape: Tape, method: str | Method, target: TargetLike, on: On, layer: LayerLike
    ) -> Question:
        """Check what a user asks.

        Raises
        ------
        TypeError, ValueError, IndexError
            If the tape is not of one picture, there is more than one target, or the method, the
            class or the layer is unknown.
        """
        check_tape(tape)
        check_on(on)
        found = METHODS.find(method)
        objectives = tape.ask(target, on)
        if any(objectives.listed):
            raise ValueError("target: expected one class or objective, got a list")
        if layer is not None and not found.takes_layer:
            raise TypeError(f"layer={layer!r}: no layer can be chosen for {found.name}")
        for name in [] if layer is None else listed(layer):
            tape.graph.index(name)
        return cls(tape, found, objectives.each[0][0], layer)

    @property
    def label(self) -> str:
        """What is explained, in words."""
        answer = self.objective.answer(self.tape, 0)
        return answer.label if answer.target is None else str(answer.target)

    def clean(self) -> Explanation:
        """Explain the picture itself."""
        return self.tape.explain(self.method, self.objective, layer=self.layer)

    def forward(self, inputs: NDArray[np.floating], graph: Graph | None = None) -> BatchTape:
        """Run a network, by default the tape's, on copies of the input, (B, C, h, w)."""
        graph = self.tape.graph if graph is None else graph
        values = np.array(inputs, np.float32, order="C")
        pictures, geometries = [self.tape.picture], [self.tape.geometry]
        core = run(graph, values)
        return BatchTape(graph, core, values, pictures * len(values), geometries * len(values))

    def explain(self, tape: BatchTape) -> list[Explanation]:
        """Explain each picture of a tape."""
        return tape.explain(self.method, self.objective, layer=self.layer)


def unit(tape: Tape) -> _F64:
    """Return what 1 stands for in the size of a change: (C, 1, 1), in values of the input.

    The difference of white and black, if the network has a preset for pictures; else 1.
    """
    known = bounds(tape)
    if known is None:
        return np.ones((tape.input.shape[1], 1, 1))
    return known[1] - known[0]


def copies(tape: Tape, perturb: Perturb, seed: int, part: slice) -> _F32:
    """Return changed copies of the input, (B, C, h, w): those with the numbers of `part`.

    What is random in a copy depends on the seed and on its number, not on the batch.

    Raises
    ------
    ValueError
        If the function returns another shape, or values that are not finite.
    """
    picture = tape.input[0]
    found = np.empty((part.stop - part.start, *picture.shape), np.float32)
    for place, number in enumerate(range(part.start, part.stop)):
        copy = np.asarray(perturb(picture, np.random.default_rng((seed, number))))
        if copy.shape != picture.shape:
            raise ValueError(
                f"the perturbation returned the shape {copy.shape} for an input of {picture.shape}"
            )
        found[place] = copy
    if not np.isfinite(found).all():
        raise ValueError("the perturbation returned values that are not finite")
    return found


def attributions(tape: Tape, map: MapLike) -> _F32:
    """Return the values of a map with their signs, (C, h, w), or (1, h, w) for a map of pixels.

    Of an explanation they are the raw values, those of a layer resized to the network's input.

    Raises
    ------
    ValueError, TypeError
        As of :func:`map_at_input`.
    """
    if not isinstance(map, Explanation):
        return map_at_input(tape, map)[None]
    at_input = map_at_input(tape, map)  # which checks that it is of this picture
    if map.view not in OVER_PICTURE:
        return map.raw
    if map.raw.shape == at_input.shape:
        return map.raw[None]
    return np.asarray(_core.resize(map.raw, tape.size, map.resize))[None]
