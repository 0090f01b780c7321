"""Units named by masks: thresholds, overlaps and names, compared with plain NumPy; sentences."""

from __future__ import annotations

import math
import pickle
import weakref
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

import gradcam
from gradcam import Explanation, Layer, Network, inside, pictograms
from gradcam._pictures import presets
from gradcam.inside import Concept
from gradcam.inside._chance import EarlierMasks
from gradcam.inside._quantiles import Quantiles
from gradcam.inside._units_figure import highlighted
from gradcam.pictograms._concepts import COLOURS, colour_numbers


def network(seed: int = 0, *, dead: int | None = None, crop: bool = False) -> Network:
    """Six units of 8 x 8 for pictures of 64 x 64."""
    rng = np.random.default_rng(seed)
    bias = rng.normal(size=6).astype(np.float32)
    if dead is not None:
        bias[dead] = -1e6
    kernel = rng.normal(size=(6, 3, 5, 5)).astype(np.float32)
    layers = [
        Layer("conv", "conv", (), {"weight": kernel, "bias": bias}, {"stride": 8, "padding": 2}),
        Layer("relu", "relu"),
        Layer("mean", "global_average_pool"),
        Layer("flatten", "flatten"),
        Layer("scores", "linear", weights={"weight": rng.normal(size=(4, 6)).astype(np.float32)}),
        Layer("prob", "softmax"),
    ]
    preset = replace(presets.find("torchvision-straight"), size=64)
    if crop:
        preset = replace(preset, shorter_side=80)
    return Network.from_layers(layers, labels=list("abcd"), preset=preset, name="six")


