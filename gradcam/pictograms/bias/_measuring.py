"""What networks say of the people of the test, and where their maps lie."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gradcam._engine.network import Network
from gradcam._methods.passes import bar, positive
from gradcam._results.explanation import no_flat_warnings
from gradcam.measures import pointing
from gradcam.pictograms.bias._measured import PARTS, Measured, Seen, measured
from gradcam.pictograms.bias._people import HAIRS, PROFESSIONS, Person
from gradcam.pictograms.bias._sets import LOOKS, people_for_test

_F64 = NDArray[np.float64]

_TOLERANCE = 15
"""Pixels around a mask that count as on it."""

_GROUPS = (len(PROFESSIONS), len(HAIRS))


def measure(network: Network, looks: int = LOOKS, *, progress: bool = False) -> Measured:
    """Measure a network on the people of the test.

    Parameters
    ----------
    network : Network
        Its classes are "cook" and "painter", in this order, and it takes pictures.
    looks : int
        Of the test, each in four pictures with a tool and two without.
    progress : bool
        Whether to show a progress bar on standard error.

    Raises
    ------
    TypeError, ValueError
        If the network is of another kind, or `looks` is not a positive integer.
    """
    return measured(*seen_by([network], looks, progress=progress))


def seen_by(
    networks: Sequence[Network], looks: int = LOOKS, *, progress: bool = False
) -> list[Seen]:
    """Return what each of the networks says of the people of the test, drawn once for all."""
    for network in networks:
        _check(network)
    rows: list[list[Sequence[NDArray[np.generic]]]] = [[] for _ in networks]
    with bar(positive("looks", looks), "looks", progress) as done:
        for people in people_for_test(looks):
            drawn = [people[profession, hair] for profession in PROFESSIONS for hair in HAIRS]
            empty = [people[PROFESSIONS[0], hair].without_tool() for hair in HAIRS]
            areas = _by_group([energies(np.ones(each.tool_mask.shape), each) for each in drawn])
            for network, found in zip(networks, rows, strict=True):
                found.append((*_look(network, drawn, empty), areas))
            done(1)
    return [Seen(*(np.stack(part) for part in zip(*found, strict=True))) for found in rows]


def _look(
    network: Network, drawn: Sequence[Person], empty: Sequence[Person]
) -> tuple[_F64, _F64, _F64, NDArray[np.bool_]]:
    """Return the margins, those without a tool, the shares and the points, for one look."""
    tape = network.forward([each.picture for each in drawn])
    with no_flat_warnings():
        maps = [explanation.map for explanation in tape.grad_cam(None)]
    pairs = list(zip(maps, drawn, strict=True))
    shares = _by_group([energies(map, each) for map, each in pairs])
    points = [
        [pointing(map, mask, _TOLERANCE) for mask in (each.hair_mask, each.tool_mask)]
        for map, each in pairs
    ]
    without = network.forward([each.picture for each in empty], record=False)
    margins = _margins(tape.scores).reshape(_GROUPS)
    return margins, _margins(without.scores), shares, np.array(points).reshape(*_GROUPS, 2)


def _margins(scores: NDArray[np.float32]) -> _F64:
    return scores[:, 1].astype(np.float64) - scores[:, 0]


def _by_group(rows: Sequence[_F64]) -> _F64:
    return np.stack(rows).reshape(*_GROUPS, len(PARTS))


def energies(map: NDArray[np.floating], person: Person) -> _F64:
    """Return the shares of a map's energy on each of `PARTS`; NaN if it is 0 everywhere."""
    energy = np.maximum(map, 0).astype(np.float64)
    total = float(energy.sum())
    masks = (person.hair_mask, person.tool_mask, person.body_mask)
    on = [float(energy[mask].sum()) / total if total > 0 else np.nan for mask in masks]
    return np.array([*on, 1 - sum(on)])


def _check(network: Network) -> None:
    """Raise an error unless a network tells cooks from painters."""
    if not isinstance(network, Network):
        raise TypeError(f"network: expected a gradcam.Network, got {type(network).__name__}")
    known = tuple(network.labels[n].label for n in range(len(network.labels)))
    if known != PROFESSIONS:
        shown = ", ".join(known[:4]) + (", ..." if len(known) > 4 else "")
        raise ValueError(
            f"network: expected the classes {', '.join(PROFESSIONS)} in this order, got {shown}"
        )
    if network.preset is None:
        raise ValueError(
            "network: expected one that takes pictures, got one without an input preset: build or "
            "load it with preset="
        )
