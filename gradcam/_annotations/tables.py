"""Annotations in CSV: a row for each box, or the solution of Kaggle's copy of ILSVRC."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from gradcam._annotations.names import Names
from gradcam._annotations.truth import Annotated, Annotation, AnnotationError
from gradcam._text import brief

MAX_BYTES = 1 << 27
"""The size of the largest file that is read: 128 MB. ILSVRC's training boxes have 30 MB."""

COLUMNS = ("picture", "class", "x0", "y0", "x1", "y1")
CLASS_COLUMNS = ("picture", "class")
_KAGGLE = ("ImageId", "PredictionString")


class Row(NamedTuple):
    """One row: its line in the file, and the fields that were asked for, in their order."""

    line: int
    fields: Sequence[str]


Packed = str
"""A row as one text, which takes less memory; NUL separates line and fields."""


def read(path: Path, folders: Sequence[Path]) -> tuple[Names[list[Packed]], ReadOne]:
    """Read a file; return its pictures, and what reads the annotation of one of them.

    The first line names the columns: picture, class, x0, y0, x1, y1 in any order; others are left
    out. x1 and y1 are exclusive, and pixels are counted from 0. Kaggle's ``LOC_val_solution.csv``
    has ImageId and PredictionString: ``class xmin ymin xmax ymax`` for each box, counted as in
    PASCAL VOC.

    Raises
    ------
    AnnotationError
        If it is not such a table, or is cut off.
    OSError
        If the file cannot be read.
    """
    header, records = _table(path)
    kaggle = {*_KAGGLE} <= {*header}
    columns = _KAGGLE if kaggle else COLUMNS
    by_picture: dict[str, list[Packed]] = {}
    for row in _rows(path, header, columns, records):
        packed = "\0".join((str(row.line), *row.fields[1:]))
        by_picture.setdefault(_picture(path, row), []).append(packed)
    names: Names[list[Packed]] = Names(folders)
    for name, found in by_picture.items():
        names.add(name, found)
    return names, ReadOne(str(path), kaggle)


def read_classes(path: Path, folders: Sequence[Path]) -> Names[str]:
    """Read a table with the columns picture and class, one row for each picture."""
    header, records = _table(path)
    names: Names[str] = Names(folders)
    seen: set[str] = set()
    for row in _rows(path, header, CLASS_COLUMNS, records):
        name = _picture(path, row)
        if name in seen:
            raise AnnotationError(f"{path}: line {row.line}: {brief(name)} has a class already")
        seen.add(name)
        names.add(name, _class(row.fields[1], f"{path}: line {row.line}"))
    return names


@dataclass(frozen=True)
class ReadOne:
    """Reads the annotation of one picture."""

    path: str
    kaggle: bool

    def __call__(self, rows: Sequence[Packed]) -> Annotation:
        """Return the annotation of a picture."""
        read = _predictions if self.kaggle else _box
        objects: list[Annotated] = []
        for row in rows:
            line, *fields = row.split("\0")
            objects += read(fields, f"{self.path}: line {line}")
        return Annotation(f"{self.path}: line {rows[0].partition(chr(0))[0]}", None, tuple(objects))


def _table(path: Path) -> tuple[list[str], Iterator[tuple[int, list[str]]]]:
    """Return the names of the columns, and the line and the fields of each record."""
    records = _records(path)
    first = next(records, None)
    if first is None:
        raise AnnotationError(f"{path}: the file is empty")
    return [name.strip() for name in first[1]], records


def _lines(path: Path) -> Iterator[str]:
    """Yield the lines of a file."""
    # Names of files that are not Unicode stay as they are.
    with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        if os.fstat(file.fileno()).st_size > MAX_BYTES:
            raise AnnotationError(f"{path}: larger than {MAX_BYTES >> 20} MB: split the file")
        for line in file:
            if "\0" in line:  # as in UTF-16, which many programs write
                raise AnnotationError(f"{path}: not text in UTF-8")
            yield line


def _records(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the line and the fields of each record that is not empty."""
    lines = _lines(path)
    first = next(lines, "")
    delimiter = max(",;\t", key=first.count)
    reader = csv.reader(chain([first], lines), delimiter=delimiter, strict=True)
    line = 1
    try:
        for fields in reader:
            if any(map(str.strip, fields)):
                yield line, fields
            line = reader.line_num + 1
    except csv.Error as error:
        raise AnnotationError(
            f"{path}: line {line} cannot be split into columns ({error})"
        ) from None


def _rows(
    path: Path,
    header: Sequence[str],
    columns: Sequence[str],
    records: Iterator[tuple[int, list[str]]],
) -> Iterator[Row]:
    """Yield the fields of these columns, in this order, of each record."""
    _check_header(path, header, columns)
    places = [header.index(name) for name in columns]
    for line, fields in records:
        if len(fields) != len(header):
            raise AnnotationError(
                f"{path}: line {line} has {len(fields)} columns, but the first line has "
                f"{len(header)}"
            )
        yield Row(line, [fields[place].strip() for place in places])


def _check_header(path: Path, header: Sequence[str], expected: Sequence[str]) -> None:
    for name in expected:
        if header.count(name) != 1:
            wrong = "is missing" if name not in header else "is there twice"
            raise AnnotationError(
                f"{path}: the column {name} {wrong}: the first line must name the columns "
                f"{', '.join(expected)}; it is {brief(','.join(header))}"
            )


def _picture(path: Path, row: Row) -> str:
    name = row.fields[0]
    if not name.strip("/. "):
        raise AnnotationError(f"{path}: line {row.line} names no picture")
    return name


def _class(label: str, about: str) -> str:
    if not label:
        raise AnnotationError(f"{about} names no class")
    return label


def _box(fields: Sequence[str], about: str) -> list[Annotated]:
    label, *sides = fields
    x0, y0, x1, y1 = (
        _number(text, f"{about}: {name}") for name, text in zip(COLUMNS[2:], sides, strict=True)
    )
    return [Annotated(_class(label, about), (x0, y0, x1, y1))]


def _predictions(fields: Sequence[str], about: str) -> list[Annotated]:
    words = fields[0].split()
    if len(words) % 5:
        raise AnnotationError(
            f"{about}: expected 'class xmin ymin xmax ymax' for each box, got {len(words)} words"
        )
    objects = []
    for n in range(0, len(words), 5):
        x0, y0, x1, y1 = (_number(each, about) for each in words[n + 1 : n + 5])
        objects.append(Annotated(words[n], (x0 - 1, y0 - 1, x1, y1)))
    return objects


def _number(text: str, about: str) -> float:
    try:
        return float(text.replace("_", "?"))  # Python reads 1_0 as 10
    except ValueError:
        raise AnnotationError(f"{about}: expected a number, got {brief(text)}") from None
