"""Operations on numbers, lists and strings, which a program computes shapes with."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any, cast

from gradcam._importers.aten.arguments import shown
from gradcam._importers.aten.tensors import Tensor
from gradcam._weights.tensors import WeightsError

_MAX_LENGTH = 10_000
"""Items of a list that is computed."""

ALWAYS = {"getitem", "__getitem__", "append", "__contains__", "__is__", "__isnot__", "__not__"}
"""Operations that never compute with the values of tensors."""

LISTS = {"len", "list", "add", "add_", "slice", "extend", "copy", "keys", "values", "items"}
"""Operations that compute nothing if their first argument is a list or a dict."""


def _append(items: list[object], item: object) -> list[object]:
    items.append(item)
    return items


def _extend(items: list[object], more: list[object]) -> list[object]:
    items.extend(more)
    return items


def _get(items: object, index: object) -> object:
    return cast(Any, items)[index]


def _slice(items: Sequence[object], *bounds: int | None) -> object:
    return items[slice(*bounds)]


def _power(base: float, exponent: float) -> float:
    if abs(exponent) > 64:
        raise ValueError("the exponent is too large")
    return cast(float, base**exponent)


def _multiplied(first: Any, second: Any) -> object:
    for items, count in ((first, second), (second, first)):
        if isinstance(items, (list, tuple, str)) and len(items) * count > _MAX_LENGTH:
            raise ValueError("the list is too long")
    return first * second


_TABLE: dict[str, Callable[..., object]] = {
    "getitem": _get,
    "__getitem__": _get,
    "append": _append,
    "extend": _extend,
    "copy": list,
    "keys": lambda entries: list(entries),
    "values": lambda entries: list(entries.values()),
    "items": lambda entries: [list(pair) for pair in entries.items()],
    "__contains__": operator.contains,
    "__is__": operator.is_,
    "__isnot__": operator.is_not,
    "__not__": operator.not_,
    "__and__": operator.and_,
    "__or__": operator.or_,
    "and_": operator.and_,
    "or_": operator.or_,
    "not_": operator.not_,
    "slice": _slice,
    "len": len,
    "list": list,
    "add": operator.add,
    "add_": operator.add,
    "iadd": operator.add,
    "sub": operator.sub,
    "mul": _multiplied,
    "div": operator.truediv,
    "truediv": operator.truediv,
    "floordiv": operator.floordiv,
    "floor_divide": operator.floordiv,
    "mod": operator.mod,
    "remainder": operator.mod,
    "pow": _power,
    "neg": operator.neg,
    "abs": abs,
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": operator.lt,
    "le": operator.le,
    "gt": operator.gt,
    "ge": operator.ge,
    "floor": math.floor,
    "ceil": math.ceil,
    "sqrt": math.sqrt,
    "min": min,
    "max": max,
    "sym_min": min,
    "sym_max": max,
    "prim_min": min,
    "prim_max": max,
    "sym_not": operator.not_,
    "sym_ite": lambda condition, yes, no: yes if condition else no,
    "Int": int,
    "int": int,
    "trunc": math.trunc,
    "Float": float,
    "sym_float": float,
    "Bool": bool,
    "str": str,
    "format": lambda *items: "",
    "NumToTensor": lambda number: number,
    "ScalarImplicit": lambda number: number,
    "IntImplicit": int,
    "FloatImplicit": float,
}


def call(name: str, arguments: list[object]) -> object:
    """Return the result of an operation on numbers, lists or strings.

    Raises
    ------
    WeightsError
        If it is unknown, or cannot be computed.
    """
    function = _TABLE.get(name)
    if function is None:
        raise WeightsError("is an operation on numbers that is not supported")
    try:
        found = function(*arguments)
    except Exception as error:
        given = ", ".join(map(shown, arguments))
        raise WeightsError(f"of {given} cannot be computed ({error})") from None
    if isinstance(found, (list, tuple, str)) and len(found) > _MAX_LENGTH:
        raise WeightsError(f"makes a list of {len(found)} items")
    if isinstance(found, int) and not isinstance(found, bool) and abs(found) >= 1 << 63:
        raise WeightsError("makes a number of more than 64 bits")
    if found is NotImplemented or (isinstance(found, Tensor) and name not in ALWAYS):
        raise WeightsError("of tensors is not supported here")
    return found
