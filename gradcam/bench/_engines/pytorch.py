"""PyTorch, pytorch-grad-cam and captum, with the modules of torchvision's VGG-16.

As installed, the packages are called as in their manuals. When tuned, only the tensors that a task
needs require gradients, the faster of two memory formats is used, and malloc keeps freed memory
(`gradcam.bench._programs.MALLOC`). The class for captum is computed before the timed run, which
saves captum a forward pass.
"""

from __future__ import annotations

import importlib
import sys
import types
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from gradcam import weights
from gradcam.bench._engines import Batch, Run, Setup

TARGET_LAYER = 29
"""The index of relu5_3 in the features."""

LAST_BIAS = "features.28.bias"
"""The bias of conv5_3: if only this requires a gradient, backward passes end below relu5_3."""


class VGG16(nn.Module):
    """`features` and `classifier`, with torchvision's names of weights."""

    def __init__(self, tensors: dict[str, torch.Tensor], size: int) -> None:
        super().__init__()
        features: list[nn.Module] = []
        with torch.device("meta"):  # without random initial weights
            for convolutions in (2, 2, 3, 3, 3):
                for _ in range(convolutions):
                    out, channels = tensors[f"features.{len(features)}.weight"].shape[:2]
                    features += [nn.Conv2d(channels, out, 3, padding=1), nn.ReLU()]
                features.append(nn.MaxPool2d(2))
            classifier: list[nn.Module] = []
            for number in (0, 3, 6):
                out, units = tensors[f"classifier.{number}.weight"].shape
                classifier += [nn.Linear(units, out), nn.ReLU(), nn.Dropout()]
        self.features = nn.Sequential(*features)
        # For a picture of 224 pixels, pooling to 7 x 7 is the identity.
        self.avgpool = nn.Identity() if size // 32 == 7 else nn.AdaptiveAvgPool2d(7)
        self.classifier = nn.Sequential(*classifier[:-2])
        self.load_state_dict(tensors, assign=True)
        self.eval()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.scores(self.features(x))

    def scores(self, maps: torch.Tensor) -> torch.Tensor:
        """Return the scores for the output of the features."""
        result: torch.Tensor = self.classifier(torch.flatten(self.avgpool(maps), 1))
        return result


