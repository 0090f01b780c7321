"""The table of operations: functions that write the layers of a call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from gradcam._importers.aten.arguments import Arguments
from gradcam._importers.aten.tensors import Content
from gradcam._importers.builder import Builder
from gradcam._weights.tensors import WeightsError

Result = object
"""A content or a tensor; a number or a string; or a list of these."""


@dataclass(frozen=True)
class Site:
    """Where a layer is written.

    Attributes
    ----------
    builder : Builder
    name : str
        For the layer of the call.
    """

    builder: Builder
    name: str


Function = Callable[[Site, Arguments], Result]

_F = TypeVar("_F", bound=Function)

OPERATIONS: dict[str, Function] = {}
"""By the name of the operation, without its library and overload: "conv2d"."""

VIEWS: set[str] = set()
"""Operations whose result may share its memory with their argument."""


def operation(*names: str, view: bool = False) -> Callable[[_F], _F]:
    """Add a function to the table, under these names.

    Parameters
    ----------
    *names : str
    view : bool
        Whether the result may share its memory with the first argument.
    """

    def register(function: _F) -> _F:
        for name in names:
            assert name not in OPERATIONS, name
            OPERATIONS[name] = function
        if view:
            VIEWS.update(names)
        return function

    return register


def refuse(names: str, why: str) -> None:
    """Add operations that are refused, with the reason.

    Parameters
    ----------
    names : str
        Separated by spaces.
    why : str
        What follows the name of the operation in the message.
    """

    def refused(site: Site, arguments: Arguments) -> Content:
        raise WeightsError(why)

    operation(*names.split())(refused)
