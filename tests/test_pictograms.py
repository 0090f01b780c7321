"""The pictogram scenes (determinism, ground truth, errors), the examples and the network."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gradcam import METHODS, imagenet, pictograms
from gradcam.pictograms import CLASSES, class_index, scene
from gradcam.pictograms._columns import COLUMNS, recorded
from gradcam.pictograms._drawing import INDEX
from gradcam.pictograms._evaluate import FULL
from gradcam.pictograms._render_examples import EXAMPLES
from gradcam.pictograms._table import to_text

WEIGHTS = pictograms._FOLDER / "pictograms.safetensors"
CONVOLUTIONS = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)


# ------------------------------------------------------------------------ scenes


@pytest.mark.parametrize("seed", [0, 1, 2**40])
def test_the_same_seed_draws_the_same_scene(seed):
    first, second = scene(seed), scene(seed)
    np.testing.assert_array_equal(first.picture, second.picture)
    assert [o.box for o in first.objects] == [o.box for o in second.objects]
    assert not np.array_equal(first.picture, scene(seed + 1).picture)


@pytest.mark.parametrize("size", [(224, 224), (64, 64), (64, 300), (320, 200), (225, 480)])
def test_pictures_masks_and_boxes_agree(size):
    for seed in range(12):
        s = scene(seed, size=size)
        assert s.picture.shape == (*size, 3) and s.picture.dtype == np.uint8
        assert 1 <= len(s.objects) <= 4
        assert np.sum([o.mask for o in s.objects], axis=0).max() == 1
        for o in s.objects:
            x0, y0, x1, y1 = o.box
            assert o.mask.shape == size and o.mask.dtype == bool
            assert 0 <= x0 < x1 <= size[1] and 0 <= y0 < y1 <= size[0]
            inside = o.mask[y0:y1, x0:x1]
            assert inside.sum() == o.mask.sum() > 0
            assert inside[0].any() and inside[-1].any()
            assert inside[:, 0].any() and inside[:, -1].any()
            assert CLASSES[o.index][1] == o.label


def test_objects_have_a_minimum_size():
    for seed in range(60):
        for o in scene(seed).objects:
            x0, y0, x1, y1 = o.box
            assert max(x1 - x0, y1 - y0) >= 24
            assert o.mask.sum() >= 300


@pytest.mark.parametrize("objects", [1, 2, 3, 4])
def test_objects_sets_the_number_and_classes_differ(objects):
    for seed in range(20):
        found = [o.index for o in scene(seed, objects=objects).objects]
        assert len(found) == len(set(found)) == objects


def test_given_classes_are_drawn_in_order():
    s = scene(3, classes=["cat", "n02084071", 0, "cat"])
    assert [o.label for o in s.objects] == ["cat", "dog", CLASSES[0][1], "cat"]


def test_every_glyph_can_be_drawn():
    for index, (_, label) in enumerate(CLASSES):
        assert [o.label for o in scene(index, classes=[index]).objects] == [label]


def test_seeds_may_be_numpy_integers():
    np.testing.assert_array_equal(scene(np.int64(5)).picture, scene(5).picture)


def test_all_but_three_classes_are_imagenets():
    synsets, labels = zip(*CLASSES, strict=True)
    assert len(set(synsets)) == len(set(labels)) == len(CLASSES) >= 24
    known = imagenet.labels()
    assert set(CLASSES) - {(target.synset, target.label) for target in known} == {
        ("n02084071", "dog"),
        ("n02121808", "cat"),
        ("n02503517", "elephant"),
    }


def test_every_cell_of_the_sheet_is_used_once():
    cells = [cell for entry in INDEX["classes"] for cell in entry["cells"]]
    cells += INDEX["distractors"]
    assert sorted(cells) == list(range(len(cells)))


@pytest.mark.parametrize(
    ("name", "label"),
    [("Cat", "cat"), ("fire engine", "fire_engine"), ("n02084071", "dog"), (6, "cat")],
)
def test_class_index_takes_labels_synsets_and_indices(name, label):
    assert CLASSES[class_index(name)][1] == label


def test_an_unknown_class_is_refused_with_similar_ones():
    with pytest.raises(ValueError, match="similar labels: 'fire_engine'"):
        scene(0, classes=["fire_engin"])


@pytest.mark.parametrize(
    ("name", "error"), [("xyzzy", ValueError), (36, IndexError), (-1, IndexError), (1.5, TypeError)]
)
def test_invalid_classes_are_refused(name, error):
    with pytest.raises(error):
        class_index(name)
    with pytest.raises(error):
        scene(0, classes=[name])


@pytest.mark.parametrize("objects", [0, 5, -1, 1.5])
def test_a_wrong_number_of_objects_is_refused(objects):
    with pytest.raises(ValueError, match="1 to 4 objects"):
        scene(0, objects=objects)


def test_wrong_classes_are_refused():
    with pytest.raises(ValueError, match="1 to 4 objects"):
        scene(0, classes=[])
    with pytest.raises(ValueError, match="contradicts"):
        scene(0, objects=1, classes=["cat", "dog"])
    with pytest.raises(ValueError, match=r"sequence, such as \['cat'\]"):
        scene(0, classes="cat")


@pytest.mark.parametrize("size", [(0, 224), (224, 63), (224,), 224, (224.5, 224), (224, 9999)])
def test_a_wrong_size_is_refused(size):
    with pytest.raises(ValueError, match="size must be"):
        scene(0, size=size)


@pytest.mark.parametrize("seed", [-1, 1.0, None, True])
def test_a_wrong_seed_is_refused(seed):
    with pytest.raises(ValueError, match="seed must be"):
        scene(seed)


# ------------------------------------------------------------------------ examples


def test_examples_match_their_seeds_and_their_index():
    truth = json.loads((pictograms._FOLDER / "examples" / "examples.json").read_text())
    paths = pictograms.examples()
    assert [p.name for p in paths] == sorted(truth) == sorted(f"{n}.png" for n in EXAMPLES)
    for path in paths:
        seed, classes, size = EXAMPLES[path.stem]
        drawn = scene(seed, classes=classes, size=size)
        with Image.open(path) as file:
            picture = np.asarray(file).astype(int)
        # Another version of Pillow may round the edges of pictograms differently.
        assert np.mean(np.abs(picture - drawn.picture)) < 0.5
        for entry, o in zip(truth[path.name]["objects"], drawn.objects, strict=True):
            assert (entry["index"], entry["label"]) == (o.index, o.label)
            np.testing.assert_allclose(entry["box"], o.box, atol=1)


def test_the_network_classifies_the_examples_correctly():
    network = pictograms.model()
    for path in pictograms.examples():
        with Image.open(path) as file:
            tape = network.forward(np.asarray(file))
        wanted = {class_index(label) for label in EXAMPLES[path.stem][1]}
        found = np.argsort(-tape.scores[0])[: len(wanted)]
        assert set(found.tolist()) == wanted, path.name


# ------------------------------------------------------------------------ network


def read_safetensors(path):
    """Read the tensors and the metadata of a safetensors file, following its specification."""
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    metadata = header.pop("__metadata__")
    body = data[8 + length :]
    tensors = {}
    for name, entry in header.items():
        assert entry["dtype"] == "F16"
        start, end = entry["data_offsets"]
        tensors[name] = np.frombuffer(body[start:end], "<f2").reshape(entry["shape"])
    return tensors, metadata


def test_the_shipped_file_is_a_narrow_vgg16():
    assert WEIGHTS.stat().st_size <= 6e6
    tensors, metadata = read_safetensors(WEIGHTS)
    assert metadata["architecture"] == "vgg16"
    assert metadata["preset"] == "torchvision-straight"
    assert [tuple(pair) for pair in json.loads(metadata["classes"])] == list(CLASSES)
    names = [f"features.{i}" for i in CONVOLUTIONS] + [f"classifier.{i}" for i in (0, 3, 6)]
    assert set(tensors) == {f"{name}.{part}" for name in names for part in ("weight", "bias")}
    assert all(np.isfinite(tensor).all() for tensor in tensors.values())
    channels = 3
    for i in CONVOLUTIONS:
        assert tensors[f"features.{i}.weight"].shape[1:] == (channels, 3, 3)
        channels = len(tensors[f"features.{i}.bias"])
    assert tensors["classifier.0.weight"].shape[1] == channels * 7 * 7
    assert tensors["classifier.6.weight"].shape[0] == len(CLASSES)


def test_the_model_is_loaded_once():
    assert pictograms.model() is pictograms.model()


def test_the_weak_model_is_right_less_often():
    weak = pictograms.weak_model()
    assert weak is pictograms.weak_model() and len(weak.labels) == len(CLASSES)
    scenes = [scene(1000 + seed, objects=1) for seed in range(12)]
    truth = [each.objects[0].index for each in scenes]
    tape = weak.forward([each.picture for each in scenes], record=False)
    right = int((tape.scores.argmax(1) == truth).sum())
    assert 4 <= right < 12


def test_cam_explains_the_network_with_global_average_pooling():
    network = pictograms.gap_model()
    assert network is pictograms.gap_model()
    s = scene(7, classes=["cat", "dog"])
    tape = network.forward(s.picture)
    assert {each[1] for each in tape.top(2)} == {"cat", "dog"}
    for each in s.objects:
        cam, grad_cam = tape.cam(each.index), tape.grad_cam(each.index)
        assert cam.layer == grad_cam.layer == "relu5_3"
        scale = np.abs(cam.raw).max()
        np.testing.assert_allclose(grad_cam.raw * 14 * 14, cam.raw, atol=1e-5 * scale)
        assert each.mask.flat[cam.map.argmax()]
    with pytest.raises(ValueError, match="CAM needs a network that ends in global average"):
        pictograms.model().forward(s.picture).cam("cat")


def test_the_network_with_global_average_pooling_shares_the_convolutions():
    own, shared = pictograms.gap_model(), pictograms.model()
    for name in ("conv1_1", "conv5_3"):
        weights = own.layers[name].weights["weight"]
        assert np.shares_memory(weights, shared.layers[name].weights["weight"])


def test_the_readme_shows_the_recorded_table():
    """evaluation.json is the output of `python -m gradcam.pictograms evaluate --json`."""
    readme = (Path(__file__).parent.parent / "README.md").read_text("utf-8")
    assert f"```\n{to_text(recorded())}\n```" in readme


def test_the_recorded_table_is_that_of_a_full_run_with_all_methods():
    found = recorded()
    assert (found["scenes"], found["passes"], found["steps"]) == (
        FULL.scenes,
        FULL.passes,
        FULL.steps,
    )
    assert not found["skipped"]
    assert {each["scenes"] for each in found["accuracy"].values()} == {FULL.accuracy}
    rows = [(row["method"], row["network"]) for row in found["rows"]]
    own = [name for name, each in METHODS.items() if each.function.__module__[:8] == "gradcam."]
    wanted = [(name, "pictograms") for name in own if name != "cam"]
    assert sorted(rows) == sorted(
        [*wanted, ("cam", "pictograms-gap"), ("grad_cam", "pictograms-gap")]
    )
    for row in found["rows"]:
        assert (row["scenes"], row["passes"]) == FULL.counts(METHODS[row["method"]]), row["method"]
        assert set(row["figures"]) == set(COLUMNS), row["method"]


def test_scenes_have_short_reprs():
    s = scene(3, classes=["cat", "dog"], size=(64, 80))
    assert repr(s) == "<Scene of 64 x 80: cat, dog>"
    assert repr(s.objects[0]) == f"<SceneObject cat, box {s.objects[0].box}>"


def test_examples_are_found_by_name():
    assert pictograms.example("cat_and_dog") in pictograms.examples()
    with pytest.raises(ValueError, match="cat_and_dog"):
        pictograms.example("cat and mouse")
