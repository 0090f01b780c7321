"""A full-size VGG-16 in every format, written by the tool of the format and loaded here.

    KERAS_BACKEND=torch python tests/report_formats.py [WORD ...]

With words, only the rows that contain one of them. Each file has random weights and 553 MB and is
written to a temporary folder, by PyTorch, safetensors, timm, NumPy, Keras, protobuf with Caffe's
schema, and PyTorch's two ONNX exporters; the row of a tool that is not installed says so.

    bytes         of the file, and of the files that belong to it
    first, again  seconds of ``gradcam.load`` in a new process, after its imports; `again` with the
                  cache of the first. The file was just written, so it is in the page cache.
    memory        MB of the process that no file backs, after each of the two
    scores, cam   maximum difference divided by maximum value, of all scores and of the signed
                  Grad-CAM map of one class at relu5_3, from the reference: timm's module, Keras's
                  model, ONNX Runtime (with PyTorch's map); for other formats PyTorch in float64
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent / "peers")]
os.environ.setdefault("KERAS_BACKEND", "torch")

import conftest  # noqa: E402, F401
import numpy as np  # noqa: E402
import vggs  # noqa: E402
from helpers import largest_difference, run_python  # noqa: E402

import gradcam  # noqa: E402

CLASS, LAYER = 282, "relu5_3"

Answer = tuple[np.ndarray, np.ndarray]
"""Scores and map."""


def tensors() -> dict[str, np.ndarray]:
    return vggs.tensors(divide=1, hidden=(4096, 4096), classes=1000)


def pixels(seed: int = 6) -> np.ndarray:
    """An input array, since only the networks are compared."""
    return np.random.default_rng(seed).standard_normal((1, 3, 224, 224)).astype(np.float32)


def in_pytorch(held: dict[str, np.ndarray], x: np.ndarray) -> Answer:
    from torch_cam import scores_and_cam

    return scores_and_cam("vgg16", held, x, CLASS, LAYER)


# --- the formats: each function writes a file and returns the reference ---


def stream(path: Path, x: np.ndarray) -> Answer:
    return _torch(path, x, False)


def zipped(path: Path, x: np.ndarray) -> Answer:
    return _torch(path, x, True)


def _torch(path: Path, x: np.ndarray, zip: bool) -> Answer:
    import torch

    held = tensors()
    state = {name: torch.from_numpy(values) for name, values in held.items()}
    torch.save(state, path, _use_new_zipfile_serialization=zip)
    return in_pytorch(held, x)


def safetensors(path: Path, x: np.ndarray) -> Answer:
    from safetensors.numpy import save_file

    held = tensors()
    save_file(held, path)
    return in_pytorch(held, x)


def timm(path: Path, x: np.ndarray) -> Answer:
    import timm
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(0)
    model = timm.create_model("vgg16", pretrained=False).eval()
    save_file(model.state_dict(), path)
    kept = {}
    model.features[29].inplace = False
    model.features[29].register_forward_hook(lambda module, given, made: kept.update(map=made))
    scores = model(torch.from_numpy(x))
    (gradient,) = torch.autograd.grad(scores[0, CLASS], kept["map"])
    cam = (gradient.mean((2, 3), keepdim=True) * kept["map"]).sum(1)[0]
    return scores.detach().numpy(), cam.detach().numpy()


def npz(path: Path, x: np.ndarray) -> Answer:
    held = tensors()
    np.savez(path, **held)
    return in_pytorch(held, x)


def frossard(path: Path, x: np.ndarray) -> Answer:
    """The layout of his file: H, W, I, O; fc6 on the map flattened as H, W, C."""
    held = tensors()
    layout = {}
    for caffe, torchvision, _ in vggs.layers("vgg16"):
        weight = held.get(f"{torchvision}.weight")
        if weight is None:
            continue
        if caffe == "fc6":
            weight = weight.reshape(-1, 512, 7, 7).transpose(0, 2, 3, 1).reshape(len(weight), -1)
        turned = weight.transpose(2, 3, 1, 0) if weight.ndim == 4 else weight.T
        layout[f"{caffe}_W"] = np.ascontiguousarray(turned)
        layout[f"{caffe}_b"] = held[f"{torchvision}.bias"]
    np.savez(path, **layout)
    return in_pytorch(held, x)


def keras(way: str) -> Callable[[Path, np.ndarray], Answer]:
    def write(path: Path, x: np.ndarray) -> Answer:
        import keras
        import test_keras
        import torch

        keras.utils.set_random_seed(7)
        model = keras.applications.VGG16(weights=None, classifier_activation=None)
        test_keras.SAVED[way](model, path)
        y = torch.tensor(x.transpose(0, 2, 3, 1).copy())
        for layer in test_keras.chain(model):
            y = layer(y)
            if layer.name == "block5_conv3":
                maps = y
        (gradient,) = torch.autograd.grad(y[0, CLASS], maps)
        cam = (gradient.mean((1, 2), keepdim=True) * maps).sum(-1)[0]
        return y.detach().numpy(), cam.detach().numpy()

    return write


def caffe(old: bool) -> Callable[[Path, np.ndarray], Answer]:
    def write(path: Path, x: np.ndarray) -> Answer:
        from test_caffe_files import net

        held = tensors()
        path.write_bytes(net("vgg16", held, old=old).SerializeToString())
        return in_pytorch(held, x)

    return write


def onnx(dynamo: bool) -> Callable[[Path, np.ndarray], Answer]:
    def write(path: Path, x: np.ndarray) -> Answer:
        from test_onnx_files import by_runtime, export

        held = tensors()
        export("vgg16", held, path, dynamo=dynamo)
        return by_runtime(path, x), in_pytorch(held, x)[1]

    return write


FORMATS: dict[str, tuple[str, Callable[[Path, np.ndarray], Answer]]] = {
    "torch.save, stream": ("vgg16.pth", stream),
    "torch.save, zip": ("vgg16.pt", zipped),
    "safetensors": ("vgg16.safetensors", safetensors),
    "safetensors, timm": ("model.safetensors", timm),
    "npz, torchvision's names": ("vgg16.npz", npz),
    "npz, Frossard's layout": ("vgg16_weights.npz", frossard),
    "Keras, legacy weights .h5": ("vgg16.h5", keras("legacy.h5")),
    "Keras, model .h5": ("model.h5", keras("model.h5")),
    "Keras 3, .weights.h5": ("model.weights.h5", keras("model.weights.h5")),
    "Keras 3, .keras": ("model.keras", keras("model.keras")),
    "caffemodel, V1 layers": ("vgg16.caffemodel", caffe(True)),
    "caffemodel, new layers": ("vgg16.caffemodel", caffe(False)),
    "onnx, dynamo=False": ("vgg16.onnx", onnx(False)),
    "onnx, dynamo=True": ("vgg16.onnx", onnx(True)),
}


def load(path: Path, cache: Path) -> tuple[float, float]:
    """Measure seconds and MB of private memory for loading, in a new process."""
    told = run_python(
        f"""
