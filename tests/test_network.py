"""The VGG family: names, shapes, weights from files and dicts, and what is refused."""

from __future__ import annotations

import json
import pickle
import zipfile

import nets
import numpy as np
import pytest
import vggs
from helpers import assert_close, peer

import gradcam
from gradcam import BatchTape, Tape, weights
from gradcam._weights import safetensors
from gradcam._weights.tensors import from_bfloat16
from gradcam.weights import WeightsError

NAMES = vggs.NAMES


def make(name: str = "vgg16", tensors=None, **options):
    return getattr(gradcam, name)(vggs.tensors(name) if tensors is None else tensors, **options)


@pytest.fixture(scope="module")
def narrow():
    """A narrow VGG-16 and its tensors."""
    tensors = vggs.tensors()
    return make(tensors=tensors), tensors


# --- names ---


@pytest.mark.parametrize("name", NAMES)
def test_every_layer_has_all_its_names(name):
    net = make(name)
    folded = {f"conv{b}_{i}" for b in range(1, 6) for i in range(1, 5)} if "_bn" in name else set()
    expected = [layer for layer in vggs.layers(name) if layer[0] not in folded]
    assert net.name == name
    assert tuple(net.layers) == ("input", *(caffe for caffe, _, _ in expected))
    for number, (caffe, torchvision, keras) in enumerate(expected, start=1):
        for alias in filter(None, (caffe, torchvision, keras)):
            assert net.index(alias) == number, alias
            assert alias in net.names(caffe)
    assert net.index("input") == 0
    assert len(net.core) == len(net.layers)


def test_one_map_three_names():
    net = make()
    assert net.index("relu5_3") == net.index("features.29") == net.index("block5_conv3")
    assert net.index("pool5") == net.index("features.30") == net.index("block5_pool")
    assert net.target_layer == "relu5_3"
    assert make("vgg19").target_layer == "relu5_4"
    assert make("vgg11_bn").target_layer == "relu5_2"


@pytest.mark.parametrize("layer", ["conv1_1", "features.0"])
def test_a_folded_convolution_says_where_it_went(layer):
    with pytest.raises(ValueError, match="bn1_1"):
        make("vgg11_bn").index(layer)


def test_an_unknown_layer_lists_the_layers(narrow):
    net, _ = narrow
    with pytest.raises(ValueError, match=r"relu5_3.*fc8") as caught:
        net.index("relu5_4")
    assert "prob" in str(caught.value)
    for call in (
        lambda: net.names("conv6_1"),
        lambda: net.forward(np.zeros((3, 32, 32)), keep=["conv6_1"]),
        lambda: net.forward(np.zeros((3, 32, 32))).activation("conv6_1"),
        lambda: net.forward(np.zeros((3, 32, 32))).gradient(0, "conv6_1"),
        lambda: net.forward(np.zeros((3, 32, 32))).grad_cam(0, layer="conv6_1"),
    ):
        with pytest.raises(ValueError, match="relu5_3"):
            call()
    with pytest.raises(TypeError):
        net.index(3)


# --- numbers ---


@pytest.mark.parametrize("name", NAMES)
def test_forward_is_the_twins(name):
    """Batch normalisation too, which the twin does not fold."""
    tensors = vggs.tensors(name)
    net, (twin, numbers) = make(name, tensors), vggs.twin(name, tensors)
    x = np.random.default_rng(1).standard_normal((2, 3, 40, 50)).astype(np.float32)
    tape, record = net.forward(x), twin.forward(x)
    assert_close(tape.scores, record.outputs[numbers["fc8"]], "network")
    assert_close(tape.probabilities, record.outputs[numbers["prob"]], "network")
    for layer in ("relu1_1", "pool3", "relu5_1", "pool5", "avgpool", "relu6"):
        assert_close(tape.activation(layer), record.outputs[numbers[layer]], "network")


@pytest.mark.parametrize(
    "options",
    [
        {"divide": 32, "hidden": (5, 7), "classes": 3},
        {"divide": 8, "hidden": (64, 9), "classes": 25},
        {"divide": 64, "hidden": (1, 1), "classes": 1},
    ],
    ids=str,
)
def test_widths_are_read_off_the_tensors(options):
    tensors = vggs.tensors("vgg13", **options)
    net, (twin, numbers) = make("vgg13", tensors), vggs.twin("vgg13", tensors)
    x = np.random.default_rng(1).standard_normal((1, 3, 32, 33)).astype(np.float32)
    assert_close(net.forward(x).scores, twin.forward(x).outputs[numbers["fc8"]], "network")
    assert len(net.labels) == options["classes"]


