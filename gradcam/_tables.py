"""Print :class:`rich.table.Table` as plain text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gradcam._text import printable

if TYPE_CHECKING:
    from rich.table import Table

_WIDTH = 1 << 16
"""Columns of the virtual console, more than any table has."""


def as_text(table: Table) -> str:
    """Return a table as plain text: nothing cut, wrapped or styled, no trailing blanks.

    Control characters of its cells are escaped.
    """
    from rich.console import Console  # slow to import

    console = Console(
        width=_WIDTH,
        color_system=None,
        force_jupyter=False,
        markup=False,
        emoji=False,
        highlight=False,
    )
    with console.capture() as captured:
        console.print(table)
    text = printable(captured.get(), keep="\n")
    return "\n".join(line.rstrip() for line in text.splitlines())
