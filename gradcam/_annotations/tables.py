"""Annotations in CSV: a row for each box, or the solution of Kaggle's copy of ILSVRC."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from gradcam._annotations.names import Names
from gradcam._annotations.truth import Annotated, Annotation, AnnotationError
from gradcam._text import brief

MAX_BYTES = 1 << 29
"""The size of the largest file that is read: 512 MB. ILSVRC's training boxes have 30 MB."""

COLUMNS = ("picture", "class", "x0", "y0", "x1", "y1")
CLASS_COLUMNS = ("picture", "class")
_KAGGLE = ("ImageId", "PredictionString")


class Row(NamedTuple):
    """One row: its line in the file, and its fields by the names of the columns."""

    line: int
    fields: Mapping[str, str]


def read(path: Path, folders: Sequence[Path]) -> tuple[Names[list[Row]], ReadOne]:
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
    header, rows = _table(path)
    kaggle = {*_KAGGLE} <= {*header}
    if not kaggle:
        _check_header(path, header, COLUMNS)
    column = _KAGGLE[0] if kaggle else COLUMNS[0]
    by_picture: dict[str, list[Row]] = {}
    for row in rows:
        by_picture.setdefault(_picture(path, row, column), []).append(row)
    names: Names[list[Row]] = Names(folders)
    for name, found in by_picture.items():
        names.add(name, found)
    return names, ReadOne(str(path), kaggle)


def read_classes(path: Path, folders: Sequence[Path]) -> Names[str]:
    """Read a table with the columns picture and class, one row for each picture."""
    header, rows = _table(path)
    _check_header(path, header, CLASS_COLUMNS)
    names: Names[str] = Names(folders)
    seen: set[str] = set()
    for row in rows:
        name = _picture(path, row, "picture")
        if name in seen:
            raise AnnotationError(f"{path}: line {row.line}: {brief(name)} has a class already")
        seen.add(name)
        names.add(name, _class(row, f"{path}: line {row.line}"))
    return names


@dataclass(frozen=True)
class ReadOne:
    """Reads the annotation of one picture."""

    path: str
    kaggle: bool

    def __call__(self, rows: Sequence[Row]) -> Annotation:
        """Return the annotation of a picture."""
        read = _predictions if self.kaggle else _box
        objects = [each for row in rows for each in read(row, f"{self.path}: line {row.line}")]
        return Annotation(f"{self.path}: line {rows[0].line}", None, tuple(objects))


def _table(path: Path) -> tuple[list[str], Iterator[Row]]:
    """Return the names of the columns, and the rows."""
    with open(path, "rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise AnnotationError(f"{path}: larger than {MAX_BYTES >> 20} MB: split the file")
    if content.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in content:
        raise AnnotationError(f"{path}: not text in UTF-8")
    # Names of files that are not Unicode stay as they are.
    text = content.decode("utf-8-sig", "surrogateescape")
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    records = _records(path, reader)
    first_record = next(records, None)
    if first_record is None:
        raise AnnotationError(f"{path}: the file is empty")
    names = [name.strip() for name in first_record[1]]
    return names, _rows(path, names, records)


def _records(path: Path, reader: Iterator[list[str]]) -> Iterator[tuple[int, list[str]]]:
    """Yield the line and the fields of each record that is not empty."""
    line = 1
    try:
        for fields in reader:
            if any(map(str.strip, fields)):
                yield line, fields
            line = getattr(reader, "line_num", line) + 1
    except csv.Error as error:
        raise AnnotationError(
            f"{path}: line {line} cannot be split into columns ({error})"
        ) from None


def _rows(
    path: Path, names: Sequence[str], records: Iterator[tuple[int, list[str]]]
) -> Iterator[Row]:
    for line, fields in records:
        if len(fields) != len(names):
            raise AnnotationError(
                f"{path}: line {line} has {len(fields)} columns, but the first line has "
                f"{len(names)}"
            )
        yield Row(line, dict(zip(names, map(str.strip, fields), strict=True)))


def _check_header(path: Path, header: Sequence[str], expected: Sequence[str]) -> None:
    for name in expected:
        if header.count(name) != 1:
            wrong = "is missing" if name not in header else "is there twice"
            raise AnnotationError(
                f"{path}: the column {name} {wrong}: the first line must name the columns "
                f"{', '.join(expected)}; it is {brief(','.join(header))}"
            )


def _picture(path: Path, row: Row, column: str) -> str:
    name = row.fields[column]
    if not name.strip("/. "):
        raise AnnotationError(f"{path}: line {row.line} names no picture")
    return name


def _class(row: Row, about: str) -> str:
    label = row.fields["class"]
    if not label:
        raise AnnotationError(f"{about} names no class")
    return label


def _box(row: Row, about: str) -> list[Annotated]:
    x0, y0, x1, y1 = (_number(row.fields[name], f"{about}: {name}") for name in COLUMNS[2:])
    return [Annotated(_class(row, about), (x0, y0, x1, y1))]


def _predictions(row: Row, about: str) -> list[Annotated]:
    words = row.fields[_KAGGLE[1]].split()
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
        return float(text)
    except ValueError:
        raise AnnotationError(f"{about}: expected a number, got {brief(text)}") from None
