"""Small texts for people."""

from __future__ import annotations


def percent(probability: float) -> str:
    """Return a probability as people write it: 97.2 %, but never a false 100 % or 0 %."""
    if 0 < probability < 0.001:
        return "< 0.1 %"
    if 0.999 < probability < 1:
        return "> 99.9 %"
    return f"{100 * probability:.1f} %"
