"""Networks that differ from a published one in their head, or that were taken apart.

Each function returns a :class:`Adapted`, whose architecture is a copy of the published one with the
file's own layers; or None if the file holds no such network.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from gradcam._engine.layers import HEADS
from gradcam._models.architecture import Architecture, Extents, Row, registered
from gradcam._models.choice import chosen
from gradcam._models.heads import Head, head, modules, pooling, unique
from gradcam._models.layouts import CHILDREN, Layout
from gradcam._models.matches import Match
from gradcam._models.places import AVERAGE, Found, Place
from gradcam._models.search import Network, find_network
from gradcam._weights.tensors import WeightsError

_POOLS = ("global_average_pool", "adaptive_average_pool")


class Adapted(NamedTuple):
    """A network that differs from a published one.

    Attributes
    ----------
    match : Match
        Its architecture, which has the published name, and its tensors.
    layout : Layout
    assumed : tuple of str
        Sentences about what the file does not say.
    """

    match: Match
    layout: Layout
    assumed: tuple[str, ...]


class Parts(NamedTuple):
    """The rows of a published network: up to its last map, the pooling, and what follows.

    Attributes
    ----------
    body : tuple of Row
    pool : Row
    between : tuple of Row
        From the pooling to the flattened vector.
    head : tuple of Row
        The linear layers, and what is between them.
    """

    body: tuple[Row, ...]
    pool: Row
    between: tuple[Row, ...]
    head: tuple[Row, ...]

    @property
    def trunk(self) -> tuple[Row, ...]:
        return (*self.body, self.pool, *self.between)


def parts_of(architecture: Architecture) -> Parts | None:
    """Return the parts of a network that ends in linear layers; None for others."""
    rows = architecture.rows
    flat = max((n for n, row in enumerate(rows) if row.op == "flatten"), default=-1)
    if not any(row.op == "linear" for row in rows[flat + 1 :]):
        return None
    pool = max((n for n, row in enumerate(rows[: flat + 1]) if row.op in _POOLS), default=-1)
    if pool < 1 or flat < 0:
        return None
    return Parts(rows[:pool], rows[pool], rows[pool + 1 : flat + 1], rows[flat + 1 :])


def unsigned(architectures: Sequence[Architecture]) -> list[Architecture]:
    """Return AlexNet, whose sign is in its head, for files with the names of VGG."""
    plain = all(not each.signs for each in architectures)
    return [each for each in registered() if each.name == "alexnet"] if plain else []


def with_other_head(
    places: Mapping[str, Place],
    layout: Layout,
    architectures: Sequence[Architecture],
    expected: Architecture | None,
) -> Adapted | None:
    """Return the network if its convolutions are a published network's and its head is not.

    Parameters
    ----------
    places : mapping of str to Place
    layout : Layout
    architectures : sequence of Architecture
        Those that the file may hold.
    expected : Architecture, optional
        The one that is wanted, if several fit.
    """
    network = find_network(places, layout, architectures)
    if network is None:
        return None
    found: dict[str, Adapted] = {}
    for architecture in architectures:
        each = _fit(network, layout, architecture)
        if each is not None:
            found[architecture.name] = each
    if not found:
        return None
    match = chosen([each.match for each in found.values()], layout, expected)
    return found[match.architecture.name]


def _fit(network: Network, layout: Layout, architecture: Architecture) -> Adapted | None:
    """Return the network as this architecture with another head, if it is one."""
    parts, layers = parts_of(architecture), layout.layers(architecture)
    if parts is None or layers is None:
        return None
    if _nearly_complete(network, layers):
        return None
    names = {row.name: layer for layer, row in layers.items()}
    trunk = [(names[row.name], p) for row in parts.trunk for p in row.parameters]
    if not trunk or not all(key in network.found for key in trunk):
        return None
    wanted = set(trunk)
    kept = _kept(parts.head, names, network, wanted)
    wanted |= {(names[row.name], p) for row in kept for p in row.parameters}
    rest = [place for key, place in network.found.items() if key not in wanted]
    own = modules([*rest, *network.others], network.prefix)
    tail = head(own) if own else None
    if tail is None:
        return None
    used = {key: network.found[key] for key in wanted} | tail.found
    return built(architecture, layout, parts, kept, tail, used)


def _nearly_complete(network: Network, layers: Mapping[str, Row]) -> bool:
    """Whether the published network is in the file but for some biases: then it is not another."""
    keys = [(layer, p) for layer, row in layers.items() for p in row.parameters]
    missing = [key for key in keys if key not in network.found]
    biases = [key for key in keys if key[1] == "bias" and layers[key[0]].op == "linear"]
    return all(key in biases for key in missing) and (not missing or missing != biases)


def _kept(
    rows: tuple[Row, ...], names: Mapping[str, str], network: Network, trunk: set[tuple[str, str]]
) -> tuple[Row, ...]:
    """Return the rows of the published head that the file still has.

    These are the rows before a layer that was replaced by several modules: "classifier.6.0".
    """
    for number, row in enumerate(rows):
        keys = [(names[row.name], p) for p in row.parameters]
        if not keys or all(key in network.found for key in keys):
            continue
        inside = f"{network.prefix}{names[row.name]}."
        before = {(names[r.name], p) for r in rows[:number] for p in r.parameters}
        rest = [p for key, p in network.found.items() if key not in trunk | before]
        rest += network.others
        if rest and all(place.plain.startswith(inside) for place in rest):
            return rows[:number]
        break
    return ()


def built(
    architecture: Architecture,
    layout: Layout,
    parts: Parts,
    kept: tuple[Row, ...],
    tail: Head,
    found: Found,
) -> Adapted | None:
    """Return the network of a published body, the published layers of its head, and its own."""
    weighted = [row for row in (*kept, *tail.rows) if row.parameters]
    published = any(row.parameters for row in kept)
    names = {row.name: layer for layer, row in (layout.layers(architecture) or {}).items()}
    first = weighted[0]
    key = names[first.name] if published else first.stored_as("torchvision")
    weight = found[key, "weight"].values
    width = weight.shape[0] if first.op == "batch_norm" else math.prod(weight.shape[1:])
    channels = _width(parts.body, found, names)
    pool = pooling(width, channels, parts.pool, parts.body[-1].name)
    if pool is None or (pool.assumed and any(row.parameters for row in parts.between)):
        return None
    own = {name for row in tail.rows for name in (row.name, *row.aliases)}
    trunk = _apart_from(own, (*parts.body, *pool.rows, *parts.between, *kept))
    rows = (*trunk, *tail.rows, Row(unique("prob", own), "softmax"))
    adapted = _renewed(architecture, rows, parts)
    layers = layout.layers(adapted)
    assert layers is not None
    return Adapted(Match(adapted, layers, found), layout, (*pool.assumed, *tail.assumed))


def _apart_from(own: Collection[str], rows: Sequence[Row]) -> list[Row]:
    """Return the rows with other names than those of the head's modules, which its author chose."""
    used = {*own, *(name for row in rows for name in (row.name, *row.aliases))}
    renamed: dict[str, str] = {}
    result = []
    for row in rows:
        if row.name in own:
            renamed[row.name] = unique(row.name, used)
        free = () if row.parameters else tuple(name for name in row.also if name not in own)
        result.append(
            replace(
                row,
                name=renamed.get(row.name, row.name),
                inputs=tuple(renamed.get(name, name) for name in row.inputs),
                torchvision=row.torchvision if row.parameters or row.torchvision not in own else "",
                also=row.also if row.parameters else free,
            )
        )
    return result


