"""The results of a benchmark: times, ratios, verdicts and tables.

All statistics are taken over the rounds of one task. The *spread* of times or speeds is the
distance between their quartiles, divided by their median. A ratio gets a verdict, "faster" or
"slower", if

- there are at least :data:`MIN_ROUNDS` rounds,
- in nine of ten rounds the ratio is on the same side of 1 as the median ratio,
- and the quartiles of the ratios are no further apart than their median is from 1.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from gradcam._profile import CONVERTS
from gradcam._tables import as_text
from gradcam.bench import _targets

MIN_ROUNDS = 5
AGREEMENT = 0.9
"""The share of rounds that must be on the same side of 1."""

FASTER, SLOWER, NO_VERDICT = "faster", "slower", "no verdict"

LEGEND = """\
ms          median of the rounds
spread      of these times: distance of the quartiles, relative to the median
ratio       row of gradcam / this row, median of the ratios of the rounds
min, max    minimum and maximum of these ratios
verdict     on gradcam's row; "no verdict": fewer than 5 rounds, or more than one of ten is on the
            other side of 1, or the quartiles of the ratios are further apart than the median is
            from 1
difference  from gradcam's result: maximum, relative to the largest value
*           the fastest setting of a program with several settings
direct limit, reading limit
            the least time for direct convolutions, or the time for reading all fully connected
            weights once (a program may leave out those of inputs that are zero), at the peak or the
            bandwidth that was measured right after gradcam's run of the same round, in processor
            time; gradcam's time is wall time, so other processes can only make gradcam look
            slower"""


class Ratio(NamedTuple):
    """Ratios of two programs' times in the same round."""

    median: float
    minimum: float
    maximum: float
    verdict: str


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> Ratio:
    """Return the ratios ours / theirs, where each sequence has one time per round."""
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    return Ratio(statistics.median(ratios), min(ratios), max(ratios), verdict(ratios))


def verdict(ratios: Sequence[float]) -> str:
    """Return what the ratios of the rounds show: see the top of this module."""
    if len(ratios) < MIN_ROUNDS:
        return NO_VERDICT
    median = statistics.median(ratios)
    agreeing = sum((each - 1) * (median - 1) > 0 for each in ratios)
    low, _, high = statistics.quantiles(ratios, n=4, method="inclusive")
    if agreeing < AGREEMENT * len(ratios) or high - low > abs(median - 1):
        return NO_VERDICT
    return FASTER if median < 1 else SLOWER


def spread(values: Sequence[float]) -> float:
    """Return the distance between the quartiles, divided by the median; 0 for one value."""
    if len(values) < 2:
        return 0.0
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return (high - low) / median


@dataclass(frozen=True)
class Yardstick:
    """The machine, measured with a run of gradcam.

    Attributes
    ----------
    level : str
    threads : int
    peak, bandwidth : float
        GFLOP/s and GB/s, right after the run, in the processor time of the threads.
    seconds : float
        Of the run.
    others, stolen : float or None
        Processor time during the run, in seconds, of all other processes and of other virtual
        machines alone; None where the system does not say it. The system counts in steps of about
        10 ms, so that only sums over rounds are of use.
    """

    level: str
    threads: int
    peak: float
    bandwidth: float
    seconds: float
    others: float | None
    stolen: float | None


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

    def cells(self) -> list[str]:
        """Return the program, its time and the spread as text."""
        setting = f" ({self.setting})" if self.setting else ""
        return [self.label + setting, f"{self.median:.1f}", f"{spread(self.milliseconds):.0%}"]


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
    yardsticks : list of Yardstick
        One per round; empty for programs that are started anew.
    """

    task: str
    ours: Times
    others: list[Times]
    unavailable: list[str] = field(default_factory=list)
    pictures: int | None = None
    yardsticks: list[Yardstick] = field(default_factory=list)

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
            "yardsticks": [asdict(each) for each in self.yardsticks],
        }

    def rows(self) -> list[list[str]]:
        """Return the rows of the table, one per program."""
        best, ours = self.best(), self.ours
        rows = [[self.task, "", *ours.cells(), *[""] * 4, str(len(ours.milliseconds))]]
        for i, times in enumerate(self.others):
            ratios = ratio(ours.milliseconds, times.milliseconds)
            row = ["", "*" if i in best else "", *times.cells()]
            row += [*(f"{value:.2f}" for value in ratios[:3]), ratios.verdict]
            row += ["", "" if times.difference is None else f"{times.difference:.1e}"]
            rows.append(row)
        return rows


class Layers(NamedTuple):
    """The profile of gradcam's layers, as text ("": not shown) and as a dict for JSON."""

    text: str
    profile: Mapping[str, Any]

    def algorithms(self) -> list[str]:
        """Return which algorithms ran in each phase, and which layers converted maps."""
        rows = self.profile["rows"]
        lines = []
        for phase in dict.fromkeys(row["phase"] for row in rows):
            ran = [row for row in rows if row["phase"] == phase]
            total = sum(row["milliseconds"] for row in ran)
            groups: dict[str, list[float]] = {}
            for row in ran:
                name = row["algorithm"].removesuffix(CONVERTS).strip() or row["operation"]
                groups.setdefault(name, []).append(row["milliseconds"])
            texts = [
                f"{name} {len(times)} ({sum(times) / total:.0%})"
                for name, times in sorted(groups.items(), key=lambda item: -sum(item[1]))
            ]
            converting = [row["layer"] for row in ran if row["algorithm"].endswith(CONVERTS)]
            lines.append(f"algorithms, {phase}: steps (share of time): {', '.join(texts)}")
            lines.append(f"maps converted, {phase}: {', '.join(converting) or 'none'}")
        return lines


