"""Time of an LSTM, forward and the gradient by its input: gradcam and PyTorch in turn.

    python tests/bench/lstm.py [THREADS]

12 steps, one sequence and 12, as many inputs as cells. The two programs take turns. Prints the
shortest time of each in milliseconds, since other programs can only make it longer, and the ratio.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import numpy as np
import torch

import gradcam._sequences as seq
from gradcam import _core

STEPS, ROUNDS = 12, 300


def programs(batch: int, hidden: int) -> tuple[Callable[[], object], Callable[[], object]]:
    """Return the two programs on the same numbers; their results are compared first."""
    torch.manual_seed(0)
    theirs = torch.nn.LSTM(hidden, hidden).requires_grad_(False)
    x = torch.randn(STEPS, batch, hidden, requires_grad=True)
    seed = torch.randn(STEPS, batch, hidden)
    weights = [seq.constant(weight.numpy()) for weight in theirs.parameters()]
    array, our_seed = x.detach().numpy(), seed.numpy()

    def ours() -> np.ndarray:
        value = seq.variable(array)
        h, _ = seq.lstm(value, *weights)
        return seq.gradients(h, our_seed, [value])[0]

    def pytorch() -> torch.Tensor:
        return torch.autograd.grad(theirs(x)[0], x, seed)[0]

    np.testing.assert_allclose(ours(), pytorch().numpy(), atol=1e-5)
    return ours, pytorch


def seconds(program: Callable[[], object]) -> float:
    start = time.perf_counter()
    program()
    return time.perf_counter() - start


def main(threads: int) -> None:
    torch.set_num_threads(threads)
    _core.set_num_threads(threads)
    print(f"{'cells':>5} {'sequences':>9} {'gradcam ms':>11} {'PyTorch ms':>11} {'ratio':>6}")
    for hidden in (128, 256):
        for batch in (1, 12):
            both = programs(batch, hidden)
            times = [[seconds(program) for program in both] for _ in range(ROUNDS)]
            ours, theirs = (1e3 * min(each) for each in zip(*times, strict=True))
            print(f"{hidden:5} {batch:9} {ours:11.3f} {theirs:11.3f} {ours / theirs:6.2f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else _core.get_num_threads())
