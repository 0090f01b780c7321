"""Write the photographs of the package from scikit-image's example data.

    python -m gradcam.imagenet._render_photographs FOLDER

FOLDER is ``skimage/data`` of an installed scikit-image 0.26 (or of its unpacked wheel). Only the
compression is changed: the photographs keep their size, and are JPEG files instead of PNG.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple

from PIL import Image

QUALITY = 90


class Source(NamedTuple):
    """Where a photograph comes from."""

    file: str
    title: str
    author: str
    licence: str
    page: str


SOURCES = {
    "astronaut": Source(
        "astronaut.png",
        "Astronaut Eileen Collins",
        "NASA (NASA Great Images database)",
        "public domain",
        "https://flic.kr/p/r9qvLn",
    ),
    "cat": Source(
        "chelsea.png",
        "Chelsea the cat",
        "Stefan van der Walt",
        "CC0 1.0",
        "https://scikit-image.org/docs/stable/api/skimage.data.html#skimage.data.chelsea",
    ),
    "espresso": Source(
        "coffee.png",
        "Coffee cup",
        "Rachel Michetti, courtesy of Pikolo Espresso Bar",
        "CC0 1.0",
        "https://scikit-image.org/docs/stable/api/skimage.data.html#skimage.data.coffee",
    ),
    "photographer": Source(
        "camera.png",
        "Camera",
        "Lav Varshney",
        "CC0 1.0",
        "https://scikit-image.org/docs/stable/api/skimage.data.html#skimage.data.camera",
    ),
}
"""The photographs by the names of their files."""


def render(data: Path, folder: Path) -> None:
    """Write the photographs and ``SOURCES.txt`` into `folder`."""
    folder.mkdir(exist_ok=True)
    lines = ["The photographs in this folder come from the example data of scikit-image 0.26."]
    lines += ["They were saved as JPEG files of the same size; nothing else was changed.", ""]
    for name, source in SOURCES.items():
        with Image.open(data / source.file) as image:
            image.save(folder / f"{name}.jpg", quality=QUALITY, optimize=True)
        lines += [f"{name}.jpg", f"    {source.title}", f"    {source.author}; {source.licence}"]
        lines += [f"    scikit-image: {source.file}; {source.page}"]
    (folder / "SOURCES.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", metavar="FOLDER", type=Path)
    render(parser.parse_args().data, Path(__file__).with_name("photographs"))
