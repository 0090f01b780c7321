"""An edge detector, which knows nothing of any network: what maps are compared with."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gradcam._engine.tape import Tape
from gradcam.measures._given import check_tape


def edges(tape: Tape) -> NDArray[np.float32]:
    """Return how strong the edges of the network's input are, (h, w), 0 or more.

    In values of the network's input.

    The magnitude of Sobel's filters on the mean of the input's channels, as of
    ``skimage.filters.sobel``: the root of the mean of the two squares, where the weights on each
    side of a filter sum to 1. Values beyond the border are those at the border.

    Parameters
    ----------
    tape : Tape
        Of one picture.

    Raises
    ------
    TypeError
        If it is something else.
    """
    check_tape(tape)
    grey = np.pad(tape.input[0].mean(0, dtype=np.float64), 1, mode="edge")
    vertical = _smooth(grey[2:] - grey[:-2], 1) / 4
    horizontal = _smooth(grey[:, 2:] - grey[:, :-2], 0) / 4
    return np.asarray(np.hypot(vertical, horizontal) * np.sqrt(0.5), np.float32)


def _smooth(values: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """Return the sums of three neighbours along an axis with the weights 1, 2 and 1."""
    values = np.moveaxis(values, axis, 0)
    return np.moveaxis(values[:-2] + 2 * values[1:-1] + values[2:], 0, axis)
