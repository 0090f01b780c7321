"""``gradcam notebooks``: copies of the notebooks that ship with the package."""

from __future__ import annotations

import shutil
from pathlib import Path

import click

import gradcam

_PACKAGE = Path(gradcam.__file__).parent


def shipped() -> list[Path]:
    """Return the notebooks: in the installed package, or in the checkout beside it."""
    for folder in (_PACKAGE / "_notebooks", _PACKAGE.parent / "notebooks"):
        found = sorted(folder.glob("*.ipynb"))
        if found:
            return found
    return []


@click.command(short_help="Copy the notebooks to a folder.")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
@click.option("--force", is_flag=True, help="Replace notebooks that exist in DIR.")
def notebooks(folder: Path, force: bool) -> int:
    """Copy the notebooks that ship with gradcam to DIR, which is created if missing.

    To run them: pip install jupyterlab, then jupyter lab DIR.
    """
    found = shipped()
    if not found:
        raise click.ClickException("this installation has no notebooks: install gradcam again.")
    existing = [path.name for path in found if (folder / path.name).exists()]
    if existing and not force:
        raise click.UsageError(
            f"{folder} has {', '.join(existing)} already: name another folder, or use --force."
        )
    folder.mkdir(parents=True, exist_ok=True)
    for path in found:
        shutil.copyfile(path, folder / path.name)
        click.echo(folder / path.name)
    return 0
