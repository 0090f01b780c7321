"""One command over many pictures: they are read, passed through the network and saved at once."""

from __future__ import annotations

import errno
import json
import os
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import gradcam
from gradcam._cli import terminal
from gradcam._cli.app import NOTHING_DONE, SOME_FAILED, sentence
from gradcam._cli.history import History
from gradcam._cli.inputs import Found, Job, find, make_jobs
from gradcam._cli.outputs import check_pictures_kept
from gradcam._engine.stream import FAILURES, MAX_WORKERS, current_picture
from gradcam._engine.tape import Tape
from gradcam._pictures.folders import NO_PICTURE

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

    from rich.table import Table as Shown

    from gradcam._cli.table import Row, Table
    from gradcam._engine.network import Network
    from gradcam._engine.tape import BatchTape

Record = dict[str, Any]
"""What was done for one picture, as JSON has it."""

Saved = tuple[Record, list[Path]]
"""What was done for one picture, and the files that were written."""

Finish = Callable[[], Saved]
"""Saves the results of one picture; runs on another thread."""

_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


@dataclass(frozen=True)
class Command:
    """What a command does with its pictures.

    Attributes
    ----------
    network : Network
    work : callable
        ``work(tape, names)`` explains a batch and returns a :data:`Finish` for each picture;
        `names` are the names of their outputs.
    show : callable or None
        Returns what is printed of a record; None: records are printed as JSON only.
    rows : callable, optional
        Returns the rows of a record in the table.
    first : callable, optional
        Gets all pictures, once the options have been checked and before the first is read.
    before : callable, optional
        ``before(job)`` returns the record of a picture that needs no pass, else None. Its errors
        concern this picture alone.
    every : callable, optional
        Gets each record, in order: those of pictures that an earlier run completed, and of pictures
        that failed, too.
    silent : tuple of types
        Categories of warnings that are not printed.
    batch : int
    as_json : bool
        Whether records are printed as JSON.
    out : Path or None
        The folder that is written to.
    resume : bool
        Whether pictures are skipped whose outputs are complete.
    options : mapping
        Everything that the outputs depend on, besides the pictures.
    ends : sequence of str
        How the names of the files for a picture go on after the name of its outputs, with ``*`` for
        a part that is not known yet: ``-grad_cam-*.png``. None of them may be a picture that is
        read.
    """

    network: Network
    work: Callable[[BatchTape, Sequence[str]], Sequence[Finish]]
    show: Callable[[Record], Shown] | None
    as_json: bool
    batch: int = 1
    out: Path | None = None
    resume: bool = False
    options: Mapping[str, object] = field(default_factory=dict)
    rows: Callable[[Record], list[Row]] | None = None
    first: Callable[[Sequence[Job]], None] | None = None
    before: Callable[[Job], Record | None] | None = None
    every: Callable[[Record], None] | None = None
    silent: tuple[type[Warning], ...] = ()
    ends: Sequence[str] = ()

    def over(self, pictures: Sequence[Path], open_table: Callable[[], Table] | None = None) -> int:
        """Do every picture, whether or not others fail, and return the exit status.

        A table is opened once the options have been checked, so that a refused run leaves it alone.
        """
        history = None
        if self.out is not None:
            check_out(self.out, pictures)
            history = History(self.out, self.options)
            if self.resume:
                history.check_same_options()
        found = find(pictures, self.out)
        jobs = make_jobs(found, self.out, history.names if history else {})
        if self.out is not None:
            check_pictures_kept(self.out, self.ends, {job.path: job.name for job in jobs})
            self.out.mkdir(parents=True, exist_ok=True)
        if self.first is not None:
            self.first(jobs)
        table = None if open_table is None else open_table()
        run = _Run(self, history, table)
        try:
            run.over(jobs)
        finally:
            run.report(found, len(jobs))
            if table is not None:
                table.close()
            if history is not None:
                history.close()
        return run.status


def single(tape: BatchTape) -> Tape:
    """Return the tape of one picture, from a batch of one."""
    return Tape(tape.graph, tape.core, tape.input, tape.pictures, tape.geometries)


