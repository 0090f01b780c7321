"""Files of answerers: one safetensors file with the tensors, the vocabulary and the answers.

Metadata: ``architecture``, "lstm" or "coattention"; ``format``, "1"; ``words`` and ``answers``,
JSON lists of texts in the order of the embedding's and the scores' rows. The tensors are those that
`_lstm` and `_coattention` list, and any of the picture network's layers.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradcam._files import expanded
from gradcam._weights import checked, safetensors
from gradcam._weights.reading import load
from gradcam._weights.tensors import WeightsError


class Content(NamedTuple):
    """What a file holds."""

    kind: str
    tensors: Mapping[str, NDArray[np.generic]]
    words: Sequence[str]
    answers: Sequence[str]


def read(path: str | os.PathLike[str], kinds: Collection[str]) -> Content:
    """Read a file of an answerer of one of some kinds.

    Raises
    ------
    gradcam.WeightsError
        If it is damaged, or not such a file.
    OSError
        If it cannot be opened.
    """
    found = load(path)
    kind = found.metadata.get("architecture", "")
    if kind not in kinds:
        says = f"say {kind!r}" if kind else "do not say what it is"
        raise WeightsError(
            f"{os.fspath(path)}: expected a file of a question answerer, of the architecture "
            f"{' or '.join(map(repr, kinds))}; its metadata {says}"
        )
    checked.check_kind(path, found, kind)
    words, answers = (checked.words(path, found, name) for name in ("words", "answers"))
    return Content(kind, found.tensors, words, answers)


def write(
    content: Content,
    path: str | os.PathLike[str],
    dtype: Literal["float32", "float16"] = "float16",
) -> None:
    """Write a file of an answerer: the whole file or nothing."""
    metadata = {
        "architecture": content.kind,
        "format": "1",
        "words": json.dumps(list(content.words)),
        "answers": json.dumps(list(content.answers)),
    }
    safetensors.write(content.tensors, expanded(path), metadata, dtype)
