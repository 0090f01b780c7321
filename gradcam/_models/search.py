"""Search for the architecture and the layout whose names the tensors of a file have."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from gradcam._models.architecture import Architecture, registered
from gradcam._models.differences import difference
from gradcam._models.layouts import ANY_PREFIX, LAYOUTS, Layout
from gradcam._models.matches import Match, count_layers, rename_ends, sort_by_number
from gradcam._models.places import AVERAGE, Found, Place, averages, two_networks
from gradcam._weights.tensors import WeightsError, listed


def find_layouts(
    places: Mapping[str, Place],
) -> list[tuple[Layout, tuple[Architecture, ...]]]:
    """Return the layouts that the tensors may have, and the architectures that they may be of.

    The signs of families are looked for first: this needs no tables.
    """
    known = registered()
    found = []
    for layout in LAYOUTS:
        family = () if layout.counted else _signed(places, layout, known)
        if family:
            found.append((layout, family))
    if found:
        return found
    plain = tuple(architecture for architecture in known if not architecture.signs)
    for layout in LAYOUTS:
        if any(map(layout.sign_pattern(plain).fullmatch, places)):
            return [(layout, plain)]
    return []


def _signed(
    places: Mapping[str, Place], layout: Layout, known: Iterable[Architecture]
) -> tuple[Architecture, ...]:
    """Return the architectures whose signs in this layout occur in the file."""
    signed = {each: each.signs[layout.library] for each in known if layout.library in each.signs}
    names = "|".join(map(re.escape, set(signed.values())))
    ending = re.escape(layout.tensor_name("", "weight"))
    pattern = re.compile(f"{layout.prefix}(?P<sign>{names}){ending}")
    present = {matched["sign"] for matched in map(pattern.fullmatch, places) if matched}
    return tuple(each for each, sign in signed.items() if sign in present)


def _find_networks(
    places: Mapping[str, Place], layout: Layout, architectures: Sequence[Architecture]
) -> dict[str, Found]:
    """Return the tensors whose names the layout knows, by their prefix."""
    pattern = layout.tensor_pattern(architectures)
    networks: dict[str, Found] = {}
    for name, place in places.items():
        matched = pattern.fullmatch(name)
        if matched is None:
            continue
        network = networks.setdefault(matched.groupdict().get("prefix", ""), {})
        key = (matched["layer"], layout.endings[matched["ending"]])
        if key in network:
            raise two_networks(network[key].name, place.name)
        network[key] = place
    return networks


class Network(NamedTuple):
    """The only network in a file.

    Attributes
    ----------
    prefix : str
        What precedes the names of its layers.
    found : dict
        The tensors whose names the layout knows.
    others : tuple of Place
        Tensors that belong neither to it, nor to a running average of it, nor to training alone.
    averages : tuple of str
        The prefixes of running averages of its weights.
    """

    prefix: str
    found: Found
    others: tuple[Place, ...]
    averages: tuple[str, ...]


def find_network(
    places: Mapping[str, Place], layout: Layout, architectures: Sequence[Architecture]
) -> Network | None:
    """Return the only network in the file; None if there is no tensor of one.

    Raises
    ------
    WeightsError
        If there are several.
    """
    training = "|".join({each.unused for each in architectures if each.unused})
    if training:
        pattern = re.compile(f"{ANY_PREFIX}(?:{training})")
        places = {name: p for name, p in places.items() if not pattern.fullmatch(name)}
    networks = _find_networks(places, layout, architectures)
    if not networks:
        return None
    tables = (layout.layers(architecture) for architecture in architectures)
    first = {(next(iter(layers)), "weight") for layers in tables if layers}
    complete = [prefix for prefix, found in networks.items() if first & found.keys()]
    if len(complete) > 1:
        complete = [prefix for prefix in complete if not AVERAGE.search(prefix)] or complete
    if len(complete) > 1:
        raise WeightsError(
            f"the file holds {len(complete)} networks, with the prefixes "
            f"{listed(map(repr, complete))}: save one of them to a separate file"
        )
    # If no network has its first layer, the message is about the largest part.
    chosen = complete[0] if complete else max(networks, key=lambda prefix: len(networks[prefix]))
    found = networks[chosen]
    accounted = {place.name for place in found.values()}
    others = [place for place in places.values() if place.name not in accounted]
    copies = averages(others, found.values())
    accounted |= {place.name for group in copies.values() for place in group}
    others = [place for place in others if place.name not in accounted]
    return Network(chosen, found, tuple(others), tuple(sorted(copies)))


class Search:
    """The closest architecture in one layout.

    Attributes
    ----------
    layout : Layout
    architectures : sequence of Architecture
    averages : tuple of str
        The prefixes of running averages of the weights that are in the file too.
    """

    def __init__(
        self,
        places: Mapping[str, Place],
        layout: Layout,
        architectures: Sequence[Architecture],
        ordered: bool,
    ) -> None:
        self.layout = layout
        self.architectures = architectures
        network = find_network(places, layout, architectures)
        assert network is not None  # the layout was found by its tensors
        self._unused = [place.name for place in network.others]
        self.averages = network.averages
        found = network.found
        if layout.nameless:
            found = count_layers(found if ordered else sort_by_number(found))
        convolution = layout.pattern(architectures, "conv") if layout.renamed_ends else ""
        self._matches = []
        for architecture in architectures:
            layers = layout.layers(architecture)
            if layers is not None:
                renamed = rename_ends(found, layers, convolution) if layout.renamed_ends else found
                self._matches.append(Match(architecture, layers, renamed))
        self._closest = min(self._matches, key=Match.distance)

    def distance(self) -> int:
        """Return how many tensors are missing or not expected."""
        return self._closest.distance() + len(self._unused)

    def complete(self) -> list[Match]:
        """Return the architectures all of whose tensors are in the file."""
        return [each for each in self._matches if not each.distance()]

    def holds_all(self) -> bool:
        """Whether the closest architecture is in the file but for biases of linear layers."""
        match = self._closest
        linear = match.expected("linear")
        return all(key in linear and key[1] == "bias" for key in match.missing())

    def difference(self) -> str:
        """Say why the tensors are not the weights of the closest architecture."""
        return difference(self._closest, self._matches, self._unused, self.layout)
