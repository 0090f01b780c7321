"""What the values of an array are, files in memory, URLs and paths, targets of other packages."""

from __future__ import annotations

import copy
import io
import os
import pickle
import urllib.request
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
import vggs
from helpers import peer
from PIL import Image

import gradcam
from gradcam import BatchTape, InputWarning, PictureError, Tape
from gradcam._files import atomic_write, fitting

PICTURE = vggs.picture(60, 80)
FLOATS = PICTURE.astype(np.float32) / 255  # as torchvision's ToTensor, before the axes are moved


def network(preset="torchvision"):
    return gradcam.vgg11(vggs.tensors("vgg11"), preset=preset)


@pytest.fixture(scope="module")
def net():
    return network()


@pytest.fixture(scope="module")
def scores(net):
    return net.forward(PICTURE).scores


@pytest.fixture
def no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


# --- arrays of floats ---

LAYOUTS = {
    "HWC": lambda a: a,
    "CHW": lambda a: a.transpose(2, 0, 1),
    "HWC of float64": lambda a: a.astype(np.float64),
    "HWC of float16": lambda a: a.astype(np.float16),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("values", "array"), [("0..1", FLOATS), ("0..255", FLOATS * 255)])
def test_values_of_a_picture_are_prepared_as_the_file_is(
    net, scores, layout, values, array, no_warning
):
    tape = net.forward(LAYOUTS[layout](array), input=values)
    assert type(tape) is Tape
    if "16" in layout and values == "0..1":  # 11 bits round once more
        assert np.abs(tape.picture.astype(int) - PICTURE).max() <= 1
        return
    np.testing.assert_array_equal(tape.picture, PICTURE)
    np.testing.assert_array_equal(tape.scores, scores)


def test_every_value_of_8_bits_comes_back_exactly(net):
    ramp = np.arange(256, dtype=np.uint8).reshape(16, 16)
    for divided in (ramp / np.float32(255), ramp * np.float32(1 / 255), ramp.astype(np.float64)):
        values = "0..1" if divided.max() <= 1.1 else "0..255"
        found = net.forward(divided, input=values).picture
        np.testing.assert_array_equal(found, np.repeat(ramp[..., None], 3, axis=2))


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.uint16, np.float32])
def test_integers_of_any_type_and_layout(net, scores, dtype, no_warning):
    for array in (PICTURE, PICTURE.transpose(2, 0, 1)):
        tape = net.forward(array.astype(dtype), input="0..255")
        np.testing.assert_array_equal(tape.scores, scores)


@pytest.mark.parametrize("axes", [(0, 1, 2, 3), (0, 3, 1, 2)], ids=["NHWC", "NCHW"])
def test_batches_of_floats(net, axes, no_warning):
    batch = np.stack([PICTURE, PICTURE[::-1]])
    expected = net.forward(batch).scores
    floats = (batch / np.float32(255)).transpose(axes)
    for given in (floats, list(floats)):
        tape = net.forward(given, input="0..1")
        assert type(tape) is BatchTape
        np.testing.assert_array_equal(tape.scores, expected)
    assert net.predict(floats, input="0..1") == net.predict(batch)


def test_explain_passes_the_values_on(net, no_warning):
    found = gradcam.explain(FLOATS, 3, network=net, input="0..1")
    np.testing.assert_array_equal(found.raw, net.forward(PICTURE).grad_cam(3).raw)


def test_grey_and_transparent_floats(net):
    grey = FLOATS[..., 0]
    expected = np.repeat(PICTURE[..., :1], 3, axis=2)
    for array in (grey, grey[..., None], grey[None]):
        np.testing.assert_array_equal(net.forward(array, input="0..1").picture, expected)
    clear = np.concatenate([FLOATS, np.zeros_like(FLOATS[..., :1])], axis=2)
    assert (net.forward(clear, input="0..1").picture == 255).all()


