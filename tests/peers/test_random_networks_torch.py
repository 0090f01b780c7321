"""Networks at random against PyTorch in float64; tests/fuzz/fuzz_networks.py runs thousands."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import random_networks
from helpers import TOLERANCES, peer

torch = peer("torch")

import torch_twin  # noqa: E402

pytestmark = pytest.mark.peers


@pytest.fixture(autouse=True)
def one_thread():
    """Many small operations: PyTorch's threads would only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("first", range(1000, 1300, 50))
def test_outputs_and_gradients_of_every_layer(first):
    """The tolerance is that of a network, or ten times the error of PyTorch in float32."""
    compared = 0
    for seed in range(first, first + 50):
        case = random_networks.random_case(seed)
        channels = case.shape[1]
        twin = random_networks.TorchTwin(case, torch_twin.Builder(channels))
        x = twin.robust_pictures()
        if x is None:
            continue
        compared += 1
        assembled = case.assemble("direct" if seed % 3 == 0 else "winograd")
        asked = random_networks.questions(case, assembled)
        right = twin.run(x, asked)
        single = random_networks.TorchTwin(case, torch_twin.Builder(channels, torch.float32))
        errors = random_networks.differences(single.run(x, asked), right)
        found = random_networks.run_core(assembled, x, asked)
        for place, difference in random_networks.differences(found, right).items():
            limit = max(TOLERANCES["network"][0], 10 * errors[place])
            assert difference < limit, (place, difference, errors[place], str(case))
    assert compared > 35


def test_the_fuzzer_runs():
    """At all levels, on three numbers of threads; its report says what it compared."""
    fuzzer = Path(__file__).parents[1] / "fuzz" / "fuzz_networks.py"
    command = [sys.executable, str(fuzzer), "--networks", "5", "--first", "7"]
    done = subprocess.run(command, cwd=fuzzer.parent, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "5 networks" in done.stdout and "0 findings" in done.stdout
