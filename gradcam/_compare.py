"""One figure for all methods: a row for each class, a column for each method."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence, Sized
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradcam._engine.signatures import Several
from gradcam._engine.tape import BatchTape, Tape
from gradcam._labels.classes import top_indices
from gradcam._pictures import figures
from gradcam._pictures.colour import blend_words, colour, overlay, plain_bar, scale_bar
from gradcam._pictures.image import Geometry
from gradcam._registry import METHODS, Method
from gradcam._results.explanation import Explanation
from gradcam._results.objectives import On, Probability
from gradcam._text import brief, width, wrap

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COMPARED = ("saliency", "deconvnet", "guided_backprop", "grad_cam", "guided_grad_cam")
"""The methods that :func:`compare` shows by default, in the order of their papers."""

_FULL = 0.998
"""A pixel method's map has a few bright points on a dark field. Its colours end at this quantile of
the column, so that one extreme pixel does not darken all others."""


def compare(
    tape: Tape,
    targets: Several | None = None,
    *,
    top: int = 3,
    methods: Sequence[str | Method] = COMPARED,
    layer: str | Sequence[str] | None = None,
    layers: Sequence[str] | None = None,
    on: On = "score",
    cmap: str = "inferno",
    scale: Literal["column", "map"] = "column",
) -> Figure:
    """Draw one picture's explanations: a row for each class, a column for each method.

    **One colour scale.** All maps are drawn in the same colours from 0 to 1, and the rows of a
    column share their 1: the largest value that this method found for any of the classes shown.
    A weak map below a strong one means that this method found less for its class, so strength
    can be compared within a column. It cannot be compared between columns: a class activation map
    sums activations, a saliency map is a slope per pixel, and there is no common unit.
    ``scale="map"`` stretches each map to its own maximum, as `Explanation.map`: it shows better
    where a weak map is high, but a class without any evidence then looks as certain as the best.
    For pixel methods, 1 is the 99.8 % quantile of the column (or map), not its maximum, which is
    one pixel; larger values have the colour of 1. For the view "range", 0 is the minimum of each
    map itself: of RISE, for example, only differences within a map have a meaning.

    Maps of the views "map" and "range" are drawn over the picture as by `gradcam.plot.overlay`:
    over the grey picture with rising opacity, or with "jet" and "paper" as in the papers. Those of
    pixel methods, which are as fine as the picture, are drawn without it. Each of the two has its
    colour bar below the columns. The bar of maps over the picture shows each colour over bright
    parts of the picture (at the top of the bar) to dark parts (at its bottom). If the preparation
    of the network's input cropped the picture, a dashed line surrounds what it saw.

    Parameters
    ----------
    tape : Tape
        Of one picture: ``network.forward(picture)``.
    targets : list of Objective, int or str, optional
        What to explain: classes by index, label or synset, or other objectives.
    top : int
        Without `targets`: explain this many of the most probable classes.
    methods : list of str or Method
        The columns.
    layer : str or sequence of str, optional
        For methods for which a layer can be chosen; by default the network's ``target_layer``. The
        maps of several layers are averaged, each scaled to 0 to 1 by itself, so that the strengths
        of classes cannot be compared in such a column; its second line names the layers.
    layers : list of str, optional
        Several layers: each of these methods has one column for each of them. So
        ``methods=["grad_cam"], layers=["layer1", "layer2", "layer3", "layer4"]`` shows Grad-CAM
        from block to block of a ResNet.
    on : "score" or "probability"
        What a class stands for: its score before the softmax, or its probability.
    cmap : str
        The colour map, see `gradcam.plot.colour`.
    scale : "column" or "map"
        What the maps share their maximum with: all of the column, or nothing.

    Returns
    -------
    matplotlib Figure
        Not registered with pyplot: ``figure.savefig("comparison.png")``.

    Raises
    ------
    ValueError
        If a method, class or layer is unknown, a layer is given that no method takes, both `layer`
        and `layers` are given, or the tape is of several pictures.
    TypeError
        If `tape` is not a tape, or `top` not an integer.
    """
    _check_tape(tape)
    colour(0, cmap)  # refuse an unknown name before any work
    _check_list("methods", methods, "method")
    found = [METHODS.find(method) for method in methods]
    chosen = _chosen(layer, layers)
    for each in chosen:
        check_layer_is_used(each, found)
    if scale not in ("column", "map"):
        raise ValueError(f"scale must be 'column' or 'map', not {scale!r}")
    if targets is None:
        targets = top_indices(tape.scores[0], _checked_top(top))
    else:
        _check_list("targets", targets, "class")
    columns = []
    for method in found:
        for each in chosen if method.takes_layer else (None,):
            title, source = _heading(method)
            explanations = tape.explain(method, targets, layer=each, on=on)
            if layers is not None and isinstance(each, str):
                source = _shortened(each)
            elif each is not None and not isinstance(each, str):
                source = _averaged(explanations[0].layer) or source
            columns.append(_Column(title, source, explanations))
    with figures.default_settings():
        return _comparison(columns, _row_words(tape, targets, on, columns[0]), cmap, scale)


def _row_words(tape: Tape, targets: Several, on: On, column: _Column) -> list[str]:
    """Return what each row explains, in words: a class, or the probability of one."""
    (objectives,) = tape.ask(targets, on).each
    return [
        f"probability of {each.words}" if isinstance(objective, Probability) else each.words
        for objective, each in zip(objectives, column.explanations, strict=True)
    ]


class _Column(NamedTuple):
    """A method's title with the line below it, and its explanations."""

    title: str
    source: str
    explanations: list[Explanation]


