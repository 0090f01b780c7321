"""Any number of pictures through a network: other threads decode while the network runs."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from itertools import islice
from typing import TYPE_CHECKING, Generic, Literal, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from gradcam import _core
from gradcam._engine.forward_pass import run
from gradcam._engine.graph import Graph
from gradcam._engine.tape import BatchTape
from gradcam._pictures.decoding import PictureError
from gradcam._pictures.image import (
    Geometry,
    is_picture_source,
    prepare,
    read_picture,
)
from gradcam._pictures.presets import Preset
from gradcam._progress import Advance, progress_bar

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor
    from contextlib import AbstractContextManager

S = TypeVar("S")

OnError = Literal["raise", "skip"] | Callable[[S, Exception], object]
"""What happens with a picture that cannot be read: the error is raised, the picture is skipped, or
a function is called with the picture and the error, and the picture is skipped."""

MAX_WORKERS = 4
"""The maximum number of threads that decode by default."""

FAILURES = (ValueError, OSError, MemoryError)
"""The errors of reading a picture that concern this picture alone."""

current_picture: ContextVar[object] = ContextVar("current_picture", default=None)
"""The picture that this thread is decoding; for warnings."""


class _Decoded(NamedTuple):
    """A picture and the network's input."""

    picture: NDArray[np.uint8]
    input: NDArray[np.float32]
    geometry: Geometry


_Group = list[tuple[S, _Decoded]]


class Stream(Generic[S]):
    """Pictures in batches, each with its tape; returned by :meth:`Network.stream`.

    Iterating yields ``(pictures, tape)``: a list of the pictures as they were given, and their
    :class:`BatchTape`. The threads end with the loop, also if it is left by ``break`` or an
    exception. Iterating again starts again.

    Attributes
    ----------
    skipped : list of (picture, exception)
        The pictures that could not be read, since the loop started.
    """

    skipped: list[tuple[S, Exception]]

    def __init__(
        self,
        graph: Graph,
        pictures: Iterable[S],
        *,
        preset: Preset,
        size: tuple[int, int] | None,
        batch: int,
        keep: Sequence[str],
        record: bool,
        on_error: OnError[S],
        workers: int | None,
        progress: bool,
    ) -> None:
        if is_picture_source(pictures) or not isinstance(pictures, Iterable):
            raise TypeError(
                f"stream: expected several pictures, got {type(pictures).__name__}; for a folder "
                f'pass Path(folder).rglob("*.jpg")'
            )
        if on_error not in ("raise", "skip") and not callable(on_error):
            raise ValueError(
                f"on_error: expected 'raise', 'skip' or a function of a picture and an exception, "
                f"got {on_error!r}"
            )
        self._graph = graph
        self._pictures = pictures
        self._preset, self._size = preset, size
        self._batch = positive("batch", batch)
        self._keep, self._record = keep, record
        self._on_error = on_error
        threads = min(MAX_WORKERS, _core.get_num_threads())
        self._workers = threads if workers is None else positive("workers", workers)
        self._progress = progress
        self.skipped = []

    def __iter__(self) -> Iterator[tuple[list[S], BatchTape]]:
        from concurrent.futures import ThreadPoolExecutor  # slow to import

        self.skipped = []
        pool = ThreadPoolExecutor(self._workers, thread_name_prefix="gradcam-decode")
        try:
            with self._bar() as advance:
                for group in self._groups(self._decoded(pool, advance)):
                    names = [_name(picture) for picture, _ in group]
                    yield from self._passes(group)
                    group.clear()  # so that these pictures can be freed during the next batch
                    for name in names:
                        advance(name)
        finally:
            pool.shutdown(cancel_futures=True)

    def _decoded(self, pool: ThreadPoolExecutor, advance: Advance) -> Iterator[tuple[S, _Decoded]]:
        """Yield the pictures that can be read, in order; those that follow are decoded already."""
        pictures = iter(self._pictures)
        waiting: deque[tuple[S, Future[_Decoded]]] = deque()
        while True:
            for picture in islice(pictures, self._batch + self._workers - len(waiting)):
                waiting.append((picture, pool.submit(self._decode, picture)))
            if not waiting:
                return
            picture, future = waiting.popleft()
            try:
                decoded = future.result()
            except FAILURES as error:
                self._skip(picture, error)
                advance(_name(picture))
                continue
            del future  # it refers to the result
            yield picture, decoded
            del decoded

    def _decode(self, picture: S) -> _Decoded:
        current_picture.set(picture)
        try:
            pixels = read_picture(picture)
            input, geometry = prepare(pixels, self._preset, self._size, self._graph.core.channels)
        except PictureError as error:
            if _name(picture) in str(error):
                raise
            raise PictureError(f"{_name(picture)}: {error}", error.path) from error
        return _Decoded(pixels, input, geometry)

    def _skip(self, picture: S, error: Exception) -> None:
        if self._on_error == "raise":
            raise error
        if callable(self._on_error):
            self._on_error(picture, error)
        self.skipped.append((picture, error))

    def _groups(self, decoded: Iterator[tuple[S, _Decoded]]) -> Iterator[_Group[S]]:
        """Yield groups of up to `batch` pictures whose inputs have one size."""
        group: _Group[S] = []
        for picture, each in decoded:
            if group and group[0][1].input.shape != each.input.shape:
                yield group
                group = []
            group.append((picture, each))
            del each
            if len(group) == self._batch:
                yield group
                group = []
        if group:
            yield group

    def _passes(self, group: _Group[S]) -> Iterator[tuple[list[S], BatchTape]]:
        """Run the network; if there is not enough memory for the group, in smaller ones."""
        try:
            tape = self._run([each for _, each in group])
        except MemoryError:
            if len(group) == 1:
                raise
        else:
            yield [picture for picture, _ in group], tape
            return
        half = len(group) // 2
        yield from self._passes(group[:half])
        yield from self._passes(group[half:])

    def _run(self, group: Sequence[_Decoded]) -> BatchTape:
        input = np.stack([each.input for each in group])
        core = run(self._graph, input, self._keep, self._record)
        pictures = [each.picture for each in group]
        return BatchTape(self._graph, core, input, pictures, [each.geometry for each in group])

    def _bar(self) -> AbstractContextManager[Advance]:
        if not self._progress:
            return nullcontext(lambda name: None)
        return _shown(len(self._pictures) if isinstance(self._pictures, Sized) else None)


@contextmanager
def _shown(total: int | None) -> Iterator[Advance]:
    """Show a progress bar on standard error."""
    from rich.console import Console  # slow to import

    with progress_bar(total, Console(stderr=True), redirect_stderr=True) as advance:
        yield advance


def _name(picture: object) -> str:
    """Return a picture's path; for other pictures their type."""
    if isinstance(picture, (str, os.PathLike)):
        return os.fsdecode(picture)
    return type(picture).__name__


def positive(name: str, value: int) -> int:
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{name}: expected an integer of 1 or more, got {value!r}")
    return int(value)
