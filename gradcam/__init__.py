"""See why a convolutional network decided what it did, on an ordinary CPU.

>>> import gradcam
>>> explanation = gradcam.explain("cat.jpg")  # the model that ships with the package
>>> explanation.save("cat.png")

or, with a network of your choice,

>>> network = gradcam.load("vgg16.pth")  # any VGG, of PyTorch, Keras, Caffe, ...
>>> tape = network.forward("cat.jpg")  # one forward pass
>>> tape.top(3)
>>> tape.grad_cam("tiger cat").map  # (H, W), 0 to 1, on the picture
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

try:
    from gradcam._core import __version__, get_num_threads, release_memory, set_num_threads
except ModuleNotFoundError as error:  # a checkout that shadows the installed package
    raise ImportError(
        f"the C core of gradcam is not built in {__path__[0]}: run `pip install -e .` in that "
        f"checkout, or start Python in another folder to use an installed gradcam"
    ) from error

from gradcam import imagenet, weights
from gradcam._config import show_config
from gradcam._engine.layers import Layer
from gradcam._engine.network import Network
from gradcam._engine.tape import Tape
from gradcam._labels.classes import Labels, Target
from gradcam._methods import METHODS
from gradcam._models.constructors import (
    vgg11,
    vgg11_bn,
    vgg13,
    vgg13_bn,
    vgg16,
    vgg16_bn,
    vgg19,
    vgg19_bn,
)
from gradcam._models.loading import load
from gradcam._pictures.image import PictureError
from gradcam._pictures.presets import PRESETS, Preset
from gradcam._results.explanation import Explanation, FlatMapWarning
from gradcam._weights.tensors import WeightsError

if TYPE_CHECKING:
    from gradcam import pictograms, plot
    from gradcam.plot import compare

__all__ = [
    "METHODS",
    "PRESETS",
    "Explanation",
    "FlatMapWarning",
    "Labels",
    "Layer",
    "Network",
    "PictureError",
    "Preset",
    "Tape",
    "Target",
    "WeightsError",
    "__version__",
    "compare",
    "explain",
    "get_num_threads",
    "imagenet",
    "load",
    "pictograms",
    "plot",
    "release_memory",
    "set_num_threads",
    "show_config",
    "vgg11",
    "vgg11_bn",
    "vgg13",
    "vgg13_bn",
    "vgg16",
    "vgg16_bn",
    "vgg19",
    "vgg19_bn",
    "weights",
]

_LAZY_MODULES = ("pictograms", "plot")


def explain(
    picture: Any, target: Any = None, method: str = "grad_cam", *, network: Network | None = None
) -> Any:
    """Explain what a network sees in a picture, in one call.

    Parameters
    ----------
    picture
        As :meth:`Network.forward` takes it: a path, a Pillow image, an array.
    target : None, int, str, or a list of these
        The class, by index, label or synset; None: the top one.
    method : str
        One of :data:`METHODS`.
    network : Network, optional
        By default the trained model that ships with the package, ``gradcam.pictograms.model()``.

    Returns
    -------
    Explanation, or a list of them where `picture` or `target` is a list
    """
    if network is None:
        from gradcam import pictograms

        network = pictograms.model()
    return network.forward(picture).explain(method, target)


def __getattr__(name: str) -> Any:
    """Import what needs matplotlib or the shipped model only when it is asked for."""
    if name in _LAZY_MODULES:
        return importlib.import_module(f"gradcam.{name}")
    if name == "compare":
        return importlib.import_module("gradcam.plot").compare
    raise AttributeError(f"module 'gradcam' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
