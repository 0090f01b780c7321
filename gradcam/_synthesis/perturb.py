"""Pictures changed within a bound: editing by the gradient, and adversarial pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
from numpy.typing import NDArray

from gradcam._engine.tape import Tape
from gradcam._methods.passes import bar, real
from gradcam._pictures.grids import Cell
from gradcam._pictures.image import normalise, render, scale
from gradcam._results.objectives import Class, LogOdds, Objective, On, TargetLike
from gradcam._synthesis.aims import Raising
from gradcam._synthesis.ascent import Limits, ascend
from gradcam._synthesis.bases import BasisName
from gradcam._synthesis.canvas import Canvas
from gradcam._synthesis.recipe import OptimiserName, Recipe
from gradcam._synthesis.results import Perturbation, Syntheses
from gradcam._text import brief

_F32 = NDArray[np.float32]


@dataclass(frozen=True)
class _Original:
    """The picture that is changed.

    Attributes
    ----------
    picture : (H, W, 3) array of uint8
        As the preset resizes it: if it is prepared again, the input is the same.
    region : (top, left, bottom, right)
        The part that the network sees.
    """

    picture: NDArray[np.uint8]
    region: tuple[int, int, int, int]

    @classmethod
    def of(cls, tape: Tape) -> _Original:
        """Return the picture of a tape."""
        preset, (height, width) = tape.graph.preset, tape.size
        assert preset is not None
        if preset.shorter_side is not None:
            picture, region = scale(tape.picture, preset, tape.size)
            top, left, bottom, right = region
            if np.array_equal(normalise(picture[top:bottom, left:right], preset), tape.input[0]):
                return cls(picture, region)
        return cls(render(tape.input[0], preset), (0, 0, height, width))

    @property
    def seen(self) -> NDArray[np.uint8]:
        """The part that the network sees."""
        top, left, bottom, right = self.region
        seen: NDArray[np.uint8] = self.picture[top:bottom, left:right]
        return seen

    def with_seen(self, seen: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the picture with another part that the network sees."""
        top, left, bottom, right = self.region
        picture: NDArray[np.uint8] = self.picture.copy()
        picture[top:bottom, left:right] = seen
        return picture


@overload
def edit(  # type: ignore[overload-overlap]
    tape: Tape,
    target: TargetLike = None,
    *,
    bound: float = 32,
    steps: int = 64,
    step: float = 0.003,
    optimiser: OptimiserName = "adam",
    basis: BasisName = "fourier",
    l2: float = 0.0,
    total_variation: float = 0.01,
    jitter: int = 8,
    zoom: float = 0.1,
    on: On = "score",
    seed: int = 0,
    progress: bool = False,
) -> Perturbation: ...
@overload
def edit(
    tape: Tape,
    target: Sequence[TargetLike],
    *,
    bound: float = 32,
    steps: int = 64,
    step: float = 0.003,
    optimiser: OptimiserName = "adam",
    basis: BasisName = "fourier",
    l2: float = 0.0,
    total_variation: float = 0.01,
    jitter: int = 8,
    zoom: float = 0.1,
    on: On = "score",
    seed: int = 0,
    progress: bool = False,
) -> Syntheses[Perturbation]: ...
def edit(
    tape: Tape,
    target: TargetLike | Sequence[TargetLike] = None,
    *,
    bound: float = 32,
    steps: int = 64,
    step: float = 0.003,
    optimiser: OptimiserName = "adam",
    basis: BasisName = "fourier",
    l2: float = 0.0,
    total_variation: float = 0.01,
    jitter: int = 8,
    zoom: float = 0.1,
    on: On = "score",
    seed: int = 0,
    progress: bool = False,
) -> Perturbation | Syntheses[Perturbation]:
    """Change a picture within a bound so that an objective rises, and what it looks for appears.

    The change is made by gradient ascent from the picture, as :func:`gradcam.visualise` makes one
    from the mean image.

    Parameters
    ----------
    tape : Tape
        Of the picture: ``network.forward(picture)``.
    target : Objective, int, str, None, or a list of these
        As of :meth:`Tape.explain`.
    bound : float
        The largest change of a pixel's red, green or blue, in grey levels of 0 to 255; 1 or more.
    steps, step, optimiser, basis, l2, total_variation, jitter, zoom, on, seed, progress
        As of :func:`gradcam.visualise`.

    Returns
    -------
    Perturbation, or a sequence of them if `target` is a list

    Raises
    ------
    ValueError, IndexError, TypeError
        If the class or an option is invalid, or the network has no input preset for pictures.
    """
    recipe = Recipe(
        *(steps, step, optimiser, basis, l2, total_variation),
        jitter=jitter,
        zoom=zoom,
        seed=seed,
    )
    return _perturbed(tape, target, "Edited picture", bound, recipe, on, False, progress)


