"""Keras's files: written by Keras (data/), with other HDF5 storage, and malicious files."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import re
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from data.make_keras_files import SHAPES, counted
from helpers import peer, run_python

from gradcam._weights import hdf5, hdf5_child, keras
from gradcam.weights import WeightsError

h5py = peer("h5py")

DATA = Path(__file__).parent / "data"

SMALL = {
    "small_2016.h5": "Keras HDF5",
    "small.h5": "Keras HDF5",
    "small.weights.h5": "Keras 3 (.weights.h5)",
    "small.keras": "Keras 3 (.keras)",
}


def assert_counted(weights) -> None:
    assert list(weights.tensors) == list(SHAPES)
    for name, values in weights.tensors.items():
        assert values.dtype == np.float32
        np.testing.assert_array_equal(values, counted(name), err_msg=name)


@pytest.mark.parametrize("name", SMALL)
def test_files_of_keras(name):
    weights = keras.read(DATA / name)
    assert_counted(weights)
    assert weights.format == SMALL[name]
    assert not any(
        values.flags.owndata or values.flags.writeable for values in weights.tensors.values()
    )
    with open(DATA / name, "rb") as file:
        assert keras.recognise(file.read(64)) == (not name.endswith(".keras"))


@pytest.mark.parametrize(
    ("name", "eps"), [("small.h5", 1e-4), ("small.keras", 1e-4), ("small.weights.h5", 1e-3)]
)
def test_epsilon_of_the_configuration_or_the_default_of_keras(name, eps):
    assert float(keras.read(DATA / name).metadata["eps"]) == eps


@pytest.mark.parametrize("head", ["softmax", "sigmoid", "linear"])
def test_the_head_is_in_the_configuration(head):
    def layer(kind, **config):
        return {"class_name": kind, "config": config}

    dense = [layer("Dense", name=f"fc{i}", activation="relu") for i in (1, 2)]
    ends = [[layer("Dense", activation=head)], [layer("Dense", activation="linear")]]
    ends[1].append(layer("Activation", activation=head))
    ends += [[layer("Dense"), layer(head.capitalize())]] if head == "softmax" else []
    for end in ends:
        model = layer("Functional", layers=[layer("Conv2D", activation="relu"), *dense, *end])
        assert keras._parse_model(json.dumps(model), "x").head == head
    assert keras._parse_model("{}", "x").head == "linear"


def test_h5py_is_not_imported_in_this_process():
    path = str(DATA / "small.keras")
    program = f"import sys; from gradcam._weights import keras; keras.read({path!r}); "
    assert run_python(program + "print('h5py' in sys.modules)") == "False"


def test_error_without_h5py_names_the_package(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=re.escape('pip install "gradcam[keras]"')):
        keras.read(DATA / "small.h5")


# ------------------------------------------------------------------------------ .keras


def packed(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


@pytest.fixture(scope="module")
def members() -> dict[str, bytes]:
    with zipfile.ZipFile(DATA / "small.keras") as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_deflated_archive(members, tmp_path):
    assert_counted(keras.read(packed(tmp_path / "d.keras", members, zipfile.ZIP_DEFLATED)))


def test_names_and_order_come_from_the_configuration(members, tmp_path):
    """Before 3.10 Keras did not write the names of layers into the HDF5 file."""
    content = io.BytesIO(members["model.weights.h5"])
    with h5py.File(content, "r+") as file:
        for group in file["layers"].values():
            del group["vars"].attrs["name"]
    old = members | {"model.weights.h5": content.getvalue()}
    assert_counted(keras.read(packed(tmp_path / "old.keras", old)))


@pytest.mark.parametrize("config", [b"[]", b"{}", b'{"config": {"layers": [3, {}, null]}}', b"3"])
def test_a_configuration_without_layers_is_skipped(config, members, tmp_path):
    path = packed(tmp_path / "c.keras", members | {"config.json": config})
    assert list(keras.read(path).tensors) == list(SHAPES)


REFUSED_ARCHIVES = {
    "missing config": ({"config.json": None}, "config.json"),
    "missing weights": ({"model.weights.h5": None}, "without model.weights.h5"),
    "shards": ({"model.weights.json": b"{}"}, "several shards"),
    "not JSON": ({"config.json": b"{"}, "not JSON"),
    "deep JSON": ({"config.json": b'{"config":' * 100_000}, "not JSON"),
    "not HDF5": ({"model.weights.h5": b"not HDF5"}, "HDF5"),
    "an empty file": ({"model.weights.h5": b""}, "HDF5"),
}


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("name", REFUSED_ARCHIVES)
def test_archives_that_are_refused(name, method, members, tmp_path):
    changes, message = REFUSED_ARCHIVES[name]
    content = {n: c for n, c in (members | changes).items() if c is not None}
    path = packed(tmp_path / "a.keras", content, method)
    with pytest.raises(WeightsError, match=rf"a\.keras.*{message}"):
        keras.read(path)


# ------------------------------------------------------------------------------ HDF5


def write_layer(path: Path, **datasets) -> Path:
    """Write a file of one fully connected layer with these variables; return the path."""
    with h5py.File(path, "w") as file:
        group = file.create_group("layers/dense/vars")
        for name, arguments in datasets.items():
            group.create_dataset(name.removeprefix("n"), **arguments)
    return path


VALUES = np.arange(60, dtype=np.float32).reshape(12, 5) / 16

STORAGE = {
    "gzip": ({"compression": "gzip", "chunks": (5, 3)}, False),
    "gzip, shuffle, checksum": (
        {"compression": "gzip", "shuffle": True, "fletcher32": True},
        False,
    ),
    "lzf": ({"compression": "lzf"}, False),
    "chunks": ({"chunks": (12, 2)}, False),
    "big-endian": ({"dtype": ">f4"}, False),
    "half": ({"dtype": "<f2"}, False),
    "double": ({"dtype": "<f8"}, False),
    "uncompressed": ({}, True),
}


@pytest.mark.parametrize("name", STORAGE)
def test_dataset_storage(name, tmp_path):
    options, mapped = STORAGE[name]
    path = write_layer(tmp_path / "w.h5", n0={"data": VALUES, **options}, n1={"data": VALUES[0]})
    weights = keras.read(path)
    assert list(weights.tensors) == ["dense/kernel", "dense/bias"]
    kernel = weights.tensors["dense/kernel"]
    stored = {"half": "float16", "double": "float64"}.get(name)
    assert weights.dtypes == ({"dense/kernel": stored} if stored else {})
    assert kernel.dtype == np.float32
    np.testing.assert_array_equal(kernel, VALUES)
    np.testing.assert_array_equal(weights.tensors["dense/bias"], VALUES[0])
    base = kernel
    while isinstance(base, np.ndarray) and not isinstance(base, np.memmap):
        base = base.base.obj if isinstance(base.base, memoryview) else base.base
    assert isinstance(base, np.memmap) == mapped


def test_bfloat16_integers_and_compact_datasets(tmp_path):
    with h5py.File(tmp_path / "w.h5", "w") as file:
        group = file.create_group("layers/dense/vars")
        bits = (VALUES.view(np.uint32) >> 16).astype("<u2")
        group.create_dataset("0", data=bits.view("V2")).attrs["dtype"] = "bfloat16"
        compact = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        compact.set_layout(h5py.h5d.COMPACT)
        kind, space = h5py.h5t.IEEE_F32LE, h5py.h5s.create_simple((5,))
        h5py.h5d.create(group.id, b"1", kind, space, compact).write(
            h5py.h5s.ALL, h5py.h5s.ALL, VALUES[0]
        )
        file.create_dataset("layers/counter/vars/0", data=np.array(7))
        file.create_dataset("layers/nothing/vars/0", data=np.empty((0, 4), np.float32))
    tensors = keras.read(tmp_path / "w.h5").tensors
    np.testing.assert_array_equal(tensors["dense/kernel"], VALUES)
    np.testing.assert_array_equal(tensors["dense/bias"], VALUES[0])
    assert tensors["counter/0"] == 7 and tensors["counter/0"].dtype.kind == "i"
    assert tensors["nothing/kernel"].shape == (0, 4)


def test_file_with_a_user_block(tmp_path):
    """Offsets are from the beginning of the file, not of the HDF5 data."""
    with h5py.File(tmp_path / "w.h5", "w", userblock_size=1024) as file:
        file.create_dataset("layers/dense/vars/0", data=VALUES)
    tensors = keras.read(tmp_path / "w.h5").tensors
    np.testing.assert_array_equal(tensors["dense/kernel"], VALUES)


def test_layers_without_names_are_ordered_by_number(tmp_path):
    convolutions = ["conv2d", *(f"conv2d_{i}" for i in range(1, 13))]
    dense = ["dense", "dense_1", "dense_2"]
    with h5py.File(tmp_path / "w.h5", "w") as file:
        for layer in [*dense[::-1], *convolutions[::-1], "conv2d_transpose"]:
            file.create_dataset(f"layers/{layer}/vars/0", data=np.ones((1, 2), np.float32))
        file.create_dataset("optimizer/vars/0", data=np.ones(3))
        file.create_dataset("layers/dropout/seed_generator/vars/0", data=np.arange(2))
    names = [name.removesuffix("/kernel") for name in keras.read(tmp_path / "w.h5").tensors]
    assert [name for name in names if name in convolutions] == convolutions
    assert [name for name in names if name in dense] == dense
    assert len(names) == 17


def legacy(path: Path, layers: dict[str, dict[str, np.ndarray]], **attributes) -> Path:
    with h5py.File(path, "w") as file:
        file.attrs.update(attributes)
        file.attrs["layer_names"] = [name.encode() for name in layers]
        for layer, weights in layers.items():
            group = file.create_group(layer)
            group.attrs["weight_names"] = [name.encode() for name in weights]
            for name, values in weights.items():
                group.create_dataset(name, data=values)
    return path


def test_layers_are_in_the_order_of_the_model(tmp_path):
    weights = keras.read(
        legacy(tmp_path / "w.h5", {n: {f"{n}/kernel:0": VALUES} for n in ("dense_1", "dense")})
    )
    assert list(weights.tensors) == ["dense_1/kernel", "dense/kernel"] and weights.ordered


@pytest.mark.parametrize(
    "places, ordered",
    [
        (["layers/dense", "layers/dense_1"], True),
        (["layers/functional/layers/dense", "layers/dense"], True),
        (["dense", "dense_1"], False),
        (["layers/block/dense"], False),
    ],
)
def test_groups_named_after_attributes_are_unordered(places, ordered, tmp_path):
    with h5py.File(tmp_path / "w.h5", "w") as file:
        for place in places:
            file.create_dataset(f"{place}/vars/0", data=VALUES)
    assert keras.read(tmp_path / "w.h5").ordered == ordered


def test_layer_names_of_keras_2(tmp_path):
    """With TensorFlow's suffixes of unique names, and nested models."""
    one = np.ones((2, 2), np.float32)
    path = legacy(
        tmp_path / "w.h5",
        {
            "vgg16": {"block1_conv1/kernel:0": one, "fc1/kernel:0": one, "fc1/bias:0": one[0]},
            "dense_1": {"dense_1_2/kernel:0": one, "dense_1_2/bias:0": one[0]},
            "convolution2d_1": {"convolution2d_1_W": one, "convolution2d_1_b": one[0]},
            "flatten": {},
            "branch": {"branch/fc1/kernel:0": 2 * one, "branch/other/kernel:0": one},
        },
        keras_version="2.1.0",
    )
    weights = keras.read(path)
    assert list(weights.tensors) == [
        "block1_conv1/kernel",
        "fc1/kernel",
        "fc1/bias",
        "dense_1/kernel",
        "dense_1/bias",
        "convolution2d_1/kernel",
        "convolution2d_1/bias",
        "branch/branch/fc1/kernel:0",  # another layer has the name fc1/kernel
        "other/kernel",
    ]
    assert weights.metadata == {"keras_version": "2.1.0"}
    assert not weights.ordered  # a nested model lists trainable weights first


