"""Parts of the page that scenes and photographs share."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from pathlib import Path
from urllib.parse import quote

from gradcam._pictures.figures import save
from gradcam._results.explanation import Explanation
from gradcam._text import percent

SHOWN = ("grad_cam", "saliency", "guided_grad_cam")
"""The methods that the page shows for each class, beside the picture."""

Size = tuple[int, int]
"""(height, width), in pixels."""


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
    heading = html.escape(title[:1].upper() + title[1:])
    return f"""\
<section>
<div class="seen">
{image(f"{name}.png", f"{seen}: {title}", size)}
<h2>{heading}</h2>
<p>The network answered:</p>
<ol>
{answers}
</ol>
</div>
<div class="why">
{why}
</div>
</section>"""


def answer(label: str, share: float, remark: str = "") -> str:
    """Return one line of the network's answer: a class and its probability."""
    return (
        f"<li><span>{html.escape(label)}<b>{remark}</b></span>"
        f'<i style="--share: {share:.1%}"></i><span>{html.escape(percent(share))}</span></li>'
    )


def row(name: str, size: Size, explanations: Sequence[Explanation], words: str) -> str:
    """Return the explanations of one class; `words` is HTML."""
    label = explanations[0].words
    figures = "\n".join(
        "<figure>"
        + image(_file(name, each), f"{each.title} for {label}", size)
        + f"<figcaption>{html.escape(each.title)}</figcaption></figure>"
        for each in explanations
    )
    return (
        f'<h3>Why <em>{html.escape(label)}</em>?</h3>\n<p class="where">{words}</p>\n'
        f'<div class="row">\n{figures}\n</div>'
    )


def image(file: str, alt: str, size: Size) -> str:
    """Return a picture that is a link to itself."""
    height, width = size
    source = f"pictures/{quote(file)}"
    return (
        f'<a href="{source}"><img src="{source}" alt="{html.escape(alt)}" '
        f'width="{width}" height="{height}" loading="lazy"></a>'
    )


def _file(name: str, explanation: Explanation) -> str:
    """Return the name of an explanation's file."""
    target = explanation.target
    return (
        f"{name}-{explanation.method}-{explanation.label if target is None else target.index}.png"
    )
