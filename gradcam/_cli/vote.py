"""``gradcam vote``: the table of a class whose members voted on the live page."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gradcam._cli import terminal
from gradcam._cli.app import NOTHING_DONE, SOME_FAILED, sentence
from gradcam._cli.outputs import check_not_replaced, check_writable
from gradcam._files import atomic_write
from gradcam._page.votes import SCORES, Row, Votes, is_table, read, table_text
from gradcam._registry import METHODS
from gradcam._text import counted, percent

if TYPE_CHECKING:
    from rich.table import Table

_NOTES = (
    "Who guesses is right in 50 %.  The intervals take all answers as independent, which those of "
    "one person are not quite.  Those of means are of the bootstrap, too narrow below 20 answers.",
    "The paper: Selvaraju et al. 2017, sections 5.1 and 5.2, with photographs and other networks; "
    "it has no figure for saliency, and 60.37 % is of its later version.",
)


@click.group(short_help="The answers of a class that voted on the live page.")
def vote() -> None:
    """Read what a class answered in the part Vote of the page that gradcam page writes."""


@vote.command(short_help="The table of a class, from everybody's file.")
@click.argument(
    "files",
    metavar="FILE.csv...",
    nargs=-1,
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
)
@click.option(
    "--out",
    "-o",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="TABLE.csv",
    help="Also write the table to a file.  One of an earlier run is replaced.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, and nothing else.")
def merge(files: tuple[Path, ...], out: Path | None, as_json: bool) -> int:
    """Join the files that the page saved, one for each person, and print the table of all.

    \b
    gradcam vote merge answers/*.csv --out class.csv

    An answer that is in several files is counted once.  A file with a damaged row is left out and
    named; so is one of another kind.
    """
    _check_out(out, files)
    votes, failed, done = Votes(), 0, 0
    for file in files:
        try:
            if is_table(file):
                terminal.echo(f"Note: {file} is a table of this command: left out.", err=True)
                continue
            votes.add(str(file), read(file))
            done += 1
        except (OSError, ValueError) as error:
            failed += 1
            terminal.echo(f"Error: {sentence(error)}", err=True)
    if not votes.answers:
        if not failed:
            terminal.echo("Error: there is no answer in these files.", err=True)
        return NOTHING_DONE
    for each in votes.repeated:
        terminal.echo(f"Note: {each}.", err=True)
    rows = [*votes.discrimination, *votes.trust]
    if out is not None:
        with atomic_write(out) as written:
            written.write(table_text(rows).encode())
    if as_json:
        click.echo(json.dumps(_record(votes, done, rows, out)))
    else:
        _show(votes, done, out)
    return SOME_FAILED if failed else 0


def _check_out(out: Path | None, files: Sequence[Path]) -> None:
    """Raise, before any work, if the table cannot be written or would replace something else."""
    if out is None:
        return
    if out.suffix != ".csv":
        raise click.UsageError(f"--out {out}: the name must end in .csv.")
    if not out.parent.is_dir():
        raise click.UsageError(f"--out {out}: there is no folder {out.parent}.")
    check_writable([out])
    if not os.path.lexists(out):
        return
    if not (out.is_file() and is_table(out)):
        check_not_replaced([out], files)
        raise click.UsageError(
            f"--out {out}: there is a file of this name, which is not a table of this command: "
            f"choose another name."
        )


def _record(votes: Votes, files: int, rows: Sequence[Row], out: Path | None) -> dict[str, Any]:
    """Return everything as JSON has it."""
    return {
        "files": files,
        "sessions": votes.sessions,
        "answers": len(votes.answers),
        "repeated": votes.repeated,
        "rows": [
            {
                "kind": row.kind,
                "method": row.method,
                "answers": row.answers,
                "value": _number(row.value.mean),
                "low": _number(row.value.low),
                "high": _number(row.value.high),
                "counts": list(row.counts),
                "paper": row.paper,
            }
            for row in rows
        ],
        "file": None if out is None else str(out),
    }


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


def _show(votes: Votes, files: int, out: Path | None) -> None:
    """Print both tables."""
    console = terminal.console()
    terminal.echo(
        f"{counted(len(votes.answers), 'answer')} in {counted(votes.sessions, 'session')}, from "
        f"{counted(files, 'file')}"
    )
    terminal.echo("")
    terminal.echo("Which of two objects does the map explain?")
    terminal.show(console, _shares(votes.discrimination))
    terminal.echo("")
    terminal.echo("Which network is more reliable?  2: clearly the better one, -2: the other")
    terminal.show(console, _means(votes.trust))
    terminal.echo("")
    for each in _NOTES:
        terminal.show(console, each)
    if out is not None:
        terminal.echo(f"Written to {out}")


def _shares(rows: Sequence[Row]) -> Table:
    """Return the table of shares of right answers."""
    table = terminal.table("Method", ">Answers", ">Right", ">Share", ">95 % interval", ">Paper")
    for row in rows:
        mean, low, high, _ = row.value
        paper = "none" if row.paper is None else f"{100 * row.paper:.2f} %"
        table.add_row(
            *(METHODS.find(row.method).title, str(row.answers), str(row.counts[-1])),
            *_unless_empty(row, percent(mean), f"{100 * low:.1f} to {100 * high:.1f} %"),
            paper,
        )
    return table


def _means(rows: Sequence[Row]) -> Table:
    """Return the table of ratings."""
    scores = [f">{score:+d}" if score else ">0" for score in SCORES]
    table = terminal.table("Method", ">Answers", *scores, ">Mean", ">95 % interval", ">Paper")
    for row in rows:
        mean, low, high, size = row.value
        interval = f"{low:.2f} to {high:.2f}" if size > 1 else ""
        table.add_row(
            *(METHODS.find(row.method).title, str(row.answers), *map(str, row.counts)),
            *_unless_empty(row, f"{mean:.2f}", interval),
            f"{row.paper:.2f}",
        )
    return table


def _unless_empty(row: Row, *cells: str) -> Sequence[str]:
    """Return the cells, which are empty if there was no answer."""
    return cells if row.answers else [""] * len(cells)
