"""The values that are optimised: pictures of 0 to 1 in RGB, whatever input the network takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gradcam._pictures.image import normalise, render

if TYPE_CHECKING:
    from gradcam._engine.graph import Graph
    from gradcam._pictures.presets import Preset

_F32 = NDArray[np.float32]


@dataclass(frozen=True)
class Canvas:
    """How values become a network's input.

    With a preset, values are pixels: 0 is black, 1 is white, in the order R, G, B. Without one, or
    if the input does not have three channels, values are the input itself.

    Attributes
    ----------
    preset : Preset or None
    channels : int
    """

    preset: Preset | None
    channels: int

    @classmethod
    def of(cls, graph: Graph) -> Canvas:
        """Return the canvas of a network."""
        channels = graph.core.channels
        return cls(graph.preset if channels == 3 else None, channels)

    @property
    def mean(self) -> _F32:
        """(C, 1, 1): the values whose input is 0."""
        if self.preset is None:
            return np.zeros((self.channels, 1, 1), np.float32)
        mean, _ = self._affine()
        found: _F32 = mean * np.float32(self.preset.scale / 255)
        return found

    def to_input(self, values: _F32) -> _F32:
        """Return the network's input of (N, C, h, w) values."""
        if self.preset is None:
            return np.array(values, np.float32, order="C")
        mean, std = self._affine()
        found = (values * np.float32(255 / self.preset.scale) - mean) / std
        return np.ascontiguousarray(self._reordered(found), np.float32)

    def gradient(self, by_input: _F32) -> _F32:
        """Return the gradient by the values, given the one by the input."""
        if self.preset is None:
            return by_input
        _, std = self._affine()
        found: _F32 = self._reordered(by_input) * (np.float32(255 / self.preset.scale) / std)
        return found

    def from_pixels(self, pixels: NDArray[np.uint8]) -> _F32:
        """Return the values, (C, h, w), of an (h, w, 3) picture; only with a preset."""
        values: _F32 = np.ascontiguousarray(pixels.transpose(2, 0, 1), np.float32)
        values /= np.float32(255)
        return values

    def pixels(self, values: _F32) -> NDArray[np.uint8]:
        """Return (C, h, w) values as an (h, w, 3) picture of uint8, RGB."""
        if self.preset is None:
            return render(values, None)
        levels = np.rint(values * np.float32(255)).clip(0, 255)
        return np.ascontiguousarray(levels.transpose(1, 2, 0), np.uint8)

    def input_of(self, values: _F32) -> _F32:
        """Return the input, (C, h, w), that the picture of these values has after rounding."""
        if self.preset is None:
            return values
        return normalise(self.pixels(values), self.preset)

    def _affine(self) -> tuple[_F32, _F32]:
        """Return the preset's mean and standard deviation, (3, 1, 1), in the order R, G, B."""
        assert self.preset is not None
        mean, std = (
            np.array(each, np.float32)[:, None, None]
            for each in (self.preset.mean, self.preset.std)
        )
        return self._reordered(mean, 0), self._reordered(std, 0)

    def _reordered(self, values: _F32, axis: int = 1) -> _F32:
        """Return values in RGB from the network's order of channels, or the reverse."""
        assert self.preset is not None
        return values if self.preset.channel_order == "RGB" else np.flip(values, axis)
