"""``inside.patches``: the places that activate units most, against a plain search of all places."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
import small_pictograms
from click.testing import CliRunner
from PIL import Image

import gradcam
from gradcam import Layer, Network, inside
from gradcam import _cli as cli
from gradcam._pictures.image import Geometry
from gradcam.inside import _patch_figure
from gradcam.inside._strongest import Strongest

PICTURES = [
    np.random.default_rng(n).integers(0, 256, (48 + 4 * n, 80, 3), np.uint8) for n in range(11)
]


@pytest.fixture(scope="module")
def network():
    return small_pictograms.network()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The pictures as files, in two folders."""
    root = tmp_path_factory.mktemp("pictures")
    for n, pixels in enumerate(PICTURES):
        path = root / ("a" if n < 6 else "b") / f"{n:02}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(path)
    (root / "notes.txt").write_text("not a picture")
    return root


def twin(network, layer, unit, count, per_picture):
    """All values of a unit above 0, sorted: (value, picture, row, column)."""
    every = []
    for number, pixels in enumerate(PICTURES):
        maps = network.forward(pixels, keep=layer).activation(layer)[0]
        values = maps[unit] if maps.ndim == 3 else maps[unit].reshape(1, 1)
        places = [
            (-float(value), number, *place) for place, value in np.ndenumerate(values) if value > 0
        ]
        every += sorted(places)[:per_picture]
    return [(-value, *place) for value, *place in sorted(every)[:count]]


@pytest.mark.parametrize("layer", ["relu", "pool", "mean", "scores", "prob"])
@pytest.mark.parametrize(("count", "per_picture", "batch"), [(4, 1, 8), (7, 3, 2), (30, 2, 5)])
def test_against_a_search_of_all_places(network, layer, count, per_picture, batch):
    options = {"per_picture": per_picture, "batch": batch}
    found = inside.patches(network, PICTURES, layer, count=count, **options)
    assert found.pictures == 11 and len(found) == len(found.units) == 6
    for unit, patches in found.items():
        expected = twin(network, layer, unit, count, per_picture)
        assert [each.number for each in patches] == [number for _, number, *_ in expected]
        if found.has_positions:
            assert [each.position for each in patches] == [tuple(p) for _, _, *p in expected]
        else:
            assert {each.position for each in patches} == {None}
        np.testing.assert_allclose([p.value for p in patches], [e[0] for e in expected], rtol=1e-5)
        assert all(each.source is PICTURES[each.number] for each in patches)


def test_boxes_on_the_picture(network):
    found = inside.patches(network, PICTURES, "relu", 2, 20)
    for patch in found[2]:
        row, column = patch.position
        assert patch.field == (column, row, column + 5, row + 5)
        height = 48 + 4 * patch.number
        expected = np.array(patch.field) * [80 / 64, height / 64, 80 / 64, height / 64]
        np.testing.assert_allclose(patch.box, expected)
        x0, y0, x1, y1 = patch.box
        assert patch.picture.shape == (height, 80, 3)
        assert abs(patch.crop.shape[0] - (y1 - y0)) < 2 > abs(patch.crop.shape[1] - (x1 - x0))


def test_boxes_of_a_cropped_input():
    preset = gradcam.Preset("cropping", size=32, shorter_side=40)
    kernel = np.random.default_rng(0).standard_normal((2, 3, 4, 4)).astype(np.float32)
    layers = [
        Layer("conv", "conv", (), {"weight": kernel}, {"stride": 4}),
        Layer("pool", "global_average_pool"),
        Layer("scores", "flatten"),
    ]
    network = Network.from_layers(layers, preset=preset)
    picture = np.random.default_rng(1).integers(0, 256, (160, 320, 3), np.uint8)
    (patch,) = inside.patches(network, [picture], "conv", 1)[1]
    row, column = patch.position
    # The picture is resized to 40 x 80, and its centre, 32 x 32, begins at row 4 and column 24.
    top, left = 4 * (4 + 4 * row), 4 * (24 + 4 * column)
    assert patch.box == (left, top, left + 16, top + 16)
    np.testing.assert_array_equal(patch.crop, picture[top : top + 16, left : left + 16])
    # Only what is inside the box, and what resizing mixes into it, changes the value.
    other = 255 - picture
    other[top - 4 : top + 20, left - 4 : left + 20] = picture[
        top - 4 : top + 20, left - 4 : left + 20
    ]
    value = network.forward(other).activation("conv")[0, 1, row, column]
    assert value == pytest.approx(patch.value, rel=1e-5)
    assert inside.patches(network, [picture], "scores", 0 if patch.unit == 0 else 1).sees_all


