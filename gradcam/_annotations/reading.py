"""Ground truth of many pictures, in any of the formats, which is recognised by the content."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from gradcam._annotations import coco, masks, tables, voc
from gradcam._annotations.names import Names
from gradcam._annotations.truth import Annotation, AnnotationError
from gradcam._files import file_digest

T = TypeVar("T")

Format = Literal["voc", "coco", "masks", "csv"]

FORMATS: tuple[Format, ...] = ("voc", "coco", "masks", "csv")


@dataclass(frozen=True)
class Annotations:
    """The ground truth of many pictures; returned by :func:`open_annotations`.

    Attributes
    ----------
    path : Path
    format : "voc", "coco", "masks" or "csv"
    count : int
        Pictures, or for masks the masks, that it describes.
    example : str
        One of their names.
    digest : str
        Changes if the annotations change.
    expect : callable
        ``expect(pictures)`` states the paths of all pictures, before the first is asked for. An
        annotation that would belong to pictures of several folders is then ambiguous.
    of : callable
        ``of(picture)`` returns the :class:`Annotation` of a picture, whose path it gets; None if
        there is none. It raises AnnotationError if the annotation is wrong or ambiguous.
    """

    path: Path
    format: Format
    count: int
    example: str
    digest: str
    expect: Callable[[Iterable[Path]], None]
    of: Callable[[Path], Annotation | None]


def open_annotations(
    path: Path, folders: Sequence[Path] = (), format: Format | None = None
) -> Annotations:
    """Open the annotations in a file or a folder.

    Parameters
    ----------
    path : Path
        A folder of XML files or of masks, which may lie in folders of it; or a file: COCO's JSON, a
        CSV, or one XML file.
    folders : sequence of Path
        The folders of pictures, below which the pictures' folders count.
    format : "voc", "coco", "masks" or "csv", optional
        By default it is recognised by the content.

    Raises
    ------
    AnnotationError
        If the format is not recognised, a file is damaged, or a folder has no annotations.
    OSError
        If it cannot be read.
    """
    if format is None:
        format = _recognised(path)
    is_folder = path.is_dir()
    if format != "voc" and is_folder != (format == "masks"):
        kind = "a folder" if format == "masks" else "a file"
        raise AnnotationError(f"{path}: annotations of the format {format} are {kind}")
    if is_folder:
        return _folder(path, folders, format)
    digest = file_digest(path, "sha256")
    if format == "voc":
        names: Names[Path] = Names(folders)
        names.add(path.stem, path)
        return Annotations(path, format, 1, path.name, digest, *_one(names, voc.read))
    if format == "coco":
        found, read = coco.read(path, folders)
        return Annotations(path, format, found.count, found.example, digest, *_one(found, read))
    rows, read_rows = tables.read(path, folders)
    return Annotations(path, format, rows.count, rows.example, digest, *_one(rows, read_rows))


def _one(
    names: Names[T], read: Callable[[T], Annotation]
) -> tuple[Callable[[Iterable[Path]], None], Callable[[Path], Annotation | None]]:
    """Return `expect`, and what finds the one annotation of a picture and reads it."""

    def of(picture: Path) -> Annotation | None:
        found = names.one(picture)
        return None if found is None else read(found)

    return names.expect, of


def _folder(path: Path, folders: Sequence[Path], format: Format) -> Annotations:
    suffixes = frozenset((".xml",)) if format == "voc" else masks.SUFFIXES
    names: Names[Path] = Names(folders)
    states = []
    for file in _files(path):
        if file.suffix.lower() in suffixes:
            inside = file.relative_to(path)
            names.add(inside.with_suffix("").as_posix(), file)
            states.append(_state(file, inside))
    if not names.count:
        kind = "XML files" if format == "voc" else "masks (PNG, BMP, TIFF, ...)"
        raise AnnotationError(f"{path}: there are no {kind} in this folder or its folders")
    if format == "voc":
        return Annotations(
            path, format, names.count, names.example, _digest(states), *_one(names, voc.read)
        )
    classes = masks.read_classes(path, folders)
    if classes is not None:
        states.append(_state(path / masks.CLASSES, Path(masks.CLASSES)))
    read = masks.ReadOne(path, names, classes)

    def expect(pictures: Iterable[Path]) -> None:
        every = list(pictures)
        for each in (names, classes):
            if each is not None:
                each.expect(every)

    def of(picture: Path) -> Annotation | None:
        found = names.all(picture)
        return read(picture, found) if found else None

    return Annotations(path, format, names.count, names.example, _digest(states), expect, of)


def _files(folder: Path) -> Iterator[Path]:
    """Yield the files in a folder and its folders, in order; hidden ones are left out."""

    def refuse(error: OSError) -> None:
        raise error

    for name, folders, files in os.walk(folder, onerror=refuse):
        folders[:] = sorted(each for each in folders if not each.startswith("."))
        yield from (Path(name, each) for each in sorted(files) if not each.startswith("."))


def _state(file: Path, name: Path) -> str:
    """Return what changes if a file changes."""
    status = file.stat()
    return f"{name} {status.st_size} {status.st_mtime_ns}"


def _digest(states: Sequence[str]) -> str:
    import hashlib  # slow to import

    return hashlib.sha256(os.fsencode("\n".join(states))).hexdigest()


def _recognised(path: Path) -> Format:
    """Return the format of a file or a folder."""
    if path.is_dir():
        suffixes = {file.suffix.lower() for file in _files(path)}
        if ".xml" in suffixes:
            return "voc"
        if suffixes & masks.SUFFIXES:
            return "masks"
        single = sorted(suffixes & {".json", ".csv"})
        hint = f"; of a {' or '.join(single)} file, give the path of the file" if single else ""
        raise AnnotationError(f"{path}: this folder has neither XML files nor masks{hint}")
    with open(path, "rb") as file:
        start = file.read(1 << 16).removeprefix(b"\xef\xbb\xbf").lstrip()
    if start.startswith((b"{", b"[")):
        return "coco"
    if start.startswith(b"<"):
        return "voc"
    if not start:
        raise AnnotationError(f"{path}: the file is empty")
    if b"," in start.split(b"\n", 1)[0] or b";" in start.split(b"\n", 1)[0] or b"\t" in start:
        return "csv"
    raise AnnotationError(
        f"{path}: neither COCO's JSON, nor PASCAL VOC's XML, nor a CSV with the columns "
        f"{', '.join(tables.COLUMNS)}; a folder may hold XML files or masks"
    )
