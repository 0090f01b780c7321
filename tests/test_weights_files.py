"""Weight files: recognising, refusing, describing and converting them."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import pickle
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import gradcam
from gradcam import weights
from gradcam._weights.reading import KEYWORDS
from gradcam.weights import WeightsError


def zipped(*names):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, b"content")
    return buffer.getvalue()


def picture(kind):
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, kind)
    return buffer.getvalue()


def tarred():
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("weights/vgg16.pth"), io.BytesIO())
    return buffer.getvalue()


def single_array():
    buffer = io.BytesIO()
    np.save(buffer, np.ones(3))
    return buffer.getvalue()


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 553433881\n"
INDEX = json.dumps({"metadata": {}, "weight_map": {"features.0.weight": "a.safetensors"}}).encode()
TENSORFLOW_FOOTER = bytes(40) + bytes.fromhex("57fb808b247547db")

FOREIGN = {
    "empty": (b"", "the file is empty"),
    "web page": (b"\n<!DOCTYPE html><html><body>Log in</body>", "a web page, not weights"),
    "web page without a doctype": (
        b"<html>404 not found</html>",
        "an error page, or the download needs a login",
    ),
    "XML": (b"<?xml version='1.0'?><Error>AccessDenied</Error>", "a web page, not weights"),
    "web page, long": (b"<html>" + "é".encode() * 4000, "a web page, not weights"),
    "LFS": (POINTER, "run git lfs pull"),
    "index": (
        INDEX,
        "list of weights in several files, not the weights themselves: pass the folder",
    ),
    "JSON": (b'{"error": "Invalid credentials"}', "a JSON text, not weights"),
    "JSON, ninth byte a brace": (b'{"a": 1,{', "a JSON text, not weights"),
    "text": (b"Repository not found\n", "a text, not weights"),
    "text, ninth byte a brace": (b"12345678{ no header }", "a text, not weights"),
    "white space": (b"  \n", "a text of white space"),
    "gzip": (gzip.compress(b"anything"), "a gzip archive: unpack it first"),
    "tar": (tarred(), "a tar archive: unpack it first"),
    "PNG": (picture("png"), "a picture (PNG)"),
    "JPEG": (picture("jpeg"), "a picture (JPEG)"),
    "WebP": (picture("webp"), "a picture (WebP)"),
    "npy": (single_array(), "a single NumPy array (.npy)"),
    "pickle": (pickle.dumps({"a": [1.0]}), "a Python pickle that torch.save did not write"),
    "zip without weights": (
        zipped("README.md", "a.jpg"),
        "a zip file without weights; it contains README.md, a.jpg",
    ),
    "empty zip": (zipped(), "a zip file without weights; it contains nothing"),
    "truncated zip": (
        zipped("a.npy")[:-30],
        "a zip file (PyTorch, Keras or .npz?) that is damaged",
    ),
    "TensorFlow checkpoint": (b"\x00\x01\x02" + TENSORFLOW_FOOTER, "a TensorFlow checkpoint"),
    "TensorFlow state file": (
        b'model_checkpoint_path: "vgg_16.ckpt"\n',
        "the state file of a",
    ),
    "zeros": (bytes(1000), "not a weight file of a known format"),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_other_files_are_described(name, tmp_path):
    content, words = FOREIGN[name]
    path = tmp_path / "vgg16.pth"
    path.write_bytes(content)
    for read in (weights.load, weights.describe, gradcam.vgg16, gradcam.load):
        with pytest.raises(WeightsError) as caught:
            read(path)
        assert str(caught.value).startswith(f"{path}: ") and words in str(caught.value)
    assert [each.name for each in tmp_path.iterdir()] == ["vgg16.pth"]


DATA = Path(__file__).parent / "data"
CUT = [
    *("torch/state_dict_zip.pth", "torch/state_dict_stream.pth", "caffe/vgg16_v1.caffemodel"),
    *("onnx/vgg11_torchscript.onnx", "small.h5", "small.keras"),
]


@pytest.mark.parametrize("name", CUT)
def test_truncated_files_must_be_downloaded_again(name, tmp_path):
    if name == "small.h5":
        pytest.importorskip("h5py", reason="reads HDF5 files")
    content = (DATA / name).read_bytes()
    path = tmp_path / "cut"
    path.write_bytes(content[: len(content) * 2 // 3])
    with pytest.raises(WeightsError, match=f"^{path}: .* again$"):
        weights.load(path)


def test_folders_are_described(tmp_path):
    with pytest.raises(IsADirectoryError, match="a folder, not a weight file"):
        weights.load(tmp_path)
    (tmp_path / "saved_model.pb").write_bytes(b"\x08\x01")
    with pytest.raises(IsADirectoryError, match="a TensorFlow SavedModel, a folder: convert it"):
        gradcam.vgg16(tmp_path)


@pytest.mark.parametrize("name", ["vgg16.pth", "vgg16.h5", "vgg16", "x.onnx"])
def test_file_name_has_no_effect(name, tmp_path):
    made = gradcam.vgg16.random_tensors(width=2, fc=4, classes=3)
    weights.save(made, tmp_path / name)
    np.savez(tmp_path / "numpy.npz", **made)
    assert weights.load(tmp_path / name).format == "safetensors"
    (tmp_path / "numpy.npz").rename(tmp_path / name)
    assert weights.load(str(tmp_path / name)).format == "NumPy .npz"


def test_readers_are_imported_only_when_needed():
    from helpers import run_python

    program = (
        "import sys, gradcam, numpy as np, tempfile, os\n"
        "with tempfile.TemporaryDirectory() as folder:\n"
        "    path = os.path.join(folder, 'w')\n"
        "    gradcam.weights.save({'a': np.ones(3)}, path)\n"
        "    gradcam.weights.load(path)\n"
        "readers = '_weights.npz _weights.pth _weights.keras _weights.onnx _weights.caffemodel "
        "_weights.foreign _models.published'.split()\n"
        "print([r for r in readers if f'gradcam.{r}' in sys.modules])"
    )
    assert run_python(program) == "[]"


# --- published weights ---


@pytest.mark.parametrize("name", KEYWORDS)
def test_published_weights_are_fetched_for_their_architecture(name, tmp_path, monkeypatch):
    download = pytest.importorskip("gradcam._models.published")
    path = tmp_path / "weights.safetensors"
    make = gradcam.resnet50 if name == "IMAGENET1K_V2" else gradcam.vgg16
    weights.save(make.random_tensors(width=2, fc=4, classes=3), path)
    calls = []
    monkeypatch.setattr(download, "fetch", lambda *arguments: calls.append(arguments) or path)
    assert len(make(name).labels) == 3
    assert calls == [(make.name, name)]
    with pytest.raises(ValueError, match=rf"gradcam\.vgg16\('{name}'\) and `--weights"):
        gradcam.load(name)
    monkeypatch.chdir(tmp_path)
    path.rename(name)  # a file of that name has priority
    assert make(name).name == make.name and len(calls) == 1


# --- describe ---


@pytest.fixture
def file(tmp_path):
    tensors = gradcam.vgg11.random_tensors(width=2, fc=4, classes=3)
    labels = gradcam.Labels(["one", "two", "three"])
    weights.save(tensors, tmp_path / "w.safetensors", labels.to_metadata() | {"preset": "caffe"})
    return tmp_path / "w.safetensors"


def test_describe(file):
    found = weights.describe(file)
    assert found.architecture == "vgg11" and found.classes == 3 and found.reason == ""
    assert (found.format, found.preset) == ("safetensors", "caffe")
    assert found.network.title == "VGG-11, torchvision's names"
    assert found.bytes == file.stat().st_size
    assert found.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    tensors = weights.load(file).tensors
    assert [(t.name, t.shape, t.values) for t in found.tensors] == [
        (name, values.shape, values.size) for name, values in tensors.items()
    ]
    assert found.values == sum(values.size for values in tensors.values())
    assert found.network.parameters == found.values
    for text in ("vgg11, 3 classes", "caffe", found.sha256, f"{found.values:,}", "float32"):
        assert text in str(found)
    restored = json.loads(json.dumps(found.to_dict()))
    assert restored == found.to_dict() and restored["tensors"][0]["shape"] == [2, 3, 3, 3]
    without_digest = weights.describe(file, digest=False)
    assert without_digest.sha256 is None and "sha256" not in str(without_digest)


def test_types_in_the_file_are_reported(tmp_path):
    path = tmp_path / "w"
    weights.save(gradcam.vgg11.random_tensors(width=2, fc=4, classes=3), path, dtype="float16")
    assert weights.describe(path).dtypes == ("float16",)
    np.savez(path.with_suffix(".npz"), b=np.ones(2, np.float32), c=np.ones(2, "<i4"))
    assert weights.describe(path.with_suffix(".npz")).dtypes == ("float32", "int32")


def test_description_of_unknown_networks(tmp_path):
    path = tmp_path / "resnet.safetensors"
    weights.save({"layer1.0.conv1.weight": np.ones((2, 2, 3, 3)), "fc.bias": np.ones(2)}, path)
    found = weights.describe(path)
    assert found.architecture is None and found.classes is None and len(found.tensors) == 2
    assert "unknown network, or in an unknown layout" in found.reason
    assert "not known here" in str(found)
    with pytest.raises(WeightsError, match="unknown network, or in an unknown layout"):
        gradcam.load(path)


# --- convert ---


def test_convert_keeps_values_classes_and_preset(file, tmp_path):
    target = tmp_path / "out.safetensors"
    assert weights.convert(file, target).architecture == "vgg11"
    before, after = gradcam.load(file), gradcam.load(target)
    assert (after.preset, list(after.labels)) == (before.preset, list(before.labels))
    x = np.random.default_rng(0).standard_normal((1, 3, 32, 32)).astype(np.float32)
    np.testing.assert_array_equal(after.forward(x).scores, before.forward(x).scores)


def test_convert_takes_labels_and_a_preset(file, tmp_path):
    target = tmp_path / "out.safetensors"
    weights.convert(file, target, labels=["a", "b", "c"], preset="keras")
    network = gradcam.load(target)
    assert [t.label for t in network.labels] == ["a", "b", "c"]
    assert network.preset == gradcam.PRESETS["keras"]
    with pytest.raises(ValueError, match="2 labels for a network of 3 classes"):
        weights.convert(file, tmp_path / "other.safetensors", labels=["a", "b"])
    assert not (tmp_path / "other.safetensors").exists()


def test_convert_replaces_files_only_if_forced(file, tmp_path):
    before = file.read_bytes()
    (tmp_path / "link.safetensors").symlink_to(file)
    for target in (file, tmp_path / "link.safetensors"):
        for force in (False, True):
            with pytest.raises(FileExistsError, match="is the file to read"):
                weights.convert(file, target, force=force)
    other = tmp_path / "other.safetensors"
    other.write_bytes(b"precious")
    with pytest.raises(FileExistsError, match="exists already"):
        weights.convert(file, other)
    assert other.read_bytes() == b"precious" and file.read_bytes() == before
    weights.convert(file, other, force=True)
    assert weights.describe(other).architecture == "vgg11"


def test_convert_error_names_the_layer_with_nan(tmp_path):
    tensors = gradcam.vgg11.random_tensors(width=2, fc=4, classes=3)
    tensors["classifier.3.bias"][1] = np.inf
    np.savez(tmp_path / "w.npz", **tensors)
    with pytest.raises(WeightsError, match=r"w\.npz: layer 'fc7' \(classifier\.3\).*NaN"):
        weights.convert(tmp_path / "w.npz", tmp_path / "out.safetensors")
    assert [each.name for each in tmp_path.iterdir()] == ["w.npz"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_pipes_are_refused(tmp_path):
    os.mkfifo(tmp_path / "vgg16.pth")
    with pytest.raises(WeightsError, match="a pipe or a device, not a file"):
        weights.load(tmp_path / "vgg16.pth")


def test_folder_named_like_published_weights(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "imagenet").mkdir()
    with pytest.raises(ValueError, match="a name of published weights"):
        weights.load("imagenet")


def test_path_as_bytes(tmp_path):
    weights.save({"a": np.ones(3, np.float32)}, tmp_path / "a.safetensors")
    found = weights.load(os.fsencode(tmp_path / "a.safetensors"))
    assert list(found.tensors) == ["a"]


def test_control_characters_in_names_are_escaped(tmp_path):
    path = tmp_path / "a.safetensors"
    weights.save({"a\x1b[2Jb\n": np.ones(3, np.float32)}, path, {"pre\nset": "\x1b[31m"})
    with pytest.raises(WeightsError) as caught:
        gradcam.load(path)
    text = str(weights.describe(path, digest=False))
    for message in (str(caught.value), text):
        assert "\x1b" not in message
    assert "a\\x1b[2Jb\\n" in str(caught.value) and "pre\\nset" in text


@pytest.mark.parametrize(
    "metadata",
    [
        {"preset": '{"a":' * 200_000},
        {"preset": '{"name": 5}'},
        {"preset": '{"name": "x", "size": true}'},
        {"preset": '{"name": "x", "size": 1000000000}'},
        {"classes": "[" * 200_000},
        {"classes": '["ab", "cd", "ef", "gh", "ij"]'},
    ],
)
def test_metadata_is_checked(metadata, tmp_path):
    path = tmp_path / "w.safetensors"
    weights.save(gradcam.vgg11.random_tensors(width=1, fc=2, classes=5), path, metadata)
    with pytest.raises(ValueError, match="metadata"):
        gradcam.load(path)
