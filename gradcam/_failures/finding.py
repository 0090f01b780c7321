"""Find the pictures that a network gets wrong (Selvaraju et al. 2017, section 6.1)."""

from __future__ import annotations

import os
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np

from gradcam._engine.network import Network, check_network
from gradcam._engine.stream import OnError
from gradcam._engine.tape import BatchTape
from gradcam._failures.given import Labelled, Name, Source, labelled
from gradcam._failures.result import Confusion, Failure, Failures
from gradcam._labels.classes import Labels, Target, is_number, known_class, why_not_known
from gradcam._methods.bootstrap import bootstrap
from gradcam._methods.passes import flag, positive
from gradcam._registry import METHODS, Method
from gradcam._results.explanation import no_flat_warnings
from gradcam._text import brief, counted

if TYPE_CHECKING:
    from gradcam._engine.network import PictureLike

_MOST_NAMES, _MOST_REASONS = 5, 3
"""How many classes that the network does not know an error names, and how many reasons it has."""


def failures(
    network: Network,
    pictures: str | os.PathLike[str] | Iterable[object],
    labels: Iterable[Name] | None = None,
    *,
    method: str | Method = "guided_grad_cam",
    count: int | None = None,
    class_indices: bool = False,
    batch: int = 8,
    on_error: OnError[Source] = "raise",
    progress: bool = False,
) -> Failures:
    """Find the pictures that a network gets wrong, the most confident errors first.

    A picture is wrong if its most probable class is not its true one. Explaining the wrong and the
    right class side by side can show a reason: the two look alike, the object is hidden, or
    something else is in the picture (Selvaraju et al. 2017, section 6.1).

    Parameters
    ----------
    network : Network
        With probabilities of two classes or more.
    pictures : path, or iterable
        A folder that has a folder for each class, named by a label or synset of the network's. Or
        pictures of which `labels` has the classes. Or pairs (picture, class), or scenes such as
        those of :func:`gradcam.pictograms.scene`: the class of each object is right, and the
        network must know all of these classes. Pictures are files, Pillow images or arrays of
        uint8.
    labels : iterable of str, int or Target, optional
        The class of each picture: label, synset or index. An array of a package is one, too.
    method : str or Method
        The method that explains the failures, by default Guided Grad-CAM, as in the paper.
        Whether it fits the network is tried first, unless it needs many passes.
    count : int, optional
        How many failures are kept, the most confident ones; by default all. Failures of
        pictures that are not files keep their pictures in memory.
    class_indices : bool
        A class whose name is a number, such as that of a folder, is the network's class of this
        index. Otherwise a number is a label.
    batch : int
        Pictures in a pass.
    on_error : "raise", "skip" or callable
        What happens with pictures that cannot be read, as of :meth:`gradcam.Network.stream`.
    progress : bool
        Show a progress bar on standard error.

    Returns
    -------
    Failures
        Without explanations: these are computed when they are asked for.

    Raises
    ------
    ValueError
        If there is no picture, the network knows none of the classes, has no probabilities or a
        single output, the method does not fit it, no picture can be read, or labels and pictures do
        not go together.
    IndexError
        If there is no class of an index in `labels`.
    TypeError
        If something is neither a picture with a label nor a scene.
    gradcam.PictureError, OSError
        If a folder or a picture cannot be read.
    """
    _check_network(network)
    found = METHODS.find(method)
    kept = None if count is None else positive("count", count)
    given = labelled(pictures, labels)
    queue = _Queue(network.labels, given, flag("class_indices", class_indices))
    _check_fit(network, found)
    known = list(queue) if isinstance(given, list) else queue  # a list's length shows the progress
    stream = network.stream(
        known, positive("batch", batch), on_error=on_error, record=False, progress=progress
    )
    tally = _Tally(network, found, kept)
    for some, tape in stream:
        tally.add(tape, [queue.take(picture) for picture in some])
    return tally.result(queue, tuple(stream.skipped))


def _check_network(network: Network) -> None:
    """Raise TypeError or ValueError unless a network has several classes."""
    check_network(network)
    if len(network.labels) == 1:
        raise ValueError(
            f"network: {network.name} has one output, so that its most probable class is always "
            f"the same: expected one with two classes or more"
        )


def _check_fit(network: Network, method: Method) -> None:
    """Raise what a method raises that does not fit the network, by explaining a grey picture.

    Methods of many passes take long for that; they need no special layers.
    """
    if "batch" in method.parameters or network.preset is None:
        return
    grey = np.full((*network.input_size, 3), 128, np.uint8)
    with no_flat_warnings():
        network.forward(grey).explain(method, 0)


class _Given(NamedTuple):
    """A picture on its way through the network.

    Attributes
    ----------
    number : int
        Its position among all pictures.
    source : Source
    picture : PictureLike
    right : tuple of Target
        The classes that are right.
    """

    number: int
    source: Source
    picture: PictureLike
    right: tuple[Target, ...]


