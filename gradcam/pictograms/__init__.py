"""Scenes with known objects and masks, and a network that was trained on them.

>>> from gradcam import pictograms
>>> scene = pictograms.scene(7, classes=["cat", "dog"])
>>> tape = pictograms.model().forward(scene.picture)
>>> cat = tape.grad_cam("cat")
>>> bool(scene.objects[0].mask.flat[cat.map.argmax()])  # the maximum is on the cat
True

All files ship with the package: nothing is downloaded. The network is a VGG-16 with narrower
layers (see `_train`), the scenes are drawn from a seed (see `_scenes`), and ``python -m
gradcam.pictograms evaluate`` measures how well each explanation locates the objects. The network
for photographs is that of :mod:`gradcam.imagenet`.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from gradcam._files import file_called
from gradcam.pictograms._scenes import CLASSES, Scene, SceneObject, class_index, scene

if TYPE_CHECKING:
    from gradcam._engine.network import Network

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


def example(name: str) -> Path:
    """Return the path of an example picture: ``example("cat_and_dog")``.

    Raises
    ------
    ValueError
        If there is no example of that name; the message lists the names.
    """
    return file_called(name, examples(), "example")


def examples() -> list[Path]:
    """Return the paths of the example pictures, sorted by name.

    ``examples.json`` in the same folder contains the class and the box of every object.
    """
    return sorted((_FOLDER / "examples").glob("*.png"))
