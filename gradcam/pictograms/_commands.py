"""Commands of a package that is run as a module: ``python -m gradcam.PACKAGE COMMAND``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path

from gradcam._files import atomic_write


def run_command(arguments: Sequence[str], usage: str, modules: Mapping[str, str]) -> int:
    """Run the command in `arguments` and return the exit status.

    Parameters
    ----------
    arguments : sequence of str
        The command and its options; none print the usage.
    usage : str
    modules : mapping of str to str
        By command, the module whose function ``main`` runs it.
    """
    command, *rest = arguments or ["--help"]
    if command in ("-h", "--help"):
        print(usage)
        return 0
    if command not in modules:
        print(f"unknown command {command!r}\n\n{usage}", file=sys.stderr)
        return 2
    try:
        module = import_module(modules[command])
    except ModuleNotFoundError as error:
        print(f"{command} needs {error.name}: pip install gradcam[train]", file=sys.stderr)
        return 1
    module.main(rest)
    return 0


def new_parser(program: str, description: str) -> argparse.ArgumentParser:
    """Return the parser of ``python -m gradcam.PROGRAM``, whose help tells the defaults."""
    return argparse.ArgumentParser(
        prog=f"python -m gradcam.{program}",
        description=description,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )


def report(figures: Mapping[str, object], text: str, file: Path | None) -> None:
    """Print an evaluation's tables; write its figures as JSON, if there is a file for them."""
    print(text)
    if file is not None:
        with atomic_write(file) as stream:
            stream.write(json.dumps(figures, indent=1).encode() + b"\n")