def _chosen(
    layer: str | Sequence[str] | None, layers: Sequence[str] | None
) -> Sequence[str | Sequence[str] | None]:
    """Return the layers of the columns; None is the default one."""
    if layers is None:
        return (layer,)
    if layer is not None:
        raise ValueError(f"give either layer or layers, not both: {layer!r} and {layers!r}")
    _check_list("layers", layers, "layer")
    return layers


def _check_list(name: str, given: object, thing: str) -> None:
    """Raise ValueError unless an argument is a list, or another sequence or array, of things."""
    wrong = isinstance(given, (str, bytes)) or not isinstance(given, Iterable)
    if wrong or not isinstance(given, Sized) or len(given) == 0:
        raise ValueError(f"{name} must be a list of at least one {thing}, not {brief(given)}")


def _checked_top(top: object) -> int:
    try:
        number = operator.index(top)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"top must be an integer, not {brief(top)}") from None
    if number < 1:
        raise ValueError(f"top must be at least 1, not {number}")
    return number


def _heading(method: Method) -> tuple[str, str]:
    """Return a method's title and its source; other options than usual take the source's place."""
    known = METHODS.get(method.name, method)
    if not method.title.startswith(f"{known.title} ("):
        return method.title, method.source
    words = method.title[len(known.title) + 2 : -1]
    return known.title, words if len(words) <= _LONGEST else f"{words[: _LONGEST - 1]}…"


def _averaged(layer: str) -> str:
    """Return in words the layers whose maps were averaged; nothing for a single layer."""
    names = layer.split(", ")
    words = f"mean of {layer}"
    if len(words) > _LONGEST:
        words = f"mean of {len(names)} layers"
    return words if len(names) > 1 else ""


def _shortened(name: str) -> str:
    """Return the end of a layer's name that is too long for a column."""
    return name if len(name) <= _LONGEST else f"…{name[1 - _LONGEST :]}"


_LONGEST = 24
"""Characters of a column's second line."""


def check_layer_is_used(layer: str | Sequence[str] | None, methods: Sequence[Method]) -> None:
    """Raise ValueError if a layer is given and no method takes one."""
    if layer is not None and not any(method.takes_layer for method in methods):
        names = ", ".join(method.name for method in methods)
        others = ", ".join(name for name in METHODS if METHODS[name].takes_layer)
        raise ValueError(
            f"layer={layer!r} has no effect on {names}: a layer can be chosen for {others}"
        )


def _check_tape(tape: object) -> None:
    if isinstance(tape, BatchTape):
        raise ValueError("compare draws one picture: give the tape of one, not of a list of them")
    if not isinstance(tape, Tape):
        raise TypeError(
            f"compare takes a tape, gradcam.compare(network.forward(picture)); got "
            f"{type(tape).__name__}"
        )


