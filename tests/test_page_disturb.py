"""The live page's panel "Noise and occlusion"."""

from __future__ import annotations

import numpy as np
import pytest
import small_pictograms
from helpers import run_node

from gradcam._pictures import presets

SIDE, PATCH, STRIDE, SEED, TARGET = 64, 20, 12, 11, 5
DEVIATIONS = (0, 10, 60)
POINTS = ((32, 30), (0, 0), (63, 40), (5, 63))


def picture():
    pixels = np.random.default_rng(3).integers(0, 256, (SIDE, SIDE, 4), np.uint8)
    pixels[..., 3] = 255
    return pixels


def preprocessed(pixels):
    """(..., 3) uint8 as the small network takes them."""
    preset = presets.find("torchvision-straight")
    return (pixels / np.float32(255) - np.float32(preset.mean)) / np.float32(preset.std)


def covered_scores(network, pixels, colour):
    """The scores with a patch at each place of the grid, row by row."""
    begins = range(0, SIDE - PATCH + STRIDE, STRIDE)
    found = []
    for top in begins:
        for left in begins:
            hidden = pixels[..., :3].copy()
            hidden[top : top + PATCH, left : left + PATCH] = colour
            found.append(network.forward(hidden).scores[0])
    return np.array(found)


@pytest.fixture(scope="module")
def network():
    return small_pictograms.network()


def run(network, fill="grey"):
    """What noise.js and occlusion.js make of the picture, under node."""
    pixels = picture()
    colour = {
        "grey": (128,) * 3,
        "black": (0,) * 3,
        "mean": np.rint(pixels[..., :3].mean((0, 1))).astype(int).tolist(),
    }[fill]
    given = {
        "picture": pixels.ravel().tolist(),
        **{"width": SIDE, "height": SIDE, "patch": PATCH, "stride": STRIDE, "seed": SEED},
        **{
            "target": TARGET,
            "fill": fill,
            "stopped": 4,
            "points": POINTS,
            "deviations": DEVIATIONS,
        },
        "scores": network.forward(pixels[..., :3]).scores[0].tolist(),
        "covered": covered_scores(network, pixels, colour).tolist(),
    }
    return pixels, colour, run_node("web_disturb.mjs", given=given)


@pytest.mark.parametrize("fill", ("grey", "black", "mean"))
def test_a_sweep_is_gradcams_occlusion(network, fill):
    pixels, colour, found = run(network, fill)
    assert found["fill"] == list(colour)
    occlusion = network.forward(pixels[..., :3]).occlusion(
        TARGET, patch=PATCH, stride=STRIDE, baseline=preprocessed(np.array(colour))
    )
    largest = np.abs(occlusion.raw).max()
    np.testing.assert_allclose(
        np.reshape(found["values"], (SIDE, SIDE)), occlusion.raw, atol=1e-5 * largest
    )
    assert found["before"] is None
    assert found["stopped"] == 4
    assert found["count"] == len(found["grid"]) == 25  # a place counts once
    for place, asked in zip(found["grid"], found["asked"], strict=True):
        hidden = pixels.copy()
        hidden[place["top"] : place["bottom"], place["left"] : place["right"], :3] = colour
        np.testing.assert_array_equal(asked, hidden.ravel())


def test_patches_stay_inside_the_picture(network):
    _, _, found = run(network)
    last = found["grid"][-1]
    assert last == {"top": 48, "left": 48, "bottom": 64, "right": 64}  # cut off at the edge
    lefts = [each["left"] for each in found["around"]]
    tops = [each["top"] for each in found["around"]]
    assert lefts == [22, 0, 44, 0]
    assert tops == [20, 0, 30, 44]
    assert all(each["right"] - each["left"] == PATCH for each in found["around"])


def test_noise_is_normal_and_repeatable(network):
    pixels, _, found = run(network)
    normal = np.array(found["normal"])
    assert found["again"] == found["normal"] != found["other"]
    count = normal.size
    assert abs(normal.mean()) < 4 / np.sqrt(count)
    assert abs(normal.std() - 1) < 4 / np.sqrt(2 * count)
    assert abs((np.abs(normal) > 1.96).mean() - 0.05) < 4 * np.sqrt(0.05 * 0.95 / count)
    assert abs(np.corrcoef(normal[:-1], normal[1:])[0, 1]) < 4 / np.sqrt(count)
    for deviation, noisy in zip(DEVIATIONS, found["noisy"], strict=True):
        expected = pixels.copy()
        moved = pixels[..., :3] + deviation * normal.reshape(SIDE, SIDE, 3)
        expected[..., :3] = np.rint(np.clip(moved, 0, 255))
        np.testing.assert_array_equal(noisy, expected.ravel())
    np.testing.assert_array_equal(found["after"], pixels.ravel())  # the picture is unchanged
