"""What a command line asks to be explained, and by which methods with which options."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

import gradcam
from gradcam._cli import records, terminal
from gradcam._registry import Method
from gradcam._results.objectives import Class, Difference, Objective, Probability, Unit

if TYPE_CHECKING:
    from gradcam._engine.network import Network
    from gradcam._results.objectives import On

PROGRESS = "progress"
"""The option of methods that can show a progress bar."""


@dataclass(frozen=True)
class Asked:
    """What is to be explained of each picture.

    Attributes
    ----------
    classes : tuple of int
    units : tuple of Unit
    against : int or None
        A class that is subtracted from each other class.
    on : "score" or "probability"
        What a class stands for.
    """

    classes: tuple[int, ...] = ()
    units: tuple[Unit, ...] = ()
    against: int | None = None
    on: On = "score"

    def __bool__(self) -> bool:
        """Whether it is something without the most probable classes of a picture."""
        return bool(self.classes or (self.units and self.against is None))

    def targets(self, top: Iterable[int] = ()) -> list[Objective]:
        """Return what is explained: the classes asked for, those of `top` besides, the units."""
        indices = dict.fromkeys([*self.classes, *top])
        kind = Probability if self.on == "probability" else Class
        if self.against is None:
            return [*map(kind, indices), *self.units]
        minus = kind(self.against)
        of = [index for index in indices if index != self.against]
        if not of and not self.units:
            raise ValueError(
                "the most probable class is that of --against: name another one with --class, or "
                "explain more classes with --top"
            )
        return [*(Difference(kind(index), minus) for index in of), *self.units]

    def options(self) -> dict[str, object]:
        """Return what the outputs depend on."""
        units = [f"{unit.layer}:{unit.index}:{unit.position}" for unit in self.units]
        return {
            "--class": self.classes,
            "--unit": units,
            "--against": self.against,
            "--on": self.on,
        }


def read(
    network: Network, classes: Sequence[str], units: Sequence[str], against: str | None, on: On
) -> Asked:
    """Return what the options ask for, having found all of it in the network.

    Raises
    ------
    click.UsageError, ValueError, IndexError
        If a class or a unit does not exist, or a class is compared with itself.
    """
    minus = None if against is None else records.asked(network.labels, [against])[0]
    asked = tuple(records.asked(network.labels, classes))
    if minus is not None and minus in asked:
        raise click.UsageError(f"--against {against}: a class cannot be explained against itself.")
    return Asked(asked, tuple(_unit(network, text) for text in dict.fromkeys(units)), minus, on)


_UNIT = re.compile(r"(?P<layer>.+?):(?P<index>\d+)(?::(?P<row>\d+),(?P<column>\d+))?")


def _unit(network: Network, text: str) -> Unit:
    """Read ``LAYER:INDEX`` or ``LAYER:INDEX:ROW,COLUMN``."""
    found = _UNIT.fullmatch(text)
    if found is None:
        raise click.UsageError(
            f"--unit {text}: expected LAYER:INDEX, or LAYER:INDEX:ROW,COLUMN for one position of a "
            f"channel."
        )
    layer = network.names(found["layer"])[0]
    row, column = found["row"], found["column"]
    position = None if row is None else (int(row), int(column))
    shape = records.shapes(network)[layer]
    place = (int(found["index"]), *(position or ()))
    if len(place) > len(shape):
        raise click.UsageError(f"--unit {text}: {layer} has no positions, only units.")
    if any(one >= size for one, size in zip(place, shape, strict=False)):
        raise click.UsageError(
            f"--unit {text}: {layer} has the shape {terminal.shape_text(shape)}, and everything is "
            f"counted from 0."
        )
    return Unit(layer, place[0], position)


def layers(text: str | None) -> str | list[str] | None:
    """Return the layer of --layer, or the list of several, separated by commas."""
    return text if text is None or "," not in text else listed(text)


def check_layer(
    network: Network, layer: str | None, methods: Sequence[str], option: str = "--layer"
) -> None:
    """Refuse a layer that nothing can be shown of, before the first picture is read."""
    if layer is None:
        return
    if not any(gradcam.METHODS[name].takes_layer for name in methods):
        *others, last = (name for name, method in gradcam.METHODS.items() if method.takes_layer)
        raise click.UsageError(
            f"{option} has no effect on {', '.join(methods)}: it goes with --method "
            f"{', '.join(others)} or {last}."
        )
    names = layer.split(",")
    for name in (name.strip() for name in names):
        shape = records.shapes(network)[network.names(name)[0]]
        if len(shape) != 3 or shape[1] * shape[2] == 1:
            raise click.UsageError(
                f"the layer {name} has no spatial map (its shape is {terminal.shape_text(shape)}): "
                f"choose a convolution, ReLU or pooling before it, for example "
                f"{network.target_layer}."
            )
    wrong = [name for name in methods if gradcam.METHODS[name].takes_layer]
    wrong = [name for name in wrong if gradcam.METHODS[name].view != "map"]
    if len(names) > 1 and wrong:
        raise click.UsageError(
            f"--layer {layer}: the maps of several layers are averaged; {', '.join(wrong)} has no "
            f"map to average."
        )


def listed(text: str) -> list[str]:
    """Return the names in a text that separates them by commas."""
    return [name.strip() for name in text.split(",") if name.strip()]


def with_options(names: Sequence[str], given: Mapping[str, str]) -> tuple[Method, ...]:
    """Return the methods with the options that each of them has.

    Raises
    ------
    click.UsageError
        If no method has one of the options, or a value cannot be read.
    """
    methods = [gradcam.METHODS[name] for name in names]
    for name in given:
        if not any(name in each.options for each in methods):
            known = (f"{each.name}: {', '.join(each.options) or 'none'}" for each in methods)
            raise click.UsageError(
                f"--option {name}: none of the methods has it.  Their options are "
                f"{'; '.join(known)}.  gradcam methods lists those of all methods."
            )
    try:
        return tuple(_with_options(each, given) for each in methods)
    except ValueError as error:
        raise click.UsageError(f"--option: {error}.") from None


def _with_options(method: Method, given: Mapping[str, str]) -> Method:
    values = {
        name: method.read_option(name, given[name]) for name in given if name in method.options
    }
    return method.with_options(title=None, **values) if values else method


def with_bars(
    methods: Sequence[Method], given: Mapping[str, str], pictures: Sequence[Path]
) -> tuple[Method, ...]:
    """Let methods show their progress, if there is a single picture and someone can see it."""
    alone = len(pictures) == 1 and not pictures[0].is_dir()
    if not alone or PROGRESS in given or not terminal.is_seen():
        return tuple(methods)
    return tuple(
        each.with_options(title=each.title, progress=True) if PROGRESS in each.options else each
        for each in methods
    )