def _comparison(columns: Sequence[_Column], words: Sequence[str], cmap: str, scale: str) -> Figure:
    """Draw the figure of :func:`compare` from its explanations, column by column."""
    rows = columns[0].explanations
    first = rows[0]
    picture, region = first.picture, first.region
    labels = ["\n".join(wrap(each, 13)) for each in words]
    headings = [(each.title, each.source) for each in columns]
    grid = _Grid(len(rows), picture.shape[1] / picture.shape[0], labels, headings)
    figure, axes = grid.figure()
    for row, label, ax in zip(rows, labels, axes[:, 0], strict=True):
        figures.show(ax, picture)
        _note(ax, label, (0, 0.5), (-8, 1), ha="right", va="bottom", weight="bold")
        _note(ax, row.certainty, (0, 0.5), (-8, -1), ha="right", va="top")
    _set_title(axes[0, 0], "Picture", "" if region is None else "dashed: what it saw", grid.roomy)
    small = _drawn(picture)
    for column, (title, source, explanations) in enumerate(columns, start=1):
        _set_title(axes[0, column], title, source, grid.roomy)
        maps = _scaled(explanations, scale)
        for ax, explanation, values in zip(axes[:, column], explanations, maps, strict=True):
            figures.show(ax, _cell(explanation, values, small, cmap), picture.shape[:2])
    for ax in axes.flat:
        figures.bare(ax)
        if region is not None:
            figures.draw_region(ax, region, 1.0)
    grid.draw_scales(figure, _scales([each.explanations[0] for each in columns], cmap, scale))
    return figure


def _scales(shown: Sequence[Explanation], cmap: str, scale: str) -> list[figures.Scale]:
    """Return the colour bars of the figure: of maps over the picture, and of those without it."""
    bars = []
    if any(each.over_picture for each in shown):
        label = f"{blend_words(cmap)}\n1 is the {scale}'s maximum"
        if any(each.view == "range" for each in shown):
            label += "; 0 is 0, or a map's own minimum (ranges)"
        bars.append(figures.Scale(scale_bar(cmap), label))
    if not all(each.over_picture for each in shown):
        label = f"without the picture\n1 is the {scale}'s {100 * _FULL:g} % quantile"
        bars.append(figures.Scale(plain_bar(cmap), label, ticks=figures.CLIPPED))
    return bars


def _cell(
    explanation: Explanation, values: NDArray[np.float32], picture: NDArray[np.uint8], cmap: str
) -> NDArray[np.uint8]:
    """Return one map of the figure in colours: over the picture, or by itself."""
    if not explanation.over_picture:
        return colour(values, cmap)
    drawn = None if explanation.region is None else _drawn_geometry(explanation).region
    return overlay(picture, values, cmap, region=drawn)


_SIZE = 15
"""Of the characters of labels and titles, in points."""

_SMALL = 10.5
"""Of the characters of sources, in points."""


class _Grid:
    """Where the parts of a comparison lie, in inches from the figure's lower left corner.

    Placed by hand, because nothing here is unknown: every cell has the picture's proportions,
    and texts keep their size, so that they can be read from the back of a lecture hall.
    """

    _WIDEST = 16.0
    _GAP = 0.13  # between cells
    _RIGHT = 0.2
    _SCALE = (4.4, 0.2)  # maximum width and height of a colour bar
    _BELOW = 1.2  # height of a colour bar with its label, below the rows
    _LINE = 0.235  # height of a line of a row's label
    _SOURCE = 1.83  # width of a usual source, "Springenberg et al. 2014"

    def __init__(
        self,
        rows: int,
        aspect: float,
        labels: Sequence[str],
        headings: Sequence[tuple[str, str]],
    ) -> None:
        self.rows, self.columns = rows, 1 + len(headings)
        lines = [label.split("\n") for label in labels]
        longest = max(0.135 * max(8, width(line)) for label in lines for line in label)
        widest = max(figures.text_width(line, _SIZE) for label in lines for line in label)
        highest = 1 + max(len(label) for label in lines)  # with the probability
        self.left = 0.2 + max(longest, widest)
        room = (self._WIDEST - self.left - self._RIGHT) / self.columns
        self.width, self.height = figures.fit(aspect, 1, min(room, 3.2), min(9.6 / rows, 3.2))
        # From one cell to the next: more if texts need more room than the pictures.
        # Hinting makes small characters up to 7 % wider.
        sources = 1.08 * max(figures.text_width(source, _SMALL, "normal") for _, source in headings)
        words = max(
            figures.text_width(line, _SIZE) for title, _ in headings for line in _broken(title)
        )
        self.step_x = max(self.width + self._GAP, self._SOURCE, sources + 0.06, words)
        self.step_y = max(self.height + self._GAP, highest * self._LINE)
        self.bottom = self._BELOW + (self.step_y - self.height) / 2
        titles = max(figures.text_width(title, _SIZE) for title, _ in headings)
        self.roomy = self.step_x >= titles + 0.1
        self.above = 0.62 if self.roomy else 0.85

    @property
    def size(self) -> tuple[float, float]:
        """Width and height of the figure."""
        width = self.left + self.columns * self.step_x + self._RIGHT
        return width, self._BELOW + self.rows * self.step_y + self.above

    def figure(self) -> tuple[Figure, NDArray[np.object_]]:
        """Return the figure and its axes, (rows, columns)."""
        figure = figures.figure_class()(figsize=self.size, dpi=100)
        axes = np.empty((self.rows, self.columns), object)
        for row, column in np.ndindex(axes.shape):
            x = self.left + column * self.step_x + (self.step_x - self.width) / 2
            y = self.bottom + (self.rows - 1 - row) * self.step_y
            axes[row, column] = self._axes(figure, x, y, self.width, self.height)
        return figure, axes

    def draw_scales(self, figure: Figure, scales: Sequence[figures.Scale]) -> None:
        """Draw the colour bars with their labels, side by side below the rows."""
        end = self.size[0] - self._RIGHT
        step = (end - self.left) / len(scales)
        wide, high = min(step - 0.3, self._SCALE[0]), self._SCALE[1]
        step = min(step, wide + 0.6)
        start = min(self.left + (self.step_x - self.width) / 2, end - len(scales) * step)
        for number, scale in enumerate(scales):
            x = start + number * step
            y = self._BELOW - 0.1 - high
            columns = int(wide / 0.088)
            label = "\n".join("\n".join(wrap(line, columns)) for line in scale.label.split("\n"))
            ax = self._axes(figure, x, y, wide, high)
            ax.set_label("scale")
            figures.draw_scale(ax, replace(scale, label=label))

    def _axes(self, figure: Figure, x: float, y: float, width: float, height: float) -> Axes:
        w, h = self.size
        return figure.add_axes((x / w, y / h, width / w, height / h))


