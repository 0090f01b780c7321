"""The live page's panel "Noise and occlusion"."""

from __future__ import annotations

import numpy as np
import pytest
import small_pictograms
from helpers import run_node
from live_panel import Panel, scene_of, shown_in, tape_of

from gradcam._pictures import presets

SIDE, PATCH, STRIDE, SEED, TARGET = 64, 20, 12, 11, 5
DEVIATIONS = (0, 10, 60)
CENTRE = "[gradcam.state().disturb.patch.x, gradcam.state().disturb.patch.y]"
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


@pytest.fixture
def panel(browser, live_page):
    found = Panel(browser, live_page, "disturb")
    found.wait("words", "textContent.startsWith('The score of ')")
    return found


def test_noise_reaches_the_network(panel):
    clean = scene_of(panel.page)
    before = panel.text("words")
    panel.choose("noise", 60)
    panel.wait("words", f"textContent !== '{before}'")  # the noisy picture was answered
    assert panel.text("noiseText") == "60 grey values (0.24 of black to white)"
    noisy = shown_in(panel.page, panel.at("picture"))
    change = noisy.astype(float) - clean
    assert 50 < change[(clean > 60) & (clean < 200)].std() < 62  # some are cut off
    scores = tape_of(noisy).scores[0]
    assert panel.numbers("words") == [pytest.approx(scores.max(), abs=0.051)]
    panel.page.click(panel.at("other"))
    panel.page.wait_for("gradcam.state().disturb.seed === 2")
    panel.choose("noise", 0)
    panel.wait("words", f"textContent === '{before}'")
    panel.page.check()


def test_a_patch_lowers_the_score(panel):
    page = panel.page
    clean = scene_of(page)
    scores = tape_of(clean).scores[0]
    top = scores.argmax()
    left, high, width, _ = panel.box("picture")
    cat = (left + 70 * width / 224, high + 100 * width / 224)
    page.click(cat)
    panel.wait("words", "textContent.includes('with the patch it')")
    patched = shown_in(page, "#scene canvas")
    x, y = page.evaluate(CENTRE)
    assert abs(x - 70) <= 1 and abs(y - 100) <= 1
    hidden = clean.copy()
    hidden[y - 16 : y + 16, x - 16 : x + 16] = 128
    np.testing.assert_array_equal(patched, hidden)
    fall = scores[top] - tape_of(hidden).scores[0, top]
    assert fall > 0.2
    assert panel.numbers("words") == pytest.approx([scores[top], fall], abs=0.051)
    assert panel.text("fallsText").startswith("1 patch: the score falls by up to")
    page.press("ArrowRight")
    panel.wait("fallsText", "textContent.startsWith('2 patches: ')")
    page.press("Shift+ArrowUp")
    page.wait_for(f"String({CENTRE}) === '{x + 8},{y - 1}'")
    panel.wait("fallsText", "textContent.startsWith('3 patches: ')")
    panel.choose("noise", 10)
    panel.wait("fallsText", "textContent.startsWith('1 patch: ')")  # another picture
    page.press("Delete")
    panel.wait("words", "textContent.endsWith('Move a patch over the picture.')")
    page.check()


def test_a_sweep_covers_the_picture(panel):
    page = panel.page
    panel.choose("side", 16)
    page.click(panel.at("sweep"))
    panel.wait("progressText", "textContent.includes(' of 729 ')")
    page.click(panel.at("sweep"))
    panel.wait("progressText", "textContent.endsWith(' of 729 patches, stopped')")
    panel.choose("side", 64)
    panel.wait("fallsText", "textContent.startsWith('Where')")
    page.click(panel.at("sweep"))
    panel.wait("progressText", "textContent === '36 of 36 patches'")
    grey = presets.find("torchvision-straight")
    grey = (128 / grey.scale - np.array(grey.mean)) / np.array(grey.std)
    raw = tape_of(scene_of(page)).occlusion(patch=64, stride=32, baseline=grey).raw
    found = panel.numbers("fallsText")
    assert found == pytest.approx([raw.max(), -raw.min()][: 1 + (raw.min() < -0.05)], abs=0.051)
    pixels = shown_in(page, panel.at("falls"))
    row, column = np.unravel_index(raw.argmax(), raw.shape)
    assert pixels[row, column, 0] > 200 > pixels[row, column, 2]  # the end of inferno
    page.check()


def test_a_telephone(browser, live_page):
    panel = Panel(browser, live_page, "disturb", width=360, height=740, mobile=True)
    panel.wait("words", "textContent.startsWith('The score of ')")
    left, top, width, height = panel.box("picture")
    assert width == pytest.approx(height) and width > 140
    panel.page.swipe((left + 20, top + 20), (left + width / 2, top + height / 2))
    panel.page.wait_for("gradcam.state().disturb.patch?.x === 112")  # not taken for scrolling
    assert panel.page.evaluate("document.documentElement.scrollWidth") <= 360
    panel.page.check()