def _renewed(architecture: Architecture, rows: tuple[Row, ...], parts: Parts) -> Architecture:
    """Return the architecture with other rows, and the same target layer."""
    target = architecture.target_layer
    if not target and any(row.op == "concatenate" and row.name == parts.pool.name for row in rows):
        target = next(row.name for row in reversed(parts.body) if "pool" not in row.op)
    return replace(architecture, table=lambda: rows, target_layer=target)


def _width(rows: Iterable[Row], found: Found, names: Mapping[str, str]) -> int:
    """Return the channels of the last row's output, by the shapes of the weights."""
    extents, width = Extents(), 0
    for row in rows:
        width = extents.input(row).width
        if row.op == "conv":
            width = found[names[row.name], "weight"].values.shape[0]
        extents.add(row, width)
    return width


_MAX_NUMBERED = 4000
"""Tensors of a network whose parts have numbers; EfficientNet-B7 and its average have 2,200."""


def taken_apart(places: Mapping[str, Place], expected: Architecture | None) -> Adapted | None:
    """Return the network if its parts have numbers: ``nn.Sequential(*model.children())``."""
    if len(places) > _MAX_NUMBERED:
        return None
    kernels = {name for name, place in places.items() if place.values.ndim == 4}
    found = {}
    for architecture in registered():
        prefix = _prefix(kernels, architecture)
        if prefix is None:
            continue
        try:
            each = _apart(places, architecture, prefix, expected)
        except WeightsError:  # its names are those of no network
            continue
        if each is not None:
            found[architecture.name] = each
    if not found:
        return None
    match = chosen([each.match for each in found.values()], CHILDREN, expected)
    return found[match.architecture.name]


