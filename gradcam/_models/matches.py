"""The tensors of a file beside what an architecture needs, and layers that have no names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from gradcam._models.architecture import Architecture, Row
from gradcam._models.places import Found


class Match(NamedTuple):
    """The tensors of a file beside what an architecture needs.

    Attributes
    ----------
    architecture : Architecture
    layers : dict of str to Row
        The rows that have parameters, by their names in the layout.
    found : dict
        The tensors of the file.
    """

    architecture: Architecture
    layers: Mapping[str, Row]
    found: Found

    def expected(self, op: str | None = None) -> list[tuple[str, str]]:
        """Return the layer and parameter of every tensor, or of those of one operation."""
        return [
            (layer, parameter)
            for layer, row in self.layers.items()
            if op in (None, row.op)
            for parameter in row.parameters
        ]

    def missing(self) -> list[tuple[str, str]]:
        return [key for key in self.expected() if key not in self.found]

    def unexpected(self) -> list[str]:
        expected = set(self.expected())
        return [place.name for key, place in self.found.items() if key not in expected]

    def distance(self) -> int:
        """Return how many tensors are missing or unexpected."""
        return len(set(self.expected()) ^ self.found.keys())

    def misfits(self) -> int:
        """Return how many weights have another shape than those that were published."""
        shapes = self.architecture.published_shapes
        return sum(
            self.found[layer, "weight"].values.shape != shapes[row.parameters["weight"]]
            for layer, row in self.layers.items()
            if row.op in ("conv", "linear")
        )


# ------------------------------------------------------------------------ layers without names

_RANKS = (("conv", 4), ("linear", 2))
"""The operations of layers that are recognised by their order, and the rank of their weights."""


def _layers_of_rank(found: Found, rank: int) -> list[str]:
    """Return the layers whose weights have so many axes, in order."""
    return [
        layer
        for (layer, parameter), place in found.items()
        if parameter == "weight" and place.values.ndim == rank
    ]


def sort_by_number(found: Found) -> Found:
    """Sort the layers by the numbers in their names, for files that do not store their order.

    Keras numbers unnamed layers in the order of their creation. If the names of all layers of one
    rank differ by a number alone, that number is the order.
    """
    numbers: dict[str, int] = {}
    for _, rank in _RANKS:
        layers = _layers_of_rank(found, rank)
        if len({re.sub(r"_?\d*$", "", layer) for layer in layers}) == 1:
            numbers |= {name: int((re.findall(r"\d+$", name) or ["0"])[0]) for name in layers}
    return dict(sorted(found.items(), key=lambda entry: numbers.get(entry[0][0], 0)))


def count_layers(found: Found) -> Found:
    """Rename the layers to conv1, conv2, ..., linear1, ... in their order."""
    names = {
        layer: f"{op}{number}"
        for op, rank in _RANKS
        for number, layer in enumerate(_layers_of_rank(found, rank), 1)
    }
    return {(names.get(layer, layer), key): place for (layer, key), place in found.items()}


def rename_ends(found: Found, layers: Mapping[str, Row], convolution: str) -> Found:
    """Rename linear layers to the architecture's names if the last or all have other names.

    Users give the last one a new name when they fine-tune a network. `convolution` is a pattern for
    the names of convolutions.
    """
    ends = [name for name, row in layers.items() if row.op == "linear"]
    names = dict.fromkeys(layer for layer, _ in found)
    linear = [name for name in names if not re.fullmatch(convolution, name)]
    others = [name for name in linear if name not in ends]
    missing = [end for end in ends if end not in linear]
    if missing not in (ends[-1:], ends) or len(others) != len(missing):
        return found
    renamed = dict(zip(others, missing, strict=True))
    return {(renamed.get(layer, layer), p): place for (layer, p), place in found.items()}
