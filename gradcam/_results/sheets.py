"""Several explanations as one picture, or as HTML in a notebook."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from gradcam._pictures import captions
from gradcam._results.explanation import Explanation

_MAX_COLUMNS = 4
_MAX_SHOWN = 24
"""The largest number of explanations that a notebook shows for a list."""


_T = TypeVar("_T", bound=Explanation | list[Explanation])


class Explanations(list[_T]):
    """What methods return for lists: a list that a notebook shows as a sheet with captions.

    The elements are explanations, or lists of them, one for each picture.
    """

    def _repr_html_(self) -> str:
        """Return what a notebook shows: lists in rows, at most 24 explanations in all."""
        left = _MAX_SHOWN
        rows = []
        for row in _rows(self):
            rows.append([each._captioned() for each in row[:left]])
            left -= len(rows[-1])
        count = sum(map(len, _rows(self)))
        return captions.sheet_html([row for row in rows if row], count - (_MAX_SHOWN - left))


def sheet(explanations: Iterable[Explanation | Sequence[Explanation]]) -> NDArray[np.uint8]:
    """Return several explanations with their captions as one picture.

    Parameters
    ----------
    explanations
        A list of explanations, in rows of four; or a list of lists, each of which starts a row.

    Returns
    -------
    (H, W, 3) array of uint8
        RGB; each explanation is at most 300 pixels wide and high. ``gradcam.plot.save`` writes it.

    Raises
    ------
    TypeError
        If an element is not an explanation.
    ValueError
        If there are no explanations.
    """
    rows = _rows(explanations)
    for each in (each for row in rows for each in row):
        if not isinstance(each, Explanation):
            raise TypeError(f"sheet takes a list of explanations, not of {type(each).__name__}")
    if not any(rows):
        raise ValueError("sheet needs at least one explanation")
    short = [
        row[first : first + _MAX_COLUMNS]
        for row in rows
        for first in range(0, len(row), _MAX_COLUMNS)
    ]
    return captions.sheet([[each._captioned() for each in row] for row in short])


def _rows(explanations: Iterable[Explanation | Sequence[Explanation]]) -> list[list[Explanation]]:
    """Return the explanations in rows: each list is one, and so are neighbours outside of lists."""
    rows: list[list[Explanation]] = []
    loose = False
    for each in explanations:
        if isinstance(each, Sequence):
            rows.append(list(each))
        elif loose:
            rows[-1].append(each)
        else:
            rows.append([each])
        loose = not isinstance(each, Sequence)
    return rows
