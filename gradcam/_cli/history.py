"""What was done in an output folder, so that a stopped command can be resumed.

The file ``.gradcam-run.jsonl`` in the folder has one JSON object a line: the options of each run,
and every picture whose outputs are complete. Lines are only ever added.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import click

from gradcam._cli.inputs import Job, relative

FILE = ".gradcam-run.jsonl"

Options = Mapping[str, object]
"""Everything that the outputs depend on, besides the picture."""


class History:
    """The record of an output folder.

    Attributes
    ----------
    names : dict of str to str
        The name of each picture's outputs, by the picture's path relative to the folder.
    """

    def __init__(self, folder: Path, options: Options) -> None:
        import hashlib  # slow to import

        self.folder = folder
        self.names: dict[str, str] = {}
        self._options = json.loads(json.dumps(options))
        self._digest = hashlib.sha256(json.dumps(options, sort_keys=True).encode()).hexdigest()[:16]
        self._last: dict[str, object] | None = None
        self._done: dict[str, dict[str, Any]] = {}
        self._file: IO[str] | None = None
        self._is_cut = False
        self._read()

    def _read(self) -> None:
        try:
            with open(self.folder / FILE, encoding="utf-8", errors="replace") as file:
                line = ""
                for line in file:
                    self._add_line(line)
                self._is_cut = not line.endswith("\n")  # by the end of a run that was killed
        except (FileNotFoundError, NotADirectoryError):
            return

    def _add_line(self, line: str) -> None:
        try:
            entry = json.loads(line)
            if "options" in entry:
                self._last = dict(entry["options"])
            else:
                self.names[str(entry["picture"])] = str(entry["name"])
                self._done[str(entry["picture"])] = entry
        except (ValueError, KeyError, TypeError):  # a part of a line
            pass

    def check_same_options(self) -> None:
        """Raise UsageError if the last run had other options."""
        if self._last is None or self._last == self._options:
            return
        names = sorted({*self._last, *self._options})
        changed = [
            f"{name} was {self._last.get(name)!r} and is now {self._options.get(name)!r}"
            for name in names
            if self._last.get(name) != self._options.get(name)
        ]
        raise click.UsageError(
            f"--resume: the last run in {self.folder} had other options: {'; '.join(changed)}.  "
            f"Use the same options, choose another folder with --out, or leave out --resume to do "
            f"all pictures again."
        )

    def completed(self, job: Job) -> dict[str, Any] | None:
        """Return the record of a picture that was done with these options.

        None if it was not, if the picture has changed since, or if an output is missing.
        """
        entry = self._done.get(relative(job.path, self.folder))
        if entry is None or entry["name"] != job.name or entry.get("run") != self._digest:
            return None
        if entry.get("state") != _state(job.path):
            return None
        if not all((self.folder / file).is_file() for file in entry["files"]):
            return None
        record: dict[str, Any] = entry["record"]
        return record

    def add(self, job: Job, record: Mapping[str, Any], files: list[Path]) -> None:
        """Note that all outputs of a picture are complete."""
        if self._file is None:
            self._file = self._open()
            self._write({"options": self._options})
        self._write(
            {
                "picture": relative(job.path, self.folder),
                "name": job.name,
                "run": self._digest,
                "state": _state(job.path),
                "files": [relative(file, self.folder) for file in files],
                "record": record,
            }
        )

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def _open(self) -> IO[str]:
        file = open(self.folder / FILE, "a", encoding="utf-8", buffering=1)  # noqa: SIM115
        if self._is_cut:
            file.write("\n")
        return file

    def _write(self, entry: Mapping[str, object]) -> None:
        assert self._file is not None
        self._file.write(json.dumps(entry) + "\n")


def _state(path: Path) -> list[int] | None:
    """Return what changes if a picture changes."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return [status.st_size, status.st_mtime_ns]
