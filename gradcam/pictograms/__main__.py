"""``python -m gradcam.pictograms``: ``evaluate``, ``names``, ``train`` and ``train-gap``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module

USAGE = """usage: python -m gradcam.pictograms COMMAND [options]

commands:
  evaluate   measure the pictogram network and its explanations on unseen scenes
  names      count how often the names of units say which class is explained
  train      train the network from scratch (needs PyTorch)
  train-attributes
             train the networks that captions and questions begin with (needs PyTorch)
  train-pairs
             train the layers that tell which colour belongs to which object (needs PyTorch)
  train-gap  train the linear layer of the network that CAM needs (needs PyTorch)

COMMAND --help lists a command's options."""


def main(arguments: Sequence[str]) -> int:
    """Run the command in `arguments` and return the exit status."""
    command, *rest = arguments or ["--help"]
    if command == "evaluate":
        from gradcam.pictograms import _evaluate

        _evaluate.main(rest)
    elif command == "names":
        from gradcam.pictograms import _report_names

        _report_names.main(rest)
    elif command in ("train", "train-attributes", "train-gap", "train-pairs"):
        try:
            module = import_module(f"gradcam.pictograms._{command.replace('-', '_')}")
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
