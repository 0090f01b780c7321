"""A VGG whose layers have any names, recognised by their order and their shapes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

from gradcam._models.adapted import Adapted, built, parts_of
from gradcam._models.architecture import Architecture, Row, registered
from gradcam._models.heads import Module, by_number, head, modules
from gradcam._models.layouts import IN_ORDER
from gradcam._models.places import AVERAGE, Place, averages

_MAX_MODULES = 1000


def in_order(places: Mapping[str, Place]) -> Adapted | None:
    """Return the network if its layers, whatever their names, are those of a VGG in order.

    They are 3x3 convolutions whose widths are in the proportions of VGG-11, 13, 16 or 19, each with
    its batch normalisation or none, and linear layers.
    """
    plain = [p for p in places.values() if not AVERAGE.search(p.plain.rpartition(".")[0])]
    copies = averages(places.values(), plain)
    average = {place.name for group in copies.values() for place in group}
    parts = modules([p for p in places.values() if p.name not in average], "")
    if not parts or len(parts) > _MAX_MODULES:
        return None
    shared = 0
    for each in zip(*(module.name.split(".")[:-1] for module in parts), strict=False):
        if len(set(each)) > 1:
            break
        shared += 1
    parts = [m._replace(name=".".join(m.name.split(".")[shared:])) for m in parts]
    for order in (parts, sorted(parts, key=by_number)):
        found = _chain(order)
        if found is not None:
            return found
    return None


def _chain(order: Sequence[Module]) -> Adapted | None:
    """Return the VGG whose layers these are in this order."""
    convolutions = [module for module in order if module.op == "conv"]
    others = [module for module in order if module.op != "conv"]
    norms = [module for module in others if module.op == "batch_norm"][: len(convolutions)]
    if [norm.outputs for norm in norms] != [module.outputs for module in convolutions]:
        norms = []
    architecture = _vgg(convolutions, bool(norms))
    tail = head([module for module in others if module not in norms])
    if architecture is None or tail is None:
        return None
    own = {"conv": iter(convolutions), "batch_norm": iter(norms)}
    rows = []
    for row in architecture.rows:
        if row.op in own:
            row = _renamed(row, next(own[row.op]))
        rows.append(row if row.parameters else replace(row, torchvision=""))
    renamed = replace(architecture, table=lambda: rows)
    parts, found = parts_of(renamed), dict(tail.found)
    assert parts is not None
    for module in (*convolutions, *norms):
        found |= module.found()
    adapted = built(renamed, IN_ORDER, parts, (), tail, found)
    if adapted is None:
        return None
    title = architecture.title
    sentence = (
        f"The layers have the order and the shapes of {title}; the file does not say where ReLUs "
        f"and poolings are and how pictures become input: all is taken as in torchvision's {title}."
    )
    return adapted._replace(assumed=(sentence, *adapted.assumed))


def _vgg(convolutions: Sequence[Module], batch_norm: bool) -> Architecture | None:
    """Return the VGG whose convolutions have these shapes in proportion."""
    if not convolutions or any(c.places["weight"].values.shape[2:] != (3, 3) for c in convolutions):
        return None
    if any(before.outputs != after.inputs for before, after in pairwise(convolutions)):
        return None
    if len({"bias" in module.places for module in convolutions}) > 1:
        return None
    widths = [module.outputs for module in convolutions]
    for architecture in registered():
        if re.fullmatch(r"vgg\d+" + "_bn" * batch_norm, architecture.name):
            units = [row.units for row in architecture.rows if row.op == "conv"]
            if len(units) == len(widths) and all(
                width * units[0] == each * widths[0]
                for width, each in zip(widths, units, strict=True)
            ):
                return architecture
    return None


def _renamed(row: Row, module: Module) -> Row:
    """Return a row with a module's name, and its bias or none."""
    bias = row.op != "conv" or "bias" in module.places
    return replace(row, torchvision=module.name, units=module.outputs, bias=bias)
