"""Codes of a set of pictures: their files, nearest neighbours, precision."""

from __future__ import annotations

import math
import os
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import small_pictograms
from PIL import Image

import gradcam
from gradcam import inside
from gradcam.inside import _nearest
from gradcam.inside._nearest import nearest
from gradcam.inside._neighbours import evenly


@pytest.fixture(scope="module")
def network():
    return small_pictograms.network()


def a_picture(rng, colour):
    """A noisy picture of one colour."""
    noise = rng.integers(-30, 31, (64, 64, 3))
    return np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)


COLOURS = {"blue": (40, 60, 200), "green": (50, 180, 60), "red": (200, 50, 50)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Four pictures of each of three classes."""
    rng = np.random.default_rng(5)
    root = tmp_path_factory.mktemp("pictures")
    for name, colour in COLOURS.items():
        (root / name).mkdir()
        for n in range(4):
            Image.fromarray(a_picture(rng, colour)).save(root / name / f"{n}.png")
    return root


@pytest.fixture(scope="module")
def codes(network, folder):
    return inside.codes(network, folder)


def random_pictures(count, seed=1):
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 256, (64, 64, 3), np.uint8) for _ in range(count)]


# --- codes ---


def test_codes_of_a_folder_have_its_labels(network, codes, folder):
    paths = sorted(folder.rglob("*.png"))
    assert codes.labels == tuple(path.parent.name for path in paths)
    assert [os.fspath(each) for each in codes.sources] == list(map(os.fspath, paths))
    assert (codes.layer, codes.network, codes.skipped) == ("flatten", network.name, ())
    expected = [network.forward(path).activation("flatten")[0] for path in paths]
    np.testing.assert_allclose(codes.values, expected, rtol=1e-5)
    assert repr(codes).startswith("<Codes of 12 pictures of 3 classes: 6 numbers each")


def test_the_codes_of_a_map_are_means(network):
    pictures = random_pictures(3)
    found = inside.codes(network, pictures, "relu", labels=["a", "b", "a"])
    maps = network.forward(pictures).activation("relu").astype(np.float64)
    np.testing.assert_allclose(found.values, maps.mean((2, 3)), rtol=1e-5)
    assert found.labels == ("a", "b", "a") and found.pictures.classes == ("a", "b")
    assert all(one is other for one, other in zip(found.sources, pictures, strict=True))


def test_small_copies_are_means_of_what_the_network_saw(network):
    pictures = random_pictures(2)
    found = inside.codes(network, pictures)
    means = np.stack(pictures).reshape(2, 32, 2, 32, 2, 3).mean((2, 4))
    assert np.abs(found.pictures.pixels - means).max() <= 1.01  # rounded twice
    cropped = replace(network.preset, shorter_side=128)  # the middle half of each side
    other = gradcam.Network.from_layers(
        list(network.layers.values())[1:], labels=network.labels, preset=cropped
    )
    large = np.kron(pictures[0], np.ones((2, 2, 1), np.uint8))
    copy = inside.codes(other, [large]).pictures.pixels[0]
    np.testing.assert_array_equal(copy, large[32:96, 32:96][::2, ::2])


def test_preprocessed_input(network):
    pictures = random_pictures(3)
    values = network.forward(pictures).input
    found, expected = inside.codes(network, values), inside.codes(network, pictures)
    np.testing.assert_array_equal(found.values, expected.values)
    np.testing.assert_array_equal(found.pictures.pixels, expected.pictures.pixels)
    assert found.sources == (None,) * 3 and found.pictures.name(2) == "picture 3"


def test_pictures_that_cannot_be_read(network, folder, tmp_path):
    (tmp_path / "a").mkdir()
    for n in range(3):
        (tmp_path / "a" / f"{n}.png").write_bytes((folder / "red" / "0.png").read_bytes())
    (tmp_path / "a" / "1.png").write_bytes(b"not a picture")
    with pytest.raises(gradcam.PictureError, match=r"1\.png"):
        inside.codes(network, tmp_path / "a")
    found = inside.codes(network, tmp_path / "a", on_error="skip")
    assert [os.path.basename(each) for each in found.sources] == ["0.png", "2.png"]
    ((name, reason),) = found.skipped
    assert name == str(tmp_path / "a" / "1.png") and name not in reason
    pictures = sorted((tmp_path / "a").iterdir())
    labelled = inside.codes(network, pictures, labels=list("xyz"), on_error="skip")
    assert labelled.labels == ("x", "z")


def test_bad_pictures_and_labels(network, folder, tmp_path):
    with pytest.raises(ValueError, match="no picture in this folder"):
        inside.codes(network, tmp_path)
    with pytest.raises(FileNotFoundError):
        inside.codes(network, tmp_path / "missing")
    with pytest.raises(ValueError, match="expected a folder of pictures, got a file"):
        inside.codes(network, folder / "red" / "0.png")
    with pytest.raises(ValueError, match="labels: a folder has the names"):
        inside.codes(network, folder, labels=["a"])
    with pytest.raises(ValueError, match="one for each of 2 pictures, got 1"):
        inside.codes(network, random_pictures(2), labels=["a"])
    with pytest.raises(TypeError, match="labels: expected a list of strings"):
        inside.codes(network, random_pictures(2), labels="ab")
    with pytest.raises(TypeError, match="a folder or several pictures"):
        inside.codes(network, random_pictures(1)[0])
    with pytest.raises(ValueError, match="no pictures"):
        inside.codes(network, [])
    with pytest.raises(ValueError, match="no layer"):
        inside.codes(network, random_pictures(1), "none")
    (tmp_path / "empty").mkdir()
    (tmp_path / "x").mkdir()
    Image.fromarray(random_pictures(1)[0]).save(tmp_path / "x" / "a.png")
    with pytest.raises(ValueError, match="no pictures in the folder empty"):
        inside.codes(network, tmp_path)


# --- files ---


def test_a_file_holds_everything(network, codes, tmp_path):
    codes.save(tmp_path / "codes.npz")
    with np.load(tmp_path / "codes.npz", allow_pickle=False) as arrays:
        assert all(arrays[name].dtype.kind in "fuUi" for name in arrays.files)
    read = inside.load_codes(tmp_path / "codes.npz")
    np.testing.assert_array_equal(read.values, codes.values)
    np.testing.assert_array_equal(read.pictures.pixels, codes.pictures.pixels)
    assert read.labels == codes.labels and read.layer == codes.layer
    assert list(read.sources) == [os.path.abspath(each) for each in codes.sources]
    with pytest.raises(ValueError, match="without their network"):
        read.neighbours(codes.sources[0])
    new = inside.load_codes(tmp_path / "codes.npz", network).neighbours(codes.sources[3], 2)
    np.testing.assert_array_equal(new.places, codes.neighbours(3, 2).places)
    with pytest.raises(ValueError, match=r"saved as \.npz"):
        codes.save(tmp_path / "codes.txt")


def test_pictures_that_are_no_files_are_not_kept_in_a_file(network, tmp_path):
    pictures = random_pictures(2)
    inside.codes(network, pictures).save(tmp_path / "codes.npz")
    read = inside.load_codes(tmp_path / "codes.npz")
    assert read.sources == (None, None) and read.labels is None
    np.testing.assert_array_equal(read.pictures.look(0, 200), read.pictures.pixels[0])
    with pytest.raises(ValueError, match="not files"):
        inside.codes(network, pictures, file=tmp_path / "other.npz")
    assert not (tmp_path / "other.npz").exists()


def test_a_file_is_used_again(network, folder, tmp_path, monkeypatch):
    file = tmp_path / "codes.npz"
    made = inside.codes(network, folder, file=file)
    monkeypatch.setattr(gradcam.Network, "stream", None)  # the network does not run
    read = inside.codes(network, folder, file=file)
    np.testing.assert_array_equal(read.values, made.values)
    moved = tmp_path / "moved"
    os.symlink(folder, moved)
    read = inside.codes(network, moved, file=file)
    assert all(os.fspath(each).startswith(str(moved)) for each in read.sources)


def test_a_file_of_something_else_is_refused(network, folder, tmp_path):
    file = tmp_path / "codes.npz"
    for name in COLOURS:
        (tmp_path / "set" / name).mkdir(parents=True)
        for path in (folder / name).iterdir():
            (tmp_path / "set" / name / path.name).write_bytes(path.read_bytes())
    inside.codes(network, tmp_path / "set", file=file)
    before = file.read_bytes()

    def refused(match, network=network, folder=tmp_path / "set", **options):
        with pytest.raises(ValueError, match=match):
            inside.codes(network, folder, file=file, **options)

    refused("of layer 'flatten', not 'relu'", layer="relu")
    refused("with other weights or another preset", network=small_pictograms.network(1))
    refused("of the network 'network', not 'pictograms'", network=gradcam.pictograms.model())
    refused("inputs of 64 x 64, not 40 x 40", size=40)
    with pytest.raises(ValueError, match="other weights"):
        inside.load_codes(file, small_pictograms.network(1))
    red = tmp_path / "set" / "red" / "0.png"
    content = red.read_bytes()
    red.write_bytes((tmp_path / "set" / "red" / "1.png").read_bytes())
    refused(r"1 of its pictures changed since, for example .*0\.png")
    red.unlink()
    refused(r"made of 12 pictures, and these 11 are not the same, for example 'red.0\.png'")
    red.write_bytes(content)
    assert len(inside.codes(network, tmp_path / "set", file=file)) == 12
    paths = sorted((tmp_path / "set").rglob("*.png"))
    refused("other labels", folder=paths)
    assert file.read_bytes() == before


def test_a_file_remembers_pictures_that_could_not_be_read(network, folder, tmp_path):
    (tmp_path / "set").mkdir()
    for n in range(3):
        (tmp_path / "set" / f"{n}.png").write_bytes((folder / "red" / f"{n}.png").read_bytes())
    (tmp_path / "set" / "1.png").write_bytes(b"")
    file = tmp_path / "codes.npz"
    made = inside.codes(network, tmp_path / "set", file=file, on_error="skip")
    read = inside.codes(network, tmp_path / "set", file=file, on_error="skip")
    assert read.skipped == made.skipped and len(read) == 2
    assert [os.path.basename(each) for each in read.sources] == ["0.png", "2.png"]


def test_damaged_files(codes, tmp_path):
    file = tmp_path / "codes.npz"
    file.write_bytes(b"no zip")
    with pytest.raises(ValueError, match="does not hold codes, or is damaged"):
        inside.load_codes(file)
    np.savez(file, values=np.zeros((3, 2), np.float32))
    with pytest.raises(ValueError, match="does not hold codes"):
        inside.load_codes(file)
    codes.save(file)
    with np.load(file) as stored:
        arrays = dict(stored)
    changes = {
        "values": [arrays["values"][:5], arrays["values"].astype(int), arrays["values"] * np.nan],
        "pixels": [arrays["pixels"][:, :3]],
        "labels": [arrays["labels"][:2], np.zeros(12)],
        "sources": [arrays["sources"][:, None]],
        "size": [np.zeros(2)],
        "layer": [np.array(["relu"])],
        "format": [np.array("another")],
    }
    for name, wrong in changes.items():
        for value in wrong:
            np.savez(file, **{**arrays, name: value})
            with pytest.raises(ValueError, match=r"damaged|does not hold"):
                inside.load_codes(file)
    np.savez(file, **{name: value for name, value in arrays.items() if name != "pixels"})
    with pytest.raises(ValueError, match="damaged"):
        inside.load_codes(file)
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match="damaged"):
        inside.load_codes(file)
    pickled = np.array([print], object)
    np.savez(file, **{**arrays, "labels": pickled}, allow_pickle=True)
    with pytest.raises(ValueError, match="damaged"):
        inside.load_codes(file)


def test_files_with_random_damage(network, folder, tmp_path):
    file, damaged = tmp_path / "codes.npz", tmp_path / "damaged.npz"
    inside.codes(network, folder, file=file)
    with np.load(file) as stored:
        names = stored.files
    with zipfile.ZipFile(file) as members:
        parts = {f"{name}.npy": members.read(f"{name}.npy") for name in names}
    whole, rng = file.read_bytes(), np.random.default_rng(0)
    refused = 0
    for turn in range(400):
        if turn % 2:  # the directory of the zip
            changed = bytearray(whole)
            for at in rng.integers(len(whole) - 1500, len(whole), 3):
                changed[at] = rng.integers(256)
            damaged.write_bytes(changed)
        else:  # the header of an array
            name = rng.choice(sorted(parts))
            changed = bytearray(parts[name])
            for at in rng.integers(0, 130, 2):
                changed[at] = rng.integers(32, 127)
            with zipfile.ZipFile(damaged, "w") as out:
                for each, content in parts.items():
                    out.writestr(each, changed if each == name else content)
        try:
            inside.load_codes(damaged)
        except ValueError as error:
            assert "does not hold codes" in str(error) or "is damaged" in str(error)
            refused += 1
    assert refused > 300


def test_a_picture_that_was_mended_is_not_skipped_for_ever(network, tmp_path):
    paths = [tmp_path / f"{n}.png" for n in range(3)]
    for path, picture in zip(paths, random_pictures(3), strict=True):
        Image.fromarray(picture).save(path)
    whole = paths[1].read_bytes()
    paths[1].write_bytes(whole[:50])
    file = tmp_path / "codes.npz"
    inside.codes(network, paths, file=file, on_error="skip")
    with pytest.raises(gradcam.PictureError, match=r"1\.png"):
        inside.codes(network, paths, file=file)
    noted = []
    inside.codes(network, paths, file=file, on_error=lambda *each: noted.append(each))
    assert [name for name, _ in noted] == [str(paths[1])]
    paths[1].write_bytes(whole)
    with pytest.raises(ValueError, match=r"1 of its pictures changed since, .*1\.png"):
        inside.codes(network, paths, file=file, on_error="skip")


def test_wrong_types_are_refused(network, codes, tmp_path):
    with pytest.raises(TypeError, match=r"network: expected a gradcam\.Network, got None"):
        inside.codes(None, random_pictures(2))
    codes.save(tmp_path / "codes.npz")
    with pytest.raises(TypeError, match=r"network: expected a gradcam\.Network, got 5"):
        inside.load_codes(tmp_path / "codes.npz", 5)
    with pytest.raises(TypeError, match="expected the path of a file"):
        inside.load_codes(5)


@pytest.mark.parametrize("labels", [5, "ab", (each for each in "ab"), {"a": 1}, [1, 2]])
def test_labels_that_are_no_list(network, labels):
    with pytest.raises(TypeError, match="labels: expected a list of strings"):
        inside.codes(network, random_pictures(2), labels=labels)


def test_chance_of_classes_of_other_sizes(codes):
    made = replace(codes, pictures=codes.pictures.among(range(10)), values=codes.values[:10])
    precision = made.precision(2)
    shares = dict(zip(precision.labels, precision.chances, strict=True))
    assert shares == pytest.approx({"blue": 3 / 9, "green": 3 / 9, "red": 1 / 9})
    assert precision.chance == pytest.approx((8 * 3 / 9 + 2 * 1 / 9) / 10)
    ax = precision.plot().axes[0]
    drawn = [each.get_segments() for each in ax.collections]
    assert [round(float(each[0][0]), 4) for each in drawn[-1]] == [0.3333, 0.3333, 0.1111]
    assert all(len(each) == 3 for each in drawn) and len(drawn) == 3  # and the intervals of two


@pytest.mark.parametrize("query", [[], np.array([]), np.array([], int)])
def test_no_query(codes, query):
    with pytest.raises(ValueError, match="query: expected one picture or more, got none"):
        codes.neighbours(query)


def test_words_for_one_picture(network):
    one = inside.codes(network, random_pictures(1))
    assert repr(one).startswith("<Codes of 1 picture: ")
    with pytest.raises(ValueError, match="1 neighbour was asked for, but the set has 0 pictures"):
        one.neighbours(0, 1)
    two = inside.codes(network, random_pictures(2), labels=["a", "b"])
    assert "0.0 % in code, 0.0 % in pixels" in two.precision(1).finding
    assert "nan" not in two.neighbours([0], 1).precision().finding


# --- nearest neighbours ---


def test_a_picture_of_the_set_is_not_its_own_neighbour(network, tmp_path, monkeypatch):
    pictures = random_pictures(3)
    of_arrays = inside.codes(network, pictures)
    whole = np.stack(pictures)
    for made, query in ((of_arrays, of_arrays), (of_arrays, pictures[1:2]),
                        (inside.codes(network, whole), whole[1:2])):  # fmt: skip
        found = made.neighbours(query, 2)
        assert found.own[-1] == (2 if query is of_arrays else 1)
    assert of_arrays.neighbours([pictures[1].copy()], 2).own[0] == -1  # a copy is another picture
    (tmp_path / "set").mkdir()
    for n, picture in enumerate(pictures):
        Image.fromarray(picture).save(tmp_path / "set" / f"{n}.png")
    (tmp_path / "link").symlink_to(tmp_path / "set", target_is_directory=True)
    monkeypatch.setenv("HOME", str(tmp_path))
    codes = inside.codes(network, tmp_path / "set")
    for path in ("~/set/1.png", tmp_path / "link" / "1.png"):
        assert codes.neighbours(path, 2).own.tolist() == [1]


def plain(values, queries, count, own=None):
    """All distances by subtraction in float64."""
    differences = values[None].astype(np.float64) - queries[:, None].astype(np.float64)
    distances = np.sqrt((differences**2).sum(2))
    if own is not None:
        distances[np.arange(len(own)), own] = np.inf
    places = np.argsort(distances, 1, kind="stable")[:, :count]
    return places, np.take_along_axis(distances, places, 1)


@pytest.mark.parametrize("together", [1 << 24, 200])
def test_nearest_neighbours(monkeypatch, together):
    monkeypatch.setattr(_nearest, "_TOGETHER", together)
    monkeypatch.setattr(_nearest, "_BLOCK", together)
    rng = np.random.default_rng(0)
    values = rng.normal(size=(70, 9)).astype(np.float32)
    values[40:50] = values[3]  # ties: the lower place first
    queries = rng.normal(size=(20, 9)).astype(np.float32)
    for asked, own in ((queries, None), (values, np.arange(70))):
        places, distances = nearest(values, asked, 12, own=own)
        expected = plain(values, asked, 12, own)
        np.testing.assert_array_equal(places, expected[0])
        np.testing.assert_allclose(distances, expected[1], rtol=1e-14, atol=0)
    assert nearest(values, values[3:4], 11)[1].tolist() == [[0] * 11]


def test_near_points_far_from_zero_are_told_apart():
    """A product in float32, or one in float64 alone, would find noise."""
    rng = np.random.default_rng(0)
    values = (1e6 + np.round(rng.normal(size=(50, 20)), 2)).astype(np.float32)
    places, distances = nearest(values, values, 5, own=np.arange(50))
    expected = plain(values, values, 5, np.arange(50))
    np.testing.assert_array_equal(places, expected[0])
    np.testing.assert_allclose(distances, expected[1], rtol=1e-14)


def test_neighbours_are_those_of_scikit_learn():
    neighbors = pytest.importorskip("sklearn.neighbors", reason="the peer")
    rng = np.random.default_rng(1)
    values, queries = rng.normal(size=(300, 30)), rng.normal(size=(50, 30))
    for metric, name in (("l2", "euclidean"), ("cosine", "cosine")):
        made = neighbors.NearestNeighbors(n_neighbors=7, algorithm="brute", metric=name)
        distances, places = made.fit(values).kneighbors(queries)
        found = nearest(values, queries, 7, metric=metric)
        np.testing.assert_array_equal(found[0], places)
        np.testing.assert_allclose(found[1], distances, rtol=1e-9, atol=1e-12)


def test_distances_of_pixels_are_exact():
    rng = np.random.default_rng(2)
    pixels = rng.integers(0, 256, (30, 3072), np.uint8)
    places, distances = nearest(pixels, pixels, 4, own=np.arange(30))
    long = pixels.astype(np.int64)
    squares = ((long[:, None] - long[places]) ** 2).sum(2)
    np.testing.assert_array_equal(distances, np.sqrt(squares))


def test_too_many_neighbours_and_codes_of_zeros(codes):
    with pytest.raises(ValueError, match=r"12 neighbours .* 11 pictures besides the picture"):
        codes.neighbours(count=12)
    with pytest.raises(ValueError, match="13 neighbours were asked for, but the set has 12"):
        codes.neighbours(random_pictures(1), 13)
    zeros = np.zeros((3, 4), np.float32)
    with pytest.raises(ValueError, match="3 pictures have only zeros"):
        nearest(zeros, zeros, 1, metric="cosine")
    with pytest.raises(ValueError, match="metric: expected 'l2' or 'cosine'"):
        codes.neighbours(metric="l1")
    for count in (0, -1):
        with pytest.raises(ValueError, match="count: expected 1 or more"):
            codes.neighbours(count=count)
    with pytest.raises(TypeError, match="count: expected an integer"):
        codes.neighbours(count=2.5)


def test_codes_that_are_all_equal(network):
    dark = [np.zeros((64, 64, 3), np.uint8)] * 3
    with pytest.raises(ValueError, match="codes of all 3 pictures are equal"):
        inside.codes(network, dark).neighbours(count=1)


def test_neighbours_in_code_and_in_pixels(codes):
    found = codes.neighbours(count=3)
    own = np.arange(12)
    expected = plain(codes.values, codes.values, 3, own)
    np.testing.assert_array_equal(found.places, expected[0])
    np.testing.assert_allclose(found.distances, expected[1], rtol=1e-12)
    pixels = codes.pictures.pixels.reshape(12, -1)
    np.testing.assert_array_equal(found.pixel_places, plain(pixels, pixels, 3, own)[0])
    labels = np.array(codes.labels)
    np.testing.assert_array_equal(found.same, labels[found.places] == labels[:, None])
    assert len(found) == 12 and found.count == 3
    assert found.finding.startswith(f"{found.same.sum()} of 36 neighbours")


def test_queries_by_number(codes):
    whole = codes.neighbours(count=2)
    one, some = codes.neighbours(7, 2), codes.neighbours([7, 0, 7], 2)
    np.testing.assert_array_equal(one.places, whole.places[[7]])
    np.testing.assert_array_equal(some.places, whole.places[[7, 0, 7]])
    np.testing.assert_array_equal(codes.neighbours(np.array([1, 2]), 2).own, [1, 2])
    assert some.queries.labels == ("green", "blue", "green")
    for wrong in (12, -1, [3, 99]):
        with pytest.raises(IndexError, match="places of 0 to 11"):
            codes.neighbours(wrong)
    with pytest.raises(TypeError):
        codes.neighbours([1.5, 2.5])


def test_queries_that_are_new(network, codes, folder):
    content = (folder / "red" / "2.png").read_bytes()
    found = codes.neighbours(content, 2)
    assert (found.places[0, 0], found.distances[0, 0], found.pixel_distances[0, 0]) == (10, 0, 0)
    assert found.same is None and found.own.tolist() == [-1]
    several = codes.neighbours(random_pictures(3), 2)
    assert len(several) == 3
    other = inside.codes(network, random_pictures(3), labels=["red", "x", "x"])
    by_codes = codes.neighbours(other, 2)
    np.testing.assert_array_equal(by_codes.places, several.places)
    assert by_codes.same[1:].sum() == 0
    path = folder / "red" / "2.png"  # one of the set
    known = codes.neighbours(path, 2)
    np.testing.assert_array_equal(known.places, codes.neighbours(10, 2).places)
    assert known.own.tolist() == [10] and known.queries.labels == ("red",)
    mixed = codes.neighbours([path, content], 11)
    assert 10 not in mixed.places[0] and 10 in mixed.places[1] and mixed.queries.labels is None
    with pytest.raises(ValueError, match="query: its codes are of layer 'relu', not 'flatten'"):
        codes.neighbours(inside.codes(network, random_pictures(1), "relu"))
    with pytest.raises(ValueError, match=r"query: .* other weights"):
        codes.neighbours(inside.codes(small_pictograms.network(1), random_pictures(1)))
    of_folder = codes.neighbours(folder / "red", 2)
    np.testing.assert_array_equal(of_folder.places, codes.neighbours([8, 9, 10, 11], 2).places)
    with pytest.raises(FileNotFoundError):
        codes.neighbours("missing.png")


# --- precision ---


def test_precision(codes):
    found = codes.precision(3)
    neighbours = codes.neighbours(count=3)
    assert found["code"].mean == pytest.approx(neighbours.same.mean())
    assert found["pixels"].mean == pytest.approx(neighbours.pixel_same.mean())
    assert found.chance == pytest.approx(3 / 11) and found.best == 1
    expected = gradcam.measures.bootstrap(neighbours.same.mean(1))
    assert found["code"] == expected
    assert found.by_class["red"]["code"] == pytest.approx(neighbours.same[8:].mean())
    assert "by chance 27.3 %" in found.finding and "12 pictures, 3 classes" in found.finding
    with pytest.raises(KeyError, match="expected 'code' or 'pixels'"):
        found["plane"]


def test_the_best_precision_of_small_classes(network):
    pictures = random_pictures(6)
    found = inside.codes(network, pictures, labels=list("aabbbc")).precision(2)
    assert found.best == pytest.approx((2 * 0.5 + 3 * 1 + 0) / 6)
    assert found.chance == pytest.approx((2 * 1 + 3 * 2 + 0) / 6 / 5)
    assert "at most 66.7 %" in found.finding


def test_precision_of_new_pictures(network, codes):
    new = inside.codes(network, random_pictures(4), labels=["red", "red", "blue", "x"])
    found = codes.neighbours(new, 2).precision()
    assert found.chance == pytest.approx(3 * 4 / 12 / 4)
    assert found.best == pytest.approx(3 / 4)


def test_precision_needs_classes(network):
    with pytest.raises(ValueError, match="precision needs the class of each picture"):
        inside.codes(network, random_pictures(3)).precision(1)
    with pytest.raises(ValueError, match="all 3 pictures are of the class 'a'"):
        inside.codes(network, random_pictures(3), labels=["a", "a", "a"]).precision(1)


# --- figures ---


def test_the_figure_of_neighbours(codes):
    pytest.importorskip("matplotlib", reason="figures")
    found = codes.neighbours(count=2)
    figure = found.plot(rows=4)
    assert len(figure.axes) == 4 * 5
    words = [text.get_text() for text in figure.texts]
    assert {"query", "code 1", "code 2", "pixels 1", "pixels 2"} <= set(words)
    assert "4 of 12 queries are shown" in words[-1].replace("\n", " ")
    frames = [ax.spines["top"].get_edgecolor() for ax in figure.axes[1:3]]
    green, red = (0.1, 0.59, 0.25), (0.84, 0.1, 0.11)
    for frame, same in zip(frames, found.same[0], strict=True):
        np.testing.assert_allclose(frame[:3], green if same else red, atol=0.01)
    for rows in (0, 41):
        with pytest.raises(ValueError, match="rows"):
            found.plot(rows)


def test_a_figure_of_many_neighbours(codes):
    pytest.importorskip("matplotlib", reason="figures")
    figure = codes.neighbours(3, 10).plot()
    assert len(figure.axes) == 1 + 2 * 8
    assert "8 of 10 neighbours are shown" in figure.texts[-1].get_text().replace("\n", " ")


def test_figures_without_labels(network, tmp_path):
    pytest.importorskip("matplotlib", reason="figures")
    found = inside.codes(network, random_pictures(4)).neighbours(count=1)
    figure = found.plot()
    words = " ".join(text.get_text() for text in figure.texts)
    assert "picture 3" in words and "Green" not in words
    figure.savefig(tmp_path / "figure.png")


def test_the_figure_of_precision(codes, tmp_path):
    pytest.importorskip("matplotlib", reason="figures")
    figure = codes.precision(2).plot()
    (ax,) = figure.axes
    assert [text.get_text() for text in ax.get_yticklabels()] == ["blue", "green", "red"]
    assert len(ax.patches) == 6
    figure.savefig(tmp_path / "figure.png")


def test_rows_are_spread_evenly():
    assert evenly(3, 6) == [0, 1, 2]
    assert evenly(12, 4) == [0, 3, 6, 9]
    assert math.isclose(len(set(evenly(100, 7))), 7)
