"""Time from the start of a process to a saved heat map: VGG-16 in gradcam and in PyTorch.

    python tests/bench/start.py [ROUNDS]

Writes a picture and a full-size VGG-16 to a temporary folder (553 MB, once for gradcam and once for
PyTorch; random weights, with as many zeros after ReLUs as in a trained network), and runs in turn,
with the files in the disk cache:

    gradcam, no cache    gradcam explain, without its cache of transformed weights
    gradcam              gradcam explain, with that cache
    PyTorch              a script with the same steps: Grad-CAM at relu5_3, jet over the picture;
                         weights are mapped into memory, layers have no initial values
    PyTorch, plain       the same as in most scripts: layers are initialised, weights are read

Prints medians and minima of the times, the ratio to "PyTorch", and the maximum resident memory.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TORCH = """
import sys
import matplotlib, numpy as np, torch
from PIL import Image
from torch import nn

def model():
    layers, channels = [], 3
    for count, width in ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512)):
        for _ in range(count):
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
            channels = width
        layers.append(nn.MaxPool2d(2))
    fc = [nn.Linear(25088, 4096), nn.ReLU(), nn.Dropout(), nn.Linear(4096, 4096), nn.ReLU(),
          nn.Dropout(), nn.Linear(4096, 1000)]
    return nn.ModuleDict({"features": nn.Sequential(*layers), "classifier": nn.Sequential(*fc)})

if sys.argv[1] == "mapped":
    with torch.device("meta"):
        net = model()
    net.load_state_dict(torch.load("vgg16.pth", mmap=True, weights_only=True), assign=True)
else:
    net = model()
    net.load_state_dict(torch.load("vgg16.pth", weights_only=True))
net.eval()
picture = Image.open("picture.png").convert("RGB")
x = torch.from_numpy(np.array(picture.resize((224, 224), Image.Resampling.BILINEAR)))
mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
x = ((x / 255 - mean) / std).permute(2, 0, 1)[None]
with torch.no_grad():
    maps = net["features"][:30](x)
maps.requires_grad_()
scores = net["classifier"](net["features"][30](maps).flatten(1))
(gradient,) = torch.autograd.grad(scores.max(), maps)
cam = (gradient.mean((2, 3), keepdim=True) * maps).sum(1, keepdim=True).relu().detach()
cam = nn.functional.interpolate(cam, size=picture.size[::-1], mode="bilinear")[0, 0].numpy()
cam = (cam - cam.min()) / (cam.max() - cam.min())
heat = matplotlib.colormaps["jet"](cam, bytes=True)[..., :3]
Image.fromarray(np.asarray(picture) // 2 + heat // 2).save("torch.png", compress_level=2)
"""

EXPLAIN = [sys.executable, "-m", "gradcam", "explain", "picture.png"]
EXPLAIN += ["--weights", "vgg16.safetensors"]


def prepare(folder: Path) -> None:
    """Write the weights for both programs, and the picture."""
    import torch

    import gradcam
    from gradcam.bench._networks import random_network

    tensors = random_network()
    gradcam.weights.save(tensors, folder / "vgg16.safetensors")
    torch.save({k: torch.from_numpy(v) for k, v in tensors.items()}, folder / "vgg16.pth")
    scene = gradcam.pictograms.scene(seed=1)
    gradcam.plot.save(scene.picture, folder / "picture.png")


def measure(command: list[str], folder: Path, cache: str) -> tuple[float, float]:
    """Run a command; return the seconds until it has ended and the maximum resident MB."""
    environment = os.environ | {"GRADCAM_CACHE": cache}
    start = time.perf_counter()
    process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    elapsed = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command[:4]} failed with exit status {process.returncode}")
    return elapsed, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6


def main(rounds: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # In another process, because the resident memory of this one is inherited by its children.
        subprocess.run([sys.executable, __file__, "prepare", name], check=True)
        cache = str(folder / "cache")
        torch = [sys.executable, "-c", TORCH]
        programs = {
            "gradcam, no cache": (EXPLAIN, "off"),
            "gradcam": (EXPLAIN, cache),
            "PyTorch": ([*torch, "mapped"], "off"),
            "PyTorch, plain": ([*torch, "plain"], "off"),
        }
        first, _ = measure(EXPLAIN, folder, cache)
        print(f"gradcam's first run, which fills its cache: {first:.2f} s")
        results: dict[str, list[tuple[float, float]]] = {name: [] for name in programs}
        for number in range(rounds + 1):
            for label, (command, cache_folder) in programs.items():
                result = measure(command, folder, cache_folder)
                if number > 0:  # the first round fills the disk cache
                    results[label].append(result)
        medians = {label: statistics.median(t for t, _ in each) for label, each in results.items()}
        for label, each in results.items():
            ratio = medians[label] / medians["PyTorch"]
            minimum = min(t for t, _ in each)
            memory = max(m for _, m in each)
            print(
                f"{label:20}  {medians[label]:5.2f} s  (minimum {minimum:.2f})  "
                f"{ratio:5.2f} of PyTorch  {memory:5.0f} MB"
            )


if __name__ == "__main__" and sys.argv[1:2] == ["prepare"]:
    prepare(Path(sys.argv[2]))
elif __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
