"""The user's cache folder: where it is, and how much it may hold.

GRADCAM_CACHE names another folder, or is ``off``.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from gradcam._files import free_bytes


def folder() -> Path | None:
    """Where the files lie; None where there are to be none."""
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


def make_room(path: Path, size: int, most: int) -> bool:
    """Whether a new file of `size` bytes has a place in the cache; its folder is made if need be.

    Files with its suffix, those longest unused first, are removed until they take no more than
    `most` bytes with it. Three times its size is left free for others.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    entries = [entry for entry in path.parent.iterdir() if path.suffix in entry.suffixes]
    files = [(entry.stat(), entry) for entry in entries]
    total = size + sum(status.st_size for status, _ in files)
    for status, entry in sorted(files, key=lambda file: file[0].st_mtime):
        if total > most:
            entry.unlink(missing_ok=True)
            total -= status.st_size
    return free_bytes(path.parent) >= 4 * size
