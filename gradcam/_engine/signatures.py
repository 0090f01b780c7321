"""The types of the built-in methods as attributes of tapes: what they take and what they return.

Tapes find methods in the registry when they are asked; these types tell a type checker and an
editor about the built-in ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, overload

import numpy as np
from numpy.typing import NDArray

from gradcam._results.explanation import Explanation, Resize
from gradcam._results.objectives import On, TargetLike


class SupportsToList(Protocol):
    """An array of PyTorch, pandas or another package: a batch's labels."""

    def __len__(self) -> int: ...
    def tolist(self) -> object: ...


Several = Sequence[TargetLike] | NDArray[np.integer] | SupportsToList
"""Several things to explain of one picture, or one for each picture of a batch."""


class PixelMethod(Protocol):
    """A method that reaches the pixels, of a tape of one picture."""

    @overload
    def __call__(  # type: ignore[overload-overlap]
        self, target: TargetLike = None, *, on: On = "score", resize: Resize = "half_pixel"
    ) -> Explanation: ...
    @overload
    def __call__(
        self, target: Several, *, on: On = "score", resize: Resize = "half_pixel"
    ) -> list[Explanation]: ...


class LayerMethod(Protocol):
    """A method for which a layer can be chosen, of a tape of one picture."""

    @overload
    def __call__(  # type: ignore[overload-overlap]
        self,
        target: TargetLike = None,
        *,
        layer: str | Sequence[str] | None = None,
        on: On = "score",
        resize: Resize = "half_pixel",
    ) -> Explanation: ...
    @overload
    def __call__(
        self,
        target: Several,
        *,
        layer: str | Sequence[str] | None = None,
        on: On = "score",
        resize: Resize = "half_pixel",
    ) -> list[Explanation]: ...


class BatchPixelMethod(Protocol):
    """A method that reaches the pixels, of a tape of a batch."""

    @overload
    def __call__(  # type: ignore[overload-overlap]
        self,
        target: TargetLike | Several = None,
        *,
        on: On = "score",
        resize: Resize = "half_pixel",
    ) -> list[Explanation]: ...
    @overload
    def __call__(
        self, target: Sequence[Several], *, on: On = "score", resize: Resize = "half_pixel"
    ) -> list[list[Explanation]]: ...


class BatchLayerMethod(Protocol):
    """A method for which a layer can be chosen, of a tape of a batch."""

    @overload
    def __call__(  # type: ignore[overload-overlap]
        self,
        target: TargetLike | Several = None,
        *,
        layer: str | Sequence[str] | None = None,
        on: On = "score",
        resize: Resize = "half_pixel",
    ) -> list[Explanation]: ...
    @overload
    def __call__(
        self,
        target: Sequence[Several],
        *,
        layer: str | Sequence[str] | None = None,
        on: On = "score",
        resize: Resize = "half_pixel",
    ) -> list[list[Explanation]]: ...


class PixelMethodWithOptions(Protocol):
    """The same of a method that has options of its own."""

    @overload
    def __call__(  # type: ignore[overload-overlap]
        self,
        target: TargetLike = None,
        *,
        on: On = "score",
        resize: Resize = "half_pixel",
        **options: object,
    ) -> Explanation: ...
    @overload
    def __call__(
        self,
        target: Several,
        *,
        on: On = "score",
        resize: Resize = "half_pixel",
        **options: object,
    ) -> list[Explanation]: ...


class LayerMethodWithOptions(Protocol):
    """The same of a method that has options of its own."""

    @overload
    def __call__(  # type: ignore[overload-overlap]
        self,
        target: TargetLike = None,
        *,
        layer: str | Sequence[str] | None = None,
        on: On = "score",
        resize: Resize = "half_pixel",
        **options: object,
    ) -> Explanation: ...
    @overload
    def __call__(
        self,
        target: Several,
        *,
        layer: str | Sequence[str] | None = None,
        on: On = "score",
        resize: Resize = "half_pixel",
        **options: object,
    ) -> list[Explanation]: ...


class BatchPixelMethodWithOptions(Protocol):
    """The same of a method that has options of its own."""

    @overload
    def __call__(  # type: ignore[overload-overlap]
        self,
        target: TargetLike | Several = None,
        *,
        on: On = "score",
        resize: Resize = "half_pixel",
        **options: object,
    ) -> list[Explanation]: ...
    @overload
    def __call__(
        self,
        target: Sequence[Several],
        *,
        on: On = "score",
        resize: Resize = "half_pixel",
        **options: object,
    ) -> list[list[Explanation]]: ...


class BatchLayerMethodWithOptions(Protocol):
    """The same of a method that has options of its own."""

    @overload
    def __call__(  # type: ignore[overload-overlap]
        self,
        target: TargetLike | Several = None,
        *,
        layer: str | Sequence[str] | None = None,
        on: On = "score",
        resize: Resize = "half_pixel",
        **options: object,
    ) -> list[Explanation]: ...
    @overload
    def __call__(
        self,
        target: Sequence[Several],
        *,
        layer: str | Sequence[str] | None = None,
        on: On = "score",
        resize: Resize = "half_pixel",
        **options: object,
    ) -> list[list[Explanation]]: ...
