"""``python -m gradcam.pictograms``: ``evaluate``, ``names``, ``bias`` and trainings."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module

USAGE = """usage: python -m gradcam.pictograms COMMAND [options]

commands:
  evaluate   measure the pictogram network and its explanations on unseen scenes
  names      count how often the names of units say which class is explained
  bias       measure networks that learnt a prejudice, and balanced ones
  train      train the network from scratch (needs PyTorch)
  train-attributes
             train the network that captions and questions begin with (needs PyTorch)
  train-code
             train the layers that tell which colour belongs to which object (needs PyTorch)
  train-bias train the networks of "bias" (needs PyTorch)
  train-gap  train the linear layer of the network that CAM needs (needs PyTorch)

COMMAND --help lists a command's options."""

TRAININGS = {
    "train": "_train",
    "train-attributes": "_train_attributes",
    "train-bias": "bias._train",
    "train-gap": "_train_gap",
    "train-code": "_train_code",
}
"""The modules of the commands that need PyTorch."""


def main(arguments: Sequence[str]) -> int:
    """Run the command in `arguments` and return the exit status."""
    command, *rest = arguments or ["--help"]
    if command == "evaluate":
        from gradcam.pictograms import _evaluate

        _evaluate.main(rest)
    elif command == "names":
        from gradcam.pictograms import _report_names

        _report_names.main(rest)
    elif command == "bias":
        from gradcam.pictograms.bias import _evaluate as _evaluate_bias

        _evaluate_bias.main(rest)
    elif command in TRAININGS:
        try:
            module = import_module(f"gradcam.pictograms.{TRAININGS[command]}")
        except ModuleNotFoundError as error:
            print(
                f"training needs {error.name}: pip install torch safetensors tqdm", file=sys.stderr
            )
            return 1
        module.main(rest)
    elif command in ("-h", "--help"):
        print(USAGE)
    else:
        print(f"unknown command {command!r}\n\n{USAGE}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
