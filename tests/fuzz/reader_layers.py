"""gradcam's own files, which hold layers as JSON: read, made into networks, run; fuzzed."""

from __future__ import annotations

import contextlib
import json
import random
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from fuzz_weights import INTERESTING
from test_stored import whole

import gradcam
from gradcam._engine.layers import OPS
from gradcam._importers import stored
from gradcam._weights.safetensors import read as read_tensors
from gradcam._weights.safetensors import write
from gradcam.weights import Weights

__all__ = ["mutate", "read", "seeds"]

_VALUES = (
    *INTERESTING,
    *OPS,
    *(None, True, False, 0.5, -1.0, 1e300, "", "input", [], {}, [1], [1, 2], [0, 0, 1, 1]),
    *("weight", "bias", "scale", "shift", "size", "kernel", "stride", "padding", "groups"),
)


def read(path: str) -> Weights:
    weights = read_tensors(path)
    network = gradcam.load(weights)
    repr(network)
    if network.layers:
        # What fits a picture of no size is found when one comes.
        with contextlib.suppress(ValueError, MemoryError):
            network.forward(np.zeros((1, network.core.channels, 20, 24), np.float32))
    return weights


def seeds() -> list[bytes]:
    """A network with attributes of every kind, and a small one of a family."""
    family = gradcam.squeezenet1_1.random_tensors(width=1, classes=2)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "seed.safetensors")
        _write(path)
        files = [path.read_bytes()]
        gradcam.weights.save(gradcam.squeezenet1_1(family), path)
        return [*files, path.read_bytes()]


def mutate(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """Change one to four values of the JSON of layers; the tensors stay as they are."""
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    content = json.loads(header["__metadata__"][stored.KEY])
    for _ in range(rng.choice((1, 1, 2, 4))):
        places = list(_places(content))
        owner, key = rng.choice(places)
        other, others_key = rng.choice(places)
        action = rng.randrange(5)
        if action == 0:
            del owner[key]
        elif action == 1:
            owner[key] = json.loads(json.dumps(other[others_key]))
        elif action == 2 and isinstance(owner, dict):
            owner[str(rng.choice(_VALUES))] = owner[key]
        elif action == 3 and isinstance(owner, list):
            owner.insert(rng.randrange(len(owner) + 1), owner[key])
        else:
            owner[key] = rng.choice(_VALUES)
    header["__metadata__"][stored.KEY] = json.dumps(content)
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data[8 + length :]


def _write(path: Path) -> None:
    tensors, metadata = stored.encoded(whole())
    write(tensors, path, metadata)


def _places(content: object) -> Iterator[tuple[dict | list, str | int]]:
    """Yield every value below `content`, as a container and a key."""
    waiting = [content]
    while waiting:
        owner = waiting.pop()
        keys = list(owner) if isinstance(owner, dict) else range(len(owner))
        for key in keys:
            yield owner, key
            if isinstance(owner[key], (dict, list)):
                waiting.append(owner[key])
