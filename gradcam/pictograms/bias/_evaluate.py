"""Print the figures of the networks that learnt a prejudice, and of those that did not.

python -m gradcam.pictograms bias
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict

from gradcam._methods.passes import positive
from gradcam.pictograms.bias._measured import even, measured
from gradcam.pictograms.bias._measuring import seen_by
from gradcam.pictograms.bias._networks import model
from gradcam.pictograms.bias._results import trained
from gradcam.pictograms.bias._sets import KINDS, LOOKS
from gradcam.pictograms.bias._table import to_text


def main(arguments: Sequence[str]) -> None:
    """Print the table, or the figures as JSON."""
    parser = argparse.ArgumentParser(
        prog="python -m gradcam.pictograms bias",
        description="Measure the networks that tell cooks from painters: one learnt from people "
        "whose hair goes with the profession, one from balanced pictures.",
    )
    add = parser.add_argument
    add("--looks", type=int, default=LOOKS, help="of the test, four people each (%(default)s)")
    add("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args(arguments)
    try:
        positive("--looks", options.looks)
    except ValueError as error:
        parser.error(str(error))
    seen = seen_by([model(kind) for kind in KINDS], options.looks, progress=sys.stderr.isatty())
    anew = {kind: measured(each) for kind, each in zip(KINDS, seen, strict=True)}
    if options.json:
        content = {
            "looks": options.looks,
            "trained": [asdict(each) for each in trained()],
            "shipped": {kind: asdict(each) for kind, each in anew.items()},
            "even_map": even(seen[0]),
        }
        print(json.dumps(content, indent=1))
    else:
        print(to_text(trained(), even(seen[0]), anew, options.looks))
