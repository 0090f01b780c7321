"""The figures of a network: accuracy by group, where its maps lie, what changes its answers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradcam.pictograms.bias._people import HAIRS, PROFESSIONS
from gradcam.pictograms.bias._sets import SHARES, USUAL

_F64 = NDArray[np.float64]

PARTS = ("hair", "tool", "body", "ground")
"""What the energy of a map can lie on; the body is without hair, the ground all that is left."""


@dataclass(frozen=True, eq=False)
class Seen:
    """What a network says of N looks, each as cook and as painter, with short and with long hair.

    Attributes
    ----------
    margins : (N, 2, 2) array
        The score of painter less that of cook, by profession and hair, in their order.
    empty : (N, 2) array
        The same without a tool, by hair.
    shares : (N, 2, 2, 4) array
        How much of the energy of Grad-CAM, for the class that the network says, lies on each of
        `PARTS`. NaN if a map is 0 everywhere.
    points : (N, 2, 2, 2) array of bool
        Whether the map's maximum is on the hair; on the tool. Both have 15 pixels around them, the
        tolerance of the pointing game (Zhang et al., 2016).
    areas : (N, 2, 2, 4) array
        The shares of a map that is the same everywhere.
    """

    margins: _F64
    empty: _F64
    shares: _F64
    points: NDArray[np.bool_]
    areas: _F64


@dataclass(frozen=True)
class Measured:
    """The figures of a network.

    Shares are 0 to 1, effects are differences of scores. All are means over the test.

    Attributes
    ----------
    accuracy : float
        Right answers; a half by guessing.
    cook_short, cook_long, painter_short, painter_long : float
        Right answers, by profession and hair.
    as_biased : float
        Right answers among people as in the biased set, of which most have the usual hair.
    on_hair, on_tool, on_body, on_ground : float
        How much of Grad-CAM's energy, for the class that the network says, lies there.
    hair_of_both : float
        On the hair, of what lies on hair and tool.
    hair_pointing, tool_pointing : float
        Maps whose maximum is on the hair; on the tool; with 15 pixels around them.
    flat : float
        Pictures whose map is 0 everywhere; the shares above leave them out.
    hair_effect, tool_effect : float
        How much the score of painter less that of cook rises if short hair becomes long; if the
        spoon becomes a brush.
    hair_flips, tool_flips : float
        Answers that change if the length of the hair is changed; if the tool is.
    short_painters, long_painters : float
        Answers "painter" for people without a tool, by hair.
    """

    accuracy: float
    cook_short: float
    cook_long: float
    painter_short: float
    painter_long: float
    as_biased: float
    on_hair: float
    on_tool: float
    on_body: float
    on_ground: float
    hair_of_both: float
    hair_pointing: float
    tool_pointing: float
    flat: float
    hair_effect: float
    tool_effect: float
    hair_flips: float
    tool_flips: float
    short_painters: float
    long_painters: float


def measured(seen: Seen) -> Measured:
    """Return the figures of a network."""
    paints = seen.margins > 0
    right = (paints == np.array([[False], [True]])).mean(axis=0)
    by_group = {
        f"{profession}_{hair}": float(right[p, h])
        for p, profession in enumerate(PROFESSIONS)
        for h, hair in enumerate(HAIRS)
    }
    return Measured(
        accuracy=float(right.mean()),
        **by_group,
        as_biased=_as_biased(right),
        **_by_part(np.nanmean(seen.shares, axis=(0, 1, 2))),
        hair_pointing=float(seen.points[..., 0].mean()),
        tool_pointing=float(seen.points[..., 1].mean()),
        flat=float(np.isnan(seen.shares[..., 0]).mean()),
        hair_effect=float((seen.margins[:, :, 1] - seen.margins[:, :, 0]).mean()),
        tool_effect=float((seen.margins[:, 1] - seen.margins[:, 0]).mean()),
        hair_flips=float((paints[:, :, 1] != paints[:, :, 0]).mean()),
        tool_flips=float((paints[:, 1] != paints[:, 0]).mean()),
        short_painters=float((seen.empty[:, 0] > 0).mean()),
        long_painters=float((seen.empty[:, 1] > 0).mean()),
    )


def even(seen: Seen) -> dict[str, float]:
    """Return the shares of a map that is the same everywhere, by the attributes of `Measured`."""
    return _by_part(seen.areas.mean(axis=(0, 1, 2)))


def _by_part(shares: _F64) -> dict[str, float]:
    """Return mean shares of `PARTS` by the attributes of `Measured`."""
    found = {f"on_{part}": float(share) for part, share in zip(PARTS, shares, strict=True)}
    return {**found, "hair_of_both": found["on_hair"] / (found["on_hair"] + found["on_tool"])}


def _as_biased(groups: _F64) -> float:
    """Return the accuracy, with each group as frequent as in the biased set."""
    total = 0.0
    for profession, right in zip(PROFESSIONS, groups, strict=True):
        share, usual = SHARES["biased"][profession], HAIRS.index(USUAL[profession])
        total += share * float(right[usual]) + (1 - share) * float(right[1 - usual])
    return total / len(PROFESSIONS)
