"""What a network gets wrong: each failure, and all of them together."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from gradcam._engine.network import Network
from gradcam._failures.figure import Row, draw
from gradcam._failures.given import Source, picture_of
from gradcam._labels.classes import Target
from gradcam._methods.bootstrap import Interval
from gradcam._methods.passes import positive
from gradcam._registry import METHODS, OVER_PICTURE, Method
from gradcam._results.explanation import Explanation
from gradcam._text import counted, percent

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OVERLAY = "grad_cam"
"""The method whose maps show where, beside a method of single pixels."""


class Confusion(NamedTuple):
    """How often pictures of one class are taken for another one."""

    truth: Target
    predicted: Target
    times: int

    def __str__(self) -> str:
        times = "once" if self.times == 1 else f"{self.times} times"
        return f"{self.truth} is taken for {self.predicted} ({times})"


class Explained(NamedTuple):
    """Why a network saw the wrong class, and what it saw of the right one."""

    wrong: Explanation
    right: Explanation


@dataclass(frozen=True, eq=False, repr=False)
class Failure:
    """A picture that a network gets wrong.

    Attributes
    ----------
    source : picture or scene
        As it was given.
    number : int
        Its position among the pictures that were given, from 0 on.
    truth : Target
        The right class; if a scene has several objects, the most probable of theirs.
    predicted : Target
        The most probable class, which is wrong.
    truth_probability, predicted_probability : float
        0 to 1.
    method : Method
        What explains it.
    """

    source: Source
    number: int
    truth: Target
    predicted: Target
    truth_probability: float
    predicted_probability: float
    method: Method
    _network: Network = field(metadata={"saved": False})

    @property
    def name(self) -> str:
        """The file of the picture; of others their number: ``picture 3``."""
        if isinstance(self.source, (str, os.PathLike)):
            return os.fsdecode(self.source)
        return f"picture {self.number}"

    def explain(self, method: str | Method | None = None) -> Explained:
        """Explain the wrong and the right class; the picture is passed through the network again.

        Parameters
        ----------
        method : str or Method, optional
            By default :attr:`method`.

        Returns
        -------
        Explained
            A tuple: the :class:`gradcam.Explanation` of the wrong class, and of the right one.

        Raises
        ------
        gradcam.PictureError, OSError
            If the file cannot be read any more.
        """
        return self._explained(self.method if method is None else METHODS.find(method))[0]

    def _explained(self, *methods: Method) -> list[Explained]:
        """Explain both classes by several methods, with one pass."""
        tape = self._network.forward(picture_of(self.source))
        classes = [self.predicted.index, self.truth.index]
        return [Explained(*tape.explain(each, classes)) for each in methods]

    def __repr__(self) -> str:
        return (
            f"<Failure {self.name}: {self.truth} ({percent(self.truth_probability)}) is taken for "
            f"{self.predicted} ({percent(self.predicted_probability)})>"
        )


@dataclass(frozen=True, eq=False, repr=False)
class Failures:
    """The pictures that a network gets wrong.

    Attributes
    ----------
    network : str
        Its name.
    count : int
        Pictures that were judged: the network knows all of their classes.
    accuracy : Interval
        The share of these that it gets right, 0 to 1, with its bootstrap interval, which has no
        width if all or none are right.
    wrong : tuple of Failure
        The most confident ones first; as many as were asked for.
    confusions : tuple of Confusion
        Of all failures, the most frequent ones first.
    unknown : mapping of str to tuple of pictures
        The pictures of each class that the network does not know, or that several of its classes
        have, as they were given; of scenes, the names of all such classes together.
    skipped : tuple of (picture, exception)
        Those that could not be read.
    """

    network: str
    count: int
    accuracy: Interval
    wrong: tuple[Failure, ...]
    confusions: tuple[Confusion, ...]
    unknown: Mapping[str, tuple[Source, ...]]
    skipped: tuple[tuple[Source, Exception], ...]

    @property
    def wrong_count(self) -> int:
        """How many pictures are wrong."""
        return sum(each.times for each in self.confusions)

    @property
    def finding(self) -> str:
        """What was found, in a sentence."""
        pictures = counted(self.count, "picture")
        if not self.confusions:
            return (
                f"all of {pictures} are right" if self.count > 1 else "1 picture, and it is right"
            )
        mean, low, high, _ = self.accuracy
        interval = f", {100 * low:.1f} to {100 * high:.1f}" if low < high else ""
        most = self.confusions[0]
        often = f"most often {most}; " if most.times > 1 else ""
        first = self.wrong[0]
        return (
            f"{self.wrong_count} of {pictures} wrong (accuracy {100 * mean:.1f} %{interval}): "
            f"{often}the most confident error is {first.truth} taken for {first.predicted} with "
            f"{percent(first.predicted_probability)}"
        )

    def plot(self, count: int = 6) -> Figure:
        """Draw the most confident failures: the maps of the wrong and of the right class.

        Parameters
        ----------
        count : int
            Rows, 1 or more; fewer if there are fewer failures.

        Returns
        -------
        matplotlib Figure
            In each row the picture, then the maps of either class. Beside maps of single pixels,
            such as Guided Grad-CAM, are those of Grad-CAM over the picture, which show where.

        Raises
        ------
        ValueError
            If nothing is wrong, or `count` is less than 1.
        """
        shown = self.wrong[: positive("count", count)]
        if not shown:
            raise ValueError(
                f"there is no failure to draw: all of the {self.count} pictures are right"
            )
        return draw([_row(each) for each in shown], self.finding)

    def __repr__(self) -> str:
        return f"<Failures: {self.finding}>"


def _row(failure: Failure) -> Row:
    """Explain a failure by its method, and by Grad-CAM before if that alone shows where."""
    methods = [failure.method]
    if failure.method.view not in OVER_PICTURE:
        methods.insert(0, METHODS.find(OVERLAY))
    found = failure._explained(*methods)
    boxes = [each.box for each in getattr(failure.source, "objects", ()) if hasattr(each, "box")]
    return Row(
        os.path.basename(failure.name) or failure.name,
        [each.wrong for each in found],
        [each.right for each in found],
        boxes,
    )
