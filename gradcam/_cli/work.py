"""What ``gradcam explain`` and ``compare`` do with a batch of pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import gradcam
from gradcam._cli import records
from gradcam._cli.many import Finish, Saved
from gradcam._engine.tape import BatchTape, Tape
from gradcam._files import atomic_write, fitting
from gradcam._pictures.encoding import ENCODERS

if TYPE_CHECKING:
    from gradcam._cli.records import Prediction
    from gradcam._engine.network import Network
    from gradcam._results.explanation import Explanation
    from gradcam._results.objectives import On

Scale = Literal["column", "map"]
Format = Literal["png", "jpeg", "webp", "npz"]

_SUFFIXES: dict[Format, str] = {"png": ".png", "jpeg": ".jpg", "webp": ".webp", "npz": ".npz"}


@dataclass(frozen=True)
class Explaining:
    """What ``gradcam explain`` explains, and how it is saved.

    Attributes
    ----------
    asked : tuple of int
        The classes that were asked for.
    count : int
        How many of the most probable classes are explained besides.
    """

    network: Network
    asked: tuple[int, ...]
    count: int
    methods: tuple[str, ...]
    layer: str | None
    on: On
    out: Path
    formats: tuple[Format, ...]
    cmap: str
    caption: bool

    def options(self) -> dict[str, object]:
        """Return everything that the outputs depend on, besides the network."""
        return {
            "command": "explain",
            "--class": self.asked,
            "--top": self.count,
            "--method": self.methods,
            "--layer": self.layer,
            "--on": self.on,
            "--format": self.formats,
            "--cmap": self.cmap,
            "--caption": self.caption,
        }

    def work(self, tape: BatchTape, names: Sequence[str]) -> list[Finish]:
        """Explain a batch by all methods; return what saves each picture's explanations."""
        top = max(self.count, 5)
        predictions = [records.predictions(tape, n, top) for n in range(len(tape))]
        targets = [
            list(dict.fromkeys([*self.asked, *(each["index"] for each in found[: self.count])]))
            for found in predictions
        ]
        found = [
            tape.explain(
                method,
                targets,
                layer=self.layer if gradcam.METHODS[method].takes_layer else None,
                on=self.on,
            )
            for method in self.methods
        ]
        return [
            partial(self._save, name, predictions[n], [each for of in found for each in of[n]])
            for n, name in enumerate(names)
        ]

    def _save(
        self, name: str, predictions: list[Prediction], explanations: Sequence[Explanation]
    ) -> Saved:
        """Save the explanations of one picture."""
        labels = self.network.labels
        indices = [found.target.index for found in explanations if found.target is not None]
        slugs = records.slugs(labels, list(dict.fromkeys(indices)))
        made: list[dict[str, object]] = []
        written: list[Path] = []
        for index, found in zip(indices, explanations, strict=True):
            files = self._write(found, f"{name}-{found.method}-{slugs[index]}")
            made.append(records.explanation(found, labels[index], files))
            written += files.values()
        return {"predictions": predictions, "explanations": made}, written

    def _write(self, found: Explanation, name: str) -> dict[str, Path]:
        """Write one explanation in all formats."""
        path = self.out / name
        files = {
            kind: path.with_name(fitting(path.name + _SUFFIXES[kind])) for kind in self.formats
        }
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


@dataclass(frozen=True)
class Comparing:
    """What ``gradcam compare`` draws; the attributes are those of :func:`gradcam.compare`."""

    asked: tuple[int, ...]
    top: int
    methods: tuple[str, ...]
    layer: str | None
    on: On
    out: Path
    cmap: str
    scale: Scale
    dpi: int

    def options(self) -> dict[str, object]:
        """Return everything that the outputs depend on, besides the network."""
        return {
            "command": "compare",
            "--class": self.asked,
            "--top": self.top,
            "--method": self.methods,
            "--layer": self.layer,
            "--on": self.on,
            "--cmap": self.cmap,
            "--scale": self.scale,
            "--dpi": self.dpi,
        }

    def work(self, tape: BatchTape, names: Sequence[str]) -> list[Finish]:
        """Return what draws the figure of a single picture."""
        single = Tape(tape.graph, tape.core, tape.input, tape.pictures, tape.geometries)
        return [partial(self._save, single, *names)]

    def _save(self, tape: Tape, name: str) -> Saved:
        from gradcam import plot

        figure = gradcam.compare(
            tape,
            self.asked or None,
            top=self.top,
            methods=self.methods,
            layer=self.layer,
            on=self.on,
            cmap=self.cmap,
            scale=self.scale,
        )
        path = self.out / f"{name}-compare.png"
        file = path.with_name(fitting(path.name))
        file.parent.mkdir(parents=True, exist_ok=True)
        plot.save(figure, file, dpi=self.dpi)
        return {"file": str(file)}, [file]