def test_names_split_over_several_attributes(tmp_path):
    path = legacy(tmp_path / "w.h5", {n: {f"{n}/kernel:0": VALUES} for n in "abc"})
    with h5py.File(path, "r+") as file:
        del file.attrs["layer_names"]
        file.attrs["layer_names0"] = [b"c", b"a"]
        file.attrs["layer_names1"] = [b"b"]
    assert list(keras.read(path).tensors) == ["c/kernel", "a/kernel", "b/kernel"]


# ------------------------------------------------------------------------------ errors


def soft_link(group, file, folder):
    group["1"] = h5py.SoftLink("/layers/dense/vars/0")


def external_link(group, file, folder):
    with h5py.File(folder / "other.h5", "w") as other:
        other["x"] = VALUES
    group["1"] = h5py.ExternalLink(str(folder / "other.h5"), "/x")


def external_storage(group, file, folder):
    (folder / "raw").write_bytes(VALUES.tobytes())
    external = [(str(folder / "raw"), 0, VALUES.nbytes)]
    group.create_dataset("1", VALUES.shape, "<f4", external=external)


def virtual(group, file, folder):
    layout = h5py.VirtualLayout((12, 5), "<f4")
    layout[:] = h5py.VirtualSource(".", "/layers/dense/vars/0", (12, 5))
    group.create_virtual_dataset("1", layout)


