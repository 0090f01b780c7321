"""The test that runs: its name, where its pictures go, and whether maps are to be stored.

Under pytest with gradcam's plugin, the plugin knows; else environment variables say, so that the
assertions also work in unittest and in scripts.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
from pathlib import Path
from types import FrameType
from typing import Protocol, cast

PLUGIN = "pytest_gradcam"
"""The module of the plugin. It is never imported here: pytest does that."""

_HERE = str(Path(__file__).parent) + os.sep
_FALSE = ("", "0", "no", "off", "false")


class _Session(Protocol):
    """As pytest_gradcam.Session."""

    pictures: Path
    update: bool
    written: list[tuple[str, str]]


def _session() -> _Session | None:
    sessions = getattr(sys.modules.get(PLUGIN), "sessions", None)
    return cast("_Session", sessions[-1]) if sessions else None


def folder() -> Path:
    """Return the folder of the pictures of failures."""
    session = _session()
    if session is not None:
        return session.pictures
    return Path(os.environ.get("GRADCAM_PICTURES") or "gradcam-failures").expanduser()


def updates() -> bool:
    """Return whether maps are to be stored."""
    session = _session()
    asked = os.environ.get("GRADCAM_UPDATE", "").strip().lower() not in _FALSE
    return asked or (session is not None and session.update)


def note(kind: str, path: Path) -> None:
    """Tell the plugin what was written; without it, say on standard error what was stored.

    Parameters
    ----------
    kind : "picture" or "stored"
    path : Path
    """
    session = _session()
    if session is not None:
        session.written.append((f"gradcam_{kind}", shown(path)))
    elif kind == "stored":
        print(f"gradcam: stored the map {shown(path)}", file=sys.stderr)


def shown(path: Path) -> str:
    """Return a path as people read it: from the current folder on, if it is in it."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except (ValueError, OSError):
        return str(path)


def running_test() -> str:
    """Return the name of the running test: pytest's or unittest's, else that of the function."""
    asked = os.environ.get("PYTEST_CURRENT_TEST", "")
    if asked:
        return asked.rpartition(" (")[0]
    frame: FrameType | None = sys._getframe(1)
    caller = None
    while frame is not None:
        if caller is None and not frame.f_code.co_filename.startswith(_HERE):
            caller = frame
        case = frame.f_locals.get("self")
        if "unittest" in sys.modules and isinstance(case, sys.modules["unittest"].TestCase):
            return str((getattr(case, "_subtest", None) or case).id())
        frame = frame.f_back
    if caller is None:
        return "test"
    function = caller.f_code.co_name
    return Path(caller.f_code.co_filename).stem + ("" if function[0] == "<" else f"-{function}")


def file_name(test: str) -> str:
    """Return a test's name as the name of a file, the same for no other test.

    Parameters can contain any character: if some of them are replaced, a digest of the name is
    added.
    """
    path, _, parameters = test.partition("[")
    parameters = parameters.removesuffix("]")
    plain = f"{re.sub(r'[.]py(?=::|$)', '', path)}-{parameters}"
    name = re.sub(r"[^\w.+=-]+", "-", plain).strip("-.")
    if re.search(r"[^\w.+=-]", parameters) or re.search(r"[^\w.+=/:-]", path):
        name += "-" + hashlib.sha256(test.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return name
