"""The bootstrap interval of a mean."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gradcam._methods import bootstrap as _bootstrap
from gradcam.measures import bootstrap, share


def plain(values, level, samples, seed):
    """The percentile bootstrap by its definition, one draw after the other."""
    rng, values = np.random.default_rng(seed), sorted(values)
    means = sorted(
        sum(values[i] for i in rng.integers(len(values), size=len(values))) / len(values)
        for _ in range(samples)
    )
    return np.quantile(means, [(1 - level) / 2, (1 + level) / 2])


def test_the_interval_is_that_of_the_definition():
    values = np.random.default_rng(3).normal(size=17)
    found = bootstrap(values, level=0.9, samples=300, seed=5)
    assert found.size == 17
    assert found.mean == pytest.approx(values.mean(), abs=1e-15)
    np.testing.assert_allclose([found.low, found.high], plain(values, 0.9, 300, 5), atol=1e-14)


def test_the_interval_does_not_depend_on_the_order():
    values = np.random.default_rng(1).random(10)
    assert bootstrap(values) == bootstrap(values[::-1]) == bootstrap(np.roll(values, 3))


def test_the_interval_does_not_depend_on_the_memory_used(monkeypatch):
    values = np.random.default_rng(3).normal(size=100)
    at_once = bootstrap(values)
    monkeypatch.setattr(_bootstrap, "_NUMBERS", 700)
    assert bootstrap(values) == at_once


def test_the_interval_holds_the_true_mean_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    held = 0
    for seed in range(200):
        found = bootstrap(rng.random(60) < 0.3, samples=400, seed=seed)
        held += found.low <= 0.3 <= found.high
    # 0.95 expected; of 200, 3.5 standard deviations below and the coverage of few samples.
    assert 0.88 <= held / 200 <= 1


def test_nan_is_left_out_and_counted():
    values = [1.0, math.nan, 3.0, 2.0]
    assert bootstrap(values) == bootstrap([1.0, 3.0, 2.0])
    assert bootstrap(values).size == 3


def test_too_few_values_have_no_interval():
    mean, low, high, size = bootstrap([2.0])
    assert (mean, size) == (2, 1) and math.isnan(low) and math.isnan(high)
    assert math.isnan(bootstrap([math.nan]).mean) and bootstrap([]).size == 0


def test_equal_values_have_an_interval_of_no_width():
    assert bootstrap([0.5] * 8)[:3] == (0.5, 0.5, 0.5)


def test_an_interval_is_written_with_its_number_of_values():
    assert str(_bootstrap.Interval(0.5, 0.25, 0.75, 8)) == "0.5 (0.25 to 0.75, n = 8)"


@pytest.mark.parametrize(
    ("values", "options", "error", "message"),
    [
        ([[1.0, 2.0]], {}, ValueError, r"shape \(N,\), got \(1, 2\)"),
        (["a", "b"], {}, ValueError, "expected numbers"),
        ([1.0, math.inf], {}, ValueError, "infinity"),
        ([1.0, 2.0], {"level": 1}, ValueError, "between 0 and 1"),
        ([1.0, 2.0], {"level": "high"}, TypeError, "level: expected a number"),
        ([1.0, 2.0], {"samples": 0}, ValueError, "samples: expected 1 or more"),
        ([1.0, 2.0], {"seed": -1}, ValueError, "seed"),
    ],
)
def test_what_cannot_be_used_is_refused(values, options, error, message):
    with pytest.raises(error, match=message):
        bootstrap(values, **options)


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ("abc", "expected numbers, got 'abc'"),
        (["a", "b"], "expected numbers, got"),
        ([1, None], "expected numbers, got"),
        (np.ma.masked_array([1.0, 2.0], [0, 1]), "masked array"),
        ([1e308] * 9, "at most 1e[+]290"),
    ],
)
def test_values_that_have_no_mean(values, match):
    with pytest.raises(ValueError, match=match):
        bootstrap(values)


@pytest.mark.parametrize(
    ("count", "size", "error", "message"),
    [
        (11, 10, ValueError, "got count=11, size=10"),
        (-1, 10, ValueError, "got count=-1, size=10"),
        (0, -1, ValueError, "got count=0, size=-1"),
        (0.5, 10, TypeError, "count: expected an integer"),
    ],
)
def test_a_share_of_what_cannot_be_counted_is_refused(count, size, error, message):
    with pytest.raises(error, match=message):
        share(count, size)
