"""Looking inside a network: filters, activations, patches, units and codes.

Each function returns a result with numbers and a figure: ``.plot()`` draws it.
"""

from __future__ import annotations

__all__: list[str] = []
