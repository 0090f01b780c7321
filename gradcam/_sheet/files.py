"""Sheets as files: one, or several if there are many pictures."""

from __future__ import annotations

from pathlib import Path

from gradcam._files import atomic_write, expanded
from gradcam._pictures import figures
from gradcam._sheet import figure, web
from gradcam._sheet.content import Content


def save(sheet: Content, path: Path) -> list[Path]:
    """Write a sheet as .png or .html, and return the files."""
    path, suffix = Path(expanded(path)), path.suffix.lower()
    if suffix not in (".png", ".html"):
        raise ValueError(f"{path}: a sheet is saved as .png or .html")
    count = (figure if suffix == ".png" else web).pages(sheet)
    if not count:
        raise ValueError("the sheet is empty: no picture could be read")
    files = [path, *(path.with_name(f"{path.stem}-{n}{path.suffix}") for n in range(2, count + 1))]
    for number, file in enumerate(files, 1):
        if suffix == ".png":
            figures.save(figure.draw(sheet, number), file)
        else:
            text = web.page(sheet, number, [each.name for each in files])
            with atomic_write(file) as stream:
                stream.write(text.encode())
    return files