def test_random_weights_follow_the_seed():
    options = {"width": 4, "fc": 16, "classes": 5}
    one, same, other = (gradcam.vgg11.random_tensors(**options, seed=seed) for seed in (1, 1, 2))
    x = np.random.default_rng(1).standard_normal((1, 3, 32, 32)).astype(np.float32)
    scores = [make("vgg11", tensors).forward(x).scores for tensors in (one, same, other)]
    np.testing.assert_array_equal(scores[0], scores[1])
    assert not np.allclose(scores[0], scores[2])


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_random_networks_of_full_width(name):
    scores = getattr(gradcam, name)().forward(np.ones((3, 32, 32))).scores
    assert scores.shape == (1, 1000)
    assert np.isfinite(scores).all() and 0.1 < np.abs(scores).max() < 100


def test_predict(narrow):
    net, tensors = narrow
    twin, numbers = vggs.twin("vgg16", tensors)
    x = np.random.default_rng(1).standard_normal((2, 3, 32, 40)).astype(np.float32)
    probabilities = twin.forward(x).outputs[numbers["prob"]]
    for found, expected in zip(net.predict(x, top=3), probabilities, strict=True):
        order = np.argsort(-expected)[:3]
        assert [entry[1] for entry in found] == [net.labels[i].label for i in order]
        np.testing.assert_allclose([entry[2] for entry in found], expected[order], rtol=1e-4)
    assert [len(found) for found in net.predict(x)] == [5, 5]
    assert [len(found) for found in net.predict(x, top=99)] == [10, 10]


def test_top(narrow):
    net, _ = narrow
    x = np.random.default_rng(1).standard_normal((2, 3, 32, 40)).astype(np.float32)
    assert net.forward(x).top(2) == net.predict(x, top=2)
    alone, in_batch = net.forward(x[0]).top(2), net.forward(x).top(2)[0]
    for one, other in zip(alone, in_batch, strict=True):
        assert one[:2] == other[:2] and one[2] == pytest.approx(other[2], rel=1e-4)
    for bad in (0, -1):
        with pytest.raises(ValueError):
            net.forward(x).top(bad)


def test_imagenet_labels_where_there_are_1000_classes():
    net = make(tensors=vggs.tensors(classes=1000))
    assert net.labels[282].label == "tiger_cat" and net.labels[282].synset == "n02123159"
    synset, label, probability = net.predict(np.zeros((3, 32, 32)))[0][0]
    assert synset.startswith("n") and label and 0 < probability <= 1
    assert make().labels[3].label == "class_3"


def test_labels_of_ones_own():
    net = make(tensors=vggs.tensors(classes=2), labels=["cat", "dog"])
    assert [target.label for target in net.labels] == ["cat", "dog"]
    with pytest.raises(ValueError, match=r"3.*2|2.*3"):
        make(tensors=vggs.tensors(classes=2), labels=["cat", "dog", "cow"])


def test_presets_by_name():
    assert make().preset.name == "torchvision"
    assert make(preset="caffe").preset.name == "caffe"
    with pytest.raises(ValueError, match="torchvision-straight"):
        make(preset="keras2")


def test_the_reprs_say_what_they_are(narrow):
    net, _ = narrow
    assert "vgg16" in repr(net)
    assert repr(net.forward(np.zeros((3, 32, 32))))


def test_passes_of_several_sizes_in_turn():
    kernel = np.ones((2, 1, 3, 3), np.float32)
    net = gradcam.Network.from_layers(
        [
            gradcam.Layer("conv", "conv", weights={"weight": kernel}, attributes={"padding": 0}),
            gradcam.Layer("pool", "global_average_pool"),
            gradcam.Layer("scores", "flatten"),
        ],
        channels=1,
    )
    tapes = {side: net.forward(np.ones((1, side, side + 1))) for side in (5, 8, 5)}
    for side, tape in tapes.items():
        assert tape.shape("conv") == (2, side - 2, side - 1)
        assert tape.activation("conv").shape == (1, *tape.shape("conv"))
        assert tape.scores.shape == (1, *tape.shape("scores")) == (1, 2)
    for _ in range(2):
        with pytest.raises(ValueError, match="input of 2 x 9: layer conv"):
            net.forward(np.ones((1, 2, 9)))


# --- weight files ---


