"""``gradcam demo``."""

from __future__ import annotations

import json
from pathlib import Path

import click

from gradcam._cli import terminal

DEFAULT_DEMO = Path("gradcam-demo")


@click.command(short_help="Explain the built-in scenes: a folder and a page.")
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
    """Explain the built-in scenes with the built-in model: a folder with an index.html."""
    from gradcam import _demo, pictograms

    count = len(pictograms.examples())
    with terminal.progress(count, as_json) as advance:
        index = _demo.write(out, progress=advance)
    if as_json:
        click.echo(json.dumps({"index": str(index), "pictures": count}))
    else:
        terminal.echo(f"{count} scenes explained: open {index}")
    if open_:
        import webbrowser

        webbrowser.open(index.resolve().as_uri())
    return 0
