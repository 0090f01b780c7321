"""``gradcam demo``: the built-in scenes and their explanations as a folder with one page.

The page is plain HTML and contains its style; its links are relative and it loads nothing from the
network, so the folder can be opened from disk, copied, or put on a web server unchanged.
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

from gradcam._compare import compare
from gradcam._engine.network import Network
from gradcam._files import atomic_write
from gradcam._labels.classes import top_indices
from gradcam._pictures.figures import save
from gradcam._registry import METHODS
from gradcam._results.explanation import Explanation
from gradcam._text import percent

__all__ = ["write"]

SHOWN = ("grad_cam", "saliency", "guided_grad_cam")
"""What the page shows for each class, beside the picture."""

_MIN_PROBABILITY = 0.1  # classes below this are not explained
_MAX_CLASSES = 3  # classes explained for one picture

_HERO = "cat_and_dog"  # the scene on which methods are compared

_CAPTIONS = {
    "grad_cam": "Where the evidence for the class is: the sum of the last feature maps, each "
    "weighted by how much the class's score depends on it.",
    "saliency": "Which pixels the class's score is sensitive to: the size of the gradient of the "
    "score with respect to each pixel.",
    "guided_grad_cam": "Fine detail for this class only: guided backpropagation multiplied by "
    "Grad-CAM.",
}


@dataclass(frozen=True)
class _Shown:
    """One scene, the network's answer, and the explanations, one row for each class."""

    name: str
    title: str
    size: tuple[int, int]
    predictions: list[tuple[str, float]]
    rows: list[list[Explanation]]


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

    scenes = pictograms.examples()
    network = pictograms.model()
    folder = Path(out)
    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    shown = []
    for path in scenes:
        shown.append(_explain(network, path, folder / "pictures"))
        progress(path.name)
    hero = next((path for path in scenes if path.stem == _HERO), scenes[0])
    figure = compare(network.forward(hero), top=2)
    save(figure, folder / "pictures" / "compare.png", dpi=120)
    size = tuple(round(120 * side) for side in figure.get_size_inches())
    index = folder / "index.html"
    with atomic_write(index) as file:
        file.write(_page(shown, size, network).encode())
    return index


def _explain(network: Network, path: Path, folder: Path) -> _Shown:
    """Explain the probable classes of one picture and write all pictures as PNG."""
    tape = network.forward(path)
    probabilities = tape.probabilities[0]
    first = top_indices(probabilities, _MAX_CLASSES)
    likely = [index for index in first if probabilities[index] >= _MIN_PROBABILITY] or first[:1]
    columns = [tape.explain(method, likely) for method in SHOWN]
    rows = [list(row) for row in zip(*columns, strict=True)]
    picture = rows[0][0].picture
    save(picture, folder / f"{path.stem}.png")
    for row in rows:
        for explanation in row:
            save(explanation.image, folder / _file(path.stem, explanation))
    predictions = [(str(network.labels[i]), float(probabilities[i])) for i in first]
    return _Shown(path.stem, _title(path), picture.shape[:2], predictions, rows)


def _title(path: Path) -> str:
    """Return the objects of a scene in words: "cat, dog and ladybug"."""
    about = json.loads(path.with_name("examples.json").read_text(encoding="utf-8"))
    labels = [thing["label"].replace("_", " ") for thing in about[path.name]["objects"]]
    return " and ".join([", ".join(labels[:-1]), labels[-1]] if len(labels) > 1 else labels)


def _file(name: str, explanation: Explanation) -> str:
    """Return the name of an explanation's file."""
    target = explanation.target
    return (
        f"{name}-{explanation.method}-{explanation.label if target is None else target.index}.png"
    )


# ------------------------------------------------------------------------ the page


def _page(shown: Sequence[_Shown], compare_size: tuple[int, ...], network: Network) -> str:
    from gradcam._core import __version__

    legend = "\n".join(
        f"<li><strong>{METHODS[method].title}</strong> "
        f"<cite>({METHODS[method].source})</cite> {_CAPTIONS[method]}</li>"
        for method in SHOWN
    )
    return _PAGE.substitute(
        count=len(shown),
        classes=len(network.labels),
        legend=legend,
        width=compare_size[0],
        height=compare_size[1],
        scenes="\n".join(map(_scene, shown)),
        version=html.escape(__version__),
    )


def _scene(shown: _Shown) -> str:
    """Return the section of one picture."""
    title = html.escape(shown.title[:1].upper() + shown.title[1:])
    bars = "\n".join(
        f'<li><span>{html.escape(label)}</span><i style="--share: {share:.1%}"></i>'
        f"<span>{html.escape(percent(share))}</span></li>"
        for label, share in shown.predictions
    )
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


def _row(shown: _Shown, row: Sequence[Explanation]) -> str:
    """Return the explanations of one class."""
    label = row[0].words
    figures = "\n".join(
        "<figure>"
        + _image(
            shown,
            _file(shown.name, explanation),
            f"{explanation.title} for {label}",
        )
        + f"<figcaption>{explanation.title}</figcaption></figure>"
        for explanation in row
    )
    question = f"Why <em>{html.escape(label)}</em>?"
    return f'<h3>{question}</h3>\n<div class="row">\n{figures}\n</div>'


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
.scale i {
  width: 14rem; height: 0.8rem; border-radius: 4px;
  background: linear-gradient(
    to right, #000080, #0000ff 12%, #0080ff 25%, #00ffff 37%, #80ff80 50%,
    #ffff00 63%, #ff8000 75%, #ff0000 88%, #800000
  );
}
.compare { margin: 2rem 0; }
.compare img { width: 100%; background: #fff; border-radius: 10px; }
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
ol li { display: grid; grid-template-columns: 1fr 4.5rem 4rem; gap: 0.5rem; align-items: center; }
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
</style>
</head>
<body>
<header>
<h1>Why did the network say that?</h1>
<p class="lead">A small VGG-16, trained on $classes kinds of pictograms, classified $count scenes.
The heat maps show why it gave its answers. All maps of a scene were computed from one forward pass,
on a CPU.</p>
</header>
<figure class="compare">
<a href="pictures/compare.png"><img src="pictures/compare.png" width="$width" height="$height"
alt="Five methods on one scene: one row for each of the two most probable classes"></a>
<figcaption>One scene, its two most probable classes, five methods. Grad-CAM distinguishes the
classes; saliency is highest on the dog for both classes. The rows of a column have the same
colour scale.</figcaption>
</figure>
<h2>How to read the maps</h2>
<ul class="legend">
$legend
</ul>
<p class="scale">no evidence <i role="img" aria-label="dark blue, through green and yellow, to
dark red"></i> strongest evidence in this map (Grad-CAM)</p>
<main>
$scenes
</main>
<footer>Written by <code>gradcam demo</code>, gradcam $version. The pictograms are drawn from the
Noto Color Emoji font (SIL Open Font License 1.1). Click a picture to see it in full size.</footer>
</body>
</html>
""")