@pytest.fixture(params=["safetensors", "npz", "npz-compressed"])
def file_of(request, tmp_path):
    """Writes tensors to a file of each kind and gives its path."""

    def write(tensors, metadata=None):
        path = tmp_path / f"weights.{request.param.partition('-')[0]}"
        if request.param == "safetensors":
            weights.save(_floats(tensors), path, metadata)
        elif request.param == "npz":
            np.savez(path, **tensors)
        else:
            np.savez_compressed(path, **tensors)
        return path

    return write


def _floats(tensors):
    return {name: array for name, array in tensors.items() if array.dtype.kind == "f"}


def test_files_and_dicts_give_the_same_network(file_of, narrow):
    net, tensors = narrow
    x = np.random.default_rng(1).standard_normal((1, 3, 32, 40)).astype(np.float32)
    path = file_of(tensors)
    for given in (path, str(path)):
        np.testing.assert_array_equal(make(tensors=given).forward(x).scores, net.forward(x).scores)


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_other_precisions_are_converted(dtype, tmp_path, narrow):
    _, tensors = narrow
    path = tmp_path / "weights.npz"
    np.savez(path, **{name: array.astype(dtype) for name, array in tensors.items()})
    rounded = {name: array.astype(dtype).astype(np.float32) for name, array in tensors.items()}
    x = np.random.default_rng(1).standard_normal((1, 3, 32, 40)).astype(np.float32)
    np.testing.assert_array_equal(
        make(tensors=path).forward(x).scores, make(tensors=rounded).forward(x).scores
    )


def test_safetensors_by_hand(tmp_path):
    """The format as its specification has it, written here byte by byte."""
    first, second = np.arange(6, dtype="<f4").reshape(2, 3), np.array([1.5, -2], "<f2")
    third = np.array([0x3FC0, 0xC000], "<u2")  # bfloat16: 1.5 and -2
    header = {
        "__metadata__": {"preset": "caffe"},
        "b": {"dtype": "F16", "shape": [2], "data_offsets": [24, 28]},
        "a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
        "c": {"dtype": "BF16", "shape": [2, 1], "data_offsets": [28, 32]},
        "d": {"dtype": "F32", "shape": [0, 4], "data_offsets": [32, 32]},
    }
    path = tmp_path / "hand.safetensors"
    path.write_bytes(_file(header, first.tobytes() + second.tobytes() + third.tobytes()))
    loaded = weights.load(path)
    assert loaded.metadata == {"preset": "caffe"}
    assert set(loaded.tensors) == set("abcd")
    np.testing.assert_array_equal(loaded.tensors["a"], first)
    np.testing.assert_array_equal(loaded.tensors["b"], [1.5, -2])
    np.testing.assert_array_equal(loaded.tensors["c"], [[1.5], [-2]])
    assert loaded.tensors["d"].shape == (0, 4)


@pytest.mark.parametrize("order", "<>")
def test_bfloat16_of_any_shape_and_order_of_bytes(order):
    """A number alone stays an array, as the readers' other types do."""
    bits = np.array([[0x3FC0, 0xC000, 0x0001], [0x7F80, 0x8000, 0xFFC0]], f"{order}u2")
    right = [[1.5, -2, 2.0**-133], [np.inf, -0.0, np.nan]]
    for part in (np.s_[:], np.s_[:, ::2], np.s_[0, 1, ...]):
        found = from_bfloat16(bits[part])
        assert isinstance(found, np.ndarray) and found.dtype == np.float32
        np.testing.assert_array_equal(found, np.array(right, np.float32)[part])
    assert np.signbit(from_bfloat16(bits)[1, 1])


def _file(header, data: bytes) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def test_what_is_saved_comes_back(tmp_path, narrow):
    _, tensors = narrow
    path = tmp_path / "w.safetensors"
    weights.save(tensors, path, {"preset": "caffe", "made": "here"})
    loaded = weights.load(path)
    assert loaded.metadata == {"preset": "caffe", "made": "here"}
    assert loaded.tensors.keys() == tensors.keys()
    for name, array in tensors.items():
        np.testing.assert_array_equal(loaded.tensors[name], array)
    assert make(tensors=path).preset.name == "caffe"
    assert make(tensors=path, preset="torchvision").preset.name == "torchvision"


def test_other_programs_read_what_is_saved(tmp_path, narrow):
    safetensors = peer("safetensors.numpy")
    _, tensors = narrow
    path = tmp_path / "w.safetensors"
    weights.save(tensors, path)
    for name, array in safetensors.load_file(path).items():
        np.testing.assert_array_equal(array, tensors[name])


