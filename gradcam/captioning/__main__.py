"""``python -m gradcam.captioning``: ``evaluate`` and ``train``."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from gradcam.pictograms._commands import run_command

USAGE = """usage: python -m gradcam.captioning COMMAND [options]

commands:
  evaluate   measure the captions and their explanations on unseen scenes
  train      train the captioner (needs PyTorch)

COMMAND --help lists a command's options."""

_MODULES = {
    "evaluate": "gradcam.captioning._evaluate",
    "train": "gradcam.captioning._train",
}


def main(arguments: Sequence[str]) -> int:
    """Run the command in `arguments` and return the exit status."""
    return run_command(arguments, USAGE, _MODULES)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
