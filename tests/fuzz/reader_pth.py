"""The PyTorch reader, fuzzed: streams, zips, and instructions of their pickles."""

from __future__ import annotations

import io
import pickletools
import zipfile
from pathlib import Path

from fuzz_weights import INTERESTING, mutated

from gradcam._weights.pth import read

__all__ = ["mutate", "read", "seeds"]

_SIMPLE = b"(N)t\x85\x86\x87]}aesuRbQ\x81\x94\x88\x89h\x00h\x01"
"""Instructions without arguments, and two that get the first entries of the memo."""


def seeds() -> list[bytes]:
    """The small files of the tests, written by PyTorch."""
    folder = Path(__file__).parent.parent / "data" / "torch"
    return [path.read_bytes() for path in sorted(folder.glob("*.pth"))]


def mutate(rng, data, others):
    """Damage the pickle, by bytes or by instructions, or another member of a zip.

    A new zip is written around it, with correct checksums.
    """
    damage = rng.choice((_rearranged, _rearranged, lambda r, d: mutated(r, d, [d])))
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


def _rearranged(rng, program: bytes) -> bytes:
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
