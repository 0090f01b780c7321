"""The search for a caption: greedy, or by a beam."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradcam._sequences import select
from gradcam.captioning._decoder import Decoder, State

_F32 = NDArray[np.float32]


class Found(NamedTuple):
    """A caption.

    Attributes
    ----------
    words : tuple of int
    ended : bool
        Whether END follows; else it was cut off at the greatest length.
    total : float
        The sum of the log-probabilities of the words, and of END if it follows.
    """

    words: tuple[int, ...]
    ended: bool
    total: float


def search(decoder: Decoder, code: _F32, beam: int, length: int) -> Found:
    """Return a probable caption of a picture.

    Parameters
    ----------
    decoder : Decoder
    code : (K,) array
    beam : int
        The number of captions that are continued at each step. With 1 it is always the most
        probable word that follows.
    length : int
        The greatest number of words.

    Returns
    -------
    Found
        It has at least one word. A beam may lose the greedy caption on the way; so that one is
        compared with the best of the beam at the end, and a beam never finds a less probable one.
    """
    greedy = _search(decoder, code, 1, length)
    return greedy if beam == 1 else max(greedy, _search(decoder, code, beam, length), key=_total)


def _total(found: Found) -> float:
    return found.total


def _search(decoder: Decoder, code: _F32, beam: int, length: int) -> Found:
    """Continue the `beam` most probable captions, word by word."""
    end = decoder.vocabulary.mark
    state, follows = decoder.start(code)
    follows = follows.copy()
    follows[:, end] = -np.inf  # no caption is empty
    continued, complete = [Found((), False, 0.0)], list[Found]()
    for _ in range(length):
        chosen = _extended(continued, follows, beam)
        complete += [
            Found(each.words[:-1], True, each.total) for _, each in chosen if each.words[-1] == end
        ]
        chosen = [(row, each) for row, each in chosen if each.words[-1] != end]
        continued = [each for _, each in chosen]
        # Further words only lower a total; the first one that is continued has the highest.
        if not chosen or any(each.total >= continued[0].total for each in complete):
            return max(complete, key=_total)
        rows = np.array([row for row, _ in chosen])
        state = State(select(state.h, rows), select(state.c, rows))
        state, follows = decoder.step(state, np.array([each.words[-1] for each in continued]))
    cut = [_cut(each, row) for each, row in zip(continued, follows, strict=True)]
    return max([*complete, *cut], key=_total)


def _extended(captions: list[Found], follows: _F32, beam: int) -> list[tuple[int, Found]]:
    """Return the most probable captions of one word more, best first, and what each continues."""
    totals = np.array([each.total for each in captions])[:, None] + follows.astype(np.float64)
    best = np.argsort(-totals, axis=None, kind="stable")[:beam]
    places = [divmod(int(place), totals.shape[1]) for place in best]
    return [
        (row, Found((*captions[row].words, word), False, float(totals[row, word])))
        for row, word in places
        if np.isfinite(totals[row, word])
    ]


def _cut(caption: Found, follows: _F32) -> Found:
    """Return a caption of the greatest length; it has ended if END most probably follows."""
    end = len(follows) - 1
    if follows.argmax() != end:
        return caption
    return Found(caption.words, True, caption.total + float(follows[end]))
