"""The results of a benchmark: times, ratios and tables."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import NamedTuple

from gradcam._profile import Machine
from gradcam._tables import as_text

LEGEND = """\
ms          median of the rounds
ratio       gradcam / program, median of the ratios of the rounds
min, max    minimum and maximum of these ratios
difference  from gradcam's result: maximum, relative to the largest value
*           the fastest setting of a program with several settings"""


class Ratio(NamedTuple):
    """Ratios of two programs' times in the same round."""

    median: float
    minimum: float
    maximum: float


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> Ratio:
    """Return the ratios ours / theirs, where each sequence has one time per round."""
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    return Ratio(statistics.median(ratios), min(ratios), max(ratios))


@dataclass
class Times:
    """The times of one program for one task.

    Attributes
    ----------
    label : str
        The program, as text for the table.
    peer : str
        Its name in ``--against``; "" for gradcam.
    milliseconds : list of float
        One per round.
    setting : str
        The fastest setting, which was used.
    tried : dict of str to float
        Milliseconds of all settings that were tried before the rounds.
    difference : float or None
        Maximum difference from gradcam's result, divided by the largest value.
    """

    label: str
    peer: str
    milliseconds: list[float] = field(default_factory=list)
    setting: str = ""
    tried: dict[str, float] = field(default_factory=dict)
    difference: float | None = None

    @property
    def median(self) -> float:
        return statistics.median(self.milliseconds)


@dataclass
class Result:
    """The times of one task.

    Attributes
    ----------
    task : str
    ours : Times
    others : list of Times
    unavailable : list of str
        Messages about the programs that could not run it.
    pictures : int or None
        Pictures in each run, if the result is their number per second.
    """

    task: str
    ours: Times
    others: list[Times]
    unavailable: list[str] = field(default_factory=list)
    pictures: int | None = None

    def best(self) -> set[int]:
        """Return the positions in `others` of the fastest entry of each peer with several."""
        positions = set()
        for peer in {times.peer for times in self.others}:
            entries = [i for i, times in enumerate(self.others) if times.peer == peer]
            if len(entries) > 1:
                positions.add(min(entries, key=lambda i: self.others[i].median))
        return positions

    def messages(self) -> list[str]:
        """Return the lines below the table."""
        lines = [f"{self.task}: {text}" for text in self.unavailable]
        if self.pictures is not None:
            rates = ", ".join(
                f"{times.label} {1e3 * self.pictures / times.median:.1f}"
                for times in (self.ours, *self.others)
            )
            lines.append(f"{self.task}: {self.pictures} pictures; pictures a second: {rates}")
        return lines

    def as_dict(self) -> dict[str, object]:
        """Return all times as a dict for JSON."""
        best = self.best()
        peers = [times.peer for times in self.others]
        others = [
            {
                **asdict(times),
                "median": times.median,
                "best": i in best or peers.count(times.peer) == 1,
                "ratio": ratio(self.ours.milliseconds, times.milliseconds)._asdict(),
            }
            for i, times in enumerate(self.others)
        ]
        return {
            "task": self.task,
            "gradcam": {**asdict(self.ours), "median": self.ours.median},
            "others": others,
            "unavailable": self.unavailable,
            "pictures": self.pictures,
        }

    def rows(self) -> list[list[str]]:
        """Return the rows of the table, one per program."""
        best, ours = self.best(), self.ours
        rows = [[self.task, "", ours.label, f"{ours.median:.1f}"]]
        rows[0] += ["", "", "", str(len(ours.milliseconds))]
        for i, times in enumerate(self.others):
            ratios = ratio(ours.milliseconds, times.milliseconds)
            setting = f" ({times.setting})" if times.setting else ""
            row = ["", "*" if i in best else "", times.label + setting, f"{times.median:.1f}"]
            row += [f"{value:.2f}" for value in ratios]
            row += ["", "" if times.difference is None else f"{times.difference:.1e}"]
            rows.append(row)
        return rows


class Layers(NamedTuple):
    """The profile of gradcam's layers, as text and as a dict for JSON."""

    text: str
    profile: Mapping[str, object]


@dataclass
class Table:
    """The results of all tasks at one batch size on one number of threads.

    Attributes
    ----------
    batch : int
    machine : Machine
    limit : float
        GFLOP of the direct limit, for the batch.
    results : list of Result
    layers : Layers or None
    """

    batch: int
    machine: Machine
    limit: float
    results: list[Result]
    layers: Layers | None = None

    def __str__(self) -> str:
        import rich.table  # slow to import

        machine = self.machine
        title = (
            f"batch {self.batch}, {machine.threads} thread{'s' * (machine.threads > 1)}, "
            f"{machine.level}; peak {machine.peak:.0f} GFLOP/s, {machine.bandwidth:.1f} GB/s; "
            f"direct limit {self.limit:.1f} GFLOP, {self.limit / machine.peak * 1e3:.1f} ms"
        )
        table = rich.table.Table("task", "", "program", box=None, pad_edge=False)
        for name in ("ms", "ratio", "min", "max", "rounds", "difference"):
            table.add_column(name, justify="right")
        for result in self.results:
            for row in result.rows():
                table.add_row(*row)
        messages = [text for each in self.results for text in each.messages()]
        texts = [title, as_text(table), *messages]
        if self.layers is not None:
            texts += ["", self.layers.text]
        return "\n".join(texts)

    def as_dict(self) -> dict[str, object]:
        """Return everything as a dict for JSON."""
        return {
            "batch": self.batch,
            "threads": self.machine.threads,
            "level": self.machine.level,
            "peak": self.machine.peak,
            "bandwidth": self.machine.bandwidth,
            "direct_limit_gflop": self.limit,
            "results": [result.as_dict() for result in self.results],
            "layers": None if self.layers is None else self.layers.profile,
        }
