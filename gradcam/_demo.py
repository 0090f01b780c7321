"""``gradcam demo``: the built-in scenes and their explanations as a folder with one page.

The page is plain HTML and contains its style; its links are relative and it loads nothing from the
network, so the folder can be opened from disk, copied, or put on a web server unchanged.

The page does not show successes only: every object of a scene has its row, whether the network
found it or not; one scene was chosen because the network and Grad-CAM are wrong; one class is asked
for that is not in the picture; and the rates are those of scenes that were not chosen.
"""

from __future__ import annotations

import html
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from gradcam._compare import compare, on_one_scale
from gradcam._engine.network import Network
from gradcam._files import atomic_write
from gradcam._labels.classes import top_indices
from gradcam._pictures.colour import overlay, scale_bar
from gradcam._pictures.figures import save
from gradcam._registry import METHODS
from gradcam._results.explanation import Explanation
from gradcam._text import percent
from gradcam.pictograms._evaluate import recorded
from gradcam.pictograms._scenes import Scene, scene

__all__ = ["write"]

SHOWN = ("grad_cam", "saliency", "guided_grad_cam")
"""What the page shows for each class, beside the picture."""

MIN_PROBABILITY = 0.1
"""A class below it counts as missed if it is in the scene, and is not explained if it is not."""

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
    size: tuple[int, int]
    rows: list[_Row]


def write(
    out: str | os.PathLike[str], *, progress: Callable[[str], object] = lambda name: None
) -> Path:
    """Explain the package's example scenes with its built-in model; write a page with pictures.

    Parameters
    ----------
    out
        A folder; created if it does not exist. Files of an earlier run are replaced.
    progress
        Called with a picture's name when it is done.

    Returns
    -------
    Path
        The page, ``index.html``, beside the folder ``pictures``.
    """
    from gradcam import pictograms

    paths = pictograms.examples()
    network = pictograms.model()
    folder = Path(out)
    pictures = folder / "pictures"
    pictures.mkdir(parents=True, exist_ok=True)
    shown = []
    for path in paths:
        shown.append(_explain(network, path.stem, _truth(path), path, pictures))
        progress(path.name)
    wrong = scene(_MISS, objects=2)
    miss = _explain(network, f"scene-{_MISS}", wrong, wrong.picture, pictures)
    hero = next((path for path in paths if path.stem == _HERO), paths[0])
    save(scale_bar("inferno")[::8], pictures / "scale.png")
    figures = _hero(network, hero, pictures)
    index = folder / "index.html"
    with atomic_write(index) as file:
        file.write(_page(shown, miss, figures, network).encode())
    return index


def _truth(path: Path) -> Scene:
    """Return the scene of an example picture, with the masks of its objects."""
    about = json.loads(path.with_name("examples.json").read_text(encoding="utf-8"))[path.name]
    classes = [thing["index"] for thing in about["objects"]]
    return scene(about["seed"], classes=classes, size=tuple(about["size"]))


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
        for explanation in explanations:
            save(explanation.image, folder / _file(name, explanation))
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


def _file(name: str, explanation: Explanation) -> str:
    """Return the name of an explanation's file."""
    target = explanation.target
    return (
        f"{name}-{explanation.method}-{explanation.label if target is None else target.index}.png"
    )


# ------------------------------------------------------------------------ the page