class Engine:
    """PyTorch, with a copy of the weights in its memory."""

    def __init__(self, setup: Setup) -> None:
        torch.set_num_threads(setup.threads)
        self.tuned = setup.tuned
        self.setup = setup
        tensors = weights.load(setup.weights).tensors
        self.tensors = {name: torch.from_numpy(np.array(v)) for name, v in tensors.items()}

    def versions(self) -> dict[str, str]:
        return {"torch": torch.__version__}

    def variants(self, task: str, x: Batch) -> dict[str, Run]:
        if task in ("grad_cam_package", "stream"):
            replace_missing_torchvision()
            importlib.import_module("pytorch_grad_cam")
        if task == "guided_package":
            importlib.import_module("captum.attr")
        formats = {"": torch.contiguous_format}
        if self.tuned:
            formats["channels last"] = torch.channels_last
        return {
            name: getattr(self, f"_{task}")(
                self._model(memory_format, x.shape[-1]),
                torch.from_numpy(x).contiguous(memory_format=memory_format),
            )
            for name, memory_format in formats.items()
        }

    def _model(self, memory_format: torch.memory_format, size: int) -> VGG16:
        tensors = {
            name: values.contiguous(memory_format=memory_format) if values.ndim == 4 else values
            for name, values in self.tensors.items()
        }
        model = VGG16(tensors, size)
        model.requires_grad_(not self.tuned)
        return model

    def _forward(self, model: VGG16, x: torch.Tensor) -> Run:
        def run() -> NDArray[np.float32]:
            with torch.inference_mode():
                return _array(model(x)[0])

        return run

    def _grad_cam(self, model: VGG16, x: torch.Tensor) -> Run:
        """Use autograd only; layers below relu5_3 are not recorded."""
        below, above = model.features[: TARGET_LAYER + 1], model.features[TARGET_LAYER + 1 :]
        model.requires_grad_(False)

        def run() -> NDArray[np.float32]:
            with torch.no_grad():
                maps = below(x)
            maps.requires_grad_()
            scores = model.scores(above(maps))
            (gradient,) = torch.autograd.grad(scores.max(1).values.sum(), maps)
            with torch.no_grad():
                cam = (gradient.mean((2, 3), keepdim=True) * maps).sum(1, keepdim=True).relu()
                large = nn.functional.interpolate(cam, x.shape[2:], mode="bilinear")
                low, high = large.amin((1, 2, 3), True), large.amax((1, 2, 3), True)
                return _array(((large - low) / (high - low).clamp(min=1e-30))[0, 0])

        return run

    def _grad_cam_package(self, model: VGG16, x: torch.Tensor) -> Run:
        from pytorch_grad_cam import GradCAM

        if self.tuned:
            model.get_parameter(LAST_BIAS).requires_grad_()
        cam = GradCAM(model, [model.features[TARGET_LAYER]])

        def run() -> NDArray[np.float32]:
            first: NDArray[np.float32] = cam(x, None)[0]
            return first

        return run

    def _stream(self, model: VGG16, x: torch.Tensor) -> Run:
        from gradcam.bench._engines.stream_with_torch import explain_all

        if self.tuned:
            model.get_parameter(LAST_BIAS).requires_grad_()
        layer = model.features[TARGET_LAYER]
        is_last = x.is_contiguous(memory_format=torch.channels_last)
        memory_format = torch.channels_last if is_last else torch.contiguous_format
        pictures = self.setup.pictures
        return lambda: explain_all(model, layer, pictures, x.shape[-1], memory_format)

    def _guided(self, model: VGG16, x: torch.Tensor) -> Run:
        """Use a hook at each ReLU."""
        model.requires_grad_(False)

        def clamp(gradient: torch.Tensor) -> torch.Tensor:
            return gradient.clamp(min=0)

        def guide(module: nn.Module, inputs: Any, output: torch.Tensor) -> None:
            output.register_hook(clamp)  # type: ignore[no-untyped-call, unused-ignore]

        for module in model.modules():
            if isinstance(module, nn.ReLU):
                module.register_forward_hook(guide)

        def run() -> NDArray[np.float32]:
            pixels = x.detach().requires_grad_()
            (gradient,) = torch.autograd.grad(model(pixels).max(1).values.sum(), pixels)
            return _array(gradient[0])

        return run

    def _guided_package(self, model: VGG16, x: torch.Tensor) -> Run:
        from captum.attr import GuidedBackprop

        method = GuidedBackprop(model)
        with torch.inference_mode():
            top = model(x).argmax(1).tolist()

        def run() -> NDArray[np.float32]:
            return _array(method.attribute(x.detach().requires_grad_(), target=top)[0])

        return run


def save(weights_file: str, out: str) -> None:
    """Write the weights of a file in the format of `torch.save`."""
    tensors = weights.load(weights_file).tensors
    torch.save({name: torch.from_numpy(np.array(v)) for name, v in tensors.items()}, out)


def _array(values: torch.Tensor) -> NDArray[np.float32]:
    result: NDArray[np.float32] = values.detach().contiguous().numpy()
    return result


def replace_missing_torchvision() -> None:
    """Define empty modules if torchvision cannot be imported.

    pytorch-grad-cam imports torchvision for helpers that are not used here, and some versions of
    PyTorch have no matching torchvision.
    """
    try:
        importlib.import_module("torchvision")
    except (ImportError, RuntimeError):
        contents = {
            "torchvision": [],
            "torchvision.transforms": ["Compose", "Normalize", "ToTensor"],
            "torchvision.transforms.functional": ["resize"],
        }
        for name, members in contents.items():
            module = types.ModuleType(name)
            for member in members:
                setattr(module, member, None)
            sys.modules[name] = module
