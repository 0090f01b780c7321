"""Methods that compare a picture with a baseline picture.

A contribution answers how much a value of the input raised the score, compared with the same value
of a baseline. The contributions of all values add up to the score minus the baseline's score.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gradcam._engine.forward_pass import ForwardPass
from gradcam._methods.replacements import Replacement, replacements
from gradcam._results import notes
from gradcam._results.objectives import Objectives

_F32 = NDArray[np.float32]

_BLUR = 0.1
"""Standard deviation of the blurred baseline, as a share of the shorter side."""


def baseline_pictures(tape: ForwardPass, baseline: Replacement) -> _F32:
    """Return the baseline of each picture, (N, C, h, w), preprocessed.

    Raises
    ------
    ValueError, TypeError
        As :func:`replacements`.
    """
    return replacements(tape, baseline, _BLUR * min(tape.size), 0)


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
    errors, differences = np.abs(sums - differences)[asked], differences[asked]
    if not errors.size:
        return
    shares = errors[differences != 0] / np.abs(differences[differences != 0])
    value, most, of = f", {differences[0]:.4g}", "", ""
    if errors.size > 1:
        value, most, of = "", "at most ", "at most "
    share = f" ({of}{_percent(float(shares.max()))})" if shares.size else ""
    notes.add(
        f"The contributions add up to the score minus the baseline's score{value}, with an error "
        f"of {most}{errors.max():.2g}{share}."
    )


def _percent(share: float) -> str:
    """Return a share in words of two digits."""
    if share < 1e-4:
        return "less than 0.01 %"
    return f"{100 * share:.2g} %" if share < 0.995 else f"{100 * share:.0f} %"
