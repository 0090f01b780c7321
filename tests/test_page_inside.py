"""The live page's panel "Inside": the sum of Grad-CAM, term by term."""

from __future__ import annotations

import numpy as np
import pytest
import small_pictograms
from helpers import run_node
from live_panel import Panel, scene_of, tape_of

WIDE = 5  # pixels of a wide bar


def run(maps, alphas, **more):
    """What gradcam_sum.js computes of maps (K, u, v) and alphas (K,)."""
    channels, height, width = maps.shape
    asked = {"terms": [], "cells": [], "widths": [], "wide": WIDE, "unit": 0}
    given = {
        "channels": channels,
        "width": width,
        "height": height,
        "activations": maps.ravel().tolist(),
        "alphas": alphas.tolist(),
        **asked,
        **more,
    }
    return run_node("web_inside.mjs", given=given)


def test_the_whole_sum_is_grad_cam():
    picture = np.random.default_rng(3).integers(0, 256, (64, 64, 3), np.uint8)
    tape = small_pictograms.network().forward(picture)
    explanation = tape.grad_cam(5, layer="relu")
    maps = tape.activation("relu")[0]
    found = run(maps, explanation.weights, terms=[len(maps)], unit=2)
    largest = np.abs(explanation.raw).max()
    np.testing.assert_allclose(
        np.reshape(found["sums"][0], explanation.raw.shape), explanation.raw, atol=1e-5 * largest
    )
    np.testing.assert_array_equal(np.float32(found["map"]), maps[2].ravel())


def test_terms_come_in_the_order_of_their_size():
    rng = np.random.default_rng(4)
    maps = rng.normal(size=(7, 3, 4)).astype(np.float32)
    alphas = rng.normal(size=7).astype(np.float32)
    found = run(maps, alphas, terms=[0, 1, 3, 7], cells=list(range(12)))
    terms = alphas[:, None, None].astype(np.float64) * maps
    order = np.argsort(-np.abs(terms).mean((1, 2)))
    assert found["order"] == order.tolist()
    assert found["alphaOrder"] == np.argsort(-alphas).tolist()
    sums = np.cumsum(terms[order], 0)
    assert not np.any(found["sums"][0])
    np.testing.assert_allclose(np.reshape(found["sums"][1:], (3, 3, 4)), sums[[0, 2, 6]])
    np.testing.assert_allclose(found["scale"], np.abs(sums).max())
    strongest = np.where(sums[-1] < 0, terms.argmin(0), terms.argmax(0))
    assert found["strongest"] == strongest.ravel().tolist()


