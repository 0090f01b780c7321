"""What methods share that run the network on many variants of a picture.

Memory is bounded whatever the number of variants: they go through the network in batches, and
methods add up what they need of each batch.
"""

from __future__ import annotations

import math
import numbers
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from typing import SupportsIndex, TypeVar

import numpy as np
from numpy.typing import NDArray

from gradcam._engine.forward_pass import ForwardPass
from gradcam._progress import progress_bar
from gradcam._results import notes
from gradcam._results.objectives import Objectives
from gradcam._text import brief

_T = TypeVar("_T")

_BATCH = 16
"""Pictures of 224 x 224 in a pass."""


def integer(name: str, value: SupportsIndex) -> int:
    """Return an option that must be an integer, of Python or NumPy; True and False are none.

    Raises
    ------
    TypeError
        If it is something else.
    """
    try:
        if isinstance(value, (bool, np.bool_)):
            raise TypeError
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name}: expected an integer, got {brief(value)}") from None


def real(name: str, value: float) -> float:
    """Return an option that must be a real number, of Python or NumPy; True and False are none.

    Raises
    ------
    TypeError
        If it is something else.
    ValueError
        If it is too large for a float.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name}: expected a number, got {brief(value)}")
    try:
        return float(value)
    except OverflowError:
        raise ValueError(f"{name}: expected a number, got one that is too large") from None


def positive(name: str, value: SupportsIndex) -> int:
    """Return an option that must be an integer of 1 or more.

    Raises
    ------
    TypeError, ValueError
        If it is something else.
    """
    number = integer(name, value)
    if number < 1:
        raise ValueError(f"{name}: expected 1 or more, got {number}")
    return number


def batch_size(tape: ForwardPass, batch: int | None = None, *, gradients: bool = False) -> int:
    """Return how many variants go through the network at a time.

    Parameters
    ----------
    tape : ForwardPass
    batch : int, optional
        What the user asked for. By default 16 of 224 x 224 pixels, or as many pixels of another
        size, and at most 64 pictures.
    gradients : bool
        Whether backward passes follow, which need the outputs of all layers: half as many then.
    """
    if batch is not None:
        return positive("batch", batch)
    height, width = tape.size
    most = max(1, min(64, _BATCH * 224 * 224 // (height * width)))
    return max(1, most // 2) if gradients else most


def batches(count: int, size: int) -> Iterator[slice]:
    """Divide 0 to `count` into slices of `size`; the last one can be shorter."""
    return (slice(first, min(first + size, count)) for first in range(0, count, size))


def even_batches(count: int, size: int) -> Iterator[slice]:
    """Divide 0 to `count` into as few slices of at most `size` as possible, of nearly one size."""
    number = -(-count // size)
    return batches(count, -(-count // number))


@contextmanager
def bar(total: int, title: str, shown: bool) -> Iterator[Callable[[int], None]]:
    """Show a progress bar on standard error, if `shown`.

    Yields
    ------
    callable
        To be called with the number of pieces of work that are done since the last call.
    """
    if not shown:
        yield lambda count: None
        return
    from rich.console import Console  # slow to import

    with progress_bar(total, Console(stderr=True)) as advance:

        def done(count: int) -> None:
            for _ in range(count):
                advance(title)

        yield done


def one_of(name: str, value: object, choices: tuple[str, ...]) -> None:
    """Raise ValueError unless an option is one of these words."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name}: expected {' or '.join(map(repr, choices))}, got {brief(value)}")


def non_negative(name: str, value: float) -> None:
    """Raise TypeError or ValueError unless an option is a finite number of 0 or more."""
    if not 0 <= real(name, value) < math.inf:
        raise ValueError(f"{name}: expected a number of 0 or more, got {value!r}")


def flag(name: str, value: bool) -> bool:
    """Return an option that must be True or False, of Python or NumPy.

    Raises
    ------
    TypeError
        If it is something else.
    """
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name}: expected True or False, got {brief(value)}")
    return bool(value)


def elements(name: str, value: Sequence[_T], kind: str) -> list[_T]:
    """Return an option that must be a list or another sequence, also an array.

    Parameters
    ----------
    name : str
    value : sequence
        A text is none.
    kind : str
        What is in it, for the message: "numbers".

    Raises
    ------
    TypeError
        If it is something else, as a generator, whose elements can be read only once.
    """
    sized = hasattr(value, "__len__") and hasattr(value, "__getitem__")
    if not sized or isinstance(value, (str, bytes, Mapping, Set)) or getattr(value, "ndim", 1) == 0:
        raise TypeError(f"{name}: expected a list of {kind}, got {brief(value)}")
    return list(value)


def check_seed(seed: SupportsIndex) -> None:
    """Raise TypeError or ValueError unless a seed is an integer of 0 or more."""
    if integer("seed", seed) < 0:
        raise ValueError(f"seed: expected an integer of 0 or more, got {seed!r}")


def noisy(
    picture: NDArray[np.float32], noise: float, seed: int, part: slice
) -> NDArray[np.float32]:
    """Return noisy copies of a picture, (B, C, h, w): those with the numbers of `part`.

    The normal noise of a copy depends on the seed and on the copy's number, not on the batch, and
    is the same for every picture. Its standard deviation is `noise` times the range of the
    picture's values.
    """
    deviation = np.float32(noise * (float(picture.max()) - float(picture.min())))
    copies = [
        np.random.default_rng((seed, number)).standard_normal(picture.shape, np.float32)
        for number in range(part.start, part.stop)
    ]
    found: NDArray[np.float32] = picture + deviation * np.stack(copies)
    return found


def note_constant(pictures: NDArray[np.float32]) -> None:
    """Note that no noise was added to a picture of (N, C, h, w) if that is so."""
    if any(picture.min() == picture.max() for picture in pictures):
        notes.add("A picture has the same value everywhere, so that no noise was added to it.")


def layers_read(tape: ForwardPass, objective: Objectives, n: int) -> list[str]:
    """Return the layers that the objectives of picture `n` read."""
    names = {name for each in objective.each[n] for name in each.reads(tape, n)}
    return sorted(tape.graph.names(name)[0] for name in names)
