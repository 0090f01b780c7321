"""How often answers about unseen scenes are right, by kind of question, and without the picture."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

import numpy as np

from gradcam._methods.passes import batches
from gradcam.measures import Interval, share
from gradcam.pictograms._described import Arrangement
from gradcam.pictograms._described_maps import TESTS, numbered_scene
from gradcam.pictograms._questions import KINDS, Question
from gradcam.vqa._answerer import Answerer
from gradcam.vqa._words import read

Blind = dict[str, tuple[str, str]]
"""By question, what a network answers that was trained without pictures, and the most frequent
answer in training."""

_FILE = Path(__file__).parent / "blind.json"
_SEED = 0x52
_BATCH = 32


class Figures(TypedDict):
    """A mean with its 95 % interval, of `size` values."""

    mean: float
    low: float
    high: float
    size: int


class Right(TypedDict):
    """Shares of right answers: with the picture, and by both ways to answer without it."""

    right: Figures
    blind: Figures
    frequent: Figures


def figures(found: Interval) -> Figures:
    """Return an interval as it is stored."""
    return Figures(mean=found.mean, low=found.low, high=found.high, size=found.size)


def blind_answers() -> Blind:
    """Return the answers without pictures, which the training with ``--blind`` wrote."""
    table = json.loads(_FILE.read_text("utf-8"))
    return {question: (network, frequent) for question, (network, frequent) in table.items()}


def questions_for_tests(scene: Arrangement, number: int) -> list[Question]:
    """Return at most one question of each kind about a scene.

    Each is drawn once: a kind's answers are then as frequent as they are meant to be.
    """
    rng = np.random.default_rng([number, TESTS, _SEED])
    drawn = [ask(scene, rng) for ask in KINDS.values()]
    return [question for question in drawn if question is not None]


def accuracy(answerer: Answerer, scenes: int, blind: Blind) -> dict[str, Right]:
    """Return the shares of right answers about scenes for tests, by kind, and of all together."""
    asked: list[Question] = []
    said: list[str] = []
    for part in batches(scenes, _BATCH):
        drawn = [numbered_scene(number, TESTS) for number in range(part.start, part.stop)]
        about = [questions_for_tests(each, n) for n, each in enumerate(drawn, start=part.start)]
        tape = answerer.network.forward([each.picture for each in drawn], record=False)
        codes = answerer.codes(tape)
        for code, questions in zip(codes, about, strict=True):
            for question in questions:
                words = answerer.encoded(read(question.text, answerer.words))
                scores = answerer.scores(code[None], words)[0].array[0]
                said.append(answerer.answers[int(scores.argmax())])
                asked.append(question)
    return {kind: _right(asked, said, blind, kind) for kind in (*KINDS, "all")}


def _right(asked: Sequence[Question], said: Sequence[str], blind: Blind, kind: str) -> Right:
    chosen = [n for n, question in enumerate(asked) if kind in (question.kind, "all")]

    def of(answers: Sequence[str]) -> Figures:
        right = sum(answers[n] == asked[n].answer for n in chosen)
        return figures(share(right, len(chosen)))

    without = [blind[question.text] for question in asked]
    return Right(
        right=of(said),
        blind=of([network for network, _ in without]),
        frequent=of([frequent for _, frequent in without]),
    )
