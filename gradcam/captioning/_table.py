"""The evaluation as text: a table for what is said, one for single words and one for maps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from gradcam._tables import titled
from gradcam.captioning._evaluation import Evaluation, Figure, Said
from gradcam.captioning._measuring import LARGEST

_SAID = {
    "there": "nouns of objects that are there, %",
    "not_there": "nouns of objects that are not there, %",
    "right": "phrases right: number, size, colour, noun, %",
    "relations": "relations right, %",
    "mentioned": "groups of objects that are named, %",
    "grammar": "captions that follow the grammar, %",
    "nouns": "nouns in a caption",
    "log_probability": "log-probability of a caption",
}
_RATIOS = {
    "uniform": ("uniform", "1.0"),
    "guided_backprop": ("guided backprop", "2.32 ± .08"),
    "grad_cam": ("Grad-CAM", "3.27 ± .18"),
    "guided_grad_cam": ("Guided Grad-CAM", "6.38 ± .99"),
}
_POINTING = {"on the object": "30.0", "chance": ""}


def to_text(found: Evaluation) -> str:
    """Return the tables, with the paper's figures beside ours."""
    return "\n\n".join([_said(found), _words(found), _caption(found), _regions(found)])


def _said(found: Evaluation) -> str:
    rows = [
        [title, *(_of(found[search], name) for search in ("greedy", "beam"))]
        for name, title in _SAID.items()
    ]
    perplexity = found["perplexity"]
    note = (
        f"{found['scenes']} scenes of layouts that training skips. In brackets: 95 % intervals. "
        f"Beam: five captions are continued at each word; for {_percent(found['beam_raises'])} % "
        f"of the scenes it finds a caption that is more probable. Relations count where both "
        f"objects are there. Perplexity of {perplexity['sentences']} true sentences that training "
        f"skips: {perplexity['own']:.2f} for a word; with the picture of another scene "
        f"{perplexity['other']:.1f}."
    )
    return titled("What captions say", ["", "most probable word", "beam of 5"], rows, note)


def _of(said: Said, name: str) -> str:
    figure = cast("Mapping[str, Figure]", said)[name]
    return _percent(figure) if _SAID[name].endswith("%") else _number(figure)


def _words(found: Evaluation) -> str:
    rows = [
        [name, _percent(found["pointing"][name]), paper]
        for name, paper in _POINTING.items()
        if name in found["pointing"]
    ]
    note = (
        "Grad-CAM of each noun's log-probability, means over scenes. On the object: the map's "
        "maximum is on a visible pixel of an object of this kind; chance: the share of the picture "
        "that these objects cover. The paper's figure is for COCO."
    )
    return titled("Where the maps of single nouns point", ["maximum", "%", "paper"], rows, note)


def _caption(found: Evaluation) -> str:
    rows = []
    for name, energy in found["energy"].items():
        area = found["area"][name]
        density = (energy["mean"] or 0) / (area["mean"] or 1)
        rows.append([name, _percent(energy), _percent(area), f"{density:.2f}"])
    note = (
        "Scenes with objects that the caption does not mention; the sum of the words' "
        "log-probabilities is explained. Density: energy over area."
    )
    columns = ["part", "energy %", "area %", "density"]
    return titled("What the Grad-CAM map of a whole caption lies on", columns, rows, note)


def _regions(found: Evaluation) -> str:
    rows = []
    for name, (title, paper) in _RATIOS.items():
        figures = [found["ratios"], found["geometric"], found["alone"]]
        several, typical, alone = (_number_of(each, name) for each in figures)
        error = found["ratios"][name]["error"] if name in found["ratios"] else None
        rows.append([title, several, f"± {error or 0:.2f}", paper, typical, alone])
    capped = ", ".join(
        f"{_RATIOS[name][0]} {count}" for name, count in found["largest_ratios"].items() if count
    )
    note = (
        f"The phrase of each group of objects, such as 'a small red cat', is given as a caption: "
        f"the mean of its map inside the group's boxes over the mean outside. Means over scenes "
        f"with several groups, as pictures with dense captions have several regions; 95 % "
        f"intervals, standard errors, and geometric means, in which a few large ratios count "
        f"little. One group: means over scenes without other objects, where a map of all objects "
        f"is a map of the region. A ratio counts as at most {LARGEST:g}; so large: "
        f"{capped or 'none'}. A flat map counts as 1. The paper's figures are means with standard "
        f"errors."
    )
    columns = ["map", "inside / outside", "error", "paper", "geometric", "one group"]
    return titled("Maps of the captions of regions", columns, rows, note)


def _percent(found: Figure) -> str:
    return _interval(found, 100, 1)


def _number(found: Figure) -> str:
    return _interval(found, 1, 2)


def _number_of(found: dict[str, Figure], name: str) -> str:
    return _number(found[name]) if name in found else "-"


def _interval(found: Figure, factor: float, digits: int) -> str:
    if found["mean"] is None:
        return "-"
    text = f"{factor * found['mean']:.{digits}f}"
    if found["low"] is None or found["high"] is None:
        return text
    low, high = (f"{factor * each:.{digits}f}" for each in (found["low"], found["high"]))
    return f"{text} ({low} to {high})"
