"""The arguments of an operation, by their names, each checked when it is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from gradcam._importers.aten.tensors import Array, OfSize, Squares, Tensor
from gradcam._importers.builder import Pair
from gradcam._importers.values import Padding, Value
from gradcam._text import printable
from gradcam._weights.tensors import WeightsError

IGNORED = {
    *("memory_format", "dtype", "layout", "device", "pin_memory", "non_blocking", "copy"),
    *("generator", "inplace", "implicit", "dim_order", "cudnn_enabled", "benchmark"),
    *("deterministic", "allow_tf32", "momentum", "half_to_float"),
}
"""Arguments that do not change the result of a network in float32 in evaluation mode."""


class Arguments:
    """The arguments of one call.

    Parameters
    ----------
    given : mapping of str to object
        By the names of the operation's schema; None or missing: the default.
    """

    def __init__(self, given: Mapping[str, object]) -> None:
        self.given = {name: value for name, value in given.items() if value is not None}
        self._left = set(self.given) - IGNORED

    def check_all_read(self) -> None:
        """Raise WeightsError if an argument was given that the operation's function did not read.

        Such an argument could change the result.
        """
        if self._left:
            name = min(self._left)
            raise WeightsError(f"has {name} {shown(self.given[name])}, which is not supported")

    def get(self, *names: str) -> object:
        """Return the argument that has one of these names, or None."""
        for name in names:
            if name in self.given:
                self._left.discard(name)
                return self.given[name]
        return None

    def skip(self, *names: str) -> None:
        """Accept arguments that have no effect here."""
        self._left.difference_update(names)

    def tensor(self, *names: str) -> Tensor:
        """Return a tensor."""
        found = self.get(*names)
        if not isinstance(found, Tensor):
            raise WeightsError(f"has {names[0]} {shown(found)}, expected a tensor")
        return found

    def value(self, *names: str) -> Value:
        """Return a tensor that depends on the picture."""
        found = self.tensor(*names).read()
        if isinstance(found, Squares):
            raise WeightsError("reads squares padded along the channels, which is not supported")
        if not isinstance(found, Value):
            raise WeightsError(f"has a constant for its {names[0]}, which is not supported")
        return found

    def array(self, *names: str) -> Array:
        """Return a constant tensor."""
        found = self.optional_array(*names)
        if found is None:
            raise WeightsError(f"has no {names[0]}")
        return found

    def optional_array(self, *names: str) -> Array | None:
        """Return a constant tensor, or None if there is none."""
        if self.get(*names) is None:
            return None
        found = self.tensor(*names).read()
        if isinstance(found, (Value, Squares)):
            raise WeightsError(f"has a {names[0]} that depends on the picture, expected a constant")
        return found

    def number(self, name: str, default: float | None = None) -> float:
        """Return a number."""
        found = _scalar(self.get(name))
        if found is None:
            if default is None:
                raise WeightsError(f"has no {name}")
            return default
        if isinstance(found, bool) or not isinstance(found, (int, float)) or found != found:
            raise WeightsError(f"has {name} {shown(found)}, expected a number")
        return found

    def integer(self, name: str, default: int | None = None) -> int:
        """Return an integer."""
        found = self.number(name, default)
        if not isinstance(found, int):
            raise WeightsError(f"has {name} {shown(found)}, expected an integer")
        return found

    def flag(self, name: str, default: bool = False) -> bool:
        """Return a boolean."""
        found = self.get(name)
        if found is None:
            return default
        if not isinstance(found, (bool, int)):
            raise WeightsError(f"has {name} {shown(found)}, expected True or False")
        return bool(found)

    def text(self, name: str, default: str = "") -> str:
        """Return a string."""
        found = self.get(name)
        if found is None:
            return default
        if not isinstance(found, str):
            raise WeightsError(f"has {name} {shown(found)}, expected a string")
        return found

    def integers(self, *names: str) -> list[int] | None:
        """Return a list of integers, also of one that is given without a list; None if missing."""
        found = self.get(*names)
        if found is None:
            return None
        items = list(found) if isinstance(found, (list, tuple)) else [found]
        values = [_scalar(item) for item in items]
        if not all(isinstance(each, int) and not isinstance(each, bool) for each in values):
            raise WeightsError(f"has {names[0]} {shown(found)}, expected integers")
        return [int(each) for each in values]  # type: ignore[call-overload]

    def pair(self, name: str, default: Pair = (1, 1)) -> Pair:
        """Return an argument for rows and columns, of one integer or two."""
        found = self.integers(name)
        if not found:
            return default
        if len(found) > 2:
            raise WeightsError(f"has {name} {shown(found)}, expected one integer or two")
        return found[0], found[-1]

    def padding(self, name: str = "padding") -> Padding:
        """Return the padding of rows and of columns on all four sides."""
        rows, columns = self.pair(name, (0, 0))
        if min(rows, columns) < 0:
            raise WeightsError(f"has {name} {(rows, columns)}, expected no negative numbers")
        return rows, columns, rows, columns

    def tensors(self, name: str) -> list[Tensor]:
        """Return a list of tensors."""
        found = self.get(name)
        if not isinstance(found, (list, tuple)) or not all(isinstance(t, Tensor) for t in found):
            raise WeightsError(f"has {name} {shown(found)}, expected a list of tensors")
        return list(found)


def _scalar(argument: object) -> object:
    """Return the number in a constant tensor of one value; other arguments as they are."""
    if isinstance(argument, Tensor) and argument.is_constant:
        array = argument.read()
        if not isinstance(array, (Value, Squares)) and array.size == 1:
            number: object = array.item()
            return number
    if isinstance(argument, OfSize):
        return float(argument) if isinstance(argument, float) else int(cast(int, argument))
    return argument


def dimension(dim: int, rank: int) -> int:
    """Return a dimension that may be counted from the end.

    Raises
    ------
    WeightsError
        If there is none of that number.
    """
    if not -rank <= dim < rank:
        raise WeightsError(f"has dimension {dim} of a tensor of {rank}")
    return dim % rank


def shown(value: object) -> str:
    """Return an argument for a message."""
    if isinstance(value, Tensor):
        return "a tensor"
    if isinstance(value, Sequence) and any(isinstance(each, Tensor) for each in value):
        return "a list of tensors"
    return printable(f"{value!r:.100}")
