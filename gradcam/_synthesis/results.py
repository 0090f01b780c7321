"""What functions that make pictures return."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from gradcam._engine.forward_pass import run
from gradcam._engine.graph import Graph
from gradcam._engine.tape import Tape
from gradcam._files import atomic_write
from gradcam._labels.classes import Target
from gradcam._pictures import captions, colour, grids
from gradcam._pictures.encoding import ENCODERS
from gradcam._pictures.grids import Cell
from gradcam._pictures.image import Geometry
from gradcam._results.explanation import Explanation
from gradcam._text import brief, percent

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from gradcam._engine.signatures import Several

_F32 = NDArray[np.float32]


@dataclass(frozen=True, eq=False, repr=False)
class Synthesis:
    """A picture that a network made.

    Attributes
    ----------
    title : str
        What kind of picture it is: ``"Class model"``.
    label : str
        What it was made for, in words: the class's label, or another objective.
    target : Target or None
        The class, if it was made for one.
    score : float
        The class's score for :attr:`picture`, before the softmax; the value of another objective.
    probability : float or None
        The class's probability for :attr:`picture`; None if there is none.
    picture : (H, W, 3) array of uint8
        RGB.
    input : (C, h, w) array of float32
        The network's input of :attr:`picture`.
    history : mapping of str to (steps,) array of float32
        At the start of each step, of the picture as it was shifted and enlarged in that step:
        ``"score"`` and ``"probability"``, or ``"error"``, a distance as that of
        :class:`Inversion`; and the penalties that were subtracted, ``"l2"`` and
        ``"total_variation"``, of those that were used.
    used : str
        What was used, in a line: steps and regularisers.
    notes : tuple of str
        What to know about how it was made, in sentences.
    """

    title: str
    label: str
    target: Target | None
    score: float
    probability: float | None
    picture: NDArray[np.uint8]
    input: _F32
    history: Mapping[str, _F32]
    used: str
    graph: Graph = field(repr=False)
    notes: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """The label as people write it: ``tiger cat``."""
        return self.label if self.target is None else str(self.target)

    @property
    def certainty(self) -> str:
        """The score, and the probability in percent if there is one."""
        return certainty(self.score, self.probability)

    @property
    def caption(self) -> str:
        """Two lines for people: what it is, score and probability; what was used."""
        return "\n".join(self._caption())

    @cached_property
    def tape(self) -> Tape:
        """The network's pass over the picture, to be explained: ``made.tape.saliency()``."""
        return _tape(self.graph, self.picture, self.input, self._seen)

    @property
    def _seen(self) -> tuple[int, int, int, int]:
        """(top, left, bottom, right): the part of the picture that the network sees."""
        return 0, 0, self.picture.shape[0], self.picture.shape[1]

    def plot(self, *, history: bool = False) -> Figure:
        """Draw the picture with its title and what was used.

        Parameters
        ----------
        history : bool
            Draw the score from step to step beside it.
        """
        heading, details = self._caption()
        return grids.grid(
            [self._cells()], heading=heading, details=details, curve=self._curve(history)
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write :attr:`picture` to a file: the whole file or nothing.

        A PNG keeps every value. The network reads it as it was made with
        ``network.forward(path, size="original")``. That of an edited or adversarial picture, for a
        preset that crops, is the whole picture: it is read with ``network.forward(path)``.

        Parameters
        ----------
        path : path
            Ends in .png, .jpg, .jpeg or .webp. An earlier file is replaced.

        Raises
        ------
        ValueError
            If the suffix is another one.
        """
        suffix = Path(path).suffix.lower()
        if suffix not in ENCODERS:
            known = ", ".join(ENCODERS)
            raise ValueError(f"{os.fspath(path)}: a picture is saved as one of {known}")
        content = ENCODERS[suffix](self.picture)
        with atomic_write(path) as file:
            file.write(content)

    def _caption(self) -> tuple[str, str]:
        heading = f"{self.title}: {self.words}, {self.certainty}"
        return heading, " ".join([f"{self.used}.", *self.notes])

    def _cells(self) -> list[Cell]:
        """Return the pictures that :meth:`plot` draws."""
        return [Cell(self.picture)]

    def _cell(self, named: bool) -> Cell:
        """Return the picture as one of several, with its words unless the figure names it."""
        return Cell(self.picture, self.certainty if named else f"{self.words}\n{self.certainty}")

    def _curve(self, shown: bool) -> grids.Curve | None:
        name = "score" if "score" in self.history else "error"
        return grids.Curve(self.history[name], name) if shown else None

    def _captioned(self) -> captions.Captioned:
        return captions.Captioned(self.picture, *self._caption(), None)

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the picture and its caption."""
        return captions.as_html(self._captioned())

    def _repr_png_(self) -> bytes:
        """Return what a console with pictures shows, which cannot show HTML."""
        return colour.png(self.picture, captions.MAX_SHOWN)

    def __array__(
        self, dtype: np.typing.DTypeLike | None = None, copy: bool | None = None
    ) -> NDArray[np.generic]:
        """Return :attr:`picture`, so that functions that take arrays take this."""
        return np.array(self.picture, dtype, copy=copy)

    def __repr__(self) -> str:
        height, width = self.picture.shape[:2]
        return (
            f"<{type(self).__name__}: {self.title.lower()} of {self.label!r}, {self.certainty}, "
            f"{height} x {width}>"
        )


@dataclass(frozen=True, eq=False, repr=False)
class Visualisation(Synthesis):
    """A picture that raises an objective; returned by :func:`gradcam.visualise`."""


@dataclass(frozen=True, eq=False, repr=False)
class Perturbation(Synthesis):
    """A picture that was changed; returned by :func:`gradcam.edit` and :func:`gradcam.adversarial`.

    Attributes
    ----------
    before : Tape
        The network's pass over the original picture; ``before.top()`` are its classes.
    original : (H, W, 3) array of uint8
        The original picture, as large as :attr:`picture`: as it is before the input is cropped.
    bound : float
        The largest change that was allowed, in grey levels of 0 to 255.
    region : (top, left, bottom, right)
        The part of the picture that the network sees; the rest was not changed.
    score_before, probability_before
        As ``score`` and ``probability``, of the original picture.
    """

    before: Tape = field(kw_only=True)
    original: NDArray[np.uint8] = field(kw_only=True)
    bound: float = field(kw_only=True)
    region: tuple[int, int, int, int] = field(kw_only=True)
    score_before: float = field(kw_only=True)
    probability_before: float | None = field(kw_only=True)

    @property
    def change(self) -> NDArray[np.int16]:
        """(H, W, 3): the picture minus the original, in grey levels."""
        return self.picture.astype(np.int16) - self.original

    def explain(
        self, method: str = "grad_cam", targets: Several | None = None
    ) -> list[tuple[Explanation, Explanation]]:
        """Explain the picture before and after.

        Parameters
        ----------
        method : str
            A name in :data:`gradcam.METHODS`.
        targets : list of Objective, int or str, optional
            By default the most probable class of the original, and the one asked for.

        Returns
        -------
        list of (Explanation, Explanation)
            For each target: of the original, and of the changed picture.
        """
        if targets is not None and (isinstance(targets, str) or not isinstance(targets, Iterable)):
            raise TypeError(f"targets: expected a list, [{brief(targets)}], got {brief(targets)}")
        asked = self._asked(targets)
        return list(
            zip(self.before.explain(method, asked), self.tape.explain(method, asked), strict=True)
        )

    def compare(self, method: str = "grad_cam", targets: Several | None = None) -> Figure:
        """Draw the explanations of the picture before and after: do the maps stay?

        A row for each target. The text below a changed picture's map says its correlation with the
        map before, over the pixels that the network sees.

        Parameters
        ----------
        method, targets
            As of :meth:`explain`.
        """
        pairs = self.explain(method, targets)
        rows = [
            [Cell(before.image, _chance(before)), Cell(after.image, _after(before, after))]
            for before, after in pairs
        ]
        title = pairs[0][0].title
        heading = f"{title} before and after: {self.title.lower()}, {self.words}"
        return grids.grid(
            [[Cell(self.original, _top(self.before)), Cell(self.picture, _top(self.tape))], *rows],
            heading=heading,
            details=f"{self.used}. Each map has its own scale.",
            columns=["before", "after"],
            rows=["picture", *(before.words for before, _ in pairs)],
        )

    @property
    def _seen(self) -> tuple[int, int, int, int]:
        return self.region

    def _asked(self, targets: Several | None) -> Several:
        if targets is not None:
            return targets
        top = int(self.before.scores[0].argmax())
        wanted = [] if self.target is None else [self.target.index]
        return list(dict.fromkeys([top, *wanted]))

    def _cells(self) -> list[Cell]:
        top, left, bottom, right = self.region
        seen = np.s_[top:bottom, left:right]
        gain = 127 / max(1.0, float(np.abs(self.change).max()))
        change = np.rint(128 + gain * self.change[seen]).clip(0, 255).astype(np.uint8)
        before = certainty(self.score_before, self.probability_before)
        return [
            Cell(self.original[seen], f"original\n{before}"),
            Cell(change, f"change x {gain:.0f}" if gain >= 2 else "change"),
            Cell(self.picture[seen], f"changed\n{self.certainty}"),
        ]

    def _caption(self) -> tuple[str, str]:
        heading = f"{self.title}: {self.words}, {self.certainty}"
        before = certainty(self.score_before, self.probability_before)
        changed = f"at most {np.abs(self.change).max()} of 255 grey levels changed"
        return heading, " ".join([f"Before: {before}; {changed}. {self.used}.", *self.notes])


@dataclass(frozen=True, eq=False, repr=False)
class Inversion(Synthesis):
    """A picture with nearly the same code at a layer; returned by :func:`gradcam.invert`.

    Attributes
    ----------
    layer : str
    error : float
        The distance of the picture's code from the original's, divided by the size of that.
    original : (h, w, 3) array of uint8
        The original picture, as the network saw it.
    """

    layer: str = field(kw_only=True)
    error: float = field(kw_only=True)
    original: NDArray[np.uint8] = field(kw_only=True)

    @property
    def certainty(self) -> str:
        """The relative distance of the codes."""
        return f"error {self.error:.3f}"

    def _cells(self) -> list[Cell]:
        return [Cell(self.original, "original"), Cell(self.picture, f"from {self.layer}")]


_S = TypeVar("_S", bound=Synthesis)


class Syntheses(Sequence[_S]):
    """Several pictures that a network made: a sequence that a notebook shows as a sheet.

    Parameters
    ----------
    rows : list of lists of Synthesis
    heading, details : str
        Of the figure.
    row_words, column_words : list of str
        What the rows and the columns are.
    first : Cell, optional
        Drawn before the pictures of the first row: the original.
    """

    def __init__(
        self,
        rows: Sequence[Sequence[_S]],
        *,
        heading: str = "",
        details: str = "",
        row_words: Sequence[str] = (),
        column_words: Sequence[str] = (),
        first: Cell | None = None,
    ) -> None:
        self.rows = [list(row) for row in rows]
        self.first = first
        self.heading, self.details = heading, details
        self.row_words, self.column_words = list(row_words), list(column_words)

    @overload
    def __getitem__(self, index: int) -> _S: ...
    @overload
    def __getitem__(self, index: slice) -> list[_S]: ...
    def __getitem__(self, index: int | slice) -> _S | list[_S]:
        return list(self)[index]

    def __len__(self) -> int:
        return sum(map(len, self.rows))

    def __iter__(self) -> Iterator[_S]:
        return (each for row in self.rows for each in row)

    def plot(self) -> Figure:
        """Draw the pictures in rows and columns, each with its score and probability."""
        named = bool(self.row_words or self.column_words)
        cells = [[each._cell(named) for each in row] for row in self.rows]
        if self.first is not None:
            cells[0].insert(0, self.first)
        return grids.grid(
            cells,
            heading=self.heading,
            details=" ".join([*([self.details] if self.details else []), *self._notes()]),
            columns=self.column_words,
            rows=self.row_words,
        )

    def _notes(self) -> list[str]:
        """Return the notes, each once, and the pictures that it is about unless these are all."""
        about: dict[str, list[str]] = {}
        for each in self:
            for note in each.notes:
                about.setdefault(note, []).append(each.words)
        return [
            note if len(words) == len(self) else f"{', '.join(dict.fromkeys(words))}: {note}"
            for note, words in about.items()
        ]

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the pictures side by side."""
        return captions.sheet_html([[each._captioned() for each in row] for row in self.rows], 0)

    def __repr__(self) -> str:
        return f"<{len(self)} pictures: {self.heading}>" if self.heading else repr(list(self))


def certainty(score: float, probability: float | None) -> str:
    """Return a score and a probability in words; near 1, the probability has more digits."""
    if probability is None:
        return f"value {score:.2f}"
    return f"score {score:.1f}, probability {precise(probability)}"


def precise(probability: float) -> str:
    """Return a probability in percent; above 99.9 % with more digits, which are cut off."""
    for limit, words in ((0.99999, "> 99.999 %"), (0.9999, "> 99.99 %")):
        if probability > limit:
            return words
    if probability > 0.999:
        return f"{math.floor(1e4 * probability + 1e-9) / 100:.2f} %"
    return percent(probability)


def _tape(
    graph: Graph, picture: NDArray[np.uint8], input: _F32, region: tuple[int, int, int, int]
) -> Tape:
    """Return the pass over one input, (C, h, w), which shows this region of a picture."""
    top, left, bottom, right = map(float, region)
    size = (input.shape[1], input.shape[2])
    whole = (picture.shape[0], picture.shape[1])
    geometry = Geometry(whole, size, (top, left, bottom, right))
    values = np.array(input, np.float32, order="C")[None]
    return Tape(graph, run(graph, values), values, [picture], [geometry])


def _top(tape: Tape) -> str:
    """Return the class with the highest score, and its probability; without one, its score."""
    index = int(tape.scores[0].argmax())
    if tape.probability_layer is None:
        return f"{tape.labels[index]}, score {tape.scores[0, index]:.2f}"
    return f"{tape.labels[index]}, {precise(float(tape.probabilities[0, index]))}"


def _chance(found: Explanation) -> str:
    if found.probability is None:
        return f"value {found.score:.2f}"
    return f"probability {precise(found.probability)}"


def _after(before: Explanation, after: Explanation) -> str:
    """Return the probability after, and the correlation of the maps before and after."""
    maps = [each.evidence.ravel().astype(np.float64) for each in (before, after)]
    if any(np.ptp(each) == 0 for each in maps):
        return f"{_chance(after)}; a flat map"
    return f"{_chance(after)}; maps correlate {np.corrcoef(maps[0], maps[1])[0, 1]:.2f}"
