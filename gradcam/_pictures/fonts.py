"""Fonts for labels in any script: those installed fonts that have a text's characters.

matplotlib's own font, DejaVu Sans, has the Latin, Greek and Cyrillic scripts and a few more.
Installed fonts are searched only for texts with other characters.
"""

from __future__ import annotations

import contextlib
import unicodedata
import warnings
from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.font_manager import FontEntry

BASE = "DejaVu Sans"
"""The font that ships with matplotlib."""

_UNKNOWN = "\N{REPLACEMENT CHARACTER}"

_JOINERS = ("\N{ZERO WIDTH NON-JOINER}", "\N{ZERO WIDTH JOINER}")
"""Invisible characters that change how their neighbours are drawn."""

_warned: set[str] = set()


def drawable(text: str) -> tuple[str, list[str]]:
    """Return a text as figures can draw it, and the names of the fonts that have its characters.

    Control characters are removed. A character that no installed font has becomes U+FFFD, with
    one warning for each package of fonts that would help.

    Returns
    -------
    str, list of str
        The fonts in order of preference: matplotlib takes each character from the first one that
        has it.
    """
    if text.isascii() and text.isprintable():
        return text, [BASE]
    text = "".join(each for each in text if each == "\n" or not _is_control(each))
    wanted = frozenset(text) - frozenset(" \n")
    lacking = wanted - _covered(_path(BASE), wanted)
    if not lacking:
        return text, [BASE]
    fonts, unknown = _fallback(lacking)
    _warn(unknown)
    shown = "".join(_replacement(each) if each in unknown else each for each in text)
    return shown, [BASE, *fonts]


def _is_control(character: str) -> bool:
    return unicodedata.category(character)[0] == "C" and character not in _JOINERS


def _replacement(character: str) -> str:
    invisible = unicodedata.category(character) in ("Mn", "Cf")
    return "" if invisible else _UNKNOWN


@lru_cache(maxsize=256)
def _path(name: str) -> str:
    """Return the file that matplotlib takes for this font."""
    from matplotlib import font_manager

    return font_manager.findfont(font_manager.FontProperties(family=[name]))


@lru_cache(maxsize=256)
def _fallback(lacking: frozenset[str]) -> tuple[tuple[str, ...], frozenset[str]]:
    """Return the names of installed fonts that have these characters, and those that none has."""
    names: list[str] = []
    region = _region(lacking)
    for fonts in (_known_fonts, _new_fonts):
        found = [font for font in fonts() if "Last Resort" not in font.name] if lacking else []
        found.sort(key=lambda font: _preference(font, region))
        covered = {font.name: _covered(font.fname, lacking) for font in reversed(found)}
        order = list(dict.fromkeys(font.name for font in found))
        while lacking and order:
            name = max(order, key=lambda each: len(covered[each] & lacking))
            order.remove(name)
            if not covered[name] & lacking:
                break
            here = _covered(_path(name), lacking)  # of several files matplotlib takes one
            if here:
                names.append(name)
                lacking -= here
    return tuple(names), lacking


def _known_fonts() -> list[FontEntry]:
    """Return the fonts that matplotlib knows."""
    from matplotlib.font_manager import fontManager

    return list(fontManager.ttflist)


def _new_fonts() -> list[FontEntry]:
    """Add fonts that were installed since matplotlib listed them to its list, and return them."""
    from matplotlib.font_manager import findSystemFonts, fontManager

    before = _known_fonts()
    for path in sorted(set(findSystemFonts()) - {font.fname for font in before}):
        with contextlib.suppress(OSError, RuntimeError):  # not a font that matplotlib can draw
            fontManager.addfont(path)
    return fontManager.ttflist[len(before) :]


def _preference(font: FontEntry, region: str) -> tuple[object, ...]:
    """Return a key that sorts upright, regular, sans serif fonts of the region first."""
    name = font.name
    odd = font.style != "normal" or "Mono" in name
    regular = font.weight in (400, "normal", "regular", "book")
    return odd, not regular, "Sans" not in name, region not in name, name, font.fname


def _region(characters: Iterable[str]) -> str:
    """Return where Chinese characters look as in this text, by the end of Noto's font names."""
    scripts = {unicodedata.name(each, "").split(" ")[0] for each in characters}
    return "JP" if scripts & {"HIRAGANA", "KATAKANA"} else "KR" if "HANGUL" in scripts else "SC"


def _covered(path: str, characters: Iterable[str]) -> frozenset[str]:
    """Return those of the characters that the font in this file can draw."""
    from matplotlib.ft2font import FT2Font

    try:
        font = FT2Font(path)
        if not font.scalable:
            return frozenset()
    except (OSError, RuntimeError):  # removed, or damaged
        return frozenset()
    return frozenset(each for each in characters if font.get_char_index(ord(each)))


def _warn(unknown: frozenset[str]) -> None:
    """Say once for each package of fonts which characters cannot be drawn."""
    packages: dict[str, list[str]] = {}
    for character in sorted(unknown):
        if _replacement(character):
            packages.setdefault(_package(character), []).append(character)
    for package, characters in packages.items():
        if package not in _warned:
            _warned.add(package)
            warnings.warn(
                f"no installed font has the characters {''.join(characters[:10])!r}: figures "
                f"show {_UNKNOWN} instead. Install a font that has them, for example Debian's "
                f"and Ubuntu's package {package}",
                stacklevel=2,
            )


def _package(character: str) -> str:
    """Return the name of a package of fonts that has this character."""
    letter = unicodedata.category(character)[0] in "LM"
    if letter and unicodedata.east_asian_width(character) in "WF":
        return "fonts-noto-cjk"
    return "fonts-noto-core" if letter else "fonts-symbola"