class _Run:
    """The state of a command that is running."""

    def __init__(self, command: Command, history: History | None, table: Table | None) -> None:
        self.command = command
        self.history = history
        self.table = table
        self.done = 0
        self.complete = 0
        self.failed: list[tuple[str, str]] = []
        self.stopped: str | None = None
        self._jobs: list[Job] = []
        self._results: dict[int, Future[Saved]] = {}
        self._next = 0

    @property
    def status(self) -> int:
        """The exit status."""
        if self.failed or self.stopped:
            return SOME_FAILED if self.done or self.complete else NOTHING_DONE
        return 0

    def over(self, jobs: Sequence[Job]) -> None:
        """Do the pictures that are not complete."""
        from concurrent.futures import ThreadPoolExecutor  # slow to import

        left = [job for job in jobs if not self._is_complete(job)]
        self._jobs = [replace(job, number=number) for number, job in enumerate(left)]
        threads = min(MAX_WORKERS, gradcam.get_num_threads())
        pool = ThreadPoolExecutor(threads, thread_name_prefix="gradcam-save")
        as_json = self.command.as_json
        if not as_json:
            # In a thread of its own: an interruption drops what waits in the pool.
            threading.Thread(target=terminal.preload, daemon=True).start()
        with (
            terminal.progress(len(left), as_json) as self._advance,
            _warnings_with_pictures(self.command.silent),
        ):
            try:
                self._stream(pool)
                self._take_finished(0)
            except FAILURES as error:  # it concerns all pictures: memory, or the disk
                self.stopped = sentence(error)
            finally:
                pool.shutdown(cancel_futures=True)
                self._take_saved()

    def _is_complete(self, job: Job) -> bool:
        """Return whether an earlier run did this picture; its rows go into the table."""
        if self.history is None or not self.command.resume:
            return False
        record = self.history.completed(job)
        if record is None:
            return False
        self.complete += 1
        self._note(record)
        return True

    def _stream(self, pool: ThreadPoolExecutor) -> None:
        """Pass the pictures through the network; a batch is saved during the next one's pass."""
        batch = self.command.batch
        stream = self.command.network.stream(self._to_pass(), batch, on_error=self._fail)
        for jobs, tape in stream:
            self._work(pool, jobs, tape)
            self._take_finished(2 * batch)

    def _to_pass(self) -> Iterator[Job]:
        """Yield the pictures that the network must see; the results of others are known."""
        before = self.command.before
        for job in self._jobs:
            if os.path.isdir(job.path):
                self._fail(job, folder_error(job.path))
            elif before is None:
                yield job
            else:
                try:
                    record = before(job)
                except FAILURES as error:
                    self._fail(job, error)
                else:
                    if record is None:
                        yield job
                        continue
                    self._results[job.number] = _known((record, []))
                self._take_finished(2 * self.command.batch)

    def _work(self, pool: ThreadPoolExecutor, jobs: Sequence[Job], tape: BatchTape) -> None:
        """Explain a batch; if that fails, one picture at a time."""
        try:
            finishers = self.command.work(tape, [job.name for job in jobs])
        except FAILURES as error:
            if len(jobs) == 1:
                self._fail(jobs[0], error)
                return
            for job in jobs:
                try:
                    single = self.command.network.forward([job])
                except FAILURES as reason:
                    self._fail(job, reason)
                else:
                    self._work(pool, [job], single)
            return
        for job, finish in zip(jobs, finishers, strict=True):
            self._results[job.number] = pool.submit(_finish, job, finish)

    def _fail(self, job: Job, error: Exception) -> None:
        self._results[job.number] = _known(error)

    def _take_finished(self, maximum: int) -> None:
        """Print finished results in order; wait for some if more than `maximum` are not."""
        while (future := self._results.get(self._next)) is not None and (
            future.done() or len(self._results) > maximum
        ):
            self._take(self._next)
            self._next += 1

    def _take_saved(self) -> None:
        """After the last pass, or an interruption: print what was saved all the same."""
        for number in sorted(self._results):
            if not self._results[number].cancelled():
                with suppress(*FAILURES):
                    self._take(number)

    def _take(self, number: int) -> None:
        job, future = self._jobs[number], self._results.pop(number)
        record: Record = {"picture": str(job.path)}
        try:
            more, files = future.result()
        except FAILURES as error:
            if isinstance(error, OSError) and error.errno in _DISK_ERRORS:
                raise OSError(error.errno, error.strerror, str(self.command.out)) from error
            record["error"] = sentence(error).removeprefix(f"{job.path}: ")
            self.failed.append((str(job.path), record["error"]))
        else:
            record |= more
            self.done += 1
            if self.history is not None:
                self.history.add(job, record, files)
        self._note(record)
        self._print(record)
        self._advance(job.path.name)

    def _note(self, record: Record) -> None:
        """Add the rows of a record to the table, unless its picture failed."""
        if self.command.every is not None:
            self.command.every(record)
        if self.table is not None and self.command.rows is not None and "error" not in record:
            self.table.add(self.command.rows(record))

    def _print(self, record: Record) -> None:
        if self.command.as_json:
            click.echo(json.dumps(record))
        elif self.command.show is not None and "error" not in record:
            from rich.text import Text

            console = terminal.console()
            terminal.show(console, Text(str(record["picture"]), "bold"), soft_wrap=True)
            terminal.show(console, self.command.show(record))

    def report(self, found: Found, count: int) -> None:
        """Say what was written, ignored and skipped."""
        out = self.command.out
        if self.done and out is not None and not self.command.as_json:
            terminal.echo(f"Written to {out}")
        if self.complete:
            terminal.echo(f"{self.complete} of {count} pictures were complete already", err=True)
        report_ignored(found)
        report_failed(self.failed, self.done + self.complete + len(self.failed), count)
        if self.stopped:
            terminal.echo(f"Error: {self.stopped}", err=True)


