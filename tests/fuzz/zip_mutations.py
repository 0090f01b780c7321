"""Damage to zip files that their checksums do not detect."""

from __future__ import annotations

import io
import zipfile

from fuzz_weights import mutated


def mutate(rng, data, others):
    """Damage one member, and write a zip of all members with correct checksums."""
    result = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(result, "w") as new:
        victim = rng.choice(old.namelist())
        for member in old.infolist():
            content = old.read(member)
            if member.filename == victim:
                content = mutated(rng, content, [content])
            new.writestr(member.filename, content, member.compress_type)
    return result.getvalue()