class _Queue:
    """The pictures all of whose classes the network knows; the others are listed.

    A stream takes the pictures from here and returns those that can be read, in the same order.
    """

    def __init__(self, labels: Labels, given: Iterable[Labelled], class_indices: bool) -> None:
        self.count = 0
        self.unknown: dict[str, list[Source]] = {}
        self.reasons: dict[str, None] = {}  # why, if a class is not just unknown; in order
        self._labels, self._all, self._class_indices = labels, given, class_indices
        self._sent: deque[_Given] = deque()

    def __iter__(self) -> Iterator[PictureLike]:
        for each in self._all:
            number, self.count = self.count, self.count + 1
            found = {name: self._find(name) for name in each.names}
            right = tuple(dict.fromkeys(one for one in found.values() if one is not None))
            unknown = [str(name) for name, one in found.items() if one is None]
            if unknown:
                self.unknown.setdefault(", ".join(unknown), []).append(each.source)
                self._ask_why(unknown)
            else:
                self._sent.append(_Given(number, each.source, each.picture, right))
                yield self._sent[-1].picture

    def _find(self, name: Name) -> Target | None:
        """Return the class, if the network has it; an index must be one of its own."""
        if isinstance(name, (int, Target)):
            return self._labels.find(name)
        return known_class(self._labels, name, class_indices=self._class_indices)

    def _ask_why(self, names: Sequence[str]) -> None:
        for name in names:
            why = why_not_known(self._labels, name, class_indices=self._class_indices)
            if why:
                self.reasons[why] = None

    def take(self, picture: PictureLike) -> _Given:
        """Return what is known of a picture that came back; those before it were skipped."""
        while (first := self._sent.popleft()).picture is not picture:
            pass
        return first


Skipped: TypeAlias = "tuple[tuple[PictureLike, Exception], ...]"
"""Pictures that could not be read, and why."""


class _Tally:
    """What is right and what is wrong, counted batch by batch."""

    def __init__(self, network: Network, method: Method, kept: int | None) -> None:
        self._network, self._method, self._kept = network, method, kept
        self._right: list[bool] = []
        self._wrong: list[Failure] = []
        self._confused: Counter[tuple[Target, Target]] = Counter()

    def add(self, tape: BatchTape, given: Sequence[_Given]) -> None:
        """Judge the pictures of a batch."""
        found = zip(given, tape.scores, tape.probabilities, strict=True)
        for each, scores, probabilities in found:
            predicted = tape.labels[int(scores.argmax())]
            self._right.append(predicted in each.right)
            if not self._right[-1]:
                truth = max(each.right, key=lambda one: float(scores[one.index]))
                self._confused[truth, predicted] += 1
                self._wrong.append(
                    Failure(
                        *(each.source, each.number, truth, predicted),
                        float(probabilities[truth.index]),
                        float(probabilities[predicted.index]),
                        *(self._method, self._network),
                    )
                )
        if self._kept is not None and len(self._wrong) > 2 * self._kept:
            self._sort()

    def _sort(self) -> None:
        """Put the most confident failures first, and drop those beyond the number to keep."""
        self._wrong.sort(key=lambda each: (-each.predicted_probability, each.number))
        if self._kept is not None:
            del self._wrong[self._kept :]

    def result(self, queue: _Queue, skipped: Skipped) -> Failures:
        """Return all that was found.

        Raises
        ------
        ValueError
            If no picture was judged.
        """
        if not self._right:
            raise ValueError(_nothing(queue, skipped, self._network))
        self._sort()
        return Failures(
            self._network.name,
            len(self._right),
            bootstrap(self._right),
            tuple(self._wrong),
            tuple(Confusion(*pair, times) for pair, times in self._confused.most_common()),
            {name: tuple(sources) for name, sources in queue.unknown.items()},
            skipped,
        )


def _nothing(queue: _Queue, skipped: Skipped, network: Network) -> str:
    """Return why no picture was judged."""
    if not queue.count:
        return "pictures: there is none; give at least one"
    broken = [str(error) for _, error in skipped]
    reasons = _listed(broken, _MOST_REASONS, "; ")
    unknown = sum(map(len, queue.unknown.values()))
    if not unknown:
        return f"pictures: none of the {counted(queue.count, 'picture')} could be read: {reasons}"
    names = _listed([*map(brief, queue.unknown)], _MOST_NAMES, ", ")
    unread = f"; {len(broken)} more could not be read: {reasons}" if broken else ""
    some = counted(unknown, "picture")
    return (
        f"pictures: {network.name} does not know the classes of {some} ({names})"
        f"{unread}: {_expected(queue, network.labels)}"
    )


def _expected(queue: _Queue, labels: Labels) -> str:
    """Return which classes would be known, or why those given are not."""
    if queue.reasons:
        return _listed([*queue.reasons], _MOST_REASONS, "; ")
    hint = ""
    if any(map(is_number, queue.unknown)):
        hint = "; if the numbers are indices of its classes, from 0, pass class_indices=True"
    return (
        f"expected labels or synsets of its {len(labels)} classes, such as "
        f"{labels[0].label!r}{hint}"
    )


def _listed(words: Sequence[str], most: int, between: str) -> str:
    """Return the first words as a list, and whether there are more."""
    more = [] if len(words) <= most else ["..."]
    return between.join([*words[:most], *more])