@pytest.mark.parametrize(
    ("array", "values", "words"),
    [
        (FLOATS * 2, "0..1", "0..1.*values of the array are 0"),
        (FLOATS - 0.1, "0..1", "-0.1"),
        (FLOATS * 300, "0..255", "300"),
        (FLOATS * np.nan, "0..1", "nan"),
        (np.zeros((5, 6, 7)), "0..1", r"\(5, 6, 7\)"),
        (np.zeros((3, 50, 3)), "0..1", r"\(3, 50, 3\)"),
        (np.zeros((0, 5, 3)), "0..1", "not a picture"),
        (np.zeros(7), "0..1", "not a picture"),
        (PICTURE, "0..1", "255"),
    ],
    ids=str,
)
def test_values_that_do_not_fit_are_refused(net, array, values, words):
    with pytest.raises(PictureError, match=words):
        net.forward(array, input=values)


@pytest.mark.parametrize("values", ["0-1", "0..2", "normalized", 1])
def test_unknown_kinds_of_values_are_refused(net, values):
    with pytest.raises(ValueError, match=r"'0\.\.1', '0\.\.255', 'normalised' or None"):
        net.forward(FLOATS, input=values)


def test_only_arrays_have_values_to_name(net, tmp_path):
    Image.fromarray(PICTURE).save(tmp_path / "a.png")
    for source in (tmp_path / "a.png", Image.fromarray(PICTURE), b"x", [str(tmp_path / "a.png")]):
        for values in ("0..1", "0..255", "normalised"):
            with pytest.raises(ValueError, match="array"):
                net.forward(source, input=values)
    with pytest.raises(TypeError, match="complex"):
        net.forward(np.zeros((8, 8, 3), complex), input="0..1")


def test_floats_with_the_channels_last_say_what_to_do(net):
    for array in (FLOATS, FLOATS[None], FLOATS[..., 0], [FLOATS]):
        with pytest.raises((ValueError, TypeError), match=r"input='0\.\.1'"):
            net.forward(array)
    with pytest.raises(ValueError, match=r"input='0\.\.1'"):
        net.forward(FLOATS.transpose(2, 0, 1), size=64)


# --- values that cannot be normalised input ---

CHW = FLOATS.transpose(2, 0, 1)
MISREAD = [
    *((preset, CHW, "0..1") for preset in gradcam.PRESETS if preset != "0..1"),
    *((preset, CHW * 255, "0..255") for preset in gradcam.PRESETS if preset != "0..255"),
    ("keras", np.rint(CHW * 120), "0..255"),
    ("torchvision", CHW * 255 - 110, "other"),  # for Caffe's or Keras's preset
    ("keras", (CHW - 0.45) / 0.225, "other"),  # for torchvision's
    ("caffe", CHW * 2 - 1, "other"),
]


@pytest.mark.parametrize(("preset", "array", "kind"), MISREAD)
def test_a_picture_taken_as_normalised_input_warns(preset, array, kind):
    net = network(preset)
    words = "pass the picture itself" if kind == "other" else f"pass input={kind!r}"
    for given in (array, np.stack([array, array])):
        with pytest.warns(InputWarning, match=words) as caught:
            net.forward(given)
        assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        net.forward(array, input="normalised")


