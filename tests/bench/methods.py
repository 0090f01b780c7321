"""Times of methods beside full passes and beside the packages that compute the same.

    python tests/bench/methods.py [ROW ...] [--rounds 5] [--against PROGRAM ...]

Without names, all rows are listed. Everything runs in this process, with the malloc settings that
PyTorch's users tune. All ways of a row run once or twice, which warms them up; of a peer's ways the
fastest remains. Then all that remain run once in each round, in turn. The output is the median time
of one unit of work, and gradcam's time divided by the peer's: median, minimum and maximum of the
rounds; then the same of the processor's time, which other programs on the machine change less.

The pass that gradcam records belongs to the time where the peer runs the network on the picture,
too: it does not for samples and paths, of which the time of one gradient is measured.

A row is a function with the decorator `row`. It returns the ways to compute its method, by the name
of the program: ``gradcam`` first.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import runpy
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import numpy as np

import gradcam
from gradcam._engine.crop_pass import PatchPasses
from gradcam._engine.receptive import Interval
from gradcam.bench._programs import MALLOC

OURS = "gradcam"


@dataclass(frozen=True)
class Way:
    """One way to compute a method.

    Attributes
    ----------
    run : callable
    units : float
        How many units of work it does. Ways that would take too long do a part of the work.
    """

    run: Callable[[], object]
    units: float = 1


Ways = Mapping[str, Mapping[str, Way]]
"""By program, then by setting."""

ROWS: dict[str, Callable[[], Ways]] = {}


def row(name: str) -> Callable[[Callable[[], Ways]], Callable[[], Ways]]:
    """Add a row of the table: a function that returns the ways to compute a method."""

    def add(function: Callable[[], Ways]) -> Callable[[], Ways]:
        ROWS[name] = function
        return function

    return add


class Seconds(NamedTuple):
    """The time of one unit of work, by the clock and of the processor."""

    clock: float
    processor: float


def seconds(way: Way) -> Seconds:
    """Return the time of one unit of work."""
    start, used = time.perf_counter(), time.process_time()
    way.run()
    found = time.perf_counter() - start, time.process_time() - used
    return Seconds(*(each / way.units for each in found))


def compared(ours: Sequence[float], theirs: Sequence[float]) -> str:
    """Return the median of a peer's times, and the ratios of ours to them."""
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    text = f"{1e3 * statistics.median(theirs):9.2f} ms"
    if ours == theirs:
        return f"{text}{'':24}"
    return f"{text}   ratio {statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"


def measure(name: str, rounds: int, programs: Sequence[str] = ()) -> None:
    """Measure a row and print it; by default with all programs."""
    chosen: dict[str, tuple[str, Way]] = {}
    every = ROWS[name]()
    unknown = [program for program in programs if program not in every]
    if unknown:
        known = ", ".join(map(repr, every))
        raise SystemExit(f"{name}: no program {', '.join(map(repr, unknown))}; it has {known}")
    for program, ways in every.items():
        if programs and program not in programs:
            continue
        first = {setting: seconds(way) for setting, way in ways.items()}
        if len(ways) > 1:  # the first run may be slower
            first = {setting: seconds(way) for setting, way in ways.items()}
        best = min(first, key=first.__getitem__)
        chosen[program] = best, ways[best]
    times: dict[str, list[Seconds]] = {program: [] for program in chosen}
    for number in range(rounds):
        names = list(chosen)
        start = number % len(names)
        for program in names[start:] + names[:start]:
            times[program].append(seconds(chosen[program][1]))
    for program, (setting, _) in chosen.items():
        text = f"{name:28} {f'{program} {setting}'.strip():44}"
        text += "   processor".join(
            compared(*([each[part] for each in times[name]] for name in (OURS, program)))
            for part in range(2)
        )
        print(text, flush=True)


# --- networks, ours and PyTorch's with the same weights ---


def pictures(count: int, size: int = 224) -> np.ndarray:
    """Return preprocessed input, (count, 3, size, size)."""
    return np.random.default_rng(1).standard_normal((count, 3, size, size), np.float32)


