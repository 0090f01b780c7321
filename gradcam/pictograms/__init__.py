"""A little world whose whole truth is known: scenes of pictograms and a network trained on them.

>>> from gradcam import pictograms
>>> scene = pictograms.scene(7, classes=["cat", "dog"])
>>> tape = pictograms.model().forward(scene.picture)
>>> cat = tape.grad_cam("cat")
>>> bool(scene.objects[0].mask.flat[cat.map.argmax()])  # the maximum is on the cat
True

Everything ships with the package: nothing is downloaded. The network is a VGG-16 of narrower
layers (`train`), the scenes are drawn from a seed (`scenes`), and ``python -m
gradcam.pictograms evaluate`` measures how well each explanation finds what it was asked for.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from gradcam.pictograms._scenes import CLASSES, Scene, SceneObject, class_index, scene

if TYPE_CHECKING:
    from gradcam import Network

__all__ = [
    "CLASSES",
    "Scene",
    "SceneObject",
    "class_index",
    "example",
    "examples",
    "model",
    "scene",
]

_FOLDER = Path(__file__).parent


@lru_cache(maxsize=1)
def model() -> Network:
    """Return the pictogram network, a VGG-16 of 2.6 million weights.

    Loaded once and shared from then on; a network is immutable.
    """
    import gradcam  # here, because gradcam itself offers this module

    return gradcam.vgg16(weights=_FOLDER / "pictograms.safetensors", name="pictograms")


def example(name: str) -> Path:
    """Return the path of the example picture of that name: ``example("cat_and_dog")``.

    Raises
    ------
    ValueError
        For an unknown name; the message lists them.
    """
    names = {path.stem: path for path in examples()}
    if name not in names:
        raise ValueError(f"no example is called {name!r}; there are {', '.join(names)}")
    return names[name]


def examples() -> list[Path]:
    """Return the paths of the example pictures, by name.

    ``examples.json`` beside them holds the class and the box of every object.
    """
    return sorted((_FOLDER / "examples").glob("*.png"))
