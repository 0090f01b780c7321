"""Measure the captioner on unseen scenes: what it says, and what its maps show.

    python -m gradcam.captioning evaluate

``captioner-evaluation.json`` holds the figures of the shipped weights, as ``--out`` writes them.
All scenes are for tests: no scene, and no layout of one, occurs in training; the sentences of the
perplexity do not occur there either.
"""

from __future__ import annotations

import math
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gradcam._engine.tape import Tape
from gradcam._files import file_digest
from gradcam._methods.passes import positive
from gradcam._progress import Advance, progress_bar
from gradcam._results.explanation import no_flat_warnings
from gradcam.captioning._caption import Caption
from gradcam.captioning._captioner import Captioner, model
from gradcam.captioning._evaluation import (
    Evaluation,
    Example,
    Perplexity,
    Said,
    geometric_mean_of,
    mean_of,
    means_of,
    share_of,
)
from gradcam.captioning._judged import judged
from gradcam.captioning._measuring import LARGEST, energies, minus_logs, pointed, ratios
from gradcam.captioning._table import to_text
from gradcam.pictograms._captions import captions
from gradcam.pictograms._commands import new_parser, report
from gradcam.pictograms._described import Described
from gradcam.pictograms._described_maps import TESTS, numbered_scene

WEIGHTS = Path(__file__).parent / "captioner.safetensors"

_SIDE = 224
_BEAM = 5
_SENTENCES = 3
"""Unseen sentences for each scene."""
_EXAMPLES = 5
_SEED = 0x43
_ROUNDING = 1e-4
"""Log-probabilities that differ by less are equal but for rounding."""


def evaluate(
    scenes: int = 500, *, captioner: Captioner | None = None, advance: Advance | None = None
) -> Evaluation:
    """Measure a captioner, by default the shipped one.

    Parameters
    ----------
    scenes : int
        1 or more.
    captioner : Captioner, optional
    advance : function of a str, optional
        Is called after each scene.
    """
    measured = Measured(model() if captioner is None else captioner)
    with no_flat_warnings():
        for number in range(positive("scenes", scenes)):
            measured.add(number)
            if advance is not None:
                advance(f"scene {number}")
    weights = file_digest(WEIGHTS, "sha256") if captioner is None else ""
    return measured.evaluation(weights)


