"""A sheet as a page of HTML that needs no other file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from gradcam._pictures import pages as html
from gradcam._pictures.colour import scale_bar
from gradcam._pictures.encoding import jpeg
from gradcam._pictures.pages import escaped
from gradcam._results.explanation import no_flat_warnings
from gradcam._sheet import words
from gradcam._sheet.content import ClassMap, Content, SheetRow
from gradcam._sheet.shape import how_drawn, widened
from gradcam._text import percent, printable

_ROWS = 100
"""Pictures on a page."""

_FEW, _SMALL = 12, 280
"""A page with more pictures than this shows them smaller: the longer side in pixels."""

_STYLE = """\
.seen img, figure img {
  width: var(--most, 100%); max-height: 30rem; object-fit: contain; object-position: left top;
}
h2 { font-size: 1.15rem; }
figcaption strong { color: var(--ink); }
figcaption span { display: block; }
pre {
  margin: 0.8rem 0 0; padding: 0.6rem 0.8rem; border: 1px solid var(--line); border-radius: 6px;
  font-size: 0.8rem; white-space: pre-wrap; overflow-wrap: anywhere; user-select: all;
}
tbody th { border-top: 1px solid var(--line); }
caption { text-align: left; color: var(--soft); padding-bottom: 0.3rem; }
nav { margin: 1rem 0; }
a { color: var(--accent); }
@media screen and (max-width: 36rem) {
  .row figure:first-child { grid-column: auto; }
}
"""


def pages(pictures: int) -> int:
    """Return how many pages a sheet of so many pictures has."""
    return math.ceil(pictures / _ROWS)


def page(sheet: Content, number: int, names: Sequence[str] = ()) -> str:
    """Return a page of a sheet; `names` are the files of all pages, for links between them."""
    from gradcam._core import __version__

    rows = sheet.rows[_ROWS * (number - 1) : _ROWS * number]
    heading = words.title(sheet, rows)
    lines = "".join(f"<p>{_text(text)}</p>\n" for text in words.doubts(sheet))
    side = _SMALL if len(rows) > _FEW else None
    with no_flat_warnings():
        sections = "\n".join(_section(row, side) for row in rows)
    links = _links(sheet, number, names)
    body = f"""\
<header>
<h1>{escaped(heading)}</h1>
<p class="lead">{_text(sheet.finding)}</p>
<p>{_text(" ".join(words.details(sheet)))}</p>
{lines}{_scale(rows[0].maps[0])}{_summary(sheet)}{_skipped(sheet)}</header>
{links}<main>
{sections}
</main>
{links}<footer>Written by gradcam {escaped(__version__)}. A click on a list of classes selects
it.</footer>"""
    return html.page(heading, body, _STYLE)


def _section(row: SheetRow, side: int | None) -> str:
    """Return the part of one picture."""
    height, width = row.size
    name = printable(row.name)
    picture = _image(row.picture, f"The picture {name}", side)
    answers = "\n".join(html.answer(str(each.target), each.probability) for each in row.maps)
    maps = "\n".join(_figure(each, name, side) for each in row.maps)
    unknown = (f"{words.UNKNOWN}: {', '.join(row.unknown)}.",) if row.unknown else ()
    notes = "".join(f"<p>{escaped(note)}</p>\n" for note in (*row.notes, *unknown))
    why = (
        f'<div class="row">\n{maps}\n</div>\n{notes}'
        f'<pre tabindex="0" aria-label="The classes as a list">{escaped(row.decoded)}</pre>'
    )
    size = ", ".join(filter(None, (f"{width} x {height} pixels", how_drawn(row.picture))))
    return html.section(picture, name, f"{size}. The network answered:", answers, why)


def _figure(found: ClassMap, name: str, side: int | None) -> str:
    """Return the map of one class with its words."""
    label = str(found.target)
    lie = f"<span>{_text(found.words)}</span>" if found.shares else ""
    explanation = found.explanation
    alt = f"{explanation.title} for {label} over {name}"
    alt = f"{alt}: {found.words}" if found.shares else alt
    number = " ".join(filter(None, (found.target.synset, percent(found.probability))))
    return (
        f"<figure>{_image(found.image, alt, side)}<figcaption>"
        f"<strong>{found.rank}. {escaped(label)}</strong> <span>{_text(number)}</span>{lie}"
        f"</figcaption></figure>"
    )


def _image(pixels: NDArray[np.uint8], alt: str, side: int | None) -> str:
    """Return a picture as part of the page; its longer side has at most `side` pixels.

    A small one is shown at most twice as large.
    """
    pixels = widened(pixels)
    if side is not None and max(pixels.shape[:2]) > side:
        from PIL import Image

        image = Image.fromarray(pixels)
        image.thumbnail((side, side))
        pixels = np.asarray(image)
    height, width = pixels.shape[:2]
    most = f"--most: min(100%, {2 * width}px)"
    return html.image(html.embedded(jpeg(pixels)), alt, (height, width), most)


def _text(text: str) -> str:
    """Return plain text as HTML in which numbers and their "%" stay on one line."""
    return escaped(text).replace(" %", "&nbsp;%")


def _scale(found: ClassMap) -> str:
    """Return the colours of maps that are drawn over the picture."""
    if not found.explanation.over_picture:
        return ""
    bar = np.ascontiguousarray(scale_bar("inferno")[::8])
    alt = "from the grey picture, through purple and orange, to pale yellow"
    image = html.image(html.embedded(jpeg(bar)), alt, (bar.shape[0], bar.shape[1]))
    return f'<p class="scale">minimum {image} maximum of a map</p>\n'


def _summary(sheet: Content) -> str:
    """Return the table of what the maps of each rank lie on."""
    if not sheet.has_truth or len(sheet.rows) == 1:
        return ""
    head = "".join(f'<th scope="col">{each}</th>' for each in words.COLUMNS)
    lines = "\n".join(
        f'<tr><th scope="row">{rank}</th>'
        + "".join(f"<td>{_text(each)}</td>" for each in shares)
        + "</tr>"
        for rank, *shares in map(words.cells, sheet.summary)
    )
    return (
        f"<table>\n<caption>{_text(words.CAPTION)}</caption>\n<thead><tr>{head}</tr></thead>\n"
        f"<tbody>\n{lines}\n</tbody>\n</table>\n"
    )


def _skipped(sheet: Content) -> str:
    """Return the pictures that are missing, and why."""
    if not sheet.skipped:
        return ""
    lines = "\n".join(
        f"<li>{escaped(name)}: {escaped(str(error))}</li>" for name, error in sheet.skipped
    )
    return f"<p>Pictures that were left out:</p>\n<ul>\n{lines}\n</ul>\n"


def _links(sheet: Content, number: int, names: Sequence[str]) -> str:
    """Return the links to all pages, if there are several."""
    if len(names) < 2:
        return ""
    parts = [
        f'<strong aria-current="page">{n}</strong>'
        if n == number
        else f'<a href="{quote(name)}">{n}</a>'
        for n, name in enumerate(names, 1)
    ]
    return f'<nav aria-label="Pages">Page {" ".join(parts)}</nav>\n'
