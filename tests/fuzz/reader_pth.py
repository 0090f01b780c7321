"""The PyTorch reader, fuzzed: streams and zips, and zips around a damaged pickle."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

from fuzz_weights import mutated

from gradcam.weights.pth import read

__all__ = ["mutate", "read", "seeds"]


def seeds() -> list[bytes]:
    """The small files that the tests keep, written by PyTorch."""
    folder = Path(__file__).parent.parent / "data" / "torch"
    return [path.read_bytes() for path in sorted(folder.glob("*.pth"))]


def mutate(rng, data, others):
    """Damage a member of a zip, most often the pickle, and zip all of them again as they were.

    A stream is damaged before its storages, which are most of it.
    """
    if not data.startswith(b"PK"):
        head = data.index(b"]q\x00(X") if b"]q\x00(X" in data else len(data)
        return mutated(rng, data[:head], others) + data[head:]
    result = io.BytesIO()
    packed = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(result, "w", packed) as new:
        names = old.namelist()
        pickle = next(name for name in names if name.endswith("data.pkl"))
        victim = rng.choice((pickle, pickle, pickle, rng.choice(names)))
        for name in names:
            content = old.read(name)
            if name == victim:
                content = mutated(rng, content, [content])
            new.writestr(name, content)
    return result.getvalue()
