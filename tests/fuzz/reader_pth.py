"""The PyTorch reader and the recognition of checkpoints, fuzzed.

The files are streams, zips, and instructions in their pickles.
"""

from __future__ import annotations

import io
import pickletools
import sys
import zipfile
from pathlib import Path

from fuzz_weights import INTERESTING, mutated

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import vggs
from torch_files import arrays, dictionary, integer, named, text, zipped

import gradcam
from gradcam._weights import pth
from gradcam.weights import Weights

__all__ = ["mutate", "read", "seeds"]


def read(path: str) -> Weights:
    weights = pth.read(path)
    for values in weights.tensors.values():
        values.sum()
    gradcam.load(weights)
    return weights


_SIMPLE = b"(N)t\x85\x86\x87]}aesuRbQ\x81\x94\x88\x89h\x00h\x01"
"""Instructions without arguments, and two that get the first entries of the memo."""


def seeds() -> list[bytes]:
    """The small files of the tests, written by PyTorch, and VGGs as training scripts save them."""
    folder = Path(__file__).parent.parent / "data" / "torch"
    written = [path.read_bytes() for path in sorted(folder.glob("*.pth"))]
    plain = vggs.tensors("vgg11", divide=64, hidden=(1, 1), classes=1)
    head = {"classifier.6.0": "classifier.6", "classifier.6.2": "classifier.0"}
    nested = {key: v for key, v in plain.items() if not key.startswith("classifier.6")}
    nested |= {
        f"{new}.{end}": plain[f"{old}.{end}"][:1, :1] if end == "weight" else plain[f"{old}.{end}"]
        for new, old in head.items()
        for end in ("weight", "bias")
    }
    normalised = vggs.tensors("vgg11_bn", divide=64, hidden=(1, 1), classes=1)
    numbers: dict[str, str] = {}
    for key in normalised:
        numbers.setdefault(key.rpartition(".")[0], str(len(numbers)))
    chain = {
        f"net.{numbers[key.rpartition('.')[0]]}.{key.rpartition('.')[2]}": values
        for key, values in normalised.items()
        if values.ndim
    }
    return [*written, _script(plain), _script(nested), _script(chain)]


def _script(tensors) -> bytes:
    """A checkpoint of a training script: objects of several classes beside the tensors."""
    program, records = arrays(tensors)
    namespace = named("argparse", "Namespace") + b")\x81" + dictionary(("lr", integer(3))) + b"b"
    scalar = named("numpy", "float64") + b"(" + text("12345678") + b"tR"
    counts = named("collections", "Counter") + b"}K\x03K\x01s\x85R"
    other = named("my.log", "Logger") + b")}\x92" + b"(" + text("a") + b"\x8f(K\x01\x90u"
    return zipped(
        dictionary(
            ("args", namespace),
            ("best", scalar),
            ("milestones", counts),
            ("logger", other),
            ("state_dict", program),
        ),
        records,
        protocol=4,
    )


def mutate(rng, data, others):
    """Damage the pickle, by bytes or by instructions, or another member of a zip.

    A new zip is written around it, with correct checksums.
    """
    damage = rng.choice(
        (_changed_instructions, _changed_instructions, lambda r, d: mutated(r, d, [d]))
    )
    if not data.startswith(b"PK"):
        start, end = _tree(data)
        return data[:start] + damage(rng, data[start:end]) + data[end:]
    result = io.BytesIO()
    packed = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(result, "w", packed) as new:
        names = old.namelist()
        pickle = next(name for name in names if name.endswith("data.pkl"))
        victim = rng.choice((pickle, pickle, pickle, rng.choice(names)))
        for name in names:
            content = old.read(name)
            if name == victim:
                content = (damage if name == pickle else _damaged)(rng, content)
            new.writestr(name, content)
    return result.getvalue()


def _damaged(rng, content: bytes) -> bytes:
    return mutated(rng, content, [content])


def _tree(data: bytes) -> tuple[int, int]:
    """The beginning and the end of a stream's fourth pickle, the tree of tensors."""
    file = io.BytesIO(data)
    ends = [0]
    for _ in range(4):
        for _ in pickletools.genops(file):
            pass
        ends.append(file.tell())
    return ends[3], ends[4]


def _changed_instructions(rng, program: bytes) -> bytes:
    """Remove, repeat, exchange or insert instructions, and change integers."""
    starts = [place for _, _, place in pickletools.genops(program)]
    pieces = [program[a:b] for a, b in zip(starts, [*starts[1:], len(program)], strict=True)]
    for _ in range(rng.choice((1, 1, 2, 3, 5))):
        i, j = rng.randrange(1, len(pieces)), rng.randrange(1, len(pieces))
        step = rng.randrange(6)
        if step == 0:
            pieces[i] = b""
        elif step == 1:
            pieces.insert(i, pieces[j])
        elif step == 2:
            pieces[i], pieces[j] = pieces[j], pieces[i]
        elif step == 3:
            pieces.insert(i, rng.choice((_integer(rng), *(bytes([code]) for code in _SIMPLE))))
        elif step == 4:
            pieces[i:i] = pieces[min(i, j) : max(i, j)] * rng.choice((1, 1, 1, 2, 30))
        else:
            numbers = [k for k, piece in enumerate(pieces) if piece[:1] in (b"K", b"M", b"J")]
            pieces[rng.choice(numbers or [i])] = _integer(rng)
    return b"".join(pieces)


def _integer(rng) -> bytes:
    value = rng.choice((*INTERESTING, 1, 2, 4, 5, 10))
    data = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(data)]) + data
