"""``gradcam page``: the live page."""

from __future__ import annotations

import json
from pathlib import Path

import click

from gradcam._cli import terminal
from gradcam._cli.outputs import check_writable
from gradcam._files import expanded

DEFAULT_PAGE = Path("live.html")

_DEFAULT_PAGES = {"pictograms": DEFAULT_PAGE, "imagenet": Path("photo.html")}


@click.command(short_help="A page that runs the network in the browser: one HTML file.")
@click.option(
    "--out",
    "-o",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="The file to write; its folder is created if missing. By default live.html, or photo.html "
    "with the ImageNet network.",
)
@click.option(
    "--model",
    type=click.Choice([*_DEFAULT_PAGES]),
    default="pictograms",
    show_default=True,
    help="The network that the page runs: drawn scenes, or ImageNet's classes in photographs.",
)
@click.option("--open", "open_", is_flag=True, help="Show it in the browser.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON on standard output.")
def page(out: Path | None, model: str, open_: bool, as_json: bool) -> int:
    """Write a page that explains what a network sees, live, in any browser.

    \b
    gradcam page                         live.html: scenes of pictograms
    gradcam page --out lesson.html --open
    gradcam page --model imagenet        photo.html: photographs that one drops into it

    The file needs no network and no other file: it can be opened from a memory stick.  Drag a cat
    over a dog, and see every class's score and the maps follow, with the truth beside them.  A page
    of an earlier run is replaced; another file of that name is refused.
    """
    from gradcam import _page

    out = Path(expanded(out or _DEFAULT_PAGES[model]))
    check_writable([out])
    _page.check_replaceable(out)
    file = _page.write(out, model=model, make_folder=True)
    size = file.stat().st_size
    if as_json:
        click.echo(json.dumps({"page": str(file), "model": model, "bytes": size}))
    else:
        terminal.echo(f"{size / 1e6:.1f} MB: open {file}")
    if open_:
        import webbrowser

        webbrowser.open(file.resolve().as_uri())
    return 0
