"""Questions for training: which are asked about each picture, with their answers.

There are few different questions, 208 about the described scenes, so that examples are stored as
numbers of pictures, questions and answers.
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gradcam._text import words_of
from gradcam.pictograms._attributes import ATTRIBUTES
from gradcam.pictograms._described import NOUNS, Arrangement
from gradcam.pictograms._described_maps import (
    Stored,
    stored_arrangements,
    stored_codes,
    stored_maps,
)
from gradcam.pictograms._facts import COUNTS, places
from gradcam.pictograms._facts import facts as facts_of
from gradcam.pictograms._questions import ANSWERS, KINDS, MAX_COUNT, QUESTION_WORDS, Kind

_Integers = NDArray[np.int64]

Read = Stored | Literal["relu7"]
"""What is read of each scene: a stored map, or the picture's code."""

TRIES: dict[Kind, int] = {"colour": 6, "presence": 4, "relation": 10, "count": 14}
"""How often a question of each kind is drawn for a scene in training; some draws give none."""

_ORDERS = 3 * (len(NOUNS) * (len(NOUNS) - 1) // 2)

FACT_WEIGHTS = np.ones(len(ATTRIBUTES) + (MAX_COUNT + 2) * len(NOUNS) + _ORDERS, np.float32)
"""Of the facts about a scene in the loss: the order of two nouns counts half."""

FACT_WEIGHTS[-_ORDERS:] = 0.5

_CHUNK = 1024
_SEED = 0x51


@dataclass(frozen=True)
class Examples:
    """Pictures, as stored maps, with questions and answers.

    Attributes
    ----------
    maps : (P, C, h, w) array of float16
        Of each picture; or its code, (P, 1086).
    words, answers : tuple of str
        The vocabulary of the questions, and the answers in the order of the scores.
    texts : tuple of str
        The different questions.
    kinds : tuple of str
        The kinds of questions.
    pairs : (n, 4) array of int
        For each example: the picture, the question, the answer and the kind. Sorted by picture.
    facts : (P, F) array of float32
        What else is true of each picture, 0 to 1; NaN where a fact has no meaning. F may be 0.
    """

    maps: NDArray[np.float16]
    words: tuple[str, ...]
    answers: tuple[str, ...]
    texts: tuple[str, ...]
    kinds: tuple[str, ...]
    pairs: _Integers
    facts: NDArray[np.float32]

    @cached_property
    def tokens(self) -> tuple[_Integers, _Integers]:
        """The words of all questions, (longest, questions), filled with 0; and their lengths."""
        places = {word: place for place, word in enumerate(self.words)}
        indices = [[places[w] for w in words_of(text) if w in places] for text in self.texts]
        lengths = np.array([len(each) for each in indices])
        found = np.zeros((lengths.max(), len(indices)), np.int64)
        for n, each in enumerate(indices):
            found[: len(each), n] = each
        return found, lengths

    @cached_property
    def starts(self) -> _Integers:
        """The first example of each picture, and the number of all examples, (P + 1,)."""
        return np.searchsorted(self.pairs[:, 0], np.arange(len(self.maps) + 1))

    def of(self, pictures: _Integers) -> _Integers:
        """Return the examples of some pictures; their first column counts within `pictures`."""
        parts = [self.pairs[self.starts[p] : self.starts[p + 1], 1:] for p in pictures]
        which = np.repeat(np.arange(len(pictures)), [len(part) for part in parts])
        return np.concatenate([which[:, None], np.concatenate(parts)], 1)


def scene_examples(
    folder: Path, scenes: int, use: int, workers: int = 2, layer: Read = "relu7"
) -> Examples:
    """Return the examples of numbered scenes; the maps of a layer are stored in `folder`."""
    stored: Stored = "pool5" if layer == "relu7" else layer
    arrangements = stored_arrangements(folder, scenes, use, workers, stored)
    if layer == "relu7":
        maps = stored_codes(folder, scenes, use, workers, maxima=True)
        told = np.zeros((scenes, 0), np.float32)  # the code knows the facts already
    else:
        maps = stored_maps(folder, scenes, use, workers, layer)
        told = np.stack([facts(scene) for scene in arrangements])
    starts = range(0, scenes, _CHUNK)
    chunks = [arrangements[first : first + _CHUNK] for first in starts]
    with ProcessPoolExecutor(workers) as processes:
        asked = list(processes.map(_asked, chunks, starts, [use] * len(chunks)))
    found = [each for chunk in asked for each in chunk]
    texts = tuple(sorted({text for _, text, _, _ in found}))
    places = {text: place for place, text in enumerate(texts)}
    kinds = list(KINDS)
    pairs = [
        (picture, places[text], ANSWERS.index(answer), kinds.index(kind))
        for picture, text, answer, kind in found
    ]
    return Examples(
        maps,
        QUESTION_WORDS,
        ANSWERS,
        texts,
        tuple(kinds),
        np.array(pairs, np.int64),
        told,
    )


def facts(scene: Arrangement) -> NDArray[np.float32]:
    """Return what is true of a scene: its attributes, numbers of objects, and their places."""
    return np.concatenate([facts_of(scene)[: COUNTS.stop], places(scene)])


def _asked(scenes: list[Arrangement], first: int, use: int) -> list[tuple[int, str, str, Kind]]:
    """Return (scene, question, answer, kind) of the questions about scenes `first` on."""
    found = []
    for number, scene in enumerate(scenes, start=first):
        rng = np.random.default_rng([number, use, _SEED])
        for kind, tries in TRIES.items():
            for _ in range(tries):
                question = KINDS[kind](scene, rng)
                if question is not None:
                    found.append((number, question.text, question.answer, kind))
    return found
