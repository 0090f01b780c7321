"""Networks at random against the float64 twin; peers/ and fuzz/ have more, against PyTorch."""

from __future__ import annotations

import random_networks
import reference
from helpers import TOLERANCES

from gradcam._engine.layers import OPS

SEEDS = range(45)
CASES = [random_networks.random_case(seed) for seed in SEEDS]


def test_every_operation_has_an_entry_and_occurs():
    assert set(OPS) <= random_networks.ENTRIES.keys()
    assert set(OPS) <= set().union(*(case.operations for case in CASES))


def test_outputs_and_gradients_of_every_layer():
    """Every third network with convolutions by their definition."""
    compared = 0
    for case in CASES:
        twin = random_networks.Twin(case, reference.Builder(case.shape[1]))
        x = twin.robust_pictures()
        if x is None:
            continue
        compared += 1
        assembled = case.assemble("direct" if case.seed % 3 == 0 else "winograd")
        asked = random_networks.questions(case, assembled)
        found, right = random_networks.run_core(assembled, x, asked), twin.run(x, asked)
        for place, difference in random_networks.differences(found, right).items():
            assert difference < TOLERANCES["network"][0], (place, difference, str(case))
    assert compared > 0.7 * len(CASES)


def test_a_wrong_value_is_found():
    case = CASES[0]
    twin = random_networks.Twin(case, reference.Builder(case.shape[1]))
    x = case.pictures(0)
    right = twin.run(x, random_networks.questions(case, case.assemble()))
    for place, values in right.items():
        wrong = values.copy()
        wrong.flat[values.size // 2] += 1e-3 * abs(values).max() + 1e-20
        assert random_networks.difference(wrong, values) > 1e-4, place
        wrong.flat[0] = float("nan")
        assert random_networks.difference(wrong, values) == float("inf")
