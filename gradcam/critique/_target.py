"""The class that a question is about."""

from __future__ import annotations

from typing import cast

import numpy as np

from gradcam._engine.tape import Tape, check_one
from gradcam._labels.classes import Target, as_python

ClassLike = int | np.integer | str | Target | None
"""A class by index, label or synset; None: the most probable one."""


def class_of(tape: Tape, target: ClassLike) -> int:
    """Return the index of a class; that of the most probable one for None.

    Raises
    ------
    TypeError, ValueError, IndexError
        If `tape` is not of one picture, or the class is unknown.
    """
    check_one(tape)
    if target is None:
        return int(tape.scores[0].argmax())
    return tape.labels.find(cast("int | str | Target", as_python(target))).index
