"""A failure: a sentence, and a picture in a file of the test's name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from gradcam._files import fitting
from gradcam._pictures import figures
from gradcam.testing import _session

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__unittest = True  # unittest shows no lines of this module in a traceback

_MOST = 20
"""Failures of a kind in one test that have pictures: a test that catches its failures in a loop
must not fill the disk."""

_failures: dict[tuple[str, str], list[str]] = {}
"""By test and kind: the sentences of the failures of this process. Their order numbers the files;
the same failure again replaces its picture."""


def fail(kind: str, sentence: str, draw: Callable[[], Figure]) -> NoReturn:
    """Save a picture and raise AssertionError.

    Parameters
    ----------
    kind : str
        The assertion, for the name of the file: ``points_at``.
    sentence : str
        What is wrong, with numbers.
    draw : callable
        Returns the picture.
    """
    __tracebackhide__ = True
    raise AssertionError(f"{sentence}\n{_save(kind, sentence, draw)}")


def _save(kind: str, sentence: str, draw: Callable[[], Figure]) -> str:
    """Save the picture, and return a line that says where it is."""
    test = _session.running_test()
    known = _failures.setdefault((test, kind), [])
    if sentence not in known:
        if len(known) == _MOST:
            return f"No picture: {_MOST} other failures of this test have one."
        known.append(sentence)
    count = known.index(sentence) + 1
    number = "" if count == 1 else f"-{count}"
    folder = _session.folder()
    path = folder / fitting(f"{_session.file_name(test)}-{kind}{number}.png")
    try:
        _make(folder)
        figures.save(draw(), path, dpi=100)
    except OSError as error:
        return f"No picture could be saved: {error}"
    _session.note("picture", path)
    return f"Picture: {_session.shown(path)}"


def _make(folder: Path) -> None:
    """Make the folder, and keep its pictures out of version control."""
    if not folder.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ".gitignore").write_text("*\n", "utf-8")
