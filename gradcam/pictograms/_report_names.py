"""``python -m gradcam.pictograms names``: what :mod:`gradcam.pictograms._naming` counts."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence

from gradcam._methods.passes import positive
from gradcam._text import percent
from gradcam.pictograms import _networks
from gradcam.pictograms._naming import DISSECTED, EXPLAINED, Naming, dissect, naming


def main(arguments: Sequence[str]) -> None:
    """Print what was found, or the figures as JSON."""
    parser = argparse.ArgumentParser(
        prog="python -m gradcam.pictograms names",
        description="Name the units of a layer by scenes, and count in how many other scenes the "
        "explained class is among the names of the units with the highest weights.",
    )
    add = parser.add_argument
    add("--network", choices=("model", "gap_model", "weak_model"), default="model")
    add("--layer", help="by default the network's target layer")
    add("--dissected", type=int, default=DISSECTED, help="scenes that name the units (%(default)s)")
    add("--scenes", type=int, default=EXPLAINED, help="scenes that are explained (%(default)s)")
    add("--quantile", type=float, default=0.995, help="of a unit's values (%(default)s)")
    add("--iou", type=float, default=0.05, help="what a name needs (%(default)s)")
    add("--json", action="store_true", help="print JSON instead of text")
    options = parser.parse_args(arguments)
    try:
        positive("--scenes", options.scenes)
        dissection = dissect(
            getattr(_networks, options.network)(),
            options.layer,
            scenes=options.dissected,
            quantile=options.quantile,
            iou=options.iou,
            progress=sys.stderr.isatty(),
        )
        found = naming(dissection, scenes=options.scenes)
    except ValueError as error:
        parser.error(str(error))
    print(json.dumps(_record(found), indent=1) if options.json else _text(found))


def _record(found: Naming) -> dict[str, object]:
    """Return the figures as JSON has them."""
    names = ("mean", "low", "high")
    return {
        "network": found.dissection.network.name,
        "layer": found.dissection.layer,
        "dissected": found.dissection.pictures,
        "units": len(found.dissection.names),
        "named_units": len(found.dissection.units),
        "concepts": {str(each): len(units) for each, units in found.dissection.detectors.items()},
        "scenes": len(found.classes),
        "right": float(found.right.mean()),
        "named": {name: _number(getattr(found.share, name)) for name in names},
        "by_chance": {name: _number(getattr(found.control, name)) for name in names},
        "absent": {name: _number(getattr(found.absent_share, name)) for name in names},
        "against": float(found.against.mean()),
    }


def _number(value: float) -> float | None:
    """Return a number as JSON has it: None for NaN, the interval of a single scene."""
    return None if math.isnan(value) else value


def _text(found: Naming) -> str:
    """Return the figures in words."""
    return "\n".join(
        (
            f"{found.dissection.network.name}, {found.dissection.pictures} scenes: "
            f"{found.dissection.finding}.",
            f"The most probable class of {len(found.classes)} other scenes is right in "
            f"{percent(float(found.right.mean()))}; it is the name of one of the lowest units in "
            f"{percent(float(found.against.mean()))}; {found.finding}.",
        )
    )
