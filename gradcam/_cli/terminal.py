"""Tables, progress bars and text on the terminal.

Everything but JSON is printed here, so that names and messages, which may come from a file, reach a
terminal without control characters.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gradcam import _default
from gradcam._cli.wording import for_commands
from gradcam._progress import progress_bar
from gradcam._text import percent, printable, shortened

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.progress_bar import ProgressBar
    from rich.style import StyleType
    from rich.table import Table

    from gradcam._cli.options import Choice
    from gradcam._engine.network import Network


def echo(text: str, *, err: bool = False, keep: str = "") -> None:
    """Print a text, shortened if it is very long; `keep` are control characters it may have."""
    click.echo(printable(shortened(text), keep), err=err)


def note(choice: Choice, network: Network, pictures: Iterable[Path]) -> None:
    """Say on standard error which network is used if none was named; if one was, what it knows."""
    if choice.is_default:
        echo(_default.sentence("--model or --weights"), err=True)
    else:
        note_about(network, pictures)


def note_about(network: Network, pictures: Iterable[Path]) -> None:
    """Say on standard error what a network knows, unless all pictures ship with the package.

    What is assumed about its weights is a warning already.
    """
    folder = Path(__file__).resolve().parent.parent / "pictograms"
    about = network.about
    for sentence in network.assumed:
        about = about.replace(sentence, "")
    about = " ".join(about.split())
    if about and not all(folder in path.resolve().parents for path in pictures):
        echo(f"Note: {for_commands(about).rstrip('.')}.", err=True)


@functools.cache
def _console_type() -> type[Console]:
    """Return a kind of console that prints no control characters but those of rich itself."""
    from rich.console import Console, ConsoleOptions
    from rich.segment import Segment
    from rich.text import Text

    class SafeConsole(Console):
        def render_str(self, text: str, **options: Any) -> Text:
            """Escape a cell before its width is measured."""
            return super().render_str(printable(text), **options)

        def render(
            self, renderable: RenderableType, options: ConsoleOptions | None = None
        ) -> Iterator[Segment]:
            """Escape what is not a plain text, such as rich's own text with a style."""
            for segment in super().render(renderable, options):
                if segment.control:
                    yield segment
                else:
                    yield Segment(printable(segment.text, keep="\n"), segment.style)

    return SafeConsole


def is_seen() -> bool:
    """Return whether standard error is a terminal."""
    return console(stderr=True).is_terminal


def preload() -> None:
    """Import what tables need, which is slow; another thread does it during the first pass."""
    import rich.table
    import rich.text  # noqa: F401

    _console_type()


def console(stderr: bool = False) -> Console:
    """Return a console on standard output or standard error."""
    made = _console_type()(stderr=stderr, highlight=False, markup=False, emoji=False)
    if not made.is_terminal:
        made.width = 1000  # in a file or a pipe no line is too long
    return made


def table(*titles: str) -> Table:
    """Return an empty table without lines; a title that starts with '>' is aligned right."""
    from rich.table import Table

    made = Table(box=None, show_header=bool(titles), padding=(0, 0, 0, 2), header_style="bold")
    for title in titles:
        made.add_column(title.removeprefix(">"), justify="right" if ">" in title else "left")
    return made


Line = tuple[str, str, str]
"""What is named, its share as text, and the file about it."""

_LEAST = 0.01
"""With what probability at least something is listed of which there is no file."""


def probable(found: Iterable[tuple[str, float]]) -> list[Line]:
    """Return the lines of what is probable enough to be listed without a file."""
    return [(name, percent(share), "") for name, share in found if share >= _LEAST]


def shares(lines: Sequence[Line]) -> Table:
    """Return a table of lines, with the shares below each other."""
    widest = max(len(share) for _, share, _ in lines)
    rows = table()
    for name, share, file in lines:
        rows.add_row(name, share.rjust(widest), file)
    return rows


def show(
    where: Console,
    content: RenderableType,
    *,
    style: StyleType | None = None,
    width: int | None = None,
    soft_wrap: bool | None = None,
) -> None:
    """Print on a console; in a file or a pipe, without blanks at the ends of lines."""
    for column in getattr(content, "columns", ()):  # of a table: names are never cut off
        column.overflow = "fold"

    def write() -> None:
        where.print(content, style=style, width=width, soft_wrap=soft_wrap)

    if where.is_terminal:
        write()
        return
    with where.capture() as capture:
        write()
    click.echo(re.sub(" +\n", "\n", capture.get()), nl=False)


def bar(share: float) -> ProgressBar:
    """Return a bar of a share between 0 and 1."""
    from rich.progress_bar import ProgressBar

    return ProgressBar(total=1, completed=share, width=20)


@contextmanager
def progress(total: int, as_json: bool) -> Iterator[Callable[[str], None]]:
    """Show a progress bar if someone can see it; yield the function that advances it.

    What is printed on standard output appears above the bar.
    """
    if total == 1:
        yield lambda name: None
        return
    where, errors = console(), console(stderr=True)
    shown_on = where if where.is_terminal else errors
    if not shown_on.is_terminal or (as_json and where.is_terminal):
        yield lambda name: None
        return
    with progress_bar(total, shown_on, redirect_stderr=errors.is_terminal) as advance:
        yield advance


def shape_text(shape: Sequence[int]) -> str:
    """Return a shape as ``512 x 14 x 14``."""
    return " x ".join(map(str, shape))
