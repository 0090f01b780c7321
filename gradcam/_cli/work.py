"""What ``gradcam explain`` and ``compare`` do with a batch of pictures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import gradcam
from gradcam._cli import records
from gradcam._cli.asked import Asked, layers, listed
from gradcam._cli.many import Finish, Saved, single
from gradcam._cli.outputs import save_figure
from gradcam._engine.tape import BatchTape, Tape
from gradcam._files import atomic_write, fitting
from gradcam._labels.classes import top_indices
from gradcam._pictures.encoding import ENCODERS
from gradcam._registry import Method

if TYPE_CHECKING:
    from gradcam._cli.records import Prediction
    from gradcam._engine.network import Network
    from gradcam._results.explanation import Explanation

Scale = Literal["column", "map"]
Format = Literal["png", "jpeg", "webp", "npz"]

_SUFFIXES: dict[Format, str] = {"png": ".png", "jpeg": ".jpg", "webp": ".webp", "npz": ".npz"}


@dataclass(frozen=True)
class Explaining:
    """What ``gradcam explain`` explains, and how it is saved.

    Attributes
    ----------
    asked : Asked
        What was asked for.
    count : int
        How many of the most probable classes are explained besides.
    methods : tuple of Method
        With their options.
    given : mapping of str to str
        The options of methods, as they were written.
    """

    network: Network
    asked: Asked
    count: int
    methods: tuple[Method, ...]
    given: Mapping[str, str]
    layer: str | None
    out: Path
    formats: tuple[Format, ...]
    cmap: str
    caption: bool

    def options(self) -> dict[str, object]:
        """Return everything that the outputs depend on, besides the network."""
        return {
            "command": "explain",
            **self.asked.options(),
            "--top": self.count,
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
        return ends_of(self.methods, self.formats)

    def work(self, tape: BatchTape, names: Sequence[str]) -> list[Finish]:
        """Explain a batch by all methods; return what saves each picture's explanations."""
        top = max(self.count, 5)
        predictions = [records.predictions(tape, n, top) for n in range(len(tape))]
        targets = [
            self.asked.targets(each["index"] for each in found[: self.count])
            for found in predictions
        ]
        layer = layers(self.layer)
        found = [
            tape.explain(method, targets, layer=layer if method.takes_layer else None)
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
        slugs = records.slugs((found.label, found.target) for found in explanations)
        made: list[dict[str, object]] = []
        written: list[Path] = []
        for found in explanations:
            path = self.out / f"{name}-{found.method}-{slugs[found.label, found.target]}"
            files = write(found, path, self.formats, self.cmap, self.caption)
            made.append(records.explanation(found, files))
            written += files.values()
        return {"predictions": predictions, "explanations": made}, written


def ends_of(methods: Iterable[Method], formats: Iterable[Format]) -> list[str]:
    """Return how the names of files of maps go on, after the picture's name."""
    suffixes = [_SUFFIXES[each] for each in formats]
    return [f"-{method.name}-*{suffix}" for method in methods for suffix in suffixes]


def write(
    found: Explanation, path: Path, formats: tuple[Format, ...], cmap: str, caption: bool
) -> dict[str, Path]:
    """Write one explanation in all formats, as files called `path` with their suffixes."""
    files = {kind: path.with_name(fitting(path.name + _SUFFIXES[kind])) for kind in formats}
    pixels = None if formats == ("npz",) else found.render(cmap, caption=caption)
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
    """What ``gradcam compare`` draws; the attributes are those of :func:`gradcam.compare`.

    `asked` and `given` are as of :class:`Explaining`.
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
