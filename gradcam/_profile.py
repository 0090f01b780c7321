"""The time of each layer in a pass, with the maximum speed of the machine for comparison.

Arithmetic is counted as in a direct convolution or product: one multiplication and one addition for
each weight and output position. Winograd's F(4x4, 3x3) needs a quarter of the multiplications, so a
layer can exceed the peak. The peak is measured between the passes, in the processor time of the
threads, so that other processes do not lower it; they can only make a layer look slower. Bytes are
those that must be moved at least once: the weights, and the maps that a layer reads and writes.
Maps may already be in a cache, and a fully connected layer skips the weights of units whose
gradient is zero, so this share can exceed 1 too.
"""

from __future__ import annotations

import html
import json
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Literal, NamedTuple

from gradcam import _core
from gradcam._engine.graph import Graph
from gradcam._engine.layers import Layer
from gradcam._engine.signatures import Several
from gradcam._engine.tape import BatchTape, Tape
from gradcam._results.objectives import TargetLike
from gradcam._results.rules import CoreRule
from gradcam._tables import as_text

Phase = Literal["forward", "backward"]

CONVERTS = "(converts)"
"""Said of a layer that has a map copied into another layout."""

_WITHOUT_ARITHMETIC = ("flatten", "dropout")
"""Operations that compute nothing; they are added to the row before them."""


@dataclass(frozen=True)
class Machine:
    """The machine that a pass ran on, and its maximum speed.

    Attributes
    ----------
    level : str
        The level of the kernels.
    threads : int
    peak : float
        GFLOP/s, with operands in registers: the sum over the threads, each in its processor time.
    bandwidth : float
        GB/s, reading from memory, measured in the same way.
    """

    level: str
    threads: int
    peak: float
    bandwidth: float

    @classmethod
    def measure(cls) -> Machine:
        """Measure this machine at the active level, with the threads that a pass may use."""
        threads = _core.get_num_threads()
        return cls(
            _core.cpu_level(),
            threads,
            _core.measure_peak(threads),
            _core.measure_bandwidth(threads),
        )


@dataclass(frozen=True)
class Row:
    """One layer with the layers that were fused with it, or a sum over layers.

    Attributes
    ----------
    layer : str
        Its name.
    operation : str
        What was computed, fused layers included: ``"conv + relu"``.
    algorithm : str
        How, for layers with several algorithms: ``"Winograd"``. It ends in ``"(converts)"`` if a
        map that is read, or its gradient, is copied into another layout.
    phase : "forward" or "backward"
    milliseconds : float
    gflop : float
        Of a direct convolution or product; 10**9 multiplications and additions.
    megabytes : float
        Weights and maps, each moved once; 10**6 bytes.
    gflop_per_second, gigabytes_per_second : float
    share_of_peak, share_of_bandwidth : float
        Of the machine's maximum; 1 is the maximum.
    """

    layer: str
    operation: str
    algorithm: str
    phase: Phase
    milliseconds: float
    gflop: float
    megabytes: float
    gflop_per_second: float
    gigabytes_per_second: float
    share_of_peak: float
    share_of_bandwidth: float


