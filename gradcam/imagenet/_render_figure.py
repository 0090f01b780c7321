"""Draw photographs beside their Grad-CAM maps: the first picture of the README.

python -m gradcam.imagenet._render_figure notebooks/photographs.png
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gradcam._engine.network import Network
from gradcam._results.explanation import Explanation
from gradcam.imagenet import example, model
from gradcam.imagenet._rows import draw_rows

SHOWN = (
    ("astronaut", ("football helmet", "space shuttle", "flagpole")),
    ("cat", ("tiger cat",)),
    ("photographer", ("tripod",)),
)
"""The photographs and their classes, from left to right and from top to bottom."""


def captions(network: Network) -> list[str]:
    """Return the text below each picture."""
    return [text for _, text in _pictures(network)]


def render(network: Network, file: Path) -> None:
    """Draw the part of each photograph that the network sees, and maps over it: a JPEG file."""
    draw_rows(list(_pictures(network)), file, text=0.35, bottom=0.08, quality=88)


def _pictures(network: Network) -> Iterator[tuple[NDArray[np.uint8], str]]:
    """Yield the pictures and their captions."""
    for name, classes in SHOWN:
        found = network.forward(example(name)).explain("grad_cam", list(classes))
        yield _seen(found[0], found[0].picture), "photograph"
        for each in found:
            yield _seen(each, each.overlay()), f"{each.words}: {each.certainty}"


def _seen(explanation: Explanation, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the part of a picture that the network saw."""
    top, left, bottom, right = map(round, explanation.region or (0, 0, *pixels.shape[:2]))
    return pixels[top:bottom, left:right]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path)
    render(model(), parser.parse_args().file)
