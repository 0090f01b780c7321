"""Pictures of explanations: colour maps, overlays, plots and the comparison of methods.

Figures are built from `matplotlib.figure.Figure` alone, never through pyplot: they need no
display, leave no global state behind, and show themselves in a notebook. matplotlib is
imported by the first figure or colour map that needs it, not with this module.

A colour stands for a number between 0 and 1. What 1 means is written beside every scale.
"""

from __future__ import annotations

import difflib
import io
import os
import textwrap
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gradcam.files import atomic_write
from gradcam.methods import find

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

    from gradcam.methods.explanation import Explanation
    from gradcam.network import Network

__all__ = [
    "COMPARED",
    "ON_A_LAYER",
    "TITLES",
    "colour",
    "compare",
    "method_title",
    "overlay",
    "percent",
    "picture_of",
    "plot_explanation",
    "save",
]

TITLES = {
    "saliency": ("Simonyan saliency", "Simonyan et al. 2014"),
    "deconvnet": ("Deconvnet", "Zeiler & Fergus 2014"),
    "guided_backprop": ("Guided backprop", "Springenberg et al. 2014"),
    "grad_cam": ("Grad-CAM", "Selvaraju et al. 2017"),
    "counterfactual": ("Counterfactual", "Selvaraju et al. 2017"),
    "guided_grad_cam": ("Guided Grad-CAM", "Selvaraju et al. 2017"),
    "deconv_grad_cam": ("Deconv Grad-CAM", "Selvaraju et al. 2017"),
}
"""The field's name of each method, and the paper it comes from."""

ON_A_LAYER = ("grad_cam", "counterfactual", "guided_grad_cam", "deconv_grad_cam")
"""The methods for which a layer can be chosen."""


def method_title(method: str) -> str:
    """Return the field's name of a method: ``"Grad-CAM"`` for ``"grad_cam"``."""
    return TITLES[method][0] if method in TITLES else method.replace("_", " ").capitalize()


def percent(probability: float) -> str:
    """Return a probability as people write it: 97.2 %, but no false 100 % or 0 %."""
    if 0 < probability < 0.001:
        return "< 0.1 %"
    if 0.999 < probability < 1:
        return "> 99.9 %"
    return f"{100 * probability:.1f} %"


def colour(map: ArrayLike, cmap: str = "jet") -> NDArray[np.uint8]:
    """Turn a map into colours.

    Parameters
    ----------
    map
        Any shape, usually (H, W); values outside 0 to 1 take the nearest end's colour.
    cmap
        A matplotlib colour map's name, or ``"paper"``: the blue, cyan, yellow and red of the
        Grad-CAM paper's own code.

    Returns
    -------
    (..., 3) uint8, RGB.

    Raises
    ------
    ValueError
        If the map holds NaN, or no colour map has this name.
    """
    values = np.asarray(map, dtype=np.float32)
    if np.isnan(values).any():
        raise ValueError("the map holds NaN: there is no colour for it")
    values = values.clip(0, 1)
    if cmap == "paper":
        return np.rint(255 * _paper_colours(values)).astype(np.uint8)
    return np.asarray(_colour_map(cmap)(values, bytes=True), np.uint8)[..., :3]