def second_name(group, file, folder):
    group["1"] = group["0"]


def cycle(group, file, folder):
    group["above"] = file["layers"]


def named_type(group, file, folder):
    group["kind"] = np.dtype("<f4")


def deep(group, file, folder):
    file.create_group("/".join("a" * 50))


def strings(group, file, folder):
    group.create_dataset("1", data=["text"] * 4)


def variable_length(group, file, folder):
    group.create_dataset("1", (4,), h5py.vlen_dtype(np.float32))


def compound(group, file, folder):
    group.create_dataset("1", data=np.zeros(4, [("a", "f4"), ("b", "i4")]))


def opaque(group, file, folder):
    group.create_dataset("1", data=np.zeros(4, "V2"))


def complex_numbers(group, file, folder):
    group.create_dataset("1", data=np.zeros(4, np.complex64))


def reference(group, file, folder):
    group.create_dataset("1", data=[group["0"].ref], dtype=h5py.ref_dtype)


def region(group, file, folder):
    group.create_dataset("1", data=[group["0"].regionref[:2]], dtype=h5py.regionref_dtype)


def booleans(group, file, folder):
    group.create_dataset("1", data=np.ones(4, bool))


def array_type(group, file, folder):
    group.create_dataset("1", (2,), np.dtype(("<f4", (3,))))


