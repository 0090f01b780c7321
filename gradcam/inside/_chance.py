"""Masks of other pictures: how many names units get by chance."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from gradcam.inside._concepts import Concept, Mask

_KEPT = 64
"""Pictures whose masks are kept."""


class EarlierMasks:
    """Gives each picture the masks of another one, chosen at random among those before it.

    The masks of 64 pictures are kept, each picture before having the same probability to be one of
    them. A mask of another size is enlarged or reduced to the picture's. The choice depends on the
    order of the pictures alone.
    """

    def __init__(self) -> None:
        self._rng = np.random.default_rng(0)
        self._kept: list[dict[Concept, tuple[NDArray[np.uint8], tuple[int, int]]]] = []
        self._seen = 0

    def of_another(
        self, masks: Mapping[Concept, Mask], size: tuple[int, int]
    ) -> dict[Concept, Mask]:
        """Return the masks of a picture before, and keep these; none for the first picture.

        Pictures without masks get none, and none of theirs are kept.
        """
        if not masks:
            return {}
        found: dict[Concept, Mask] = {}
        if self._kept:
            chosen = self._kept[self._rng.integers(len(self._kept))]
            found = {each: _resized(*packed, size) for each, packed in chosen.items()}
        packed = {each: (np.packbits(mask), size) for each, mask in masks.items()}
        self._seen += 1
        if len(self._kept) < _KEPT:
            self._kept.append(packed)
        elif (place := int(self._rng.integers(self._seen))) < _KEPT:
            self._kept[place] = packed
        return found


def _resized(bits: NDArray[np.uint8], own: tuple[int, int], size: tuple[int, int]) -> Mask:
    """Return a packed mask at another size; each pixel is the nearest one."""
    mask = np.unpackbits(bits, count=own[0] * own[1]).reshape(own).astype(bool)
    if own == size:
        return mask
    rows, columns = ((np.arange(n) * 2 + 1) * k // (2 * n) for n, k in zip(size, own, strict=True))
    return mask[np.ix_(rows, columns)]
