"""What ``gradcam explain`` and ``compare`` do with a batch of pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import gradcam
from gradcam._cli import records
from gradcam._cli.asked import Asked, layers, listed
from gradcam._cli.many import Finish, Saved, single
from gradcam._cli.maps import Maps
from gradcam._cli.outputs import save_figure
from gradcam._engine.tape import BatchTape, Tape
from gradcam._labels.classes import top_indices
from gradcam._registry import Method

if TYPE_CHECKING:
    from gradcam._cli.records import Prediction
    from gradcam._results.explanation import Explanation

Scale = Literal["column", "map"]


@dataclass(frozen=True)
class Explaining:
    """What ``gradcam explain`` explains, and how it is saved.

    Attributes
    ----------
    asked : Asked
        What was asked for.
    count : int
        How many of the most probable classes are explained besides.
    maps : Maps
    """

    asked: Asked
    count: int
    maps: Maps

    def options(self) -> dict[str, object]:
        """Return everything that the outputs depend on, besides the network."""
        return {
            "command": "explain",
            **self.asked.options(),
            "--top": self.count,
            **self.maps.options(),
        }

    def work(self, tape: BatchTape, names: Sequence[str]) -> list[Finish]:
        """Explain a batch by all methods; return what saves each picture's explanations."""
        top = max(self.count, 5)
        predictions = [records.predictions(tape, n, top) for n in range(len(tape))]
        targets = [
            self.asked.targets(each["index"] for each in found[: self.count])
            for found in predictions
        ]
        found = self.maps.explain(tape, targets)
        return [partial(self._save, *each) for each in zip(names, predictions, found, strict=True)]

    def _save(
        self, name: str, predictions: list[Prediction], explanations: Sequence[Explanation]
    ) -> Saved:
        """Save the explanations of one picture."""
        explained = [(found.label, found.target) for found in explanations]
        slugs = records.slugs(explained)
        made, written = self.maps.save(name, explanations, [slugs[each] for each in explained])
        return {"predictions": predictions, "explanations": made}, written


@dataclass(frozen=True)
class Comparing:
    """What ``gradcam compare`` draws; the attributes are those of :func:`gradcam.compare`.

    `asked` is as of :class:`Explaining`, `given` as of :class:`Maps`.
    """

    asked: Asked
    top: int
    methods: tuple[Method, ...]
    given: Mapping[str, str]
    layer: str | None
    layers: str | None
    out: Path
    cmap: str
    scale: Scale
    dpi: int

    def options(self) -> dict[str, object]:
        """Return everything that the outputs depend on, besides the network."""
        return {
            "command": "compare",
            **self.asked.options(),
            "--top": self.top,
            "--method": [method.name for method in self.methods],
            "--option": self.given,
            "--layer": self.layer,
            "--layers": self.layers,
            "--cmap": self.cmap,
            "--scale": self.scale,
            "--dpi": self.dpi,
        }

    def work(self, tape: BatchTape, names: Sequence[str]) -> list[Finish]:
        """Return what draws the figure of a single picture."""
        return [partial(self._save, single(tape), *names)]

    def _save(self, tape: Tape, name: str) -> Saved:
        top = [] if self.asked else top_indices(tape.scores[0], self.top)
        figure = gradcam.compare(
            tape,
            self.asked.targets(top),
            methods=self.methods,
            layer=layers(self.layer),
            layers=None if self.layers is None else listed(self.layers),
            cmap=self.cmap,
            scale=self.scale,
        )
        file = save_figure(figure, self.out / f"{name}-compare.png", self.dpi)
        return {"file": str(file)}, [file]
