"""The order in which the pixels or regions of a picture are changed, and the changed pictures."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradcam._engine.tape import Tape
from gradcam._methods.passes import bar, batch_size, even_batches, layers_read
from gradcam._methods.replacements import Replacement, bounds, replacements
from gradcam._results.explanation import FlatMapWarning
from gradcam._results.objectives import Objectives

_F32 = NDArray[np.float32]
_F64 = NDArray[np.float64]
_Int = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Exchange:
    """A picture whose pixels are exchanged for those of another one, in an order.

    Attributes
    ----------
    start, end : (C, h, w) array
        Preprocessed.
    ranks : (h, w) array of int
        The place of each pixel in the order, from 0 on. Pixels of one place change together.
    """

    start: _F32
    end: _F32
    ranks: _Int

    @property
    def places(self) -> int:
        """How many places the order has."""
        return int(self.ranks.max()) + 1

    def at(self, counts: _Int) -> _F32:
        """Return the pictures after the first `counts` places are exchanged, (B, C, h, w)."""
        exchanged = self.ranks < counts[:, None, None]
        return np.where(exchanged[:, None], self.end, self.start)

    def shares(self, counts: _Int) -> _F64:
        """Return the share of the pixels that are exchanged then, (B,), 0 to 1."""
        sizes = np.concatenate([[0], np.cumsum(np.bincount(self.ranks.ravel()))])
        found: _F64 = sizes[counts] / self.ranks.size
        return found


def descending(values: NDArray[np.floating], seed: int) -> _Int:
    """Return the place of each value in the order from the highest to the lowest, from 0 on.

    Equal values are in a random order, which depends only on the seed and their number.
    """
    shuffled = np.random.default_rng(seed).permutation(values.size)
    order = shuffled[np.argsort(-values.ravel()[shuffled], kind="stable")]
    places = np.empty(values.size, np.int64)
    places[order] = np.arange(values.size)
    return places.reshape(values.shape)


def region_means(values: _F32, side: int) -> tuple[_F64, _Int]:
    """Return the mean of each square region of a map, and the region of each pixel.

    Parameters
    ----------
    values : (h, w) array
    side : int
        Of a region, in pixels. Those at the right and lower edge can be smaller.

    Returns
    -------
    means : (R,) array
    regions : (h, w) array of int, 0 to R - 1
    """
    rows, columns = (np.arange(length) // side for length in values.shape)
    regions = rows[:, None] * (columns[-1] + 1) + columns
    sums = np.bincount(regions.ravel(), values.ravel().astype(np.float64))
    return sums / np.bincount(regions.ravel()), regions


def is_flat(values: _F32) -> bool:
    """Return whether a map has the same value everywhere, but for rounding."""
    low, high = float(values.min()), float(values.max())
    rounding = 4 * float(np.finfo(np.float32).eps) * max(abs(low), abs(high))
    return not high - low > rounding


def warn_if_flat(values: _F32, consequence: str) -> bool:
    """Warn that a map is flat if it is, and return whether it is."""
    flat = is_flat(values)
    if flat:
        text = f"the map is flat, it has the same value everywhere: {consequence}"
        warnings.warn(text, FlatMapWarning, stacklevel=3)
    return flat


def replacement(tape: Tape, baseline: Replacement, sigma: float, seed: int) -> _F32:
    """Return what is put in place of the picture, (C, h, w), preprocessed.

    Raises
    ------
    ValueError
        Also if the network has no preset, so that black and grey are not known.
    """
    check_known(tape, baseline)
    found: _F32 = replacements(tape, baseline, sigma, seed)[0]
    return found


def check_known(tape: Tape, baseline: Replacement) -> None:
    """Raise ValueError if the network has no preset that says what black and grey are."""
    if isinstance(baseline, str) and baseline in ("black", "grey") and bounds(tape) is None:
        raise ValueError(
            f"baseline={baseline!r}: the network has no input preset, so that the values of "
            f"{baseline} are not known: give preprocessed values"
        )


def values_of(
    tape: Tape,
    objectives: Objectives,
    make: Callable[[slice], _F32],
    count: int,
    *,
    batch: int | None,
    title: str,
    progress: bool,
) -> _F64:
    """Return the value of one objective for `count` variants of the picture, (count,).

    Parameters
    ----------
    tape : Tape
    objectives : Objectives
        Of one picture, with one objective.
    make : callable
        Returns the variants with these numbers, (B, C, h, w).
    count : int
    batch : int, optional
        Variants in a pass.
    title : str
        Of the progress bar.
    progress : bool
    """
    size, keep = batch_size(tape, batch), layers_read(tape, objectives, 0)
    found = np.empty(count)
    with bar(count, title, progress) as done:
        for part in even_batches(count, size):
            forward = tape.run(make(part), keep, record=False)
            found[part] = objectives.variant_values(0, forward)[0]
            done(len(forward))
    return found
