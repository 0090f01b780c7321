"""The live page's panels with the core, under node: a sum of terms and a sweep of a patch."""

from __future__ import annotations

import json

import numpy as np
import pytest
from helpers import run_node

from gradcam._page.networks import describe
from gradcam.pictograms import model, scene

SIDE, TARGET = 64, 6
GREY = 128  # of the patch


@pytest.fixture(scope="module")
def tape():
    return model().forward(scene(3).picture)


@pytest.fixture(scope="module")
def found(tape, tmp_path_factory):
    """What the page's modules compute."""
    folder = tmp_path_factory.mktemp("network")
    described = describe(model())
    (folder / "network.json").write_text(json.dumps(described.description), "utf-8")
    (folder / "weights").write_bytes(described.weights)
    pixels = np.full((*tape.size, 4), 255, np.uint8)
    pixels[..., :3] = scene(3).picture
    (folder / "picture").write_bytes(pixels.tobytes())
    return run_node("web_panels.mjs", folder, TARGET, SIDE)


def close(found, expected, share):
    np.testing.assert_allclose(
        np.reshape(found, expected.shape), expected, rtol=0, atol=share * np.abs(expected).max()
    )


def test_all_terms_are_grad_cam(tape, found):
    raw = np.array(found["raw"])
    close(found["sum"], raw, 1e-5)
    assert found["layer"] == model().target_layer
    close(found["sum"], tape.grad_cam(TARGET).raw, 1e-4)


def test_a_sweep_is_occlusion(tape, found):
    preset = model().preset
    grey = (GREY / preset.scale - np.array(preset.mean)) / np.array(preset.std)
    occlusion = tape.occlusion(TARGET, patch=SIDE, stride=SIDE // 2, baseline=grey)
    close(found["values"], occlusion.raw, 1e-4)
    assert min(found["covered"]) == 1 and max(found["covered"]) == 4
