"""The assertion that a map is still the one that was stored."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from gradcam._files import expanded
from gradcam._results.explanation import Explanation, no_flat_warnings
from gradcam.measures._given import map_on_picture
from gradcam.testing import _session, _slides
from gradcam.testing._agreement import disagreement
from gradcam.testing._failure import fail
from gradcam.testing._words import NOTHING, is_flat, limit, named

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__unittest = True

_HOW = "run pytest with --gradcam-update, set GRADCAM_UPDATE=1, or pass update=True"


def assert_matches_stored(
    explanation: Explanation,
    path: str | os.PathLike[str],
    at_least: float = 0.9,
    *,
    update: bool | None = None,
) -> None:
    """Assert that a map agrees with an earlier one: that the network still looks at the same place.

    Parameters
    ----------
    explanation : Explanation
    path : path
        The stored map, an .npz as of :meth:`gradcam.Explanation.save` without the picture: a few
        kilobytes for methods with a map of a layer.
    at_least : float
        The smallest rank correlation of the maps on the picture that is accepted, -1 to 1. Pixels
        that the network did not see do not count.
    update : bool, optional
        Store the map if none is stored, or if the stored one does not agree; one that agrees is
        left as it is. By default as pytest's option ``--gradcam-update`` or the environment
        variable ``GRADCAM_UPDATE`` says.

    Raises
    ------
    AssertionError
        If no map is stored, the stored one does not agree or is of another method, label or size
        of picture, or the map is flat. The message has the numbers and the path of a picture.
    ValueError, TypeError, OSError
        If the file cannot be read or written, or an argument is wrong.
    """
    __tracebackhide__ = True
    at_least = limit("at_least", at_least, -1, 1)
    if update is not None and not isinstance(update, bool):
        raise TypeError(f"update: expected True, False or None, got {update!r}")
    if not isinstance(explanation, Explanation):
        raise TypeError(f"explanation: expected an Explanation, got {type(explanation).__name__}")
    file = Path(expanded(path))
    if file.suffix.lower() != ".npz":
        raise ValueError(f"path: expected a name that ends in .npz, got {os.fspath(path)!r}")
    stored = Explanation.load(file) if file.exists() else None
    with no_flat_warnings():
        flat = is_flat(map_on_picture(explanation))
    if flat:
        sentence = f"{named(explanation)} is flat: {NOTHING}"
    else:
        sentence = _difference(explanation, stored, at_least, _session.shown(file))
        if sentence and (_session.updates() if update is None else update):
            file.parent.mkdir(parents=True, exist_ok=True)
            explanation.save(file, map=False)
            _session.note("stored", file)
            return
    if sentence:
        fail("stored", sentence, lambda: _slide_of(sentence, explanation, stored))


def _difference(
    explanation: Explanation, stored: Explanation | None, at_least: float, file: str
) -> str:
    """Return how an explanation differs from the stored one; an empty text if it does not."""
    if stored is None:
        return f"no map is stored at {file}: to store this one, {_HOW}"
    if stored.method != explanation.method or stored.label != explanation.label:
        held = f"{named(stored)}, not {named(explanation)}"
        return f"the file {file} holds {held}; to replace it, {_HOW}"
    if stored.geometry.picture != explanation.geometry.picture:
        sizes = [" x ".join(map(str, e.geometry.picture)) for e in (stored, explanation)]
        wrong = f"is of a picture of {sizes[0]} pixels, not of {sizes[1]}"
        return f"the map in {file} {wrong}; to replace it, {_HOW}"
    return disagreement(explanation, stored, at_least, (named(explanation), "the stored one"))


def _slide_of(sentence: str, explanation: Explanation, stored: Explanation | None) -> Figure:
    """Return a slide with what was stored, if anything, and what there is now."""
    if stored is None:
        return _slides.slide(sentence, *_slides.picture_and_map(explanation))
    if stored.geometry.picture == explanation.geometry.picture:
        stored = replace(stored, picture=explanation.picture)
    panels = [
        replace(_slides.map_panel(each), heading=f"{when}: {_slides.heading_of(each)}")
        for when, each in (("stored", stored), ("new", explanation))
    ]
    return _slides.slide(sentence, *panels)