def _prefix(kernels: Collection[str], architecture: Architecture) -> str | None:
    """Return what precedes the numbers of this network; None if a convolution is missing.

    The prefix of a running average counts only if there is no other.
    """
    numbered = CHILDREN.layers(architecture) or {}
    names = [f"{name}.weight" for name, row in numbered.items() if row.op == "conv"]
    if not names or len(names) > len(kernels):
        return None
    prefixes = [
        name.removesuffix(names[0])
        for name in kernels
        if name == names[0] or name.endswith(f".{names[0]}")
    ]
    complete = [each for each in prefixes if all(each + name in kernels for name in names)]
    return min(complete, key=lambda each: (bool(AVERAGE.search(each)), len(each)), default=None)


def _apart(
    places: Mapping[str, Place],
    architecture: Architecture,
    prefix: str,
    expected: Architecture | None,
) -> Adapted | None:
    """Return the network if it is this one, taken apart."""
    numbered = CHILDREN.layers(architecture)
    if not numbered:
        return None
    names = {row.name: name for name, row in numbered.items()}
    rows = tuple(
        replace(row, torchvision=names[row.name], stored={}) if row.name in names else row
        for row in architecture.rows
    )
    apart = replace(architecture, table=lambda: rows)
    layout = replace(CHILDREN, numbered=False, prefix=f"(?P<prefix>{re.escape(prefix)})")
    layers, network = layout.layers(apart), find_network(places, layout, [apart])
    if network is None or layers is None:
        return None
    match = Match(apart, layers, network.found)
    if not match.distance() and not network.others:
        return Adapted(match, layout, ())
    return with_other_head(places, layout, [apart], expected)


def with_own_activations(match: Match, layout: Layout) -> Adapted | None:
    """Return a published network whose head has the published names, but other widths.

    Then the head is the file's own, and the published activations in it are not certain. None if
    the widths are the published ones, or all are others, or the activations are ReLUs anyway.
    """
    parts = parts_of(match.architecture)
    known = ("linear", "relu", "dropout", *HEADS)
    if parts is None or not layout.free or all(row.op in known for row in parts.head):
        return None
    names = {row.name: layer for layer, row in match.layers.items()}
    shapes = match.architecture.published_shapes
    *hidden, _ = (row for row in parts.head if row.op == "linear")
    if not hidden or _differ([row for row in parts.body if row.op == "conv"][1:], match, shapes):
        return None
    if not _differ(hidden, match, shapes):
        return None
    own = {(names[row.name], p) for row in parts.head for p in row.parameters}
    tail = modules([match.found[key] for key in match.found if key in own], "")
    found = head(tail or ())
    if found is None:
        return None
    rest = {key: place for key, place in match.found.items() if key not in own}
    return built(match.architecture, layout, parts, (), found, rest | found.found)


def _differ(rows: Iterable[Row], match: Match, shapes: Mapping[str, tuple[int, ...]]) -> bool:
    """Whether a weight of these rows has another shape than the published one."""
    names = {row.name: layer for layer, row in match.layers.items()}
    return any(
        match.found[names[row.name], "weight"].values.shape != shapes[row.parameters["weight"]]
        for row in rows
    )


def with_other_grid(match: Match, layout: Layout) -> Adapted | None:
    """Return a published network whose map before the linear layers has another size.

    None if the size is the published one, or none fits.
    """
    parts = parts_of(match.architecture)
    if parts is None or layout.outputs_last or any(row.parameters for row in parts.between):
        return None
    names = {row.name: layer for layer, row in match.layers.items()}
    first = next(row for row in parts.head if row.op == "linear")
    weight = match.found[names[first.name], "weight"].values
    if weight.ndim != 2:
        return None
    channels = _width(parts.body, match.found, names)
    pool = pooling(weight.shape[1], channels, parts.pool, parts.body[-1].name)
    if pool is None or not pool.assumed:
        return None
    rows = (*parts.body, *pool.rows, *parts.between, *parts.head)
    adapted = _renewed(match.architecture, rows, parts)
    layers = layout.layers(adapted)
    assert layers is not None
    return Adapted(Match(adapted, layers, match.found), layout, pool.assumed)
