"""Class models, and pictures for units, channels and positions (Simonyan et al. 2014).

    argmax over pictures x of S(x) - l2 * |x - mean|^2 - total_variation * TV(x)

by gradient ascent from the mean image. S is any objective.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import cast, overload

import numpy as np
from numpy.typing import NDArray

from gradcam._engine.graph import Graph
from gradcam._methods.passes import bar, batches, positive
from gradcam._results.objectives import Objective, On, TargetLike, as_objective, check_on
from gradcam._synthesis import bases
from gradcam._synthesis.aims import Raising
from gradcam._synthesis.ascent import Limits, ascend
from gradcam._synthesis.bases import BasisName
from gradcam._synthesis.canvas import Canvas
from gradcam._synthesis.recipe import OptimiserName, Recipe
from gradcam._synthesis.results import Syntheses, Visualisation
from gradcam._text import brief

_F32 = NDArray[np.float32]

_RESTARTS: tuple[tuple[float, BasisName], ...] = (
    *((0.02, "fourier"), (0.1, "fourier"), (0.5, "fourier")),
    *((0.1, "pixels"), (0.3, "pixels"), (1.0, "pixels")),
)
"""Noise in which a unit is searched that does not fire: its standard deviation, and its basis."""

_PIXELS = 16 * 224 * 224
"""Pixels of the pictures in a pass."""


@overload
def visualise(  # type: ignore[overload-overlap]
    network: Graph,
    objective: TargetLike,
    *,
    steps: int = 256,
    step: float = 0.005,
    optimiser: OptimiserName = "adam",
    basis: BasisName = "fourier",
    l2: float = 1e-4,
    total_variation: float = 0.01,
    blur: float = 0.0,
    blur_every: int = 8,
    jitter: int | None = None,
    zoom: float = 0.3,
    clip: bool = True,
    on: On = "score",
    size: int | tuple[int, int] | None = None,
    start: NDArray[np.uint8] | None = None,
    seed: int = 0,
    progress: bool = False,
) -> Visualisation: ...
@overload
def visualise(
    network: Graph,
    objective: Sequence[TargetLike],
    *,
    steps: int = 256,
    step: float = 0.005,
    optimiser: OptimiserName = "adam",
    basis: BasisName = "fourier",
    l2: float = 1e-4,
    total_variation: float = 0.01,
    blur: float = 0.0,
    blur_every: int = 8,
    jitter: int | None = None,
    zoom: float = 0.3,
    clip: bool = True,
    on: On = "score",
    size: int | tuple[int, int] | None = None,
    start: NDArray[np.uint8] | None = None,
    seed: int = 0,
    progress: bool = False,
) -> Syntheses[Visualisation]: ...
def visualise(
    network: Graph,
    objective: TargetLike | Sequence[TargetLike],
    *,
    steps: int = 256,
    step: float = 0.005,
    optimiser: OptimiserName = "adam",
    basis: BasisName = "fourier",
    l2: float = 1e-4,
    total_variation: float = 0.01,
    blur: float = 0.0,
    blur_every: int = 8,
    jitter: int | None = None,
    zoom: float = 0.3,
    clip: bool = True,
    on: On = "score",
    size: int | tuple[int, int] | None = None,
    start: NDArray[np.uint8] | None = None,
    seed: int = 0,
    progress: bool = False,
) -> Visualisation | Syntheses[Visualisation]:
    """Make a picture that raises an objective: a class model (Simonyan et al. 2014).

    Values of pixels are 0 (black) to 1 (white). A network without an input preset, or whose input
    does not have three channels, has no black and white: the values are its input itself, start
    at 0, and are not clipped.

    Parameters
    ----------
    network : Network
    objective : Objective, int or str, or a list of these
        A class by index, label or synset; a ``gradcam.Unit(layer, index)``, with a position for
        one unit of a map; any other objective. Those of a list are computed together.
    steps : int
    step : float
        The length of a step, in shares of black to white.
    optimiser : "adam", "gradient" or "sign"
        Adam; plain ascent, whose gradient is divided by its root mean square; or the sign of the
        gradient.
    basis : "fourier" or "pixels"
        The coordinates: frequencies scaled as in photographs with colours without correlation
        (Olah et al. 2017), or the pixels.
    l2 : float
        The weight of the squared distance from the mean image.
    total_variation : float
        The weight of the squared differences between neighbours.
    blur : float
        The standard deviation of a Gaussian blur, in pixels, every `blur_every` steps; 0: none.
    blur_every : int
    jitter : int, optional
        In each step, the picture is shifted at random by up to so many pixels, around its edges. By
        default a seventh of its shorter side.
    zoom : float
        In each step, it is made larger or smaller by up to this share, at random.
    clip : bool
        Whether values stay between black and white. If not, the result is clipped at the end.
    on : "score" or "probability"
        What a class stands for. The gradient of a probability near 0 or 1 is close to zero.
    size : int or (height, width), optional
        Of the picture; by default the preset's.
    start : (h, w, 3) array of uint8, optional
        The picture to start from; by default the mean image.
    seed : int
        Of jitter and zoom.
    progress : bool
        Whether to show a progress bar on standard error.

    Returns
    -------
    Visualisation, or a sequence of them if `objective` is a list
        Shown as pictures by a notebook; ``.plot()`` draws a figure.

    Raises
    ------
    ValueError, IndexError, TypeError
        If a class, a layer or an option is invalid.
    ValueError
        If a unit never fires: its gradient is zero at the start and at pictures of noise.
    """
    place = _size(network, size, start)
    canvas = Canvas.of(network)
    clip = clip if canvas.preset is not None else False
    jitter = min(place) // 7 if jitter is None else jitter
    recipe = Recipe(
        *(steps, step, optimiser, basis, l2, total_variation, blur, blur_every),
        *(jitter, zoom, clip, seed),
    ).for_size(place)
    asked = _objectives(network, objective, on)
    made: list[Visualisation] = []
    count = max(1, _PIXELS // (place[0] * place[1]))
    with bar(steps * -(-len(asked) // count), "steps", progress) as done:
        for part in batches(len(asked), count):
            made += _visualised(network, canvas, asked[part], recipe, place, start, done)
    if isinstance(objective, Sequence) and not isinstance(objective, str):
        rows = [made[first : first + 4] for first in range(0, len(made), 4)]
        heading = f"What {network.name} looks for"
        return Syntheses(rows, heading=heading, details=f"{recipe.words}.")
    return made[0]


def sweep(network: Graph, objective: TargetLike, **options: object) -> Syntheses[Visualisation]:
    """Make a picture for each value of one or two options: what does a regulariser do?

    ``sweep(network, "goldfish", l2=[0, 1e-3, 1e-2])`` has three columns. With two lists, the values
    of the first are the rows, and those of the second the columns.

    Parameters
    ----------
    network, objective
        As of :func:`visualise`; one objective.
    **options
        Of :func:`visualise`; one or two of them are lists.

    Returns
    -------
    sequence of Visualisation
        ``.plot()`` draws them with the values.

    Raises
    ------
    ValueError
        If no option is a list, or more than two are.
    ValueError, IndexError, TypeError
        As of :func:`visualise`, before the first picture is made.
    """
    if isinstance(objective, (list, tuple, np.ndarray)):
        raise TypeError(f"objective: sweep takes one, got {brief(objective)}")
    lists = _lists(options)
    if not 1 <= len(lists) <= 2 or not all(lists.values()):
        raise ValueError("sweep varies one or two options: give lists, as l2=[0, 1e-3, 1e-2]")
    fixed = {name: value for name, value in options.items() if name not in lists}
    *first, last = lists
    for values in itertools.product(*lists.values()):
        _check(network, objective, {**fixed, **dict(zip(lists, values, strict=True))})
    rows: list[list[Visualisation]] = []
    make = cast(Callable[..., Visualisation], visualise)
    for above in itertools.product(*(lists[name] for name in first)):
        given = {**fixed, **dict(zip(first, above, strict=True))}
        rows.append([make(network, objective, **given, **{last: each}) for each in lists[last]])
    return Syntheses(
        rows,
        heading=f"{rows[0][0].title}: {rows[0][0].words}",
        details=_common([each.used for row in rows for each in row]),
        row_words=[_words(name, value) for name in first for value in lists[name]],
        column_words=[_words(last, value) for value in lists[last]],
    )


def _lists(options: Mapping[str, object]) -> dict[str, list[object]]:
    """Return the options that are lists; ``size=(height, width)`` and `start` are none."""
    found = {}
    for name, value in options.items():
        is_size = name == "size" and isinstance(value, tuple)
        if isinstance(value, np.ndarray) and name != "start" and value.ndim == 1:
            found[name] = value.tolist()
        elif isinstance(value, (list, tuple, range)) and not is_size:
            found[name] = list(value)
    return found


def _check(network: Graph, objective: TargetLike, options: Mapping[str, object]) -> None:
    """Raise what :func:`visualise` would raise for these options, without making a picture."""
    known = {each.name for each in fields(Recipe)}
    given = {name: options[name] for name in options if name in known}
    if given.get("jitter") is None:
        given.pop("jitter", None)
    place = _size(network, cast(int, options.get("size")), cast(None, options.get("start")))
    Recipe(zoom=0.3).with_options(**given).for_size(place)
    _objectives(network, objective, cast(On, options.get("on", "score")))


def _common(used: Sequence[str]) -> str:
    """Return what all pictures were made with."""
    parts = [each.split(", ") for each in used]
    common = ", ".join(part for part in parts[0] if all(part in other for other in parts))
    return f"{common}." if common else ""


def _words(name: str, value: object) -> str:
    shown = f"{value:g}" if isinstance(value, float) else str(value)
    return f"{name.replace('_', ' ')} {shown}"


def _visualised(
    network: Graph,
    canvas: Canvas,
    objectives: Sequence[Objective],
    recipe: Recipe,
    size: tuple[int, int],
    start: NDArray[np.uint8] | None,
    done: Callable[[int], None],
) -> list[Visualisation]:
    """Make the pictures of one batch of objectives."""
    aim = Raising(network, objectives)
    values = _start(canvas, len(objectives), size, start)
    notes = _search(aim, canvas, values, recipe)
    limits = Limits(np.float32(0), np.float32(1)) if recipe.clip else Limits()
    values, history = ascend(aim, canvas, values, recipe, limits, done)
    inputs = np.stack([canvas.input_of(each) for each in values])
    forward = aim.forward(inputs)
    if canvas.preset is None:
        for each in notes:
            each.append(
                f"{network.name} has no input preset for pictures: the values are its input "
                f"itself, from 0, without limits."
            )
    made = []
    for n, objective in enumerate(objectives):
        answer = objective.answer(forward, n)
        made.append(
            Visualisation(
                title="Visualisation" if answer.target is None else "Class model",
                label=answer.label,
                target=answer.target,
                score=answer.score,
                probability=answer.probability,
                picture=canvas.pixels(values[n]),
                input=inputs[n],
                history={name: each[:, n] for name, each in history.items()},
                used=recipe.words,
                graph=network,
                notes=tuple(notes[n]),
            )
        )
    return made


def _search(aim: Raising, canvas: Canvas, values: _F32, recipe: Recipe) -> list[list[str]]:
    """Replace starts at which a gradient is zero with noise; return notes for each picture.

    Raises
    ------
    ValueError
        If the gradient is zero there too.
    """
    notes: list[list[str]] = [[] for _ in values]
    first, rng = values.copy(), np.random.default_rng(recipe.seed)
    size = (values.shape[2], values.shape[3])
    for restart in (*_RESTARTS, None):
        _, gradient = aim(canvas.to_input(values))
        dead = [n for n, each in enumerate(gradient) if not each.any()]
        if not dead:
            return notes
        if restart is None:
            break
        level, name = restart
        basis = bases.make(name, size, colours=canvas.preset is not None)
        noise = rng.standard_normal((1, *values.shape[1:])).astype(np.float32)
        for n in dead:
            values[n] = first[n] + np.float32(level) * basis.to_values(noise)[0]
            notes[n] = ["Its gradient was zero at the start: noise was added."]
    words = ", ".join(aim.each[n].label(aim.graph.labels) for n in dead)
    raise ValueError(
        f"{words}: the gradient is zero at the start and at {len(_RESTARTS)} pictures of noise, so "
        f"it never fires there and no step can raise it: choose another unit, the layer before its "
        f"ReLU, or start= a picture on which it fires"
    )


def _start(
    canvas: Canvas, count: int, size: tuple[int, int], start: NDArray[np.uint8] | None
) -> _F32:
    """Return the values at the start, (N, C, h, w)."""
    shape = (count, canvas.channels, *size)
    first = canvas.mean if start is None else canvas.from_pixels(start)
    return np.array(np.broadcast_to(first, shape), np.float32)


def _objectives(
    network: Graph, given: TargetLike | Sequence[TargetLike], on: On
) -> list[Objective]:
    """Return the objectives that were given, having checked their classes."""
    check_on(on)
    several = isinstance(given, Sequence) and not isinstance(given, str)
    listed = list(cast(Sequence[TargetLike], given)) if several else [cast(TargetLike, given)]
    if not listed:
        raise ValueError("an empty list of objectives: give at least one")
    if any(each is None for each in listed):
        raise ValueError("objective: None is the top class of a picture; name a class here")
    found = [as_objective(each, on) for each in listed]
    for each in found:
        each.label(network.labels)
    if on == "probability" and network.probability_layer is None:
        raise ValueError(f"{network.name} has no layer of probabilities: use on='score'")
    return found


def _size(
    network: Graph, size: int | tuple[int, int] | None, start: NDArray[np.uint8] | None
) -> tuple[int, int]:
    """Return the (height, width) of the picture.

    Raises
    ------
    TypeError
        If the network or `start` is something else.
    ValueError
        If it is not given and unknown, invalid, too small for the network, or not that of `start`.
    """
    if not isinstance(network, Graph):
        raise TypeError(
            f"expected a network that makes pictures, as gradcam.load returns it, got "
            f"{type(network).__name__}"
        )
    if start is not None:
        if Canvas.of(network).preset is None:
            raise ValueError(f"start: {network.name} has no input preset for pictures")
        if not isinstance(start, np.ndarray):
            raise TypeError(f"start: expected an (h, w, 3) array of uint8, got {brief(start)}")
        if start.dtype != np.uint8 or start.ndim != 3 or start.shape[2] != 3:
            raise ValueError(
                f"start: expected an (h, w, 3) array of uint8, got {start.shape} {start.dtype}"
            )
        size = (start.shape[0], start.shape[1]) if size is None else size
    if size is None:
        if network.preset is None and network.size is None:
            raise ValueError(f"{network.name} has no input preset: give the size of the picture")
        size = network.input_size
    pair = size if isinstance(size, (tuple, list)) else (size, size)
    if len(pair) != 2:
        raise ValueError(f"size: expected an int or (height, width), got {brief(size)}")
    place = positive("size", pair[0]), positive("size", pair[1])
    if start is not None and place != start.shape[:2]:
        raise ValueError(f"size: {place} is not that of start, {start.shape[:2]}")
    network.check_size(place)
    network.shapes(*place)  # refuses a size that is too small
    return place