@overload
def adversarial(  # type: ignore[overload-overlap]
    tape: Tape,
    target: TargetLike,
    *,
    bound: float = 8,
    steps: int = 40,
    step: float | None = None,
    progress: bool = False,
) -> Perturbation: ...
@overload
def adversarial(
    tape: Tape,
    target: Sequence[TargetLike],
    *,
    bound: float = 8,
    steps: int = 40,
    step: float | None = None,
    progress: bool = False,
) -> Syntheses[Perturbation]: ...
def adversarial(
    tape: Tape,
    target: TargetLike | Sequence[TargetLike],
    *,
    bound: float = 8,
    steps: int = 40,
    step: float | None = None,
    progress: bool = False,
) -> Perturbation | Syntheses[Perturbation]:
    """Change a picture invisibly so that the network sees a class that is not there.

    Every step changes each value by the sign of the gradient of the class's log-odds,
    log(p / (1 - p)), within the bound (Madry et al. 2018). The result is rounded to pixels, so that
    it can be saved as PNG. ``adversarial(...).compare()`` shows what Grad-CAM sees before and
    after (Selvaraju et al. 2017). The smaller the bound, the more the maps of classes that are
    there stay as they were.

    Parameters
    ----------
    tape : Tape
        Of the picture: ``network.forward(picture)``.
    target : int, str, Target, or a list of these
        The class that the network shall see.
    bound : float
        The largest change of a pixel's red, green or blue, in grey levels of 0 to 255; 1 or more.
    steps : int
    step : float, optional
        The length of a step, in grey levels. By default 2.5 times the bound, over the steps.
    progress : bool
        Whether to show a progress bar on standard error.

    Returns
    -------
    Perturbation, or a sequence of them if `target` is a list

    Raises
    ------
    ValueError, IndexError, TypeError
        If the class or an option is invalid, or the network has no input preset for pictures.
    """
    _check_bound(bound)
    recipe = Recipe(steps=steps, optimiser="sign", basis="pixels")
    length = 2.5 * bound / steps if step is None else real("step", step)
    if target is None or (isinstance(target, (list, tuple)) and None in target):
        raise ValueError("adversarial: name the class that the network shall see, not None")
    recipe = recipe.with_options(step=length / 255)
    return _perturbed(tape, target, "Adversarial picture", bound, recipe, "score", True, progress)


def _perturbed(
    tape: Tape,
    target: TargetLike | Sequence[TargetLike],
    title: str,
    bound: float,
    recipe: Recipe,
    on: On,
    by_odds: bool,
    progress: bool,
) -> Perturbation | Syntheses[Perturbation]:
    """Change a picture for each target."""
    _check_tape(tape, title)
    _check_bound(bound)
    recipe.for_size(tape.size)
    canvas, asked = Canvas.of(tape.graph), tape.ask(target, on)
    objectives = list(asked.each[0])
    if by_odds:
        objectives = [_odds(tape, each) for each in objectives]
    original = _Original.of(tape)
    first = canvas.from_pixels(original.seen)
    whole = np.floor(bound) / 255  # rounded pixels stay within the bound
    limits = Limits(np.maximum(first - whole, 0), np.minimum(first + whole, 1))
    _check_gradients(tape, canvas.to_input(first[None]), objectives)
    made = []
    with bar(recipe.steps * len(objectives), "steps", progress) as done:
        for objective in objectives:
            aim = Raising(tape.graph, [objective])
            values, history = ascend(aim, canvas, first[None], recipe, limits, done)
            one = {name: each[:, 0] for name, each in history.items()}
            made.append(_result(tape, original, aim, canvas, values[0], one, title, bound, recipe))
    if not asked.listed[0]:
        return made[0]
    beside = Cell(original.picture, "original")
    return Syntheses([made], heading=title, details=f"{made[0].used}.", first=beside)


def _result(
    tape: Tape,
    original: _Original,
    aim: Raising,
    canvas: Canvas,
    values: _F32,
    history: dict[str, _F32],
    title: str,
    bound: float,
    recipe: Recipe,
) -> Perturbation:
    """Return one changed picture with its score before and after."""
    (objective,) = aim.each
    input = canvas.input_of(values)
    before, after = objective.answer(tape, 0), objective.answer(aim.forward(input[None]), 0)
    return Perturbation(
        title=title,
        label=after.label,
        target=after.target,
        score=after.score,
        probability=after.probability,
        picture=original.with_seen(canvas.pixels(values)),
        input=input,
        history=history,
        used=f"Bound {bound:g} of 255, {recipe.words}",
        graph=tape.graph,
        before=tape,
        original=original.picture,
        bound=bound,
        region=original.region,
        score_before=before.score,
        probability_before=before.probability,
    )


def _odds(tape: Tape, objective: Objective) -> Objective:
    """Return the objective whose gradient is that of a class's log-odds.

    After a sigmoid, the log-odds are the score.
    """
    if not isinstance(objective, Class):
        raise TypeError(
            f"adversarial: expected a class, got {objective.label(tape.labels)!r}; "
            f"gradcam.edit raises other objectives"
        )
    layer = tape.probability_layer
    is_sigmoid = layer is not None and tape.graph.layers[layer].op == "sigmoid"
    return objective if is_sigmoid or len(tape.labels) == 1 else LogOdds(objective.target)


def _check_gradients(tape: Tape, input: _F32, objectives: Sequence[Objective]) -> None:
    """Raise ValueError if no step can raise an objective: its gradient is zero everywhere."""
    for objective in objectives:
        _, gradient = Raising(tape.graph, [objective])(input)
        if not gradient.any():
            raise ValueError(
                f"{objective.label(tape.labels)}: the gradient is zero at this picture, so no step "
                f"can raise it: choose another class or unit, the layer before its ReLU, or the "
                f"score in place of a probability"
            )


def _check_bound(bound: float) -> None:
    if isinstance(bound, bool) or not isinstance(bound, (int, float, np.number)):
        raise TypeError(f"bound: expected a number of grey levels, got {brief(bound)}")
    if not 1 <= bound <= 255:
        raise ValueError(f"bound: expected 1 to 255 grey levels, got {bound}")


def _check_tape(tape: object, title: str) -> None:
    if not isinstance(tape, Tape):
        raise TypeError(
            f"{title.lower()}: expected the tape of one picture, network.forward(picture), got "
            f"{type(tape).__name__}"
        )
    if Canvas.of(tape.graph).preset is None:
        raise ValueError(
            f"{tape.graph.name} has no input preset for pictures, so its input has no grey "
            f"levels: name a preset when the network is made"
        )