def odd_float(group, file, folder):
    kind = h5py.h5t.IEEE_F32LE.copy()
    kind.set_ebias(100)
    space = h5py.h5s.create_simple((4,))
    h5py.h5d.create(group.id, b"1", kind, space).write(h5py.h5s.ALL, h5py.h5s.ALL, VALUES[0, :4])


def no_values(group, file, folder):
    group["1"] = h5py.Empty("f4")


def never_written(group, file, folder):
    group.create_dataset("1", (10**6, 10**6), "<f4")


def chunks_never_written(group, file, folder):
    group.create_dataset("1", (10**6, 10**6), "<f4", chunks=(100, 100), fillvalue=3)


def one_chunk_of_many(group, file, folder):
    group.create_dataset("1", (100, 100), "<f4", chunks=(10, 10))[:10, :10] = 1


def huge_chunk(group, file, folder):
    group.create_dataset("1", (4,), "<f4", chunks=(2**26,), maxshape=(None,), compression="gzip")


def bomb(group, file, folder):
    chunk = np.zeros((1000, 1000), "<f4")
    data = group.create_dataset("1", (10**6, 1000), "<f4", chunks=chunk.shape, compression=9)
    stored = b"x\\x9c"  # never decompressed
    for i in range(1000):
        data.id.write_direct_chunk((1000 * i, 0), stored)


def unknown_filter(group, file, folder):
    plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plan.set_chunk((4,))
    plan.set_filter(305, h5py.h5z.FLAG_OPTIONAL)
    h5py.h5d.create(group.id, b"1", h5py.h5t.IEEE_F32LE, h5py.h5s.create_simple((4,)), plan)


def long_attribute(group, file, folder):
    with h5py.File(folder / "latest", "w", libver="latest") as latest:
        latest.attrs["weight_names"] = np.zeros(17 << 20, "i1")
    (folder / "latest").replace(file.filename)


MALICIOUS = {
    soft_link: "a soft link",
    external_link: "a link to another file",
    external_storage: "values in another file",
    virtual: "composed of other",
    second_name: "two names",
    cycle: "two names",
    named_type: "neither group nor dataset",
    deep: "more than 32 deep",
    strings: "ordinary numbers",
    variable_length: "ordinary numbers",
    compound: "ordinary numbers",
    opaque: "ordinary numbers",
    complex_numbers: "ordinary numbers",
    reference: "ordinary numbers",
    region: "ordinary numbers",
    booleans: "ordinary numbers",
    array_type: "ordinary numbers",
    odd_float: "ordinary numbers",
    no_values: "no values",
    never_written: "needs 4000000000000 bytes, 0 are stored",
    chunks_never_written: "chunks",
    one_chunk_of_many: "only 1 of its 100 chunks",
    huge_chunk: "larger than the dataset",
    bomb: "are stored",
    unknown_filter: "filter 305",
    long_attribute: "longer than",
}


