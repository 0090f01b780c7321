"""The user's cache folder and its size.

The environment variable GRADCAM_CACHE names another folder, or is ``off``.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from gradcam._files import free_bytes


def folder() -> Path | None:
    """Return the cache folder; None if caching is off or there is no home folder."""
    named = os.environ.get("GRADCAM_CACHE")
    if named == "off":
        return None
    if named:
        return Path(named)
    home = Path(os.path.expanduser("~"))
    if not home.is_absolute():
        return None
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "gradcam"
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if os.path.isabs(base) else home / ".cache") / "gradcam"


def make_room(path: Path, size: int, max_bytes: int) -> bool:
    """Return whether a new file of `size` bytes can be written; create its folder if necessary.

    Files with the same suffix are removed, the least recently used first, until they and the new
    file together have at most `max_bytes`. Three times `size` must remain free on the disk.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    entries = [entry for entry in path.parent.iterdir() if path.suffix in entry.suffixes]
    files = [(entry.stat(), entry) for entry in entries]
    total = size + sum(status.st_size for status, _ in files)
    for status, entry in sorted(files, key=lambda file: file[0].st_mtime):
        if total > max_bytes:
            entry.unlink(missing_ok=True)
            total -= status.st_size
    return free_bytes(path.parent) >= 4 * size
