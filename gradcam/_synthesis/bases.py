"""The coordinates in which a picture is changed: its pixels, or its frequencies.

Both are linear: ``values = T z``. A step d of z changes the values by T d, and the gradient by z is
the transpose of T times the one by the values. So a basis changes which pictures are near each
other, not which pictures there are.
"""

from __future__ import annotations

from functools import cached_property
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

_F32 = NDArray[np.float32]

BasisName = Literal["fourier", "pixels"]

COLOURS = np.array([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]], np.float32)
"""A square root of the covariance of R, G and B in ImageNet's photographs (Olah et al. 2017).

The first column is grey; the others are colours, which vary less.
"""


class Basis(Protocol):
    """A linear map T from coordinates to values, both (N, C, h, w)."""

    def to_values(self, coordinates: _F32) -> _F32:
        """Return T times the coordinates."""

    def gradient(self, by_values: _F32) -> _F32:
        """Return the transpose of T times a gradient by the values."""


class Pixels:
    """Each value is a coordinate."""

    def to_values(self, coordinates: _F32) -> _F32:
        """Return the coordinates."""
        return coordinates

    def gradient(self, by_values: _F32) -> _F32:
        """Return the gradient."""
        return by_values


class Fourier:
    """Frequencies scaled as in photographs, and colours without correlation (Olah et al. 2017).

    Coordinates of the same size give an amplitude of 1 / f at the frequency f, as photographs have
    it. The largest changes then are smooth ones. Coordinates are real pictures, whose spectrum is
    multiplied; T is symmetric in the positions.

    Parameters
    ----------
    size : (height, width)
    colours : bool
        Whether the three channels are mixed by :data:`COLOURS`.
    """

    def __init__(self, size: tuple[int, int], colours: bool) -> None:
        self.size = size
        self.colours = COLOURS / np.linalg.norm(COLOURS, axis=0).max() if colours else None

    @cached_property
    def scale(self) -> _F32:
        """(h, w // 2 + 1): what the spectrum is multiplied by; its root mean square is 1."""
        height, width = self.size
        rows, columns = np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)
        scale = 1 / np.maximum(np.hypot(rows, columns), 1 / max(self.size))
        scale /= np.sqrt((scale**2).mean())
        found: _F32 = scale[:, : width // 2 + 1].astype(np.float32)
        return found

    def to_values(self, coordinates: _F32) -> _F32:
        """Return T times the coordinates."""
        return self._mixed(self._filtered(coordinates), self.colours)

    def gradient(self, by_values: _F32) -> _F32:
        """Return the transpose of T times a gradient by the values."""
        colours = None if self.colours is None else self.colours.T
        return self._filtered(self._mixed(by_values, colours))

    def _filtered(self, values: _F32) -> _F32:
        spectrum = np.fft.rfft2(values) * self.scale
        found: _F32 = np.fft.irfft2(spectrum, s=self.size).astype(np.float32)
        return found

    @staticmethod
    def _mixed(values: _F32, colours: _F32 | None) -> _F32:
        if colours is None:
            return values
        found: _F32 = np.einsum("ij,njhw->nihw", colours, values, optimize=False)
        return found


def make(name: BasisName, size: tuple[int, int], colours: bool) -> Basis:
    """Return the basis of that name."""
    return Fourier(size, colours) if name == "fourier" else Pixels()