def _known(result: Saved | Exception) -> Future[Saved]:
    """Return a future whose result is known."""
    from concurrent.futures import Future  # slow to import

    future: Future[Saved] = Future()
    if isinstance(result, Exception):
        future.set_exception(result)
    else:
        future.set_result(result)
    return future


def folder_error(folder: Path) -> Exception:
    """Return why there is no picture in a folder."""
    try:
        os.scandir(folder).close()
    except OSError as error:
        return error
    return ValueError(NO_PICTURE)


def _finish(job: Job, finish: Finish) -> Saved:
    current_picture.set(job)
    return finish()


@contextmanager
def _warnings_with_pictures(silent: Sequence[type[Warning]]) -> Iterator[None]:
    """Print warnings of all threads with the name of the picture that they concern."""

    def show(message: Warning | str, *details: object, **more: object) -> None:
        words = message if isinstance(message, str) else sentence(message)
        picture = current_picture.get()
        about = f"{picture.path}: " if isinstance(picture, Job) else ""
        terminal.echo(f"Warning: {about}{words}", err=True)

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        for category in silent:
            warnings.simplefilter("ignore", category)
        warnings.showwarning = show
        yield


def check_out(out: Path, pictures: Sequence[Path]) -> None:
    """Raise UsageError if the folder that is written to is one that is read."""
    if any(path.is_dir() and path.resolve() == out.resolve() for path in pictures):
        raise click.UsageError(
            f"{out} cannot be read and written at once: what is written there would be taken "
            f"for pictures.  Choose another folder with --out."
        )


def report_ignored(found: Found) -> None:
    """Say which files in folders are not pictures."""
    if found.ignored:
        kinds = ", ".join(f"{suffix}: {n}" for suffix, n in found.ignored.most_common(10))
        terminal.echo(f"Ignored files that are not pictures: {kinds}", err=True)


def report_failed(failed: Sequence[tuple[str, str]], tried: int, count: int) -> None:
    """Name the pictures that failed; if all failed for one reason, name the reason once."""
    reasons = {reason for _, reason in failed}
    if count > 1 and len(failed) == count and len(reasons) == 1:
        terminal.echo(f"Error: all {count} pictures: {reasons.pop()}", err=True)
        return
    if failed and count > 1:
        terminal.echo(f"{len(failed)} of {tried} pictures failed:", err=True)
    for path, reason in failed:
        terminal.echo(f"Error: {path}: {reason}", err=True)
