"""Small folders as transformers and timm write them, and a NumPy twin of the network in them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from gradcam.weights import save

CONFIG = {
    "architectures": ["ResNetForImageClassification"],
    "model_type": "resnet",
    "layer_type": "basic",
    "embedding_size": 4,
    "hidden_sizes": [4, 6],
    "depths": [1, 1],
    "hidden_act": "relu",
    "id2label": {"0": "cat", "1": "dog", "2": "hen"},
    "transformers_version": "5.0.0",
}
"""A ResNet of two basic blocks."""

PREPROCESSOR = {
    "image_processor_type": "ConvNextImageProcessor",
    "crop_pct": 0.875,
    "do_normalize": True,
    "do_resize": True,
    "image_mean": [0.485, 0.456, 0.406],
    "image_std": [0.229, 0.224, 0.225],
    "resample": 3,
    "size": {"shortest_edge": 224},
}

CONVOLUTIONS = {
    "resnet.embedder.embedder": (4, 3, 7, 7),
    "resnet.encoder.stages.0.layers.0.layer.0": (4, 4, 3, 3),
    "resnet.encoder.stages.0.layers.0.layer.1": (4, 4, 3, 3),
    "resnet.encoder.stages.1.layers.0.shortcut": (6, 4, 1, 1),
    "resnet.encoder.stages.1.layers.0.layer.0": (6, 4, 3, 3),
    "resnet.encoder.stages.1.layers.0.layer.1": (6, 6, 3, 3),
}
"""The shapes of the weights of its convolutions."""


def tensors(seed: int = 0) -> dict[str, np.ndarray]:
    """Random weights and statistics."""
    rng = np.random.default_rng(seed)
    result: dict[str, np.ndarray] = {}
    for name, shape in CONVOLUTIONS.items():
        result[f"{name}.convolution.weight"] = rng.normal(0, 0.4, shape)
        norm = f"{name}.normalization"
        result[f"{norm}.weight"] = rng.uniform(0.5, 1.5, shape[0])
        result[f"{norm}.bias"] = rng.normal(0, 0.2, shape[0])
        result[f"{norm}.running_mean"] = rng.normal(0, 0.2, shape[0])
        result[f"{norm}.running_var"] = rng.uniform(0.5, 2, shape[0])
        result[f"{norm}.num_batches_tracked"] = np.array(7)
    result["classifier.1.weight"] = rng.normal(0, 1, (3, 6))
    result["classifier.1.bias"] = rng.normal(0, 1, 3)
    return {
        name: values if values.dtype.kind == "i" else values.astype(np.float32)
        for name, values in result.items()
    }


def write(
    folder: Path,
    config: object = CONFIG,
    preprocessor: object = PREPROCESSOR,
    weights: dict[str, np.ndarray] | None = None,
) -> Path:
    """Write a folder; None leaves out the preprocessor."""
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    if preprocessor is not None:
        (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor))
    save(tensors() if weights is None else weights, folder / "model.safetensors", {"format": "pt"})
    return folder


def write_parts(folder: Path, parts: int = 3) -> list[Path]:
    """Write a folder whose weights are in several files; return these."""
    write(folder)
    (folder / "model.safetensors").unlink()
    every = list(tensors().items())
    places, files = {}, []
    for i in range(parts):
        name = f"model-{i + 1:05}-of-{parts:05}.safetensors"
        part = dict(every[i::parts])
        save(part, folder / name)
        places |= dict.fromkeys(part, name)
        files.append(folder / name)
    index = {"metadata": {"total_size": 1}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return files


# ------------------------------------------------------------------------ the network in NumPy


def convolved(x: np.ndarray, weight: np.ndarray, stride: int, padding: int) -> np.ndarray:
    x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    windows = np.lib.stride_tricks.sliding_window_view(x, weight.shape[2:], (2, 3))
    return np.einsum("ncijrs,kcrs->nkij", windows[:, :, ::stride, ::stride], weight)


def scores(x: np.ndarray, weights: dict[str, np.ndarray]) -> np.ndarray:
    """The scores of the network in float64, as transformers computes them."""
    w = {name: values.astype(np.float64) for name, values in weights.items()}

    def normalised(x, name, stride):
        kernel = w[f"{name}.convolution.weight"]
        y = convolved(x, kernel, stride, kernel.shape[2] // 2)
        norm = f"{name}.normalization"
        scale = w[f"{norm}.weight"] / np.sqrt(w[f"{norm}.running_var"] + 1e-5)
        shift = w[f"{norm}.bias"] - w[f"{norm}.running_mean"] * scale
        return y * scale[:, None, None] + shift[:, None, None]

    x = np.maximum(normalised(x.astype(np.float64), "resnet.embedder.embedder", 2), 0)
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=-np.inf)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (2, 3))
    x = windows[:, :, ::2, ::2].max((4, 5))
    for stage in (0, 1):
        block, stride = f"resnet.encoder.stages.{stage}.layers.0", 1 + stage
        y = np.maximum(normalised(x, f"{block}.layer.0", stride), 0)
        y = normalised(y, f"{block}.layer.1", 1)
        x = np.maximum(y + (normalised(x, f"{block}.shortcut", 2) if stage else x), 0)
    return x.mean((2, 3)) @ w["classifier.1.weight"].T + w["classifier.1.bias"]
