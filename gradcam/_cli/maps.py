"""The maps of pictures: which methods make them, and the files that they are saved in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from gradcam._cli import records
from gradcam._cli.asked import layers, with_bars, with_options
from gradcam._files import atomic_write, fitting
from gradcam._pictures.encoding import ENCODERS
from gradcam._registry import Method

if TYPE_CHECKING:
    from gradcam._engine.tape import BatchTape
    from gradcam._results.explanation import Explanation
    from gradcam._results.objectives import Objective

Format = Literal["png", "jpeg", "webp", "npz"]

_SUFFIXES: dict[Format, str] = {"png": ".png", "jpeg": ".jpg", "webp": ".webp", "npz": ".npz"}


@dataclass(frozen=True)
class Maps:
    """How a command explains, and how it saves the maps.

    Attributes
    ----------
    methods : tuple of Method
        With their options.
    given : mapping of str to str
        The options of methods, as they were written.
    """

    methods: tuple[Method, ...]
    given: Mapping[str, str]
    layer: str | None
    out: Path
    formats: tuple[Format, ...] = ("png",)
    cmap: str = "inferno"
    caption: bool = False

    def options(self) -> dict[str, object]:
        """Return everything that the maps depend on, besides the network and what is explained."""
        return {
            "--method": [method.name for method in self.methods],
            "--option": self.given,
            "--layer": self.layer,
            "--format": self.formats,
            "--cmap": self.cmap,
            "--caption": self.caption,
        }

    @property
    def ends(self) -> list[str]:
        """How the names of the files for a picture go on."""
        suffixes = [_SUFFIXES[each] for each in self.formats]
        return [f"-{method.name}-*{suffix}" for method in self.methods for suffix in suffixes]

    def explain(
        self, tape: BatchTape, targets: Sequence[Sequence[Objective]]
    ) -> list[list[Explanation]]:
        """Explain the targets of each picture of a batch, by one method after the other."""
        layer = layers(self.layer)
        found = [
            tape.explain(method, targets, layer=layer if method.takes_layer else None)
            for method in self.methods
        ]
        return [[each for of in found for each in of[n]] for n in range(len(targets))]

    def save(
        self, name: str, explanations: Sequence[Explanation], slugs: Sequence[str]
    ) -> tuple[list[dict[str, object]], list[Path]]:
        """Save the maps of one picture; return their records, and the files.

        Parameters
        ----------
        name : str
            The picture's, as the files' names begin.
        explanations : sequence of Explanation
            As :meth:`explain` returns them.
        slugs : sequence of str
            How the name of each map's files ends, after its method.
        """
        made: list[dict[str, object]] = []
        written: list[Path] = []
        for found, slug in zip(explanations, slugs, strict=True):
            files = self._write(found, self.out / f"{name}-{found.method}-{slug}")
            made.append(records.explanation(found, files))
            written += files.values()
        return made, written

    def _write(self, found: Explanation, path: Path) -> dict[str, Path]:
        """Write one explanation in all formats, as files called `path` with their suffixes."""
        named = {kind: path.name + _SUFFIXES[kind] for kind in self.formats}
        files = {kind: path.with_name(fitting(name)) for kind, name in named.items()}
        pixels = None
        if self.formats != ("npz",):
            pixels = found.render(self.cmap, caption=self.caption)
        for kind, file in files.items():
            file.parent.mkdir(parents=True, exist_ok=True)
            if kind == "npz" or pixels is None:
                found.save(file, map=False)
            else:
                with atomic_write(file) as stream:
                    stream.write(ENCODERS[file.suffix](pixels))
        return {str(kind): file for kind, file in files.items()}


def maps_of(
    pictures: Sequence[Path],
    methods: Sequence[str],
    given: Mapping[str, str],
    layer: str | None,
    out: Path,
    formats: tuple[Format, ...],
    cmap: str,
    caption: bool,
) -> Maps:
    """Return what the options ask for; refuse an unknown colour map, method's option or value."""
    from gradcam import plot

    plot.colour(0, cmap)
    chosen = with_bars(with_options(methods, given), given, pictures)
    return Maps(chosen, given, layer, out, formats, cmap, caption)
