"""Print :class:`rich.table.Table` as plain text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gradcam._text import printable, wrap

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


def titled(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], note: str, width: int = 98
) -> str:
    """Return a title, a table whose numbers are at the right, and a note in lines of a width."""
    from rich.table import Table  # slow to import

    table = Table(columns[0], box=None, pad_edge=False)
    for column in columns[1:]:
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(*row)
    return "\n".join([title, "", as_text(table), "", *wrap(note, width)])
