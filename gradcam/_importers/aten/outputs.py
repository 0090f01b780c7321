"""Which result of a program holds the class scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from gradcam._importers.aten.tensors import Content, Tensor
from gradcam._importers.imported import Choices
from gradcam._importers.values import Value
from gradcam._weights.tensors import WeightsError, listed

T = TypeVar("T")

SCORES = "logits"
"""What the libraries of transformers call the class scores among other results."""


def chosen(outputs: Sequence[tuple[str, T]], choices: Choices) -> tuple[str, T]:
    """Return the output that the caller chose, the only one, or the one called "logits".

    Parameters
    ----------
    outputs : sequence of (label, object)
    choices : Choices

    Raises
    ------
    WeightsError
        If there is none of that name, or one must be chosen.
    """
    named = dict(outputs)
    labels = listed(map(repr, named))
    if choices.output is not None:
        if choices.output not in named:
            raise WeightsError(f"it has no output {choices.output!r}; its outputs are {labels}")
        return choices.output, named[choices.output]
    if len(named) == 1:
        return next(iter(named.items()))
    if SCORES in named:
        return SCORES, named[SCORES]
    if not named:
        raise WeightsError("it returns no tensor, expected one score for each class")
    raise WeightsError(
        f"it has {len(named)} outputs: choose that of the class scores with output=, one of "
        f"{labels}"
    )


def scores(found: object) -> Value:
    """Return the value that a program returns as its class scores.

    Raises
    ------
    WeightsError
        If it is something else.
    """
    content: Content | None = found.read() if isinstance(found, Tensor) else None
    if not isinstance(content, Value):
        what = (
            "a constant, which does not depend on the picture"
            if content is not None
            else "no tensor"
        )
        raise WeightsError(f"it returns {what}, expected one score for each class")
    return content
