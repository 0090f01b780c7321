"""Which arguments of a command are pictures, and which one is a text about them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import click

from gradcam._pictures.decoding import SUFFIXES
from gradcam._text import brief, counted

_PICTURE, _QUESTION = "scenes/scene-0.png", "what colour is the cat?"


def texts(given: Sequence[str]) -> list[str]:
    """Return the arguments that are neither files or folders, nor called as pictures are."""
    return [
        each
        for each in given
        if not os.path.lexists(each) and Path(each).suffix.lower() not in SUFFIXES
    ]


def split(given: Sequence[str]) -> tuple[tuple[Path, ...], str]:
    """Return the pictures and the question, which is the last argument.

    Raises
    ------
    click.UsageError
        If one of them is missing, or they are in another order; the message says how to write them.
    """
    asked = texts(given)
    pictures = [each for each in given if each not in asked]
    if not given:
        raise _error("no picture and no question")
    if not asked:
        raise _error(f"{counted(len(given), 'picture')} and no question", pictures)
    if not pictures:
        is_one = len(asked) == 1
        got = f"only {brief(asked[0])}, which is no picture" if is_one else "no picture"
        raise _error(got, pictures, asked)
    if len(asked) == 1 and given[-1] != asked[0]:
        raise _error("the question before a picture", pictures, asked)
    if len(asked) > 1:
        shown = ", ".join(map(brief, asked[:8])) + (", ..." if len(asked) > 8 else "")
        raise _error(
            f"{len(asked)} texts that are no pictures, {shown}", pictures, _one_question(asked)
        )
    return tuple(map(Path, pictures)), asked[0]


def _one_question(asked: Sequence[str]) -> Sequence[str]:
    """Return the question whose quotes were forgotten; of several questions, the first."""
    is_words = all(len(each.split()) == 1 for each in asked)
    return [" ".join(asked)] if is_words else [max(asked, key=lambda each: len(each.split()))]


def _error(got: str, pictures: Sequence[str] = (), asked: Sequence[str] = ()) -> click.UsageError:
    """Return the error; its example has what was given, and names for what was not."""
    question = (" ".join(asked) if asked else "").replace('"', "'") or _QUESTION
    names = [f'"{each}"' if " " in each else each for each in pictures[:2]] or [_PICTURE]
    example = " ".join(["gradcam ask", *names, *(["..."] if len(pictures) > 2 else [])])
    return click.UsageError(
        f"expected pictures, then one question in quotes, got {got}.  For example:\n"
        f'  {example} "{question[:200]}"'
    )
