"""``gradcam demo``."""

from __future__ import annotations

import json
from pathlib import Path

import click

from gradcam._cli import terminal
from gradcam._cli.outputs import check_writable

DEFAULT_DEMO = Path("gradcam-demo")


@click.command(short_help="Explain example photographs and scenes: a folder and a page.")
@click.option(
    "--out",
    "-o",
    type=click.Path(path_type=Path, file_okay=False),
    default=DEFAULT_DEMO,
    show_default=True,
    metavar="DIR",
    help="The folder to write to; created if missing.",
)
@click.option("--open", "open_", is_flag=True, help="Show it in the browser.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON on standard output.")
def demo(out: Path, open_: bool, as_json: bool) -> int:
    """Explain example pictures: a folder with an index.html, and the live page beside it.

    The photographs are explained with the ImageNet network, if it is installed, and scenes of
    pictograms with the network that knows those.  Files of an earlier demo are replaced; a folder
    with another index.html or live.html, or other pictures in a folder of that name, is refused.
    """
    from gradcam import _demo, imagenet, pictograms

    check_writable([out / "index.html"])
    photographs = len(imagenet.examples()) if imagenet.is_installed() else 0
    scenes = len(pictograms.examples())
    with terminal.progress(photographs + scenes, as_json) as advance:
        index = _demo.write(out, progress=advance)
    if as_json:
        click.echo(json.dumps({"index": str(index), "pictures": photographs + scenes}))
    else:
        shown = (
            f"{photographs} photographs and {scenes} scenes" if photographs else f"{scenes} scenes"
        )
        terminal.echo(f"{shown} explained: open {index}")
        if not photographs:
            terminal.echo(f"To see photographs, too: {imagenet.INSTALL}", err=True)
    if open_:
        import webbrowser

        webbrowser.open(index.resolve().as_uri())
    return 0