@pytest.mark.parametrize("channels", (3, 7, 128, 512))
def test_bars_fill_the_width(channels):
    width = 120
    alphas = np.arange(channels, dtype=np.float32)
    (places,) = run(np.ones((channels, 1, 1)), alphas, widths=[width])["places"]
    left = np.array([each["left"] for each in places])
    right = left + [each["width"] for each in places]
    np.testing.assert_allclose(left[1:], right[:-1])
    assert len(places) == channels and left[0] == 0
    if channels * WIDE <= width:
        assert all(each["width"] == WIDE for each in places)
    else:
        assert right[-1] == pytest.approx(width)
        assert places[0]["width"] == places[-1]["width"] == WIDE
        assert places[channels // 2]["width"] < WIDE


@pytest.fixture
def panel(browser, live_page):
    found = Panel(browser, live_page, "inside")
    found.wait("count", "textContent")
    return found


def test_the_panel_shows_grad_cam(panel):
    tape = tape_of(scene_of(panel.page))
    grad_cam = tape.grad_cam()
    low, high, scale = panel.numbers("sumText")
    assert panel.text("sumText").startswith("The sum of all 128 terms: ")
    np.testing.assert_allclose([low, high], [grad_cam.raw.min(), grad_cam.raw.max()], rtol=6e-3)
    assert scale >= max(-low, high)
    panel.page.click(panel.at("relu"))
    panel.wait("sumText", "textContent.includes('This is Grad-CAM')")
    assert panel.numbers("sumText") == [high]
    terms = grad_cam.weights[:, None, None] * tape.activation(grad_cam.layer)[0]
    first = np.abs(terms).mean((1, 2)).argmax()
    formula = panel.text("formula")
    assert formula.startswith(f"L{grad_cam.label} = ReLU(") and f"A{first}" in formula
    assert panel.numbers("formula")[0] == pytest.approx(abs(grad_cam.weights[first]), rel=6e-3)
    panel.page.check()


def test_cells_and_bars_choose_a_unit(panel):
    tape = tape_of(scene_of(panel.page))
    grad_cam = tape.grad_cam()
    terms = grad_cam.weights[:, None, None] * tape.activation(grad_cam.layer)[0]
    page = panel.page
    left, top, width, _ = panel.box("sum")
    for row, column in ((6, 4), (7, 10)):  # the cat, and the dog, which lowers the score
        page.click((left + (column + 0.5) * width / 14, top + (row + 0.5) * width / 14))
        panel.wait(
            "cellText", f"textContent.startsWith('Row {row + 1} of 14, column {column + 1} ')"
        )
        here = terms[:, row, column]
        unit = here.argmin() if here.sum() < 0 else here.argmax()
        assert f"unit {unit} is" in panel.text("cellText")
        assert f"the map of unit {unit}: " in panel.text("unitText")
        np.testing.assert_allclose(panel.numbers("cellText"), [here.sum(), here[unit]], rtol=6e-3)
    page.press("ArrowLeft")
    panel.wait("cellText", "textContent.startsWith('Row 8 of 14, column 10 ')")
    panel.focus("bars")
    page.press("Home")
    panel.wait("barsText", f"textContent.includes('Unit {grad_cam.weights.argmax()}, marked')")
    page.press("End")
    panel.wait("barsText", f"textContent.includes('Unit {grad_cam.weights.argmin()}, marked')")
    page.press("PageDown")
    earlier = np.argsort(-grad_cam.weights, kind="stable")[-11]
    panel.wait("barsText", f"textContent.includes('Unit {earlier}, marked')")
    page.press("End")
    panel.wait("barsText", f"textContent.includes('Unit {grad_cam.weights.argmin()}, marked')")
    words = page.evaluate(
        f"document.querySelector('{panel.at('bars')}').getAttribute('aria-valuetext')"
    )
    assert words.startswith(f"unit {grad_cam.weights.argmin()}, ") and words.endswith("128 of 128")
    page.click(panel.at("follow"))
    panel.wait("unitText", f"textContent.includes('unit {np.abs(terms).mean((1, 2)).argmax()}:')")
    page.check()


def test_terms_are_added(panel):
    page = panel.page
    panel.focus("terms")
    page.press("Home")
    panel.wait("count", "textContent === '0 of 128'")
    assert panel.text("sumText").startswith("The sum of 0 of 128 terms: values from 0 to 0.")
    page.press("ArrowRight")
    panel.wait("count", "textContent === '1 of 128'")
    page.click(panel.at("play"))
    assert panel.text("play") == "Pause"
    panel.wait("count", "textContent === '128 of 128'")
    panel.wait("play", "textContent === 'Play'")
    still = [{"name": "prefers-reduced-motion", "value": "reduce"}]
    page.command("Emulation.setEmulatedMedia", features=still)
    panel.wait("play", "textContent === 'Add a term'")
    page.click(panel.at("play"))
    panel.wait("count", "textContent === '1 of 128'")
    page.check()


def test_other_layers_and_a_telephone(browser, live_page):
    panel = Panel(browser, live_page, "inside", width=360, height=740, mobile=True)
    page = panel.page
    panel.choose("layer", "relu1_2")
    panel.choose("target", "dog")
    panel.wait("count", "textContent === '16 of 16'")
    panel.wait("formula", "textContent.includes('dog')")
    raw = tape_of(scene_of(page)).grad_cam("dog", layer="relu1_2").raw
    np.testing.assert_allclose(panel.numbers("sumText")[:2], [raw.min(), raw.max()], rtol=6e-3)
    page.tap(panel.at("unit"))
    panel.wait("cellText", "textContent.startsWith('Row 11')")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.check()
