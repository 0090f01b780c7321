"""``python -m gradcam.captioning``: ``evaluate`` and ``train``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module

USAGE = """usage: python -m gradcam.captioning COMMAND [options]

commands:
  evaluate   measure the captions and their explanations on unseen scenes
  train      train the captioner (needs PyTorch)

COMMAND --help lists a command's options."""

_COMMANDS = {"evaluate": "_evaluate", "train": "_train"}


def main(arguments: Sequence[str]) -> int:
    """Run the command in `arguments` and return the exit status."""
    command, *rest = arguments or ["--help"]
    if command in ("-h", "--help"):
        print(USAGE)
        return 0
    if command not in _COMMANDS:
        print(f"unknown command {command!r}\n\n{USAGE}", file=sys.stderr)
        return 2
    try:
        module = import_module(f"gradcam.captioning.{_COMMANDS[command]}")
    except ModuleNotFoundError as error:
        print(f"{command} needs {error.name}: pip install gradcam[train]", file=sys.stderr)
        return 1
    module.main(rest)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
