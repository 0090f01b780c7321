"""Small texts for people."""

from __future__ import annotations

import re
import unicodedata


def percent(probability: float) -> str:
    """Return a probability as people write it: 97.2 %, but never a false 100 % or 0 %."""
    if 0 < probability < 0.001:
        return "< 0.1 %"
    if 0.999 < probability < 1:
        return "> 99.9 %"
    return f"{100 * probability:.1f} %"


def width(text: str) -> int:
    """Return the width of a line in columns: Chinese, Japanese and Korean characters count 2."""
    return sum(map(_columns, text))


def wrap(text: str, columns: int) -> list[str]:
    """Break a text into lines of at most so many columns, at spaces if possible.

    Unlike `textwrap.wrap` it counts wide characters twice and keeps "97.2 %" together. An empty
    text has one empty line.
    """
    lines = [""]
    for word in re.split(r"\s+(?!%)", text.strip()):
        joined = f"{lines[-1]} {word}".strip()
        if width(joined) <= columns:
            lines[-1] = joined
            continue
        if lines[-1]:
            lines.append("")
        for character in word:
            if lines[-1] and width(lines[-1] + character) > columns:
                lines.append("")
            lines[-1] += character
    return lines


def _columns(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in ("Mn", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
