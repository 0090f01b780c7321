"""How a picture is made: steps, coordinates and regularisers, checked before any work."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import Literal, get_args

from gradcam._synthesis.bases import BasisName
from gradcam._text import brief

OptimiserName = Literal["adam", "gradient", "sign"]

STEPS_OF = {"adam": "Adam", "gradient": "gradient ascent", "sign": "the gradient's sign"}


@dataclass(frozen=True)
class Recipe:
    """The options that functions which make pictures share.

    Attributes
    ----------
    steps : int
    step : float
        The length of a step, in shares of black to white.
    optimiser : "adam", "gradient" or "sign"
        A step along Adam's direction, along the gradient divided by its root mean square, or along
        the sign of each value.
    basis : "fourier" or "pixels"
    l2, total_variation : float
        The weights of the penalties, 0 for none.
    blur : float
        The standard deviation of a Gaussian blur, in pixels, every `blur_every` steps.
    blur_every : int
    jitter : int
        In each step, the picture is shifted by up to so many pixels.
    zoom : float
        In each step, it is made larger or smaller by up to this share.
    clip : bool
        Whether values stay between black and white.
    seed : int
    """

    steps: int = 256
    step: float = 0.005
    optimiser: OptimiserName = "adam"
    basis: BasisName = "fourier"
    l2: float = 0.0
    total_variation: float = 0.0
    blur: float = 0.0
    blur_every: int = 8
    jitter: int = 0
    zoom: float = 0.0
    clip: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "blur_every"):
            _integer(name, getattr(self, name), 1)
        for name in ("jitter", "seed"):
            _integer(name, getattr(self, name), 0)
        for name in ("step", "l2", "total_variation", "blur", "zoom"):
            _number(name, getattr(self, name))
        if not self.step > 0:
            raise ValueError(f"step: expected more than 0, got {self.step!r}")
        if not self.zoom < 1:
            raise ValueError(f"zoom: expected a share below 1, got {self.zoom!r}")
        if not isinstance(self.clip, bool):
            raise TypeError(f"clip: expected True or False, got {brief(self.clip)}")
        for name, known in (("optimiser", OptimiserName), ("basis", BasisName)):
            if getattr(self, name) not in get_args(known):
                words = ", ".join(map(repr, get_args(known)))
                raise ValueError(f"{name}: expected {words}, got {brief(getattr(self, name))}")

    def for_size(self, size: tuple[int, int]) -> Recipe:
        """Check what depends on the picture's (height, width); return the recipe.

        Raises
        ------
        ValueError
            If the jitter or the blur is larger than the picture, or it is too small to be enlarged.
        """
        for name in ("jitter", "blur"):
            if getattr(self, name) >= min(size):
                raise ValueError(
                    f"{name}: {getattr(self, name)} pixels is not less than the side of a picture "
                    f"of {size[0]} x {size[1]}"
                )
        if self.zoom and min(size) < 2:
            raise ValueError(f"zoom: a picture of {size[0]} x {size[1]} cannot be enlarged")
        return self

    def with_options(self, **options: object) -> Recipe:
        """Return the recipe with other options.

        Raises
        ------
        TypeError
            If there is no such option.
        """
        known = [each.name for each in fields(self)]
        for name in options:
            if name not in known:
                raise TypeError(f"no option is called {name!r}; there are {', '.join(known)}")
        return replace(self, **options)  # type: ignore[arg-type]  # checked when it is made

    @property
    def words(self) -> str:
        """What was used, in a line."""
        parts = [f"{self.steps} step{'s' if self.steps != 1 else ''} of {STEPS_OF[self.optimiser]}"]
        if self.basis == "fourier":
            parts.append("Fourier basis")
        if self.l2:
            parts.append(f"L2 {self.l2:g}")
        if self.total_variation:
            parts.append(f"total variation {self.total_variation:g}")
        if self.blur:
            parts.append(f"blur {self.blur:g} px every {self.blur_every} steps")
        if self.jitter:
            parts.append(f"jitter {self.jitter} px")
        if self.zoom:
            parts.append(f"zoom {self.zoom:g}")
        if not self.clip:
            parts.append("not clipped")
        return ", ".join(parts)


def _integer(name: str, value: object, least: int) -> None:
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{name}: expected an integer, got {brief(value)}")
    if value.__index__() < least:
        raise ValueError(f"{name}: expected {least} or more, got {brief(value)}")


def _number(name: str, value: object) -> None:
    if isinstance(value, bool) or not hasattr(value, "__float__") or isinstance(value, str):
        raise TypeError(f"{name}: expected a number, got {brief(value)}")
    number = float(value.__float__())
    if not 0 <= number < math.inf:
        raise ValueError(f"{name}: expected 0 or more, got {number}")
