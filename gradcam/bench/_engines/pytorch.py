"""PyTorch, pytorch-grad-cam and captum, with torchvision's modules where it has the network.

As installed, the packages are called as in their manuals. When tuned, only the tensors that a task
needs require gradients, the fastest of two memory formats, with and without folded batch
normalisations, is used, and malloc keeps freed memory (`gradcam.bench._programs.MALLOC`). The class
for captum is computed before the timed run, which saves captum a forward pass.
"""

from __future__ import annotations

import importlib
import itertools
import sys
import types
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from gradcam import weights
from gradcam._models import architecture
from gradcam._models.constructors import CONSTRUCTORS
from gradcam.bench._engines import Batch, Run, Setup, torch_modules

VGG = "vgg16"


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
        self.architecture = architecture.find(setup.network)
        self.target_names: tuple[str, ...] = ("features.29",)
        if setup.network != VGG:
            network = CONSTRUCTORS[setup.network](tensors)
            self.target_names = network.names(network.target_layer)

    def versions(self) -> dict[str, str]:
        versions = {"torch": str(torch.__version__)}
        if self.setup.network != VGG:
            versions["torchvision"] = torch_modules.import_torchvision().__version__
        return versions

    def variants(self, task: str, x: Batch) -> dict[str, Run]:
        if task in ("grad_cam_package", "stream"):
            replace_missing_torchvision()
            importlib.import_module("pytorch_grad_cam")
        if task == "guided_package":
            importlib.import_module("captum.attr")
        formats = {"": torch.contiguous_format}
        folded = [False]
        if self.tuned:
            formats["channels last"] = torch.channels_last
            folded = [False, True] if self.setup.network != VGG else folded
        runs = {}
        for (name, memory_format), fold in itertools.product(formats.items(), folded):
            model = self._model(memory_format, x.shape[-1], task != "forward", fold)
            if model is None:
                continue
            batch = torch.from_numpy(x).contiguous(memory_format=memory_format)
            names = [name] * bool(name) + ["folded"] * fold
            runs[", ".join(names)] = getattr(self, f"_{task}")(model, batch)
        return runs

    def _model(
        self, memory_format: torch.memory_format, size: int, gradients: bool, fold: bool
    ) -> nn.Module | None:
        """Return the network; None if nothing can be folded."""
        tensors = {
            name: values.contiguous(memory_format=memory_format) if values.ndim == 4 else values
            for name, values in self.tensors.items()
        }
        if self.setup.network == VGG:
            model: nn.Module = VGG16(tensors, size)
        else:
            model = torch_modules.build(self.architecture, tensors)
            if gradients:
                torch_modules.without_in_place(model)
            if fold and not torch_modules.fold(model):
                return None
            to: Any = model.to  # whose overloads do not know this
            to(memory_format=memory_format)
        model.requires_grad_(not self.tuned)
        return model

    def _target(self, model: nn.Module) -> nn.Module:
        """Return the module whose output is the network's target layer."""
        modules = dict(model.named_modules())
        names = [name.replace(".", "__") for name in self.target_names]
        candidates = (name for name in (*self.target_names, *names) if name in modules)
        found: nn.Module = modules[next(candidates)]
        return found

    def _let_target_require_gradient(self, model: nn.Module) -> None:
        """Let the last parameter below or in the target layer alone require a gradient.

        Then backward passes end there.
        """
        target = self._target(model)
        inside = set(target.modules())
        last = None
        for module in model.modules():
            parameters = list(module.parameters(recurse=False))
            last = parameters[-1] if parameters else last
            inside.discard(module)
            if not inside:
                break
        assert last is not None
        last.requires_grad_()

    def _forward(self, model: nn.Module, x: torch.Tensor) -> Run:
        def run() -> NDArray[np.float32]:
            with torch.inference_mode():
                return _array(model(x)[0])

        return run

    def _grad_cam(self, model: nn.Module, x: torch.Tensor) -> Run:
        """Use autograd only; layers below the target layer are not recorded."""
        model.requires_grad_(False)
        kept: list[torch.Tensor] = []

        def keep(module: nn.Module, inputs: Any, output: torch.Tensor) -> torch.Tensor:
            kept[:] = [output.detach().requires_grad_()]
            return kept[0]

        self._target(model).register_forward_hook(keep)

        def run() -> NDArray[np.float32]:
            scores = model(x)
            maps = kept[0]
            (gradient,) = torch.autograd.grad(scores.max(1).values.sum(), maps)
            with torch.no_grad():
                cam = (gradient.mean((2, 3), keepdim=True) * maps).sum(1, keepdim=True).relu()
                large = nn.functional.interpolate(cam, x.shape[2:], mode="bilinear")
                low, high = large.amin((1, 2, 3), True), large.amax((1, 2, 3), True)
                return _array(((large - low) / (high - low).clamp(min=1e-30))[0, 0])

        return run

    def _grad_cam_package(self, model: nn.Module, x: torch.Tensor) -> Run:
        from pytorch_grad_cam import GradCAM

        if self.tuned:
            self._let_target_require_gradient(model)
        cam = GradCAM(model, [self._target(model)])

        def run() -> NDArray[np.float32]:
            first: NDArray[np.float32] = cam(x, None)[0]
            return first

        return run

    def _stream(self, model: nn.Module, x: torch.Tensor) -> Run:
        from gradcam.bench._engines.stream_with_torch import explain_all

        if self.tuned:
            self._let_target_require_gradient(model)
        layer = self._target(model)
        is_last = x.is_contiguous(memory_format=torch.channels_last)
        memory_format = torch.channels_last if is_last else torch.contiguous_format
        pictures = self.setup.pictures
        return lambda: explain_all(model, layer, pictures, x.shape[-1], memory_format)

    def _check_relus(self, model: nn.Module, x: torch.Tensor) -> None:
        """Raise ValueError if a rectifier is not a module nn.ReLU: hooks would miss it."""
        calls = 0

        def count(module: nn.Module, inputs: Any, output: Any) -> None:
            nonlocal calls
            calls += 1

        relus = [module for module in model.modules() if type(module) is nn.ReLU]
        hooks = [module.register_forward_hook(count) for module in relus]
        with torch.inference_mode():
            model(x[:1])
        for hook in hooks:
            hook.remove()
        rectifiers = [row for row in self.architecture.rows if row.op in ("relu", "relu6")]
        if calls != len(rectifiers):
            raise ValueError(f"{calls} of {len(rectifiers)} rectifiers are modules nn.ReLU")

    def _guided(self, model: nn.Module, x: torch.Tensor) -> Run:
        """Use a hook at each ReLU."""
        self._check_relus(model, x)
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

    def _guided_package(self, model: nn.Module, x: torch.Tensor) -> Run:
        from captum.attr import GuidedBackprop

        self._check_relus(model, x)
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
