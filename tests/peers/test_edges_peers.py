"""The edge detector against scikit-image's, on the same input."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import peer

from gradcam import Layer, Network, measures

filters = peer("skimage.filters")

pytestmark = pytest.mark.peers


def test_edges_are_those_of_skimage():
    weight = np.ones((2, 3 * 37 * 51), np.float32)
    layers = [Layer("flat", "flatten"), Layer("fc", "linear", weights={"weight": weight})]
    picture = np.random.default_rng(1).standard_normal((3, 37, 51)).astype(np.float32)
    found = measures.edges(Network.from_layers(layers).forward(picture))
    expected = filters.sobel(np.float64(picture).mean(0))
    np.testing.assert_allclose(found, expected, atol=1e-6)
