"""Names of layers: the paths of the modules that made them.

A layer that is the result of a module has the module's path, "layer4.1.conv2". Any other layer has
the path and the operation: "layer4.1.add". The result of a module that ends with another module's
layer gives that layer another name: "layer4.1" for "layer4.1.relu". A module that is called several
times names its last use; the others have a number: "layer4.1.relu1".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from gradcam._engine.layers import INPUT, Layer
from gradcam._weights.program import Scope


class Names:
    """What is known about the names while a program runs."""

    def __init__(self) -> None:
        self._makers: dict[str, str] = {}
        self._ended: list[tuple[Scope, str]] = []

    def made(self, layer: str, scopes: Sequence[Scope]) -> None:
        """Remember the call of a module that made a layer, if it is new."""
        self._makers.setdefault(layer, scopes[-1].key if scopes else "")

    def ended(self, scope: Scope, layer: str) -> None:
        """Remember the layer that is the result of a call of a module."""
        if scope.path and layer != INPUT:
            self._ended.append((scope, layer))

    def applied(self, layers: Iterable[Layer]) -> tuple[tuple[Layer, ...], dict[str, str]]:
        """Return the layers with their names, and these by the names before."""
        layers = tuple(layers)
        holders = {name: layer.name for layer in layers for name in (layer.name, *layer.aliases)}
        primary, aliases = self._of_modules(holders)
        primary = {layer: name for layer, name in primary.items() if name != INPUT}
        taken = {INPUT, *primary.values()}
        names = dict(primary)
        for layer in layers:
            if layer.name not in names:
                names[layer.name] = _free(_of_helper(layer, names), taken)
                taken.add(names[layer.name])
        renamed = []
        for layer in layers:
            also = (*aliases.get(layer.name, ()), *layer.aliases)
            kept = [alias for alias in dict.fromkeys(also) if alias not in taken]
            taken.update(kept)
            inputs = tuple(names.get(name, name) for name in layer.inputs)
            name = names[layer.name]
            renamed.append(replace(layer, name=name, inputs=inputs, aliases=tuple(kept)))
        return tuple(renamed), names

    def _of_modules(
        self, holders: dict[str, str]
    ) -> tuple[dict[str, str], dict[str, tuple[str, ...]]]:
        """Return the layers that modules made, with their paths, and the other names of layers."""
        uses = Counter(scope.path for scope, _ in self._ended)
        seen: Counter[str] = Counter()
        paths = set(uses)
        primary: dict[str, str] = {}
        aliases: dict[str, tuple[str, ...]] = {}
        for scope, layer in self._ended:
            seen[scope.path] += 1
            held = holders.get(layer)
            if held is None:
                continue
            last = seen[scope.path] == uses[scope.path]
            name = scope.path if last else f"{scope.path}{seen[scope.path]}"
            if not last and name in paths:
                continue
            if self._makers.get(layer) == scope.key and held == layer and held not in primary:
                primary[held] = name
            else:
                aliases[held] = (*aliases.get(held, ()), name)
        return primary, aliases


def _of_helper(layer: Layer, names: Mapping[str, str]) -> str:
    """Return the name of a layer that the builder added to another: "avgpool.flatten"."""
    before, _, what = layer.name.rpartition(".")
    return f"{names[before]}.{what}" if before in names else layer.name


def _free(name: str, taken: set[str]) -> str:
    number, found = 1, name
    while found in taken:
        number += 1
        found = f"{name}_{number}"
    return found
