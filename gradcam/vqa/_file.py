"""Files of answerers: one safetensors file with the tensors, the vocabulary and the answers.

Metadata: ``format`` "gradcam-vqa-1", ``architecture`` "lstm" or "coattention", ``words`` and
``answers``, JSON lists of texts in the order of the embedding's and the scores' rows.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradcam._text import brief
from gradcam._weights import reading, safetensors
from gradcam._weights.tensors import WeightsError

FORMAT = "gradcam-vqa-1"


class Content(NamedTuple):
    """What a file holds."""

    kind: str
    tensors: dict[str, NDArray[np.float32]]
    words: list[str]
    answers: list[str]


def read(path: str | os.PathLike[str]) -> Content:
    """Read a file of an answerer.

    Raises
    ------
    gradcam.WeightsError
        If it is damaged, or not such a file.
    OSError
        If it cannot be opened.
    """
    weights = reading.load(path)
    metadata, name = weights.metadata, os.fspath(path)
    if metadata.get("format") != FORMAT:
        raise WeightsError(
            f"{name}: not a file of a question answerer: its metadata have the format "
            f"{brief(metadata.get('format'))}, expected {FORMAT!r}, as Answerer.save writes it"
        )
    tensors = {each: np.asarray(values, np.float32) for each, values in weights.tensors.items()}
    words, answers = (_texts(metadata, each, name) for each in ("words", "answers"))
    return Content(metadata.get("architecture", ""), tensors, words, answers)


def write(content: Content, path: str | os.PathLike[str]) -> None:
    """Write a file of an answerer, as float16: the whole file or nothing."""
    metadata = {
        "format": FORMAT,
        "architecture": content.kind,
        "words": json.dumps(content.words),
        "answers": json.dumps(content.answers),
    }
    safetensors.write(content.tensors, path, metadata, dtype="float16")


def _texts(metadata: Mapping[str, str], entry: str, name: str) -> list[str]:
    """Return a list of texts of the metadata."""
    try:
        found = json.loads(metadata.get(entry, ""))
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
        raise WeightsError(f"{name}: the metadata have no list of texts {entry!r}, as JSON")
    return found
