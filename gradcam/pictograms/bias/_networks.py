"""The networks that were trained on people."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from gradcam._methods.passes import one_of
from gradcam.pictograms.bias._sets import KINDS, Kind

if TYPE_CHECKING:
    from gradcam._engine.network import Network

FEATURES = "relu4_3"
"""The last rectified maps, 128 of 14 x 14 positions."""

ABOUT = "it knows cooks and painters that gradcam.pictograms.bias draws, and no photographs"

_FOLDER = Path(__file__).parent


def model(kind: Kind) -> Network:
    """Return a network that tells cooks from painters.

    The first four stages of a narrow VGG-16, the mean of each of the last maps and one linear
    layer; pictures are resized to 112 x 112. See `_train` for the recipe. It is loaded once.

    Parameters
    ----------
    kind : "biased" or "balanced"
        The set that it was trained on; see :func:`training_people`.

    Raises
    ------
    ValueError
        If there is no such kind.
    """
    one_of("kind", kind, KINDS)
    return _model(kind)


@lru_cache(maxsize=2)
def _model(kind: Kind) -> Network:
    from gradcam._models.loading import load

    network = load(_FOLDER / f"{kind}.safetensors", name=f"people-{kind}")
    network.origin = lambda network: (model, (kind,))
    network.about = ABOUT
    return network
