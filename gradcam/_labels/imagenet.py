"""The 1000 classes of ImageNet (ILSVRC 2012), in the usual order of published weights."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from gradcam._labels.classes import Labels

_TABLE = Path(__file__).with_name("imagenet_classes.tsv")


BACKGROUND = "background"
"""The first of 1001 classes, of networks of TensorFlow-Slim."""


@cache
def labels() -> Labels:
    """Return the synset and label of each class, from a table in the package.

    Examples
    --------
    >>> labels().find("tiger cat")
    Target(index=282, synset='n02123159', label='tiger_cat')
    """
    return Labels.read(_TABLE)


@cache
def labels_after_background() -> Labels:
    """Return 1001 classes: "background", then ImageNet's, as networks of TensorFlow-Slim have."""
    return Labels(
        [BACKGROUND, *(target.label for target in labels())],
        ["", *(target.synset for target in labels())],
    )