def both(name: str) -> tuple[gradcam.Network, dict[str, Any]]:
    """Return a network with random weights, and PyTorch's by their memory formats."""
    import torch

    from gradcam._models import architecture
    from gradcam._models.constructors import CONSTRUCTORS
    from gradcam.bench._engines import pytorch, torch_modules

    torch.set_num_threads(gradcam._core.get_num_threads())
    tensors = CONSTRUCTORS[name].architecture.random_tensors()
    theirs = {key: torch.from_numpy(values) for key, values in tensors.items()}
    models = {}
    formats = {"": torch.contiguous_format, "channels last": torch.channels_last}
    for setting, memory_format in formats.items():
        if name == pytorch.VGG:
            model = pytorch.VGG16(theirs, 224)
        else:
            model = torch_modules.build(architecture.find(name), theirs)
            torch_modules.without_in_place(model)
        models[setting] = model.to(memory_format=memory_format).requires_grad_(False)
    return CONSTRUCTORS[name](tensors), models


def torch_input(x: np.ndarray, setting: str) -> Any:
    """Return input for the model of that memory format."""
    import torch

    last = torch.channels_last if setting == "channels last" else torch.contiguous_format
    return torch.from_numpy(x).contiguous(memory_format=last)


# --- class activation maps by scores ---

CHANNELS = 32
"""Of the 512 channels of VGG-16's last map: how many are masked, or ablated by the peer."""


def cam_ways(name: str, parameters: Sequence[int], make: Callable[..., Any], ours: Way) -> Ways:
    """Return ways to compute the weights of channels; pytorch-grad-cam's of CHANNELS of them."""
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    x = pictures(1)
    theirs = {}
    for setting, model in both("vgg16")[1].items():
        layer, given = model.features[29], torch_input(x, setting)
        for size in parameters:
            method, targets = make(model, [layer], size), [ClassifierOutputTarget(1)]

            def run(method: Any = method, given: Any = given, targets: Any = targets) -> object:
                method.activations_and_grads(given)
                maps = method.activations_and_grads.activations[0].numpy()[:, :CHANNELS]
                return method.get_cam_weights(given, method.target_layers[0], targets, maps, None)

            theirs[f"{setting}, batch {size}".removeprefix(", ")] = Way(run, CHANNELS)
    return {OURS: {"": ours}, f"pytorch-grad-cam {name}": theirs}


def prepare_pytorch_grad_cam() -> None:
    """Let pytorch-grad-cam be imported without torchvision, and show no progress bars."""
    os.environ["TQDM_DISABLE"] = "1"  # before PyTorch imports tqdm
    from gradcam.bench._engines import pytorch

    pytorch.replace_missing_torchvision()


@row("score_cam")
def score_cam() -> Ways:
    """Score-CAM of VGG-16, for one channel."""
    from gradcam._methods import cam_scores

    prepare_pytorch_grad_cam()
    from pytorch_grad_cam import ScoreCAM

    def make(model: Any, layers: Any, size: int) -> Any:
        method = ScoreCAM(model, layers)
        method.batch_size = size
        return method

    network, x = both("vgg16")[0], pictures(1)[0]

    def ours() -> object:
        def some(forward: Any, layer: str) -> np.ndarray:
            return forward.activation(layer)[:, :CHANNELS]

        with mock.patch.object(cam_scores, "maps_of", some):
            return network.forward(x).score_cam(1)

    return cam_ways("ScoreCAM", (16, 32), make, Way(ours, CHANNELS))


@row("ablation_cam")
def ablation_cam() -> Ways:
    """Ablation-CAM of VGG-16, for one channel."""
    prepare_pytorch_grad_cam()
    from pytorch_grad_cam import AblationCAM
    from pytorch_grad_cam.ablation_layer import AblationLayer

    def make(model: Any, layers: Any, size: int) -> Any:
        return AblationCAM(model, layers, ablation_layer=AblationLayer(), batch_size=size)

    network, x = both("vgg16")[0], pictures(1)[0]
    channels = network.shapes(224, 224)["relu5_3"][0]
    ours = Way(lambda: network.forward(x).ablation_cam(1), channels)
    return cam_ways("AblationCAM", (16, 32), make, ours)


# --- occlusion of 224 x 224 pixels, patch 16, stride 8; a unit is one patch ---

PATCHES = 256
"""Of 729, in a run: with all that is done once for a picture."""


