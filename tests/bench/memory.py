"""The maximum resident set size of a process that explains with VGG-16 from a weight file.

    python tests/bench/memory.py [CASE ...]

Each case runs in its own process, with a file of random weights of full size (553 MB, in a
temporary folder) and biases for which as many units are zero as after training. The cache of
transformed weights exists, as after a first use. Mapped pages of all files are included in the
resident set, once each.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import gradcam
from gradcam.bench._networks import make_input, random_network

CASES = {  # method, batch, side of the pictures in pixels
    "forward": ("forward", 1, 224),
    "grad_cam": ("grad_cam", 1, 224),
    "guided": ("guided_backprop", 1, 224),
    "batch32": ("grad_cam", 32, 224),
    "batch32-guided": ("guided_backprop", 32, 224),
    "1024x1024": ("grad_cam", 1, 1024),
}


def run(weights: str, method: str, batch: str, side: str) -> None:
    """Explain once and print the maximum in MB."""
    x = make_input(int(batch), int(side))
    tape = gradcam.vgg16(weights).forward(x, record=method != "forward")
    if method != "forward":
        tape.explain(method)
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS
    print(kilobytes * (1e-6 if sys.platform == "darwin" else 1.024e-3))


def main(*names: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        weights = str(Path(folder) / "vgg16.safetensors")
        # In another process, because its resident memory would be inherited by the others.
        subprocess.run([sys.executable, __file__, "--prepare", weights], check=True)
        environment = os.environ | {"GRADCAM_CACHE": folder}
        for name in ("grad_cam", *(names or CASES)):  # the first one fills the cache
            command = [sys.executable, __file__, "--run", weights, *map(str, CASES[name])]
            process = subprocess.run(
                command, env=environment, capture_output=True, text=True, check=True
            )
            print(f"{name:16} {float(process.stdout):7.0f} MB")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--run"]:
        run(*sys.argv[2:])
    elif sys.argv[1:2] == ["--prepare"]:
        gradcam.weights.save(random_network(), sys.argv[2])
    else:
        main(*sys.argv[1:])