def _broken(title: str) -> list[str]:
    """Return the lines of a title that is too long for one: two words or more in two lines."""
    spaces = [place for place, character in enumerate(title) if character == " "]
    middle = min(spaces, key=lambda place: abs(place - len(title) / 2), default=len(title))
    return [line for line in (title[:middle], title[middle + 1 :]) if line]


def _set_title(ax: Axes, name: str, source: str, roomy: bool) -> None:
    """Write a column's title and, smaller, the paper it comes from."""
    lines = name if roomy else "\n".join(_broken(name))
    _note(ax, source, (0.5, 1), (0, 5), ha="center", va="bottom", size=_SMALL, color="0.35")
    _note(ax, lines, (0.5, 1), (0, 19), ha="center", va="bottom", weight="bold")


def _note(
    ax: Axes, text: str, at: tuple[float, float], by: tuple[float, float], **style: Any
) -> None:
    """Write `text` beside `ax`: `at` in shares of its sides, moved `by` points."""
    text, how = figures.text_style(text)
    style = {"size": _SIZE, "linespacing": 1.05, **style, **how}
    ax.annotate(text, at, by, xycoords="axes fraction", textcoords="offset points", **style)


def _scaled(explanations: Sequence[Explanation], scale: str) -> list[NDArray[np.float32]]:
    """Return the maps of one method, divided by what becomes 1: the column's, or each map's."""
    if scale == "column":
        return on_one_scale(explanations)
    return [on_one_scale([explanation])[0] for explanation in explanations]


def on_one_scale(explanations: Sequence[Explanation]) -> list[NDArray[np.float32]]:
    """Return maps of one method, all divided by the one number that becomes 1.

    Those of the view "range" begin at their own minimum.
    """
    maps = [_strength(explanation) for explanation in explanations]
    maximum = max(float(map.max()) for map in maps)
    if not explanations[0].over_picture:
        maximum = float(np.quantile(np.stack(maps), _FULL)) or maximum
    return [map / np.float32(maximum or 1) for map in maps]


def _strength(explanation: Explanation) -> NDArray[np.float32]:
    """Return the map before it is stretched to 0..1, in its own unit, as large as it is drawn."""
    return _drawn_geometry(explanation).to_picture(explanation.evidence, explanation.resize)


def _drawn_geometry(explanation: Explanation) -> Geometry:
    """Return how the network's input lies on the picture as large as it is drawn."""
    geometry = explanation.geometry
    return geometry.resized(figures.drawn_size(*geometry.picture))


def _drawn(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a picture as large as it is drawn."""
    from PIL import Image

    size = figures.drawn_size(*picture.shape[:2])
    return np.asarray(Image.fromarray(picture).resize(size[::-1], Image.Resampling.BOX))
