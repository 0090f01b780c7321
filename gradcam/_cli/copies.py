"""``gradcam notebooks`` and ``gradcam photographs``: copies of files that ship with the package."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import click

import gradcam
from gradcam._files import atomic_write

_PACKAGE = Path(gradcam.__file__).parent

force = click.option("--force", is_flag=True, help="Replace changed files in DIR.")
folder = click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))


@click.command(short_help="Copy the notebooks to a folder.")
@folder
@force
def notebooks(folder: Path, force: bool) -> int:
    """Copy the notebooks that ship with gradcam to DIR, which is created if missing.

    To run them: pip install jupyterlab, then jupyter lab DIR.
    """
    found = shipped()
    if not found:
        raise click.ClickException("this installation has no notebooks: install gradcam again.")
    return _copy(found, folder, force)


@click.command(short_help="Copy example photographs to a folder.")
@folder
@force
def photographs(folder: Path, force: bool) -> int:
    """Copy the photographs that ship with gradcam to DIR, which is created if missing.

    To explain one of them: gradcam explain DIR/cat.jpg
    """
    return _copy(gradcam.imagenet.examples(), folder, force)


def shipped() -> list[Path]:
    """Return the notebooks: in the installed package, or in the checkout beside it."""
    for folder in (_PACKAGE / "_notebooks", _PACKAGE.parent / "notebooks"):
        found = sorted(folder.glob("*.ipynb"))
        if found:
            return found
    return []


def _copy(files: Sequence[Path], folder: Path, force: bool) -> int:
    """Copy files; refuse to replace files with other content, unless forced."""
    write({path.name: path.read_bytes() for path in files}, folder, force)
    for path in files:
        click.echo(folder / path.name)
    return 0


def write(contents: Mapping[str, bytes], folder: Path, force: bool) -> None:
    """Write files by their names; refuse to replace files with other content, unless forced."""
    changed = [name for name, content in contents.items() if _is_other(folder / name, content)]
    if changed and not force:
        raise click.UsageError(
            f"{folder} has other files called {', '.join(changed)}: name another folder, or use "
            f"--force."
        )
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        with atomic_write(folder / name) as file:
            file.write(content)


def _is_other(path: Path, content: bytes) -> bool:
    """Return whether there is a file with other content."""
    return path.exists() and path.read_bytes() != content
