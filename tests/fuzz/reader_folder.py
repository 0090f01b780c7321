"""Folders of Hugging Face, fuzzed: the reader and the importers of transformers and timm.

An input is all files of a folder in one: before each a line with its name.
"""

from __future__ import annotations

import json
import random
import re
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from fuzz_weights import INTERESTING, mutated

import gradcam
from gradcam import weights

sys.path.insert(0, str(Path(__file__).parent.parent))

import model_folders

_SEPARATOR = re.compile(rb"\n==== ([\w.-]{1,60})\n")

_NAMES = (
    *("config.json", "preprocessor_config.json", "model.safetensors", "pytorch_model.bin"),
    *("model.safetensors.index.json", "other"),
)

_VALUES = (
    *(None, True, False, "", "relu", "x" * 99, [], {}, [[]], [1], {"0": "a"}, {"height": 9}),
    *(0, -1, 1, 2, 3, 7, 1 << 20, 1 << 70, 0.5, 1e308, -1e-308, [2, 2], [1, 10**6], "silu"),
    *({"shortest_edge": 5}, "mobilenet_v1", "mobilenet_v2", "convnext", "efficientnet", "regnet"),
)

_TIMM = {
    "architecture": "vgg11",
    "label_names": ["a", "b"],
    "pretrained_cfg": {"input_size": [3, 32, 32], "mean": [0, 0, 0], "std": [1, 1, 1]},
}


def read(path):
    """Read a folder and make its network."""
    files = _files(Path(path).read_bytes())
    with tempfile.TemporaryDirectory(dir=Path(path).parent) as folder:
        for name, content in files.items():
            Path(folder, name).write_bytes(content)
        content = weights.load(folder)
        gradcam.load(content)
        gradcam.load(folder, mmap=False)
    return content


def seeds() -> list[bytes]:
    from gradcam._models import architecture, checkpoints  # noqa: F401  registers the networks

    vgg = architecture.find("vgg11").random_tensors(width=1, fc=2, classes=2)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        model_folders.write(root / "whole")
        model_folders.write_parts(root / "parts")
        model_folders.write(root / "timm", _TIMM, None, vgg)
        for path in _families(root):
            shutil.copy(root / "whole" / "preprocessor_config.json", path)
        return [_joined(path) for path in sorted(root.iterdir())]


def _families(root: Path) -> list[Path]:
    """Write a small folder of each further family, whose tensors only begin."""
    rng = np.random.default_rng(0)
    stems = {
        "convnext": ("convnext.embeddings.patch_embeddings", (4, 3, 4, 4), {"hidden_sizes": [4]}),
        "mobilenet_v2": ("mobilenet_v2.conv_stem.first_conv.convolution", (8, 3, 3, 3), {}),
        "efficientnet": ("efficientnet.embeddings.convolution", (8, 3, 3, 3), {}),
    }
    for kind, (name, shape, settings) in stems.items():
        tensors = {f"{name}.weight": rng.normal(size=shape), "classifier.weight": np.ones((2, 8))}
        model_folders.write(root / kind, {"model_type": kind, **settings}, None, tensors)
    return [root / kind for kind in stems]


def mutate(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """Change one file: a value of a JSON object, the bytes, the name, or leave it out."""
    files = _files(data)
    if not files:
        return mutated(rng, data, others)
    name = rng.choice(list(files))
    kind = rng.randrange(8)
    if name.endswith(".json") and kind < 5:
        files[name] = _changed(rng, files[name])
    elif kind == 5:
        del files[name]
    elif kind == 6:
        files[rng.choice(_NAMES)] = files.pop(name)
    else:
        files[name] = mutated(rng, files[name], [files[name]])
    return _written(files)


def _changed(rng: random.Random, text: bytes) -> bytes:
    """Give some values of a JSON object others."""
    try:
        found = json.loads(text)
    except ValueError:
        return text
    for _ in range(rng.choice((1, 1, 2, 3))):
        place = found
        while isinstance(place, (dict, list)) and place:
            key = rng.choice(list(place) if isinstance(place, dict) else range(len(place)))
            if isinstance(place[key], (dict, list)) and place[key] and rng.random() < 0.6:
                place = place[key]
                continue
            place[key] = rng.choice((*_VALUES, *INTERESTING))
            break
    return json.dumps(found).encode()


def _files(data: bytes) -> dict[str, bytes]:
    parts = _SEPARATOR.split(data)
    names = (name.decode() for name in parts[1::2])
    return {name: text for name, text in zip(names, parts[2::2], strict=True) if name.strip(".")}


def _written(files: dict[str, bytes]) -> bytes:
    return b"".join(b"\n==== " + name.encode() + b"\n" + text for name, text in files.items())


def _joined(folder: Path) -> bytes:
    return _written({path.name: path.read_bytes() for path in sorted(folder.iterdir())})
