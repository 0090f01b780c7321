"""Compare thousands of networks at random with PyTorch in float64.

    python tests/fuzz/fuzz_networks.py --networks 2000
    python tests/fuzz/fuzz_networks.py --first 1234 --networks 1      # one network again

tests/random_networks.py makes the networks. Of each, the outputs of all layers and the gradients
of the scores by all layers, and of a layer between by another, under every rule, are compared at
every level of this machine, with convolutions by Winograd's algorithm and by their definition. The
results with two and three threads must have the bits of those with one, and those of layers that
run in one step the bits of those that run alone.

A difference is a finding if it is larger than that allowed for a network in tests/helpers.py and
larger than ten times the error of PyTorch in float32. Pictures are chosen so that rounding cannot
change a decision, such as the sign of a ReLU's input; if none of twelve batches is like that, the
network is skipped. The report has the largest difference of each kind; results of which PyTorch in
float32 has an error above 1e-4 are not among them, but counted. The exit status is 1 if there is a
finding.
"""

from __future__ import annotations

import argparse
import collections
import sys
import time
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(TESTS), str(TESTS / "peers")]

import numpy as np  # noqa: E402
import random_networks  # noqa: E402
import torch  # noqa: E402
import torch_twin  # noqa: E402
from helpers import TOLERANCES  # noqa: E402
from random_networks import Case, Results  # noqa: E402

from gradcam import _core  # noqa: E402

LIMIT = TOLERANCES["network"][0]
ILL_CONDITIONED = 1e-4


class Fuzzer:
    """Runs networks and counts."""

    def __init__(self, levels: list[str], threads: list[int]) -> None:
        self.levels = levels
        self.threads = threads
        self.counts: collections.Counter[str] = collections.Counter()
        self.operations: collections.Counter[str] = collections.Counter()
        self.largest: dict[str, tuple[float, float, str]] = {}
        self.findings: list[str] = []

    def run(self, seed: int) -> None:
        """Compare one network."""
        case = random_networks.random_case(seed)
        self.counts["networks"] += 1
        channels = case.shape[1]
        twin = random_networks.TorchTwin(case, torch_twin.Builder(channels))
        x = twin.robust_pictures()
        if x is None:
            self.counts["skipped"] += 1
            return
        self.operations.update(layer.op for layer in case.layers)
        asked = random_networks.questions(case, case.assemble())
        right = twin.run(x, asked)
        single = random_networks.TorchTwin(case, torch_twin.Builder(channels, torch.float32))
        errors = random_networks.differences(single.run(x, asked), right)
        for level in self.levels:
            _core.set_cpu_level(level)
            for conv in ("winograd", "direct"):
                how = f"{level}, {conv}"
                try:
                    found = self._with_all_threads(case, conv, x, asked)
                except AssertionError as error:
                    self._report(case, how, str(error))
                    continue
                self._compare(case, how, found, right, errors)

    def _with_all_threads(self, case: Case, conv: str, x: np.ndarray, asked: list) -> Results:
        results = []
        for threads in self.threads:
            _core.set_num_threads(threads)
            results.append(random_networks.run_core(case.assemble(conv), x, asked))
        for threads, other in zip(self.threads, results, strict=True):
            for place, values in results[0].items():
                assert np.array_equal(values, other[place]), (
                    f"other bits with {threads} threads: {' '.join(place)}"
                )
        return results[0]

    def _compare(
        self,
        case: Case,
        how: str,
        found: Results,
        right: Results,
        errors: dict[tuple[str, ...], float],
    ) -> None:
        for place, difference in random_networks.differences(found, right).items():
            self.counts["results"] += 1
            where = f"network {case.seed}, {how}: {' '.join(place)}"
            if difference > max(LIMIT, 10 * errors[place]):
                self._report(case, how, f"{' '.join(place)}: {difference:.1e}")
            if errors[place] > ILL_CONDITIONED:
                self.counts["ill-conditioned"] += 1
            elif difference > self.largest.get(place[0], (-1.0,))[0]:
                self.largest[place[0]] = (difference, errors[place], where)

    def _report(self, case: Case, how: str, text: str) -> None:
        if not any(each.startswith(f"network {case.seed},") for each in self.findings):
            print(f"FINDING: {how}: {text}\n{case}", flush=True)
        self.findings.append(f"network {case.seed}, {how}: {text}")

    def report(self) -> str:
        """Return the counts and the largest difference of each kind."""
        lines = [
            f"{self.counts['networks']} networks, {self.counts['skipped']} skipped, "
            f"{sum(self.operations.values())} layers, {self.counts['results']} results at "
            f"{', '.join(self.levels)}, threads {', '.join(map(str, self.threads))}; "
            f"{len(self.findings)} findings, "
            f"{self.counts['ill-conditioned']} results ill-conditioned",
            ", ".join(f"{op} {count}" for op, count in sorted(self.operations.items())),
            "largest differences (PyTorch in float32: in brackets)",
        ]
        for kind, (difference, error, where) in self.largest.items():
            lines.append(f"  {kind:10} {difference:.1e} ({error:.1e})  {where}")
        return "\n".join([*lines, *self.findings[:50]])


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--networks", type=int, default=1000)
    parser.add_argument("--first", type=int, default=10_000, help="the first seed")
    parser.add_argument("--levels", default=",".join(_core.cpu_levels()))
    parser.add_argument("--threads", default="1,2,3")
    options = parser.parse_args()
    torch.set_num_threads(1)
    fuzzer = Fuzzer(options.levels.split(","), [int(n) for n in options.threads.split(",")])
    start = time.monotonic()
    for seed in range(options.first, options.first + options.networks):
        fuzzer.run(seed)
        if (seed - options.first + 1) % 200 == 0:
            seconds = time.monotonic() - start
            print(f"{seed - options.first + 1} networks, {seconds:.0f} s", flush=True)
    print(fuzzer.report())
    return 1 if fuzzer.findings else 0


if __name__ == "__main__":
    sys.exit(main())
