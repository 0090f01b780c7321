"""Do failures have reasons? Selvaraju et al. 2017, section 6.1, on scenes whose truth is known.

    python tests/report_failures.py [--scenes 300] [--network pictograms|weak] [--shares 0,0.2,...]

Scenes of one object are drawn, and drawn again with a distractor in front that hides a share of the
object. The first table has the share of pictures that the network gets wrong. For each failure the
truth says whether it has a reason:

- hidden: less than half of the object is visible;
- look-alike: the wrong class is one of the five, of 35 others, whose pictograms are most similar to
  the true class's in their pixels: 16 x 16, the mean of all pictograms of a class;
- something else: the maximum of the wrong class's map is neither on the object nor within 15 pixels
  of it, but on the distractor in front or on the ground.

Another table has the wrong class's rank by three similarities: of these pixels, of the codes of
`pictograms.model()`, and of the codes of the network that is judged. A code is the mean, over 10
plain scenes of a class, of what the network's last layer reads. Similar is a large cosine, after
the mean of all classes has been subtracted. A network's own codes are no independent truth: classes
that it confuses have similar codes.

The last table says where the map of the wrong and of the right class lies: the share of its sum on
the visible object, on the distractor in front, and elsewhere, beside the shares of the area.

With the default values, `pictograms.model()` fails 842 times. In 92 % of these, more than half of
the object is hidden. In 26 % (23 to 29) the wrong class is a look-alike, by chance 14 %; if most of
the object is visible, in 36 % (25 to 46). Of the wrong class's Grad-CAM, 38 % lies on the
distractor in front, and of the right class's, 22 %.

Intervals are bootstrap intervals over failures. Those of all shares together are somewhat too
narrow, since one scene can fail with several shares.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image
from rich.table import Table

import gradcam
from gradcam import Failure, Failures, Network, pictograms
from gradcam._codes import pooled_codes
from gradcam._results.explanation import no_flat_warnings
from gradcam._tables import as_text
from gradcam.measures import bootstrap, energy_inside, pointing
from gradcam.pictograms import CLASSES, Scene
from gradcam.pictograms._drawing import INDEX, sprites

FIRST_SEED, FIRST_PLAIN_SEED = 100_000, 900_000
SHARES = (0.0, 0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
PLACES = ("object", "distractor in front", "elsewhere")
ALIKE = 5
PIXELS = "pixels"
SPRITE_SIDE = 16
PER_CLASS = 10


class Found(NamedTuple):
    """What the truth says of one failure.

    Attributes
    ----------
    visible : float
        The share of the object that is visible.
    ranks : dict of str to int
        Of the wrong class among the others by each similarity to the true one, 1 for the most
        similar.
    points : bool
        Whether the wrong class's map points at the object, or near it.
    wrong, right, area : three floats
        Shares on each of PLACES.
    """

    visible: float
    ranks: Mapping[str, int]
    points: bool
    wrong: tuple[float, ...]
    right: tuple[float, ...]
    area: tuple[float, ...]


def by_codes(network: Network) -> np.ndarray:
    """The mean code of each class."""
    classes = np.repeat(np.arange(len(CLASSES)), PER_CLASS)
    scenes = (
        pictograms.scene(FIRST_PLAIN_SEED + n, classes=[int(index)]).picture
        for n, index in enumerate(classes)
    )
    codes = pooled_codes(network, scenes).values.astype(np.float64)
    return codes.reshape(len(CLASSES), PER_CLASS, -1).mean(1)


def by_pixels() -> np.ndarray:
    """The mean of the pictograms of each class, on grey."""
    shown = [
        np.asarray(each.resize((SPRITE_SIDE, SPRITE_SIDE), Image.Resampling.BOX), np.float64)
        for each in sprites()
    ]
    grey = [127.5 + (each[..., :3] - 127.5) * each[..., 3:] / 255 for each in shown]
    return np.stack(
        [np.mean([grey[cell] for cell in one["cells"]], axis=0).ravel() for one in INDEX["classes"]]
    )


def ranks(means: np.ndarray) -> np.ndarray:
    """The rank of each class (column) by similarity to each class (row); 0 for itself."""
    means = means - means.mean(0)
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    similar = means @ means.T
    np.fill_diagonal(similar, np.inf)
    return np.argsort(np.argsort(-similar, axis=1, kind="stable"), axis=1)


def share(map: gradcam.Explanation, place: np.ndarray) -> float:
    """The share of a map on a place, which may have no pixel."""
    return energy_inside(map, place) if place.any() else 0.0


def judged(failure: Failure, plain: Scene, ranks: Mapping[str, np.ndarray]) -> Found:
    """Compare a failure with the truth."""
    scene = failure.source
    mask = scene.objects[0].mask
    cover = (scene.picture != plain.picture).any(2) & ~mask
    places = (mask, cover, ~(mask | cover))
    with no_flat_warnings():
        wrong, right = failure.explain("grad_cam")
        return Found(
            mask.sum() / plain.objects[0].mask.sum(),
            {
                name: int(of[failure.truth.index, failure.predicted.index])
                for name, of in ranks.items()
            },
            pointing(wrong, mask),
            tuple(share(wrong, place) for place in places),
            tuple(share(right, place) for place in places),
            tuple(float(place.mean()) for place in places),
        )


def percent(values: Sequence[float] | np.ndarray) -> str:
    """A mean in percent with its interval."""
    mean, low, high, size = bootstrap(np.asarray(values, np.float64))
    if size < 2:
        return f"{100 * mean:.1f}"
    return f"{100 * mean:.1f} ({100 * low:.1f} to {100 * high:.1f})"


def rates(found: dict[float, tuple[Failures, list[Found]]]) -> Table:
    """The failure rate for each hidden share."""
    table = Table("hidden", box=None, pad_edge=False)
    for title in ("pictures", "wrong", "wrong, %", "the object is pointed at, %"):
        table.add_column(title, justify="right")
    for hidden, (result, each) in found.items():
        wrong = [1.0] * result.wrong_count + [0.0] * (result.count - result.wrong_count)
        at = percent([one.points for one in each]) if each else "-"
        numbers = (str(result.count), str(result.wrong_count))
        table.add_row(f"{hidden:.0%}", *numbers, percent(wrong), at)
    return table


def reasons(found: Sequence[Found]) -> Table:
    """How many failures have each reason."""
    hidden = np.array([each.visible < 0.5 for each in found])
    alike = np.array([each.ranks[PIXELS] <= ALIKE for each in found])
    other = np.array([not each.points for each in found])
    none = ~(hidden | alike | other)
    table = Table("reason", box=None, pad_edge=False)
    table.add_column("of all failures, %", justify="right")
    table.add_column("of those of mostly visible objects, %", justify="right")
    for name, values in (
        ("hidden by more than half", hidden),
        (f"look-alike (by chance {ALIKE / (len(CLASSES) - 1):.0%})", alike),
        ("the map points at something else", other),
        ("none of these", none),
    ):
        seen = percent(values[~hidden]) if (~hidden).any() else "-"
        table.add_row(name, percent(values), seen)
    return table


def similarities(found: Sequence[Found]) -> Table:
    """How similar the wrong class is to the true one."""
    others = len(CLASSES) - 1
    table = Table("similar by", box=None, pad_edge=False)
    table.add_column(f"median rank (by chance {(others + 1) / 2:.0f})", justify="right")
    table.add_column(f"among the first {ALIKE}, % (by chance {100 * ALIKE / others:.0f})")
    for name in found[0].ranks:
        values = np.array([each.ranks[name] for each in found])
        table.add_row(name, f"{np.median(values):.0f}", percent(values <= ALIKE))
    return table


def places(found: Sequence[Found]) -> Table:
    """Where the maps lie."""
    table = Table("share of", *PLACES, box=None, pad_edge=False)
    for name in ("wrong", "right", "area"):
        columns = np.array([getattr(each, name) for each in found]).T
        words = "the area" if name == "area" else f"the {name} class's map"
        table.add_row(words, *map(percent, columns))
    return table


def symmetry(every: Sequence[Failures], seed: int = 0) -> str:
    """How often the reverse of a confusion occurs too, and by chance."""
    pairs = Counter[tuple[int, int]]()
    for result in every:
        for each in result.confusions:
            pairs[each.truth.index, each.predicted.index] += each.times
    listed = np.array(list(pairs.elements()))

    def reversed_share(confusions: np.ndarray) -> float:
        known = {tuple(each) for each in confusions.tolist()}
        return float(np.mean([(b, a) in known for a, b in confusions.tolist()]))

    rng = np.random.default_rng(seed)
    chance = [
        reversed_share(np.stack([listed[:, 0], rng.permutation(listed[:, 1])], 1))
        for _ in range(200)
    ]
    return (
        f"of {len(listed)} failures, {reversed_share(listed):.1%} have a reverse (b taken for a "
        f"where a is taken for b); {np.mean(chance):.1%} with the wrong classes shuffled"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scenes", type=int, default=300)
    parser.add_argument("--network", choices=("pictograms", "weak"), default="pictograms")
    parser.add_argument("--shares", default=",".join(map(str, SHARES)), help="that are hidden")
    parser.add_argument("--figure", help="a PNG of the most confident failures, of the last share")
    options = parser.parse_args()
    network = pictograms.model() if options.network == "pictograms" else pictograms.weak_model()
    plain = [pictograms.scene(FIRST_SEED + n, objects=1) for n in range(options.scenes)]
    alike = {PIXELS: ranks(by_pixels())}
    for each in dict.fromkeys((pictograms.model(), network)):
        alike[f"codes of {each.name}"] = ranks(by_codes(each))
    found: dict[float, tuple[Failures, list[Found]]] = {}
    for hidden in map(float, options.shares.split(",")):
        scenes = (
            [each.covered(0, hidden, seed=n) for n, each in enumerate(plain)] if hidden else plain
        )
        result = gradcam.failures(network, scenes)
        judgements = [judged(each, plain[each.number], alike) for each in result.wrong]
        found[hidden] = result, judgements
    if options.figure and result.wrong:
        gradcam.plot.save(result.plot(), options.figure)
    every = [each for _, judgements in found.values() for each in judgements]
    print(f"{network.name}, {options.scenes} scenes of one object (95 % intervals)\n")
    print(as_text(rates(found)))
    if every:
        for table in (reasons(every), similarities(every), places(every)):
            print(f"\n{as_text(table)}")
        print()
        print(symmetry([result for result, _ in found.values()]))


if __name__ == "__main__":
    main()
