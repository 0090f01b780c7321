"""``gradcam caption``: what a captioner says about pictures, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np

import gradcam
from gradcam._cli import asked, options, records, terminal
from gradcam._cli.many import Command, Finish, Record, Saved, single
from gradcam._cli.maps import Maps
from gradcam._cli.outputs import save_figure
from gradcam._cli.question import texts
from gradcam._files import sampled_digest
from gradcam._text import percent, words_of

if TYPE_CHECKING:
    from rich.table import Table

    from gradcam._engine.tape import BatchTape, Tape
    from gradcam._results.explanation import Explanation
    from gradcam.captioning import Caption, Captioner


_EXAMPLE = Path("scenes/scene-0.png")


@dataclass(frozen=True)
class Captioning:
    """What ``gradcam caption`` explains, and how it is saved.

    Attributes
    ----------
    captioner : Captioner
    text : str or None
        A caption that is given; None: what the captioner says.
    chosen : tuple of str
        Words of which a map is saved by itself.
    maps : Maps
        By one method.
    """

    captioner: Captioner
    text: str | None
    chosen: tuple[str, ...]
    beam: int
    maps: Maps
    dpi: int

    def options(self) -> dict[str, object]:
        """Return everything that the outputs depend on, besides the network."""
        return {
            "command": "caption",
            "--text": self.text,
            "--word": self.chosen,
            "--beam": self.beam,
            **self.maps.options(),
            "--dpi": self.dpi,
        }

    def work(self, tape: BatchTape, names: Sequence[str]) -> list[Finish]:
        """Caption a single picture; return what saves its figures and maps."""
        alone = single(tape)
        caption = (
            self.captioner.describe(alone, beam=self.beam)
            if self.text is None
            else self.captioner.caption(alone, self.text)
        )
        targets = [caption.word(word) for word in self.chosen]
        found = self.maps.explain(tape, [targets])[0] if targets else []
        return [partial(self._save, alone, caption, found, *names)]

    def _save(
        self, tape: Tape, caption: Caption, explanations: Sequence[Explanation], name: str
    ) -> Saved:
        """Save the figures and the maps of one picture."""
        (method,) = self.maps.methods
        figures = {"caption": caption.plot(tape), "words": caption.plot_words(tape, method.name)}
        files = {
            kind: save_figure(figure, self.maps.out / f"{name}-{kind}.png", self.dpi)
            for kind, figure in figures.items()
        }
        slugs = records.slugs((word, None) for word in self.chosen)
        made, written = self.maps.save(name, explanations, list(slugs.values()))
        record = {
            **_said(caption),
            "files": {kind: str(file) for kind, file in files.items()},
            "explanations": made,
        }
        return record, [*files.values(), *written]


def _said(caption: Caption) -> Record:
    """Return a caption as JSON has it."""
    return {
        "caption": caption.text,
        "log_probability": caption.log_probability,
        "ended": caption.end is not None,
        "words": [
            {"word": word, "log_probability": value, "probability": float(np.exp(value))}
            for word, value in zip(caption.words, caption.log_probabilities, strict=True)
        ],
    }


@click.command(short_help="Describe pictures in words, and explain each word.")
@options.pictures
@click.option(
    "--text", metavar="CAPTION", help="Explain this caption in place of what the captioner says."
)
@click.option(
    "--word",
    "-w",
    "chosen",
    multiple=True,
    metavar="WORD",
    help="Also save the map of this word of the caption, as a picture; may be repeated.",
)
@click.option(
    "--beam",
    type=click.IntRange(1, 100),
    default=1,
    show_default=True,
    metavar="N",
    help="Captions that are continued at each word.  1: always the most probable word.",
)
@options.method("grad_cam")
@options.layer
@click.option(
    "--weights",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="Another captioner: a file of gradcam.captioning.",
)
@options.out
@options.resume
@options.dpi
@options.as_json
def caption(
    pictures: tuple[Path, ...],
    text: str | None,
    chosen: tuple[str, ...],
    beam: int,
    method: str,
    layer: str | None,
    weights: Path | None,
    out: Path,
    resume: bool,
    dpi: int,
    as_json: bool,
) -> int:
    """Describe pictures (or folders of pictures) in words, and explain each word.

    \b
    gradcam scenes scenes                       pictures of the kind that the captioner knows
    gradcam caption scenes/scene-0.png
    gradcam caption scenes/scene-0.png --word cat
    gradcam caption scenes/scene-0.png --text "a red cat"

    DIR/scene-0-caption.png has Grad-CAM and Guided Grad-CAM of the whole caption, and
    DIR/scene-0-words.png a map for each word by --method.  With --word cat,
    DIR/scene-0-grad_cam-cat.png is the map of that word.  The captioner knows drawings of 16 kinds
    of objects in six colours, as gradcam scenes makes them.
    """
    _check_no_caption(pictures)
    captioner = _captioner(weights)
    words = tuple(dict.fromkeys(_word(captioner, each) for each in chosen))
    if text is not None:
        if beam != 1:
            raise click.UsageError("give either --text or --beam, not both.")
        _check_words(captioner.read(text), words)
    asked.check_layer(captioner.network, layer, [method])
    terminal.note_about(captioner.network, pictures)
    maps = Maps((gradcam.METHODS[method],), {}, layer, out)
    job = Captioning(captioner, text, words, beam, maps, dpi)
    content = None if weights is None else sampled_digest(weights)
    made_with = {"gradcam": gradcam.__version__, "--weights": content, **job.options()}
    command = Command(
        *(captioner.network, job.work, _show, as_json, 1, out, resume, made_with),
        ends=["-caption.png", "-words.png", *maps.ends],
    )
    return command.over(pictures)


def _captioner(weights: Path | None) -> Captioner:
    """Return the captioner of a file, or the one that ships."""
    from gradcam import captioning  # slow to import

    return captioning.model() if weights is None else captioning.load(weights)


def _check_no_caption(pictures: Sequence[Path]) -> None:
    """Raise UsageError if a caption is among the pictures."""
    sentences = [each for each in texts(list(map(str, pictures))) if " " in each]
    if sentences:
        example = next((each for each in pictures if str(each) not in sentences), _EXAMPLE)
        raise click.UsageError(
            f"{sentences[0]!r} is no picture: a caption that shall be explained goes with --text, "
            f'for example:\n  gradcam caption {example} --text "a red cat"'
        )


def _word(captioner: Captioner, given: str) -> str:
    """Return a word of --word as captions have it.

    Raises
    ------
    click.UsageError
        If it is no single word, or none that the captioner knows.
    """
    count = len(words_of(given))
    if count != 1:
        raise click.UsageError(
            f"--word {given!r}: expected one word, got {count}; --word may be repeated."
        )
    try:
        return captioner.read(given)[0]
    except ValueError as error:
        raise click.UsageError(f"--word {given}: {error}.") from None


def _check_words(caption: Sequence[str], chosen: Sequence[str]) -> None:
    """Raise UsageError if a word of --word is not in the caption of --text."""
    for word in chosen:
        if word not in caption:
            raise click.UsageError(
                f"--word {word}: it is not in the caption of --text, whose words are "
                f"{', '.join(caption)}."
            )


def _show(record: Record) -> Table:
    """Return the caption, its words with their probabilities, and the files."""
    said = (f"{each['word']} {percent(each['probability'])}" for each in record["words"])
    files = [*record["files"].values(), *(each["file"] for each in record["explanations"])]
    rows = terminal.table()
    rows.add_row("caption", record["caption"])
    rows.add_row("words", ", ".join(said))
    rows.add_row("files", ", ".join(Path(file).name for file in files))
    return rows
