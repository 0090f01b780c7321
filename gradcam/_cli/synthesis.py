"""``gradcam visualise``, ``edit``, ``adversarial`` and ``invert``: pictures made by the network."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast

import click

import gradcam
from gradcam._cli import asked as asking
from gradcam._cli import options, records, terminal
from gradcam._cli.asked import Asked
from gradcam._cli.inputs import find
from gradcam._cli.many import Command, Finish, Record, Saved, single
from gradcam._cli.options import Choice
from gradcam._cli.outputs import check_not_replaced
from gradcam._engine.tape import BatchTape, Tape
from gradcam._files import fitting
from gradcam._pictures.folders import NO_PICTURE
from gradcam._results.objectives import Class

if TYPE_CHECKING:
    from rich.table import Table

    from gradcam._engine.network import Network
    from gradcam._results.objectives import Objective, On
    from gradcam._synthesis.bases import BasisName
    from gradcam._synthesis.results import Inversion, Perturbation, Synthesis, Visualisation

_F = TypeVar("_F", bound=Callable[..., object])

_FIGURE_DPI = 120


def _steps(default: int) -> Callable[[_F], _F]:
    return click.option(
        "--steps",
        type=click.IntRange(1),
        default=default,
        show_default=True,
        metavar="N",
        help="Steps of gradient ascent.",
    )


def _weight(name: str, default: float, words: str) -> Callable[[_F], _F]:
    return click.option(
        name, type=click.FloatRange(0), default=default, show_default=True, help=words
    )


_seed = options.seed("The seed of what is random.")
_basis = click.option(
    "--basis",
    type=click.Choice(("fourier", "pixels")),
    default="fourier",
    show_default=True,
    help="What is changed: frequencies, scaled as in photographs, or pixels.",
)
_VARIATION = "The weight of the squared differences between neighbours."


def _bound(default: float) -> Callable[[_F], _F]:
    return click.option(
        "--bound",
        type=click.FloatRange(1, 255),
        default=default,
        show_default=True,
        help="The largest change of a pixel's red, green or blue, in grey levels of 0 to 255.",
    )


@click.command(short_help="Make a picture of what a class or a unit looks for.")
@options.choice
@options.classes
@options.units
@options.against
@options.on
@_steps(256)
@_weight("--l2", 1e-4, "The weight of the squared distance from the mean image.")
@_weight("--total-variation", 0.01, _VARIATION)
@_weight("--blur", 0.0, "Blur by so many pixels every 8 steps.")
@click.option(
    "--jitter",
    type=click.IntRange(0),
    metavar="N",
    help="Shift by up to N pixels in each step.  Default: a seventh of the side.",
)
@click.option(
    "--zoom",
    type=click.FloatRange(0, 1, max_open=True),
    default=0.3,
    show_default=True,
    help="Enlarge or reduce by up to this share in each step.",
)
@_basis
@click.option(
    "--optimiser",
    type=click.Choice(("adam", "gradient", "sign")),
    default="adam",
    show_default=True,
    help="Steps of Adam, along the gradient, or along its sign.",
)
@click.option(
    "--step",
    type=click.FloatRange(0, min_open=True),
    default=0.005,
    show_default=True,
    help="The length of a step, in shares of black to white.",
)
@click.option(
    "--clip/--no-clip",
    default=True,
    show_default=True,
    help="Keep values between black and white in each step.",
)
@click.option(
    "--sweep",
    metavar="OPTION=V,V,...",
    help="Make a figure with a picture for each value of one option: l2=0,1e-3,1e-2.",
)
@click.option(
    "--real",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="PICTURE",
    help="Also make a figure with the scores of this picture, or of a folder of pictures, beside "
    "those of the pictures that are made; may be repeated.",
)
@_seed
@options.out
@options.as_json
def visualise(
    choice: Choice,
    classes: tuple[str, ...],
    units: tuple[str, ...],
    against: str | None,
    on: On,
    sweep: str | None,
    real: tuple[Path, ...],
    out: Path,
    as_json: bool,
    **made_with: object,
) -> int:
    """Make a picture of what a class or a unit looks for, by gradient ascent on the picture.

    DIR/visualise-goldfish.png is the picture, and DIR/visualise-goldfish-figure.png a figure with
    its score.
    """
    if not classes and not units:
        raise click.UsageError("Name what to visualise: --class NAME, or --unit LAYER:INDEX.")
    if against is not None and not classes:
        raise click.UsageError("--against is subtracted from a class: name it with --class.")
    values = None if sweep is None else _values(sweep)
    if real and (units or against or values or on == "probability"):
        raise click.UsageError("--real goes with --class alone: it compares scores of classes.")
    pictures = _real(real, out)
    check_not_replaced([out / "visualise-*.png"], pictures)
    network = choice.network()
    terminal.note(choice, network, [])
    asked = asking.read(network, classes, units, against, on).targets()
    made_with["progress"] = _is_watched(as_json)
    out.mkdir(parents=True, exist_ok=True)
    if values is not None:
        for each, slug in zip(asked, _slugs_of(network, asked), strict=True):
            _write_sweep(network, each, made_with, values, out, slug, as_json)
        return 0
    make = cast("Callable[..., Sequence[Visualisation]]", gradcam.visualise)
    found = make(network, asked, **made_with)
    for made, slug in zip(found, _slugs(found), strict=True):
        record, _ = _save(made, out / f"visualise-{slug}", with_history=True)
        _print(record, as_json)
    if real:
        _write_scores(network, found, pictures, out, as_json)
    if not as_json:
        terminal.echo(f"Written to {out}")
    return 0


def _values(sweep: str) -> dict[str, list[object]]:
    """Return the option and its values of ``--sweep``."""
    name, _, text = sweep.partition("=")
    name, values = name.strip().replace("-", "_"), list[object]()
    known = (
        *("l2", "total_variation", "blur", "zoom", "step", "jitter", "steps"),
        *("basis", "optimiser", "clip"),
    )
    if name not in known:
        raise click.UsageError(f"--sweep {sweep}: expected one of {', '.join(known)}, then =V,V.")
    for part in text.split(","):
        try:
            values.append(_value(name, part.strip()))
        except ValueError as error:
            raise click.UsageError(f"--sweep {sweep}: {part.strip()!r} {error}.") from None
    return {name: values}


def _value(name: str, text: str) -> object:
    """Return one value of an option from its text."""
    if name in ("basis", "optimiser"):
        return text
    if name == "clip":
        if text not in ("true", "false"):
            raise ValueError("is neither true nor false")
        return text == "true"
    try:
        number = float(text)
    except ValueError:
        raise ValueError("is not a number") from None
    if name not in ("jitter", "steps"):
        return number
    if not number.is_integer():
        raise ValueError("is not a whole number")
    return int(number)


def _real(real: Sequence[Path], out: Path) -> list[Path]:
    """Return the pictures of ``--real``."""
    pictures = list(find(real, out).names)
    for path in pictures:
        if path.is_dir():
            raise click.UsageError(f"--real {path}: {NO_PICTURE}.")
        if not path.exists():
            raise click.UsageError(f"--real {path}: there is no such file.")
    return pictures


def _write_sweep(
    network: Network,
    objective: Objective,
    made_with: Mapping[str, object],
    values: Mapping[str, list[object]],
    out: Path,
    slug: str,
    as_json: bool,
) -> None:
    from gradcam import plot

    found = gradcam.sweep(network, objective, **{**made_with, **values})
    file = out / fitting(f"visualise-{slug}-sweep.png")
    plot.save(found.plot(), file, dpi=_FIGURE_DPI)
    ((name, listed),) = values.items()
    made = [
        {**_record(each), "swept": {name: value}} for each, value in zip(found, listed, strict=True)
    ]
    _print({"made_for": found[0].label, "figure": str(file), "pictures": made}, as_json)


def _write_scores(
    network: Network,
    made: Sequence[Visualisation],
    pictures: list[Path],
    out: Path,
    as_json: bool,
) -> None:
    """Write the figure of the scores of real pictures, beside those that were made."""
    from gradcam import plot

    found = gradcam.synthesised_scores(network, made, pictures, progress=_is_watched(as_json))
    file = out / "visualise-scores.png"
    plot.save(found.plot(), file, dpi=_FIGURE_DPI)
    if as_json:
        names, numbers = [str(path) for path in pictures], found.real.tolist()
        scores = [
            {"class": records.of_class(target), "scores": row}
            for target, row in zip(found.targets, numbers, strict=True)
        ]
        click.echo(json.dumps({"figure": str(file), "pictures": names, "scores": scores}))


@click.command(short_help="Change pictures so that a class's features appear in them.")
@options.pictures
@options.choice
@options.classes
@options.units
@options.against
@options.on
@_bound(32)
@_steps(64)
@_weight("--total-variation", 0.01, _VARIATION)
@_basis
@_seed
@options.out
@options.resume
@options.as_json
def edit(
    pictures: tuple[Path, ...],
    choice: Choice,
    classes: tuple[str, ...],
    units: tuple[str, ...],
    against: str | None,
    on: On,
    bound: float,
    steps: int,
    total_variation: float,
    basis: BasisName,
    seed: int,
    out: Path,
    resume: bool,
    as_json: bool,
) -> int:
    """Change pictures within a bound so that a class's score rises.

    The class is the most probable one unless --class names others.  DIR/cat-edit-tabby.png is the
    changed picture, and DIR/cat-edit-tabby-figure.png shows it beside the original.
    """

    def make(tape: Tape, asked: Asked) -> Sequence[Perturbation]:
        return gradcam.edit(
            tape,
            asked.targets([] if asked else [int(tape.scores[0].argmax())]),
            bound=bound,
            steps=steps,
            total_variation=total_variation,
            basis=basis,
            seed=seed,
            progress=_is_watched(as_json),
        )

    made_with = {"--bound": bound, "--steps": steps, "--basis": basis, "--seed": seed}
    made_with["--total-variation"] = total_variation
    network = choice.network()
    asked = asking.read(network, classes, units, against, on)
    job = _Making("edit", lambda tape: make(tape, asked), out)
    return _over(network, pictures, choice, job, asked.options() | made_with, resume, as_json)


@click.command(short_help="Change pictures invisibly so that the network is wrong about them.")
@options.pictures
@options.choice
@options.classes
@_bound(8)
@_steps(40)
@options.methods("grad_cam")
@options.out
@options.resume
@options.as_json
def adversarial(
    pictures: tuple[Path, ...],
    choice: Choice,
    classes: tuple[str, ...],
    bound: float,
    steps: int,
    methods: tuple[str, ...],
    out: Path,
    resume: bool,
    as_json: bool,
) -> int:
    """Change pictures invisibly so that the network sees the class that --class names.

    DIR/cat-adversarial-tabby.png is the changed picture, which gradcam predict reads.
    DIR/cat-adversarial-tabby-figure.png shows it beside the original, and
    DIR/cat-adversarial-tabby-grad_cam.png what Grad-CAM shows before and after.
    """
    if not classes:
        raise click.UsageError("Name the class that the network shall see: --class NAME.")

    network = choice.network()
    asked = records.asked(network.labels, classes)

    def make(tape: Tape) -> Sequence[Perturbation]:
        return gradcam.adversarial(
            tape, asked, bound=bound, steps=steps, progress=_is_watched(as_json)
        )

    made_with = {"--class": asked, "--bound": bound, "--steps": steps, "--method": methods}
    job = _Making("adversarial", make, out, methods)
    return _over(network, pictures, choice, job, made_with, resume, as_json)


@click.command(short_help="Make pictures with the code that a layer has of a picture.")
@options.pictures
@options.choice
@click.option(
    "--layer",
    "-l",
    "layers",
    multiple=True,
    metavar="LAYER",
    help="Invert this layer; may be repeated.  Default: the layer of Grad-CAM.",
)
@_steps(256)
@_weight("--total-variation", 1e-5, _VARIATION)
@_basis
@_seed
@options.out
@options.resume
@options.as_json
def invert(
    pictures: tuple[Path, ...],
    choice: Choice,
    layers: tuple[str, ...],
    steps: int,
    total_variation: float,
    basis: BasisName,
    seed: int,
    out: Path,
    resume: bool,
    as_json: bool,
) -> int:
    """Make pictures with the code that a layer has of a picture: what does the layer know?

    DIR/cat-invert-relu5_3.png is the picture, and DIR/cat-invert-relu5_3-figure.png shows it beside
    the original.
    """

    network = choice.network()
    asked = [network.names(layer)[0] for layer in layers] or [network.target_layer]

    def make(tape: Tape) -> Sequence[Inversion]:
        return gradcam.invert(
            tape,
            asked,
            steps=steps,
            total_variation=total_variation,
            basis=basis,
            seed=seed,
            progress=_is_watched(as_json),
        )

    made_with = {"--layer": asked, "--steps": steps, "--basis": basis, "--seed": seed}
    made_with["--total-variation"] = total_variation
    job = _Making("invert", make, out)
    return _over(network, pictures, choice, job, made_with, resume, as_json)


@dataclass(frozen=True)
class _Making:
    """What a command makes of each picture, and how it is saved."""

    command: str
    make: Callable[[Tape], Sequence[Synthesis]]
    out: Path
    methods: tuple[str, ...] = ()

    def work(self, tape: BatchTape, names: Sequence[str]) -> list[Finish]:
        """Make the pictures; return what saves them."""
        made = self.make(single(tape))
        return [partial(self._saved, made, *names)]

    def _saved(self, made: Sequence[Synthesis], name: str) -> Saved:
        found, written = list[Record](), list[Path]()
        for each, slug in zip(made, _slugs(made), strict=True):
            record, files = _save(each, self.out / f"{name}-{self.command}-{slug}", self.methods)
            found.append(record)
            written += files
        return {"made": found}, written


def _over(
    network: Network,
    pictures: tuple[Path, ...],
    choice: Choice,
    job: _Making,
    made_with: Mapping[str, object],
    resume: bool,
    as_json: bool,
) -> int:
    """Run a command over pictures."""
    terminal.note(choice, network, pictures)
    digest = {**choice.digest(), "command": job.command, **made_with}
    command = Command(
        *(network, job.work, _shown, as_json, 1, job.out, resume, digest),
        ends=[f"-{job.command}-*.png"],
    )
    return command.over(pictures)


def _save(
    made: Synthesis, path: Path, methods: Sequence[str] = (), *, with_history: bool = False
) -> Saved:
    """Write a picture, its figure and, by each method, the maps before and after."""
    from gradcam import plot
    from gradcam._synthesis.results import Perturbation

    def file(end: str) -> Path:
        return path.with_name(fitting(f"{path.name}{end}.png"))

    path.parent.mkdir(parents=True, exist_ok=True)
    files = {"file": file(""), "figure": file("-figure")}
    made.save(files["file"])
    plot.save(made.plot(history=with_history), files["figure"], dpi=_FIGURE_DPI)
    if isinstance(made, Perturbation):
        for method in methods:
            files[method] = file(f"-{method}")
            plot.save(made.compare(method), files[method], dpi=_FIGURE_DPI)
    named = {name: str(written) for name, written in files.items()}
    return {**_record(made), **named}, list(files.values())


def _record(made: Synthesis) -> Record:
    """Return what JSON says about a picture that was made."""
    from gradcam._synthesis.results import Inversion, Perturbation

    record: Record = {"made_for": made.label}
    if made.target is not None:
        record["class"] = records.of_class(made.target)
    if isinstance(made, Inversion):
        record |= {"layer": made.layer, "error": made.error}
    else:
        record |= {"score": made.score, "probability": made.probability}
    if isinstance(made, Perturbation):
        record["score_before"] = made.score_before
        record["probability_before"] = made.probability_before
    record["used"] = made.used
    return record | ({"notes": list(made.notes)} if made.notes else {})


def _shown(record: Record) -> Table:
    rows = terminal.table()
    for each in record["made"]:
        rows.add_row(each["made_for"], _number(each), Path(each["file"]).name)
    return rows


def _print(record: Record, as_json: bool) -> None:
    """Print a picture that was made without one."""
    if as_json:
        click.echo(json.dumps(record))
        return
    rows = terminal.table()
    for each in record.get("pictures", [record]):
        file = Path(record["figure"] if "pictures" in record else record["file"]).name
        rows.add_row(each["made_for"], _number(each), file)
    terminal.show(terminal.console(), rows)


def _number(record: Record) -> str:
    """Return the probability, the score or the error in words."""
    from gradcam._synthesis.results import certainty

    if "error" in record:
        return f"error {record['error']:.3f}"
    return certainty(record["score"], record["probability"])


def _slugs(made: Sequence[Synthesis]) -> list[str]:
    """Return a part of a file name for each picture."""
    explained = [(each.label, each.target) for each in made]
    names = records.slugs(explained)
    return [names[each] for each in explained]


def _slugs_of(network: Network, objectives: Sequence[Objective]) -> list[str]:
    """Return a part of a file name for each objective."""
    explained = [
        (each.label(network.labels), each.find(network.labels) if isinstance(each, Class) else None)
        for each in objectives
    ]
    names = records.slugs(explained)
    return [names[each] for each in explained]


def _is_watched(as_json: bool) -> bool:
    """Return whether someone sees a progress bar."""
    return sys.stderr.isatty() and not as_json
