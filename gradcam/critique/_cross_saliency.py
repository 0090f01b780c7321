"""What does the saliency of one class show on the picture of another?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gradcam._engine.forward_pass import ForwardPass
from gradcam._engine.tape import BatchTape, Tape
from gradcam._labels.classes import Target, top_indices
from gradcam._methods.passes import positive
from gradcam._pictures import figures
from gradcam._results.explanation import Explanation, no_flat_warnings
from gradcam._text import wrap
from gradcam.critique import _slide
from gradcam.critique._confidence import cosine, norm

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_F64 = NDArray[np.float64]
_MOST = 6
"""Rows and columns of a figure."""


@dataclass(frozen=True, eq=False)
class CrossSaliency:
    """The saliency of K classes on each of N pictures.

    Attributes
    ----------
    explanations : tuple of N tuples of K Explanation
    own : tuple of N int
        The most probable class of each picture, by index.
    norms : (N, K) array of float64
        The length of each gradient by the input.
    same_picture : (N, K, K) array of float64
        The correlation between the maps of two classes on one picture, -1 to 1. A map is the
        largest absolute value over the channels, at the pixels of the network's input.
    same_class : (K, N, N) array of float64
        The correlation between the maps of one class on two pictures.
    """

    explanations: tuple[tuple[Explanation, ...], ...]
    own: tuple[int, ...]
    norms: _F64
    same_picture: _F64
    same_class: _F64

    @property
    def finding(self) -> str:
        """What was found, in a sentence."""
        found = []
        for words, values in (
            ("two classes on one picture", self.same_picture),
            ("one class on two pictures", self.same_class),
        ):
            pairs = [values[:, i, j] for i, j in combinations(range(values.shape[1]), 2)]
            if pairs:
                found.append(f"{words} {np.mean(pairs):.2f}")
        if not found:
            return f"Saliency of {self.explanations[0][0].words}"
        return f"Correlation of saliency maps (1: the same map): {', '.join(found)}"

    def plot(self) -> Figure:
        """Draw the pictures in rows and the classes in columns, for a slide.

        Every map has its own scale. The most probable class of a picture has a frame.

        Raises
        ------
        ValueError
            If there are more than six pictures or classes, which a slide cannot hold.
        """
        rows, columns = len(self.explanations), len(self.explanations[0])
        if max(rows, columns) > _MOST:
            raise ValueError(
                f"a figure holds at most {_MOST} pictures and {_MOST} classes, not {rows} and "
                f"{columns}"
            )
        with figures.default_settings(), no_flat_warnings():
            height = max(_slide.HEIGHT, 1.9 + 1.9 * rows)
            figure = _slide.new(self.finding, height)
            wide = (_slide.WIDTH - 0.6) / (1 + columns)
            high = (height - 1.75) / rows
            for row in range(rows):
                bottom = 0.15 + high * (rows - 1 - row)
                for column in range(1 + columns):
                    place = (0.3 + wide * column + 0.08, bottom + 0.38, wide - 0.16, high - 0.5)
                    self._draw(figure, place, row, column - 1)
            return figure

    def _draw(
        self, figure: Figure, place: tuple[float, float, float, float], row: int, column: int
    ) -> None:
        """Draw the picture of a row (column -1), or a map."""
        each = self.explanations[row]
        found = each[max(0, column)]
        ax = _slide.picture(figure, place, found.picture if column < 0 else found.image)
        if row == 0:
            words = "Picture" if column < 0 else found.words
            _slide.heading(ax, "\n".join(wrap(words, 18)))
        if column < 0:
            return
        _slide.below(ax, f"{found.certainty}, length {_slide.number(self.norms[row, column])}")
        if found.target is not None and found.target.index == self.own[row]:
            for spine in ax.spines.values():
                spine.set(visible=True, color=_slide.RED, linewidth=4)


def cross_saliency(
    tape: Tape | BatchTape, classes: Sequence[int | str | Target] | None = None, *, top: int = 3
) -> CrossSaliency:
    """Compute the saliency of every class on every picture.

    Parameters
    ----------
    tape : Tape or BatchTape
        Of N pictures.
    classes : list of int, str or Target, optional
        By default the most probable class of each picture; of a single picture, the `top` most
        probable ones.
    top : int
        1 or more.

    Raises
    ------
    TypeError
        If `tape` or `top` is something else.
    ValueError
        If the list is empty, a class is unknown, or `top` is too small.
    """
    if not isinstance(tape, ForwardPass):
        raise TypeError(f"tape: expected network.forward(pictures), got {type(tape).__name__}")
    own = tape.scores.argmax(1).tolist()
    if classes is None:
        top = positive("top", top)
        indices = top_indices(tape.scores[0], top) if len(own) == 1 else own
    elif isinstance(classes, str) or len(classes) == 0:
        raise ValueError(f"classes: expected a list of at least one class, got {classes!r}")
    else:
        indices = [tape.labels.find(each).index for each in classes]
    asked = [int(index) for index in dict.fromkeys(indices)]
    found: list[list[Explanation]]
    if isinstance(tape, Tape):
        found = [tape.explain("saliency", asked)]
    else:
        found = tape.explain("saliency", [asked] * len(own))
    maps = [[each.evidence for each in row] for row in found]
    return CrossSaliency(
        explanations=tuple(map(tuple, found)),
        own=tuple(own),
        norms=np.array([[norm(each.raw) for each in row] for row in found]),
        same_picture=np.stack([_correlations(row) for row in maps]),
        same_class=np.stack([_correlations(column) for column in zip(*maps, strict=True)]),
    )


def _correlations(maps: Sequence[NDArray[np.float32]]) -> _F64:
    centred = [each - each.mean(dtype=np.float64) for each in maps]
    return np.array([[cosine(one, other) for other in centred] for one in centred])
