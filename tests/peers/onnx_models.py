"""Networks of PyTorch's libraries, written as ONNX files by PyTorch's two exporters."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import families
import numpy as np
import onnxruntime
import torch
import torchvision
from decided import Differences, compare
from torch import nn
from torchvision.models import vgg

import gradcam

CLASSES = 10


def narrow_vgg(letters: str, norm: bool = False) -> nn.Module:
    """A VGG of torchvision with an eighth of the channels."""
    letters_ = [each if each == "M" else each // 8 for each in vgg.cfgs[letters]]
    model = vgg.VGG(vgg.make_layers(letters_, norm), CLASSES, init_weights=False)
    model.classifier = nn.Sequential(
        *(nn.Linear(64 * 49, 24), nn.ReLU(True), nn.Dropout(), nn.Linear(24, 16)),
        *(nn.ReLU(True), nn.Dropout(), nn.Linear(16, CLASSES)),
    )
    return model


def narrow_alexnet() -> nn.Module:
    """AlexNet with narrow fully connected layers."""
    model = torchvision.models.alexnet(num_classes=CLASSES)
    model.classifier[1] = nn.Linear(256 * 36, 24)
    model.classifier[4] = nn.Linear(24, 16)
    model.classifier[6] = nn.Linear(16, CLASSES)
    return model


def of_torchvision(name: str, **options: Any) -> Callable[[], nn.Module]:
    return lambda: torchvision.models.get_model(name, weights=None, num_classes=CLASSES, **options)


PLAIN = (
    *("resnet18", "resnet50", "resnext50_32x4d", "densenet121", "squeezenet1_0", "squeezenet1_1"),
    *("mobilenet_v2", "mobilenet_v3_small", "mobilenet_v3_large", "shufflenet_v2_x0_5"),
    *("mnasnet0_5", "efficientnet_b0", "efficientnet_v2_s", "regnet_x_400mf", "regnet_y_400mf"),
    "convnext_tiny",
)

TORCHVISION: dict[str, tuple[Callable[[], nn.Module], tuple[int, int]]] = {
    "alexnet": (narrow_alexnet, (224, 224)),
    "vgg11": (lambda: narrow_vgg("A"), (224, 224)),
    "vgg16_bn": (lambda: narrow_vgg("D", True), (224, 224)),
    **{name: (of_torchvision(name), (64, 96)) for name in PLAIN},
    "googlenet": (of_torchvision("googlenet", aux_logits=False, init_weights=False), (64, 96)),
    "googlenet, transform_input": (
        of_torchvision("googlenet", aux_logits=False, init_weights=False, transform_input=True),
        (64, 96),
    ),
    "inception_v3": (
        of_torchvision("inception_v3", aux_logits=True, init_weights=False),
        (107, 123),
    ),
    "vit_b_16": (of_torchvision("vit_b_16", image_size=64), (64, 64)),
    "swin_t": (of_torchvision("swin_t"), (64, 64)),
    "maxvit_t": (of_torchvision("maxvit_t", input_size=(224, 224)), (224, 224)),
}
"""A function that makes the model, and a size of its input."""


def export(
    model: nn.Module,
    size: tuple[int, int],
    path: Path,
    *,
    dynamo: bool = False,
    opset: int | None = None,
    dynamic: bool = False,
    **options: Any,
) -> None:
    """Write a model; `dynamic`: batch, height and width are left open."""
    if dynamic:
        axes = {0: "batch", 2: "height", 3: "width"}
        if dynamo:
            options["dynamic_shapes"] = ({i: torch.export.Dim.DYNAMIC for i in axes},)
        else:
            options |= {"input_names": ["x"], "dynamic_axes": {"x": axes, "y": {0: "batch"}}}
            options["output_names"] = ["y"]
    batch = 2 if dynamic else 1
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model,
            (torch.zeros(batch, 3, *size),),
            path,
            dynamo=dynamo,
            opset_version=opset,
            verbose=False,
            **options,
        )


def by_runtime(path: Path, x: np.ndarray) -> np.ndarray:
    """Return what ONNX Runtime computes, one picture at a time.

    Files of Keras list further inputs that no node reads.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])
    picture, *others = session.get_inputs()
    unused = {each.name: np.zeros(each.shape, np.float32) for each in others}
    runs = [session.run(None, {picture.name: each[None], **unused})[0] for each in x]
    return np.concatenate(runs)


def differences(path: Path, model: nn.Module, size: tuple[int, int]) -> Differences:
    """Load an exported file; compare it with ONNX Runtime and PyTorch for two random pictures."""
    net = gradcam.load(path, size=size)
    x = np.random.default_rng(5).standard_normal((2, 3, *size)).astype(np.float32)
    scores = by_runtime(path, x)
    try:
        return compare(net, model.double(), x, scores)
    finally:
        model.float()


def made(make: Callable[[], nn.Module]) -> nn.Module:
    """Return a model with random weights, parameters and statistics."""
    return families.randomised(make)
