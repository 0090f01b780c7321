"""Shape against texture for the ImageNet network: cut-out photographs with other animals' skins.

    python tests/report_textures.py [--copies 3] [--seed 0] [--pictures FOLDER]

Geirhos et al. 2019 asked whether networks rely on the shape or on the texture. Each shape is a
stamp of an animal (see report_stamps.py, which fetches them; nothing of them is part of gradcam),
on a photograph of ground. It is filled with the texture of a tiger or a zebra, which are stamps
too, or of the pictogram of a leopard, since there is no stamp of one; darker and brighter where
the animal is, so that its inner lines remain. The texture is that of `gradcam.pictograms`' scenes.

For each texture, the table has means over pictures, with 95 % bootstrap intervals over shapes:

- alone: the probability of the texture's classes for the tiger, zebra or leopard itself: if it is
  small, the network does not know the texture either;
- plain: how often a class of the shape is the most probable one, without the texture;
- shape, texture: the probability of all classes of the shape, and of the texture, with it;
- by shape, by texture: how often the most probable class is one of them;
- shape bias: of these, the share that is by shape. "of plain" counts only shapes that are right
  without the texture, as in the paper.

With --pictures, a figure of the elephant for each texture: three most probable classes, and maps.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import report_stamps as stamps
from PIL import Image
from rich.table import Table

from gradcam import Network, imagenet
from gradcam._pictures.grids import Cell, grid
from gradcam._tables import as_text
from gradcam._text import percent
from gradcam.measures import bootstrap
from gradcam.pictograms._drawing import INDEX, sprites
from gradcam.pictograms._scenes import class_index
from gradcam.pictograms._textures import fill
from gradcam.plot import save

ROOM = 0.85 * stamps.SIDE
"""The largest side of an animal, in pixels."""

SHAPES = ("mammals", "birds")
"""Folders of the stamps that are filled."""

ELEPHANT = "mammals/elephant"

TEXTURES: dict[str, tuple[str, tuple[str, ...]]] = {
    "tiger": ("mammals/cats/tiger_sumatran", ("tiger",)),
    "zebra": ("mammals/equines/zebra", ("zebra",)),
    "leopard": ("", ("leopard", "snow_leopard", "jaguar", "cheetah")),
}
"""The stamp of each texture, and its classes; without a stamp: the pictogram of this name."""


class Judged(NamedTuple):
    """What the network says of one shape, the means over its copies.

    Attributes
    ----------
    plain : float
        How often it is right without the texture.
    shape, texture : float
        The probabilities with it.
    by_shape, by_texture : float
        How often the most probable class is one of theirs.
    """

    plain: float
    shape: float
    texture: float
    by_shape: float
    by_texture: float


def fitted(picture: Image.Image) -> Image.Image:
    """A cut-out as large as it is drawn."""
    zoom = ROOM / max(picture.size)
    size = max(1, round(picture.width * zoom)), max(1, round(picture.height * zoom))
    return picture.resize(size, Image.Resampling.LANCZOS)


def texture(name: str, known: dict[str, stamps.Stamp]) -> stamps.Stamp:
    """The animal whose skin is taken."""
    source, classes = TEXTURES[name]
    if source:
        return known[source]._replace(classes=stamps.numbers_of(classes))
    (cell, *_) = INDEX["classes"][class_index(name)]["cells"]
    return stamps.Stamp(name, sprites()[cell], stamps.numbers_of(classes))


def filled(shape: stamps.Stamp, skin: stamps.Stamp, seed: int) -> stamps.Stamp:
    """A shape with another animal's skin."""
    patch, other = (np.asarray(fitted(each.picture)) for each in (shape, skin))
    found = fill(patch, other, np.random.default_rng(seed), shading=True)
    return shape._replace(picture=Image.fromarray(found))


def on_ground(stamp: stamps.Stamp, copy: int, seed: int) -> np.ndarray:
    """One copy of a stamp: the same place and ground for every stamp of one size."""
    rng = np.random.default_rng([seed, copy])
    names = list(stamps.GROUNDS)
    ground = stamps.ground_at_random(names[copy % len(names)], rng)
    layer = stamps.placed(stamp, (ROOM, ROOM), 0, stamps.SIDE, rng)
    return layer.over(ground).round().astype(np.uint8)


