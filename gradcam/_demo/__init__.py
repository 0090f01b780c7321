"""``gradcam demo``: photographs and scenes with their explanations, as a folder with two pages.

The first page is plain HTML and contains its style; its links are relative and it loads nothing
from the network, so the folder can be opened from disk, copied, or put on a web server unchanged.
The second one is the live page, ``live.html``.

Photographs are shown if the ImageNet network is installed. Of the scenes the truth is known, and
the page does not show successes only: every object of a scene has its row, whether the network
found it or not; one scene was chosen because the network and Grad-CAM are wrong; one class is asked
for that is not in the picture; and the rates are those of scenes that were not chosen.
"""

from __future__ import annotations

import errno
import html
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gradcam._compare import compare, on_one_scale
from gradcam._demo import photographs
from gradcam._demo.elements import SHOWN, row, save_maps, section
from gradcam._demo.template import BODY, STYLE, TITLE
from gradcam._engine.network import Network
from gradcam._files import atomic_write
from gradcam._labels.classes import top_indices
from gradcam._page import check_replaceable
from gradcam._page import write as write_live
from gradcam._pictures.colour import overlay, scale_bar
from gradcam._pictures.figures import save
from gradcam._pictures.pages import Size, answer, page
from gradcam._registry import METHODS
from gradcam._results.explanation import Explanation
from gradcam._text import percent
from gradcam.pictograms._columns import recorded
from gradcam.pictograms._scenes import Scene, scene

__all__ = ["write"]

MIN_PROBABILITY = 0.1
"""A class below it counts as missed if it is in the scene, and is not explained if it is not."""

LIVE = "live.html"
"""The name of the live page."""

_HERO = "cat_and_dog"  # the scene on which methods are compared

_MISS = 100_121
"""The seed of a scene of two objects of which one is missed, and Grad-CAM of the other one is
highest in the wrong place."""

_ABSENT = "volcano"  # a class that is not in the scene _HERO

_CAPTIONS = {
    "grad_cam": "Where the evidence for the class is: the sum of the last feature maps, each "
    "weighted by how much the class's score depends on it.",
    "saliency": "Which pixels the class's score is sensitive to: the size of the gradient of the "
    "score with respect to each pixel.",
    "guided_grad_cam": "Fine detail for this class only: guided backpropagation multiplied by "
    "Grad-CAM.",
}


@dataclass(frozen=True)
class _Row:
    """One class of a scene.

    Attributes
    ----------
    explanations : list of Explanation
        One for each of `SHOWN`.
    present : bool
        Whether the class is in the scene.
    hit : bool or None
        Whether the maximum of Grad-CAM's map is on the object; None if the class is not present.
    """

    explanations: list[Explanation]
    present: bool
    hit: bool | None

    @property
    def found(self) -> bool:
        """Whether the network gives the class enough probability."""
        return (self.explanations[0].probability or 0) >= MIN_PROBABILITY


@dataclass(frozen=True)
class _Shown:
    """One scene and its rows, by falling probability."""

    name: str
    title: str
    size: Size
    rows: list[_Row]


def write(
    out: str | os.PathLike[str], *, progress: Callable[[str], object] = lambda name: None
) -> Path:
    """Explain the package's photographs and scenes; write a page with pictures.

    Parameters
    ----------
    out
        A folder; created if it does not exist. Files of an earlier run are replaced, others not.
    progress
        Called with a picture's name when it is done.

    Returns
    -------
    Path
        The page, ``index.html``, beside the folder ``pictures`` and the live page, ``live.html``.

    Raises
    ------
    FileExistsError
        If the folder has an ``index.html``, a ``live.html`` or a folder ``pictures`` that is not of
        an earlier run.
    """
    from gradcam import pictograms

    paths = pictograms.examples()
    network = pictograms.model()
    folder = Path(out)
    index, pictures = folder / "index.html", folder / "pictures"
    _check_earlier(index, pictures)
    check_replaceable(folder / LIVE)
    pictures.mkdir(parents=True, exist_ok=True)
    photos = photographs.write(pictures, progress)
    shown = []
    for path in paths:
        shown.append(
            _explain(network, path.stem, pictograms.example_scene(path.stem), path, pictures)
        )
        progress(path.name)
    wrong = scene(_MISS, objects=2)
    miss = _explain(network, f"scene-{_MISS}", wrong, wrong.picture, pictures)
    hero = next((path for path in paths if path.stem == _HERO), paths[0])
    save(scale_bar("inferno")[::8], pictures / "scale.png")
    figures = _hero(network, hero, pictures)
    figures["hero"] = html.escape(hero.stem.replace("_", " "))
    write_live(folder / LIVE)
    with atomic_write(index) as file:
        file.write(_page(photos, shown, miss, figures, network).encode())
    return index


def _check_earlier(index: Path, pictures: Path) -> None:
    """Raise FileExistsError if one of these is there, and no earlier run wrote it."""
    if os.path.lexists(index):
        found: Path | None = index
        if index.is_file() and f"<title>{TITLE}</title>" in index.read_text("utf-8", "replace"):
            found = None
    else:
        found = next(pictures.iterdir(), None) if pictures.is_dir() else None
    if found is not None:
        reason = "it is not of gradcam demo and would be replaced: choose another folder"
        raise FileExistsError(errno.EEXIST, reason, str(found))


