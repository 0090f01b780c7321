"""Differences of the full VGG-16 from float64 NumPy and from PyTorch: forward, rules, methods.

    python tests/report_accuracy.py [--level avx2] [--seed 0]

The input is one 224x224 picture of noise; all 138 million weights are random (He initialisation,
seeded); the class is 282. Each figure is max |a - b| / max |b|.

If the input of a ReLU is close to zero, or the two largest values of a pooling window are almost
equal, rounding may change the decision of a correct program, and a single changed decision has more
effect than all other rounding. Each comparison is therefore made twice: b uses gradcam's decisions,
so that only rounding differs, or b's own. The last column compares PyTorch with float64 NumPy, for
reference.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import nets
import numpy as np
import reference
import vggs
from helpers import largest_difference
from rich.table import Table

import gradcam
from gradcam import _core
from gradcam._tables import as_text

CLASS = 282
LAYER = "relu5_3"
RULES = ("gradient", "guided", "deconvnet")
RELUS = [caffe for caffe, _, _ in vggs.layers("vgg16") if caffe.startswith("relu")]
POOLS = [caffe for caffe, _, _ in vggs.layers("vgg16") if caffe.startswith("pool")]

Results = dict[str, np.ndarray]


def results_of(
    activation: Callable[[str], np.ndarray], gradient: Callable[[str, str], np.ndarray]
) -> Results:
    """Compute all results from a program's activation(layer) and gradient(layer, rule)."""
    maps = activation(LAYER)
    results = {
        f"forward: {LAYER}": maps,
        "forward: scores": activation("fc8"),
        "forward: probabilities": activation("prob"),
    }
    pixels = {rule: gradient("input", rule) for rule in RULES}
    for rule in RULES:
        results[f"rule: {rule}, at the pixels"] = pixels[rule]
    alpha = gradient(LAYER, "gradient").mean(axis=(2, 3))
    cam = np.einsum("nk,nkuv->nuv", alpha, maps)
    resized = reference.resize(np.maximum(cam, 0), (224, 224))[:, None]
    return results | {
        "saliency": np.abs(pixels["gradient"]).max(axis=1),
        "deconvnet": pixels["deconvnet"],
        "guided backprop": pixels["guided"],
        "Grad-CAM: weights": alpha,
        "Grad-CAM: map, signed": cam,
        "counterfactual": -cam,
        "Guided Grad-CAM": pixels["guided"] * resized,
        "Deconv Grad-CAM": pixels["deconvnet"] * resized,
    }


def results_of_gradcam(tape: gradcam.Tape) -> Results:
    """Compute all results by the package's methods."""

    def raw(method: str) -> np.ndarray:
        return tape.explain(method, [CLASS])[0].raw[None]

    results = {
        f"forward: {LAYER}": tape.activation(LAYER),
        "forward: scores": tape.scores,
        "forward: probabilities": tape.probabilities,
    }
    for rule in RULES:
        results[f"rule: {rule}, at the pixels"] = tape.gradient([CLASS], rule=rule)
    return results | {
        "saliency": np.abs(raw("saliency")).max(axis=1),
        "deconvnet": raw("deconvnet"),
        "guided backprop": raw("guided_backprop"),
        "Grad-CAM: weights": tape.grad_cam([CLASS])[0].weights[None],
        "Grad-CAM: map, signed": raw("grad_cam"),
        "counterfactual": raw("counterfactual"),
        "Guided Grad-CAM": raw("guided_grad_cam"),
        "Deconv Grad-CAM": raw("deconv_grad_cam"),
    }


def results_of_numpy(record: reference.Record, numbers: dict[str, int]) -> Results:
    seeds = reference.class_seeds(record, numbers["fc8"], [CLASS])

    def gradient(layer: str, rule: str) -> np.ndarray:
        return record.backward(numbers["fc8"], seeds, [numbers[layer]], rule)[0][0]

    return results_of(lambda layer: record.outputs[numbers[layer]], gradient)


