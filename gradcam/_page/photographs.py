"""What the page for photographs brings: the ImageNet network, and photographs to try it on."""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import TypedDict

from gradcam._page.networks import describe
from gradcam.imagenet import examples, model

FIRST = "cat"
"""The photograph that the page opens with."""


class Photograph(TypedDict):
    """A photograph: the name of its file, what it shows, its author and licence."""

    name: str
    title: str
    credit: str


def parts() -> tuple[dict[str, bytes], dict[str, object]]:
    """Return the binary parts of the page by name, and the data that describe them.

    The weights are rounded to float16, which halves them: 9 MB.

    Raises
    ------
    ImportError
        If the package with the network's weights is not installed.
    """
    network = model()
    assert network.preset is not None
    described = describe(network, rounded=True)
    files, told = photographs()
    binary = {f"photograph-{name}": content for name, content in files.items()}
    data: dict[str, object] = {
        "networks": {"imagenet": described.description},
        "preset": asdict(network.preset),
        "photographs": told,
    }
    return {**binary, "network-imagenet": described.weights}, data


def photographs() -> tuple[dict[str, bytes], list[Photograph]]:
    """Return the files of the built-in photographs by name, and what is said of each, in order."""
    paths = sorted(examples(), key=lambda path: path.stem != FIRST)
    sources = paths[0].with_name("SOURCES.txt").read_text("utf-8")
    told: list[Photograph] = []
    for path in paths:
        lines = re.search(rf"^{re.escape(path.name)}\n +(.+)\n +(.+)$", sources, re.MULTILINE)
        assert lines is not None, f"SOURCES.txt does not name {path.name}"
        told.append({"name": path.name, "title": lines[1], "credit": lines[2]})
    return {path.name: path.read_bytes() for path in paths}, told
