"""Which classes are asked of which pictures of a batch, and the answer in the same shape."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcam._labels.classes import Labels


@dataclass(frozen=True)
class Request:
    """The classes asked of each picture of a batch.

    Attributes
    ----------
    classes : list of N lists of int
        Class indices, for each picture.
    listed : list of N bool
        Whether that picture's classes were given as a list, and so is the answer.
    single : bool
        Whether the batch is one picture that was not given in a list.
    """

    classes: list[list[int]]
    listed: list[bool]
    single: bool

    def seeds(self, count: int) -> NDArray[np.float32]:
        """(S, N, `count`) one-hot seeds: one for each picture's first class, its second, ...

        S is the longest list of classes; the seeds of pictures with fewer are zero.
        """
        rounds = max(map(len, self.classes))
        seeds = np.zeros((rounds, len(self.classes), count), np.float32)
        for n, classes in enumerate(self.classes):
            seeds[np.arange(len(classes)), n, classes] = 1
        return seeds

    def arrange(self, make: Callable[[int, int, int], Any]) -> Any:
        """``make(s, n, class)`` of every class asked, nested as they were asked."""
        answers: list[Any] = []
        for n, (classes, listed) in enumerate(zip(self.classes, self.listed, strict=True)):
            made = [make(s, n, index) for s, index in enumerate(classes)]
            answers.append(made if listed else made[0])
        return answers[0] if self.single else answers


def request(target: Any, scores: NDArray[np.float32], labels: Labels, single: bool) -> Request:
    """Read what a user gave as `target`.

    Parameters
    ----------
    target : None, int, str, or a list of these
        None is each picture's top class. An index, label or synset is that class for every
        picture. A list is several classes of a single picture; of a batch, it holds one element
        for each picture, each of which may be a list again.
    scores : (N, K) array
    labels : Labels
        K classes.
    single : bool
        Whether the batch is one picture that was not given in a list.

    Raises
    ------
    ValueError
        Where a list is empty, or does not have one element for each picture of a batch.
    IndexError, TypeError
        As :meth:`gradcam._labels.classes.Labels.find`.
    """
    top = scores.argmax(1).tolist()

    def classes(element: Any, n: int) -> list[int]:
        if not _is_list(element):
            return [top[n] if element is None else labels.find(element).index]
        if len(element) == 0:
            raise ValueError("an empty list of classes; give at least one, or None for the top one")
        return [top[n] if one is None else labels.find(one).index for one in element]

    count = len(scores)
    if single or not _is_list(target):
        elements: Sequence[Any] = [target] * count
    elif len(target) == count:
        elements = list(target)
    else:
        raise ValueError(
            f"{len(target)} targets for a batch of {count} pictures: give one class for all, or "
            f"a list with one element (a class or a list of classes) for each picture"
        )
    return Request(
        classes=[classes(element, n) for n, element in enumerate(elements)],
        listed=[_is_list(element) for element in elements],
        single=single,
    )


def _is_list(target: Any) -> bool:
    return isinstance(target, (list, tuple)) or (isinstance(target, np.ndarray) and target.ndim > 0)
