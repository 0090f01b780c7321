"""Passes over variants of a picture that differ from it in one patch, see `crop_plan`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradcam._engine.crop_plan import WHOLE, Axis, Plan, Stage, make_plan
from gradcam._engine.forward_pass import ForwardPass
from gradcam._engine.layers import INPUT
from gradcam._engine.receptive import Interval, Positions

_F32 = NDArray[np.float32]


@dataclass(frozen=True)
class _Windows:
    """What differs from a map of the unchanged picture: a window for each of B variants.

    Attributes
    ----------
    values : (B, C, h, w) array
        They contain the windows.
    inside : (rows, columns) of (B,) arrays
        Where the windows begin in `values`.
    places : (rows, columns) of Interval
        The windows on the map.
    """

    values: _F32
    inside: tuple[Positions, Positions]
    places: tuple[Interval, Interval]


class PatchPasses:
    """Passes over variants of pictures: in each variant, one patch is replaced.

    Parameters
    ----------
    tape : ForwardPass
        Of the unchanged pictures.
    wanted : sequence of str
        The layers that are read of each variant.
    rows, columns : Interval
        The patches: every interval of rows with every interval of columns, the columns of the first
        rows first.
    recompute : bool
        Whether only what a patch can change is computed, as far as that is cheaper. False: passes
        over whole pictures.

    Attributes
    ----------
    count : int
        The number of patches.
    plan : Plan
        What is computed of each variant.
    """

    def __init__(
        self,
        tape: ForwardPass,
        wanted: Sequence[str],
        rows: Interval,
        columns: Interval,
        *,
        recompute: bool = True,
    ) -> None:
        self._tape = tape
        self._graph = tape.graph
        self._wanted = sorted({tape.graph.index(name): name for name in wanted}.items())
        self._rows, self._columns = rows, columns
        self.count = len(rows.begin) * len(columns.begin)
        self.plan: Plan = WHOLE
        if recompute:
            self.plan = make_plan(tape.graph, tape.size, wanted, (rows, columns))

    def run(self, n: int, replacement: _F32, batch: int) -> Iterator[ForwardPass]:
        """Run the variants of picture `n`, in the order of the patches.

        Parameters
        ----------
        n : int
        replacement : (C, H, W) array
            What is seen within the patches.
        batch : int
            Variants in a pass.

        Yields
        ------
        ForwardPass
            Of the next variants, with the outputs of the layers wanted.
        """
        maps = self._maps(n)
        for first in range(0, self.count, batch):
            numbers = np.arange(first, min(first + batch, self.count))
            pair = np.divmod(numbers, len(self._columns.begin))
            windows = self._patches(replacement, pair)
            for stage in self.plan.stages:
                windows = self._run_stage(stage, maps[stage.start], windows, pair)
            yield self._run_whole(maps[self.plan.last], windows)

    def _maps(self, n: int) -> Mapping[str, _F32]:
        """Return the maps of the unchanged picture that are needed."""
        picture = self._tape.input[n : n + 1]
        maps = {INPUT: picture[0]}
        *cuts, last = self.plan.cuts
        if last != INPUT:
            core = self._graph.run_core(picture, [*cuts, last], until=last, record=False)
            for cut in (*cuts[1:], last):
                maps[cut] = core.activation(self._graph.index(cut))[0]
        return maps

    def _patches(self, replacement: _F32, pair: Sequence[Positions]) -> _Windows:
        """Return the patches of a batch of variants on the input."""
        places = [
            Interval(each.begin[numbers], each.end[numbers])
            for each, numbers in zip((self._rows, self._columns), pair, strict=True)
        ]
        values = np.broadcast_to(replacement, (len(pair[0]), *replacement.shape))
        rows, columns = places
        return _Windows(values, (rows.begin, columns.begin), (rows, columns))

    def _run_stage(
        self, stage: Stage, base: _F32, windows: _Windows, pair: Sequence[Positions]
    ) -> _Windows:
        """Return the windows of the stage's last map."""
        rows, columns = (
            _Chosen.of(axis, numbers)
            for axis, numbers in zip((stage.rows, stage.columns), pair, strict=True)
        )
        size = (stage.rows.crop, stage.columns.crop)
        crops = _crops(base, size, (rows.begins, columns.begins), windows)
        core = self._graph.run_core(
            crops,
            [stage.end],
            until=stage.end,
            record=False,
            start=stage.start,
            size=(stage.rows.picture, stage.columns.picture),
        )
        values = core.activation(self._graph.index(stage.end))
        return _Windows(values, (rows.inside, columns.inside), (rows.places, columns.places))

    def _run_whole(self, base: _F32, windows: _Windows) -> ForwardPass:
        """Return the pass over whole maps."""
        tape, start = self._tape, self.plan.last
        none = np.zeros(len(windows.values), np.int64)
        maps = _crops(base, (base.shape[1], base.shape[2]), (none, none), windows)
        maps.flags.writeable = False
        names = [name for _, name in self._wanted]
        size = None if start == INPUT else tape.size
        core = self._graph.run_core(
            maps, names, until=names[-1], record=False, start=start, size=size
        )
        return ForwardPass(self._graph, core, maps, start=start, size=tape.size)


@dataclass(frozen=True)
class _Chosen:
    """A stage's rows or columns for a batch of variants."""

    begins: Positions
    inside: Positions
    places: Interval

    @classmethod
    def of(cls, axis: Axis, numbers: Positions) -> _Chosen:
        places = axis.places[numbers]
        return cls(
            axis.begins[numbers], axis.inside[numbers], Interval(places, places + axis.window)
        )


def _crops(
    base: _F32, size: tuple[int, int], begins: Sequence[Positions], windows: _Windows
) -> _F32:
    """Return crops of a map, with the parts of the windows that lie in them.

    Parameters
    ----------
    base : (C, H, W) array
        Of the unchanged picture.
    size : (height, width)
        Of the crops.
    begins : (rows, columns) of (B,) arrays
        Where the crops begin.
    windows : _Windows

    Returns
    -------
    (B, C, height, width) array
    """
    (height, width), count = size, len(windows.values)
    crops = np.empty((count, len(base), height, width), np.float32)
    into, of = zip(
        *(
            _overlaps(begins[axis], size[axis], windows.places[axis], windows.inside[axis])
            for axis in (0, 1)
        ),
        strict=True,
    )
    for i in range(count):
        row, column = int(begins[0][i]), int(begins[1][i])
        crops[i] = base[:, row : row + height, column : column + width]
        crops[i, :, into[0][i], into[1][i]] = windows.values[i, :, of[0][i], of[1][i]]
    return crops


def _overlaps(
    begins: Positions, size: int, places: Interval, inside: Positions
) -> tuple[list[slice], list[slice]]:
    """Return where windows lie in crops, and which parts of their values these are."""
    ends = np.minimum(places.end, begins + size)
    firsts = np.minimum(np.maximum(places.begin, begins), ends)
    into = [slice(*each) for each in zip(firsts - begins, ends - begins, strict=True)]
    first = firsts - places.begin + inside
    of = [slice(*each) for each in zip(first, first + ends - firsts, strict=True)]
    return into, of
