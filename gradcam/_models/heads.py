"""Heads of transfer learning: linear layers in place of those of a published network.

A state dict holds the weights of linear layers and batch normalisations, and the names of their
modules. It does not say which activations are between them, nor how the map before them became a
vector. What the names and the shapes leave open is assumed here, and each assumption is a sentence
for the user:

- between two linear layers is one ReLU, unless they are numbered directly one after the other; the
  other modules that the numbers leave room for are taken for dropout, which does nothing;
- the map is averaged to the only grid that fits the first linear layer's width.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from itertools import count, pairwise
from typing import NamedTuple

from gradcam._engine.layers import INPUT
from gradcam._models.architecture import Row
from gradcam._models.places import Found, Place

EPS = 1e-5
"""Of PyTorch's batch normalisations, unless the author chose another."""

_MAX_MODULES = 64

_PARAMETERS = ("weight", "bias", "running_mean", "running_var")


class Module(NamedTuple):
    """A module of a file that has parameters.

    Attributes
    ----------
    name : str
        In the file, without wrappers and without what precedes the network's names.
    places : dict of str to Place
        Its tensors by PyTorch's names of the parameters.
    """

    name: str
    places: dict[str, Place]

    @property
    def op(self) -> str:
        """The operation: "conv", "linear" or "batch_norm"; empty for others."""
        weight = self.places.get("weight")
        if weight is None:
            return ""
        if self.places.keys() <= {"weight", "bias"}:
            return {4: "conv", 2: "linear"}.get(weight.values.ndim, "")
        flat = all(place.values.ndim == 1 for place in self.places.values())
        return "batch_norm" if flat and len(self.places) == len(_PARAMETERS) else ""

    @property
    def inputs(self) -> int:
        """Channels or features that it reads."""
        return int(self.places["weight"].values.shape[0 if self.op == "batch_norm" else 1])

    @property
    def outputs(self) -> int:
        return int(self.places["weight"].values.shape[0])

    def row(self, name: str = "") -> Row:
        """Return its row, with the module's name, or another one beside it."""
        attributes = {"eps": EPS} if self.op == "batch_norm" and not name else {}
        kernel = self.places["weight"].values.shape[2:] if self.op == "conv" else (1, 1)
        own = self.name != INPUT  # the network's input has that name
        return Row(
            name or (self.name if own else f"{self.name}_2"),
            self.op,
            attributes=attributes,
            kernel=(kernel[0], kernel[1]),
            units=self.outputs,
            bias="bias" in self.places,
            torchvision=self.name if own else "",
            stored={} if own else {"torchvision": self.name},
        )

    def found(self) -> Found:
        """Return its tensors as those of a layer of its name."""
        return {(self.name, parameter): place for parameter, place in self.places.items()}


def modules(places: Iterable[Place], prefix: str) -> list[Module] | None:
    """Return the modules that the tensors belong to, in order; None if one has another form.

    Parameters
    ----------
    places : iterable of Place
    prefix : str
        What precedes the network's names: as far as these share it, it is removed.
    """
    found: dict[str, Module] = {}
    for place in places:
        name, _, parameter = place.plain.rpartition(".")
        name = without_shared(name, prefix)
        if parameter not in _PARAMETERS or not name:
            return None
        found.setdefault(name, Module(name, {})).places[parameter] = place
    if not all(module.op for module in found.values()):
        return None
    return list(found.values())


def without_shared(name: str, prefix: str) -> str:
    """Return a module's name without the first parts that `prefix` has too."""
    parts, others = name.split("."), prefix.split(".")[:-1]
    shared = 0
    while shared < min(len(parts) - 1, len(others)) and parts[shared] == others[shared]:
        shared += 1
    return ".".join(parts[shared:])


def by_number(module: Module) -> list[tuple[bool, int, str]]:
    """Return a key to sort modules by their names, with numbers in them as numbers."""
    return [(part.isdecimal(), int(part) if part.isdecimal() else 0, part)
            for part in module.name[:_MAX_NAME].split(".")]  # fmt: skip


_MAX_NAME = 200
"""Characters of a name that are compared: a number in it has at most as many digits."""


class Head(NamedTuple):
    """The layers of a head.

    Attributes
    ----------
    rows : tuple of Row
    found : dict
        Their tensors.
    assumed : tuple of str
        Sentences about what the file does not say.
    """

    rows: tuple[Row, ...]
    found: Found
    assumed: tuple[str, ...]


def head(parts: Sequence[Module]) -> Head | None:
    """Return the head that modules form; None if they form none.

    They are linear layers, with batch normalisations anywhere before the last; each takes what the
    one before it gives. They are in the order of the file, or else in that of their names.
    """
    if not 1 <= len(parts) <= _MAX_MODULES:
        return None
    if any(module.op not in ("linear", "batch_norm") for module in parts):
        return None
    for order in (list(parts), sorted(parts, key=by_number)):
        joined = all(before.outputs == after.inputs for before, after in pairwise(order))
        if joined and order[-1].op == "linear":
            return _head(order)
    return None


