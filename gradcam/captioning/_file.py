"""Files of captioners: safetensors, with the vocabulary in the metadata.

Metadata: ``architecture``, "captioner"; ``format``, "1"; ``vocabulary``, a JSON list of V words.
Tensors: those of the decoder, which `_decoder` states, and any of the picture network's layers,
such as ``fc7.weight``, which replace those of the code network.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gradcam._files import expanded
from gradcam._weights import checked, expected, safetensors
from gradcam._weights.reading import load
from gradcam._weights.tensors import WeightsError

ARCHITECTURE = "captioner"

SHAPES: expected.Shapes = {
    **expected.linear_shapes("image", "width", "code"),
    "embedding.weight": ("rows", "width"),
    **expected.lstm_shapes("lstm", "width", "hidden"),
    **expected.linear_shapes("output", "rows", "hidden"),
}
"""Of the decoder's tensors; there is a row for each word, and one for START or END."""

Tensors = dict[str, NDArray[np.float32]]


def read(path: str | os.PathLike[str]) -> tuple[Tensors, tuple[str, ...]]:
    """Return the tensors and the words of a file, all checked.

    Raises
    ------
    gradcam.WeightsError
        If it is no file of a captioner, or its parts do not fit each other.
    OSError
        If it cannot be opened.
    """
    found = load(path)
    checked.check_kind(path, found, ARCHITECTURE)
    words = checked.words(path, found, "vocabulary")
    return fitting(path, found.tensors, words), words


def fitting(
    path: str | os.PathLike[str], tensors: Mapping[str, NDArray[np.generic]], words: tuple[str, ...]
) -> Tensors:
    """Return the tensors of a captioner of these words as float32, all checked."""
    rows = checked.size(path, tensors, "embedding.weight", 0)
    if rows != len(words) + 1:
        raise WeightsError(
            f"{path}: the vocabulary has {len(words)} words, but the weights are for {rows - 1}: "
            f"the words of the training are needed, in their order"
        )
    own = {name: each for name, each in tensors.items() if name in SHAPES}
    more = {name: each for name, each in tensors.items() if name not in SHAPES}
    read = expected.fitting(path, own, SHAPES, {"rows": rows})[0]
    return read | checked.fitting(path, more, {name: each.shape for name, each in more.items()})


def write(
    path: str | os.PathLike[str],
    tensors: Mapping[str, NDArray[np.float32]],
    words: tuple[str, ...],
    dtype: Literal["float32", "float16"] = "float32",
) -> None:
    """Write a file: the whole or nothing. An earlier file is replaced."""
    metadata = {"architecture": ARCHITECTURE, "format": "1", "vocabulary": json.dumps(words)}
    safetensors.write(tensors, expanded(path), metadata, dtype)