def test_saving_is_atomic(tmp_path):
    path = tmp_path / "w.safetensors"
    weights.save({"a": np.ones(3)}, path)
    before = path.read_bytes()
    with pytest.raises(WeightsError, match="b"):
        weights.save({"a": np.ones(3), "b": np.array([np.nan])}, path)
    with pytest.raises(WeightsError, match="a"):
        weights.save({"a": np.array([1e9])}, path, dtype="float16")
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["w.safetensors"]


@pytest.mark.parametrize(
    "tensors, metadata",
    [
        ({"a": np.ones(2, complex)}, None),
        ({"a": np.array(["x"])}, None),
        ({"a": None}, None),
        ({"__metadata__": np.ones(2)}, None),
        ({1: np.ones(2)}, None),
        ({"a": np.ones(2)}, {"a": 1}),
    ],
    ids=["complex", "text", "nothing", "reserved name", "numbered", "metadata"],
)
def test_what_cannot_be_saved_is_refused(tensors, metadata, tmp_path):
    with pytest.raises((TypeError, WeightsError)):
        weights.save(tensors, tmp_path / "w.safetensors", metadata)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["safetensors", "npz"])
def test_large_tensors_are_mapped_not_read(kind, tmp_path, narrow):
    """What the core is handed lies in the file's own pages."""
    _, tensors = narrow
    path = tmp_path / f"w.{kind}"
    weights.save(tensors, path) if kind == "safetensors" else np.savez(path, **tensors)
    array = weights.load(path).tensors["classifier.0.weight"]
    assert not array.flags.owndata and not array.flags.writeable
    base = array
    while isinstance(base.base, np.ndarray):
        base = base.base
    assert type(base.base).__name__ == "mmap"


def test_fully_connected_weights_reach_the_core_in_place():
    """The core reads the caller's array: a change to it shows."""
    tensors = vggs.tensors()
    net = make(tensors=tensors)
    x = np.random.default_rng(1).standard_normal((1, 3, 32, 32)).astype(np.float32)
    before = net.forward(x).scores
    tensors["classifier.6.weight"] *= 2
    tensors["classifier.6.bias"] *= 2
    np.testing.assert_allclose(net.forward(x).scores, 2 * before, rtol=1e-5, atol=1e-6)


# --- tensors that do not fit ---


def _without(tensors, name):
    return {key: array for key, array in tensors.items() if key != name}


BAD_TENSORS = {
    "missing": ("features.5.weight", lambda t: _without(t, "features.5.weight")),
    "missing bias": ("classifier.3.bias", lambda t: _without(t, "classifier.3.bias")),
    "extra": ("features.99.weight", lambda t: t | {"features.99.weight": np.ones(3)}),
    "rank": ("features.7.weight", lambda t: t | {"features.7.weight": np.ones((8, 8))}),
    "channels": (
        "features.7.weight",
        lambda t: t | {"features.7.weight": np.ones((8, 9, 3, 3), np.float32)},
    ),
    "bias length": ("features.7.bias", lambda t: t | {"features.7.bias": np.ones(9)}),
    "fc6 input": ("classifier.0.weight", lambda t: t | {"classifier.0.weight": np.ones((24, 7))}),
    "kernel of 5": (
        "features.0.weight",
        lambda t: t | {"features.0.weight": np.ones((4, 3, 5, 5), np.float32)},
    ),
    "no classes": (
        "classifier.6",
        lambda t: t | {"classifier.6.weight": np.ones((0, 20)), "classifier.6.bias": np.ones(0)},
    ),
    "NaN": (
        "features.2): its weight",
        lambda t: t | {"features.2.weight": t["features.2.weight"] * np.nan},
    ),
    "infinity": (
        "classifier.6): its bias",
        lambda t: t | {"classifier.6.bias": np.full(10, np.inf)},
    ),
    "complex": ("features.0.bias", lambda t: t | {"features.0.bias": np.ones(4, complex)}),
    "objects": ("features.0.bias", lambda t: t | {"features.0.bias": np.full(4, None)}),
    "text": ("features.0.bias", lambda t: t | {"features.0.bias": np.full(4, "x")}),
}


@pytest.mark.parametrize("name", BAD_TENSORS)
def test_tensors_that_do_not_fit_are_named(name):
    culprit, change = BAD_TENSORS[name]
    with pytest.raises(WeightsError) as caught:
        make(tensors=change(vggs.tensors()))
    assert culprit in str(caught.value)


