"""Search for the architecture and the layout whose names the tensors of a file have."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from gradcam._models.architecture import Architecture, registered
from gradcam._models.differences import difference
from gradcam._models.layouts import ANY_PREFIX, LAYOUTS, Layout
from gradcam._models.matches import Match, count_layers, rename_ends, sort_by_number
from gradcam._models.places import AVERAGE, Found, Place, two_networks
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
    if not places:
        raise WeightsError("the file holds no tensors that could be the weights of a network")
    raise WeightsError(
        f"the weights of an unknown network, or in an unknown layout: the tensors are "
        f"{listed(places)}"
    )


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
    places: Mapping[str, Place], layout: Layout, architectures: tuple[Architecture, ...]
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


def find_network(
    places: Mapping[str, Place], layout: Layout, architectures: tuple[Architecture, ...]
) -> tuple[Found, list[str]]:
    """Return the tensors of the only network in the file, and the names of the other tensors.

    Those that belong to training alone are left out.
    """
    training = "|".join({each.unused for each in architectures if each.unused})
    if training:
        pattern = re.compile(f"{ANY_PREFIX}(?:{training})")
        places = {name: p for name, p in places.items() if not pattern.fullmatch(name)}
    networks = _find_networks(places, layout, architectures)
    tables = (layout.layers(architecture) for architecture in architectures)
    first = {(next(iter(layers)), "weight") for layers in tables if layers}
    complete = [prefix for prefix, found in networks.items() if first & found.keys()]
    averages = {prefix for prefix in networks if AVERAGE.search(prefix)}
    if len(complete) > 1:
        complete = [prefix for prefix in complete if prefix not in averages] or complete
    if len(complete) > 1:
        raise WeightsError(
            f"the file holds {len(complete)} networks, with the prefixes "
            f"{listed(map(repr, complete))}: save one of them to a separate file"
        )
    # If no network has its first layer, the message is about the largest part.
    chosen = complete[0] if complete else max(networks, key=lambda prefix: len(networks[prefix]))
    accounted = {
        place.name
        for prefix, found in networks.items()
        if prefix == chosen or prefix in averages
        for place in found.values()
    }
    return networks[chosen], [p.name for p in places.values() if p.name not in accounted]


class Search:
    """The closest architecture in one layout.

    Attributes
    ----------
    layout : Layout
    match : Match
        Of several architectures whose tensors have the same names, that whose shapes are the most
        similar to the file's.
    """

    def __init__(
        self,
        places: Mapping[str, Place],
        layout: Layout,
        architectures: tuple[Architecture, ...],
        ordered: bool,
    ) -> None:
        self.layout = layout
        found, self._unused = find_network(places, layout, architectures)
        if layout.nameless:
            found = count_layers(found if ordered else sort_by_number(found))
        convolution = layout.pattern(architectures, "conv") if layout.renamed_ends else ""
        self._matches = []
        for architecture in architectures:
            layers = layout.layers(architecture)
            if layers is not None:
                renamed = rename_ends(found, layers, convolution) if layout.renamed_ends else found
                self._matches.append(Match(architecture, layers, renamed))
        self.match = min(self._matches, key=Match.distance)
        same = [each for each in self._matches if not each.distance()]
        if len(same) > 1:
            self.match = min(same, key=Match.misfits)

    def distance(self) -> int:
        """Return how many tensors are missing or not expected."""
        return self.match.distance() + len(self._unused)

    def difference(self) -> str:
        """Say why the tensors are not the weights of the closest architecture."""
        return difference(self.match, self._matches, self._unused, self.layout)
