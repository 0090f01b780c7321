"""How far the full VGG-16 is from float64 NumPy and from PyTorch: forward, rules, methods.

    python tests/report_accuracy.py [--level avx2] [--seed 0]

One 224x224 picture of noise, all 138 million weights, He-scaled and seeded, class 282. Each
figure is max |a - b| / max |b|. Where a ReLU's input is within rounding of zero, or the two
largest values of a pooling window are of each other, correct programs may decide either way, and
a single such flip outweighs all rounding. So each comparison is made twice: b takes gradcam's
decisions, which leaves rounding alone; and b takes its own. The last column, PyTorch against
float64, is a yardstick.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import nets
import numpy as np
import reference
import vggs
from helpers import largest_difference

import gradcam
from gradcam import _core

CLASS = 282
LAYER = "relu5_3"
RULES = ("gradient", "guided", "deconvnet")
RELUS = [caffe for caffe, _, _ in vggs.layers("vgg16") if caffe.startswith("relu")]
POOLS = [caffe for caffe, _, _ in vggs.layers("vgg16") if caffe.startswith("pool")]

Answers = dict[str, np.ndarray]


def answers(
    activation: Callable[[str], np.ndarray], gradient: Callable[[str, str], np.ndarray]
) -> Answers:
    """Everything reported, from any program's activation(layer) and gradient(layer, rule)."""
    maps = activation(LAYER)
    found = {
        f"forward: {LAYER}": maps,
        "forward: scores": activation("fc8"),
        "forward: probabilities": activation("prob"),
    }
    pixels = {rule: gradient("input", rule) for rule in RULES}
    for rule in RULES:
        found[f"rule: {rule}, at the pixels"] = pixels[rule]
    alpha = gradient(LAYER, "gradient").mean(axis=(2, 3))
    cam = np.einsum("nk,nkuv->nuv", alpha, maps)
    large = reference.resize(np.maximum(cam, 0), (224, 224))[:, None]
    return found | {
        "saliency": np.abs(pixels["gradient"]).max(axis=1),
        "deconvnet": pixels["deconvnet"],
        "guided backprop": pixels["guided"],
        "Grad-CAM: weights": alpha,
        "Grad-CAM: map, signed": cam,
        "counterfactual": -cam,
        "Guided Grad-CAM": pixels["guided"] * large,
        "Deconv Grad-CAM": pixels["deconvnet"] * large,
    }


def answers_of_gradcam(tape: gradcam.Tape) -> Answers:
    """The same from the package's own methods."""

    def raw(method: str) -> np.ndarray:
        return tape.explain(method, [CLASS])[0].raw[None]

    found = {
        f"forward: {LAYER}": tape.activation(LAYER),
        "forward: scores": tape.scores,
        "forward: probabilities": tape.probabilities,
    }
    for rule in RULES:
        found[f"rule: {rule}, at the pixels"] = tape.gradient([CLASS], rule=rule)
    return found | {
        "saliency": np.abs(raw("saliency")).max(axis=1),
        "deconvnet": raw("deconvnet"),
        "guided backprop": raw("guided_backprop"),
        "Grad-CAM: weights": tape.grad_cam([CLASS])[0].weights[None],
        "Grad-CAM: map, signed": raw("grad_cam"),
        "counterfactual": raw("counterfactual"),
        "Guided Grad-CAM": raw("guided_grad_cam"),
        "Deconv Grad-CAM": raw("deconv_grad_cam"),
    }


def answers_of_numpy(record: reference.Record, numbers: dict[str, int]) -> Answers:
    seeds = reference.one_class(record, numbers["fc8"], [CLASS])

    def gradient(layer: str, rule: str) -> np.ndarray:
        return record.backward(numbers["fc8"], seeds, [numbers[layer]], rule)[0][0]

    return answers(lambda layer: record.outputs[numbers[layer]], gradient)


