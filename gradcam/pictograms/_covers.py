"""Distractors in front of an object, which hide a share of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gradcam.pictograms._drawing import INDEX, NO_CLASS, OPAQUE, Placed, draw_patch, state_of

_Mask = NDArray[np.bool_]
_Counts = NDArray[np.int64]
_Floats = NDArray[np.float64]

_ATTEMPTS = 40
"""Distractors that are tried."""

_SIZES = (0.9, 1.6)
"""The longer side of a distractor, as a multiple of the object's."""

_TOLERANCE = 0.01
"""By how much of an object's pixels the hidden share may differ from what was asked for."""


def cover(rng: np.random.Generator, mask: _Mask, others: Sequence[_Mask], share: float) -> Placed:
    """Return a random distractor that hides a share of an object.

    Parameters
    ----------
    rng : Generator
        Of PCG64.
    mask : (H, W) array of bool
        The object's visible pixels.
    others : list of (H, W) arrays of bool
        Those of each other object.
    share : float
        Of the object's pixels, between 0 and 1.

    Returns
    -------
    Placed
        Entirely inside the picture; it hides the share to within 1 % of the object's pixels, or
        comes as near to it as 40 random distractors can. Of all that do, the one that hides least
        of the other objects. No object is hidden entirely.

    Raises
    ------
    ValueError
        If every distractor hides an object entirely, wherever it is.
    """
    area = np.count_nonzero(mask)
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    longest = max(np.ptp(rows), np.ptp(columns)) + 1
    best, found = (np.inf, np.inf), None
    for _ in range(_ATTEMPTS):
        state, cell = state_of(rng), int(rng.choice(INDEX["distractors"]))
        length = float(rng.uniform(*_SIZES) * longest)
        patch = draw_patch(rng, cell, length, (mask.shape[0], mask.shape[1]))
        opaque = patch[..., 3] >= OPAQUE
        away, lost = _costs(mask, others, opaque, share)
        nearest = max(float(away.min()), _TOLERANCE * area)
        lost[(away > nearest) | np.isinf(away)] = np.inf
        if (nearest, lost.min()) < best:
            best = nearest, float(lost.min())
            y, x = divmod(int(rng.choice(np.flatnonzero(lost == lost.min()))), lost.shape[1])
            found = Placed(NO_CLASS, patch, x, y, length, state)
        if best == (_TOLERANCE * area, 0):
            break
    if found is None:
        raise ValueError(
            f"share: each of {_ATTEMPTS} distractors that would hide {share:.4g} of the object "
            f"would hide this or another object entirely: choose another seed or a smaller share"
        )
    return found


def _costs(
    mask: _Mask, others: Sequence[_Mask], opaque: _Mask, share: float
) -> tuple[_Floats, _Floats]:
    """Return what a patch costs at each place of its corner.

    Returns
    -------
    two (H - h + 1, W - w + 1) arrays of float64
        By how many pixels the hidden part of the object differs from the share; infinity where an
        object is hidden entirely. And how many pixels of the others are hidden.
    """
    hidden, area = _hidden(mask, opaque), np.count_nonzero(mask)
    away = np.abs(hidden - share * area)
    away[hidden == area] = np.inf
    lost = np.zeros(away.shape)
    for other in others:
        part = _hidden(other, opaque)
        away[part == np.count_nonzero(other)] = np.inf
        lost += part
    return away, lost


def _hidden(mask: _Mask, opaque: _Mask) -> _Counts:
    """Return how many pixels of a mask are hidden by a patch, for each place of its corner.

    Returns
    -------
    (H - h + 1, W - w + 1) array of int64
        The correlation of an (H, W) mask and an (h, w) patch; exact, since its Fourier transform is
        rounded to integers.
    """
    height, width = (n - k + 1 for n, k in zip(mask.shape, opaque.shape, strict=True))
    spectrum = np.fft.rfft2(mask) * np.conj(np.fft.rfft2(opaque, mask.shape))
    found: _Counts = np.rint(np.fft.irfft2(spectrum, mask.shape)).astype(np.int64)
    return found[:height, :width]
