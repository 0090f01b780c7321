"""Inversion: a picture with nearly the same code at a layer (Mahendran and Vedaldi 2015)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import overload

import numpy as np
from numpy.typing import NDArray

from gradcam._engine.tape import Tape
from gradcam._methods.passes import bar
from gradcam._pictures.grids import Cell
from gradcam._pictures.image import render
from gradcam._synthesis.aims import Matching
from gradcam._synthesis.ascent import Limits, ascend
from gradcam._synthesis.bases import BasisName
from gradcam._synthesis.canvas import Canvas
from gradcam._synthesis.recipe import OptimiserName, Recipe
from gradcam._synthesis.results import Inversion, Syntheses
from gradcam._text import brief

_F32 = NDArray[np.float32]


@overload
def invert(  # type: ignore[overload-overlap]
    tape: Tape,
    layer: str,
    *,
    steps: int = 256,
    step: float = 0.005,
    optimiser: OptimiserName = "adam",
    basis: BasisName = "fourier",
    l2: float = 0.0,
    total_variation: float = 1e-5,
    seed: int = 0,
    progress: bool = False,
) -> Inversion: ...
@overload
def invert(
    tape: Tape,
    layer: Sequence[str],
    *,
    steps: int = 256,
    step: float = 0.005,
    optimiser: OptimiserName = "adam",
    basis: BasisName = "fourier",
    l2: float = 0.0,
    total_variation: float = 1e-5,
    seed: int = 0,
    progress: bool = False,
) -> Syntheses[Inversion]: ...
def invert(
    tape: Tape,
    layer: str | Sequence[str],
    *,
    steps: int = 256,
    step: float = 0.005,
    optimiser: OptimiserName = "adam",
    basis: BasisName = "fourier",
    l2: float = 0.0,
    total_variation: float = 1e-5,
    seed: int = 0,
    progress: bool = False,
) -> Inversion | Syntheses[Inversion]:
    """Make a picture whose code at a layer is nearly that of the tape's picture.

    What the picture lacks is what the layer does not know. It minimises

        |code(x) - code|^2 / |code|^2 + l2 * |x - mean|^2 + total_variation * TV(x)

    from the mean image, within black and white. Mahendran and Vedaldi (2015) penalise the sixth
    powers of the values instead of limiting them.

    Parameters
    ----------
    tape : Tape
        Of the picture: ``network.forward(picture)``.
    layer : str, or a list of these
        Any layer, by any of its names.
    steps, step, optimiser, basis, l2, total_variation, progress
        As of :func:`gradcam.visualise`.
    seed : int
        Of the noise that is added to the mean image if the gradient is zero there.

    Returns
    -------
    Inversion, or a sequence of them if `layer` is a list
        ``.plot()`` draws them beside the original.

    Raises
    ------
    ValueError, TypeError
        If a layer or an option is invalid, or the picture's code at a layer is zero.
    """
    if not isinstance(tape, Tape):
        raise TypeError(
            f"invert: expected the tape of one picture, network.forward(picture), got "
            f"{type(tape).__name__}"
        )
    if not isinstance(layer, (str, list, tuple)):
        raise TypeError(f"layer: expected the name of a layer or a list, got {brief(layer)}")
    given = [layer] if isinstance(layer, str) else list(layer)
    if not given:
        raise ValueError("an empty list of layers: give at least one")
    layers = [tape.graph.names(each)[0] for each in given]
    recipe = Recipe(
        *(steps, step, optimiser, basis, l2, total_variation),
        clip=Canvas.of(tape.graph).preset is not None,
        seed=seed,
    )
    codes = [_code(tape, each) for each in layers]
    made = []
    with bar(steps * len(layers), "steps", progress) as done:
        for name, code in zip(layers, codes, strict=True):
            made.append(_inverted(tape, name, code, recipe, done))
    if isinstance(layer, str):
        return made[0]
    heading = "Pictures with the codes of layers"
    first = Cell(made[0].original, "original")
    return Syntheses([made], heading=heading, details=f"{recipe.words}.", first=first)


def _code(tape: Tape, layer: str) -> _F32:
    """Return what the layer made of the picture, (1, ...)."""
    code = tape.activation(layer)
    if not code.any():
        raise ValueError(
            f"the code of the picture at {layer!r} is zero: there is nothing to invert"
        )
    return code


def _inverted(
    tape: Tape, layer: str, code: _F32, recipe: Recipe, done: Callable[[int], None]
) -> Inversion:
    """Invert the code of one layer."""
    graph, canvas = tape.graph, Canvas.of(tape.graph)
    aim = Matching(graph, layer, code)
    values = np.array(np.broadcast_to(canvas.mean, tape.input.shape), np.float32)
    notes = []
    if not aim(canvas.to_input(values))[1].any():
        rng = np.random.default_rng(recipe.seed)
        values += np.float32(0.05) * rng.standard_normal(values.shape).astype(np.float32)
        notes.append("The gradient was zero at the mean image: noise was added.")
    limits = Limits(np.float32(0), np.float32(1)) if recipe.clip else Limits()
    values, history = ascend(aim, canvas, values, recipe, limits, done)
    input = canvas.input_of(values[0])
    terms, _ = aim(np.array(input[None]))
    error = float(terms["error"][0])
    return Inversion(
        title="Inverted code",
        label=layer,
        target=None,
        score=-error,
        probability=None,
        picture=canvas.pixels(values[0]),
        input=input,
        history={name: each[:, 0] for name, each in history.items()},
        used=recipe.words,
        graph=graph,
        notes=tuple(notes),
        layer=layer,
        error=error,
        original=render(tape.input[0], canvas.preset),
    )
