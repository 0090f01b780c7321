"""The networks that were trained on the scenes."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from gradcam.pictograms._scenes import CLASSES

if TYPE_CHECKING:
    from gradcam._engine.network import Network

_FOLDER = Path(__file__).parent


@lru_cache(maxsize=1)
def model() -> Network:
    """Return the pictogram network, a VGG-16 with 2.6 million weights.

    It is loaded once; later calls return the same network, which is immutable.
    """
    from gradcam._models.constructors import vgg16  # scenes do not need it

    network = vgg16(weights=_FOLDER / "pictograms.safetensors", name="pictograms")
    network.origin = lambda network: (model, ())
    network.about = (
        f"the built-in model knows {len(CLASSES)} pictograms and was not trained on photographs"
    )
    return network
