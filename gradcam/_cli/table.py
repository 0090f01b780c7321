"""A table of results as CSV or Parquet."""

from __future__ import annotations

import csv
import errno
import importlib
import os
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import IO, Protocol

import click

from gradcam._files import atomic_write

Value = str | int | float | None
Row = Mapping[str, Value]

Columns = Mapping[str, type[str] | type[int] | type[float]]
"""The names of a table's columns, and the types of their values."""

PERIOD = 60.0
"""Seconds after which a Parquet file is written again."""


class Table(Protocol):
    """A file that rows are added to, and that can be read at any time."""

    def add(self, rows: Sequence[Row]) -> None:
        """Add rows."""

    def close(self) -> None:
        """Write what has not been written yet."""


def table_at(path: Path, columns: Columns) -> Callable[[], Table]:
    """Return what creates a table, or replaces one; the suffix of the file is its format.

    The file is not touched before.

    Raises
    ------
    click.ClickException
        If the suffix is unknown, or the format needs a package that is not installed.
    FileNotFoundError
        If there is no such folder.
    """
    suffix = path.suffix.lower()
    if not path.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
    if suffix == ".csv":
        return partial(_Csv, path, columns)
    if suffix != ".parquet":
        raise click.UsageError(f"--table {path}: expected a name that ends in .csv or .parquet.")
    try:
        importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise click.ClickException(
            f"--table {path}: Parquet needs pyarrow: pip install 'gradcam[parquet]', or write a "
            f".csv file."
        ) from None
    return partial(_Parquet, path, columns)


class _Csv:
    """Rows that are written as soon as they are added."""

    def __init__(self, path: Path, columns: Columns) -> None:
        # Names of files that are not Unicode are escaped.
        self._file: IO[str] = open(  # noqa: SIM115
            path, "w", encoding="utf-8", errors="backslashreplace", newline=""
        )
        self._rows = csv.DictWriter(self._file, columns)
        self._rows.writeheader()
        self._file.flush()

    def add(self, rows: Sequence[Row]) -> None:
        self._rows.writerows(rows)
        self._file.flush()

    def close(self) -> None:
        self._file.close()


class _Parquet:
    """Rows in memory; the file is replaced from time to time, since it cannot be extended."""

    def __init__(self, path: Path, columns: Columns) -> None:
        self._path = path
        self._types = columns
        self._columns: dict[str, list[Value]] = {name: [] for name in columns}
        self._write()

    def add(self, rows: Sequence[Row]) -> None:
        for row in rows:
            for name, values in self._columns.items():
                value = row.get(name)
                if isinstance(value, str):
                    value = value.encode("utf-8", "backslashreplace").decode("utf-8")
                values.append(value)
        if time.monotonic() - self._written > PERIOD:
            self._write()

    def close(self) -> None:
        self._write()

    def _write(self) -> None:
        import pyarrow
        import pyarrow.parquet

        kinds = {str: pyarrow.string(), int: pyarrow.int64(), float: pyarrow.float64()}
        schema = pyarrow.schema([(name, kinds[kind]) for name, kind in self._types.items()])
        with atomic_write(self._path) as file:
            pyarrow.parquet.write_table(pyarrow.table(self._columns, schema), file)
        self._written = time.monotonic()