def judge(
    network: Network, shape: stamps.Stamp, skin: stamps.Stamp, copies: int, seed: int
) -> Judged:
    """Ask the network about a shape with and without a texture."""
    changed = filled(shape, skin, seed)
    pictures = [on_ground(each, n, seed) for each in (shape, changed) for n in range(copies)]
    tape = network.forward(pictures, record=False)
    plain, top = np.split(tape.scores.argmax(1), 2)
    chances = tape.probabilities[copies:]
    sums = [chances[:, list(each.classes)].sum(1).mean() for each in (shape, skin)]
    is_one = [np.isin(top, each.classes).mean() for each in (shape, skin)]
    right = np.isin(plain, shape.classes).mean()
    return Judged(*map(float, (right, *sums, *is_one)))


def alone(network: Network, skin: stamps.Stamp, copies: int, seed: int) -> float:
    """The probability of the texture's classes for the animal whose skin it is."""
    pictures = [on_ground(skin, n, seed) for n in range(copies)]
    chances = network.forward(pictures, record=False).probabilities
    return float(chances[:, list(skin.classes)].sum(1).mean())


def bias(found: Sequence[Judged]) -> str:
    """Of decisions for one of both, the share that is by shape."""
    by_shape = sum(each.by_shape for each in found)
    decided = by_shape + sum(each.by_texture for each in found)
    return f"{100 * by_shape / decided:.0f}" if decided else "-"


def to_table(found: Mapping[str, list[Judged]], known: Mapping[str, float]) -> Table:
    """A row for each texture."""
    titles = [field.replace("_", " ") for field in Judged._fields]
    table = Table("texture", box=None, pad_edge=False)
    for title in (
        "alone, %",
        "shapes",
        *(f"{each}, %" for each in titles),
        "shape bias, %",
        "of plain, %",
    ):
        table.add_column(title, justify="right")
    for name, each in found.items():
        means = [bootstrap(100 * np.array(column)) for column in zip(*each, strict=True)]
        cells = [f"{mean:.0f} ({low:.0f} to {high:.0f})" for mean, low, high, _ in means]
        right = [one for one in each if one.plain == 1]
        table.add_row(
            name, f"{100 * known[name]:.0f}", str(len(each)), *cells, bias(each), bias(right)
        )
    return table


def figure(
    network: Network, shape: stamps.Stamp, skin: stamps.Stamp, name: str, seed: int
) -> object:
    """The shape, the texture and both in one: three most probable classes, and maps of each."""
    three = {
        "elephant": shape,
        name: skin,
        f"elephant shape, {name} texture": filled(shape, skin, seed),
    }
    tapes = [network.forward(on_ground(each, 0, seed)) for each in three.values()]
    classes = [
        max(each.classes, key=lambda index: tape.scores[0][index])
        for each, tape in zip((shape, skin), tapes, strict=False)
    ]
    rows = []
    for tape in tapes:
        top = [f"{label.replace('_', ' ')} {percent(p)}" for _, label, p in tape.top(3)]
        maps = tape.grad_cam(classes)
        cells = [Cell(each.image, f"{each.words} {each.certainty}") for each in maps]
        rows.append([Cell(maps[0].picture, "\n".join(top)), *cells])
    columns = ["Top three classes"]
    columns += [f"Grad-CAM: {network.labels[each]}" for each in classes]
    heading = f"Where is the {name}? {network.name} on an elephant with the texture of a {name}"
    return grid(rows, heading=heading, columns=columns, rows=list(three))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--copies", type=stamps.count, default=3, help="of each shape, on grounds")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--pictures", type=Path, help="a folder for the figures")
    options = parser.parse_args()
    stamps.fetch()
    network = imagenet.model()
    known = {each.name: each for each in stamps.read_stamps()}
    shapes = [each for name, each in known.items() if name.split("/")[0] in SHAPES]
    found: dict[str, list[Judged]] = {}
    by_itself: dict[str, float] = {}
    for name in TEXTURES:
        skin = texture(name, known)
        by_itself[name] = alone(network, skin, options.copies, options.seed)
        others = [each for each in shapes if not {*each.classes} & {*skin.classes}]
        found[name] = [judge(network, each, skin, options.copies, options.seed) for each in others]
        if options.pictures is not None:
            options.pictures.mkdir(parents=True, exist_ok=True)
            drawn = figure(network, known[ELEPHANT], skin, name, options.seed)
            save(drawn, options.pictures / f"elephant-{name}.png")
    print(f"{network.name}, {options.copies} pictures of each shape, seed {options.seed}\n")
    print(as_text(to_table(found, by_itself)))


if __name__ == "__main__":
    main()
