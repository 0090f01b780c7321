"""The search for a caption: greedy, or by a beam."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradcam.captioning._decoder import Decoder

_F32 = NDArray[np.float32]


class Found(NamedTuple):
    """A caption.

    Attributes
    ----------
    words : tuple of int
    log_probabilities : tuple of float
        Of each word, after those before.
    end : float or None
        The log-probability of END, if it follows; None: the caption was cut off.
    """

    words: tuple[int, ...] = ()
    log_probabilities: tuple[float, ...] = ()
    end: float | None = None

    @property
    def total(self) -> float:
        """The log-probability of the words, and of END if it follows."""
        return sum(self.log_probabilities, self.end or 0.0)


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
    greedy = _greedy(decoder, code, length)
    return greedy if beam == 1 else max(greedy, _search(decoder, code, beam, length), key=_total)


def _total(found: Found) -> float:
    return found.total


def _greedy(decoder: Decoder, code: _F32, length: int) -> Found:
    """Continue one caption with the most probable word each time."""
    end = decoder.vocabulary.mark
    state, follows = decoder.start(code)
    words, values = list[int](), list[float]()
    for _ in range(length):
        said = follows[0] if words else follows[0, :end]  # no caption is empty
        words.append(int(said.argmax()))
        values.append(float(said[words[-1]]))
        if words[-1] == end:
            return Found(tuple(words[:-1]), tuple(values[:-1]), values[-1])
        state, follows = decoder.step(state, np.array(words[-1:]))
    ends = follows[0, end] >= follows.max()
    return Found(tuple(words), tuple(values), float(follows[0, end]) if ends else None)


def _search(decoder: Decoder, code: _F32, beam: int, length: int) -> Found:
    """Continue the `beam` most probable captions, word by word."""
    end = decoder.vocabulary.mark
    state, follows = decoder.start(code)
    follows = follows.copy()
    follows[:, end] = -np.inf  # no caption is empty
    continued, complete = [Found()], list[Found]()
    for _ in range(length):
        chosen = _extended(continued, follows, beam)
        complete += [_ended(each) for _, each in chosen if each.words[-1] == end]
        chosen = [(row, each) for row, each in chosen if each.words[-1] != end]
        continued = [each for _, each in chosen]
        # Further words only lower a total; the first one that is continued has the highest.
        if not chosen or any(each.total >= continued[0].total for each in complete):
            return max(complete, key=_total)
        last = np.array([each.words[-1] for each in continued])
        state, follows = decoder.step(state.of([row for row, _ in chosen]), last)
    # Those of the greatest length have ended if END most probably follows.
    ends = follows[:, end] >= follows.max(axis=1)
    cut = [
        each._replace(end=float(row[end])) if ended else each
        for each, row, ended in zip(continued, follows, ends, strict=True)
    ]
    return max([*complete, *cut], key=_total)


def _extended(captions: list[Found], follows: _F32, beam: int) -> list[tuple[int, Found]]:
    """Return the most probable captions of one word more, best first, and what each continues."""
    totals = np.array([each.total for each in captions])[:, None] + follows.astype(np.float64)
    best = np.argsort(-totals, axis=None, kind="stable")[:beam]
    places = [divmod(int(place), totals.shape[1]) for place in best]
    return [
        (row, _longer(captions[row], word, float(follows[row, word])))
        for row, word in places
        if np.isfinite(follows[row, word])
    ]


def _longer(caption: Found, word: int, log_probability: float) -> Found:
    return Found((*caption.words, word), (*caption.log_probabilities, log_probability))


def _ended(caption: Found) -> Found:
    """Return a caption whose last word is END without that word."""
    return Found(caption.words[:-1], caption.log_probabilities[:-1], caption.log_probabilities[-1])
