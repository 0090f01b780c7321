"""What measures are given: the tape of one picture, a map, and what the map explains."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gradcam import _core
from gradcam._engine.tape import Tape
from gradcam._results.explanation import NO_PICTURE, Explanation, no_flat_warnings
from gradcam._results.objectives import (
    Class,
    Objective,
    Objectives,
    On,
    Probability,
    TargetLike,
    check_on,
)

_F32 = NDArray[np.float32]

MapLike = Explanation | NDArray[np.floating] | NDArray[np.integer]
"""An explanation, or the map of another program: (H, W), of the size of the original picture or of
the network's input. High values are evidence."""


def check_tape(tape: Tape) -> None:
    """Raise TypeError unless `tape` is of one picture."""
    if not isinstance(tape, Tape):
        raise TypeError(
            f"tape: expected that of one picture, network.forward(picture), got "
            f"{type(tape).__name__}"
        )


def map_at_input(tape: Tape, map: MapLike) -> _F32:
    """Return a map at the resolution of the network's input, (h, w).

    Of an explanation it is :attr:`Explanation.evidence`, resized; the values are not scaled.

    Raises
    ------
    ValueError
        If the map is of another picture, has another size, or is not finite; or if an array can be
        of the picture or of the input, which have one size, but the input shows only a part.
    TypeError
        If it is something else.
    """
    if isinstance(map, Explanation):
        _check_same_picture(tape, map)
        return np.asarray(_core.resize(map.evidence, tape.size, map.resize))
    values = plain_map(map)
    if values.shape == tape.size:
        if values.shape == tape.geometry.picture and tape.geometry.cropped:
            raise ValueError(
                f"map: the picture and the network's input are both of {_size(tape.size)} pixels, "
                f"but the input shows only a part of the picture, so it is not known what the map "
                f"lies on: give an Explanation, or crop the picture before the forward pass"
            )
        return values
    if values.shape != tape.geometry.picture:
        raise ValueError(
            f"map: expected the size of the picture, {_size(tape.geometry.picture)}, or of the "
            f"network's input, {_size(tape.size)}, got {_size(values.shape)}: resize it first"
        )
    top, left, bottom, right = tape.geometry.region
    height, width = tape.size
    picture = Image.fromarray(values)
    return np.asarray(
        picture.resize((width, height), Image.Resampling.BILINEAR, (left, top, right, bottom))
    )


def map_on_picture(map: MapLike) -> _F32:
    """Return a map as an (H, W) array: of an explanation, :attr:`Explanation.map`.

    Raises
    ------
    ValueError
        If it does not have two axes, is empty or not finite.
    TypeError
        If it is something else.
    """
    return map.map if isinstance(map, Explanation) else plain_map(map)


def seen_of(map: MapLike) -> NDArray[np.bool_] | None:
    """Return which pixels of the picture the network saw, (H, W).

    None if it saw all of them, and for an array, of which that is not known.
    """
    return map.geometry.seen_part if isinstance(map, Explanation) else None


def is_flat(explanation: Explanation) -> bool:
    """Return whether the map of an explanation has one value everywhere, but for rounding."""
    with no_flat_warnings():
        return not explanation.map.any()


def plain_map(map: object) -> _F32:
    """Return the map of another program as float32, having checked it."""
    values = np.asarray(map)
    if values.dtype.kind not in "fiub":
        raise TypeError(f"map: expected an Explanation or numbers, got {type(map).__name__}")
    if values.ndim != 2 or values.size == 0:
        raise ValueError(f"map: expected the shape (H, W), got {values.shape}")
    with np.errstate(over="ignore"):
        found = np.ascontiguousarray(values, np.float32)
    if not np.isfinite(found).all():
        raise ValueError("map: the values must be finite numbers of float32")
    return found


def objectives_of(tape: Tape, map: MapLike, target: TargetLike, on: On | None) -> Objectives:
    """Return what a map explains, as one objective.

    Parameters
    ----------
    tape : Tape
    map : MapLike
    target : TargetLike
        None: what the explanation explains; of an array, the top class.
    on : "score", "probability" or None
        What a class stands for, also that of an explanation. None: what the explanation explains,
        and the score if that is not known or `target` names the class.

    Raises
    ------
    ValueError
        If `target` is a list, or an explanation without a class was loaded from a file and no
        target is given.
    """
    if on is not None:
        check_on(on)
    if target is None and isinstance(map, Explanation):
        return tape.ask(_explained(map, on))
    asked = tape.ask(target, "score" if on is None or isinstance(target, Objective) else on)
    if any(asked.listed):
        raise ValueError(
            f"target: expected one class or objective, got a list of {len(asked.each[0])}: "
            f"measure each alone"
        )
    return asked


def _explained(explanation: Explanation, on: On | None) -> Objective:
    """Return what an explanation explains; a class is what `on` says, if it says something."""
    known = explanation.origin is not None
    if explanation.target is not None and not (on is None and known):
        return (Probability if on == "probability" else Class)(explanation.target.index)
    if explanation.origin is None:
        raise ValueError(
            f"target: the explanation of {explanation.label!r} was loaded and does not hold its "
            f"objective: give it as target"
        )
    return explanation.origin.objective


def _check_same_picture(tape: Tape, explanation: Explanation) -> None:
    """Raise ValueError if an explanation is of another picture than the tape's.

    One that was stored without its picture shows grey instead, which is not compared.
    """
    own, other = explanation.geometry, tape.geometry
    if own.picture != other.picture:
        raise ValueError(
            f"the explanation is of a picture of {_size(own.picture)} pixels, the tape of one of "
            f"{_size(other.picture)}: give the tape of its picture"
        )
    if own != other:
        raise ValueError(
            "the explanation and the tape show different parts of the picture, or at different "
            "sizes: give the tape of the explanation"
        )
    if np.array_equal(explanation.picture, tape.picture):
        return
    if explanation.origin is None and bool((explanation.picture == NO_PICTURE).all()):
        return
    raise ValueError(
        f"the explanation and the tape are of different pictures of {_size(own.picture)} pixels: "
        f"give the tape of its picture"
    )


def _size(size: tuple[int, ...]) -> str:
    return " x ".join(map(str, size))
