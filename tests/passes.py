"""Forward passes of the cases in nets.py by the core and by its float64 twin, computed once."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import nets
import reference

from gradcam import _core

RULES = ["gradient", "guided", "deconvnet"]


@dataclass(frozen=True, eq=False)
class Pass:
    """One case's network and its tape, with every layer kept, and the twin's record of it."""

    network: Any
    tape: Any
    record: reference.Record

    @property
    def last(self) -> int:
        return len(self.network) - 1


def run(case: nets.Case) -> Pass:
    """Run a case at the present CPU level; the twin follows the core's decisions."""
    network, twin = case.build(_core.NetworkBuilder), case.build(reference.Builder)
    x = case.pictures()
    tape = network.forward(x, keep=range(len(network)))
    return Pass(network, tape, twin.forward(x, {i: tape.activation(i) for i in twin.deciding()}))


@functools.cache
def computed(case: nets.Case, cpu_level: str) -> Pass:
    """The same, computed once for all tests at this level."""
    assert _core.cpu_level() == cpu_level
    return run(case)


def rules_of(case: nets.Case) -> list[str]:
    """The rules under which a case's gradients differ: all of them if it has a rectifier."""
    nodes = case.build(reference.Builder).nodes
    return RULES if any(isinstance(node, reference.RECTIFIERS) for node, _ in nodes) else RULES[:1]
