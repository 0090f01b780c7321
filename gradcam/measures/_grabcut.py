"""The box of an object by GrabCut, begun from the highest and the lowest values of a map."""

from __future__ import annotations

import importlib
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from gradcam._methods.passes import check_seed, integer, real
from gradcam._pictures.segments import Box, largest_segment
from gradcam._results.explanation import Explanation
from gradcam.measures._given import MapLike, map_on_picture, seen_of

_BACKGROUND, _FOREGROUND, _PROBABLY_BACKGROUND, _PROBABLY_FOREGROUND = range(4)
"""What a pixel is, as OpenCV numbers it."""

_MOST = 2**31 - 1
"""The largest integer that OpenCV takes."""

_MODEL = (1, 65)
"""The shape of OpenCV's models of colours: five Gaussians."""


def grabcut_box(
    map: MapLike,
    picture: NDArray[np.uint8] | None = None,
    *,
    foreground: float = 0.95,
    background: float = 0.30,
    iterations: int = 0,
    seed: int = 0,
) -> Box | None:
    """Return the box around the object that a map and the colours of the picture show.

    Simonyan et al. (2014), section 3.2, for maps of pixels like saliency, which are high on parts
    of the object alone. Pixels with high values are foreground, pixels with low values background.
    From their colours OpenCV estimates two Gaussian mixtures, and a graph cut decides about all
    other pixels. The box is that of the largest 4-connected segment. Of a picture that was cropped,
    only the part that the network saw counts; the rest is background.

    Parameters
    ----------
    map : MapLike
    picture : (H, W, 3) array of uint8, optional
        RGB, of the map's size. By default the explanation's.
    foreground, background : float
        Quantiles of the map, 0 to 1: values above the one are foreground, values below the other
        background. Values equal to a quantile count if none is beyond it.
    iterations : int
        How often the colours are estimated again from the result: the iterations of GrabCut
        (Rother et al., 2004). 0: one graph cut, as in the paper.
    seed : int
        Of OpenCV's random numbers, which are set to it; 0 to 2**31 - 1.

    Returns
    -------
    (x0, y0, x1, y1) or None
        In pixels, x1 and y1 exclusive. None for a flat map.

    Raises
    ------
    ImportError
        If OpenCV is not installed.
    ValueError
        If the sizes differ, or a number is outside its range.
    TypeError
        If the map is an array and there is no picture, or an option is not a number.
    """
    _check(foreground, background, iterations, seed)
    values, pixels = _map_and_picture(map, picture)
    cv2 = _opencv()
    rows, columns = _seen_slices(map)
    values, pixels = values[rows, columns], np.ascontiguousarray(pixels[rows, columns])
    if not values.min() < values.max():
        return None
    labels = _sure(values, foreground, background)
    cv2.setRNGSeed(int(seed))
    models = _colour_models(cv2, pixels, labels)
    cv2.grabCut(pixels, labels, None, *models, 1, cv2.GC_EVAL_FREEZE_MODEL)
    if iterations:
        cv2.grabCut(pixels, labels, None, *models, int(iterations), cv2.GC_EVAL)
    box = largest_segment((labels == _FOREGROUND) | (labels == _PROBABLY_FOREGROUND))
    return None if box is None else _moved(box, columns.start or 0, rows.start or 0)


def _seen_slices(map: MapLike) -> tuple[slice, slice]:
    """Return the rows and the columns of the picture that the network saw."""
    seen = seen_of(map)
    if seen is None:
        return slice(None), slice(None)
    rows, columns = np.flatnonzero(seen.any(1)), np.flatnonzero(seen.any(0))
    return (
        slice(int(rows[0]), int(rows[-1]) + 1),
        slice(int(columns[0]), int(columns[-1]) + 1),
    )


def _moved(box: Box, x: int, y: int) -> Box:
    """Return a box, moved to the right and down."""
    x0, y0, x1, y1 = box
    return x0 + x, y0 + y, x1 + x, y1 + y


def _sure(values: NDArray[np.float32], foreground: float, background: float) -> NDArray[np.uint8]:
    """Return what each pixel is, the ones between the quantiles probably background."""
    low, high = np.quantile(values, (background, foreground))
    labels = np.full(values.shape, _PROBABLY_BACKGROUND, np.uint8)
    below, above = values < low, values > high
    labels[below if below.any() else values <= low] = _BACKGROUND
    labels[above if above.any() else values >= high] = _FOREGROUND
    return labels


def _colour_models(
    cv2: ModuleType, pixels: NDArray[np.uint8], labels: NDArray[np.uint8]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the mixtures of background and foreground, estimated from the sure pixels alone.

    OpenCV counts all pixels of the picture that it is given: these are the sure ones, in a row.
    """
    sure = labels != _PROBABLY_BACKGROUND
    models = np.zeros(_MODEL), np.zeros(_MODEL)
    row, known = pixels[sure][None], labels[sure][None]
    cv2.grabCut(row, known, None, *models, 0, cv2.GC_INIT_WITH_MASK)
    return models


def _map_and_picture(
    map: MapLike, picture: NDArray[np.uint8] | None
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Return the map and the picture, having checked them."""
    if picture is None:
        if not isinstance(map, Explanation):
            raise TypeError("picture: give the picture of a map that is an array")
        picture = map.picture
    values, pixels = map_on_picture(map), np.asarray(picture)
    if pixels.dtype != np.uint8 or pixels.shape != (*values.shape, 3):
        raise ValueError(
            f"picture: expected RGB of uint8 and the map's size, {(*values.shape, 3)}, got "
            f"{pixels.dtype} {pixels.shape}"
        )
    return values, pixels


def _check(foreground: float, background: float, iterations: int, seed: int) -> None:
    if not 0 <= real("background", background) < real("foreground", foreground) <= 1:
        raise ValueError(
            f"foreground, background: expected 0 <= background < foreground <= 1, got "
            f"{foreground!r} and {background!r}"
        )
    if not 0 <= integer("iterations", iterations) <= _MOST:
        raise ValueError(f"iterations: expected 0 or more, at most {_MOST}, got {iterations!r}")
    check_seed(seed)
    if seed > _MOST:
        raise ValueError(f"seed: expected 0 to {_MOST}, got {seed!r}")


def _opencv() -> ModuleType:
    try:
        return importlib.import_module("cv2")
    except ImportError as error:
        raise ImportError(
            'GrabCut needs OpenCV: pip install "gradcam[localization]", or opencv-python-headless'
        ) from error
