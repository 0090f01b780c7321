"""The core of the live page, in WebAssembly under node, beside the core in Python."""

import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import program

import gradcam
from gradcam import Layer, Network, pictograms
from gradcam._page.networks import describe

TESTS = Path(__file__).parent
PAGE = Path(gradcam.__file__).parent / "_page"

# The baseline of other processors fuses multiplications and additions, which simd128 does not.
SAME_ARITHMETIC = platform.machine() in ("x86_64", "AMD64")

# Largest differences, relative to the largest value. A derivative by the pixels jumps where a value
# is near a decision: which of two values in a pooling is larger, or the sign of a ReLU's input. Two
# levels may decide otherwise there, so of these methods the mean difference is limited.
ROUNDING, MEAN = 1e-5, 1e-3
OF_PIXELS = ("saliency", "deconvnet", "guided_backprop", "guided_grad_cam")


def node(script: str, *arguments: object) -> Any:
    """Return what a script of this folder prints, JSON."""
    command = [program("node", "nodejs"), str(TESTS / script), *map(str, arguments)]
    process = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Networks, pictures and Python's results at level baseline."""
    program("node", "nodejs")  # skip before the work
    path = tmp_path_factory.mktemp("web")
    subprocess.run(
        [sys.executable, str(TESTS / "web_reference.py"), str(path)],
        cwd=TESTS,
        env=os.environ | {"GRADCAM_CPU_LEVEL": "baseline"},
        check=True,
        timeout=300,
    )
    return path


@pytest.fixture(scope="module")
def found(folder) -> dict[str, Any]:
    """What the page's core finds, compared with that."""
    return {
        level: node("web_core.mjs", PAGE / f"core-{level}.wasm", folder)
        for level in ("simd128", "relaxed")
    }


Differences = dict[tuple[str, str], Any]


def differences(found: dict[str, Any], level: str, kind: str) -> Differences:
    """Return [largest, mean] difference by case and quantity."""
    assert found[level]["level"] == level
    return {
        (name, quantity): difference
        for name, quantities in found[level]["differences"].items()
        for quantity, difference in quantities.items()
        if name.startswith("random") == (kind == "random")
    }


def too_large(compared: Differences) -> Differences:
    limits = {each: MEAN if each[1].endswith(OF_PIXELS) else ROUNDING for each in compared}
    return {
        each: found
        for each, found in compared.items()
        if found is None or found[each[1].endswith(OF_PIXELS)] > limits[each]
    }


@pytest.mark.skipif(not SAME_ARITHMETIC, reason="the baseline of this processor rounds otherwise")
def test_built_in_networks_are_equal_to_the_bit(found):
    compared = differences(found, "simd128", "built-in")
    assert len(compared) >= 10 * 16  # ten scenes: scores, probabilities, six methods, a layer
    assert {each: value for each, value in compared.items() if value != [0, 0]} == {}


@pytest.mark.parametrize("kind", ["built-in", "random"])  # random ones have every operation
@pytest.mark.parametrize("level", ["simd128", "relaxed"])
def test_all_networks_are_close(found, level, kind):
    compared = differences(found, level, kind)
    assert len(compared) >= 160
    assert too_large(compared) == {}


@pytest.mark.parametrize("level", ["simd128", "relaxed"])
def test_closed_networks_leave_nothing_in_memory(found, level):
    assert found[level]["blocks"] == 2  # those of page/memory.js itself


def test_a_description_states_what_the_core_runs():
    described = describe(pictograms.model())
    description = json.loads(json.dumps(described.description))
    assert description["size"] == [224, 224]
    assert description["labels"][:2] == [str(t) for t in list(pictograms.model().labels)[:2]]
    assert description["target_layer"] == "relu5_3"
    first = description["layers"][1]
    assert first["inputs"] == [0]
    assert first["attributes"] == {
        "stride": [1, 1],
        "padding": [1, 1, 1, 1],
        "dilation": [1, 1],
        "groups": 1,
        "exact": False,
    }
    # Its weights are float16 in its file, and stay so.
    count = sum(
        int(np.prod(tensor["shape"]))
        for layer in description["layers"]
        for tensor in layer["weights"].values()
    )
    assert 2 * count <= len(described.weights) < 2 * count + 200


def small_network(weight: np.ndarray, **options: Any) -> Network:
    return Network.from_layers(
        [
            Layer("conv", "conv", weights={"weight": weight}, attributes={"padding": (0, 1, 2, 3)}),
            Layer("pool", "global_average_pool"),
            Layer("scores", "flatten"),
        ],
        **{"preset": "0..1", "labels": ["a", "b"]} | options,
    )


def test_weights_are_stored_as_float16_where_that_is_exact():
    weight = np.zeros((2, 3, 3, 3), np.float32)
    weight[0, 0] = 0.5
    exact = describe(small_network(weight))
    assert exact.description["layers"][1]["weights"]["weight"]["half"]
    assert exact.description["layers"][1]["attributes"]["padding"] == [0, 2, 1, 3]
    assert exact.description["layers"][2]["attributes"] == {"size": [1, 1]}
    weight[0, 0] = 0.1
    wide = describe(small_network(weight))
    assert not wide.description["layers"][1]["weights"]["weight"]["half"]
    assert wide.weights == weight.tobytes()
    rounded = describe(small_network(weight), rounded=True)
    assert rounded.weights == weight.astype(np.float16).tobytes()


def test_networks_that_the_page_cannot_show():
    weight = np.zeros((2, 3, 3, 3), np.float32)
    with pytest.raises(ValueError, match="by an input preset, got one"):
        describe(small_network(weight, preset=None))
    weight[0, 0, 0, 0] = 1e6
    with pytest.raises(ValueError, match="layer 'conv': its weight is too large for float16"):
        describe(small_network(weight), rounded=True)


def test_the_client_and_the_worker(folder):
    """Requests in turn, the latest shown, and one sentence for each thing that can go wrong."""
    found = node("web_client.mjs", PAGE, folder)
    assert found["passed"] >= 12
    assert found["failed"] == []
