"""The ImageNet network on composed photographs of which every object's outline is known.

    python tests/report_stamps.py [--pairs 60] [--seed 0] [--methods NAMES] [--pictures FOLDER]

Each picture has two cut-out photographs, one in each half, on a photograph of ground. The cut-outs
are stamps of Debian's package tuxpaint-stamps-default, whose licences (GPL, GFDL, CC BY-SA) differ
from gradcam's; the grounds are three pictures of scikit-image. Both packages are fetched into the
folder `stamps/`, which git ignores, by `apt-get download` and `pip download`; nothing of them is
part of gradcam. The table STAMPS of the script says which classes of ImageNet a stamp may have; it
was made by looking at them, before any was shown to the network.

Of each pair it is measured whether the network's first class is one of the two, and of each object,
for the class with the highest score among those that it may have:

- half: whether the maximum of the map lies in the object's half of the picture;
- mask: whether it lies on the object: the pointing game, without tolerance;
- near: the same with a tolerance of 15 pixels;
- own: the share of the map's positive values that lies in the object's half.

A map that does not depend on the class has half in exactly one of two cases.

A second table has the columns of `python -m gradcam.pictograms evaluate`, of all methods or of
those that are named. Here too an object can be removed and the picture composed again, so that its
effect on a score is known exactly. As there, methods of many passes get fewer pairs, and RISE fewer
samples. Estimated from four pairs, all methods together take about 20 minutes on two cores.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from rich.console import Console
from rich.progress import track
from rich.table import Table

import gradcam
from gradcam import imagenet
from gradcam._pictures.colour import overlay
from gradcam._registry import Method
from gradcam._results.explanation import no_flat_warnings
from gradcam._tables import as_text
from gradcam._text import wrap
from gradcam.measures import energy_inside, pointing
from gradcam.pictograms import Effects, Scene, SceneObject
from gradcam.pictograms._columns import COLUMNS, Row
from gradcam.pictograms._evaluate import Plan, _chosen
from gradcam.pictograms._measuring import NotServedError, Subject, measured_row
from gradcam.pictograms._table import _plain as plain_title
from gradcam.pictograms._table import rows_to_text

FOLDER = Path(__file__).resolve().parent.parent / "stamps"
PACKAGE = "tuxpaint-stamps-default"
SIDE = 224
STEPS = 20
SHOWN = ("grad_cam", "guided_grad_cam", "guided_backprop", "saliency")

ANY_DOG = tuple(range(151, 269))
STAMPS: dict[str, tuple[str, ...] | tuple[int, ...]] = {
    "amphibians/frog": ("bullfrog", "tree_frog", "tailed_frog"),
    "birds/duck": ("drake",),
    "birds/gander": ("goose",),
    "birds/hen": ("hen",),
    "birds/peacock": ("peacock",),
    "birds/pelican": ("pelican",),
    "birds/penguin": ("king_penguin",),
    "birds/pink_flamingo": ("flamingo",),
    "birds/rainbow-lorikeet": ("lorikeet",),
    "birds/rooster": ("cock",),
    "birds/tucan": ("toucan",),
    "birds/vulture": ("vulture",),
    "fish/lionfish": ("lionfish",),
    "fish/lobster": ("spiny_lobster", "American_lobster"),
    "insects/Brown_slug": ("slug",),
    "insects/Woodlouse": ("isopod",),
    "insects/grasshopper": ("grasshopper", "cricket"),
    "insects/mantis": ("mantis",),
    "lizards/iguana": ("common_iguana",),
    "mammals/badger": ("badger",),
    "mammals/elephant": ("Indian_elephant", "African_elephant", "tusker"),
    "mammals/ferret": ("black-footed_ferret", "polecat"),
    "mammals/hippopotamus": ("hippopotamus",),
    "mammals/pig": ("hog",),
    "mammals/wildboar": ("wild_boar",),
    "mammals/apes/chimp": ("chimpanzee",),
    "mammals/apes/gorilla": ("gorilla",),
    "mammals/aquatic/orca": ("killer_whale",),
    "mammals/aquatic/otter": ("otter",),
    "mammals/aquatic/sea_lion": ("sea_lion",),
    "mammals/bears/bear": ("brown_bear", "American_black_bear"),
    "mammals/bears/european-bear": ("brown_bear",),
    "mammals/bovines/bison": ("bison",),
    "mammals/bovines/bull": ("ox",),
    "mammals/bovines/ram": ("ram", "bighorn"),
    "mammals/camel/camel": ("Arabian_camel",),
    "mammals/camel/dromedary": ("Arabian_camel",),
    "mammals/cats/lion": ("lion",),
    "mammals/cats/lion-2": ("lion",),
    "mammals/cats/tiger": ("tiger",),
    "mammals/cats/tiger_sumatran": ("tiger",),
    "mammals/dogs/dog": ANY_DOG,
    "mammals/dogs/fox": ("red_fox", "kit_fox", "grey_fox"),
    "mammals/equines/horse": ("sorrel",),
    "mammals/equines/zebra": ("zebra",),
    "mammals/rodents/beaver": ("beaver",),
    "mammals/rodents/marmot": ("marmot",),
    "mammals/rodents/rabbit-2": ("wood_rabbit", "hare", "Angora"),
    "mammals/rodents/squirrel": ("fox_squirrel",),
    "marsupials/kangaroo": ("wallaby",),
    "marsupials/koala": ("koala",),
    "marsupials/wombat": ("wombat",),
    "../food/fruit/Strawberry2": ("strawberry",),
    "../food/fruit/lemon": ("lemon",),
    "../food/fruit/mandarine": ("orange",),
    "../food/fruit/pineapple": ("pineapple",),
    "../food/vegetables/broccoli": ("broccoli",),
    "../hobbies/binoculars": ("binoculars",),
    "../hobbies/camera_35mm": ("reflex_camera",),
    "../hobbies/music/percussion/drumkit": ("drum",),
    "../hobbies/music/string/guitar_classical": ("acoustic_guitar",),
    "../hobbies/music/string/guitar_electric": ("electric_guitar",),
    "../hobbies/music/string/violin": ("violin",),
    "../household/garbagecan": ("ashcan",),
    "../household/toilet": ("toilet_seat",),
    "../household/dishes/pitcher_small": ("pitcher", "water_jug"),
    "../household/tools/hammer": ("hammer",),
    "../plants/mushrooms/cep": ("bolete", "mushroom"),
    "../sports/basketball": ("basketball",),
    "../sports/soccer": ("soccer_ball",),
    "../vehicles/auto/truck": ("pickup",),
    "../vehicles/cycle/pink_tricycle": ("tricycle",),
    "../vehicles/emergency/firetruck": ("fire_engine",),
    "../vehicles/flight/balloon360": ("balloon",),
    "../vehicles/flight/planes/747": ("airliner",),
    "../vehicles/garbagetruck": ("garbage_truck",),
    "../vehicles/race/indycar": ("racer",),
}
"""The classes that a stamp may have, by its file among the animals: labels, or numbers."""

GROUNDS = {"grass": (0.75, 0.95, 0.55), "gravel": (1.0, 0.95, 0.88), "brick": (1.0, 0.8, 0.7)}
"""Grey photographs of scikit-image, and the colour that they are multiplied by."""


NOTES = {
    "order": "the object that raises the score more gets more evidence for each of its pixels than "
    "the other one; 50 by chance; high is good",
    "overlap": "of the evidence for a pixel of each of the two objects, what lies where the true "
    "effects above zero are. A map that is the same on both has 50 if one of them has all of the "
    "effect, else more. High is good. Causal rank: place by the mean of causal order and causal "
    "share, 1 is the best",
}
"""Of the columns that the number of objects changes."""


class Found(NamedTuple):
    """What is measured of one object and one method."""

    half: bool
    mask: bool
    near: bool
    own: float


class Stamp(NamedTuple):
    """A cut-out photograph and its classes."""

    name: str
    picture: Image.Image
    classes: tuple[int, ...]


class Pair(NamedTuple):
    """A composed picture.

    Attributes
    ----------
    picture : (SIDE, SIDE, 3) array of uint8
    masks : two (SIDE, SIDE) arrays of bool
        Where each object covers the ground by more than half.
    stamps : two Stamps
        The left one first.
    subsets : (4, SIDE, SIDE, 3) array of uint8
        The ground alone, with the left one, with the right one, and with both.
    """

    picture: np.ndarray
    masks: tuple[np.ndarray, np.ndarray]
    stamps: tuple[Stamp, Stamp]
    subsets: np.ndarray


def fetch() -> None:
    """Download both packages into FOLDER and unpack them, if that has not been done."""
    FOLDER.mkdir(exist_ok=True)
    if not (FOLDER / "deb").exists():
        subprocess.run(["apt-get", "download", PACKAGE], cwd=FOLDER, check=True)
        (package,) = FOLDER.glob(f"{PACKAGE}*.deb")
        subprocess.run(["dpkg-deb", "-x", str(package), str(FOLDER / "deb")], check=True)
    if not (FOLDER / "skimage").exists():
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--dest", "."]
        subprocess.run([*command, "scikit-image"], cwd=FOLDER, check=True)
        (wheel,) = FOLDER.glob("scikit_image*.whl")
        with zipfile.ZipFile(wheel) as archive:
            for name in GROUNDS:
                archive.extract(f"skimage/data/{name}.png", FOLDER)


def numbers_of(classes: Sequence[str | int]) -> tuple[int, ...]:
    labels = imagenet.labels()
    return tuple(each if isinstance(each, int) else labels.index(each) for each in classes)


def read_stamps() -> list[Stamp]:
    animals = FOLDER / "deb" / "usr/share/tuxpaint/stamps/animals"
    return [
        Stamp(
            name.removeprefix("../"),
            Image.open((animals / f"{name}.png").resolve()).convert("RGBA"),
            numbers_of(classes),
        )
        for name, classes in STAMPS.items()
    ]


def ground_at_random(ground: str, rng: np.random.Generator) -> np.ndarray:
    """A random part of a ground: (SIDE, SIDE, 3) array of float32, 0 to 255."""
    path = FOLDER / "skimage" / "data" / f"{ground}.png"
    with Image.open(path) as image:
        grey = np.asarray(image.convert("L"), np.float32)
    top, left = (int(rng.integers(0, size - SIDE + 1)) for size in grey.shape)
    return grey[top : top + SIDE, left : left + SIDE, None] * np.array(GROUNDS[ground], np.float32)


class Layer(NamedTuple):
    """A stamp at its place: colours, (SIDE, SIDE, 3), and opacity, (SIDE, SIDE)."""

    colours: np.ndarray
    alpha: np.ndarray

    def over(self, picture: np.ndarray) -> np.ndarray:
        """The picture with the stamp on it."""
        alpha = self.alpha[:, :, None]
        return picture * (1 - alpha) + self.colours * alpha


def placed(
    stamp: Stamp, room: tuple[float, float], left: int, width: int, rng: np.random.Generator
) -> Layer:
    """Put a stamp, as large as fits into a height and a width, at a random height into a column."""
    wide, high = stamp.picture.size
    scale = min(room[1] / wide, room[0] / high)
    size = max(1, round(wide * scale)), max(1, round(high * scale))
    cut = np.asarray(stamp.picture.resize(size, Image.Resampling.LANCZOS), np.float32)
    x, y = left + (width - size[0]) // 2, int(rng.integers(0, SIDE - size[1] + 1))
    alpha = np.zeros((SIDE, SIDE), np.float32)
    colours = np.zeros((SIDE, SIDE, 3), np.float32)
    alpha[y : y + size[1], x : x + size[0]] = cut[:, :, 3] / 255
    colours[y : y + size[1], x : x + size[0]] = cut[:, :, :3]
    return Layer(colours, alpha)


def compose(stamps: tuple[Stamp, Stamp], ground: str, rng: np.random.Generator) -> Pair:
    """Put one stamp into each half of a random part of a ground."""
    pictures = [ground_at_random(ground, rng)] * 4
    masks = []
    for i, stamp in enumerate(stamps):
        room = 0.75 * SIDE, 0.92 * SIDE / 2
        layer = placed(stamp, room, SIDE // 2 * i, SIDE // 2, rng)
        for subset in (1 << i, 3):
            pictures[subset] = layer.over(pictures[subset])
        masks.append(layer.alpha > 0.5)
    subsets = np.stack(pictures).round().astype(np.uint8)
    return Pair(subsets[3], (masks[0], masks[1]), stamps, subsets)


def pairs_at_random(count: int, seed: int) -> list[Pair]:
    """Pairs of stamps without a common class, each stamp about equally often."""
    rng = np.random.default_rng(seed)
    stamps = read_stamps()
    order: list[int] = []
    grounds = list(GROUNDS)
    pairs = []
    while len(pairs) < count:
        if len(order) < 2:
            order = list(rng.permutation(len(stamps)))
        a, b = stamps[order.pop()], stamps[order.pop()]
        if not set(a.classes) & set(b.classes):
            pairs.append(compose((a, b), grounds[len(pairs) % len(grounds)], rng))
    return pairs


def straight_network() -> gradcam.Network:
    """The ImageNet network for pictures of the size of its input, which are not cropped."""
    network = imagenet.model()
    preset = replace(network.preset, size=SIDE, shorter_side=None)
    layers = list(network.layers.values())[1:]
    return gradcam.Network.from_layers(
        layers, labels=network.labels, preset=preset, name="imagenet"
    )


class Stamps(Subject):
    """The ImageNet network on pairs of stamps, as the scenes of two objects."""

    def __init__(self, pairs: Sequence[Pair]) -> None:
        super().__init__(straight_network())
        self.pairs = pairs

    def _scene(self, number: int) -> Scene:
        pair = self.pairs[number]
        scores = self.network.forward(pair.picture).scores[0]
        objects = []
        for stamp, mask in zip(pair.stamps, pair.masks, strict=True):
            index = max(stamp.classes, key=lambda each: scores[each])
            rows, columns = np.nonzero(mask)
            box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
            label = self.network.labels[index].label
            objects.append(SceneObject(index, label, tuple(map(int, box)), mask))
        return Scene(pair.picture, objects)

    def _effects(self, number: int) -> Effects:
        values = self.network.forward(self.pairs[number].subsets, record=False).scores
        return Effects(self.scene(number), self.network.labels, "score", values.astype(np.float64))


def check(explanation: gradcam.Explanation, mask: np.ndarray, right: bool) -> Found:
    """Find where the maximum of a map is, and how much of the map lies in the object's half."""
    half = (SIDE // 2 * right, 0, SIDE // 2 * (1 + right), SIDE)
    return Found(
        pointing(explanation, half, 0),
        pointing(explanation, mask, 0),
        pointing(explanation, mask),
        float(np.nan_to_num(energy_inside(explanation, half))),
    )


def measure(subject: Stamps, pictures: Path | None) -> tuple[int, int, dict[str, list[Found]]]:
    """Return how many first classes are one of the two, how many are both, and the objects."""
    found: dict[str, list[Found]] = {method: [] for method in SHOWN}
    first = both = 0
    for number, pair in enumerate(subject.pairs):
        tape = subject.network.forward(pair.picture)
        left, right = (set(stamp.classes) for stamp in pair.stamps)
        top = np.argsort(-tape.scores[0])[:5].tolist()
        first += top[0] in left | right
        both += bool(left & set(top)) and bool(right & set(top))
        for i, each in enumerate(subject.scene(number).objects):
            for method in SHOWN:
                with no_flat_warnings():
                    explanation = tape.explain(method, each.index)
                    found[method].append(check(explanation, each.mask, bool(i)))
                if pictures is not None and method == "grad_cam":
                    save(pictures / f"{number:02}{'ab'[i]}.png", pair, explanation, each.index, top)
    return first, both, found


def save(
    path: Path, pair: Pair, explanation: gradcam.Explanation, target: int, top: Sequence[int]
) -> None:
    """Write the picture beside the picture under the map, with the classes as the name's end."""
    mixed = overlay(pair.picture, explanation.map)
    labels = imagenet.labels()
    name = f"{path.stem}-{labels[target].label}-first-{labels[top[0]].label}.png"
    Image.fromarray(np.concatenate([pair.picture, mixed], axis=1)).save(path.with_name(name))


def to_table(found: dict[str, list[Found]]) -> Table:
    table = Table("method", box=None, pad_edge=False)
    for title in ("half", "mask", "near", "own"):
        table.add_column(title, justify="right")
    for method, every in found.items():
        counts = [sum(each[i] for each in every) for i in range(3)]
        own = float(np.mean([each.own for each in every]))
        cells = [f"{count} of {len(every)}" for count in counts]
        table.add_row(method, *cells, f"{own:.1%}")
    return table


def chosen_methods(names: str | None) -> list[Method]:
    """Return the methods that are named, with the options of the table of all methods.

    Raises
    ------
    ValueError
        If there is no method of such a name, or one is named twice.
    """
    all_methods = names is None or names == "all"
    return _chosen(None if all_methods else [name.strip() for name in names.split(",")])


def rows_of(
    methods: Sequence[Method], subject: Stamps, plan: Plan
) -> tuple[list[Row], dict[str, str]]:
    """Measure each method on the pairs; also return why some were left out."""
    rows, skipped = [], {}
    for method in track(methods, "methods", console=Console(stderr=True)):
        try:
            rows.append(measured_row(method, subject, *plan.counts(method), steps=plan.steps))
        except NotServedError as error:
            skipped[method.name] = str(error)
    return rows, skipped


def notes(plan: Plan, skipped: Mapping[str, str]) -> str:
    """Return what the second table means."""
    known = {key: column.note for key, column in COLUMNS.items() if column.note} | NOTES
    lines = [
        f"Pictures of two objects, each asked for; for causal order and share, one of them; for "
        f"occlusion, deletion, insertion and random weights, the left one. n: "
        f"pictures / pictures with further passes of the network ({plan.steps} steps of deletion "
        f"and insertion). ±: half of the 95 % bootstrap interval of the mean over pictures."
    ]
    lines += [f"{plain_title(COLUMNS[key].title)}: {note}." for key, note in known.items()]
    lines += [f"{name} was left out: {reason}" for name, reason in skipped.items()]
    return "\n".join(line for text in lines for line in wrap(text, 98))


def count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected at least 1, got {number}")
    return number


def parse() -> tuple[argparse.Namespace, list[Method]]:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--pairs", type=count, default=60)
    add("--seed", type=int, default=0)
    add("--methods", help="of the second table, with commas; by default all")
    add("--passes", type=count, default=10, help="pairs with further passes")
    add("--pictures", type=Path, help="also write the pictures with their maps")
    options = parser.parse_args()
    try:
        return options, chosen_methods(options.methods)
    except ValueError as error:
        parser.error(str(error))


def main() -> None:
    options, methods = parse()
    fetch()
    if options.pictures is not None:
        options.pictures.mkdir(exist_ok=True, parents=True)
    pairs = pairs_at_random(options.pairs, options.seed)
    subject = Stamps(pairs)
    first, both, found = measure(subject, options.pictures)
    print(
        f"{len(pairs)} pairs of {len(STAMPS)} stamps, seed {options.seed}: the first class is one "
        f"of the two\nin {first}, both are among the first five in {both}.\n"
    )
    print(as_text(to_table(found)))
    plan = Plan(len(pairs), min(len(pairs), options.passes), STEPS)
    rows, skipped = rows_of(methods, subject, plan)
    print(f"\n{rows_to_text(rows, subject.network.name)}\n\n{notes(plan, skipped)}")
    print(f"{sum(row['seconds'] for row in rows):.0f} s")


if __name__ == "__main__":
    main()
