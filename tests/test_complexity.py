"""Entropy and Gini index of maps."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from gradcam import measures


def test_complexity_and_sparseness_of_known_maps():
    one = np.zeros((4, 5))
    one[2, 3] = -7
    assert measures.complexity(one) == 0
    assert measures.sparseness(one) == pytest.approx(1 - 1 / 20)
    even = np.full((4, 5), 0.3)
    assert measures.complexity(even) == pytest.approx(np.log(20))
    assert measures.sparseness(even) == pytest.approx(0, abs=1e-12)
    # Shares 0.1, 0.2, 0.3, 0.4: the mean difference of two of them over twice their mean.
    few = np.array([[3, -1], [4, 2]])
    differences = abs(abs(few).reshape(-1, 1) - abs(few).reshape(1, -1))
    assert measures.sparseness(few) == pytest.approx(differences.mean() / 2 / 2.5)
    shares = np.array([0.1, 0.2, 0.3, 0.4])
    assert measures.complexity(few) == pytest.approx(-(shares * np.log(shares)).sum())


def test_maps_of_zeros_have_no_complexity():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isnan(measures.complexity(np.zeros((3, 3))))
        assert np.isnan(measures.sparseness(np.zeros((3, 3))))
    with pytest.raises(ValueError, match="finite"):
        measures.complexity(np.full((3, 3), np.nan))
