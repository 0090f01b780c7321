"""A sentence about an explanation, made of the names of units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from gradcam._engine.network import Network
from gradcam._registry import METHODS
from gradcam._results.explanation import Explanation
from gradcam._text import brief
from gradcam.inside._concepts import Concept
from gradcam.inside._identity import identity

if TYPE_CHECKING:
    from gradcam._engine.graph import Graph
    from gradcam._engine.tape import Tape

_OF_WEIGHTS = ("gradient", "pooling", "rule")
"""Options of Grad-CAM that change its weights."""


class Reason(NamedTuple):
    """A unit that is evidence for a class or against it.

    Attributes
    ----------
    unit : int
    alpha : float
        Its weight.
    concept : Concept or None
        Its name.
    iou : float
        Of the name; NaN without one.
    """

    unit: int
    alpha: float
    concept: Concept | None
    iou: float


@dataclass(frozen=True)
class Sentence:
    """Why a network gave a picture a score, by the names of units; printed, it is the text.

    Attributes
    ----------
    text : str
    label : str
        What was explained.
    highest, lowest : tuple of Reason
        The units with the highest alpha above 0, the highest first, and with the lowest below 0,
        the lowest first; of those that fire on the picture, also without a name.
    firing : int
        How many units fire on the picture.
    """

    text: str
    label: str
    highest: tuple[Reason, ...]
    lowest: tuple[Reason, ...]
    firing: int

    def __str__(self) -> str:
        return self.text


def say(
    explanation: Explanation,
    network: Network,
    layer: str,
    names: Sequence[tuple[Concept, float] | None],
    count: int,
) -> Sentence:
    """Return the sentence; `names` are the concept of each unit and its IoU."""
    tape = _checked(explanation, network, layer)
    weights = cast("NDArray[np.float32]", explanation.weights).astype(np.float64)
    fires = tape.activation(layer)[0].max(axis=(1, 2)) > 0
    order = np.argsort(-weights, kind="stable")
    order = order[fires[order]]

    def reasons(units: NDArray[np.intp]) -> tuple[Reason, ...]:
        known = [(unit, names[unit] or (None, float("nan"))) for unit in units.tolist()]
        return tuple(Reason(unit, float(weights[unit]), *name) for unit, name in known)

    highest = reasons(order[weights[order] > 0][:count])
    lowest = reasons(order[weights[order] < 0][::-1][:count])
    target = explanation.target
    is_top = target is not None and target.index == int(tape.scores[0].argmax())
    words = explanation.words
    start = f"The network says {words} because of"
    if not is_top:
        start = f"Evidence for {words}, which is not the most probable class"
    text = f"{start}: {_listed(highest)}. Against it: {_listed(lowest)}."
    text = f"{text} {_unnamed(highest, lowest)}".rstrip()
    return Sentence(text, words, highest, lowest, int(fires.sum()))


def _listed(reasons: Sequence[Reason]) -> str:
    """Return the units that have a name, with their alpha."""
    known = [
        f"{each.concept} (unit {each.unit}, {each.alpha:.2g})"
        for each in reasons
        if each.concept is not None
    ]
    if known:
        return ", ".join(known)
    return "no unit that has a name" if reasons else "no unit"


def _unnamed(highest: Sequence[Reason], lowest: Sequence[Reason]) -> str:
    """Return how many of the units have no name."""
    parts = []
    for which, reasons in (("highest", highest), ("lowest", lowest)):
        missing = sum(each.concept is None for each in reasons)
        if missing:
            parts.append(_of(missing, len(reasons), which))
    if not parts:
        return ""
    one = sum(each.concept is None for each in (*highest, *lowest)) == 1
    text = f"{' and '.join(parts)} {'has' if one else 'have'} no name."
    return text[0].upper() + text[1:]


def _of(missing: int, count: int, which: str) -> str:
    """Return some of the units with the highest or the lowest weights, in words."""
    if count == 1:
        return f"the unit with the {which} weight"
    some = "all" if missing == count else f"{missing} of the"
    return f"{some} {count} units with the {which} weights"


def _alike(graph: Graph, network: Network, layer: str) -> bool:
    """Return whether both networks compute the same values up to a layer."""
    if graph is network:
        return True
    size = (0, 0)
    return layer in graph.layers and identity(graph, layer, size) == identity(network, layer, size)


def _checked(explanation: Explanation, network: Network, layer: str) -> Tape:
    """Return the forward pass that an explanation came from, having checked both."""
    if not isinstance(explanation, Explanation):
        raise TypeError(
            f"explanation: expected that of one picture, tape.grad_cam(...), got "
            f"{brief(explanation)}"
        )
    origin, usual = explanation.origin, METHODS["grad_cam"]
    if explanation.method != usual.name or explanation.weights is None:
        raise ValueError(
            f"a sentence needs the weights alpha_k of Grad-CAM, got an explanation by "
            f"{explanation.title}: use tape.grad_cam(...)"
        )
    if origin is None:
        raise ValueError(
            "this explanation was stored and no longer has its network: explain the picture again"
        )
    tape = cast("Tape", origin.forward())
    graph = tape.graph
    if not _alike(graph, network, layer):
        raise ValueError(
            f"the units of another network have names: {network.name}; this explanation is of "
            f"{graph.name}, with other weights or another preset"
        )
    changed = [name for name in _OF_WEIGHTS if origin.method.default(name) != usual.default(name)]
    if changed:
        raise ValueError(
            f"a sentence needs the weights alpha_k of Grad-CAM itself, but this explanation has "
            f"other ones, by its options {', '.join(changed)}: leave these out"
        )
    if explanation.layer != layer:
        raise ValueError(
            f"the units of {layer} have names, but this explanation is of the layer "
            f"{explanation.layer}: use tape.grad_cam(..., layer={layer!r})"
        )
    return tape
