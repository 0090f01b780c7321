"""What :meth:`Explanation.report` returns, and who writes it.

Reports need networks and measures, which are on levels above explanations: the top level installs
the function that writes them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Check:
    """One check of a map.

    Attributes
    ----------
    name : str
        "flat", "weights", "edges", "class" or "pixels".
    value : float
        What was measured; NaN if it could not be measured.
    limit : float
        The value must be below it.
    finding : str
        What follows, as a part of a sentence whose subject is the map.
    """

    name: str
    value: float
    limit: float
    finding: str

    @property
    def passed(self) -> bool:
        """Whether the value is below the limit."""
        return self.value < self.limit


class Report(Protocol):
    """Whether a map is right; :class:`gradcam.measures.Report` has more."""

    @property
    def checks(self) -> tuple[Check, ...]:
        """The checks that were possible."""

    @property
    def passed(self) -> bool:
        """Whether the map passes all checks."""

    @property
    def finding(self) -> str:
        """What was found, in one or two sentences."""

    def plot(self) -> Figure:
        """Draw everything in one figure, for a slide."""


_writers: list[Callable[..., Report]] = []


def install(write: Callable[..., Report]) -> None:
    """Install the function that writes reports."""
    _writers[:] = [write]


def writer() -> Callable[..., Report]:
    """Return the function that writes reports."""
    return _writers[0]
