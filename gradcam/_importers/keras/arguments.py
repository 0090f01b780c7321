"""The arguments of a Keras layer, each checked when it is read, and none ignored."""

from __future__ import annotations

import math
from collections.abc import Mapping

from gradcam._text import printable
from gradcam._weights.tensors import WeightsError

_HARMLESS = frozenset(
    ("name", "trainable", "dtype", "autocast", "batch_shape", "batch_input_shape", "input_shape")
)
"""Arguments that do not change what a layer computes at inference, or only its precision."""

_TRAINING = ("_initializer", "_regularizer", "_constraint")
"""Ends of the names of arguments that matter in training alone."""

_MAX_NUMBER = 1 << 24
"""The largest integer that an argument can be."""


class Arguments:
    """The arguments of one layer.

    Parameters
    ----------
    values : mapping of str to object
        As in the configuration.
    """

    def __init__(self, values: Mapping[str, object]) -> None:
        self._values = values
        self._read: set[str] = set()

    def get(self, name: str, default: object = None) -> object:
        """Return an argument as it is written; a default also where it is null."""
        self._read.add(name)
        value = self._values.get(name)
        return default if value is None else value

    def states(self, name: str) -> bool:
        """Whether the configuration has this argument, also if it is null."""
        return name in self._values

    def ignore(self, *names: str) -> None:
        """Say that these arguments do not change what the layer computes at inference."""
        self._read.update(names)

    def ignore_all(self) -> None:
        """Say that no argument changes what the layer computes at inference."""
        self._read.update(self._values)

    def flag(self, name: str, default: bool) -> bool:
        """Return a truth value."""
        value = self.get(name, default)
        if not isinstance(value, bool):
            raise _wrong(name, value, "true or false")
        return value

    def number(self, name: str, default: float | None = None) -> float:
        """Return a finite number, which can be written as an array of one value."""
        value = plain(self.get(name, default))
        while isinstance(value, list) and len(value) == 1:
            value = value[0]
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise _wrong(name, value, "a number")
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            raise _wrong(name, value, "a finite number")
        return number

    def integer(self, name: str, default: int | None = None, least: int = 1) -> int:
        """Return an integer of at least `least`."""
        return _integer(self.get(name, default), name, least)

    def pair(self, name: str, default: int | None = None, least: int = 1) -> tuple[int, int]:
        """Return an argument for rows and for columns, of one integer or two."""
        value = self.get(name, default)
        both = value if isinstance(value, (list, tuple)) and len(value) == 2 else (value, value)
        return _integer(both[0], name, least), _integer(both[1], name, least)

    def integers(self, name: str, default: int | None = None) -> list[int]:
        """Return a list of integers; one integer is a list of one."""
        value = plain(self.get(name, default))
        values = value if isinstance(value, list) else [value]
        return [_integer(each, name, -_MAX_NUMBER) for each in values]

    def word(self, name: str, default: str, known: tuple[str, ...]) -> str:
        """Return one of several words."""
        value = self.get(name, default)
        if value not in known:
            raise _wrong(name, value, " or ".join(known))
        return str(value)

    def refuse_others(self) -> None:
        """Raise WeightsError if an argument was not read and may change the result."""
        for name, value in self._values.items():
            if name in self._read or name in _HARMLESS or name.endswith(_TRAINING):
                continue
            if value is not None and value is not False:
                raise _wrong(name, value, "no such argument: it is not known here")


def plain(value: object) -> object:
    """Return a list or number that Keras wrote as an array, tensor or tuple."""
    if isinstance(value, dict) and value.get("class_name") in ("__numpy__", "__tensor__"):
        inner = value.get("config")
        value = inner.get("value") if isinstance(inner, dict) else None
    return list(value) if isinstance(value, tuple) else value


def _integer(value: object, name: str, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= _MAX_NUMBER:
        raise _wrong(name, value, f"an integer of {least} to {_MAX_NUMBER}")
    return value


def _wrong(name: str, value: object, expected: str) -> WeightsError:
    return WeightsError(
        f"has the argument {printable(name)[:60]}={printable(repr(value))[:60]}; "
        f"expected {expected}"
    )