def answers_of_torch(
    tensors: dict[str, np.ndarray], x: np.ndarray, maps: list[np.ndarray]
) -> tuple[Answers, Answers, list[np.ndarray]]:
    """By PyTorch in float32: on the decisions of `maps`, on its own, and its rectified maps."""
    sys.path.append(str(Path(__file__).parent / "peers"))
    import torch
    import torch_twin

    network, numbers = vggs.build("vgg16", tensors, torch_twin.Builder(3, torch.float32))
    seeds = np.zeros((1, 1, 1000), np.float32)
    seeds[0, 0, CLASS] = 1
    decisions = {numbers[name]: map_ for name, map_ in zip(RELUS, maps, strict=True)}
    found: list[Answers] = []
    for decided in (decisions, None):
        records = {rule: network.forward(x, decided, rule) for rule in RULES}

        def gradient(layer: str, rule: str, records: dict = records) -> np.ndarray:
            return records[rule].backward(numbers["fc8"], seeds, [numbers[layer]])[0][0]

        def activation(layer: str, records: dict = records) -> np.ndarray:
            return records["gradient"].activation(numbers[layer])

        found.append(answers(activation, gradient))
    return found[0], found[1], [activation(name) for name in RELUS]


def flips(maps: list[np.ndarray], record: reference.Record, numbers: dict[str, int]) -> str:
    """How many ReLUs and pooling windows another program decided otherwise than float64."""
    by_name = dict(zip(RELUS, maps, strict=True))
    relus = sum(
        int(np.count_nonzero((by_name[name] > 0) != (record.outputs[numbers[name]] > 0)))
        for name in RELUS
    )
    windows = 0
    for name in POOLS:
        node, (before,) = record.network.nodes[numbers[name]]
        other = by_name[RELUS[[numbers[relu] for relu in RELUS].index(before)]]
        _, (_, first) = node.forward([record.outputs[before]], other)
        windows += int(np.count_nonzero(first != record.states[numbers[name]][1]))
    total = sum(each.size for each in maps)
    return f"{relus} of {total / 1e6:.1f} million ReLUs and {windows} pooling windows"


def rows(columns: list[tuple[Answers, Answers]]) -> Iterator[str]:
    for name in columns[0][0]:
        figures = (f"{largest_difference(a[name], b[name]):12.1e}" for a, b in columns)
        yield f"{name:30}" + "".join(figures)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--level", choices=_core.cpu_levels(), default=_core.cpu_level())
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    _core.set_cpu_level(options.level)

    start = time.perf_counter()
    tensors = vggs.tensors(divide=1, hidden=(4096, 4096), classes=1000, seed=options.seed)
    x = nets.normal(np.random.default_rng(options.seed + 1), 1, 3, 224, 224)
    tape = gradcam.vgg16(tensors).forward(x, keep=RELUS)
    maps = [tape.activation(name) for name in RELUS]
    ours = answers_of_gradcam(tape)
    twin, numbers = vggs.twin("vgg16", tensors)
    record = twin.forward(x)
    own = answers_of_numpy(record, numbers)
    notes = [f"gradcam and float64 NumPy decide {flips(maps, record, numbers)} differently"]
    try:
        theirs_forced, theirs, their_maps = answers_of_torch(tensors, x, maps)
        notes.append(f"PyTorch and float64 NumPy decide {flips(their_maps, record, numbers)}")
        notes[-1] += " differently"
    except ImportError:
        theirs = None
        notes.append("PyTorch is not installed")
    del record
    decisions = {numbers[name]: map_ for name, map_ in zip(RELUS, maps, strict=True)}
    forced = answers_of_numpy(twin.forward(x, decisions), numbers)

    columns = [(ours, forced), (ours, own)]
    heads = [("gradcam", "NumPy f64", "gradcam's"), ("gradcam", "NumPy f64", "its own")]
    if theirs is not None:
        columns += [(ours, theirs_forced), (ours, theirs), (theirs, own)]
        heads += [("gradcam", "PyTorch f32", "gradcam's"), ("gradcam", "PyTorch f32", "its own")]
        heads += [("PyTorch f32", "NumPy f64", "its own")]
    scores = tape.scores[0]
    print(f"VGG-16, 224x224, seed {options.seed}, level {options.level}; scores", end=" ")
    print(f"{scores.min():.2f} to {scores.max():.2f}; max |a - b| / max |b|:\n")
    for title, line in zip(("a", "b", "decisions of b"), zip(*heads, strict=True), strict=True):
        print(f"{title:30}" + "".join(f"{word:>12}" for word in line))
    print("\n".join(rows(columns)))
    print("\n" + "\n".join(notes))
    print(f"{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
