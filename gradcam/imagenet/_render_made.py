"""Draw pictures that the network made: the figure of the README's section about them.

python -m gradcam.imagenet._render_made notebooks/made.jpg
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gradcam._engine.network import Network
from gradcam._synthesis.invert import invert
from gradcam._synthesis.perturb import adversarial, edit
from gradcam._synthesis.results import Perturbation, precise
from gradcam._synthesis.visualise import visualise
from gradcam.imagenet import example, model
from gradcam.imagenet._rows import draw_rows

CLASSES = ("goldfish", "volcano", "pineapple", "space shuttle")

LAYER = "_blocks.10"


def render(network: Network, file: Path) -> None:
    """Draw class models, and a photograph that was changed and inverted: a JPEG file."""
    draw_rows(list(_pictures(network)), file, text=0.55, bottom=0.1, quality=80)


def _pictures(network: Network) -> Iterator[tuple[NDArray[np.uint8], str]]:
    """Yield the pictures and the words below them."""
    for made in visualise(network, CLASSES, progress=True):
        yield made.picture, f"{made.words}:\nscore {made.score:.0f}"
    tape = network.forward(example("cat"))
    changed = adversarial(tape, "space shuttle")
    _, label, probability = tape.top(1)[0]
    yield (
        _seen(changed, changed.original),
        f"photograph:\n{label.replace('_', ' ')} {precise(probability)}",
    )
    for words, each in (("adversarial", changed), ("edited", edit(tape, "goldfish"))):
        chance = precise(each.probability or 0.0)
        yield _seen(each, each.picture), f"{words}, bound {each.bound:g}:\n{each.words} {chance}"
    inverted = invert(tape, LAYER, progress=True)
    yield inverted.picture, f"inverted from\n{inverted.layer}"


def _seen(made: Perturbation, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the part of a picture that the network saw."""
    top, left, bottom, right = made.region
    return pixels[top:bottom, left:right]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path)
    render(model(), parser.parse_args().file)
