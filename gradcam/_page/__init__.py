"""``gradcam page``: one HTML file that runs the C core in a browser.

The file holds everything: the core as WebAssembly, the network, the pictograms, the page and its
script. It loads nothing and sends nothing, which its content security policy forbids, and it stores
nothing.
"""

from __future__ import annotations

import base64
import errno
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from gradcam._files import atomic_write, expanded
from gradcam._page.bundle import bundle
from gradcam._pictures.colour import plain_bar

__all__ = ["KINDS", "write"]

_MARK = '<meta name="generator" content="gradcam page">'
"""What every page has near its beginning."""

_FOLDER = Path(__file__).parent
_CORES = ("core-simd128", "core-relaxed")


@dataclass(frozen=True)
class _Kind:
    """What is different in the pages.

    Attributes
    ----------
    html, script : str
        The names of the page and of its first module, in the folder ``page``.
    parts : function
        Returns the binary parts by name, and the data that describe them.
    """

    html: str
    script: str
    parts: Callable[[], tuple[dict[str, bytes], dict[str, object]]]


def _pictograms() -> tuple[dict[str, bytes], dict[str, object]]:
    from gradcam._page.data import contents, pixels
    from gradcam._page.networks import describe
    from gradcam.pictograms import model, weak_model

    networks = {"pictograms": describe(model()), "weak": describe(weak_model())}
    parts = {f"network-{name}": network.weights for name, network in networks.items()}
    descriptions = {name: network.description for name, network in networks.items()}
    return {"pixels": pixels(), **parts}, {"contents": contents(), "networks": descriptions}


def _imagenet() -> tuple[dict[str, bytes], dict[str, object]]:
    from gradcam._page.photographs import parts

    return parts()


KINDS = {
    "pictograms": _Kind("index.html", "main.js", _pictograms),
    "imagenet": _Kind("photograph.html", "photograph.js", _imagenet),
}
"""The pages by the name of their network."""


def write(
    path: str | os.PathLike[str], *, model: str = "pictograms", make_folder: bool = False
) -> Path:
    """Write the page, from the files of this package only.

    Parameters
    ----------
    path
        The HTML file. A page of an earlier run is replaced.
    model : str
        One of `KINDS`.
    make_folder : bool
        Whether the folder of the file is made if missing, once the page's text is complete.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    FileNotFoundError
        If the folder is missing and is not made.
    FileExistsError
        If there is a file of that name that is not such a page.
    ValueError
        If there is no page for this network.
    ImportError
        If the package with the weights of the ImageNet network is not installed.
    """
    if model not in KINDS:
        raise ValueError(f"model: expected one of {', '.join(KINDS)}, got {model!r}")
    file = Path(expanded(path))
    check_replaceable(file)
    text = _page(KINDS[model])
    if make_folder:
        file.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(file) as out:
        out.write(text.encode())
    return file


def check_replaceable(path: Path) -> None:
    """Raise FileExistsError if there is a file that is not such a page."""
    if not os.path.lexists(path):
        return
    if path.is_file():
        with open(path, "rb") as file:
            if _MARK.encode() in file.read(4096):
                return
    reason = "it is not of gradcam page and would be replaced: choose another name"
    raise FileExistsError(errno.EEXIST, reason, str(path))


def _page(kind: _Kind) -> str:
    """Return the text of a page."""
    from gradcam._core import __version__

    files = _files()
    parts, data = kind.parts()
    core = {name: (_FOLDER / f"{name}.wasm").read_bytes() for name in _CORES}
    table = plain_bar("inferno").tobytes().hex()
    data = {"version": __version__, "colours": table, **data}
    scripts = [_part(name, content) for name, content in {**core, **parts}.items()]
    scripts.append(f'<script type="application/json" id="data">{_json(data)}</script>')
    scripts.append(f'<script type="text/plain" id="worker">\n{bundle(files, "worker.js")}</script>')
    scripts.append(f"<script>\n{bundle(files, kind.script)}</script>")
    return _filled(
        files[kind.html],
        {
            "<!-- mark -->": _MARK,
            "<!-- style -->": f"<style>\n{_style(files)}</style>",
            "<!-- parts -->": "\n".join(scripts),
        },
    )


def _style(files: Mapping[str, str]) -> str:
    """Return the style of all pages, followed by those of their panels."""
    names = [name for name in files if name.endswith(".css") and name != "style.css"]
    return "".join(files[name] for name in ["style.css", *names])


def _files() -> dict[str, str]:
    """Return the texts in the folder ``page`` by their names."""
    found = sorted((_FOLDER / "page").iterdir())
    texts = (path for path in found if path.suffix in (".js", ".html", ".css"))
    return {path.name: path.read_text(encoding="utf-8") for path in texts}


def _part(name: str, content: bytes) -> str:
    """Return bytes as an element of the page."""
    text = base64.b64encode(content).decode()
    return f'<script type="application/octet-stream" id="{name}">{text}</script>'


def _json(data: Mapping[str, object]) -> str:
    """Return JSON that can stand in an element ``script``."""
    return json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")


def _filled(template: str, texts: Mapping[str, str]) -> str:
    """Return a template with texts in the place of its marks, each of which occurs once."""
    for mark, text in texts.items():
        before, found, after = template.partition(mark)
        if not found or mark in after:
            raise ValueError(f"the template of the page must have {mark} once")
        template = before + text + after
    return template
