"""The network for those who name none, and the sentence that says so."""

from __future__ import annotations

import sys
from functools import cache
from typing import TYPE_CHECKING

from gradcam import imagenet

if TYPE_CHECKING:
    from gradcam._engine.network import Network


def name() -> str:
    """Return "imagenet" if that network is installed, else "pictograms"."""
    return "imagenet" if imagenet.is_installed() else "pictograms"


def network() -> Network:
    """Return the network of that name.

    Raises
    ------
    gradcam.WeightsError
        If the ImageNet network is installed, but its file of weights is missing or damaged.
    """
    if name() == "imagenet":
        return imagenet.model()
    from gradcam import pictograms

    return pictograms.model()


def sentence(others: str) -> str:
    """Say in one line which network it is and what it knows.

    Parameters
    ----------
    others : str
        How another network is named.
    """
    another = f"{others} names another"
    if name() == "imagenet":
        known = f"the {len(imagenet.labels())} classes of ImageNet"
        return f"Network: imagenet (EfficientNet-Lite0), which knows {known}; {another}"
    from gradcam import pictograms

    known = f"{len(pictograms.CLASSES)} pictograms and no photographs"
    return (
        f"Network: pictograms, which knows {known}; {another}. For photographs: {imagenet.INSTALL}"
    )


@cache
def announce() -> None:
    """Print the sentence on standard error, once in a process."""
    print(sentence("network="), file=sys.stderr)