def test_pictures_in_their_own_sizes(network):
    found = inside.patches(network, PICTURES, "relu", 3, 20, size="original", batch=3)
    for patch in found[3]:
        maps = network.forward(PICTURES[patch.number], size="original").activation("relu")[0]
        assert patch.value == pytest.approx(maps[3].max(), rel=1e-6)
        assert patch.position == np.unravel_index(maps[3].argmax(), maps[3].shape)
        assert patch.box == patch.field and patch.crop.shape == (5, 5, 3)


def test_values_that_are_not_finite():
    weight = np.full((1, 3, 3, 3), 3e38, np.float32)
    layers = [Layer("conv", "conv", (), {"weight": weight}), Layer("pool", "global_average_pool")]
    network = Network.from_layers([*layers, Layer("scores", "flatten")], preset="0..255")
    with pytest.raises(ValueError, match="the output of conv of network is not finite"):
        inside.patches(network, PICTURES[:1], "conv")


def test_equal_values_in_the_order_of_pictures_and_places(network):
    same = [PICTURES[0], PICTURES[3], PICTURES[0], PICTURES[0]]
    for batch in (1, 3):
        patches = inside.patches(network, same, "relu", 1, 8, per_picture=2, batch=batch)[1]
        values = [each.value for each in patches]
        assert values == sorted(values, reverse=True)
        equal = [each.number for each in patches if each.value == values[0]]
        assert equal in ([0, 2, 3], [1])
    black = [np.zeros((9, 9, 3), np.uint8)] * 3
    shape = network.shape("relu", (64, 64))[1:]
    for patches in inside.patches(network, black, "relu", count=5, per_picture=4).values():
        places = [(each.number, each.position) for each in patches]
        assert places == [*((0, (0, n)) for n in range(4)), (1, (0, 0))]
        assert shape[1] > 4


def test_largest_values_in_any_order_of_batches():
    rng = np.random.default_rng(0)
    values = rng.integers(-2, 5, (20, 3, 6)).astype(np.float32)
    best = Strongest(3, 7, 2)
    for number, each in enumerate(values):
        best.add(number, each)
    for unit in range(3):
        every = []
        for number in range(20):
            rows = sorted((-v, p) for p, v in enumerate(values[number, unit].tolist()))
            every += [(v, number, p) for v, p in rows[:2] if v < 0]
        assert best.of(unit) == [(-v, n, p) for v, n, p in sorted(every)[:7]]


def test_units_that_are_chosen():
    """Those whose patches are large compared with the mean; silent ones never."""
    values = np.zeros((4, 5, 10), np.float32)
    values[:, 0] = 8  # everywhere
    values[:, 1, 0] = 2  # at one place of each picture
    values[0, 2, 0] = 99  # in one picture alone
    values[:, 3] = -1  # never
    values[:, 4, :5] = 3
    best = Strongest(5, 3, 1)
    for number, each in enumerate(values):
        best.add(number, each)
    assert best.exceptional(9) == (1, 4, 0, 2)
    assert best.exceptional(2) == (1, 4)
    assert best.silent() == (3,)


def test_folders_and_iterables_and_single_pictures(network, folder):
    listed = inside.patches(network, PICTURES, "relu", [3, 1])
    found = inside.patches(network, folder, "relu", [3, 1])
    for unit in (3, 1):
        assert [each.value for each in found[unit]] == [each.value for each in listed[unit]]
        assert [each.field for each in found[unit]] == [each.field for each in listed[unit]]
    assert found.units == (3, 1) and found[3][0].name.endswith(".png")
    again = inside.patches(network, iter(PICTURES), "relu", np.array([3, 1]))
    assert [each.number for each in again[1]] == [each.number for each in listed[1]]
    assert inside.patches(network, PICTURES[0], "relu", 3).pictures == 1
    one = inside.patches(network, folder / "a" / "00.png", "relu", 3)
    assert one[3][0].number == 0 and pickle.loads(pickle.dumps(one))[3][0].field == one[3][0].field