@dataclass
class Table:
    """The results of all tasks at one batch size on one number of threads.

    Attributes
    ----------
    network : str
        The name of its constructor.
    batch : int
    threads : int
    limit : float
        GFLOP of the direct limit, for the batch.
    results : list of Result
    layers : Layers or None
    """

    network: str
    batch: int
    threads: int
    limit: float
    results: list[Result]
    layers: Layers | None = None

    @property
    def yardsticks(self) -> list[Yardstick]:
        """The yardsticks of all rounds of all tasks."""
        return [each for result in self.results for each in result.yardsticks]

    def __str__(self) -> str:
        import rich.table  # slow to import

        table = rich.table.Table("task", "", "program", box=None, pad_edge=False)
        for name in ("ms", "spread", "ratio", "min", "max", "verdict", "rounds", "difference"):
            table.add_column(name, justify="right")
        for result in self.results:
            for row in result.rows():
                table.add_row(*row)
        messages = [text for each in self.results for text in each.messages()]
        texts = [*self._headlines(), as_text(table), *messages, *self.targets()]
        if self.layers is not None:
            texts += self.layers.algorithms()
        if self.layers is not None and self.layers.text:
            texts += ["", self.layers.text]
        return "\n".join(texts)

    def targets(self) -> list[str]:
        """Return a line for each task that has a target."""
        lines = []
        for result in self.results:
            ratios = {
                times.label: ratio(result.ours.milliseconds, times.milliseconds).median
                for times in result.others
                if times.peer in _targets.PEERS.get(result.task, ())
            }
            lines.append(_targets.describe(self.network, result.task, ratios))
        return [line for line in lines if line]

    def _headlines(self) -> list[str]:
        """Return the lines above the table: settings, speed of the machine, and noise."""
        title = (
            f"{self.network}, batch {self.batch}, {self.threads} thread{'s' * (self.threads > 1)}"
        )
        found = self.yardsticks
        if not found:
            return [title]
        peaks, bandwidths = ([getattr(y, name) for y in found] for name in ("peak", "bandwidth"))
        peak, bandwidth = statistics.median(peaks), statistics.median(bandwidths)
        lines = [
            f"{title}, {found[0].level}; direct limit {self.limit:.1f} GFLOP, "
            f"{self.limit / peak * 1e3:.1f} ms",
            f"the machine: peak {peak:.0f} GFLOP/s (spread {spread(peaks):.0%}), reading "
            f"{bandwidth:.1f} GB/s (spread {spread(bandwidths):.0%}); medians of {len(found)} "
            "measurements, each after a run of gradcam, in processor time",
        ]
        known = [y for y in found if y.others is not None]
        if known:
            seconds = sum(y.seconds for y in known)
            others = max(0.0, sum(y.others or 0 for y in known) / seconds)
            stolen = sum(y.stolen or 0 for y in known) / seconds
            lines.append(
                f"noise: during gradcam's runs, other processes used {others:.2f} processors on "
                f"average, of which other virtual machines {stolen:.2f}"
            )
        return lines

    def as_dict(self) -> dict[str, object]:
        """Return everything as a dict for JSON; the yardsticks are with the results."""
        found = self.yardsticks
        return {
            "network": self.network,
            "batch": self.batch,
            "threads": self.threads,
            "level": found[0].level if found else None,
            "peak": statistics.median(y.peak for y in found) if found else None,
            "bandwidth": statistics.median(y.bandwidth for y in found) if found else None,
            "direct_limit_gflop": self.limit,
            "results": [result.as_dict() for result in self.results],
            "targets": self.targets(),
            "layers": None if self.layers is None else self.layers.profile,
        }
