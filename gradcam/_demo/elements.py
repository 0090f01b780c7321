"""Parts of the page that scenes and photographs share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from urllib.parse import quote

from gradcam._pictures import pages
from gradcam._pictures.figures import save
from gradcam._pictures.pages import Size, escaped
from gradcam._results.explanation import Explanation

SHOWN = ("grad_cam", "saliency", "guided_grad_cam")
"""The methods that the page shows for each class, beside the picture."""


def save_maps(name: str, explanations: Iterable[Explanation], folder: Path) -> None:
    """Write the explanations of the picture `name` as PNG."""
    for explanation in explanations:
        save(explanation.image, folder / _file(name, explanation))


def section(name: str, size: Size, title: str, seen: str, answers: str, why: str) -> str:
    """Return the section of a picture.

    Parameters
    ----------
    name : str
        Of its file, without ".png".
    size : Size
    title : str
        In lower case; not HTML.
    seen : str
        What the picture is: "The scene".
    answers, why : str
        HTML: the network's answers, and the explanations.
    """
    picture = _linked(f"{name}.png", f"{seen}: {title}", size)
    heading = title[:1].upper() + title[1:]
    return pages.section(picture, heading, "The network answered:", answers, why)


def row(name: str, size: Size, explanations: Sequence[Explanation], words: str) -> str:
    """Return the explanations of one class; `words` is HTML."""
    label = explanations[0].words
    figures = "\n".join(
        "<figure>"
        + _linked(_file(name, each), f"{each.title} for {label}", size)
        + f"<figcaption>{escaped(each.title)}</figcaption></figure>"
        for each in explanations
    )
    return (
        f'<h3>Why <em>{escaped(label)}</em>?</h3>\n<p class="where">{words}</p>\n'
        f'<div class="row">\n{figures}\n</div>'
    )


def _linked(file: str, alt: str, size: Size) -> str:
    """Return a picture that is a link to itself."""
    source = f"pictures/{quote(file)}"
    return f'<a href="{source}">{pages.image(source, alt, size)}</a>'


def _file(name: str, explanation: Explanation) -> str:
    """Return the name of an explanation's file."""
    target = explanation.target
    return (
        f"{name}-{explanation.method}-{explanation.label if target is None else target.index}.png"
    )