def test_pictures_without_a_patch_are_not_kept(network):
    """A unit has one patch here, so at most as many pictures as units are referred to."""
    import gc
    import weakref

    alive = []

    class Picture(np.ndarray):
        pass

    def drawn():
        for n in range(60):
            pixels = np.random.default_rng(n).integers(0, 256, (64, 64, 3), np.uint8)
            alive.append(weakref.ref(picture := pixels.view(Picture)))
            yield picture
            del picture

    found = inside.patches(network, drawn(), "scores", count=1, batch=4)
    gc.collect()
    assert found.pictures == 60 == len(alive)
    assert 1 <= sum(each() is not None for each in alive) <= 6


def test_broken_pictures(network, folder, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    paths = [folder / "a" / "00.png", tmp_path / "broken.png", folder / "b" / "07.png"]
    with pytest.raises(gradcam.PictureError, match=r"broken\.png"):
        inside.patches(network, paths, "relu", 1)
    found = inside.patches(network, paths, "relu", 1, on_error="skip")
    assert found.pictures == 2 and [path for path, _ in found.skipped] == paths[1:2]
    assert {each.name for each in found[1]} == {str(paths[0]), str(paths[2])}
    with pytest.raises(ValueError, match=r"the picture could not be read: .*broken\.png"):
        inside.patches(network, paths[1:2], "relu", on_error="skip")
    with pytest.raises(ValueError, match=r"none of 3 pictures could be read; the first: .*broken"):
        inside.patches(network, paths[1:2] * 3, "relu", on_error="skip")


def test_units_that_never_fire(network):
    layers = list(network.layers.values())
    weight = np.array(layers[1].weights["weight"])
    weight[[2, 4]] = 0
    layers[1] = Layer("conv", "conv", (), {"weight": weight})
    dead = Network.from_layers(layers, labels=network.labels, preset=network.preset, name="dead")
    message = "units 2, 4 of relu of dead never fire: no value is above 0 on these 11 pictures"
    with pytest.raises(ValueError, match=message):
        inside.patches(dead, PICTURES, "relu", [0, 2, 4])
    with pytest.raises(ValueError, match="unit 4 of relu of dead never fires"):
        inside.patches(dead, PICTURES, "relu", 4)
    found = inside.patches(dead, PICTURES, "relu")
    assert found.silent == (2, 4) and sorted(found.units) == [0, 1, 3, 5]
    layers[1] = Layer("conv", "conv", (), {"weight": 0 * weight})
    dead = Network.from_layers(layers, labels=network.labels, preset=network.preset, name="dead")
    with pytest.raises(ValueError, match="no unit of relu of dead is above 0 on this picture"):
        inside.patches(dead, PICTURES[:1], "relu")


def test_bad_input(network, tmp_path):
    for arguments, error, message in (
        ((PICTURES, "relu", 6), IndexError, "unit 6 of relu: the layer has 6 units, 0 to 5"),
        ((PICTURES, "relu", [-1]), IndexError, "unit -1 of relu"),
        ((PICTURES, "relu", []), ValueError, "units: name at least one"),
        ((PICTURES, "relu", 1.5), TypeError, "units: expected an integer, got 1.5"),
        ((PICTURES, "relu", "1"), TypeError, "units: expected an integer, got '1'"),
        ((PICTURES, "relu9"), ValueError, "no layer is called 'relu9'"),
        ((PICTURES, "relu", 1, 0), ValueError, "count: expected 1 or more, got 0"),
        (([], "relu"), ValueError, "no pictures: give a folder or a list"),
        ((tmp_path,), ValueError, "there is no picture in this folder"),
        ((tmp_path / "none",), FileNotFoundError, "none"),
        ((3,), TypeError, "expected several pictures|picture: expected"),
        ((np.zeros((2, 3, 64, 64), np.float32),), TypeError, "got preprocessed input"),
    ):
        with pytest.raises(error, match=message):
            inside.patches(network, *arguments)
    assert inside.patches(network, PICTURES, "relu", np.array(1)).units == (1,)
    with pytest.raises(TypeError, match=r"network: expected a gradcam\.Network, got None"):
        inside.patches(None, PICTURES)
    with pytest.raises(ValueError, match="per_picture: expected 1 or more, got 0"):
        inside.patches(network, PICTURES, per_picture=0)
    vgg = gradcam.vgg11(gradcam.vgg11.random_tensors(width=2, fc=4, classes=3))
    with pytest.raises(ValueError, match=r"flatten holds the values of \w+ as a vector"):
        inside.patches(vgg, PICTURES, "flatten")


def words_of(figure):
    figure.canvas.draw()
    texts = [*figure.texts, *(text for ax in figure.axes for text in ax.texts)]
    return [" ".join(text.get_text().split()) for text in texts]


def test_figure(network):
    found = inside.patches(network, PICTURES, "relu", [2, 0], 10)
    figure = found.plot()
    words = words_of(figure)
    assert found.finding in words and "unit 2" in words and "unit 0" in words
    assert len(figure.axes) == 20
    values = [f"{patch.value:.3g}" for patch in (*found[2], *found[0])]
    assert [word for word in words if word in values] == values  # below: the boxes are small
    for ax, patch in zip(figure.axes, [*found[2], *found[0]], strict=True):
        x0, y0, x1, y1 = patch.box
        box = ax.patches[-1]
        assert box.get_edgecolor()[:3] == (1, 1, 1)
        assert box.get_bbox().bounds == pytest.approx((x0 - 0.5, y0 - 0.5, x1 - x0, y1 - y0))
    cropped = found.plot(crop=True)
    assert not any(ax.patches for ax in cropped.axes)
    assert cropped.axes[0].images[0].get_array().shape == found[2][0].crop.shape


def test_figure_of_some_units_and_of_too_many(network):
    found = inside.patches(network, PICTURES, "relu", range(6), 11)
    assert len(found.plot([4, 1]).axes) == 22
    words = " ".join(text.get_text() for text in found.plot(np.int64(4)).texts)
    assert "unit 4" in words and "These are" not in words
    with pytest.raises(IndexError, match="unit 7 is not among the 6 units"):
        found.plot(7)
    fitting = _patch_figure._fitting({unit: [None] * 130 for unit in range(6)})
    assert list(fitting) == [0, 1]  # of 15 rows each
    assert len(_patch_figure._fitting({3: [None] * 999})[3]) == 360


def test_figure_of_units_that_see_everything(network):
    found = inside.patches(network, PICTURES, "scores", 5, 3)
    assert found.sees_all and "a unit sees the whole input, 64 x 64 pixels" in found.finding
    figure = found.plot()
    assert not any(ax.patches for ax in figure.axes)
    assert "Each picture is all that a unit sees: the whole input." in " ".join(words_of(figure))


def test_values_are_in_boxes_that_have_room():
    geometry = Geometry.straight((64, 64), (64, 64))
    cells = [
        _patch_figure._cell(
            inside.Patch(1, 2.0, (0, 0), 0, np.zeros((64, 64, 3), np.uint8), field, geometry), False
        )
        for field in ((8, 8, 16, 16), (8, 8, 60, 60), (0, 0, 64, 64))
    ]
    assert [(cell.words, cell.note) for cell in cells] == [("2", ""), ("", "2"), ("", "2")]


def test_boxes_have_no_errors_of_rounding():
    """29 pixels of a picture of 224 pixels are not 224 * (29 / 224)."""
    geometry = Geometry.straight((61, 29), (224, 224))
    patch = inside.Patch(
        1, 2.0, None, 0, np.zeros((61, 29, 3), np.uint8), (0, 0, 224, 224), geometry
    )
    assert patch.box == (0, 0, 29, 61) and patch.sees_picture
    assert patch.crop.shape == (61, 29, 3)
    half = inside.Patch(
        1, 2.0, None, 0, np.zeros((99, 30, 3), np.uint8), (0, 0, 112, 112), geometry
    )
    assert half.box == (0, 0, 14.5, 30.5) and half.crop.shape == (31, 15, 3)


def test_places_that_see_only_padding_do_not_count():
    """Unit 0 is 50 where it sees only padding; unit 1, of another branch, reads the picture."""
    ones = {"weight": np.full((1, 3, 1, 1), 0.01, np.float32), "bias": np.array([50], np.float32)}
    three = {"weight": np.full((1, 3, 3, 3), 0.01, np.float32)}
    layers = [
        Layer("a", "conv", ("input",), ones, {"padding": 1}),
        Layer("b", "conv", ("input",), three, {"padding": 2}),
        Layer("both", "concatenate", ("a", "b")),
        *(Layer("pool", "global_average_pool"), Layer("scores", "flatten")),
    ]
    network = Network.from_layers(layers, preset="caffe")
    black = [np.zeros((30, 40, 3), np.uint8)]  # below the means: less than padding
    (patch,) = inside.patches(network, black, "both", 0)[0]
    assert patch.position == (1, 1) and patch.field == (0, 0, 1, 1) and 0 < patch.value < 50
    inside.patches(network, black, "both", 0).plot(crop=True)


def test_words_of_the_figure():
    def patch(*field, picture=(64, 64)):
        geometry = Geometry.straight(picture, (64, 64))
        return inside.Patch(1, 2.0, (0, 0), 0, PICTURES[0], field, geometry)

    part, whole = patch(0, 0, 9, 9), patch(0, 0, 64, 64)
    words = _patch_figure._details
    assert words([part], False).startswith("The box is all that a unit sees: its receptive field.")
    assert "its receptive field; without a box, it sees the whole" in words([part, whole], False)
    assert words([part, whole], True).startswith("Each picture is all that a unit sees: its rec")
    assert words([whole], False).startswith("Each picture is all that a unit sees: the whole input")


def test_large_pictures_are_reduced_for_the_figure(network):
    large = [np.random.default_rng(0).integers(0, 256, (900, 1800, 3), np.uint8)]
    found = inside.patches(network, large, "relu", 1)
    (ax,) = found.plot().axes
    assert ax.images[0].get_array().shape == (180, 360, 3)
    x0, y0, x1, y1 = (side / 5 for side in found[1][0].box)
    assert ax.patches[-1].get_bbox().bounds == pytest.approx((x0 - 0.5, y0 - 0.5, x1 - x0, y1 - y0))


def test_command(folder, tmp_path):
    run = CliRunner().invoke
    out = tmp_path / "out"
    command = ["inside", "patches", "--model", "pictograms", "--out", str(out), "-l", "relu5_3"]
    done = run(cli.main, [*command, str(folder), "--unit", "11", "--count", "2", "--json"])
    record = json.loads(done.stdout)
    assert done.exit_code == 0 and record["pictures"] == 11
    ((unit, found),) = [(each["unit"], each["patches"]) for each in record["units"]]
    assert unit == 11 and len(found) == 2 and found[0]["picture"].endswith(".png")
    assert (out / "patches-relu5_3-11-count-2.png").stat().st_size > 1000
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    done = run(cli.main, [*command, str(folder), str(tmp_path / "broken.jpg"), "--crop"])
    assert done.exit_code == 1 and "broken.jpg: " in done.stderr
    assert "relu5_3 of pictograms on 11 pictures" in done.stdout
    assert (out / "patches-relu5_3-crop.png").exists()
    done = run(cli.main, ["inside", "patches", str(tmp_path / "nope"), "--weights", "nope.pth"])
    assert done.exit_code == 2 and "nope: No such file or directory" in done.stderr  # the pictures
    done = run(cli.main, [*command[:4], "--out", str(folder / "notes.txt" / "x"), str(folder)])
    assert done.exit_code == 2 and "Not a directory" in done.stderr
    for more, message in (
        (["--unit", "999"], "unit 999 of relu5_3: the layer has 128 units"),
        (["--layer", "relu9"], "no layer is called 'relu9'"),
    ):
        done = run(cli.main, [*command, str(folder), *more])
        assert done.exit_code == 2 and message in done.stderr
    (tmp_path / "empty").mkdir()
    done = run(cli.main, [*command, str(tmp_path / "empty")])
    assert done.exit_code == 2 and "there is no picture in this folder" in done.stderr
    done = run(cli.main, [*command, str(tmp_path / "empty"), str(folder / "a")])
    assert done.exit_code == 1 and "empty: there is no picture in this folder" in done.stderr
    done = run(cli.main, [*command[:4], "--out", str(folder), str(folder)])
    assert done.exit_code == 2 and "cannot be read and written at once" in done.stderr
