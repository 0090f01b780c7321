"""Settings of a JSON object, each of a stated type and range."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeGuard

from gradcam._text import brief
from gradcam._weights.tensors import WeightsError

MAX_WHOLE = 1 << 20
"""No size or count of a network is larger."""

MAX_LENGTH = 1000
"""Entries of a list."""


class Settings:
    """Reads the values of a configuration, and remembers which ones were asked for.

    Parameters
    ----------
    values : mapping of str to object
    file : str
        For messages.
    """

    def __init__(self, values: Mapping[str, object], file: str) -> None:
        self.values = values
        self.file = file
        self.used: set[str] = set()

    def whole(self, key: str, default: int, low: int = 1) -> int:
        """Return an integer from `low` to :data:`MAX_WHOLE`."""
        value = self.get(key, default)
        if not _is_whole(value, low):
            raise self.wrong(key, f"an integer from {low} to {MAX_WHOLE}")
        return value

    def wholes(self, key: str, default: tuple[int, ...], low: int = 1) -> tuple[int, ...]:
        """Return a list of such integers, at least one."""
        value = self.get(key, default)
        if not isinstance(value, (list, tuple)) or not 1 <= len(value) <= MAX_LENGTH:
            raise self.wrong(key, f"a list of 1 to {MAX_LENGTH} integers")
        if not all(_is_whole(each, low) for each in value):
            raise self.wrong(key, f"integers from {low} to {MAX_WHOLE}")
        return tuple(value)

    def pair(self, key: str, default: int) -> tuple[int, int]:
        """Return an integer for rows and for columns, of one number or two."""
        value = self.get(key, default)
        if isinstance(value, list):
            pair = self.wholes(key, (default, default))
            if len(pair) != 2:
                raise self.wrong(key, "one integer, or two")
            return pair[0], pair[1]
        return (self.whole(key, default),) * 2

    def real(self, key: str, default: float, low: float, high: float) -> float:
        """Return a number from `low` to `high`."""
        value = self.get(key, default)
        if not _is_real(value) or not low <= value <= high:
            raise self.wrong(key, f"a number from {low:g} to {high:g}")
        return float(value)

    def reals(self, key: str, default: tuple[float, ...]) -> tuple[float, ...]:
        """Return a list of numbers, of which one may stand for all."""
        value = self.get(key, default)
        if _is_real(value):
            return (float(value),) * 3
        if not isinstance(value, (list, tuple)) or not 1 <= len(value) <= MAX_LENGTH:
            raise self.wrong(key, "a list of numbers")
        if not all(map(_is_real, value)):
            raise self.wrong(key, "numbers")
        return tuple(map(float, value))

    def flag(self, key: str, default: bool) -> bool:
        """Return true or false."""
        value = self.get(key, default)
        if not isinstance(value, bool):
            raise self.wrong(key, "true or false")
        return value

    def text(self, key: str, default: str) -> str:
        """Return a string."""
        value = self.get(key, default)
        if not isinstance(value, str):
            raise self.wrong(key, "a string")
        return value

    def choice(self, key: str, default: str, choices: tuple[str, ...]) -> str:
        """Return one of these strings."""
        value = self.text(key, default)
        if value not in choices:
            raise self.wrong(key, f"one of {', '.join(choices)}")
        return value

    def get(self, key: str, default: object = None) -> object:
        """Return any value; null is the default."""
        self.used.add(key)
        value = self.values.get(key)
        return default if value is None else value

    def wrong(self, key: str, expected: str) -> WeightsError:
        """Return the error for a value that cannot be used."""
        return WeightsError(
            f"{self.file}: {key} is {brief(self.values.get(key))}, expected {expected}"
        )

    def others(self) -> list[str]:
        """Return the keys that were not asked for and say something."""
        empty: tuple[object, ...] = (None, False, "", [], {})
        return [k for k, value in self.values.items() if k not in self.used and value not in empty]


def _is_whole(value: object, low: int) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= MAX_WHOLE


def _is_real(value: object) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e300
