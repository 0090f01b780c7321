"""Baselines: the pictures that a picture is compared with.

A contribution answers how much a value of the input raised the score, compared with the same value
of a baseline. The contributions of all values add up to the score minus the baseline's score.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gradcam._engine.tape import ForwardPass
from gradcam._methods.blur import gaussian_blur
from gradcam._results import notes
from gradcam._results.objectives import Objectives

_F32 = NDArray[np.float32]

Baseline = float | Literal["black", "mean", "blur"] | NDArray[np.floating]
"""A preprocessed value, the name of a baseline, or a preprocessed picture, (C, h, w).

"black" is a black picture, "mean" each picture's own mean colour, and "blur" the picture, blurred
with a standard deviation of a tenth of its shorter side.
"""

_BLUR = 0.1
"""Standard deviation of the blurred baseline, as a share of the shorter side."""


def baseline_pictures(tape: ForwardPass, baseline: Baseline) -> _F32:
    """Return the baseline of each picture, (N, C, h, w), preprocessed.

    Raises
    ------
    ValueError
        If the name is unknown, an array does not have the shape of a picture, or values are not
        finite.
    TypeError
        If it is something else.
    """
    pictures = tape.input
    if isinstance(baseline, str):
        found = _named(tape, baseline)
    elif isinstance(baseline, np.ndarray) and baseline.ndim > 0:
        if baseline.shape != pictures.shape[1:]:
            raise ValueError(
                f"baseline: an array must have the shape of a preprocessed picture, (C, h, w) = "
                f"{pictures.shape[1:]}, got {baseline.shape}"
            )
        found = np.asarray(baseline)
    elif isinstance(baseline, (int, float, np.number, np.ndarray)) and not isinstance(
        baseline, bool
    ):
        found = np.asarray(baseline)
    else:
        raise TypeError(
            f"baseline: expected a number, 'black', 'mean', 'blur' or an array (C, h, w), got "
            f"{baseline!r}"
        )
    if found.dtype.kind not in "fiu" or not np.isfinite(found).all():
        raise ValueError("baseline: its values must be finite numbers")
    return np.ascontiguousarray(np.broadcast_to(found, pictures.shape), np.float32)


def bounds(tape: ForwardPass) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Return the input values of black and of white, each (C, 1, 1), if a preset tells them."""
    preset = tape.graph.preset
    if preset is None or tape.input.shape[1] != 3:
        return None
    black, white = (np.asarray(each, np.float64)[:, None, None] for each in preset.bounds)
    return black, white


def _named(tape: ForwardPass, name: str) -> NDArray[np.floating]:
    """Return the baseline of that name, in a shape that broadcasts to (N, C, h, w)."""
    pictures = tape.input
    if name == "black":
        known = bounds(tape)
        if known is None:
            notes.add(
                "The network has no input preset, so that the values of black are not known: the "
                "baseline is 0."
            )
            return np.zeros(1)
        return known[0]
    if name == "mean":
        means: NDArray[np.float64] = pictures.mean((2, 3), keepdims=True, dtype=np.float64)
        return means
    if name == "blur":
        return gaussian_blur(pictures, _BLUR * min(tape.size))
    raise ValueError(
        f"baseline: expected 'black', 'mean', 'blur', a number or an array, got {name!r}"
    )


def note_completeness(
    tape: ForwardPass, objective: Objectives, contributions: _F32, baselines: _F32
) -> None:
    """Note how far the contributions are from the score minus the baseline's score.

    Parameters
    ----------
    tape : ForwardPass
    objective : Objectives
    contributions : (S, N, C, h, w) array
    baselines : (N, C, h, w) array
    """
    before = objective.values(tape.run(baselines, record=False))
    differences = objective.values(tape).astype(np.float64) - before
    sums = contributions.sum((2, 3, 4), dtype=np.float64)
    asked = ~np.isnan(differences)
    errors = np.abs(sums - differences)[asked]
    worst = int(errors.argmax())
    error, difference = float(errors[worst]), float(differences[asked][worst])
    share = f" ({_percent(error / abs(difference))})" if difference else ""
    most = "at most " if errors.size > 1 else ""
    notes.add(
        f"The contributions add up to the score minus the baseline's score, {difference:.4g}, with "
        f"an error of {most}{error:.2g}{share}."
    )


def _percent(share: float) -> str:
    """Return a share in words of two digits."""
    if share < 1e-4:
        return "less than 0.01 %"
    return f"{100 * share:.2g} %" if share < 0.995 else f"{100 * share:.0f} %"