def overlay(
    picture: ArrayLike, map: ArrayLike, cmap: str = "jet", alpha: float = 0.5
) -> NDArray[np.uint8]:
    """Lay the colours of a map over a picture.

    Parameters
    ----------
    picture
        (H, W, 3) uint8, RGB.
    map
        (H, W), values 0 to 1.
    cmap
        See `colour`.
    alpha
        How much of the result is the map's colour: 0 shows the picture alone, 1 the map.

    Returns
    -------
    (H, W, 3) uint8: ``(1 - alpha) * picture + alpha * colour(map)``, rounded.
    """
    below = np.asarray(picture)
    values = np.asarray(map)
    if below.dtype != np.uint8 or below.ndim != 3 or below.shape[2] != 3:
        raise ValueError(f"the picture must be (H, W, 3) uint8, not {below.shape} {below.dtype}")
    if values.shape != below.shape[:2]:
        raise ValueError(
            f"the map must have the picture's height and width {below.shape[:2]}, "
            f"not {values.shape}"
        )
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha must lie between 0 and 1, not {alpha}")
    result = np.empty_like(below, order="C")
    # A band of rows at a time, so that a picture of 100 megapixels needs little beside itself.
    rows = max(1, 2**20 // max(1, below.shape[1]))
    for top in range(0, len(below), rows):
        band = slice(top, top + rows)
        above = colour(values[band], cmap).astype(np.float32)
        blend = (1 - alpha) * below[band].astype(np.float32) + alpha * above
        result[band] = np.rint(blend)
    return result


def picture_of(explanation: Explanation, cmap: str = "jet") -> NDArray[np.uint8]:
    """Return an explanation as its method is usually shown, (H, W, 3) uint8.

    `cmap` colours class activation maps; the other methods have colours of their own.
    """
    if _is_coarse(explanation):
        return overlay(explanation.picture, explanation.map, cmap)
    return explanation.image


def save(picture: NDArray[np.uint8] | Figure, path: str | os.PathLike[str], dpi: int = 120) -> None:
    """Write a picture or a figure as PNG: the whole file or, where that fails, none.

    `dpi` counts for figures alone.
    """
    with atomic_write(path) as file:
        if isinstance(picture, np.ndarray):
            from PIL import Image

            Image.fromarray(picture).save(file, format="PNG")
        else:
            picture.savefig(file, format="png", dpi=dpi)


def _paper_colours(v: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the paper's colours of values in [0, 1], as (..., 3) in [0, 1]."""
    red = (4 * v - 2).clip(0, 1)
    green = np.minimum(4 * v, 4 - 4 * v).clip(0, 1)
    blue = (2 - 4 * v).clip(0, 1)
    return np.stack([red, green, blue], axis=-1)


@cache
def _colour_map(name: str) -> Colormap:
    import matplotlib
    from matplotlib.colors import ListedColormap

    if name == "paper":
        steps = np.linspace(0, 1, 256, dtype=np.float32)
        return ListedColormap(_paper_colours(steps), name="paper")
    try:
        return matplotlib.colormaps[name]
    except (KeyError, TypeError):
        known = ["paper", *matplotlib.colormaps]
        near = difflib.get_close_matches(str(name), known, 3)
        hint = f"did you mean {' or '.join(near)}?" if near else "try jet, viridis or paper"
        raise ValueError(f"no colour map is called {name!r}: {hint}") from None


# ------------------------------------------------------------------------ one explanation


# Figures draw pictures no larger than this, in pixels of the longer side.
_MOST_DRAWN = 1600


def _is_coarse(explanation: Explanation) -> bool:
    """Return whether this is a class activation map, to be laid over the picture."""
    return explanation.raw.ndim == 2


def _certainty(explanation: Explanation) -> str:
    if explanation.probability is None:
        return f"score {explanation.score:.1f}"
    return percent(explanation.probability)


@overload
def plot_explanation(
    explanation: Explanation,
    ax: None = None,
    *,
    cmap: str | None = None,
    alpha: float = 0.5,
    title: str | None = None,
    box: bool = False,
    colorbar: bool = False,
) -> Figure: ...
@overload
def plot_explanation(
    explanation: Explanation,
    ax: Axes,
    *,
    cmap: str | None = None,
    alpha: float = 0.5,
    title: str | None = None,
    box: bool = False,
    colorbar: bool = False,
) -> Axes: ...
def plot_explanation(
    explanation: Explanation,
    ax: Axes | None = None,
    *,
    cmap: str | None = None,
    alpha: float = 0.5,
    title: str | None = None,
    box: bool = False,
    colorbar: bool = False,
) -> Figure | Axes:
    """Draw an explanation the way its method is usually shown.

    Class activation maps lie over the picture in ``"jet"``; saliency is a grey map; guided
    backpropagation, the deconvnet and what is built on them are colour pictures around a
    middle grey, in which grey means no influence.

    Parameters
    ----------
    explanation
        What to draw.
    ax
        matplotlib axes to draw on; by default a figure of its own.
    cmap
        Show the map in these colours instead (see `colour`): over the picture for class
        activation maps, on its own for the others.
    alpha
        The share of the map's colour over the picture.
    title
        By default method, class and probability; ``""`` for none.
    box
        Draw the box around the largest segment above 15 % of the map's maximum.
    colorbar
        Draw the scale beside the map: 0 to 1, 1 being this map's maximum. A colour picture
        around grey has none.

    Returns
    -------
    `ax` where it was given, else the new Figure.
    """
    figure: Figure | None = None
    if ax is None:
        height, width = explanation.picture.shape[:2]
        w, h = _fit(width, height, 6.4, 6.0)
        size = (max(w, 3.2) + 1.0 * colorbar, h + 0.5)
        figure = _figure_class()(figsize=size, dpi=100, layout="constrained")
        ax = figure.add_subplot()
    coarse = _is_coarse(explanation)
    scale: str | None
    if coarse:
        scale = cmap or "jet"
        _show(ax, overlay(explanation.picture, explanation.map, scale, alpha))
    elif cmap is not None:
        scale = cmap
        _show(ax, colour(explanation.map, scale))
    else:
        scale = "gray" if explanation.method == "saliency" else None
        _show(ax, explanation.image)
    _bare(ax)
    if title is None:
        name = method_title(explanation.method)
        title = f"{name}: {explanation.target}, {_certainty(explanation)}"
    if title:
        ax.set_title(title, fontsize=13)
    found = explanation.box() if box else None
    if found is not None:
        _draw_box(ax, found, 2.0)
    if colorbar and scale is not None:
        _draw_scale(ax.inset_axes((1.03, 0, 0.04, 1)), scale, "share of the map's maximum")
    return ax if figure is None else figure


def _draw_box(ax: Axes, box: tuple[float, float, float, float], width: float, **style: Any) -> None:
    """Draw a box (x0, y0, x1, y1) in white on black, to be seen on any picture."""
    from matplotlib.patches import Rectangle

    x0, y0, x1, y1 = box
    for edge, line, more in (("black", 2 * width, {}), ("white", width, style)):
        ax.add_patch(
            Rectangle((x0 - 0.5, y0 - 0.5), x1 - x0, y1 - y0, fill=False, ec=edge, lw=line, **more)
        )


def _draw_scale(ax: Axes, cmap: str, label: str, ticks: Sequence[float] = (0, 0.5, 1)) -> None:
    """Fill `ax` with the colour bar of 0 to 1."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    mappable = ScalarMappable(Normalize(0, 1), _colour_map(cmap))
    bar = ax.get_figure().colorbar(mappable, cax=ax, ticks=ticks)  # type: ignore[union-attr]
    bar.set_label(label, fontsize=12)
    ax.tick_params(labelsize=12)
    bar.outline.set_visible(False)


def _drawn_size(height: int, width: int) -> tuple[int, int]:
    """Return the height and width in which a figure draws a picture: no more than can be seen."""
    zoom = min(1.0, _MOST_DRAWN / max(height, width))
    return max(1, round(height * zoom)), max(1, round(width * zoom))


def _show(ax: Axes, pixels: NDArray[np.uint8], size: tuple[int, int] | None = None) -> None:
    """Show pixels in a picture's coordinates: those of `size`, a height and a width."""
    height, width = size or pixels.shape[:2]
    drawn = _drawn_size(*pixels.shape[:2])
    if drawn != pixels.shape[:2]:
        from PIL import Image

        small = Image.fromarray(pixels).resize(drawn[::-1], Image.Resampling.BOX)
        pixels = np.asarray(small)
    ax.imshow(pixels, extent=(-0.5, width - 0.5, height - 0.5, -0.5))


def _bare(ax: Axes) -> None:
    ax.set_xticks([])
    ax.set_yticks([])
    for spine in ax.spines.values():
        spine.set_visible(False)


def _fit(width: float, height: float, most_w: float, most_h: float) -> tuple[float, float]:
    """Scale (width, height) to the largest size inside (most_w, most_h)."""
    zoom = min(most_w / width, most_h / height)
    return width * zoom, height * zoom


@cache
def _figure_class() -> Any:
    """Return a Figure that shows itself as PNG in a notebook, though pyplot knows nothing of it."""
    from matplotlib.figure import Figure

    class NotebookFigure(Figure):
        def _repr_png_(self) -> bytes:
            file = io.BytesIO()
            self.savefig(file, format="png")
            return file.getvalue()

    return NotebookFigure


# ------------------------------------------------------------------------ all methods at once

COMPARED = ("saliency", "deconvnet", "guided_backprop", "grad_cam", "guided_grad_cam")
"""The methods that `compare` shows unless told otherwise, in the order of their papers."""

# A gradient map is a few bright points on a dark field. Its colours end at this quantile of
# the column, so that one extreme pixel does not darken all others.
_BRIGHT = 0.998


def compare(
    network: Network,
    picture: Any,
    top: int = 3,
    *,
    targets: Sequence[int | str] | None = None,
    methods: Sequence[str] = COMPARED,
    layer: str | None = None,
    on: str = "score",
    cmap: str = "inferno",
    scale: Literal["column", "map"] = "column",
) -> Figure:
    """Draw one picture's explanations: a row for each class, a column for each method.

    **One colour scale.** All maps are drawn in the same colours from 0 to 1, and within a
    column the rows share their 1: it is the strongest value that this method found for any of
    the classes shown. So a dark map below a bright one means that this method found less for
    its class, and brightness may be compared downwards. It may not be compared sideways: a
    class activation map sums activations, a saliency map is a slope per pixel, and no common
    unit exists. ``scale="map"`` stretches each map to its own maximum, as `Explanation.map`
    is: better to see where a weak map lies, but a class without any evidence then looks as
    sure as the best. For gradient maps, 1 is the 99.8 % quantile of the column (or map), not
    its very maximum, which is one pixel.

    Class activation maps lie over the picture in grey, so that all colour is the map's;
    gradient maps, which are as fine as the picture, stand alone. Where the preparation of the
    network's input cut the picture's edges off, a dashed line surrounds what it saw.

    Parameters
    ----------
    network
        The network that is asked.
    picture
        One picture, as `Network.forward` takes it.
    top
        Explain this many of the most probable classes.
    targets
        Explain these classes instead: indices, labels or synsets.
    methods
        The columns, from the names in `TITLES`.
    layer
        The layer of the class activation maps; by default the network's last rectified map.
    on
        Explain the ``"score"`` before the softmax, or the ``"probability"``.
    cmap
        The colour map, see `colour`. The default grows steadily lighter from black to pale
        yellow, so it also serves on a weak projector, in grey print and to the colour-blind.
    scale
        What the maps share their maximum with: all of the ``"column"``, or none (``"map"``).

    Returns
    -------
    A matplotlib Figure, not registered with pyplot: `figure.savefig("comparison.png")`.

    Raises
    ------
    ValueError
        If a method, class or layer is unknown, or more than one picture was given.
    """
    if isinstance(methods, str) or len(methods) == 0:
        raise ValueError(f"methods must be a list of at least one method, not {methods!r}")
    names = [find(method).__name__ for method in methods]
    _colour_map(cmap)
    if scale not in ("column", "map"):
        raise ValueError(f"scale must be 'column' or 'map', not {scale!r}")
    tape = network.forward(picture)
    if len(tape.scores) != 1:
        raise ValueError(f"compare draws one picture, but {len(tape.scores)} were given")
    if targets is None:
        if top < 1:
            raise ValueError(f"top must be at least 1, not {top}")
        targets = [int(index) for index in np.argsort(-tape.scores[0], kind="stable")[:top]]
    elif isinstance(targets, (str, int)) or len(targets) == 0:
        raise ValueError(f"targets must be a list of at least one class, not {targets!r}")
    columns = []
    for name in names:
        options = {} if layer is None or name not in ON_A_LAYER else {"layer": layer}
        columns.append(tape.explain(name, list(targets), on=on, **options))
    return _comparison(columns, cmap, scale)


def _comparison(columns: list[list[Explanation]], cmap: str, scale: str) -> Figure:
    """Lay out the figure of `compare` from its explanations, column by column."""
    rows = columns[0]
    picture = rows[0].picture
    labels = [textwrap.fill(str(row.target), 13) for row in rows]
    longest = max(8, *(len(line) for label in labels for line in label.split("\n")))
    grid = _Grid(len(rows), 1 + len(columns), picture.shape[1] / picture.shape[0], longest)
    figure, axes = grid.figure()

    for row, label, ax in zip(rows, labels, axes[:, 0], strict=True):
        _show(ax, picture)
        _note(ax, label, (0, 0.5), (-8, 1), ha="right", va="bottom", weight="bold")
        _note(ax, _certainty(row), (0, 0.5), (-8, -1), ha="right", va="top")
    grey = _grey(picture)
    cropped = rows[0].geometry.cropped
    _set_title(axes[0, 0], "Picture", "dashed: what it saw" if cropped else "", grid.roomy)
    for column, explanations in enumerate(columns, start=1):
        name, source = TITLES[explanations[0].method]
        _set_title(axes[0, column], name, source, grid.roomy)
        if scale == "column":
            maps = _on_one_scale(explanations)
        else:
            maps = [_on_one_scale([explanation])[0] for explanation in explanations]
        for ax, values in zip(axes[:, column], maps, strict=True):
            pixels = colour(values, cmap)
            if _is_coarse(explanations[0]):
                pixels = overlay(grey, values, cmap, 0.6)
            _show(ax, pixels, picture.shape[:2])
    for ax in axes.flat:
        _bare(ax)
        if cropped:
            top, left, bottom, right = rows[0].geometry.region
            _draw_box(ax, (left, top, right, bottom), 1.0, linestyle=(0, (6, 4)))
    grid.draw_scale(figure, cmap, f"share of the {scale}'s\nstrongest value")
    return figure


class _Grid:
    """Where the parts of a comparison lie, in inches from the figure's lower left corner.

    Placed by hand, because nothing here is unknown: every cell has the picture's proportions,
    and texts keep their size, so that they can be read from the back of a lecture hall.
    """

    _WIDEST = 16.0
    _GAP = 0.13  # between cells
    _RIGHT = 1.2  # width of the scale with its label
    _SCALE_LABEL = 1.9  # length of that label
    _TITLE = 2.15  # width of the longest title on one line
    _SOURCE = 1.83  # width of the longest source, "Springenberg et al. 2014"

    def __init__(self, rows: int, columns: int, aspect: float, longest_label: int) -> None:
        self.rows, self.columns = rows, columns
        self.left = 0.2 + 0.135 * longest_label
        room = (self._WIDEST - self.left - self._RIGHT) / columns
        self.width, self.height = _fit(aspect, 1, min(room, 3.2), min(9.6 / rows, 3.2))
        # From one cell to the next: further where texts need more room than the pictures.
        self.step_x = max(self.width + self._GAP, self._SOURCE)
        self.step_y = max(self.height + self._GAP, self._SCALE_LABEL / rows)
        self.bottom = 0.05 + (self.step_y - self.height) / 2
        self.roomy = self.step_x >= self._TITLE
        self.above = 0.62 if self.roomy else 0.85

    @property
    def size(self) -> tuple[float, float]:
        """Width and height of the figure."""
        width = self.left + self.columns * self.step_x + self._RIGHT
        return width, 0.05 + self.rows * self.step_y + self.above

    def figure(self) -> tuple[Figure, Any]:
        """Return the figure and its axes, (rows, columns)."""
        figure = _figure_class()(figsize=self.size, dpi=100)
        axes = np.empty((self.rows, self.columns), object)
        for row, column in np.ndindex(axes.shape):
            x = self.left + column * self.step_x + (self.step_x - self.width) / 2
            y = self.bottom + (self.rows - 1 - row) * self.step_y
            axes[row, column] = self._axes(figure, x, y, self.width, self.height)
        return figure, axes

    def draw_scale(self, figure: Figure, cmap: str, label: str) -> None:
        """Draw the colour scale on the right, as high as all rows."""
        x = self.left + self.columns * self.step_x + 0.1
        height = (self.rows - 1) * self.step_y + self.height
        ticks = (0, 0.5, 1) if height > 0.7 else (0, 1)
        _draw_scale(self._axes(figure, x, self.bottom, 0.22, height), cmap, label, ticks)

    def _axes(self, figure: Figure, x: float, y: float, width: float, height: float) -> Axes:
        w, h = self.size
        return figure.add_axes((x / w, y / h, width / w, height / h))


def _set_title(ax: Axes, name: str, source: str, roomy: bool) -> None:
    """Write a column's title and, smaller, the paper it comes from."""
    lines = name if roomy else name.replace(" ", "\n", 1)
    _note(ax, source, (0.5, 1), (0, 5), ha="center", va="bottom", size=10.5, color="0.35")
    _note(ax, lines, (0.5, 1), (0, 19), ha="center", va="bottom", weight="bold")


def _note(
    ax: Axes, text: str, at: tuple[float, float], by: tuple[float, float], **style: Any
) -> None:
    """Write `text` beside `ax`: `at` in shares of its sides, moved `by` points."""
    style = {"size": 15, "linespacing": 1.05, **style}
    ax.annotate(text, at, by, xycoords="axes fraction", textcoords="offset points", **style)


def _on_one_scale(explanations: Sequence[Explanation]) -> list[NDArray[np.float32]]:
    """Return maps of one method, all divided by the one number that becomes 1."""
    maps = [_strength(explanation) for explanation in explanations]
    if _is_coarse(explanations[0]):
        top = max(float(map.max()) for map in maps)
    else:
        top = float(np.quantile(np.stack(maps), _BRIGHT))
        top = top or max(float(map.max()) for map in maps)
    return [map / np.float32(top or 1) for map in maps]


def _strength(explanation: Explanation) -> NDArray[np.float32]:
    """Return the map before it is stretched to 0..1, in its own unit, as large as it is drawn."""
    raw = explanation.raw
    values = np.maximum(raw, 0) if _is_coarse(explanation) else np.abs(raw).max(axis=0)
    geometry = explanation.geometry
    height, width = geometry.picture
    drawn = _drawn_size(height, width)
    y, x = drawn[0] / height, drawn[1] / width
    top, left, bottom, right = geometry.region
    drawn_geometry = replace(
        geometry, picture=drawn, region=(top * y, left * x, bottom * y, right * x)
    )
    return drawn_geometry.to_picture(values, explanation.resize)


def _grey(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a picture without its colours, (h, w, 3), as large as it is drawn."""
    from PIL import Image

    size = _drawn_size(*picture.shape[:2])
    small = Image.fromarray(picture).resize(size[::-1], Image.Resampling.BOX)
    return np.asarray(small.convert("L").convert("RGB"))