def random_set(
    count: int, size: tuple[int, int] = (64, 64), seed: int = 3
) -> tuple[list[np.ndarray], list[dict[Concept, np.ndarray]]]:
    """Pictures of noise, and masks of two kinds; not every picture has every kind."""
    rng = np.random.default_rng(seed)
    pictures, masks = [], []
    for number in range(count):
        pictures.append(rng.integers(0, 256, (*size, 3), dtype=np.uint8))
        found = {}
        for name, kind, every in (("a", "thing", 2), ("b", "thing", 3), ("a", "colour", 4)):
            if number % every == 0:
                y, x = rng.integers(0, size[0] // 2), rng.integers(0, size[1] // 2)
                mask = np.zeros(size, bool)
                mask[y : y + size[0] // 2, x : x + size[1] // 3] = True
                found[Concept(name, kind)] = mask
        masks.append(found)
    return pictures, masks


# --- the twin ---


def enlarged(maps: np.ndarray, geometry: gradcam._pictures.image.Geometry) -> np.ndarray:
    """Bilinear, pixel centres at half positions, in float64; NaN where the input shows nothing."""
    axes = []
    for axis in (0, 1):
        begin, end = geometry.region[axis], geometry.region[axis + 2]
        length = maps.shape[axis + 1]
        centres = np.arange(geometry.picture[axis]) + 0.5
        place = ((centres - begin) / (end - begin) * length - 0.5).clip(0, length - 1)
        low = np.floor(place).astype(int).clip(0, max(0, length - 2))
        weight = place - low
        weight[(centres < begin) | (centres >= end)] = np.nan
        axes.append((low, np.minimum(low + 1, length - 1), weight))
    (y0, y1, v), (x0, x1, u) = axes
    rows = maps[:, y0] * (1 - v)[:, None] + maps[:, y1] * v[:, None]
    found: np.ndarray = rows[:, :, x0] * (1 - u) + rows[:, :, x1] * u
    return found


def twin(
    net: Network,
    pictures: Sequence[np.ndarray],
    masks: Sequence[dict[Concept, np.ndarray]],
    quantile: float,
) -> tuple[np.ndarray, dict[Concept, np.ndarray]]:
    """Bau et al.'s thresholds and IoU, with all maps in memory."""
    tapes = [net.forward(picture) for picture in pictures]
    maps = [tape.activation("relu")[0].astype(np.float64) for tape in tapes]
    every = np.concatenate([each.reshape(len(each), -1) for each in maps], axis=1)
    thresholds = np.quantile(every, quantile, axis=1, method="inverted_cdf")
    both: dict[Concept, np.ndarray] = {}
    either: dict[Concept, np.ndarray] = {}
    concepts = {concept for each in masks for concept in each}
    for tape, each, known in zip(tapes, maps, masks, strict=True):
        on_picture = enlarged(each, tape.geometry)
        seen = ~np.isnan(on_picture[0])
        fires = (on_picture >= thresholds[:, None, None]) & seen
        for concept in concepts:
            if not any(one.kind == concept.kind and (known[one] & seen).any() for one in known):
                continue
            mask = known.get(concept, np.zeros(seen.shape, bool)) & seen
            both[concept] = both.get(concept, 0) + (fires & mask).sum((1, 2))
            either[concept] = either.get(concept, 0) + (fires | mask).sum((1, 2))
    return thresholds, {each: both[each] / either[each] for each in concepts}


@pytest.mark.parametrize("size", [(64, 64), (128, 96), (40, 48)])
@pytest.mark.parametrize("crop", [False, True])
@pytest.mark.parametrize("batch", [1, 8])
def test_scores_are_those_of_the_twin(size: tuple[int, int], crop: bool, batch: int) -> None:
    net = network(crop=crop)
    pictures, masks = random_set(13, size)
    thresholds, scores = twin(net, pictures, masks, 0.9)
    found = inside.dissect(net, pictures, masks, quantile=0.9, batch=batch)
    np.testing.assert_array_equal(found.thresholds, thresholds.astype(np.float32))
    assert set(found.concepts) == set(scores)
    assert found.pictures == 13
    for n, concept in enumerate(found.concepts):
        np.testing.assert_allclose(found.scores[:, n], scores[concept], atol=2e-4)
        assert found.frequencies[n] == sum(concept in each for each in masks)


def test_pictures_without_a_kind_do_not_count_for_it() -> None:
    pictures, masks = random_set(6)
    assert not masks[5]
    found = inside.dissect(network(), pictures, masks, quantile=0.9)
    masks[5] = {Concept("a", "colour"): masks[0][Concept("a", "colour")]}
    again = inside.dissect(network(), pictures, masks, quantile=0.9)
    assert found.concepts == again.concepts == (("a", "colour"), ("a", "thing"), ("b", "thing"))
    np.testing.assert_array_equal(found.scores[:, 1:], again.scores[:, 1:])
    assert not np.array_equal(found.scores[:, 0], again.scores[:, 0])


@pytest.mark.parametrize("quantile", [0.01, 0.5, 0.9, 0.995, 0.9999])
def test_quantiles_are_exact_in_parts(quantile: float) -> None:
    rng = np.random.default_rng(0)
    values = rng.integers(0, 400, (5, 3000)).astype(np.float32)  # with many ties
    parts = np.split(values, np.sort(rng.choice(3000, 40, replace=False)), axis=1)
    found = Quantiles(5, 3100, quantile)  # 100 more are expected than come
    for part in parts:
        if part.size:
            found.add(part)
    expected = np.quantile(values, quantile, axis=1, method="inverted_cdf")
    np.testing.assert_array_equal(found.found(), expected)
    assert ((values > found.found()[:, None]).mean(1) <= 1 - quantile).all()
    np.testing.assert_array_equal(found.smallest, values.min(1))


def test_quantiles_keep_only_what_they_need() -> None:
    found = Quantiles(3, 100_000, 0.99)
    for _ in range(100):
        found.add(np.random.default_rng(1).random((3, 1000), np.float32))
        assert sum(part.shape[1] for part in found._parts) <= 3 * 1001


def test_a_planted_detector_gets_its_name() -> None:
    """Unit 0 is the red channel; the red square of each picture is named."""
    kernel = np.zeros((2, 3, 1, 1), np.float32)
    kernel[0, 0] = kernel[1, 2] = 1
    layers = [
        Layer("conv", "conv", weights={"weight": kernel}),
        Layer("relu", "relu"),
        Layer("mean", "global_average_pool"),
        Layer("scores", "flatten"),
    ]
    preset = replace(presets.find("torchvision-straight"), size=64)
    net = Network.from_layers(layers, preset=preset)
    pictures, masks = [], []
    for number in range(8):
        picture = np.zeros((64, 64, 3), np.uint8)
        place = np.s_[6 * number : 6 * number + 8, 4 : 4 + 5]
        picture[place] = (255, 0, 0)
        pictures.append(picture)
        masks.append({"square": np.zeros((64, 64), bool), "rest": np.ones((64, 64), bool)})
        masks[-1]["square"][place] = True
    found = inside.dissect(net, pictures, masks, quantile=1 - 39 / 4096)
    assert found.silent.tolist() == [False, True]
    assert found.names == (Concept("square"), None)
    assert found.units == (inside.Unit(0, Concept("square"), 1.0),)
    assert found.detectors == {Concept("square"): found.units}
    assert "1 of 2 units of relu" in found.finding
    assert "1 fires at too few positions" in found.finding


def test_names_need_an_iou_above_the_limit() -> None:
    pictures, masks = random_set(9)
    found = inside.dissect(network(), pictures, masks, quantile=0.8)
    best = found.scores.max(1)
    limit = float(np.sort(best)[3])
    again = inside.dissect(network(), pictures, masks, quantile=0.8, iou=limit)
    assert [each is not None for each in again.names] == (best > limit).tolist()
    assert [unit.iou for unit in again.units] == sorted(best[best > limit], reverse=True)
    assert again.names[int(best.argmax())] == again.concepts[int(found.scores.max(0).argmax())]


def test_dead_units_get_no_name() -> None:
    pictures, masks = random_set(9)
    found = inside.dissect(network(dead=2), pictures, masks, quantile=0.8, iou=0)
    assert found.silent.tolist() == [False, False, True, False, False, False]
    assert found.names[2] is None and not found.scores[2].any()
    with pytest.raises(ValueError, match="unit 2 of relu fires at too few positions"):
        found.plot([2])


def test_concepts_that_never_occur_are_listed() -> None:
    pictures, masks = random_set(4)
    for each in masks:
        each[Concept("ghost")] = np.zeros((64, 64), bool)
    found = inside.dissect(network(), pictures, masks)
    assert found.absent == (Concept("ghost"),) and Concept("ghost") not in found.concepts
    assert "absent: ['ghost']" in repr(found)
    with pytest.raises(ValueError, match="no concept occurs"):
        inside.dissect(network(), pictures, [{"ghost": np.zeros((64, 64), bool)}] * 4)


def test_bad_input_is_refused() -> None:
    net = network()
    pictures, masks = random_set(4)
    for options, words in (
        ({"quantile": 0.0}, "quantile: expected a number between 0 and 1"),
        ({"quantile": 1}, "quantile: expected a number between 0 and 1"),
        ({"iou": 1.0}, "iou: expected"),
        ({"batch": 0}, "batch: expected 1 or more"),
        ({"layer": "scores"}, "layer 'scores' of six has no map"),
        ({"layer": "nothing"}, "nothing"),
        ({"on_error": "ignore"}, "on_error: expected"),
    ):
        with pytest.raises(ValueError, match=words):
            inside.dissect(net, pictures, masks, **options)
    with pytest.raises(ValueError, match="pictures: there is none"):
        inside.dissect(net, [], [])
    with pytest.raises(ValueError, match="one mapping for each of 4 pictures, got 3"):
        inside.dissect(net, pictures, masks[:3])
    with pytest.raises(TypeError, match="pictures: expected a list"):
        inside.dissect(net, iter(pictures), masks)
    with pytest.raises(TypeError, match="pictures: expected a list"):
        inside.dissect(net, pictures[0], masks)
    with pytest.raises(TypeError, match="masks: expected a mapping of concepts"):
        inside.dissect(net, pictures, "masks")
    with pytest.raises(TypeError, match="pictures: expected pictures, got preprocessed input"):
        inside.dissect(net, np.zeros((4, 3, 64, 64), np.float32), masks)
    with pytest.raises(TypeError, match="network: expected"):
        inside.dissect("network", pictures, masks)


@pytest.mark.parametrize(
    ("mask", "error", "words"),
    [
        (np.ones((64, 63), bool), ValueError, "expected the size of the picture, 64 x 64"),
        (np.ones((64, 64), np.uint8), ValueError, "an array of True and False, got uint8"),
        (None, ValueError, "an array of True and False"),
    ],
)
def test_bad_masks_are_refused(mask: object, error: type[Exception], words: str) -> None:
    pictures, masks = random_set(4)
    masks[2][Concept("odd")] = mask  # type: ignore[assignment]
    with pytest.raises(error, match=f"picture 2, concept odd: .*{words}"):
        inside.dissect(network(), pictures, masks)


def test_bad_concepts_are_refused() -> None:
    pictures, _ = random_set(1)
    for key, error, words in (
        (7, TypeError, "a concept is a gradcam.inside.Concept or a str, got 7"),
        ("", ValueError, "a concept has no name"),
    ):
        with pytest.raises(error, match=words):
            inside.dissect(network(), pictures, [{key: np.ones((64, 64), bool)}])
    with pytest.raises(TypeError, match="masks of picture 0: expected a mapping"):
        inside.dissect(network(), pictures, [[1]])


def test_broken_pictures_are_skipped_and_the_masks_stay_with_theirs(tmp_path) -> None:
    from PIL import Image

    pictures, masks = random_set(9)
    paths = []
    for number, picture in enumerate(pictures):
        paths.append(tmp_path / f"{number}.png")
        Image.fromarray(picture).save(paths[-1])
    broken = (0, 4, 5, 8)
    for number in broken:
        paths[number].write_bytes(b"no picture")
    with pytest.raises(gradcam.PictureError):
        inside.dissect(network(), paths, masks)
    found = inside.dissect(network(), paths, masks, on_error="skip", batch=2, quantile=0.9)
    assert [number for number, _ in found.skipped] == list(broken)
    kept = [n for n in range(9) if n not in broken]
    same = inside.dissect(
        network(), [pictures[n] for n in kept], [masks[n] for n in kept], quantile=0.9
    )
    np.testing.assert_array_equal(found.scores, same.scores)
    assert [each.picture for each in found.examples[0]] == [
        kept[each.picture] for each in same.examples[0]
    ]
    noted = []
    inside.dissect(network(), tmp_path, masks, on_error=lambda path, error: noted.append(path))
    assert noted == [paths[number] for number in broken]
    for path in paths:
        path.write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"none of 9 pictures could be read; the first: .*0\.png"):
        inside.dissect(network(), paths, masks, on_error="skip")


def test_broken_masks_are_skipped() -> None:
    pictures, masks = random_set(5)

    def masks_of(number: int, size: tuple[int, int]) -> dict[Concept, np.ndarray]:
        if number == 3:
            raise ValueError("a broken file")
        assert size == (64, 64)
        return masks[number]

    with pytest.raises(ValueError, match="a broken file"):
        inside.dissect(network(), pictures, masks_of)
    found = inside.dissect(network(), pictures, masks_of, on_error="skip")
    assert found.pictures == 4 and [number for number, _ in found.skipped] == [3]

    def no_masks(number: int, size: tuple[int, int]) -> dict[Concept, np.ndarray]:
        raise ValueError(f"broken file {number}")

    words = "the masks of none of 5 pictures could be read; the first: broken file 0"
    with pytest.raises(ValueError, match=words):
        inside.dissect(network(), pictures, no_masks, on_error="skip")


def test_places_between_saturated_positions_fire() -> None:
    """A map that is 6 everywhere is 5.9999995 at some pixels when it is enlarged."""
    weight = np.full((1, 3, 1, 1), 100, np.float32)
    layers = [
        Layer("conv", "conv", weights={"weight": weight}, attributes={"stride": 7}),
        Layer("relu6", "clip", attributes={"low": 0.0, "high": 6.0}),
        Layer("mean", "global_average_pool"),
        Layer("scores", "flatten"),
    ]
    preset = replace(presets.find("torchvision-straight"), size=64)
    net = Network.from_layers(layers, preset=preset)
    picture = np.full((90, 101, 3), 255, np.uint8)
    picture[:, :20] = 0
    half = np.zeros((90, 101), bool)
    half[:, :50] = True
    found = inside.dissect(net, [picture], [{"half": half}], "relu6", quantile=0.9)
    tape = net.forward(picture)
    assert found.thresholds.tolist() == [6]
    on_picture = enlarged(tape.activation("relu6")[0].astype(np.float64), tape.geometry)[0]
    lit = on_picture >= 6 - 1e-9
    assert (tape.geometry.to_picture(tape.activation("relu6")[0])[0] >= 6).sum() < lit.sum()
    assert found.scores[0, 0] == (lit & half).sum() / (lit | half).sum()


def test_names_by_chance_are_counted() -> None:
    pictures, masks = random_set(40)
    found = inside.dissect(network(), pictures, masks, quantile=0.9)
    assert found.by_chance is not None and found.by_chance >= 3  # noise knows no concept
    assert f"the masks of other pictures it would be {found.by_chance}" in found.finding
    assert f"{found.by_chance} of 6 units would have a name, too" in found.caution
    assert not replace(found, chance_scores=np.zeros(6)).caution
    alone = inside.dissect(network(), pictures[:1], masks[:1], quantile=0.9)
    assert alone.by_chance is None and "fewer than two pictures have masks" in alone.caution


def test_masks_are_lent_to_other_pictures() -> None:
    earlier, concept = EarlierMasks(), Concept("n")
    given = []
    for number in range(300):
        mask = np.zeros((4, 100), bool)
        mask[:, number % 100] = True
        given.append(earlier.of_another({concept: mask}, (4, 100)))
    assert not given[0] and not earlier.of_another({}, (4, 100))
    numbers = [int(each[concept][0].argmax()) for each in given[1:100]]
    assert all(other <= number for number, other in enumerate(numbers))
    assert len(set(numbers)) > 30
    earlier = EarlierMasks()
    earlier.of_another({concept: np.ones((4, 100), bool)}, (4, 100))
    small = earlier.of_another({concept: np.zeros((2, 50), bool)}, (2, 50))
    assert small[concept].shape == (2, 50) and small[concept].all()


def test_folders(tmp_path) -> None:
    pictures, masks = random_set(3)
    with pytest.raises(ValueError, match="there is no picture in this folder"):
        inside.dissect(network(), tmp_path, masks)
    with pytest.raises(FileNotFoundError):
        inside.dissect(network(), tmp_path / "nowhere", masks)
    np.save(tmp_path / "x.npy", pictures[0])
    with pytest.raises(NotADirectoryError):
        inside.dissect(network(), tmp_path / "x.npy", masks)


def test_pictures_are_asked_for_when_they_are_needed() -> None:
    alive: list[weakref.ref[np.ndarray]] = []
    most = 0

    class Drawn(Sequence[np.ndarray]):
        def __len__(self) -> int:
            return 60

        def __getitem__(self, number):  # type: ignore[no-untyped-def]
            nonlocal most
            picture = np.full((64, 64, 3), number, np.uint8)
            alive.append(weakref.ref(picture))
            most = max(most, sum(each() is not None for each in alive))
            return picture

    whole = {"all": np.ones((64, 64), bool)}
    inside.dissect(network(), Drawn(), lambda number, size: whole, batch=4)
    assert len(alive) >= 120 and most < 30


def test_figure() -> None:
    pictures, masks = random_set(9)
    found = inside.dissect(network(dead=2), pictures, masks, quantile=0.8, iou=0)
    figure = found.plot(count=2)
    assert len(figure.axes) == 10
    assert len(found.plot([0, 1, 3]).axes) == 15
    with pytest.raises(IndexError, match="there is no unit 6"):
        found.plot([6])
    with pytest.raises(ValueError, match="expected at least one"):
        found.plot([])
    high = inside.dissect(network(), pictures, masks, iou=0.99)
    with pytest.raises(ValueError, match="no unit of relu has a name"):
        high.plot()


def test_examples_are_the_strongest_pictures() -> None:
    pictures, masks = random_set(12)
    found = inside.dissect(network(), [*pictures, pictures[0]], [*masks, {}], quantile=0.9)
    maps = network().forward([*pictures, pictures[0]]).activation("relu")
    for unit in range(6):
        largest = maps[:, unit].max((1, 2))
        order = np.argsort(-largest, kind="stable")[:5]
        assert [each.picture for each in found.examples[unit]] == order.tolist()
        np.testing.assert_allclose([each.value for each in found.examples[unit]], largest[order])


def test_pictures_without_a_lit_place_are_left_out() -> None:
    pictures, masks = random_set(12)
    found = inside.dissect(network(), pictures, masks, quantile=0.998, iou=0)  # one value each
    assert not found.silent.any()
    assert len(found.plot([0, 1]).axes) == 2


def test_lit() -> None:
    picture = np.full((32, 32, 3), 200, np.uint8)
    fires = np.zeros((32, 32), bool)
    fires[4:24, 4:24] = True
    shown = highlighted(picture, fires)
    assert (shown[fires] == 200).all() and (shown[0] == 200 // 4 + 54).all()
    assert (shown[3, 4:24] == (255, 221, 0)).all() and (shown[24, 4] == (255, 221, 0)).all()
    few = np.zeros((32, 32), bool)
    few[::4, ::4] = True  # the lines around them would hide all
    assert (highlighted(picture, few)[~few] == 104).all()


def test_a_dissection_can_be_pickled() -> None:
    pictures, masks = random_set(5)
    found = inside.dissect(network(), pictures, masks, quantile=0.9)
    again = pickle.loads(pickle.dumps(found))
    np.testing.assert_array_equal(again.scores, found.scores)
    assert again.names == found.names
    tape = network().forward(pictures[0])
    assert again.sentence(tape.grad_cam("a")).text == found.sentence(tape.grad_cam("a")).text


# --- sentences ---


@pytest.fixture(scope="module")
def dissected() -> inside.Dissection:
    pictures, masks = random_set(12)
    found = inside.dissect(network(dead=2), pictures, masks, quantile=0.9)
    return replace(found, iou=float(np.sort(found.scores.max(1))[2]))  # three names


def explained(net: Network, target: str = "a", number: int = 0, **options: object) -> Explanation:
    return net.forward(random_set(12)[0][number]).grad_cam(target, **options)


def test_sentences_name_the_highest_and_the_lowest(dissected: inside.Dissection) -> None:
    for number in range(6):
        for target in "abcd":
            found = explained(dissected.network, target, number)
            said = dissected.sentence(found, count=2)
            maps = dissected.network.forward(random_set(12)[0][number]).activation("relu")[0]
            firing = [k for k in range(6) if maps[k].max() > 0]
            assert 2 not in firing and said.firing == len(firing)
            ranked = sorted(firing, key=lambda k: -found.weights[k])
            up = [k for k in ranked if found.weights[k] > 0][:2]
            down = [k for k in ranked[::-1] if found.weights[k] < 0][:2]
            assert [each.unit for each in said.highest] == up
            assert [each.unit for each in said.lowest] == down
            for each in (*said.highest, *said.lowest):
                assert each.alpha == found.weights[each.unit]
                assert each.concept == dissected.names[each.unit]
                listed = f"{each.concept} (unit {each.unit}, {each.alpha:.2g})"
                assert (listed in said.text) == (each.concept is not None)
                assert math.isnan(each.iou) == (each.concept is None)
            unnamed = sum(each.concept is None for each in said.highest)
            words = f"{unnamed} of the {len(up)} units with the highest weights"
            if unnamed == len(up):
                words = f"{'all 2 units' if unnamed == 2 else 'he unit'} with the highest weight"
            assert (words.lower() in said.text.lower()) == (unnamed > 0)
            top = network(dead=2).forward(random_set(12)[0][number]).scores[
                0
            ].argmax() == "abcd".index(target)
            start = f"The network says {target} because of:"
            if not top:
                start = f"Evidence for {target}, which is not the most probable class:"
            assert str(said).startswith(start)


def test_some_units_have_names_and_some_have_none(dissected: inside.Dissection) -> None:
    named = sum(each is not None for each in dissected.names)
    assert named == 3  # so that the test above sees both


def test_sentences_of_other_explanations_are_refused(
    dissected: inside.Dissection, tmp_path
) -> None:
    net = dissected.network
    tape = net.forward(random_set(12)[0][0])
    explained(net).save(tmp_path / "a.npz")
    for explanation, words in (
        (tape.saliency("a"), "needs the weights alpha_k of Grad-CAM, got .*[Ss]aliency"),
        (tape.grad_cam("a", layer="conv"), "the units of relu have names, .* the layer conv"),
        (tape.grad_cam("a", layer=["conv", "relu"]), "got|layer"),
        (tape.grad_cam("a", gradient="absolute"), "by its options gradient"),
        (explained(network(seed=1)), "the units of another network"),
        (Explanation.load(tmp_path / "a.npz"), "no longer has its network"),
    ):
        with pytest.raises(ValueError, match=words):
            dissected.sentence(explanation)
    with pytest.raises(TypeError, match="expected that of one picture"):
        dissected.sentence(tape.grad_cam(["a", "b"]))
    with pytest.raises(ValueError, match="count: expected 1 or more"):
        dissected.sentence(tape.grad_cam("a"), count=0)
    dissected.sentence(tape.grad_cam("a", relu=False))
    dissected.sentence(explained(network(dead=2)))  # the same weights


# --- concepts of the pictograms ---


def test_concepts_of_a_scene() -> None:
    scene = pictograms.scene(11, classes=["cat", "dog", "cat"])
    found = pictograms.concepts(scene)
    classes = {each.name: mask for each, mask in found.items() if each.kind == "class"}
    assert set(classes) == {"cat", "dog"}
    np.testing.assert_array_equal(classes["cat"], scene.objects[0].mask | scene.objects[2].mask)
    np.testing.assert_array_equal(classes["dog"], scene.objects[1].mask)
    colours = {each.name: mask for each, mask in found.items() if each.kind == "colour"}
    assert set(colours) <= set(COLOURS) and all(mask.any() for mask in colours.values())
    assert (sum(mask.astype(int) for mask in colours.values()) == 1).all()


@pytest.mark.parametrize(
    ("pixel", "name"),
    [
        ((0, 0, 0), "black"),
        ((50, 20, 20), "black"),
        ((128, 128, 128), "grey"),
        ((255, 255, 255), "white"),
        ((230, 225, 220), "white"),
        ((255, 0, 0), "red"),
        ((140, 10, 10), "red"),
        ((220, 20, 60), "red"),  # crimson
        ((255, 165, 0), "orange"),
        ((139, 69, 19), "brown"),  # saddle brown
        ((120, 100, 95), "brown"),
        ((255, 255, 0), "yellow"),
        ((128, 128, 0), "green"),  # olive: hue 60
        ((130, 140, 20), "green"),
        ((0, 255, 0), "green"),
        ((0, 128, 128), "blue"),  # teal
        ((0, 0, 255), "blue"),
        ((128, 0, 128), "purple"),
        ((255, 192, 203), "pink"),
        ((255, 105, 180), "pink"),  # hot pink
    ],
)
def test_colours_follow_the_documented_rules(pixel: tuple[int, int, int], name: str) -> None:
    assert COLOURS[colour_numbers(np.array([[pixel]], np.uint8))[0, 0]] == name


def test_hues_are_those_of_the_standard_library() -> None:
    import colorsys

    from gradcam.pictograms._concepts import _hsv

    pixels = np.random.default_rng(0).integers(0, 256, (1, 500, 3), dtype=np.uint8)
    expected = [colorsys.rgb_to_hsv(*(pixel / 255)) for pixel in pixels[0].astype(float)]
    found = np.stack([each[0] for each in _hsv(pixels)], axis=1) / (360, 1, 1)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_pictogram_unit_has_the_name_of_a_class() -> None:
    scenes = [pictograms.scene(seed, objects=2) for seed in range(60)]
    found = inside.dissect(
        pictograms.model(),
        [scene.picture for scene in scenes],
        lambda number, size: pictograms.concepts(scenes[number]),
    )
    assert found.layer == "relu5_3" and len(found.names) == 128
    assert found.units[0].concept.kind == "class" and found.units[0].iou > 0.3
