"""Small texts for people: probabilities, and text from elsewhere that is shown safely."""

from __future__ import annotations

import difflib
import re
import reprlib
import unicodedata
from collections.abc import Iterable, Sequence

_UNSEEN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\uffa0\ufe00-\ufe0f\U000e0100-\U000e01ef]"
)
"""Letters and marks of no width, which Python counts as printable."""

_BRIEF = reprlib.Repr()
_BRIEF.maxstring = _BRIEF.maxother = _BRIEF.maxlong = 160

_MAX_MESSAGE = 4000
"""Characters of a message that are shown."""


def percent(probability: float) -> str:
    """Return a probability as people write it: 97.2 %, but never a false 100 % or 0 %."""
    if 0 < probability < 0.001:
        return "< 0.1 %"
    if 0.999 < probability < 1:
        return "> 99.9 %"
    return f"{100 * probability:.1f} %"


def three_digits(value: float) -> str:
    """Return a number with three digits, or with all before the point: 0.0123, 12.3, 11,014."""
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e9 else f"{value:.3g}"


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


def printable(text: str, keep: str = "") -> str:
    r"""Return a text that a terminal shows and does not obey.

    Control characters, escape sequences, characters that change the direction of writing, and
    characters without a width are replaced with their escapes: ``\x1b``, ``\u202e``.

    Parameters
    ----------
    text : str
        Names and messages that may come from a file.
    keep : str
        Characters that are not replaced: ``"\n"`` for a text of several lines.
    """
    if text.isprintable() and not _UNSEEN.search(text):
        return text
    return "".join(each if each in keep or _is_shown(each) else _escape(each) for each in text)


def _is_shown(character: str) -> bool:
    if character.isprintable():
        return not _UNSEEN.match(character)
    return unicodedata.category(character) == "Zs"  # the spaces of other scripts


def _escape(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")


def brief(value: object) -> str:
    """Return the repr of a value for an error message; long ones are cut in the middle."""
    return _BRIEF.repr(value)


def shortened(text: str, limit: int = _MAX_MESSAGE) -> str:
    """Return a text, of which the middle is cut out if it has more than `limit` characters."""
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]} ... ({len(text) - 2 * half:,} characters) ... {text[-half:]}"


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """Return "1 picture", "2 pictures"."""
    return f"{count} {noun if count == 1 else plural or noun + 's'}"


def none_read(what: str, errors: Sequence[Exception]) -> str:
    """Return the message if no picture could be read: "", or what of them, "the masks of "."""
    if len(errors) == 1:
        return f"{what}the picture could not be read: {errors[0]}"
    return f"{what}none of {len(errors)} pictures could be read; the first: {errors[0]}"


_BETWEEN_WORDS = re.compile(r"[\s.,;:!?\"()\[\]…“”„«»¿¡。，、？！：；]+")


def words_of(text: str) -> list[str]:
    """Return the words of a sentence, in lower case and without punctuation and quotes."""
    words = (word.strip("'‘’`") for word in _BETWEEN_WORDS.split(text.lower()))
    return [word for word in words if word]


def with_nearest(unknown: Iterable[str], known: Sequence[str]) -> str:
    """Return words that are not known, each once, with known ones that are spelt alike.

    For example ``'dgo' (nearest: dog), 'xyz'``.
    """
    found = []
    for word in dict.fromkeys(unknown):
        near = difflib.get_close_matches(word[:60], known, 3)
        found.append(f"{brief(word)} (nearest: {', '.join(near)})" if near else brief(word))
    return ", ".join(found)
