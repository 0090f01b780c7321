"""The options of ``python -m gradcam.bench``."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

import gradcam
import gradcam.bench
from gradcam import _core
from gradcam._files import atomic_write
from gradcam._profile import direct_gflop
from gradcam._weights.safetensors import write
from gradcam.bench import _contest as contest
from gradcam.bench import _report as report

ALL = "all"


def _names(known: Sequence[str], none: bool = False) -> Callable[..., tuple[str, ...]]:
    """A callback that reads names, separated by commas."""

    def read(ctx: click.Context, parameter: click.Parameter, text: str) -> tuple[str, ...]:
        names = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
        if none and names == ("none",):
            return ()
        for name in names:
            if name not in known:
                raise click.BadParameter(
                    f"there is no {name!r}; there are {', '.join(known)}"
                    + (", or none" if none else "")
                )
        return tuple(name for name in known if name in names)

    return read


def _numbers(ctx: click.Context, parameter: click.Parameter, text: str) -> tuple[int, ...]:
    """Read numbers of 1 or more, separated by commas; "all" is the threads there are."""
    numbers = []
    for part in text.split(","):
        if parameter.name == "threads" and part.strip() == ALL:
            numbers.append(_core.get_num_threads())
            continue
        try:
            numbers.append(int(part))
        except ValueError:
            numbers.append(0)
        if numbers[-1] < 1 or (parameter.name == "threads" and numbers[-1] > 256):
            raise click.BadParameter(f"{part!r}: expected whole numbers, 1 or more")
    return tuple(dict.fromkeys(numbers))


@click.command(
    help=gradcam.bench.__doc__.replace("\n\n", "\n\n\b\n"),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "--against",
    callback=_names(contest.PEERS, none=True),
    default=",".join(contest.PEERS),
    show_default=True,
    metavar="NAMES",
    help="The other programs, or none.  Those not installed are left out.",
)
@click.option(
    "--tasks",
    callback=_names(contest.TASKS),
    default=",".join(contest.TASKS),
    show_default=True,
    metavar="NAMES",
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
    help="The level of gradcam's kernels.  PyTorch and OpenVINO are held to it too, ONNX Runtime "
    "cannot be.  Default: the highest of this machine.",
)
@click.option(
    "--rounds",
    type=click.IntRange(1),
    default=15,
    show_default=True,
    help="Rounds at most: as many as --minutes allow, one at least.",
)
@click.option(
    "--minutes",
    type=click.FloatRange(0, min_open=True),
    default=8,
    show_default=True,
    help="About how long it may take.",
)
@click.option(
    "--size", type=click.IntRange(32), default=224, show_default=True, help="Side of the pictures."
)
@click.option(
    "--width",
    type=click.IntRange(1),
    default=64,
    show_default=True,
    help="Channels of the first block; fc6 and fc7 have 64 times as many.  For trying out.",
)
@click.option(
    "--layers",
    is_flag=True,
    help="Time gradcam's layers, too, forward and back to the pixels (guided backprop): GFLOP/s, "
    "GB/s, and the shares of the machine's best.",
)
@click.option(
    "--json",
    "json_file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write all times here, too.",
)
def main(
    against: tuple[str, ...],
    tasks: tuple[str, ...],
    batch: tuple[int, ...],
    threads: tuple[int, ...],
    level: str | None,
    rounds: int,
    minutes: float,
    size: int,
    width: int,
    layers: bool,
    json_file: Path | None,
) -> None:
    end = time.monotonic() + 60 * minutes
    told = report.machine()
    click.echo("\n".join(f"{name}: {value}" for name, value in told.items()))
    if report.is_busy():
        click.echo(
            "Others are at work on this machine: times and ratios are not to be trusted.  Programs "
            "whose threads wait by spinning, PyTorch's among them, suffer most.",
            err=True,
        )
    content: dict[str, Any] = {"machine": told, "size": size, "versions": {}, "tables": []}
    matches = [(b, t) for t in threads for b in batch]
    with tempfile.TemporaryDirectory(prefix="gradcam-bench-") as folder:
        weights = Path(folder) / "weights.safetensors"
        click.echo("making the weights ...", err=True)
        tensors = gradcam.vgg16.random_tensors(width=width, fc=64 * width)
        write(tensors, weights)
        limit = direct_gflop(gradcam.vgg16(tensors), size, size, "pool5")
        del tensors
        for i, (pictures, count) in enumerate(matches):

            def progress(task: str, pictures: int = pictures, count: int = count) -> None:
                click.echo(f"batch {pictures}, threads {count}: {task} ...", err=True)

            match = contest.Match(
                weights,
                batch=pictures,
                size=size,
                threads=count,
                level=level,
                against=against,
                # A process starts with one picture, whatever the batch.
                tasks=[task for task in tasks if task != "start" or pictures == batch[0]],
                layers=layers,
                progress=progress,
            )
            share = (end - time.monotonic()) / (len(matches) - i)
            try:
                machine, results = match.play(pictures * limit, rounds, share)
            except contest.Unavailable as error:
                raise click.ClickException(f"gradcam itself {error}") from None
            if match.versions.items() - content["versions"].items():
                content["versions"] |= match.versions
                click.echo("\n".join(f"{name}: {v}" for name, v in match.versions.items()))
            click.echo("\n" + report.table(results, pictures, machine, pictures * limit))
            if match.layers is not None:
                click.echo("\n" + match.layers["text"])
            content["tables"].append(
                {
                    "batch": pictures,
                    "threads": count,
                    "level": machine.level,
                    "peak": machine.peak,
                    "bandwidth": machine.bandwidth,
                    "direct_limit_gflop": pictures * limit,
                    "results": [result.as_dict() for result in results],
                    "layers": match.layers["profile"] if match.layers is not None else None,
                }
            )
    click.echo("\n" + report.LEGEND)
    if json_file is not None:
        with atomic_write(json_file) as file:
            file.write(json.dumps(content, indent=1).encode())


if __name__ == "__main__":
    main(prog_name="python -m gradcam.bench")
