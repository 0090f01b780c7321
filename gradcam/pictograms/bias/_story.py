"""The figure of the prejudice: people, and where two networks look."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from gradcam._methods.passes import positive
from gradcam._pictures.grids import Cell, grid
from gradcam._results.explanation import Explanation, no_flat_warnings
from gradcam._text import percent
from gradcam.pictograms.bias._measuring import energies
from gradcam.pictograms.bias._networks import model
from gradcam.pictograms.bias._people import PROFESSIONS, Person
from gradcam.pictograms.bias._results import mean
from gradcam.pictograms.bias._sets import KINDS, USUAL, Kind, people_for_test

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST = 200
"""Looks among which pictures are searched."""

_ROWS: dict[Kind, str] = {
    "biased": "learnt from biased pictures",
    "balanced": "learnt from balanced pictures",
}

_RIGHT, _WRONG = "#2a8a3e", "#c8322b"


def misjudged(count: int = 6) -> list[Person]:
    """Return people of the test whose hair is unusual, and whom only the biased network gets wrong.

    Parameters
    ----------
    count : int
        1 or more; cooks and painters in turn, each another look.

    Returns
    -------
    list of Person
        The first ones of the test; fewer than `count`, if there are no more.

    Raises
    ------
    TypeError, ValueError
        If `count` is not a positive integer.
    """
    return list(islice(_misjudged(), positive("count", count)))


def _misjudged() -> Iterator[Person]:
    wanted = 0
    for people in people_for_test(_MOST):
        (profession, usual) = list(USUAL.items())[wanted]
        hair = next(hair for _, hair in people if hair != usual)
        person = people[profession, hair]
        said = [_answer(kind, person) for kind in KINDS]
        if said[0] != profession and said[1] == profession:
            wanted = 1 - wanted
            yield person


def _answer(kind: Kind, person: Person) -> str:
    scores = model(kind).forward(person.picture, record=False).scores[0]
    return PROFESSIONS[int(scores.argmax())]


def figure(people: Sequence[Person] | None = None) -> Figure:
    """Draw people, and below them where the biased and the balanced network look.

    The maps are those of Grad-CAM for the answer that the network gives; a green frame says that it
    is right, a red one that it is wrong.

    Parameters
    ----------
    people : sequence of Person, optional
        By default those of :func:`misjudged`.

    Raises
    ------
    ValueError
        If there is nobody.
    """
    chosen = misjudged() if people is None else list(people)
    if not chosen:
        raise ValueError("people: expected at least one, got none")
    maps = {kind: [_explained(kind, person) for person in chosen] for kind in KINDS}
    cells = [[Cell(each.picture, f"{each.profession}, {each.hair} hair") for each in chosen]]
    for kind in KINDS:
        row = zip(maps[kind], chosen, strict=True)
        cells.append([_cell(explanation, person) for explanation, person in row])
    return grid(
        cells,
        heading=_heading({kind: _shares(found, chosen) for kind, found in maps.items()}),
        details=_details(people is None),
        rows=["", *(_ROWS[kind] for kind in KINDS)],
        smallest=1.3,
    )


def _explained(kind: Kind, person: Person) -> Explanation:
    with no_flat_warnings():
        return model(kind).forward(person.picture).grad_cam(None)


def _cell(explanation: Explanation, person: Person) -> Cell:
    right = explanation.label == person.profession
    probability = explanation.probability
    words = f"{explanation.label}, {percent(0.0 if probability is None else probability)}"
    return Cell(explanation.overlay(), words, frame=_RIGHT if right else _WRONG)


def _shares(maps: Sequence[Explanation], people: Sequence[Person]) -> tuple[float, float]:
    """Return how much of the energy on hair and tools is on the hair, and of all on neither.

    NaN where there is no such energy.
    """
    found = np.array(
        [energies(each.map, person) for each, person in zip(maps, people, strict=True)]
    )
    hair, tool, body, ground = np.nansum(found, axis=0)
    both, rest = hair + tool, body + ground
    nothing = float("nan")
    return (
        float(hair / both) if both > 0 else nothing,
        float(rest / (both + rest)) if both + rest > 0 else nothing,
    )


def _heading(shares: dict[Kind, tuple[float, float]]) -> str:
    """Return what the maps show."""
    hair = " and ".join(percent(shares[kind][0]) for kind in KINDS)
    rest = " and ".join(percent(shares[kind][1]) for kind in KINDS)
    return (
        f"After biased and balanced training, {hair} of the energy on hair and tool is on the "
        f"hair; {rest} of all energy is on neither"
    )


def _details(default: bool) -> str:
    chosen = (
        "These people have the hair that is unusual in the biased pictures, and only the network "
        "that learnt from these gets them wrong; they are the first of the test. "
    )
    numbers = (
        f"Over the whole test and five trainings, {percent(mean('biased').accuracy)} of the "
        f"answers are right after biased and {percent(mean('balanced').accuracy)} after balanced "
        f"pictures."
    )
    return f"{chosen if default else ''}Grad-CAM for the answer below each map. {numbers}"