def _page(
    shown: Sequence[_Shown], miss: _Shown, figures: dict[str, object], network: Network
) -> str:
    from gradcam._core import __version__

    legend = "\n".join(
        f"<li><strong>{METHODS[method].title}</strong> "
        f"<cite>({METHODS[method].source})</cite> {_CAPTIONS[method]}</li>"
        for method in SHOWN
    )
    hits = [row.hit for each in shown for row in each.rows if row.present]
    return _PAGE.substitute(
        figures,
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


def _rates() -> str:
    """Return a table of the measures on scenes that were not used for training."""
    found = recorded()
    one, two = found["one"], found["two"]
    rows = [("All objects have the highest scores", one["accuracy"], two["accuracy"])]
    rows += [
        (
            f"{METHODS[method].title}: the maximum is on the object",
            one["methods"][method]["pointing"],
            two["methods"][method]["pointing"],
        )
        for method in SHOWN
    ]
    lines = "\n".join(
        f"<tr><td>{html.escape(text)}</td><td>{percent(first)}</td><td>{percent(second)}</td></tr>"
        for text, first, second in rows
    )
    return (
        f"<table>\n<tr><th></th><th>{one['scenes']} scenes of one object</th>"
        f"<th>{two['scenes']} scenes of two objects</th></tr>\n{lines}\n</table>"
    )


def _scene(shown: _Shown) -> str:
    """Return the section of one picture."""
    title = html.escape(shown.title[:1].upper() + shown.title[1:])
    bars = "\n".join(map(_answer, shown.rows))
    rows = "\n".join(_row(shown, row) for row in shown.rows)
    return f"""\
<section>
<div class="seen">
{_image(shown, f"{shown.name}.png", f"The scene: {shown.title}")}
<h2>{title}</h2>
<p>The network answered:</p>
<ol>
{bars}
</ol>
</div>
<div class="why">
{rows}
</div>
</section>"""


def _answer(row: _Row) -> str:
    """Return one line of the network's answer."""
    cam = row.explanations[0]
    share = cam.probability or 0
    wrong = "" if row.found and row.present else " missed" if row.present else " not in the scene"
    return (
        f"<li><span>{html.escape(cam.words)}<b>{wrong}</b></span>"
        f'<i style="--share: {share:.1%}"></i><span>{html.escape(percent(share))}</span></li>'
    )


def _row(shown: _Shown, row: _Row) -> str:
    """Return the explanations of one class."""
    label = row.explanations[0].words
    figures = "\n".join(
        "<figure>"
        + _image(
            shown,
            _file(shown.name, explanation),
            f"{explanation.title} for {label}",
        )
        + f"<figcaption>{html.escape(explanation.title)}</figcaption></figure>"
        for explanation in row.explanations
    )
    name = html.escape(label)
    where = {
        True: "The maximum of Grad-CAM is on the object.",
        False: "<b>Miss:</b> the maximum of Grad-CAM is not on the object.",
        None: f"<b>There is no {name} in the scene.</b>",
    }[row.hit]
    if row.present and not row.found:
        where = f"<b>Missed by the network:</b> {row.explanations[0].certainty}. {where}"
    return (
        f'<h3>Why <em>{name}</em>?</h3>\n<p class="where">{where}</p>\n'
        f'<div class="row">\n{figures}\n</div>'
    )


def _image(shown: _Shown, file: str, alt: str) -> str:
    height, width = shown.size
    source = f"pictures/{quote(file)}"
    return (
        f'<a href="{source}"><img src="{source}" alt="{html.escape(alt)}" '
        f'width="{width}" height="{height}" loading="lazy"></a>'
    )


_PAGE = Template("""\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Why did the network say that?</title>
<style>
:root {
  color-scheme: light dark;
  --ground: #f6f5f1; --card: #fff; --ink: #1d1d1f; --soft: #63636b; --line: #dedcd5;
  --accent: #c2410c;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #141416; --card: #1f1f23; --ink: #ececee; --soft: #a2a2ac; --line: #35353b;
    --accent: #fb923c;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; padding: 3rem 1.5rem; max-width: 76rem;
  background: var(--ground); color: var(--ink);
  font: 1.0625rem/1.55 system-ui, "Segoe UI", Roboto, "Helvetica Neue", sans-serif;
}
h1 { margin: 0; font-size: clamp(2rem, 5vw, 3rem); line-height: 1.1; letter-spacing: -0.02em; }
h2 { margin: 1rem 0 0.25rem; font-size: 1.35rem; line-height: 1.25; }
h3 { margin: 0 0 0.6rem; font-size: 1.0625rem; font-weight: 500; }
h3:not(:first-child) { margin-top: 1.4rem; }
em { font-style: normal; font-weight: 700; color: var(--accent); }
p { max-width: 44rem; }
.lead { font-size: 1.2rem; color: var(--soft); }
cite { font-style: normal; color: var(--soft); }
img { display: block; max-width: 100%; height: auto; border-radius: 6px; }
.legend { padding-left: 1.2rem; max-width: 50rem; }
.legend li { margin: 0.3rem 0; }
.scale { display: flex; max-width: none; align-items: center; gap: 0.7rem; color: var(--soft); }
.scale img { width: 14rem; min-width: 6rem; height: 1rem; }
.compare { margin: 2rem 0; }
.compare div { overflow-x: auto; }
.compare img { width: 100%; min-width: 52rem; background: #fff; border-radius: 10px; }
table { border-collapse: collapse; }
th, td { padding: 0.3rem 0.8rem 0.3rem 0; text-align: right; font-weight: 400; }
th { color: var(--soft); vertical-align: bottom; }
th:first-child, td:first-child { text-align: left; }
td { border-top: 1px solid var(--line); font-variant-numeric: tabular-nums; }
b { color: var(--accent); }
.where { margin: -0.4rem 0 0.6rem; color: var(--soft); font-size: 0.95rem; }
.pair { display: grid; grid-template-columns: repeat(2, minmax(0, 20rem)); gap: 1rem; }
figcaption { color: var(--soft); font-size: 0.9rem; }
section {
  display: grid; grid-template-columns: minmax(12rem, 17rem) 1fr; gap: 1.5rem 2.5rem;
  margin: 1.5rem 0; padding: 1.5rem; background: var(--card);
  border: 1px solid var(--line); border-radius: 14px;
}
.seen { align-self: start; position: sticky; top: 1rem; }
.seen img { width: 100%; }
.seen p { margin: 0 0 0.4rem; color: var(--soft); font-size: 0.95rem; }
ol { list-style: none; margin: 0; padding: 0; color: var(--soft); font-size: 0.95rem; }
ol li { display: grid; grid-template-columns: 1fr 3.5rem 4rem; gap: 0.5rem; align-items: center; }
ol li span:last-child { text-align: right; font-variant-numeric: tabular-nums; }
ol i {
  height: 0.55rem; border-radius: 4px;
  background: linear-gradient(to right, var(--accent) var(--share), var(--line) 0);
}
.row { display: grid; grid-template-columns: repeat(3, minmax(0, 1fr)); gap: 1rem; }
figure { margin: 0; }
figure img { width: 100%; }
figcaption { margin-top: 0.3rem; }
footer { margin-top: 3rem; color: var(--soft); font-size: 0.9rem; }
@media (max-width: 48rem) {
  section { grid-template-columns: 1fr; }
  .seen { position: static; }
}
@media (max-width: 36rem) {
  body { padding: 1.5rem 1rem; }
  section { padding: 1rem; }
  .row { grid-template-columns: repeat(2, minmax(0, 1fr)); }
  .row figure:first-child { grid-column: 1 / -1; }
  .pair { grid-template-columns: 1fr; }
}
</style>
</head>
<body>
<header>
<h1>Why did the network say that?</h1>
<p class="lead">A small VGG-16, trained on $classes kinds of pictograms, classified $count scenes.
The maps show why it gave its answers. All maps of a scene were computed from one forward pass,
on a CPU.</p>
</header>
<figure class="compare">
<div><a href="pictures/compare.png"><img src="pictures/compare.png" width="$width" height="$height"
alt="Five methods on one scene: one row for each of the two most probable classes"></a></div>
<figcaption>One scene, its two most probable classes, five methods. Grad-CAM distinguishes the
classes; saliency is highest on the dog for both classes. The rows of a column have the same
colour scale. (On a narrow screen the figure scrolls sideways.)</figcaption>
</figure>
<h2>How to read the maps</h2>
<ul class="legend">
$legend
</ul>
<p class="scale">minimum <img src="pictures/scale.png" width="256" height="32" alt="from the grey
picture, through purple and orange, to pale yellow"> maximum of this map (Grad-CAM)</p>
<p>The colours lie over the grey picture, and their opacity rises with the map: where the map is 0,
the picture is unchanged. The bar shows each colour over bright parts of the picture (at its top)
and dark parts (at its bottom). Saliency is black at its minimum and white from the 99.5th
percentile of its values on. Guided Grad-CAM is grey where it is 0, and its colours are full from
the 99.5th percentile on.</p>
<h2>How often is it right?</h2>
<p>The $count scenes below were chosen by hand: on them, the maximum of Grad-CAM's map is on the
object asked for in $hits of $asked cases. These are the rates for scenes that were not chosen, and
not used for training:</p>
$rates
<p>Every object of a scene is shown below. One with less than $threshold probability is called
missed.</p>
<h2>A scene that goes wrong</h2>
<p>This scene was chosen because of its mistakes.</p>
$miss
<h2>A class that is not there</h2>
<p>There is no $absent in the first scene, and the network knows it: $absent_chance. A map can be
computed all the same. Stretched to its own maximum, it is as bright as any other; but that maximum
is $absent_share of the maximum for <em>$first</em>. On one scale with <em>$first</em>, little is
left.</p>
<div class="pair">
<figure><a href="pictures/absent-own-scale.png"><img src="pictures/absent-own-scale.png"
width="$wide" height="$tall" alt="Grad-CAM for $absent, stretched to its own maximum"></a>
<figcaption>Grad-CAM for $absent, stretched to its own maximum</figcaption></figure>
<figure><a href="pictures/absent-one-scale.png"><img src="pictures/absent-one-scale.png"
width="$wide" height="$tall" alt="Grad-CAM for $absent, on the scale of $first"></a>
<figcaption>The same map on the scale of $first</figcaption></figure>
</div>
<h2>All scenes</h2>
<main>
$scenes
</main>
<footer>Written by <code>gradcam demo</code>, gradcam $version. The pictograms are drawn from the
Noto Color Emoji font (SIL Open Font License 1.1). Click a picture to see it in full size.</footer>
</body>
</html>
""")
