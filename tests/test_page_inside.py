"""The live page's panel "Inside": the sum of Grad-CAM, term by term."""

from __future__ import annotations

import numpy as np
import pytest
import small_pictograms
from helpers import run_node

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