@pytest.mark.parametrize("build", MALICIOUS, ids=lambda build: build.__name__)
def test_unsupported_hdf5_objects_are_refused(build, tmp_path):
    path = tmp_path / "malicious.h5"
    with h5py.File(path, "w") as file:
        group = file.create_group("layers/dense/vars")
        group.create_dataset("0", data=VALUES)
        build(group, file, tmp_path)
    size = path.stat().st_size
    with open(path, "rb") as file, pytest.raises(hdf5_child.Refused, match=MALICIOUS[build]):
        hdf5_child.describe(hdf5_child.Window(file.fileno(), 0, size), size)


def test_errors_of_the_child_process_are_raised(tmp_path):
    path = tmp_path / "malicious.h5"
    with h5py.File(path, "w") as file:
        soft_link(file.create_group("layers/dense/vars"), file, tmp_path)
    with pytest.raises(WeightsError, match=r"malicious\.h5: .*layers/dense/vars/1 is a soft link"):
        keras.read(path)


def _without(*names):
    def change(file):
        for name in names:
            del file[name]

    return change


def _attribute(group, name, value):
    def change(file):
        file[group].attrs[name] = value

    return change


WRONG = {
    "missing group": (_without("fc1"), "'fc1' but has no group"),
    "missing dataset": (_without("fc1/fc1_W_1:0"), "no such dataset"),
    "name without a dataset": (_attribute("fc1", "weight_names", [b"../x"]), "no such dataset"),
    "numbers as names": (_attribute("fc1", "weight_names", [1, 2]), "not a list of names"),
    "string instead of names": (_attribute("fc1", "weight_names", b"x"), "not a list of names"),
    "duplicate layer": (_attribute("/", "layer_names", [b"fc1", b"fc1"]), "twice"),
    "name that is not text": (_attribute("fc1", "weight_names", [b"\xff"]), "damaged"),
    "Theano's backend": (_attribute("/", "backend", b"theano"), "Theano's order"),
    "no layers": (_attribute("/", "layer_names", np.zeros(0)), "without Keras weights"),
    "numbers as configuration": (_attribute("/", "model_config", [1.0, 2.0]), "not JSON"),
    "configuration that is not JSON": (_attribute("/", "model_config", "{"), "not JSON"),
}


@pytest.mark.parametrize("name", WRONG)
def test_invalid_files(name, tmp_path):
    change, message = WRONG[name]
    path = tmp_path / "wrong.h5"
    path.write_bytes((DATA / "small_2016.h5").read_bytes())
    with h5py.File(path, "r+") as file:
        change(file)
    with pytest.raises(WeightsError, match=rf"wrong\.h5.*{message}"):
        keras.read(path)


def test_theano_files_are_detected_from_shapes(tmp_path):
    kernels = {
        "conv_1": {"conv_1_W": np.ones((8, 3, 3, 3))},
        "conv_2": {"c_W": np.ones((8, 8, 3, 3))},
    }
    with pytest.raises(WeightsError, match=r"Theano's order.*tf_dim_ordering"):
        keras.read(legacy(tmp_path / "th.h5", kernels))


def test_files_older_than_keras_1(tmp_path):
    with h5py.File(tmp_path / "0.h5", "w") as file:
        file.attrs["nb_layers"] = 1
        file.create_dataset("layer_0/param_0", data=np.ones((8, 3, 3, 3)))
    with pytest.raises(WeightsError, match=r"before 1\.0"):
        keras.read(tmp_path / "0.h5")