@pytest.mark.parametrize(
    "name, other", [("vgg11", "vgg16"), ("vgg16", "vgg16_bn"), ("vgg16_bn", "vgg16")]
)
def test_another_architecture_is_refused_and_its_function_named(name, other):
    with pytest.raises(WeightsError, match=rf"weights of a {other}: use gradcam\.{other},"):
        make(name, vggs.tensors(other))


def test_negative_variances_are_refused():
    tensors = vggs.tensors("vgg11_bn")
    tensors["features.1.running_var"] = -tensors["features.1.running_var"]
    with pytest.raises(WeightsError):
        make("vgg11_bn", tensors)


@pytest.mark.parametrize("given", [3, True, 1.5, [1, 2], object()])
def test_weights_of_other_types_are_refused(given):
    with pytest.raises(TypeError):
        gradcam.vgg16(given)


# --- files that cannot be read ---


def test_a_missing_file_is_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        gradcam.vgg16(tmp_path / "none.safetensors")
    with pytest.raises(OSError):
        gradcam.vgg16(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"x",
        b"PK",
        b"PK\x03\x04" + bytes(50),
        b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.",
        b"<html>404 not found</html>",
        bytes(1000),
    ],
    ids=["empty", "a byte", "PK", "zip", "pickle", "html", "zeros"],
)
def test_other_files_are_refused(content, tmp_path):
    path = tmp_path / "w.safetensors"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"w\.safetensors"):
        weights.load(path)


def test_safetensors_truncated_anywhere(tmp_path):
    path = tmp_path / "w.safetensors"
    weights.save({"a": np.ones((2, 3)), "b": np.ones(2)}, path, {"key": "value"})
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(WeightsError):
            weights.load(path)


def test_npz_truncated_anywhere(tmp_path):
    path = tmp_path / "w.npz"
    np.savez(path, a=np.ones((2, 3), np.float32), b=np.ones(2))
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(WeightsError):
            weights.load(path)


