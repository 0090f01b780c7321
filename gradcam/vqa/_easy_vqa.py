"""easy-VQA (Victor Zhou, MIT licence): 5,000 pictures of one shape, with questions and answers.

The package ``easy-vqa`` of PyPI holds the pictures, of 64 x 64 pixels, and 48,248 questions. They
are divided into training and test.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gradcam._text import words_of
from gradcam.pictograms._described_maps import maps_network
from gradcam.vqa._examples import Examples

Part = Literal["train", "test"]

KINDS = ("shape", "colour", "yes or no")
_SHAPES = ("circle", "rectangle", "triangle")
_BATCH = 100


def easy_vqa_examples(part: Part) -> Examples:
    """Return the examples of one part.

    Raises
    ------
    ModuleNotFoundError
        If the package is not installed.
    """
    try:
        import easy_vqa
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            "easy-VQA is in a package of its own: pip install easy-vqa", name="easy_vqa"
        ) from None
    known = easy_vqa.get_train_questions()[0]
    words = tuple(sorted({word for text in known for word in words_of(text)}))
    answers = tuple(easy_vqa.get_answers())
    asked, replies, pictures = getattr(easy_vqa, f"get_{part}_questions")()
    paths = getattr(easy_vqa, f"get_{part}_image_paths")()
    numbers = sorted(paths)
    texts = tuple(sorted(set(asked)))
    places = {text: place for place, text in enumerate(texts)}
    order = {number: place for place, number in enumerate(numbers)}
    pairs = [
        (order[picture], places[text], answers.index(answer), _kind(answer))
        for text, answer, picture in zip(asked, replies, pictures, strict=True)
    ]
    maps = _maps([Path(paths[number]) for number in numbers])
    no_facts = np.zeros((len(maps), 0), np.float32)
    return Examples(maps, words, answers, texts, KINDS, np.array(sorted(pairs), np.int64), no_facts)


def _kind(answer: str) -> int:
    """Return the place in :data:`KINDS` of a question with this answer."""
    return 0 if answer in _SHAPES else 2 if answer in ("yes", "no") else 1


def _maps(paths: list[Path]) -> NDArray[np.float16]:
    """Return pool5 of the attribute VGG for pictures, which are enlarged to 112 x 112."""
    network = maps_network("pool5")
    parts = [paths[first : first + _BATCH] for first in range(0, len(paths), _BATCH)]
    found = [network.forward(part).activation("pool5") for part in parts]
    return np.concatenate(found).astype(np.float16)