@dataclass(frozen=True)
class Profile:
    """The time of each layer in one pass; shown as a table, also in notebooks.

    Attributes
    ----------
    title : str
        The network and its input.
    machine : Machine
    rows : tuple of Row
        In the order in which they ran.
    """

    title: str
    machine: Machine
    rows: tuple[Row, ...]

    def total(self, phase: Phase) -> Row:
        """Return the sum over the rows of a phase."""
        rows = [row for row in self.rows if row.phase == phase]
        return _row(
            "total",
            "",
            "",
            phase,
            1e-3 * math.fsum(row.milliseconds for row in rows),
            1e9 * math.fsum(row.gflop for row in rows),
            1e6 * math.fsum(row.megabytes for row in rows),
            self.machine,
        )

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The phases that were measured."""
        return tuple(dict.fromkeys(row.phase for row in self.rows))

    def as_dict(self) -> dict[str, object]:
        """Return everything as dicts, lists, strings and numbers."""
        return {
            "title": self.title,
            "machine": asdict(self.machine),
            "rows": [asdict(row) for row in self.rows],
            "totals": [asdict(self.total(phase)) for phase in self.phases],
        }

    def to_json(self, indent: int | None = None) -> str:
        """Return :meth:`as_dict` as JSON."""
        return json.dumps(self.as_dict(), indent=indent)

    def __str__(self) -> str:
        from rich.table import Table  # slow to import

        table = Table("layer", "operation", "algorithm", box=None, pad_edge=False)
        for title in _TITLES:
            table.add_column(title, justify="right")
        for phase in self.phases:
            total = self.total(phase)
            table.add_row(phase)
            for row in (*self._of(phase), total):
                table.add_row(*self._cells(row, total))
        return f"{self._headline}\n\n{as_text(table)}"

    def __repr__(self) -> str:
        times = ", ".join(f"{p} {self.total(p).milliseconds:.2f} ms" for p in self.phases)
        return f"<Profile of {self.title}: {times}>"

    def _repr_html_(self) -> str:
        def line(cells: Sequence[str], tag: str = "td", style: str = "") -> str:
            aligns = [*["left"] * 3, *["right"] * len(_TITLES)]
            return "".join(
                f'<{tag} style="text-align:{align}{style}">{html.escape(cell)}</{tag}>'
                for cell, align in zip(cells, aligns, strict=True)
            )

        lines = [line(["layer", "operation", "algorithm", *_TITLES], "th")]
        for phase in self.phases:
            total = self.total(phase)
            lines.append(
                f'<th colspan="{3 + len(_TITLES)}" style="text-align:left">{phase}</th>',
            )
            lines += [line(self._cells(row, total)) for row in self._of(phase)]
            lines.append(line(self._cells(total, total), style=";font-weight:bold"))
        body = "".join(f"<tr>{each}</tr>" for each in lines)
        return f"<p>{html.escape(self._headline)}</p><table>{body}</table>"

    @property
    def _headline(self) -> str:
        m = self.machine
        return (
            f"{self.title}; {m.level}, {m.threads} thread{'s' if m.threads > 1 else ''}: at most "
            f"{m.peak:.0f} GFLOP/s, {m.bandwidth:.1f} GB/s, measured in processor time"
        )

    def _of(self, phase: Phase) -> list[Row]:
        return [row for row in self.rows if row.phase == phase]

    def _cells(self, row: Row, total: Row) -> list[str]:
        time = row.milliseconds / total.milliseconds if total.milliseconds else 0.0
        arithmetic = (
            [f"{row.gflop:.3f}", f"{row.gflop_per_second:.0f}", _percent(row.share_of_peak)]
            if row.gflop
            else ["", "", ""]
        )
        return [
            row.layer,
            row.operation,
            row.algorithm,
            f"{row.milliseconds:.3f}",
            _percent(time),
            *arithmetic,
            f"{row.megabytes:.2f}",
            f"{row.gigabytes_per_second:.1f}",
            _percent(row.share_of_bandwidth),
        ]


_TITLES = ("ms", "of time", "GFLOP", "GFLOP/s", "of peak", "MB", "GB/s", "of memory")


def profile(
    tape: Tape | BatchTape,
    target: TargetLike | Several | Sequence[Several] = None,
    *,
    rule: CoreRule = "gradient",
    to: str | None = None,
    repeat: int = 5,
) -> Profile:
    """Time each layer of a forward pass, and of a backward pass from a class's score.

    The forward pass of `tape` is run again, on the same input.

    Parameters
    ----------
    tape : Tape or BatchTape
    target : Objective, int, str, None, or a list of these
        What the backward pass starts from, as in :meth:`Tape.explain`.
    rule : "gradient", "guided" or "deconvnet"
    to : str, optional
        The layer at which the backward pass ends: by default the network's ``target_layer``, as
        for Grad-CAM; ``"input"`` as for the methods whose maps have the pixels of the input.
    repeat : int
        How often each pass is run, after one run that does not count; times are medians.

    Returns
    -------
    Profile

    Raises
    ------
    ValueError
        If `repeat` is below 1, or the objective is the sum of several layers' units; as
        :meth:`Tape.explain`.
    """
    if repeat < 1:
        raise ValueError(f"repeat: expected 1 or more, got {repeat}")
    graph, core = tape.graph, tape.core
    end = graph.index(graph.target_layer if to is None else to)
    found = list(tape.ask(target).seeds(tape).items())
    if len(found) > 1:
        raise ValueError("profile times a backward pass from one layer, not from several")
    layer, seeds = found[0]
    start = graph.index(layer)
    kept = sorted(core.kept)

    def forward() -> list[float]:
        return graph.core.forward(tape.input, kept).seconds()

    def backward() -> list[float]:
        return core.backward_seconds(start, seeds, [end], rule)

    batch, _, height, width = tape.input.shape
    machine = Machine.measure()
    peaks = [machine.peak]
    forward_seconds = _medians(forward, repeat, peaks)
    backward_seconds = _medians(backward, repeat, peaks)
    last = graph.core.forward(tape.input, kept)
    return from_seconds(
        graph,
        f"{graph.name}, {batch} x {height} x {width}",
        tape.input.shape,
        replace(machine, peak=statistics.median(peaks)),
        forward_seconds,
        backward_seconds,
        sets=len(seeds),
        start=start,
        end=end,
        algorithms={"forward": last.algorithms(), "backward": core.algorithms(backward=True)},
        conversions=last.conversions(),
    )


def from_seconds(
    graph: Graph,
    title: str,
    shape: Sequence[int],
    machine: Machine,
    forward: Sequence[float],
    backward: Sequence[float] = (),
    *,
    sets: int = 1,
    start: int = 0,
    end: int = 0,
    algorithms: Mapping[Phase, Sequence[str]] | None = None,
    conversions: Sequence[int] = (),
) -> Profile:
    """Return the profile of passes from the seconds of their layers.

    Parameters
    ----------
    graph : Graph
    title : str
    shape : (N, C, H, W)
        Of the input.
    machine : Machine
    forward, backward : sequence of float
        Seconds of each layer, by number; 0 for a layer that ran as part of another one, or did
        not run. An empty `backward` stands for a forward pass alone.
    sets : int
        Gradients for each picture in the backward pass.
    start, end : int
        The layers that the backward pass starts from and ends at.
    algorithms : mapping of phase to sequence of str, optional
        The algorithm of each layer, "" where there is only one.
    conversions : sequence of int
        How many of its inputs each layer has copied into another layout. Empty: none.
    """
    how = _How(algorithms or {}, conversions)
    sizes = [math.prod(each) for each in graph.shapes(*shape[2:]).values()]
    layers = range(len(sizes))
    rows = [
        _of_layer(graph, "forward", group, forward, shape[0], sizes, machine, how)
        for group in _groups(graph, forward, layers)
    ]
    if backward:
        rows += [
            _of_layer(graph, "backward", group, backward, sets * shape[0], sizes, machine, how)
            for group in _groups(graph, backward, range(start, end, -1))
        ]
    return Profile(title, machine, tuple(rows))


def direct_gflop(graph: Graph, height: int, width: int, until: str) -> float:
    """Return the GFLOP of direct convolutions and products for one picture, up to a layer."""
    sizes = [math.prod(each) for each in graph.shapes(height, width).values()]
    last = graph.index(until)
    layers = list(graph.layers.values())[: last + 1]
    return 2e-9 * sum(layer.products * size for layer, size in zip(layers, sizes, strict=False))


class _How(NamedTuple):
    """The algorithms of the layers, by phase, and the inputs of each that are converted."""

    algorithms: Mapping[Phase, Sequence[str]]
    conversions: Sequence[int]

    def describe(self, phase: Phase, group: Sequence[int]) -> str:
        """Return what is said about the layers of a row."""
        every = self.algorithms.get(phase, ())
        names = [every[number] for number in group if every and every[number]]
        converts = any(self.conversions[n] for n in group) if self.conversions else False
        return " ".join([*[" + ".join(names)] * bool(names), *[CONVERTS] * converts])


def _medians(run: Callable[[], list[float]], repeat: int, peaks: list[float]) -> list[float]:
    """Return the median time of each layer over `repeat` passes, after a first one.

    The peak is measured after each pass, and added to `peaks`.
    """
    run()
    passes = []
    for _ in range(repeat):
        passes.append(run())
        peaks.append(_core.measure_peak(_core.get_num_threads()))
    return [statistics.median(times) for times in zip(*passes, strict=True)]


def _groups(graph: Graph, seconds: Sequence[float], numbers: Sequence[int]) -> list[list[int]]:
    """Return the layers that took time, each with the layers that ran as part of it.

    A layer with time 0 ran as part of the layer before it in the order of the pass. If it has
    weights, it ran as part of the next layer with weights, or did not run. Layers that compute
    nothing are added to the layer before.
    """
    layers = list(graph.layers.values())
    groups: list[list[int]] = []
    for number in numbers:
        layer, takes_time = layers[number], seconds[number] > 0
        follows = bool(groups) and _are_neighbours(layers[groups[-1][-1]], layer)
        ran_previous = follows and takes_time and not any(seconds[n] > 0 for n in groups[-1])
        weighted = layer.weight_count > 0
        if ran_previous or (
            follows and (layer.op in _WITHOUT_ARITHMETIC or not (takes_time or weighted))
        ):
            groups[-1].append(number)
        elif takes_time or weighted:
            groups.append([number])
    return [group for group in groups if any(seconds[number] > 0 for number in group)]


def _are_neighbours(a: Layer, b: Layer) -> bool:
    return a.name in b.inputs or b.name in a.inputs


def _of_layer(
    graph: Graph,
    phase: Phase,
    group: Sequence[int],
    seconds: Sequence[float],
    count: int,
    sizes: Sequence[int],
    machine: Machine,
    how: _How,
) -> Row:
    """Return the row of a layer and the layers that ran as part of it, for `count` maps."""
    every = list(graph.layers.values())
    layers = [every[number] for number in group]
    operations = [layer.op for layer in layers if layer.op not in _WITHOUT_ARITHMETIC] or [
        layers[0].op
    ]
    # The inputs and the output of the group, in both directions.
    low, high = min(group), max(group)
    inputs = [graph.index(name) for name in every[low].inputs] or [low]
    values = sum(sizes[number] for number in inputs) + sizes[high]
    return _row(
        layers[0].name,
        " + ".join(operations),
        how.describe(phase, group),
        phase,
        math.fsum(seconds[number] for number in group),
        2.0 * count * sum(every[n].products * sizes[n] for n in group),
        4.0 * (count * values + sum(layer.weight_count for layer in layers)),
        machine,
    )


def _row(
    layer: str,
    operation: str,
    algorithm: str,
    phase: Phase,
    seconds: float,
    flop: float,
    bytes: float,
    machine: Machine,
) -> Row:
    arithmetic, reading = ((x * 1e-9 / seconds if seconds else 0.0) for x in (flop, bytes))
    return Row(
        layer,
        operation,
        algorithm,
        phase,
        1e3 * seconds,
        1e-9 * flop,
        1e-6 * bytes,
        arithmetic,
        reading,
        arithmetic / machine.peak,
        reading / machine.bandwidth,
    )


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
