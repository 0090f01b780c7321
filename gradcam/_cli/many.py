"""One command over many pictures: their files, the names of the outputs, and what fails."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gradcam._cli import terminal
from gradcam._cli.app import NOTHING_DONE, SOME_FAILED, sentence

if TYPE_CHECKING:
    from rich.table import Table

Record = dict[str, Any]
"""What was done for one picture, as JSON has it."""

_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")


@dataclass
class Run:
    """A command over many pictures.

    Attributes
    ----------
    work : callable
        ``work(path, name)`` does one picture and returns its record; `name` is a name for its
        output that no other picture has.
    show : callable
        Returns a table of a record.
    as_json : bool
        Whether records are printed as JSON.
    out : path or None
        The folder that is written to.
    """

    work: Callable[[Path, str], Record]
    show: Callable[[Record], Table]
    as_json: bool
    out: Path | None = None
    done: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)

    def over(self, pictures: Sequence[Path]) -> int:
        """Do every picture, whether or not others fail, and return the exit status."""
        if self.out is not None:
            _prepare(self.out, pictures)
        paths = [file for path in pictures for file in _expanded(path)]
        console = terminal.console()
        try:
            with terminal.progress(len(paths), console, self.as_json) as advance:
                for path, name in zip(paths, output_names(paths), strict=True):
                    with warnings.catch_warnings(record=True) as caught:
                        warnings.simplefilter("always")
                        record = self._one(path, name)
                    self._print(record)
                    for warning in caught:
                        terminal.echo(f"Warning: {path}: {sentence(warning.message)}", err=True)
                    advance(path.name)
        finally:
            if self.done and self.out is not None and not self.as_json:
                terminal.echo(f"Written to {self.out}")
            _report(self.failed, self.done + len(self.failed), len(paths))
        if self.failed:
            return SOME_FAILED if self.done else NOTHING_DONE
        return 0

    def _one(self, path: Path, name: str) -> Record:
        """Do one picture; its record has an "error" if it failed."""
        record: Record = {"picture": str(path)}
        try:
            if path.is_dir():
                raise ValueError("there is no picture in this folder")
            record |= self.work(path, name)
        except (ValueError, OSError, MemoryError) as error:
            reason = sentence(error).removeprefix(f"{path}: ")
            self.failed.append((str(path), reason))
            return record | {"error": reason}
        self.done += 1
        return record

    def _print(self, record: Record) -> None:
        if self.as_json:
            click.echo(json.dumps(record))
        elif "error" not in record:
            from rich.text import Text

            console = terminal.console()
            terminal.show(console, Text(str(record["picture"]), "bold"), soft_wrap=True)
            terminal.show(console, self.show(record))


def _prepare(out: Path, pictures: Sequence[Path]) -> None:
    """Create the folder that is written to, which must not be one that is read."""
    if any(path.is_dir() and path.resolve() == out.resolve() for path in pictures):
        raise click.UsageError(
            f"{out} cannot be read and written at once: what is written there would be taken "
            f"for pictures.  Choose another folder with --out."
        )
    out.mkdir(parents=True, exist_ok=True)


def _report(failed: Sequence[tuple[str, str]], tried: int, count: int) -> None:
    """Name the pictures that failed; if all failed for one reason, name the reason once."""
    reasons = {reason for _, reason in failed}
    if count > 1 and len(failed) == count and len(reasons) == 1:
        terminal.echo(f"Error: all {count} pictures: {reasons.pop()}", err=True)
        return
    if failed and count > 1:
        terminal.echo(f"{len(failed)} of {tried} pictures failed:", err=True)
    for path, reason in failed:
        terminal.echo(f"Error: {path}: {reason}", err=True)


def _expanded(path: Path) -> list[Path]:
    """Return the pictures in a folder; for a file, or a folder without pictures, the path."""
    try:
        return sorted(filter(_looks_like_a_picture, path.iterdir())) or [path]
    except OSError:  # usually a file
        return [path]


def _looks_like_a_picture(path: Path) -> bool:
    return path.suffix.lower() in _SUFFIXES and not path.name.startswith(".") and path.is_file()


def output_names(paths: Sequence[Path]) -> list[str]:
    """Return a name for each picture's output: the file's, with a number if it is taken.

    Upper and lower case count as equal, as they do in the file systems of macOS and Windows.
    """
    # A file's own name is never given to another: of cat, cat and cat-2, the second is cat-3.
    taken = {path.stem.casefold() for path in paths}
    seen: set[str] = set()
    names = []
    for path in paths:
        name = path.stem
        if name.casefold() in seen:
            number = 2
            while f"{name}-{number}".casefold() in taken:
                number += 1
            name = f"{name}-{number}"
            taken.add(name.casefold())
        seen.add(name.casefold())
        names.append(name)
    return names
