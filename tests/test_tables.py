"""Tables printed as plain text."""

from __future__ import annotations

from rich.table import Table

from gradcam._tables import as_text


def make_table(*rows):
    table = Table("name", box=None, pad_edge=False)
    table.add_column("ms", justify="right")
    for row in rows:
        table.add_row(*row)
    return table


def test_columns_are_aligned_without_trailing_blanks():
    assert as_text(make_table(["x", "1"], ["forward"], ["yy", "10"])) == (
        "name     ms\nx         1\nforward\nyy       10"
    )


def test_text_is_plain_and_whole(monkeypatch):
    """Markup and emoji codes are text, and the width of a terminal does not matter."""
    monkeypatch.setenv("COLUMNS", "20")
    monkeypatch.setenv("FORCE_COLOR", "1")
    name = "[bold]convolution[/] :cat: " * 20
    line = as_text(make_table([name, "1"])).splitlines()[1]
    assert line == f"{name}   1"
