"""A program of PyTorch, as torch.export describes it: calls of its operations, by their names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Union

Argument = Union[None, bool, int, float, str, "Ref", "list[Argument]"]
"""The argument of a call."""


@dataclass(frozen=True)
class Ref:
    """The result of another call, an input, or a parameter, by its name in the program."""

    name: str


@dataclass(frozen=True)
class Scope:
    """The call of a module that an operation belongs to.

    Attributes
    ----------
    key : str
        Of this call: a module that is called twice has two.
    path : str
        Of the module: "layer4.1.conv2".
    """

    key: str
    path: str


@dataclass(frozen=True, eq=False)
class Call:
    """One operation.

    Attributes
    ----------
    op : str
        Its name without the overload: "aten.conv2d", "_operator.getitem".
    arguments : mapping of str to Argument
        By the names of the operation's schema; those left out have their defaults.
    outputs : tuple of str
        The names of its results.
    scopes : tuple of Scope
        The calls of modules that it is in, the outermost first.
    listed : bool
        Whether `outputs` are the items of one result that is a list.
    """

    op: str
    arguments: Mapping[str, Argument]
    outputs: tuple[str, ...]
    scopes: tuple[Scope, ...] = ()
    listed: bool = False


@dataclass(frozen=True)
class Program:
    """The calls of a program, in the order in which they are made.

    Attributes
    ----------
    calls : tuple of Call
    inputs : mapping of str to tuple of (int or None)
        The shapes of the pictures that it takes, by name; None for a size that is left open.
    tensors : mapping of str to str
        The names of the parameters in :attr:`gradcam.weights.Weights.tensors`, by their names here.
    outputs : tuple of (label, name)
        The results, and what they are called: "" if there is one, the key in a dict, or a number.
    title : str
        What it was made from, in words.
    """

    calls: tuple[Call, ...]
    inputs: Mapping[str, tuple[int | None, ...]]
    tensors: Mapping[str, str]
    outputs: tuple[tuple[str, Argument], ...]
    title: str
    external: bool = False
    kind: str = field(default="aten.exported", init=False)


@dataclass(frozen=True, eq=False)
class Script:
    """A module of TorchScript, which PyTorch has opened.

    Attributes
    ----------
    module : torch.jit.ScriptModule
    """

    module: Any
    external: bool = False
    kind: str = field(default="aten.script", init=False)
