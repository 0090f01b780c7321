"""A progress bar for long work."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

Advance = Callable[[str], None]
"""Counts one piece of work as done, and shows its name."""


@contextmanager
def progress_bar(
    total: int | None, console: Console, *, redirect_stderr: bool = False
) -> Iterator[Advance]:
    """Show a bar with a count and the remaining time; it disappears at the end.

    Parameters
    ----------
    total : int or None
        How many pieces of work there are, if that is known.
    console : rich.console.Console
    redirect_stderr : bool
        Whether lines that are written to standard error appear above the bar.
    """
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    with Progress(
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}", markup=False),
        console=console,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=redirect_stderr,
    ) as bar:
        task = bar.add_task("", total=total)
        yield lambda name: bar.update(task, advance=1, description=name)
