"""A busy neighbour: a process that reads 200 MB again and again, on one processor.

    python -m gradcam.bench._neighbour PROCESSOR

It prints a line when it begins, and runs until it is killed.
"""

from __future__ import annotations

import sys

import numpy as np

from gradcam.bench._machine import bind

VALUES = 50_000_000


def main(processor: str) -> None:
    bind([int(processor)])
    values = np.ones(VALUES, np.float32)
    print("reading", flush=True)
    while True:
        values.sum()


if __name__ == "__main__":
    main(*sys.argv[1:])
