"""What the attribute networks tell: kinds of objects, with their colours and sizes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gradcam.pictograms._colouring import COLOURS
from gradcam.pictograms._described import NOUNS

if TYPE_CHECKING:
    from gradcam.pictograms._described import Arrangement

ATTRIBUTES: tuple[str, ...] = (
    *(noun.word for noun in NOUNS),
    *COLOURS,
    *(f"{colour} {noun.word}" for noun in NOUNS for colour in COLOURS),
    *(f"{size} {noun.word}" for noun in NOUNS for size in ("small", "large")),
)
"""In the order of the network's scores; each is present or not, independently of the others."""

_INDEX = {attribute: index for index, attribute in enumerate(ATTRIBUTES)}


def attributes(scene: Arrangement) -> NDArray[np.float32]:
    """Return 1 for each attribute that is in a scene and 0 for all others, (150,)."""
    present = np.zeros(len(ATTRIBUTES), np.float32)
    for group in scene.groups:
        word = group.noun.word
        names = [word, f"{group.size} {word}", *group.colours]
        names += [f"{colour} {word}" for colour in group.colours]
        present[[_INDEX[name] for name in names]] = 1
    return present
