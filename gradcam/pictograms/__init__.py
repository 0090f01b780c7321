"""Scenes with known objects and masks, and a network that was trained on them.

>>> from gradcam import pictograms
>>> scene = pictograms.scene(7, classes=["cat", "dog"])
>>> tape = pictograms.model().forward(scene.picture)
>>> cat = tape.grad_cam("cat")
>>> bool(scene.objects[0].mask.flat[cat.map.argmax()])  # the maximum is on the cat
True

All files ship with the package: nothing is downloaded. The network is a VGG-16 with narrower
layers (see `_train`), the scenes are drawn from a seed (see `_scenes`), and ``python -m
gradcam.pictograms evaluate`` measures all methods. The network for photographs is that of
:mod:`gradcam.imagenet`.

A scene can be drawn again without an object, and so the effect of each object is known exactly:

>>> found = pictograms.effects(scene)
>>> bool(found.shapley[0, cat.target.index] > found.shapley[1, cat.target.index])
True
>>> pictograms.agreement(cat, found).order  # all the evidence lies where it belongs
1.0
"""

from __future__ import annotations

import json
from pathlib import Path

from gradcam._files import file_called
from gradcam.pictograms import bias
from gradcam.pictograms._attribute_networks import attribute_model
from gradcam.pictograms._attributes import ATTRIBUTES
from gradcam.pictograms._captions import phrase
from gradcam.pictograms._concepts import colours, concepts
from gradcam.pictograms._conflict import Conflict, conflict
from gradcam.pictograms._described import Described, Group, described
from gradcam.pictograms._effects import Agreement, Effects, agreement, effects
from gradcam.pictograms._naming import Naming, dissect, naming
from gradcam.pictograms._networks import gap_model, model, weak_model
from gradcam.pictograms._questions import Question, questions
from gradcam.pictograms._scenes import CLASSES, Scene, SceneObject, class_index, scene

__all__ = [
    "ATTRIBUTES",
    "CLASSES",
    "Agreement",
    "Conflict",
    "Described",
    "Effects",
    "Group",
    "Naming",
    "Question",
    "Scene",
    "SceneObject",
    "agreement",
    "attribute_model",
    "bias",
    "class_index",
    "colours",
    "concepts",
    "conflict",
    "described",
    "dissect",
    "effects",
    "example",
    "example_scene",
    "examples",
    "gap_model",
    "model",
    "naming",
    "phrase",
    "questions",
    "scene",
    "weak_model",
]

_FOLDER = Path(__file__).parent


def example(name: str) -> Path:
    """Return the path of an example picture: ``example("cat_and_dog")``.

    Raises
    ------
    ValueError
        If there is no example of that name; the message lists the names.
    """
    return file_called(name, examples(), "example")


def example_scene(name: str) -> Scene:
    """Return the scene of an example picture, which knows its objects.

    Raises
    ------
    ValueError
        If there is no example of that name; the message lists the names.
    """
    path = example(name)
    about = json.loads(path.with_name("examples.json").read_text(encoding="utf-8"))[path.name]
    classes = [each["index"] for each in about["objects"]]
    return scene(about["seed"], classes=classes, size=tuple(about["size"]))


def examples() -> list[Path]:
    """Return the paths of the example pictures, sorted by name.

    ``examples.json`` in the same folder contains the class and the box of every object.
    """
    return sorted((_FOLDER / "examples").glob("*.png"))