def _explain(
    network: Network, name: str, truth: Scene, picture: Path | NDArray[np.uint8], folder: Path
) -> _Shown:
    """Explain every object of a scene and every probable class; write all pictures as PNG."""
    tape = network.forward(picture)
    probabilities = tape.probabilities[0]
    masks = {thing.index: thing.mask for thing in truth.objects}
    likely = np.flatnonzero(probabilities >= MIN_PROBABILITY).tolist()
    first = top_indices(probabilities, 1)
    asked = sorted({*masks, *likely, *first}, key=lambda index: -probabilities[index])
    columns = [tape.explain(method, asked) for method in SHOWN]
    rows = []
    for index, *explanations in zip(asked, *columns, strict=True):
        save_maps(name, explanations, folder)
        mask = masks.get(index)
        hit = None if mask is None else bool(mask.flat[explanations[0].map.argmax()])
        rows.append(_Row(explanations, mask is not None, hit))
    save(rows[0].explanations[0].picture, folder / f"{name}.png")
    title = _listed([thing.label.replace("_", " ") for thing in truth.objects])
    return _Shown(name, title, truth.picture.shape[:2], rows)


def _hero(network: Network, path: Path, folder: Path) -> dict[str, object]:
    """Draw the figures of one scene: methods side by side, and a class that is not there."""
    tape = network.forward(path)
    figure = compare(tape, top=2)
    save(figure, folder / "compare.png", dpi=120)
    width, height = (round(120 * side) for side in figure.get_size_inches())
    first, absent = tape.explain("grad_cam", [top_indices(tape.scores[0], 1)[0], _ABSENT])
    save(absent.image, folder / "absent-own-scale.png")
    weak = overlay(absent.picture, on_one_scale([first, absent])[1])
    save(weak, folder / "absent-one-scale.png")
    tall, wide = absent.picture.shape[:2]
    share = absent.evidence.max() / first.evidence.max()
    return {
        "width": width,
        "height": height,
        "absent": html.escape(absent.words),
        "absent_chance": html.escape(absent.certainty),
        "absent_share": percent(float(share)),
        "first": html.escape(first.words),
        "wide": wide,
        "tall": tall,
    }


def _listed(words: Sequence[str]) -> str:
    """Return words as people list them: "cat, dog and ladybug"."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


# ------------------------------------------------------------------------ the page


def _page(
    photos: str,
    shown: Sequence[_Shown],
    miss: _Shown,
    figures: dict[str, object],
    network: Network,
) -> str:
    from gradcam._core import __version__

    legend = "\n".join(
        f"<li><strong>{METHODS[method].title}</strong> "
        f"<cite>({METHODS[method].source})</cite> {_CAPTIONS[method]}</li>"
        for method in SHOWN
    )
    hits = [row.hit for each in shown for row in each.rows if row.present]
    body = BODY.substitute(
        figures,
        title=TITLE,
        live=LIVE,
        photographs=photos,
        count=len(shown),
        classes=len(network.labels),
        legend=legend,
        hits=sum(map(bool, hits)),
        asked=len(hits),
        rates=_rates(),
        threshold=f"{MIN_PROBABILITY:.0%}".replace("%", " %"),
        scenes="\n".join(map(_scene, shown)),
        miss=_scene(miss),
        version=html.escape(__version__),
    )
    return page(TITLE, body, STYLE)


def _rates() -> str:
    """Return a table of the measures on scenes that were not used for training."""
    found = recorded()
    network, accuracy = next(iter(found["accuracy"].items()))
    scenes = f"{accuracy['scenes']} scenes"
    rows: list[tuple[str, float | None]] = [
        (f"All objects have the highest scores, {scenes} of one object", accuracy["one"]),
        (f"All objects have the highest scores, {scenes} of two objects", accuracy["two"]),
    ]
    by_name = {row["method"]: row for row in found["rows"] if row["network"] == network}
    for method in SHOWN:
        measured = by_name[method]
        words = f"{METHODS[method].title}: the maximum is on the object, {measured['scenes']}"
        share = measured["figures"]["on_object"]["mean"]
        rows.append((f"{words} scenes of two objects", share))
    lines = "\n".join(
        f"<tr><td>{html.escape(text)}</td><td>{'–' if share is None else percent(share)}</td></tr>"
        for text, share in rows
    )
    return f"<table>\n{lines}\n</table>"


def _scene(shown: _Shown) -> str:
    """Return the section of one scene."""
    answers = "\n".join(map(_answer, shown.rows))
    rows = "\n".join(
        row(shown.name, shown.size, each.explanations, _verdict(each)) for each in shown.rows
    )
    return section(shown.name, shown.size, shown.title, "The scene", answers, rows)


def _answer(row: _Row) -> str:
    """Return one line of the network's answer."""
    cam = row.explanations[0]
    wrong = "" if row.found and row.present else " missed" if row.present else " not in the scene"
    return answer(cam.words, cam.probability or 0, wrong)


def _verdict(row: _Row) -> str:
    """Say whether the network and Grad-CAM were right."""
    where = {
        True: "The maximum of Grad-CAM is on the object.",
        False: "<b>Miss:</b> the maximum of Grad-CAM is not on the object.",
        None: f"<b>There is no {html.escape(row.explanations[0].words)} in the scene.</b>",
    }[row.hit]
    if row.present and not row.found:
        where = f"<b>Missed by the network:</b> {row.explanations[0].certainty}. {where}"
    return where
