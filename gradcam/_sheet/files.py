"""Sheets as files: one, or several if there are many pictures."""

from __future__ import annotations

import warnings
from itertools import takewhile
from pathlib import Path

from gradcam._files import atomic_write, expanded
from gradcam._pictures import figures
from gradcam._sheet import figure, web
from gradcam._sheet.content import Content


def save(sheet: Content, path: Path) -> list[Path]:
    """Write a sheet as .png or .html, and return the files.

    Pages of an earlier, longer sheet are not removed: a warning names them.
    """
    path, suffix = Path(expanded(path)), path.suffix.lower()
    if suffix not in (".png", ".html"):
        raise ValueError(f"{path}: a sheet is saved as .png or .html")
    if not sheet.rows:
        raise ValueError("the sheet is empty: no picture could be read")
    files = paths(path, len(sheet.rows))
    for number, file in enumerate(files, 1):
        if suffix == ".png":
            figures.save(figure.draw(sheet, number), file)
        else:
            text = web.page(sheet, number, [each.name for each in files])
            with atomic_write(file) as stream:
                stream.write(text.encode())
    left = list(takewhile(Path.exists, (_page(path, len(files) + n) for n in range(1, 1 << 20))))
    if left:
        names = f"{left[0].name} to {left[-1].name} are" if len(left) > 1 else f"{left[0].name} is"
        warnings.warn(
            f"{names} not of this sheet, which has {len(files)} such "
            f"file{'s' if len(files) > 1 else ''}, but perhaps of an earlier, longer one",
            stacklevel=3,
        )
    return files


def paths(path: Path, pictures: int) -> list[Path]:
    """Return the files of a sheet of so many pictures: sheet.png, sheet-2.png, ..."""
    pages = (figure if path.suffix.lower() == ".png" else web).pages(pictures)
    return [_page(path, number) for number in range(1, pages + 1)]


def _page(path: Path, number: int) -> Path:
    return path if number == 1 else path.with_name(f"{path.stem}-{number}{path.suffix}")
