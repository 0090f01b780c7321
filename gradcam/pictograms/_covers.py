"""Distractors in front of an object, which hide a share of it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gradcam.pictograms._drawing import INDEX, NO_CLASS, OPAQUE, Placed, draw_patch, state_of

_Mask = NDArray[np.bool_]
_Counts = NDArray[np.int64]

_ATTEMPTS = 40
"""Distractors that are tried."""

_SIZES = (0.9, 1.6)
"""The longer side of a distractor, as a multiple of the object's."""

_TOLERANCE = 0.01
"""By how much of an object's pixels the hidden share may differ from what was asked for."""


def cover(rng: np.random.Generator, mask: _Mask, others: _Mask, share: float) -> Placed:
    """Return a random distractor that hides a share of an object.

    Parameters
    ----------
    rng : Generator
        Of PCG64.
    mask : (H, W) array of bool
        The object's visible pixels.
    others : (H, W) array of bool
        Those of the other objects, of which as few as possible are hidden.
    share : float
        Of the object's pixels, between 0 and 1.

    Returns
    -------
    Placed
        Entirely inside the picture; it hides the share to within 1 % of the object's pixels, or
        comes as near to it as 40 random distractors can.
    """
    area = np.count_nonzero(mask)
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    longest = max(np.ptp(rows), np.ptp(columns)) + 1
    best, found = np.inf, None
    for _ in range(_ATTEMPTS):
        state, cell = state_of(rng), int(rng.choice(INDEX["distractors"]))
        length = float(rng.uniform(*_SIZES) * longest)
        patch = draw_patch(rng, cell, length, (mask.shape[0], mask.shape[1]))
        opaque = patch[..., 3] >= OPAQUE
        away = np.abs(_hidden(mask, opaque) - share * area)
        if away.min() < best:
            best = away.min()
            near = away <= max(best, _TOLERANCE * area)
            lost = np.where(near, _hidden(others, opaque), others.size + 1)
            y, x = divmod(int(rng.choice(np.flatnonzero(lost == lost.min()))), lost.shape[1])
            found = Placed(NO_CLASS, patch, x, y, length, state)
        if best <= _TOLERANCE * area:
            break
    assert found is not None
    return found


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
