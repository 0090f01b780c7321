"""``python -m gradcam.vqa``: ``evaluate`` and ``train``, for both question answerers."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from gradcam.pictograms._commands import run_command

USAGE = """usage: python -m gradcam.vqa COMMAND [options]

commands:
  evaluate   measure the answers and their explanations on unseen scenes
  evaluate-coattention
             the same for the answerer with co-attention, and its blocks and attention
  train      train the first question answerer (needs PyTorch)
  train-coattention
             train the one with co-attention (needs PyTorch)

COMMAND --help lists a command's options."""

_MODULES = {
    "evaluate": "gradcam.vqa._evaluate",
    "evaluate-coattention": "gradcam.vqa._evaluate_coattention",
    "train": "gradcam.vqa._train",
    "train-coattention": "gradcam.vqa._train_coattention",
}


def main(arguments: Sequence[str]) -> int:
    """Run the command in `arguments` and return the exit status."""
    return run_command(arguments, USAGE, _MODULES)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