import time, gradcam
from helpers import private_bytes
before, start = private_bytes(), time.perf_counter()
network = gradcam.load({str(path)!r})
seconds = time.perf_counter() - start
print(seconds, (private_bytes() - before) / 1e6)
""",
        GRADCAM_CACHE=str(cache),
    )
    seconds, memory = map(float, told.split())
    return seconds, memory


def rows(words: list[str]) -> Iterator[str]:
    x = pixels()
    for name, (file, write) in FORMATS.items():
        if words and not any(word in name for word in words):
            continue
        with tempfile.TemporaryDirectory() as folder:
            path, cache = Path(folder) / file, Path(folder) / "cache"
            try:
                scores, cam = write(path, x)
            except ImportError as error:
                yield f"{name:26} not measured: {error}"
                continue
            size = sum(each.stat().st_size for each in path.parent.iterdir())
            first, again = load(path, cache), load(path, cache)
            os.environ["GRADCAM_CACHE"] = str(cache)
            tape = gradcam.load(path).forward(x)
            yield (
                f"{name:26} {size:12,}  {first[0]:6.2f} {again[0]:6.2f}  {first[1]:6.0f} "
                f"{again[1]:6.0f}  {largest_difference(tape.scores, scores):.1e}  "
                f"{largest_difference(tape.grad_cam(CLASS)[0].raw, cam):.1e}"
            )


def main(*words: str) -> None:
    print(f"{'':26} {'bytes':>12}  {'first':>6} {'again':>6}  {'memory':>13}  scores   cam")
    for row in rows(list(words)):
        print(row, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
