"""Scenes: pictures with their own ground truth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeGuard

import numpy as np
from numpy.typing import NDArray


class ObjectLike(Protocol):
    """An object of a scene: its class, and its visible pixels, (H, W)."""

    @property
    def label(self) -> str: ...
    @property
    def mask(self) -> NDArray[np.bool_]: ...


class SceneLike(Protocol):
    """A picture whose truth is known, such as :class:`gradcam.pictograms.Scene`."""

    @property
    def picture(self) -> NDArray[np.uint8]: ...
    @property
    def objects(self) -> Sequence[ObjectLike]: ...


def is_scene(picture: object) -> TypeGuard[SceneLike]:
    """Return whether a picture has its own truth."""
    return hasattr(picture, "picture") and hasattr(picture, "objects")
