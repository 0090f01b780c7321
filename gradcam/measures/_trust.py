"""Trust: do the maps alone show which of two networks is better?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from gradcam._engine.network import Network
from gradcam._labels.classes import Target
from gradcam._methods.passes import bar, batches, elements, positive, real
from gradcam._registry import METHODS, Method
from gradcam._results.explanation import Explanation, no_flat_warnings
from gradcam._text import brief
from gradcam.measures._inside import energy_inside
from gradcam.measures._regions import Region, region_boxes, region_mask
from gradcam.measures._trust_result import Trust

if TYPE_CHECKING:
    from gradcam._engine.network import PictureLike

_F64 = NDArray[np.float64]

Case = tuple["PictureLike", int | str | Target, Region]
"""A picture, the class that is right, and where its object is."""

Observer = Callable[[Explanation, Region], float]
"""What an observer measures of a map: the higher, the more convincing."""

METHODS_OF_THE_PAPER = ("guided_backprop", "guided_grad_cam", "grad_cam")


def trust(
    first: Network,
    second: Network,
    cases: Sequence[Case],
    methods: Sequence[str | Method] = METHODS_OF_THE_PAPER,
    *,
    observer: Observer = energy_inside,
    slightly: float = 1.1,
    clearly: float = 1.5,
    batch: SupportsIndex = 8,
    progress: bool = False,
) -> Trust:
    """Ask whether the maps alone show which of two networks is better.

    Selvaraju et al. (2017), section 5.2, showed people the maps of two networks for pictures that
    both classify correctly, and asked which network seems more reliable, from -2 to 2. With guided
    backprop their mean was 1.00 for the better network, with Guided Grad-CAM 1.27. Here an observer
    measures, by default which share of the map lies on the object.

    Parameters
    ----------
    first, second : Network
        A positive rating prefers the first.
    cases : sequence of (picture, class, region)
        The class that is right, and where its object is: for example, of the first object of a
        pictogram scene, ``(scene.picture, scene.objects[0].label, scene.objects[0].mask)``.
    methods : sequence of str or Method
    observer : callable
        ``observer(explanation, region)`` returns a number of 0 or more, or NaN of a flat map, which
        counts as 0.
    slightly, clearly : float
        A network is slightly or clearly more reliable if its value is so many times the other.
        Above 1, `clearly` not below `slightly`.
    batch : int
        Pictures in a pass.
    progress : bool
        Show a progress bar on standard error.

    Returns
    -------
    Trust

    Raises
    ------
    ValueError, TypeError, IndexError
        If there are no cases, both networks are right in none, a class or a region is wrong, or an
        option is out of its range.
    """
    size = positive("batch", batch)
    if not 1 < real("slightly", slightly) <= real("clearly", clearly):
        raise ValueError(
            f"slightly, clearly: expected 1 < slightly <= clearly, got {slightly} and {clearly}"
        )
    networks = (first, second)
    found = [METHODS.find(each) for each in elements("methods", methods, "methods")]
    _check_types(networks, cases, observer)
    truth = _truth(networks, cases)
    if not found:
        raise ValueError("methods: expected at least one")
    with bar(2 * len(cases), "answers", progress) as done:
        top = np.stack([_answers(each, cases, size, done) for each in networks])
    correct = top == truth
    right = np.flatnonzero(correct.all(0))
    if not right.size:
        raise ValueError(
            f"cases: both networks are right in none of {len(cases)}, so that there is nothing to "
            f"rate; the first is right in {int(correct[0].sum())}, the second in "
            f"{int(correct[1].sum())}"
        )
    with bar(2 * len(right), "maps", progress) as done:
        rated = right.tolist()
        values = np.stack(
            [_observed(each, cases, rated, found, observer, size, done) for each in networks]
        )
    one, other = correct.mean(1)
    return Trust(
        networks=(first.name, second.name),
        accuracies=(float(one), float(other)),
        cases=len(cases),
        right=right.astype(np.int64),
        methods=tuple(method.name for method in found),
        titles=tuple(method.title for method in found),
        values=np.moveaxis(values, 0, 1),
        slightly=float(slightly),
        clearly=float(clearly),
    )


def _check_types(networks: Sequence[Network], cases: Sequence[Case], observer: Observer) -> None:
    """Raise TypeError unless these are two networks, a list of cases and a function."""
    for name, network in zip(("first", "second"), networks, strict=True):
        if not isinstance(network, Network):
            raise TypeError(f"{name}: expected a Network, got {brief(network)}")
    elements("cases", cases, "(picture, class, region)")
    if not callable(observer):
        raise TypeError(f"observer: expected a function of a map and a region, got {observer!r}")


def _truth(networks: Sequence[Network], cases: Sequence[Case]) -> NDArray[np.int64]:
    """Return the index of the right class of each case for each network, (2, R)."""
    if not len(cases):
        raise ValueError("cases: expected at least one")
    rows: list[list[int]] = []
    for number, case in enumerate(cases):
        with _named(number):
            if not isinstance(case, Sequence) or len(case) != 3:
                raise TypeError("expected (picture, class, region)")
            picture, label, region = case
            region_boxes(region)
            if isinstance(picture, np.ndarray) and picture.dtype.kind in "ub" and picture.ndim > 1:
                region_mask(region, picture.shape[:2])
            rows.append([network.labels.find(label).index for network in networks])
    return np.array(list(zip(*rows, strict=True)), np.int64)


@contextmanager
def _named(number: int) -> Iterator[None]:
    """Put the number of the case before the message of an error."""
    try:
        yield
    except (IndexError, TypeError, ValueError) as error:
        if type(error) not in (IndexError, TypeError, ValueError):
            raise
        raise type(error)(f"case {number}: {error}") from error


def _answers(
    network: Network, cases: Sequence[Case], size: int, done: Callable[[int], None]
) -> NDArray[np.int64]:
    """Return the most probable class of each case."""
    found = []
    for part in batches(len(cases), size):
        tape = network.forward([case[0] for case in cases[part]], record=False)
        found.append(tape.scores.argmax(1))
        done(len(found[-1]))
    return np.concatenate(found)


def _observed(
    network: Network,
    cases: Sequence[Case],
    rated: Sequence[int],
    methods: Sequence[Method],
    observer: Observer,
    size: int,
    done: Callable[[int], None],
) -> _F64:
    """Return what the observer measures of the maps of one network of the rated cases, (M, R)."""
    values = np.empty((len(methods), len(rated)))
    for part in batches(len(rated), size):
        numbers = rated[part]
        tape = network.forward([cases[number][0] for number in numbers])
        targets = [cases[number][1] for number in numbers]
        for row, method in enumerate(methods):
            maps = tape.explain(method, targets)
            for column, (number, each) in enumerate(zip(numbers, maps, strict=True), part.start):
                with _named(number):
                    values[row, column] = _measured(observer, each, cases[number][2])
        done(len(targets))
    return values


def _measured(observer: Observer, explanation: Explanation, region: Region) -> float:
    """Return what the observer measures of a map: 0 for NaN."""
    with no_flat_warnings():
        value = float(observer(explanation, region))
    if not value >= 0 and value == value:
        raise ValueError(f"observer: expected a number of 0 or more, got {value}")
    return 0.0 if np.isnan(value) else value