@pytest.mark.parametrize("preset", gradcam.PRESETS)
def test_what_a_preset_makes_of_pictures_never_warns(preset, no_warning):
    net = network(preset)
    for picture in (PICTURE, PICTURE // 8, 255 - PICTURE // 8, np.full_like(PICTURE, 7)):
        net.forward(net.forward(picture, size=64).input)
    for constant in (0, 1):
        net.forward(np.full((3, 32, 32), constant, np.float32))


def test_a_preset_of_0_to_1_takes_values_of_0_to_1(no_warning):
    preset = gradcam.Preset("plain", mean=(0, 0, 0), std=(1, 1, 1))
    net = gradcam.vgg11(vggs.tensors("vgg11"), preset=preset)
    net.forward(CHW)
    with pytest.raises(InputWarning, match=r"0\.\.255"):
        net.forward(CHW * 255)


def test_noise_and_networks_without_a_preset_do_not_warn(net, no_warning):
    net.forward(np.random.default_rng(0).standard_normal((2, 3, 64, 64)))
    layers = list(net.layers.values())[1:]
    gradcam.Network.from_layers(layers).forward(CHW)


# --- files, bytes, URLs, paths ---


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(PICTURE).save(path)
    return path


def test_files_in_memory(net, file, scores):
    content = file.read_bytes()
    with zipfile.ZipFile(file.with_suffix(".zip"), "w") as archive:
        archive.writestr("a.png", content)
    for source in (content, bytearray(content), memoryview(content), io.BytesIO(content)):
        tape = net.forward(source)
        assert type(tape) is Tape
        np.testing.assert_array_equal(tape.scores, scores)
    with open(file, "rb") as opened:
        assert type(net.forward([opened, content])) is BatchTape
        opened.read()  # from its beginning on, wherever it is
        np.testing.assert_array_equal(net.forward(opened).scores, scores)
        assert not opened.closed
    with zipfile.ZipFile(file.with_suffix(".zip")) as archive, archive.open("a.png") as member:
        np.testing.assert_array_equal(net.forward(member).scores, scores)
    with urllib.request.urlopen(file.as_uri()) as answer:  # cannot be read twice
        np.testing.assert_array_equal(net.forward(answer).scores, scores)
    found = gradcam.explain(content, 3, network=net)
    np.testing.assert_array_equal(found.picture, PICTURE)


def test_files_that_are_open_as_text_are_refused(net, file):
    with (
        open(file, encoding="latin-1") as text,
        pytest.raises(TypeError, match=r"a\.png.*mode 'rb'"),
    ):
        net.forward(text)


@pytest.mark.parametrize(
    "url",
    [
        *("https://example.org/cat.jpg", "http://example.org/cat.jpg", "HTTPS://example.org/x"),
        *("ftp://example.org/cat.jpg", "file:///tmp/cat.jpg", "s3://bucket/cat.jpg"),
        "data:image/png;base64," + "A" * 100_000,
    ],
    ids=lambda url: url[:12],
)
def test_urls_are_refused_with_a_recipe(net, url):
    for given in (url, Path(url)):
        with pytest.raises(PictureError, match=r"(?s)URL.*urllib\.request.*requests") as caught:
            net.forward(given)
        assert len(str(caught.value)) < 1000


def test_the_home_folder(net, file, scores, monkeypatch):
    monkeypatch.setenv("HOME", str(file.parent))
    for path in ("~/a.png", Path("~/a.png")):
        np.testing.assert_array_equal(net.forward(path).scores, scores)
    net.forward(PICTURE).grad_cam(3).save("~/cam.png")
    assert (file.parent / "cam.png").exists()
    gradcam.weights.save(vggs.tensors("vgg11"), file.parent / "w.safetensors")
    again = gradcam.load("~/w.safetensors")
    np.testing.assert_array_equal(again.forward(PICTURE).scores, scores)
    (file.parent / "names.txt").write_text("\n".join("abcdefghij"))
    assert gradcam.Labels.read("~/names.txt")[3].label == "d"
    with pytest.raises(FileNotFoundError, match=r"~/none\.png"):
        net.forward("~/none.png")


@pytest.mark.parametrize(
    "name",
    [
        *(
            "a picture.png",
            "größe.png",
            "猫.png",
            "مرحبا.png",
            "🐈.png",
            "-cat.png",
            "cat",
            "a\nb.png",
        ),
        *("n" * 251 + ".png", "猫" * 83 + ".png", os.fsdecode(b"\xff\xfe.png")),
    ],
    ids=lambda name: ascii(name[:12]),
)
def test_names_of_files(net, file, scores, name):
    path = file.with_name(name)
    try:
        file.rename(path)
    except OSError:
        pytest.skip("the file system does not have such names")
    np.testing.assert_array_equal(net.forward(path).scores, scores)
    net.forward(path).grad_cam(3).save(path.with_name(f"{name[:-5]}x.png"))


def test_messages_hold_no_control_characters(tmp_path, net):
    path = tmp_path / "a\x1b[2J\u202e.png"
    path.write_bytes(b"garbage")
    with pytest.raises(PictureError, match=r"a\\x1b\[2J\\u202e\.png") as caught:
        net.forward(path)
    assert str(caught.value).isprintable() and caught.value.path == str(path)


def test_names_that_cannot_be_files(net):
    with pytest.raises(PictureError, match="not a path"):
        net.forward("a\0b.png")
    with pytest.raises(OSError) as caught:
        net.forward("x" * 10_000_000)
    assert len(str(caught.value)) < 1000


def test_long_names_of_results_are_cut_and_stay_different():
    assert fitting("cat-grad_cam-dog.png") == "cat-grad_cam-dog.png"
    names = [fitting("猫" * 200 + f"{n}-grad_cam.png") for n in range(3)]
    assert len(set(names)) == 3
    for name in names:
        assert len(name.encode()) <= 255 and name.endswith(".png")


def test_a_picture_error_knows_its_file(net, file):
    file.write_bytes(b"")
    with pytest.raises(PictureError, match="empty") as caught:
        net.forward(file)
    assert caught.value.path == str(file)
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.path) == (str(caught.value), str(file))
    assert copy.copy(again).path == str(file)
    with open(file, "rb") as opened, pytest.raises(PictureError) as caught:
        net.forward(opened)
    assert caught.value.path == str(file)
    with pytest.raises(PictureError) as caught:
        net.forward(b"")
    assert caught.value.path is None


