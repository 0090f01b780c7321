"""``gradcam inside``: what a network has learnt, in figures."""

from __future__ import annotations

import click


@click.group(short_help="Look inside a network: filters, activations, patches, codes.")
def inside() -> None:
    """Look inside a network: what its filters, units and codes respond to."""
