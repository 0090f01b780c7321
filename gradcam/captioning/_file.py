"""Files of captioners: safetensors, with the vocabulary in the metadata.

Metadata: ``architecture``, "captioner"; ``format``, "1"; ``vocabulary``, a JSON list of V words.
Tensors: ``fc6.weight`` (U, 6272), ``fc6.bias``, ``fc7.weight`` (K, U) and ``fc7.bias``, the layers
of the code; those of the decoder are in `_decoder`.
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

POOLED = 6272
"""Values of relu6_2, which fc6 reads: 128 x 7 x 7."""

CODE_TENSORS = ("fc6.weight", "fc6.bias", "fc7.weight", "fc7.bias")
"""The tensors of the picture network; all others are the decoder's."""

SHAPES: expected.Shapes = {
    "fc6.weight": ("units", POOLED),
    "fc6.bias": ("units",),
    **expected.linear_shapes("fc7", "code", "units"),
    **expected.linear_shapes("image", "width", "code"),
    "embedding.weight": ("rows", "width"),
    **expected.lstm_shapes("lstm", "width", "hidden"),
    **expected.linear_shapes("output", "rows", "hidden"),
}
"""Of all tensors; there is a row for each word, and one for START or END."""

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
    return expected.fitting(path, tensors, SHAPES, {"rows": rows})[0]


def write(
    path: str | os.PathLike[str],
    tensors: Mapping[str, NDArray[np.float32]],
    words: tuple[str, ...],
    dtype: Literal["float32", "float16"] = "float32",
) -> None:
    """Write a file: the whole or nothing. An earlier file is replaced."""
    metadata = {"architecture": ARCHITECTURE, "format": "1", "vocabulary": json.dumps(words)}
    safetensors.write(tensors, expanded(path), metadata, dtype)
