"""Notes on how an explanation was computed, collected while its method runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_COLLECTING: ContextVar[list[str] | None] = ContextVar("collecting", default=None)


def add(note: str) -> None:
    """Add a sentence to the explanation that is being computed, once; without one, do nothing."""
    collecting = _COLLECTING.get()
    if collecting is not None and note not in collecting:
        collecting.append(note)


@contextmanager
def collected(*, pass_on: bool = True) -> Iterator[list[str]]:
    """Collect the notes that are added within, by this thread, into the list that is returned.

    Within another ``collected``, that one gets them too, unless `pass_on` is False.
    """
    found: list[str] = []
    token = _COLLECTING.set(found)
    try:
        yield found
    finally:
        _COLLECTING.reset(token)
        if pass_on:
            for note in found:
                add(note)
