"""Tables of plain text, in aligned columns."""

from __future__ import annotations

from collections.abc import Sequence


def aligned(rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """The rows as lines, columns two blanks apart: the first `left` flush left, others right.

    A row may be shorter than others: one of a single cell is a line of its own, however long.
    """
    columns = max(map(len, rows), default=0)
    widths = [
        max((len(row[i]) for row in rows if 1 < len(row) > i), default=0) for i in range(columns)
    ]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if i < left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=False))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