def _head(parts: list[Module]) -> Head:
    rows: list[Row] = []
    found: Found = {}
    linear = [number for number, module in enumerate(parts) if module.op == "linear"]
    places = {
        _activation(parts[first : second + 1], first): parts[first].name
        for first, second in pairwise(linear)
    }
    used = {module.name for module in parts}
    for number, module in enumerate(parts):
        rows.append(module.row())
        found |= module.found()
        if number in places:
            rows.append(Row(unique(f"{module.name}.relu", used), "relu"))
    rectified = [name for number, name in places.items() if number >= 0]
    direct = [name for number, name in places.items() if number < 0]
    gaps = [
        before.name
        for before, after in pairwise(parts[: linear[0] + 1])
        if room(before.name, after.name)
    ]
    return Head(tuple(rows), found, (*_sentences(rectified, direct), *_gap(gaps)))


def unique(name: str, used: Collection[str]) -> str:
    """Return a name that is not used, and begins with this one."""
    names = (name if number == 1 else f"{name}_{number}" for number in count(1))
    return next(each for each in names if each not in used)


def _activation(parts: list[Module], first: int) -> int:
    """Return the number of the module that a ReLU follows; negative if there is no room for one.

    `parts` are two linear layers and the normalisations between them, `first` is the number of the
    first one.
    """
    rooms = [room(before.name, after.name) for before, after in pairwise(parts)]
    if True in rooms:
        return first + rooms.index(True)
    unknown = [number for number, each in enumerate(rooms) if each is None]
    return first + unknown[-1] if unknown else -1 - first


def room(first: str, second: str) -> bool | None:
    """Return whether modules without parameters fit between two; None if the names do not say."""
    before, after = first.split("."), second.split(".")
    while before and after and before[0] == after[0]:
        before, after = before[1:], after[1:]
    if len(before) != 1 or not after or not (before[0] + after[0]).isdecimal():
        return None
    numbers = [int(part) if part.isdecimal() and len(part) < 10 else 1 for part in after]
    return numbers[0] - int(before[0][:9]) > 1 or any(numbers[1:])


def _sentences(rectified: list[str], direct: list[str]) -> Iterable[str]:
    if rectified:
        yield (
            f"The file does not say what follows the linear layer{_s(rectified)} "
            f"{_named(rectified)}: a ReLU is assumed."
        )
    if direct:
        yield (
            f"The file names no module between the linear layer{_s(direct)} {_named(direct)} and "
            f"the next: no activation is assumed there."
        )


def _gap(norms: list[str]) -> Iterable[str]:
    """Say that there may be layers between the first normalisations and the first linear layer."""
    if norms:
        yield (
            f"The file does not say what follows the batch normalisation{_s(norms)} "
            f"{_named(norms)}: dropout, which does nothing, is assumed, and no activation."
        )


def _s(names: list[str]) -> str:
    return "s" if len(names) > 1 else ""


def _named(names: list[str]) -> str:
    shown = ", ".join(names[:4])
    return shown if len(names) <= 4 else f"{shown} and {len(names) - 4} more"


# ------------------------------------------------------------------------ from the map to a vector


_GRID = "adaptive_average_pool"


class Pooling(NamedTuple):
    """How the last map becomes a vector: the rows, and what was assumed."""

    rows: tuple[Row, ...]
    assumed: tuple[str, ...]


def pooling(width: int, channels: int, usual: Row, before: str) -> Pooling | None:
    """Return how a map of so many channels becomes a vector of `width`; None if nothing fits.

    Parameters
    ----------
    width : int
        What the first layer of the head takes.
    channels : int
        Of the last map.
    usual : Row
        The pooling of the published network.
    before : str
        The row of the last map.
    """
    size = usual.attributes.get("size", 1)
    assert isinstance(size, int)
    if width == channels * size * size:
        return Pooling((usual,), ())
    if width == 2 * channels:
        rows = (
            Row(f"{usual.name}.max", "global_max_pool", (before,)),
            Row(f"{usual.name}.average", "global_average_pool", (before,)),
            Row(usual.name, "concatenate", (f"{usual.name}.max", f"{usual.name}.average")),
        )
        return Pooling(rows, (
            "The first layer of the head takes two values for each channel of the last map: the "
            "maximum and then the mean are assumed, as in fastai.",
        ))  # fmt: skip
    side = math.isqrt(width // channels) if channels else 0
    if side == 0 or width != channels * side * side:
        return None
    op, attributes = ("global_average_pool", {}) if side == 1 else (_GRID, {"size": side})
    row = Row(usual.name, op, attributes=attributes, torchvision=usual.torchvision)
    return Pooling((row,), (
        f"The first layer of the head takes a map of {side} x {side}: maps of other sizes are "
        f"averaged to that.",
    ))  # fmt: skip
