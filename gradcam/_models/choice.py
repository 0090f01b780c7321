"""Choose one of several architectures whose tensors have the same names."""

from __future__ import annotations

from collections.abc import Sequence

from gradcam._models.architecture import Architecture
from gradcam._models.layouts import Layout
from gradcam._models.matches import Match
from gradcam._models.shapes import check_tensors
from gradcam._weights.tensors import WeightsError


def chosen(matches: Sequence[Match], layout: Layout, expected: Architecture | None) -> Match:
    """Return the one whose shapes fit, and of these that whose published shapes are the nearest.

    Raises
    ------
    WeightsError
        If several are, which compute different functions, and none of them is `expected`.
    """
    if len(matches) == 1:
        return matches[0]
    matches = [match for match in matches if _fits(match, layout)] or matches
    least = min(map(Match.misfits, matches))
    best = [match for match in matches if match.misfits() == least]
    for match in best:
        if expected is not None and match.architecture.name == expected.name:
            return match
    if all(_alike(best[0].architecture, each.architecture, layout) for each in best[1:]):
        return best[0]
    titles = " and ".join(match.architecture.title for match in best)
    functions = " or ".join(f"gradcam.{match.architecture.name}(FILE)" for match in best)
    raise WeightsError(
        f"the tensors fit {titles}, which compute different functions, and their shapes are those "
        f"of none of them: say which it is by {functions}"
    )


def _fits(match: Match, layout: Layout) -> bool:
    try:
        check_tensors(match, layout)
    except WeightsError:
        return False
    return True


def _alike(one: Architecture, other: Architecture, layout: Layout) -> bool:
    """Whether two architectures differ in their widths alone."""
    library = layout.library
    return (
        one.presets.get(library) == other.presets.get(library)
        and one.eps_of.get(library, one.eps) == other.eps_of.get(library, other.eps)
        and [(row.name, row.op, row.inputs, row.attributes) for row in one.rows]
        == [(row.name, row.op, row.inputs, row.attributes) for row in other.rows]
    )
