"""The checks of a report, in words, and their limits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gradcam._results.explanation import Explanation
from gradcam._results.report import Check
from gradcam.critique._slide import signed

FLAT = "is flat: it says nothing about the picture"

LIMITS = {"weights": 0.5, "edges": 0.5, "class": 0.9}
"""A rank correlation from which on two maps count as similar; for classes, as nearly the same.
They are conventions: no paper names a limit."""


def finding(explanation: Explanation, checks: Sequence[Check]) -> str:
    """Return what was found, in a sentence."""
    failed = [each.finding for each in checks if not each.passed]
    if not failed:
        return f"{_subject(explanation)} {_listed([each.finding for each in checks])}"
    if checks[0].name == "flat":
        return f"{_subject(explanation)} {FLAT}"
    return f"{verdict(explanation, checks)}: it {_listed(failed)}"


def verdict(explanation: Explanation, checks: Sequence[Check]) -> str:
    """Return how many checks the map passes or fails."""
    failed = sum(not each.passed for each in checks)
    if failed:
        return f"{_subject(explanation)} fails {failed} of {len(checks)} checks"
    return f"{_subject(explanation)} passes all {len(checks)} checks"


def _subject(explanation: Explanation) -> str:
    return f"{explanation.words}, {explanation.title}: the map"


def weights(correlation: float) -> Check:
    """Return whether the map depends on the weights."""
    what = "depends" if correlation < LIMITS["weights"] else "hardly depends"
    words = f"{what} on the weights (rank correlation {two(correlation)})"
    return Check("weights", correlation, LIMITS["weights"], words)


def edges(correlation: float) -> Check:
    """Return whether the map differs from an edge detector."""
    limit = LIMITS["edges"]
    words = f"resembles an edge detector (rank correlation {two(correlation)})"
    if correlation < limit:
        words = f"differs from an edge detector ({two(correlation)})"
    return Check("edges", correlation, limit, words)


def others(correlation: float, other: str, kind: str) -> Check:
    """Return whether the map differs from that of another class, or answer, or word."""
    limit = LIMITS["class"]
    words = f"hardly depends on the {kind} ({other}: rank correlation {two(correlation)})"
    if correlation < limit:
        words = f"depends on the {kind} ({other}: {two(correlation)})"
    return Check("class", correlation, limit, words)


def pixels(own: float, random: Sequence[float], on: str = "score") -> Check:
    """Return whether the pixels with high values matter more than random ones."""
    limit = min(random)
    words = f"deletion {number(own)}, random order {number(float(np.mean(random)))}"
    if on.startswith("negated"):
        words += f" ({on})"
    if own < limit:
        return Check("pixels", own, limit, f"marks pixels that matter: {words}")
    return Check("pixels", own, limit, f"marks pixels that matter no more than others: {words}")


def two(correlation: float) -> str:
    """Return a rank correlation with two decimals: 0.03, −0.25."""
    return f"{correlation + 0.0:.2f}".replace("-0.00", "0.00").replace("-", "−")


def number(value: float) -> str:
    """Return the area under a curve: with two decimals if it is a probability or small."""
    return two(value) if abs(value) < 10 else signed(value)


def _listed(parts: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(parts[:-1]), parts[-1])))