class Measured:
    """All that was measured so far, scene by scene."""

    def __init__(self, captioner: Captioner) -> None:
        self.captioner = captioner
        self.scenes: list[Described] = []
        self.greedy: list[Caption] = []
        self.beam: list[Caption] = []
        self.before: Tape | None = None
        self.sentences = 0
        self.own: list[float] = []
        self.other: list[float] = []
        self.pointing: dict[str, list[float]] = defaultdict(list)
        self.energy: dict[str, list[float]] = defaultdict(list)
        self.area: dict[str, list[float]] = defaultdict(list)
        self.ratios: dict[str, list[list[float]]] = defaultdict(list)
        self.alone: dict[str, list[list[float]]] = defaultdict(list)

    def add(self, number: int) -> None:
        """Measure one more scene."""
        scene = numbered_scene(number, TESTS, _SIDE)
        tape = self.captioner.network.forward(scene.picture)
        greedy = self.captioner.describe(tape)
        self.scenes.append(scene)
        self.greedy.append(greedy)
        self.beam.append(self.captioner.describe(tape, beam=_BEAM))
        self._read_sentences(number, tape, scene)
        self._look_at_maps(tape, greedy, scene)
        self.before = tape

    def _read_sentences(self, number: int, tape: Tape, scene: Described) -> None:
        """Add the words of unseen sentences, for this picture and for the one before."""
        rng = np.random.default_rng([number, _SEED])
        sentences = captions(scene, rng, _SENTENCES, tests=True)
        self.sentences += len(sentences)
        for sentence in sentences:
            self.own += minus_logs(self.captioner, tape, sentence)
            if self.before is not None:
                self.other += minus_logs(self.captioner, self.before, sentence)

    def _look_at_maps(self, tape: Tape, caption: Caption, scene: Described) -> None:
        """Add what the maps of a scene show."""
        points = pointed(tape, caption, scene)
        if points:
            hits, areas = zip(*points, strict=True)
            self.pointing["on the object"].append(float(np.mean(hits)))
            self.pointing["chance"].append(float(np.mean(areas)))
        parts = energies(tape, caption, scene)
        if parts["mentioned"].area and parts["unmentioned"].area:
            for name, part in parts.items():
                self.energy[name].append(part.energy)
                self.area[name].append(part.area)
        several = len(scene.groups) > 1
        for name, each in ratios(self.captioner, tape, scene).items():
            (self.ratios if several else self.alone)[name].append(each)

    def evaluation(self, weights: str) -> Evaluation:
        """Return the figures."""
        raised = sum(
            beam.log_probability + (beam.end or 0)
            > greedy.log_probability + (greedy.end or 0) + _ROUNDING
            for beam, greedy in zip(self.beam, self.greedy, strict=True)
        )
        return Evaluation(
            weights=weights,
            scenes=len(self.scenes),
            greedy=self._said(self.greedy),
            beam=self._said(self.beam),
            beam_raises=share_of(raised, len(self.scenes)),
            perplexity=self._perplexity(),
            pointing=means_of(self.pointing),
            energy=means_of(self.energy),
            area=means_of(self.area),
            ratios={name: mean_of(_means(each)) for name, each in self.ratios.items()},
            geometric={
                name: geometric_mean_of([_geometric(ratios) for ratios in each])
                for name, each in self.ratios.items()
            },
            alone={name: mean_of(_means(each)) for name, each in self.alone.items()},
            largest_ratios={
                name: sum(ratio == LARGEST for each in of_scenes for ratio in each)
                for name, of_scenes in self.ratios.items()
            },
            examples=self._examples(),
        )

    def _said(self, said: Sequence[Caption]) -> Said:
        """Return what is true of captions, one for each scene."""
        each = [judged(s, c.words) for s, c in zip(self.scenes, said, strict=True)]
        named, there = sum(one.named for one in each), sum(one.there for one in each)
        relations, groups = sum(one.relations for one in each), sum(one.groups for one in each)
        return Said(
            there=share_of(there, named),
            not_there=share_of(named - there, named),
            right=share_of(sum(one.right for one in each), named),
            relations=share_of(sum(one.relations_right for one in each), relations),
            mentioned=share_of(sum(one.mentioned for one in each), groups),
            grammar=share_of(sum(one.follows_grammar for one in each), len(each)),
            nouns=mean_of([one.named for one in each]),
            log_probability=mean_of([caption.log_probability for caption in said]),
        )

    def _perplexity(self) -> Perplexity:
        own, other = (
            math.exp(float(np.mean(each))) if each else math.nan for each in (self.own, self.other)
        )
        return Perplexity(sentences=self.sentences, own=own, other=other)

    def _examples(self) -> list[Example]:
        return [
            Example(scene=n, caption=each.text, log_probability=each.log_probability)
            for n, each in enumerate(self.greedy[:_EXAMPLES])
        ]


def _means(of_scenes: Sequence[Sequence[float]]) -> list[float]:
    """Return the mean of each scene's values."""
    return [float(np.mean(each)) for each in of_scenes]


def _geometric(values: Sequence[float]) -> float:
    """Return the geometric mean of values above 0."""
    return math.exp(float(np.mean(np.log(values))))


def main(arguments: Sequence[str]) -> None:
    """Print the tables; write the figures as JSON."""
    from rich.console import Console  # slow to import

    description = "Measure the captioner and its maps on unseen scenes."
    parser = new_parser("captioning evaluate", description)
    parser.add_argument("--scenes", type=int, default=500, help="how many are measured")
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    options = parser.parse_args(arguments)
    if options.scenes < 1:
        parser.error(f"--scenes: expected 1 or more, got {options.scenes}")
    with progress_bar(options.scenes, Console(file=sys.stderr)) as advance:
        found = evaluate(options.scenes, advance=advance)
    report(found, to_text(found), options.out)