def occlusion(name: str, batches: tuple[int, ...] = (8,)) -> Ways:
    """Occlusion of one picture beside full passes in batches of 16, and beside captum."""
    from captum.attr import Occlusion

    network, models = both(name)
    x = pictures(1)
    tape = network.forward(x, record=False)
    hidden, many = np.zeros_like(x[0]), pictures(16)
    rows = Interval(np.arange(0, 209, 8), np.arange(16, 225, 8))

    def ours() -> None:
        passes = PatchPasses(tape, [network.score_layer], rows, rows)
        for forward in itertools.islice(passes.run(0, hidden, 16), PATCHES // 16):
            forward.scores  # noqa: B018

    def captum(setting: str, batch: int) -> Way:
        method, values = Occlusion(models[setting]), torch_input(x, setting)
        options = {"target": 0, "baselines": 0, "perturbations_per_eval": batch}
        # Two batches, and a pass before them. Its time does not depend on the size of a patch.
        size = (3, 224, 224 // (2 * batch))
        return Way(lambda: method.attribute(values, size, strides=size, **options), 2 * batch + 1)

    return {
        OURS: {"": Way(ours, PATCHES)},
        "full passes": {"": Way(lambda: network.forward(many, record=False).scores, 16)},
        "captum": {
            f"{setting or 'default'}, batches of {batch}": captum(setting, batch)
            for setting in models
            for batch in batches
        },
    }


@row("occlusion/vgg16")
def occlusion_of_vgg16() -> Ways:
    return occlusion("vgg16")


@row("occlusion/resnet50")
def occlusion_of_resnet50() -> Ways:
    return occlusion("resnet50")


@row("occlusion/mobilenet_v2")
def occlusion_of_mobilenet_v2() -> Ways:
    return occlusion("mobilenet_v2")


@row("occlusion/efficientnet_lite0")
def occlusion_of_efficientnet_lite0() -> Ways:
    return occlusion("efficientnet_lite0")


# --- sampling and paths ---

STEPS = 8
"""Gradients of a run; the time of each does not depend on their number."""


def gradients(ours: Callable[[gradcam.Tape], object], theirs: Callable[..., object]) -> Ways:
    """Return the ways to compute gradients at STEPS variants of a picture, with VGG-16.

    Parameters
    ----------
    ours : callable
        ``ours(tape)``.
    theirs : callable
        ``theirs(model, x, batch)``, with captum; `batch` is the number of variants in a pass.
    """
    network, models = both("vgg16")
    x = pictures(1)
    tape = network.forward(x[0])
    ways = {}
    for setting, batch in (("", 1), ("channels last", 1), ("channels last", 8)):
        given = torch_input(x, setting)
        name = f"{setting} batch {batch}".strip()
        ways[name] = Way(partial(theirs, models[setting], given, batch), STEPS)
    return {OURS: {"": Way(partial(ours, tape), STEPS)}, "captum": ways}


@row("smooth_grad")
def smooth_grad() -> Ways:
    """SmoothGrad: the time of one sample."""
    from captum.attr import NoiseTunnel, Saliency

    def theirs(model: Any, x: Any, batch: int) -> object:
        options = {"nt_samples": STEPS, "nt_samples_batch_size": batch, "stdevs": 0.5}
        return NoiseTunnel(Saliency(model)).attribute(x, **options, target=3, abs=False)

    return gradients(lambda tape: tape.smooth_grad(3, samples=STEPS), theirs)


@row("integrated_gradients")
def integrated_gradients() -> Ways:
    """Integrated gradients: the time of one step."""
    from captum.attr import IntegratedGradients

    def theirs(model: Any, x: Any, batch: int) -> object:
        found = IntegratedGradients(model)
        return found.attribute(x, target=3, n_steps=STEPS, internal_batch_size=batch)

    return gradients(lambda tape: tape.integrated_gradients(3, steps=STEPS), theirs)


@row("deep_lift")
def deep_lift() -> Ways:
    """DeepLIFT; captum's needs modules that are called once, and outputs that are not rewritten."""
    from captum.attr import DeepLift

    network, models = both("vgg16")
    x = pictures(1)

    def theirs(model: Any, given: Any) -> object:
        return DeepLift(model).attribute(given, target=3)

    ways = {
        setting: Way(partial(theirs, model, torch_input(x, setting)))
        for setting, model in models.items()
    }

    def ours() -> object:
        return network.forward(x[0]).deep_lift(3, baseline=0.0)

    return {OURS: {"": Way(ours)}, "captum": ways}


# --- captions ---


@row("caption_maps")
def caption_maps() -> Ways:
    """A caption with the Grad-CAM maps of all its words on the picture, from its pixels."""
    import torch
    from caption_torch import GRADIENTS, Program

    torch.set_num_threads(gradcam._core.get_num_threads())
    captioner = gradcam.captioning.model()
    picture = gradcam.pictograms.described(3).picture

    def ours() -> tuple[tuple[str, ...], list[np.ndarray]]:
        tape = captioner.network.forward(picture)
        caption = captioner.describe(tape)
        return caption.words, [each.map for each in tape.grad_cam([*caption])]

    words, maps = ours()
    ways = {}
    for setting, memory in {"": torch.contiguous_format, "last": torch.channels_last}.items():
        program = Program(captioner, memory)
        for gradients in GRADIENTS:
            numbers, found = program.run(picture, gradients)
            assert tuple(captioner.words[number] for number in numbers) == words
            assert np.abs(found - maps).max() < 1e-3
            run = partial(program.run, picture, gradients)
            ways[f"{setting} {gradients}".strip()] = Way(run)
    alone = {each: ways.pop(each) for each in list(ways) if "word by word" in each}
    return {OURS: {"": Way(ours)}, "PyTorch": alone, "PyTorch, all words at once": ways}


# --- measures that change the picture ---

FLIPS = 96
"""Steps of a curve. Quantus refuses 100, which does not divide the number of values evenly."""


@row("deletion_and_insertion")
def deletion_and_insertion() -> Ways:
    """Deletion and insertion with VGG-16: the time of one step of one curve.

    Quantus's pixel flipping runs twice, since it does not insert; each step is a pass, of one
    picture. Its step flips all colours of a pixel one after the other: a third of the pixels.
    """
    runpy.run_path(str(Path(__file__).parent.parent / "peers" / "conftest.py"))  # for torchvision
    import quantus
    import torch
    from torchcam.metrics import DeletionInsertionMetric

    from gradcam import measures

    network, models = both("vgg16")
    x = pictures(1)
    tape = network.forward(x[0])
    found = np.random.default_rng(2).random(tape.size, np.float32)

    def ours() -> object:
        curves = measures.deletion, measures.insertion
        return [measure(tape, found, 3, steps=FLIPS).auc for measure in curves]

    def of_quantus(model: Any) -> object:
        options = {"features_in_step": 3 * 224 * 224 // FLIPS, "disable_warnings": True}
        metric = quantus.PixelFlipping(**options)
        maps = found, 1 - found
        return [metric(model, x, np.array([3]), a_batch=each[None, None]) for each in maps]

    def of_torchcam(model: Any, given: Any, batch: int) -> object:
        metric = DeletionInsertionMetric(
            _Given(model, torch.from_numpy(found[None])),
            partial(torch.softmax, dim=-1),
            steps=FLIPS,
            batch_size=batch,
        )
        metric.update(given, 3)
        return metric.summary()

    return {
        OURS: {"": Way(ours, 2 * FLIPS)},
        "quantus": {
            setting: Way(partial(of_quantus, model), 2 * FLIPS) for setting, model in models.items()
        },
        "torchcam": {
            f"{setting} batch {batch}".strip(): Way(
                partial(of_torchcam, model, torch_input(x, setting), batch), 2 * FLIPS
            )
            for setting, model in models.items()
            for batch in (8, 16)
        },
    }


class _Given:
    """What torchcam asks for a map: it returns one that is given."""

    def __init__(self, model: Any, map: Any) -> None:
        self.model, self._map = model, map

    def __call__(self, *arguments: object, **options: object) -> list[Any]:
        return [self._map]

    def fuse_cams(self, cams: list[Any]) -> Any:
        return cams[0]

    def _hooks_off(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()


def main() -> None:
    """Measure the rows that are named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("rows", nargs="*", choices=[[], *ROWS], metavar="ROW")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--against", nargs="*", default=[], help="programs; by default all")
    arguments = parser.parse_args()
    if not arguments.rows:
        print("\n".join(ROWS))
    for name in arguments.rows:
        programs = [OURS, *arguments.against] if arguments.against else []
        measure(name, arguments.rounds, programs)


if __name__ == "__main__":
    if any(os.environ.get(name) != value for name, value in MALLOC.items()):
        script = str(Path(__file__).resolve())
        os.execve(sys.executable, [sys.executable, script, *sys.argv[1:]], os.environ | MALLOC)
    main()
