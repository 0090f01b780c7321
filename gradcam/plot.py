"""Pictures of explanations: colour maps, overlays, plots and the comparison of methods.

Figures are built from `matplotlib.figure.Figure` alone, never through pyplot: they need no
display, leave no global state behind, and show themselves in a notebook. matplotlib is
imported by the first figure or colour map that needs it, not with this module.

A colour stands for a number between 0 and 1. What 1 means is written beside every scale.
"""

from __future__ import annotations

import difflib
import io
import math
import os
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gradcam._engine.network import Network
from gradcam._files import atomic_write
from gradcam._methods import find
from gradcam._pictures.image import Geometry

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

    from gradcam._results.explanation import Explanation

__all__ = [
    "COMPARED",
    "ON_A_LAYER",
    "TITLES",
    "colour",
    "compare",
    "fade_outside",
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
    values = np.asarray(map)
    table = _table(cmap)
    result = np.empty((*values.shape, 3), np.uint8)
    flat, pixels = values.reshape(-1), result.reshape(-1, 3)
    for band in _bands(len(flat), 1):
        table.take(_steps(flat[band], len(table)), axis=0, out=pixels[band], mode="clip")
    return result


def overlay(
    picture: ArrayLike,
    map: ArrayLike,
    cmap: str = "jet",
    alpha: float = 0.5,
    region: tuple[float, float, float, float] | None = None,
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
    region
        (top, left, bottom, right), in pixels: the part of the picture that the network saw.
        Outside it the picture stays uncoloured and fades to grey, because no evidence could
        be found there. None: all of the picture was seen.

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
    # Fixed point with 8 binary places: both tables hold 256 times what they stand for.
    shares = np.rint(256.0 * (1 - alpha) * np.arange(256)).astype(np.uint16)
    table = np.rint(256.0 * alpha * _table(cmap)).astype(np.uint16) + np.uint16(128)
    result = np.empty_like(below, order="C")
    for band in _bands(*values.shape):
        mixed = table.take(_steps(values[band], len(table)), axis=0, mode="clip")
        mixed += shares[below[band]]
        np.right_shift(mixed, 8, out=result[band], casting="unsafe")
    if region is not None:
        fade_outside(result, below, region)
    return result


def fade_outside(
    shown: NDArray[np.uint8],
    picture: NDArray[np.uint8],
    region: tuple[float, float, float, float],
) -> None:
    """Show the picture, faded to grey, where the network did not see it; `shown` is changed.

    Parameters
    ----------
    shown, picture
        (H, W, 3) uint8, RGB.
    region
        (top, left, bottom, right), in pixels: the part that was seen. A pixel counts as seen if
        its centre was, those on the very edge too.
    """
    top, left = (max(0, math.ceil(side - 0.5)) for side in region[:2])
    bottom, right = (math.floor(side + 0.5) for side in region[2:])
    for outside in (
        np.s_[:top],
        np.s_[bottom:],
        np.s_[top:bottom, :left],
        np.s_[top:bottom, right:],
    ):
        shown[outside] = picture[outside] // 2 + 64


def _bands(height: int, width: int) -> Iterator[slice]:
    """Cut rows into bands of a megapixel, so that large pictures need little beside themselves."""
    rows = max(1, 2**20 // max(1, width))
    return (slice(top, top + rows) for top in range(0, height, rows))


def _steps(values: NDArray[Any], count: int) -> NDArray[np.intp]:
    """Return the step of each value on a scale of `count` steps from 0 to 1."""
    if np.isnan(values).any():
        raise ValueError("the map holds NaN: there is no colour for it")
    steps = values.astype(np.float32).clip(0, 1)
    steps *= np.float32(count)
    return np.minimum(steps.astype(np.intp), count - 1)


def picture_of(explanation: Explanation, cmap: str = "jet") -> NDArray[np.uint8]:
    """Return an explanation as its method is usually shown, (H, W, 3) uint8.

    `cmap` colours class activation maps; the other methods have colours of their own.
    """
    if _is_coarse(explanation):
        return overlay(explanation.picture, explanation.map, cmap, region=_region(explanation))
    return explanation.image


def save(picture: NDArray[np.uint8] | Figure, path: str | os.PathLike[str], dpi: int = 120) -> None:
    """Write a picture or a figure as PNG: the whole file or, where that fails, none.

    Parameters
    ----------
    picture
        (H, W, 3) or (H, W) uint8, or a matplotlib Figure.
    path
        Where to; an earlier file is replaced.
    dpi
        Pixels per inch of a figure; a picture keeps its own.

    Raises
    ------
    TypeError, ValueError
        If `picture` is neither, or an array of another dtype or shape.
    """
    if isinstance(picture, np.ndarray):
        shape = picture.shape
        if picture.dtype != np.uint8 or len(shape) not in (2, 3) or shape[2:] not in ((), (3,)):
            raise ValueError(
                f"a picture is (H, W, 3) uint8, values 0 to 255, not {shape} {picture.dtype}; "
                f"overlay and colour make one of a map"
            )
    elif not hasattr(picture, "savefig"):
        raise TypeError(
            f"save takes a picture, (H, W, 3) uint8, or a figure, not {type(picture).__name__}"
        )
    with atomic_write(path) as file:
        if isinstance(picture, np.ndarray):
            from PIL import Image

            Image.fromarray(picture).save(file, format="PNG", compress_level=_COMPRESSION)
        else:
            options = {"compress_level": _COMPRESSION}
            picture.savefig(file, format="png", dpi=dpi, pil_kwargs=options)


# Files are an eighth larger than at zlib's default, 6, and written five times as fast.
_COMPRESSION = 2


# The corners of jet, as matplotlib has it: where on the scale, and how much of the colour.
_JET = (
    ((0, 0.35, 0.66, 0.89, 1), (0, 0, 1, 1, 0.5)),
    ((0, 0.125, 0.375, 0.64, 0.91, 1), (0, 0, 1, 1, 0, 0)),
    ((0, 0.11, 0.34, 0.65, 1), (0.5, 1, 1, 0, 0)),
)


@cache
def _table(cmap: str) -> NDArray[np.uint8]:
    """Return the colours of a colour map, (N, 3), from 0 to 1.

    Those of heat maps are made here: to import matplotlib takes longer than to explain a picture.
    """
    if cmap == "paper":
        return (255 * _paper()).astype(np.uint8)
    if cmap == "jet":
        steps = np.arange(256)
        shares = [np.interp(steps, 255 * np.array(at), values) for at, values in _JET]
        return (255 * np.stack(shares, axis=1)).astype(np.uint8)
    colours = _colour_map(cmap)
    table = np.asarray(colours(np.arange(colours.N), bytes=True), np.uint8)[:, :3]
    return np.ascontiguousarray(table)


def _paper() -> NDArray[np.float64]:
    """Return the colours of the Grad-CAM paper's own code, (N, 3), 0 to 1."""
    v = np.linspace(0, 1, 4 * 255 + 1)  # a step for each of its colours
    red, green, blue = 4 * v - 2, np.minimum(4 * v, 4 - 4 * v), 2 - 4 * v
    return np.stack([red, green, blue], axis=1).clip(0, 1)


@cache
def _colour_map(name: str) -> Colormap:
    import matplotlib
    from matplotlib.colors import ListedColormap

    if name == "paper":
        return ListedColormap(_paper(), name="paper")
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


def _region(explanation: Explanation) -> tuple[float, float, float, float] | None:
    """Return the part of the picture that the network saw, None where that is all of it."""
    geometry = explanation.geometry
    return geometry.region if geometry.cropped else None


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
    middle grey, in which grey means no influence. Where the preparation of the network's input
    cut the picture's edges off, a dashed line surrounds what it saw.

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
    region = _region(explanation)
    scale: str | None
    if _is_coarse(explanation):
        scale = cmap or "jet"
        _show(ax, overlay(explanation.picture, explanation.map, scale, alpha, region))
    elif cmap is not None:
        scale = cmap
        _show(ax, colour(explanation.map, scale))
    else:
        scale = "gray" if explanation.method == "saliency" else None
        _show(ax, explanation.image)
    _bare(ax)
    if region is not None:
        _draw_region(ax, region, 1.5)
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


def _draw_region(ax: Axes, region: tuple[float, float, float, float], width: float) -> None:
    """Draw a dashed line around what the network saw."""
    top, left, bottom, right = region
    _draw_box(ax, (left, top, right, bottom), width, linestyle=(0, (6, 4)))


def _draw_scale(ax: Axes, cmap: str, label: str, lying: bool = False) -> None:
    """Fill `ax` with the colour bar of 0 to 1."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    mappable = ScalarMappable(Normalize(0, 1), _colour_map(cmap))
    figure: Any = ax.get_figure()
    direction = "horizontal" if lying else "vertical"
    bar = figure.colorbar(mappable, cax=ax, ticks=(0, 0.5, 1), orientation=direction)
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
        If a method, class or layer is unknown, a layer is given that no method looks at, or a
        list of pictures is given.
    TypeError
        If `network` is none, or `picture` no picture.
    """
    if not isinstance(network, Network):
        raise TypeError(
            f"compare takes the network first, then the picture; got {type(network).__name__} "
            f"as the network"
        )
    if isinstance(methods, str) or len(methods) == 0:
        raise ValueError(f"methods must be a list of at least one method, not {methods!r}")
    names = [find(method).__name__ for method in methods]
    if layer is not None and not set(names) & set(ON_A_LAYER):
        raise ValueError(
            f"layer={layer!r} has no effect on {', '.join(names)}: a layer can be chosen for "
            f"{', '.join(ON_A_LAYER)}"
        )
    _colour_map(cmap)
    if scale not in ("column", "map"):
        raise ValueError(f"scale must be 'column' or 'map', not {scale!r}")
    tape = network.forward(picture)
    if not tape.single:
        raise ValueError("compare draws one picture: give the picture itself, not a list of them")
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
    grid = _Grid(len(rows), 1 + len(columns), picture.shape[1] / picture.shape[0], labels)
    figure, axes = grid.figure()

    for row, label, ax in zip(rows, labels, axes[:, 0], strict=True):
        _show(ax, picture)
        _note(ax, label, (0, 0.5), (-8, 1), ha="right", va="bottom", weight="bold")
        _note(ax, _certainty(row), (0, 0.5), (-8, -1), ha="right", va="top")
    grey = _grey(picture)
    region = _region(rows[0])
    drawn = None if region is None else _drawn_geometry(rows[0]).region
    _set_title(axes[0, 0], "Picture", "" if region is None else "dashed: what it saw", grid.roomy)
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
                pixels = overlay(grey, values, cmap, 0.6, drawn)
            _show(ax, pixels, picture.shape[:2])
    for ax in axes.flat:
        _bare(ax)
        if region is not None:
            _draw_region(ax, region, 1.0)
    grid.draw_scale(figure, cmap, f"share of the {scale}'s", "strongest value")
    return figure


class _Grid:
    """Where the parts of a comparison lie, in inches from the figure's lower left corner.

    Placed by hand, because nothing here is unknown: every cell has the picture's proportions,
    and texts keep their size, so that they can be read from the back of a lecture hall.
    """

    _WIDEST = 16.0
    _GAP = 0.13  # between cells
    _RIGHT = 1.2  # width of the scale with its label, where it stands
    _BELOW = 0.75  # height of the scale with its label, where it lies
    _SCALE_LABEL = 1.9  # length of that label
    _LINE = 0.235  # height of a line of a row's label
    _TITLE = 2.15  # width of the longest title on one line
    _SOURCE = 1.83  # width of the longest source, "Springenberg et al. 2014"

    def __init__(self, rows: int, columns: int, aspect: float, labels: Sequence[str]) -> None:
        self.rows, self.columns = rows, columns
        lines = [label.split("\n") for label in labels]
        longest = max(8, *(len(line) for label in lines for line in label))
        highest = 1 + max(len(label) for label in lines)  # with the probability
        self.left = 0.2 + 0.135 * longest
        room = (self._WIDEST - self.left - self._RIGHT) / columns
        self.width, self.height = _fit(aspect, 1, min(room, 3.2), min(9.6 / rows, 3.2))
        # From one cell to the next: further where texts need more room than the pictures.
        self.step_x = max(self.width + self._GAP, self._SOURCE)
        self.step_y = max(self.height + self._GAP, highest * self._LINE)
        # The scale stands beside the rows, or lies below those too low for its label.
        self.lying = rows * self.step_y < 0.7 * self._SCALE_LABEL
        if not self.lying:
            self.step_y = max(self.step_y, self._SCALE_LABEL / rows)
        self.right = 0.2 if self.lying else self._RIGHT
        self.below = 0.05 + self._BELOW * self.lying
        self.bottom = self.below + (self.step_y - self.height) / 2
        self.roomy = self.step_x >= self._TITLE
        self.above = 0.62 if self.roomy else 0.85

    @property
    def size(self) -> tuple[float, float]:
        """Width and height of the figure."""
        width = self.left + self.columns * self.step_x + self.right
        return width, self.below + self.rows * self.step_y + self.above

    def figure(self) -> tuple[Figure, Any]:
        """Return the figure and its axes, (rows, columns)."""
        figure = _figure_class()(figsize=self.size, dpi=100)
        axes = np.empty((self.rows, self.columns), object)
        for row, column in np.ndindex(axes.shape):
            x = self.left + column * self.step_x + (self.step_x - self.width) / 2
            y = self.bottom + (self.rows - 1 - row) * self.step_y
            axes[row, column] = self._axes(figure, x, y, self.width, self.height)
        return figure, axes

    def draw_scale(self, figure: Figure, cmap: str, *label: str) -> None:
        """Draw the colour scale: on the right, as high as all rows, or below them."""
        end = self.left + self.columns * self.step_x
        if self.lying:
            ax = self._axes(figure, end - 3.2, self._BELOW - 0.2, 3.2, 0.15)
            _draw_scale(ax, cmap, " ".join(label), lying=True)
        else:
            height = (self.rows - 1) * self.step_y + self.height
            ax = self._axes(figure, end + 0.1, self.bottom, 0.22, height)
            _draw_scale(ax, cmap, "\n".join(label))

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
    return _drawn_geometry(explanation).to_picture(explanation.evidence, explanation.resize)


def _drawn_geometry(explanation: Explanation) -> Geometry:
    """Return how the network's input lies on the picture as large as it is drawn."""
    geometry = explanation.geometry
    height, width = geometry.picture
    drawn = _drawn_size(height, width)
    y, x = drawn[0] / height, drawn[1] / width
    top, left, bottom, right = geometry.region
    return replace(geometry, picture=drawn, region=(top * y, left * x, bottom * y, right * x))


def _grey(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a picture without its colours, (h, w, 3), as large as it is drawn."""
    from PIL import Image

    size = _drawn_size(*picture.shape[:2])
    small = Image.fromarray(picture).resize(size[::-1], Image.Resampling.BOX)
    return np.asarray(small.convert("L").convert("RGB"))