def results_of_torch(
    tensors: dict[str, np.ndarray], x: np.ndarray, maps: list[np.ndarray]
) -> tuple[Results, Results, list[np.ndarray]]:
    """Run PyTorch in float32.

    Returns the results with the decisions of `maps`, those with its own decisions, and its maps
    after the ReLUs.
    """
    sys.path.append(str(Path(__file__).parent / "peers"))
    import torch
    import torch_twin

    network, numbers = vggs.build("vgg16", tensors, torch_twin.Builder(3, torch.float32))
    seeds = np.zeros((1, 1, 1000), np.float32)
    seeds[0, 0, CLASS] = 1
    decisions = {numbers[name]: map_ for name, map_ in zip(RELUS, maps, strict=True)}
    results: list[Results] = []
    for fixed in (decisions, None):
        records = {rule: network.forward(x, fixed, rule) for rule in RULES}

        def gradient(layer: str, rule: str, records: dict = records) -> np.ndarray:
            return records[rule].backward(numbers["fc8"], seeds, [numbers[layer]])[0][0]

        def activation(layer: str, records: dict = records) -> np.ndarray:
            return records["gradient"].activation(numbers[layer])

        results.append(results_of(activation, gradient))
    return results[0], results[1], [activation(name) for name in RELUS]


def count_differences(
    maps: list[np.ndarray], record: reference.Record, numbers: dict[str, int]
) -> str:
    """Count the ReLUs and pooling windows whose decisions differ from those of float64 NumPy."""
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


class Column(NamedTuple):
    """A comparison of two programs' results; `decisions` says which ones program b used."""

    a: str
    b: str
    decisions: str
    results_a: Results
    results_b: Results


def compare(tensors: dict[str, np.ndarray], tape: gradcam.Tape) -> tuple[list[Column], list[str]]:
    """Compute the columns of the table, and sentences about decisions that differ."""
    x = tape.input
    maps = [tape.activation(name) for name in RELUS]
    ours = results_of_gradcam(tape)
    twin, numbers = vggs.twin("vgg16", tensors)
    record = twin.forward(x)
    exact = results_of_numpy(record, numbers)
    notes = [f"gradcam differs from float64 NumPy in {count_differences(maps, record, numbers)}"]
    columns = []
    try:
        torch_forced, torch, torch_maps = results_of_torch(tensors, x, maps)
        differences = count_differences(torch_maps, record, numbers)
        notes.append(f"PyTorch differs from float64 NumPy in {differences}")
        columns = [
            Column("gradcam", "PyTorch f32", "gradcam's", ours, torch_forced),
            Column("gradcam", "PyTorch f32", "its own", ours, torch),
            Column("PyTorch f32", "NumPy f64", "its own", torch, exact),
        ]
    except ImportError:
        notes.append("PyTorch is not installed")
    del record
    decisions = {numbers[name]: map_ for name, map_ in zip(RELUS, maps, strict=True)}
    forced = results_of_numpy(twin.forward(x, decisions), numbers)
    columns[:0] = [
        Column("gradcam", "NumPy f64", "gradcam's", ours, forced),
        Column("gradcam", "NumPy f64", "its own", ours, exact),
    ]
    return columns, notes


def to_text(columns: list[Column]) -> str:
    table = Table("a\nb\ndecisions of b", box=None, pad_edge=False)
    for column in columns:
        table.add_column(f"{column.a}\n{column.b}\n{column.decisions}", justify="right")
    for name in columns[0].results_a:
        differences = (largest_difference(c.results_a[name], c.results_b[name]) for c in columns)
        table.add_row(name, *(f"{difference:.1e}" for difference in differences))
    return as_text(table)


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
    columns, notes = compare(tensors, tape)
    scores = tape.scores[0]
    print(f"VGG-16, 224x224, seed {options.seed}, level {options.level}; scores", end=" ")
    print(f"{scores.min():.2f} to {scores.max():.2f}; max |a - b| / max |b|:\n")
    print(to_text(columns))
    print("\n" + "\n".join(notes))
    print(f"{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