def test_hdf5_without_keras_weights(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["measurements/today"] = VALUES
    with pytest.raises(WeightsError, match=r"without Keras weights.*measurements/today"):
        keras.read(tmp_path / "x.h5")


# ------------------------------------------------------------------------------ damaged


@pytest.mark.parametrize("name", SMALL)
def test_truncated(name, tmp_path):
    content = (DATA / name).read_bytes()
    path = tmp_path / "cut"
    for length in (10, 1000, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        with pytest.raises(WeightsError, match="cut"):
            keras.read(path)


def _replace_child(program: str):
    """Return a function that starts another program instead of the child, with the same pipes."""
    return lambda *_: subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )


FAILING_CHILDREN = {
    "crash": (f"import os; os.kill(os.getpid(), {int(signal.SIGSEGV)})", "crashed.*-11"),
    "no output": ("", "crashed.*status 0|timed out"),
    "not JSON": ("print('?')", "damaged"),
    "other JSON": ("print('{}')", "damaged"),
    "incomplete line": ("print('{', end='')", "damaged"),
    "negative offset": (
        'print(\'{"groups": [], "datasets": [{"path": "a", "shape": [1], "dtype": '
        '"<f4", "offset": -9}]}\')',
        "damaged",
    ),
    "offset beyond the file": (
        'print(\'{"groups": [], "datasets": [{"path": "a", "shape": [1], "dtype": '
        '"<f4", "offset": 9999999}]}\')',
        "beyond the file",
    ),
}


@pytest.mark.parametrize("name", FAILING_CHILDREN)
def test_failing_child_process_raises(name, monkeypatch):
    program, message = FAILING_CHILDREN[name]
    monkeypatch.setattr(hdf5, "_start", _replace_child(program))
    with pytest.raises(WeightsError, match=rf"small\.h5.*({message})"):
        keras.read(DATA / "small.h5")


def test_child_process_times_out(monkeypatch):
    monkeypatch.setattr(hdf5, "_start", _replace_child("import time; time.sleep(600)"))
    monkeypatch.setattr(hdf5, "TABLE_SECONDS", 0)
    monkeypatch.setattr(hdf5, "_WAITING_SECONDS", 0.1)
    with pytest.raises(WeightsError, match="timed out"):
        keras.read(DATA / "small.h5")


def test_file_that_crashes_libhdf5():
    """Found by fuzzing: HDF5 2.0 reads out of bounds. Other versions can refuse the file."""
    with pytest.raises(WeightsError, match=r"crashes_libhdf5\.h5: (damaged as|unreadable as) HDF5"):
        keras.read(DATA / "crashes_libhdf5.h5")


def test_file_that_makes_libhdf5_loop_forever(monkeypatch):
    """Found by fuzzing: HDF5 2.0 loops forever."""
    monkeypatch.setattr(hdf5, "TABLE_SECONDS", 0)
    monkeypatch.setattr(hdf5, "_WAITING_SECONDS", 1)
    with pytest.raises(WeightsError, match=r"stops_libhdf5\.h5: (damaged as|unreadable as) HDF5"):
        keras.read(DATA / "stops_libhdf5.h5")


def test_limits_of_the_child_process(tmp_path):
    program = (
        "import resource as r; from gradcam._weights import hdf5_child\n"
        "hdf5_child._limit(1 << 28, 5)\n"
        "print(r.getrlimit(r.RLIMIT_CORE)[0], r.getrlimit(r.RLIMIT_CPU)[0] <= 20)\n"
        "try: bytearray(1 << 30)\nexcept MemoryError: print('refused')"
    )
    answer = run_python(program).split()
    assert answer[:2] == ["0", "True"]
    if os.path.exists("/proc/self/statm"):
        assert answer[2:] == ["refused"]


def test_damaged_compressed_values(tmp_path):
    path = write_layer(
        tmp_path / "w.h5", n0={"data": VALUES, "compression": "gzip", "fletcher32": True}
    )
    with h5py.File(path) as file:
        chunk = file["layers/dense/vars/0"].id.get_chunk_info(0)
    content = bytearray(path.read_bytes())
    content[chunk.byte_offset + chunk.size // 2] ^= 0x10
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"w\.h5.*layers/dense/vars/0"):
        keras.read(path)


def test_window_of_a_file(tmp_path):
    """The window of a .keras file begins and ends with the member."""
    (tmp_path / "f").write_bytes(bytes(range(100)))
    with open(tmp_path / "f", "rb") as file:
        window = hdf5_child.Window(file.fileno(), 10, 20)
        assert window.seek(0, os.SEEK_END) == 20 and window.read(5) == b""
        window.seek(-5, os.SEEK_CUR)
        assert window.read(50) == bytes(range(25, 30))
