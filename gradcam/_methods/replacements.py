"""Baselines: what is put in place of a picture or of a part of it."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from gradcam._engine.forward_pass import ForwardPass
from gradcam._methods.blur import check_sigma, gaussian_blur
from gradcam._methods.passes import check_seed
from gradcam._results import notes
from gradcam._text import brief

_F32 = NDArray[np.float32]

Name = Literal["black", "grey", "mean", "blur", "noise"]

Replacement = float | Name | NDArray[np.floating]
"""A preprocessed value, a name, or preprocessed values: (C,) or (C, h, w).

"black" is the preset's black, "grey" halfway between its black and white; "mean" the picture's own
mean colour; "blur" the blurred picture; "noise" normal noise with the picture's mean and standard
deviation in each channel.
"""


def replacements(tape: ForwardPass, baseline: Replacement, sigma: float, seed: int) -> _F32:
    """Return what is put in place of each picture, (N, C, h, w), preprocessed.

    Parameters
    ----------
    tape : ForwardPass
    baseline : float, "black", "grey", "mean", "blur", "noise" or array
    sigma : float
        Standard deviation of the blur, in pixels of the input.
    seed : int
        Of the noise, the same for all pictures before it gets their mean and deviation.

    Raises
    ------
    ValueError
        If a name is unknown, an array has another shape, or values are not finite.
    TypeError
        If it is something else.
    """
    check_sigma("sigma", sigma, tape.size)
    check_seed(seed)
    pictures, channels = tape.input, tape.input.shape[1]
    if isinstance(baseline, str):
        found = _named(tape, baseline, sigma, seed)
    else:
        values = np.asarray(baseline)
        if values.dtype.kind not in "fiu":
            raise TypeError(
                f"baseline: expected a number, {_names()} or an array, got {brief(baseline)}"
            )
        if values.shape not in ((), (channels,), pictures.shape[1:]):
            raise ValueError(
                f"baseline: expected a number, an array of shape ({channels},) with a value for "
                f"each channel, or one of shape {pictures.shape[1:]}, like the input; got the "
                f"shape {values.shape}"
            )
        values = finite("baseline", values)
        found = values[:, None, None] if values.ndim == 1 else values
    return np.ascontiguousarray(np.broadcast_to(found, pictures.shape), np.float32)


def finite(name: str, values: NDArray[np.generic]) -> _F32:
    """Return values as float32.

    Raises
    ------
    ValueError
        If they are not finite, or too large for float32.
    """
    with np.errstate(over="ignore"):
        found: _F32 = values.astype(np.float32)
    if not np.isfinite(found).all():
        raise ValueError(f"{name}: the values must be finite numbers of float32")
    return found


def _named(tape: ForwardPass, name: str, sigma: float, seed: int) -> NDArray[np.floating]:
    """Return the replacement of that name, in a shape that broadcasts to (N, C, h, w)."""
    pictures = tape.input
    means: NDArray[np.float64] = pictures.mean((2, 3), keepdims=True, dtype=np.float64)
    if name in ("black", "grey"):
        return _colour(tape, name)
    if name == "mean":
        return means
    if name == "blur":
        return gaussian_blur(pictures, sigma)
    if name == "noise":
        noise = np.random.default_rng(seed).standard_normal(pictures.shape[1:])
        noisy: NDArray[np.float64] = means + noise * pictures.std(
            (2, 3), keepdims=True, dtype=np.float64
        )
        return noisy
    raise ValueError(f"baseline: expected {_names()}, a number or an array, got {name!r}")


def _colour(tape: ForwardPass, name: str) -> NDArray[np.float64]:
    """Return the input values of black or mid-grey, (C, 1, 1) or a number."""
    known = bounds(tape)
    if known is None:
        notes.add(
            f"The network has no input preset, so that the values of {name} are not known: the "
            f"baseline is 0."
        )
        return np.zeros(())
    black, white = known
    return black if name == "black" else (black + white) / 2


def bounds(tape: ForwardPass) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Return the input values of black and of white, each (C, 1, 1), if a preset tells them."""
    preset, channels = tape.graph.preset, tape.input.shape[1]
    if preset is None or not preset.takes(channels):
        return None
    black, white = (np.asarray(each, np.float64)[:channels, None, None] for each in preset.bounds)
    return black, white


def _names() -> str:
    return ", ".join(map(repr, get_args(Name)))