def _entry(**changes):
    return {"a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]} | changes}


HOSTILE = {
    "no JSON": b"{not json",
    "no UTF-8": b'{"\xff\xfe": 1}',
    "a list": b"[1, 2]",
    "a number in an object's place": b'{"a": 3}',
    "nested too deep": b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "one name twice": json.dumps(_entry())[:-1].encode()
    + b", "
    + json.dumps(_entry())[1:].encode(),
    "no dtype": {"a": {"shape": [2, 3], "data_offsets": [0, 24]}},
    "no shape": {"a": {"dtype": "F32", "data_offsets": [0, 24]}},
    "no offsets": {"a": {"dtype": "F32", "shape": [2, 3]}},
    "unknown dtype": _entry(dtype="F33"),
    "dtype of another type": _entry(dtype=["F32"]),
    "shape of text": _entry(shape="23"),
    "negative shape": _entry(shape=[-2, -3]),
    "fractional shape": _entry(shape=[2.0, 3.0]),
    "boolean shape": _entry(shape=[True, 6]),
    "shape too large": _entry(shape=[2**62, 2**62]),
    "shape that wraps to zero": _entry(shape=[2**32, 2**32], data_offsets=[0, 0]),
    "shape too small": _entry(shape=[2, 2]),
    "too many axes": _entry(shape=[1] * 100 + [6]),
    "reversed offsets": _entry(data_offsets=[24, 0]),
    "offsets beyond the file": _entry(data_offsets=[24, 48]),
    "negative offsets": _entry(data_offsets=[-24, 0]),
    "one offset": _entry(data_offsets=[24]),
    "three offsets": _entry(data_offsets=[0, 24, 48]),
    "huge offsets": _entry(data_offsets=[2**64, 2**64 + 24]),
    "a hole": _entry(shape=[1, 3], data_offsets=[12, 24]),
    "an overlap": _entry() | {"b": {"dtype": "F32", "shape": [1], "data_offsets": [8, 12]}},
    "data nobody owns": _entry(shape=[1, 3], data_offsets=[0, 12]),
    "metadata of numbers": _entry() | {"__metadata__": {"a": 1}},
    "metadata of another type": _entry() | {"__metadata__": "text"},
    "infinite shape": b'{"a": {"dtype": "F32", "shape": [Infinity], "data_offsets": [0, 24]}}',
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_headers_are_refused(name, tmp_path):
    path = tmp_path / "hostile.safetensors"
    path.write_bytes(_file(HOSTILE[name], np.ones(6, "<f4").tobytes()))
    with pytest.raises(WeightsError, match="hostile"):
        weights.load(path)


@pytest.mark.parametrize("claimed", [2**64 - 1, 2**63, 2**60, 2**40, 100_000_001])
def test_hostile_header_lengths_are_refused(claimed, tmp_path):
    path = tmp_path / "hostile.safetensors"
    path.write_bytes(claimed.to_bytes(8, "little") + b"{}" + bytes(100))
    with pytest.raises(WeightsError, match="hostile"):
        weights.load(path)


def test_long_headers_are_refused_before_they_are_parsed(tmp_path):
    path = tmp_path / "hostile.safetensors"
    with open(path, "wb") as file:
        file.write((safetensors.MAX_HEADER + 1).to_bytes(8, "little") + b"{")
        file.truncate(2 * safetensors.MAX_HEADER)  # takes no room on the disk
    with pytest.raises(WeightsError, match="a header of 16000001 bytes; more than 16000000"):
        weights.load(path)


@pytest.mark.parametrize("kind", ["safetensors", "npz", "compressed"])
def test_damaged_bytes_never_surprise(kind, tmp_path):
    """Every byte of the file in turn is changed: it still loads, or raises WeightsError."""
    path = tmp_path / ("w.safetensors" if kind == "safetensors" else "w.npz")
    tensors = {"a": np.ones((2, 3), np.float32), "b": np.ones(2, np.float16)}
    if kind == "safetensors":
        weights.save(tensors, path, {"key": "value"})
    else:
        (np.savez if kind == "npz" else np.savez_compressed)(path, **tensors)
    content = path.read_bytes()
    refused = 0
    for place in range(len(content)):
        damaged = bytearray(content)
        damaged[place] ^= (0x01, 0x80, 0xFF)[place % 3]
        path.write_bytes(damaged)
        try:
            weights.load(path)
        except WeightsError:
            refused += 1
    assert refused > 0


def test_pickles_in_an_npz_are_not_run(tmp_path):
    path = tmp_path / "w.npz"
    np.savez(path, a=np.array([{"a": 1}], dtype=object))
    with pytest.raises(WeightsError):
        weights.load(path)
    np.savez_compressed(path, a=np.array([{"a": 1}], dtype=object))
    with pytest.raises(WeightsError):
        weights.load(path)


def test_an_npz_member_that_lies_about_its_shape(tmp_path):
    path = tmp_path / "w.npz"
    np.savez(path, a=np.ones((2, 3), np.float32))
    with zipfile.ZipFile(path) as archive:
        member = archive.read("a.npy")
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        for shape in (b"(9, 9)", b"(2,-3)"):
            with zipfile.ZipFile(path, "w", method) as archive:
                archive.writestr("a.npy", member.replace(b"(2, 3)", shape))
            with pytest.raises(WeightsError):
                weights.load(path)


@pytest.mark.parametrize(
    "metadata",
    [
        {"classes": "not json"},
        {"classes": '[["n1", "only one"]]'},
        {"classes": '["cat", "dog"]'},
        {"classes": '{"a": 1}'},
        {"preset": "unknown"},
        {"preset": '{"size": "big"}'},
    ],
    ids=str,
)
def test_metadata_that_does_not_fit_is_refused(metadata, tmp_path, narrow):
    _, tensors = narrow
    path = tmp_path / "w.safetensors"
    weights.save(tensors, path, metadata)
    with pytest.raises(ValueError):
        make(tensors=path)


# --- pictures into the network ---


def test_what_forward_takes(narrow):
    net, _ = narrow
    picture = vggs.picture(60, 80)
    single = net.forward(picture)
    assert type(single) is Tape and single.input.shape == (1, 3, 224, 224)
    np.testing.assert_array_equal(single.picture, picture)
    several = net.forward([picture, vggs.picture(90, 50)])
    assert type(several) is BatchTape and several.scores.shape == (2, 10)
    assert [each.shape for each in several.pictures] == [(60, 80, 3), (90, 50, 3)]
    batch = net.forward(np.stack([picture, picture]))
    assert type(batch) is BatchTape and batch.input.shape == (2, 3, 224, 224)
    one = net.forward([picture])
    assert type(one) is BatchTape and one.scores.shape == (1, 10)
    np.testing.assert_array_equal(one.input, single.input)
    prepared = net.forward(single.input[0])
    assert type(prepared) is Tape and prepared.picture.shape == (224, 224, 3)
    np.testing.assert_array_equal(prepared.scores, single.scores)


def test_sizes(narrow):
    net, _ = narrow
    picture = vggs.picture(60, 80)
    assert net.forward(picture, size=64).input.shape == (1, 3, 64, 64)
    assert net.forward(picture, size=(48, 96)).input.shape == (1, 3, 48, 96)
    assert net.forward(picture, size="original").input.shape == (1, 3, 60, 80)
    for bad in ((0, 32), -1, (32, 32, 32)):
        with pytest.raises(ValueError):
            net.forward(picture, size=bad)
    with pytest.raises((TypeError, ValueError)):
        net.forward(picture, size="large")


def test_a_picture_too_small_names_the_layer(narrow):
    net, _ = narrow
    with pytest.raises(ValueError, match="pool5"):
        net.forward(np.zeros((3, 31, 40)))
    with pytest.raises(ValueError, match="pool5"):
        net.forward(vggs.picture(31, 40), size="original")


BAD_INPUTS = {
    "NaN": (ValueError, lambda: np.full((3, 32, 32), np.nan)),
    "infinity": (ValueError, lambda: np.full((2, 3, 32, 32), np.inf)),
    "four channels": (ValueError, lambda: np.zeros((4, 32, 32))),
    "rank 5": (ValueError, lambda: np.zeros((1, 1, 3, 32, 32))),
    "rank 1": (ValueError, lambda: np.zeros(32)),
    "no pictures": (ValueError, lambda: []),
    "an empty batch": (ValueError, lambda: np.zeros((0, 3, 32, 32))),
    "nothing": (TypeError, lambda: None),
    "a number": (TypeError, lambda: 3),
    "numbers": (TypeError, lambda: [1, 2, 3]),
    "complex": ((TypeError, ValueError), lambda: np.zeros((3, 32, 32), complex)),
    "objects": ((TypeError, ValueError), lambda: np.zeros((3, 32, 32), object)),
    "a missing file": (FileNotFoundError, lambda: "no/such/picture.png"),
}


@pytest.mark.parametrize("name", BAD_INPUTS)
def test_bad_inputs_are_refused(name, narrow):
    error, given = BAD_INPUTS[name]
    with pytest.raises(error):
        narrow[0].forward(given())


def test_keep_by_name(narrow):
    net, _ = narrow
    x = np.random.default_rng(1).standard_normal((1, 3, 32, 40)).astype(np.float32)
    kept, computed = net.forward(x, keep=["relu5_3", "features.4"]), net.forward(x)
    for layer in ("relu5_3", "pool1"):
        assert_close(kept.activation(layer), computed.activation(layer), "network")
    np.testing.assert_array_equal(kept.activation("input"), x)


# --- how it is computed ---


def test_conv_chooses_the_algorithm(monkeypatch):
    tensors = vggs.tensors()
    x = nets.normal(np.random.default_rng(0), 1, 3, 40, 40)
    fast, direct = gradcam.vgg16(tensors), gradcam.vgg16(tensors, conv="direct")
    monkeypatch.setenv("GRADCAM_CONV", "direct")
    by_environment, overruled = gradcam.vgg16(tensors), gradcam.vgg16(tensors, conv="winograd")
    scores = [network.forward(x).scores for network in (fast, direct, by_environment, overruled)]
    assert np.array_equal(scores[1], scores[2])
    assert np.array_equal(scores[0], scores[3])
    assert not np.array_equal(scores[0], scores[1])
    assert np.allclose(scores[0], scores[1], rtol=0, atol=1e-4 * np.abs(scores[1]).max())
    monkeypatch.setenv("GRADCAM_CONV", "fastest")
    with pytest.raises(ValueError, match=r"GRADCAM_CONV.*'fastest'"):
        gradcam.vgg16(tensors)
    with pytest.raises(ValueError, match=r"conv: .*'fft'"):
        gradcam.vgg16(tensors, conv="fft")


def test_a_tape_without_a_record_predicts_and_refuses_gradients():
    network = gradcam.vgg16(vggs.tensors())
    x = nets.normal(np.random.default_rng(0), 1, 3, 40, 40)
    tape = network.forward(x, record=False)
    assert np.array_equal(tape.scores, network.forward(x).scores)
    with pytest.raises(ValueError, match="recorded nothing"):
        tape.saliency()


# --- layers, and passes that start in the middle ---


def test_a_network_keeps_its_layers_without_a_copy():
    tensors = vggs.tensors("vgg11")
    net = gradcam.vgg11(tensors)
    assert list(net.layers)[:3] == ["input", "conv1_1", "relu1_1"]
    for layer, tensor in (("conv1_1", "features.0"), ("fc6", "classifier.0")):
        weight = net.layers[layer].weights["weight"]
        assert np.shares_memory(weight, tensors[f"{tensor}.weight"])
    assert net.layers["conv1_1"].inputs == ("input",)
    assert net.layers["pool1"].attributes == {"kernel": 2, "stride": 2}
    with pytest.raises(TypeError):
        net.layers["conv1_1"] = None


def test_the_layers_kept_are_those_that_run():
    """With batch normalisation folded, and fully connected weights as they are stored."""
    net = gradcam.vgg11_bn(vggs.tensors("vgg11_bn"), fc_dtype="float16")
    assert "conv1_1" not in net.layers and net.layers["bn1_1"].op == "conv"
    assert net.layers["fc6"].weights["weight"].dtype == np.float16
    x = np.random.default_rng(0).standard_normal((1, 3, 32, 64))
    again = gradcam.Network.from_layers(list(net.layers.values())[1:], labels=net.labels)
    np.testing.assert_array_equal(net.forward(x).scores, again.forward(x).scores)


@pytest.mark.parametrize("layer", ["relu3_2", "pool5", "fc6", "relu7", "fc8"])
def test_a_pass_from_the_middle(layer):
    """A head alone: the same scores, gradients and values as of the whole pass."""
    net = gradcam.vgg11(vggs.tensors("vgg11"))
    tape = net.forward(np.random.default_rng(0).standard_normal((2, 3, 48, 80)))
    maps = tape.activation(layer)
    head = tape.run_from(layer, maps)
    np.testing.assert_array_equal(head.scores, tape.scores)
    np.testing.assert_array_equal(head.probabilities, tape.probabilities)
    np.testing.assert_array_equal(head.activation(layer), maps)
    asked = tape.ask([[3, gradcam.Difference(1, 2)], [4, 5]])
    assert_close(asked.gradient(head, layer), asked.gradient(tape, layer), "network")
    np.testing.assert_array_equal(asked.values(head), asked.values(tape))
    more = tape.run_from(layer, np.concatenate([maps, 0 * maps, maps]))
    np.testing.assert_array_equal(more.scores[4:], tape.scores)
    assert not np.array_equal(more.scores[2:4], tape.scores)
    with pytest.raises(ValueError):
        head.activation("relu1_1")
    with pytest.raises(ValueError, match=r"shape"):
        tape.run_from(layer, maps[:, :1])


def test_a_pass_on_other_input():
    net = gradcam.vgg11(vggs.tensors("vgg11"))
    tape = net.forward(np.random.default_rng(0).standard_normal((3, 48, 80)))
    other = np.random.default_rng(1).standard_normal((4, 3, 48, 80)).astype(np.float32)
    found = tape.run(other, keep=["relu1_1"])
    np.testing.assert_array_equal(found.scores, net.forward(other).scores)
    assert len(found) == 4 and net.index("relu1_1") in found.core.kept


# --- heads ---


def sigmoid(x):
    return 1 / (1 + np.exp(-x.astype(np.float64)))


def test_one_output_says_yes_or_no():
    net = gradcam.vgg11(vggs.tensors("vgg11", classes=1))
    x = np.random.default_rng(0).standard_normal((3, 3, 48, 64))
    tape = net.forward(x)
    assert_close(tape.probabilities, sigmoid(tape.scores), "network")
    assert tape.probabilities.max() < 1
    slope = tape.gradient(0, on="probability") / tape.gradient(0)
    p = sigmoid(tape.scores)[:, 0]
    np.testing.assert_allclose(np.nanmedian(slope, (1, 2, 3)), p * (1 - p), rtol=1e-4)
    assert [len(each) for each in tape.present(0.5)] == [int(each >= 0.5) for each in p]


def test_several_labels_at_once(tmp_path):
    tensors = vggs.tensors("vgg11")
    weights.save(tensors, tmp_path / "w.safetensors")
    net = gradcam.load(tmp_path / "w.safetensors", head="sigmoid")
    tape = net.forward(np.random.default_rng(0).standard_normal((3, 48, 64)))
    assert_close(tape.probabilities, sigmoid(tape.scores), "network")
    found = tape.present(0.5)
    assert [label for _, label, _ in found] == [label for _, label, p in tape.top(10) if p >= 0.5]
    again = pickle.loads(pickle.dumps(net))
    assert again.layers["prob"].op == "sigmoid"
    assert gradcam.vgg11(tensors, head="softmax").layers["prob"].op == "softmax"
    with pytest.raises(ValueError, match="head"):
        gradcam.load(tensors, head="tanh")
