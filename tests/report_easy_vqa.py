"""The first question answerer on easy-VQA: real questions and answers, of a package on PyPI.

    pip install easy-vqa "gradcam[train]"
    python tests/report_easy_vqa.py [--out FOLDER] [--epochs 30]

easy-VQA (Victor Zhou, MIT licence) has 5,000 pictures of 64 x 64 pixels of one coloured shape, and
48,248 questions with 13 answers: 38,575 for training and 9,673 for tests. The network and its
training are those of `gradcam.vqa`, whose VGG knows the pictograms' scenes and does not change; the
layers of the code, conv6_1 on, are trained anew; the pictures are enlarged to 112 x 112. It is
trained a second time without pictures, and the most frequent answer to each question in training
stands beside that.

The training reports the accuracy on the test questions after each epoch; nothing is chosen by it,
and the last epoch counts. The author of easy-VQA reports 99.5 % for a convolutional network
trained on twice as many of his pictures (README of easy-VQA-keras). Nothing of easy-VQA, nor the
trained network, is part of gradcam.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.table import Table

from gradcam._tables import as_text
from gradcam.measures import share
from gradcam.vqa import _train, load
from gradcam.vqa._easy_vqa import KINDS, easy_vqa_examples
from gradcam.vqa._examples import Examples
from gradcam.vqa._words import read

_BATCH = 100


def answers(examples: Examples, path: Path) -> list[str]:
    """Return what a trained answerer says to each example, computed by gradcam."""
    answerer = load(path)
    words = [answerer.encoded(read(text, answerer.words)) for text in examples.texts]
    some = answerer.network.forward(np.zeros((112, 112, 3), np.uint8), record=False)
    starts = range(0, len(examples.maps), _BATCH)
    parts = [examples.maps[first : first + _BATCH].astype(np.float32) for first in starts]
    passes = (some.run_from("pool5", part, record=False) for part in parts)
    codes = np.concatenate([each.activation(answerer.layer) for each in passes])
    said = []
    for picture, question, _, _ in examples.pairs:
        scores, _ = answerer.scores(codes[picture][None], words[question])
        said.append(answerer.answers[int(scores.array[0].argmax())])
    return said


def table(examples: Examples, said: Sequence[str], blind: dict[str, list[str]]) -> str:
    """Return the shares of right answers by kind, with the picture and without it."""
    true = [examples.answers[answer] for answer in examples.pairs[:, 2]]
    without = [blind.get(examples.texts[q], ["", ""]) for q in examples.pairs[:, 1]]
    columns = (said, [network for network, _ in without], [frequent for _, frequent in without])
    found = Table("answer", box=None, pad_edge=False)
    for title in ("right %", "blind network %", "most frequent %", "n"):
        found.add_column(title, justify="right")
    for kind in (*KINDS, "all"):
        chosen = np.ones(len(true), np.bool_)
        if kind != "all":
            chosen = examples.pairs[:, 3] == KINDS.index(kind)
        cells = []
        for column in columns:
            right = sum(a == b for a, b, c in zip(column, true, chosen, strict=True) if c)
            each = share(right, int(chosen.sum()))
            cells.append(f"{each.mean:.1%} ({each.low:.1%} to {each.high:.1%})".replace("%", ""))
        found.add_row(kind, *cells, str(int(chosen.sum())))
    return as_text(found)


def main() -> None:
    """Train with and without the pictures, and print the table."""
    parser = argparse.ArgumentParser(description="The first question answerer on easy-VQA.")
    parser.add_argument("--out", type=Path, help="folder of the runs; they are resumed")
    parser.add_argument("--epochs", type=int, default=30)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        out = Path(temporary) if options.out is None else options.out
        common = ["--data=easy-vqa", f"--epochs={options.epochs}", "--batch=64", "--rate=2e-3"]
        _train.main([f"--out={out / 'seeing'}", *common])
        _train.main([f"--out={out / 'blind'}", *common, "--blind"])
        examples = easy_vqa_examples("test")
        said = answers(examples, out / "seeing" / "lstm.safetensors")
        blind = json.loads((out / "blind" / "blind.json").read_text("utf-8"))
    print(table(examples, said, blind))


if __name__ == "__main__":
    main()