def test_a_full_disk_is_not_the_pictures_fault(net, file, monkeypatch):
    def full(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", full)
    with pytest.raises(OSError, match="No space left") as caught:
        net.forward(file)
    assert not isinstance(caught.value, PictureError)
    with (
        pytest.raises(OSError, match=r"No space left on device: .*out\.png") as caught,
        atomic_write(file.with_name("out.png")),
    ):
        full()
    assert caught.value.filename == str(file.with_name("out.png"))


# --- targets ---


class Tensor:
    """As PyTorch's and pandas's arrays: it has `tolist` and no more."""

    def __init__(self, values):
        self._values = values

    def tolist(self):
        return self._values

    def __repr__(self):
        return f"Tensor({self._values})"


class Lazy:
    """As TensorFlow's: NumPy can read it."""

    def __array__(self, dtype=None, copy=None):
        return np.array([1, 2])

    def __repr__(self):
        return "Lazy()"


ONE = [3, np.int64(3), np.array(3), np.uint8(3), Tensor(3), np.str_("class_3"), np.array("class_3")]
SEVERAL = [
    *([1, 2], (1, 2), range(1, 3), np.array([1, 2]), Tensor([1, 2]), Lazy()),
    *([Tensor(1), np.array(2)], np.array(["class_1", "class_2"]), np.array([1, 2], object)),
]


@pytest.mark.parametrize("given", ONE, ids=repr)
def test_one_target(net, given):
    tape = net.forward(PICTURE)
    found = tape.grad_cam(given)
    assert found.target.index == 3
    assert net.labels.find(given).index == 3
    assert gradcam.Class(given).value(tape, 0) == tape.scores[0, 3]
    assert gradcam.Difference(given, 1).label(net.labels) == "class_3 - class_1"
    batch = net.forward([PICTURE, PICTURE])
    assert [each.target.index for each in batch.saliency(given)] == [3, 3]


@pytest.mark.parametrize("given", SEVERAL, ids=lambda given: str(given)[:24])
def test_several_targets(net, given):
    assert [each.target.index for each in net.forward(PICTURE).grad_cam(given)] == [1, 2]
    batch = net.forward([PICTURE, PICTURE])
    assert [each.target.index for each in batch.saliency(given)] == [1, 2]


def test_a_table_of_targets(net):
    batch = net.forward([PICTURE, PICTURE])
    for given in (Tensor([[1, 2], [3, 4]]), np.array([[1, 2], [3, 4]]), [range(1, 3), range(3, 5)]):
        found = batch.saliency(given)
        assert [[each.target.index for each in pair] for pair in found] == [[1, 2], [3, 4]]
    tape = net.forward(PICTURE)
    assert len(tape.grad_cam(net.labels)) == len(net.labels)
    with pytest.raises(TypeError, match="a class is an index"):
        tape.grad_cam(np.array([[1, 2]]))


def test_targets_of_pytorch(net):
    torch = peer("torch")
    batch = net.forward([PICTURE, PICTURE])
    for given in (torch.tensor([1, 2]), [torch.tensor(1), torch.tensor(2)]):
        assert [each.target.index for each in batch.grad_cam(given)] == [1, 2]
    assert net.forward(PICTURE).grad_cam(torch.tensor(3)).target.index == 3
    for wrong in (torch.tensor([1.0, 2.0]), torch.tensor([True, False])):
        with pytest.raises(TypeError, match="a class is an index"):
            batch.grad_cam(wrong)
    floats = torch.from_numpy(CHW.copy())
    assert net.predict(floats, input="0..1") == net.predict(PICTURE)
    with pytest.warns(InputWarning, match=r"0\.\.1"):
        net.forward(floats)


@pytest.mark.parametrize(
    "given",
    [
        (n for n in (1, 2)),
        iter([1, 2]),
        map(int, "12"),
        {1, 2},
        {1: 2},
        {"a": 1}.keys(),
        [{1, 2}, 1],
    ],
    ids=lambda given: type(given).__name__,
)
def test_what_is_not_a_list_is_refused_in_words(net, given):
    with pytest.raises(TypeError, match=r"targets: expected .* pass a list"):
        net.forward([PICTURE, PICTURE]).grad_cam(given)


@pytest.mark.parametrize("given", [1.5, True, np.bool_(True), np.array(1.0), b"cat", Ellipsis])
def test_what_is_not_a_class_is_refused_in_words(net, given):
    with pytest.raises(TypeError, match=r"a class is an index \(int\), a label"):
        net.forward(PICTURE).grad_cam(given)


def test_a_target_of_another_network_is_refused(net):
    other = gradcam.Labels([f"animal {n}" for n in range(20)], None)
    tape = net.forward(PICTURE)
    assert tape.grad_cam(net.labels[3]).target == net.labels[3]
    same = gradcam.Labels([target.label for target in net.labels])
    assert tape.grad_cam(same[3]).target.index == 3
    for index, here in ((3, "class 3 is 'class_3' here"), (15, "there are 10 here")):
        with pytest.raises(ValueError, match=f"'animal {index}', is a class of another.*{here}"):
            tape.grad_cam(other[index])
        with pytest.raises(ValueError, match="another network"):
            net.labels.find(other[index])
        assert other[index] not in net.labels


@pytest.mark.slow
def test_long_arguments_are_not_repeated(net):
    tape = net.forward(PICTURE)
    long = "x" * 10_000_000
    for call in (
        lambda: tape.grad_cam(long),
        lambda: tape.grad_cam(1, on=long),
        lambda: net.forward(PICTURE, size=long),
        lambda: net.forward(PICTURE, input=long),
        lambda: gradcam.Labels(long),
        lambda: tape.grad_cam([long.encode()]),
    ):
        with pytest.raises((ValueError, TypeError)) as caught:
            call()
        assert len(str(caught.value)) < 1000


# --- the order of classes ---


def saturated():
    """A network whose softmax rounds all probabilities but one to 0."""
    tensors = vggs.tensors("vgg11")
    weight = np.zeros_like(tensors["classifier.6.weight"])
    bias = np.array([-900, -500, 0, -300, -200, -800, -400, -600, -700, -1000], np.float32)
    return gradcam.vgg11({**tensors, "classifier.6.weight": weight, "classifier.6.bias": bias})


def test_classes_are_ordered_by_score():
    net = saturated()
    tape, batch = net.forward(PICTURE), net.forward([PICTURE, PICTURE])
    assert not np.delete(tape.probabilities[0], 2).any()
    expected = [f"class_{n}" for n in (2, 4, 3, 6, 1)]
    for found in (tape.top(), *batch.top(), *net.predict(PICTURE), *net.predict([PICTURE] * 2)):
        assert [label for _, label, _ in found] == expected
        assert [probability for *_, probability in found] == [1, 0, 0, 0, 0]
    decoded = net.labels.decode(tape.probabilities[0], 3)
    assert [label for _, label, _ in decoded] == ["class_2", "class_0", "class_1"]
    with pytest.raises(ValueError, match="scores"):
        net.labels.decode(tape.probabilities[0], scores=[1, 2])
