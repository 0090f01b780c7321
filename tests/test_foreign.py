"""Files and folders of other programs are refused with what they are, and what to do."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import struct
import zipfile
import zlib
from pathlib import Path

import pytest
from wire import message

import gradcam
from gradcam import WeightsError

NODE = message((1, "x"), (2, "Placeholder"), (5, message((1, "dtype"), (2, message((6, 1))))))
GRAPH_DEF = message((1, NODE), (1, message((1, "y"), (2, "Conv2D"), (3, "x"))))
OPS = message((1, message((1, "AssignVariableOp"))))
SAVED_MODEL = message((1, 1), (2, message((1, message((2, OPS))), (2, GRAPH_DEF))))
FEATURE = message((1, "image"), (3, message((4, b""))))
CORE_ML = message((1, 4), (2, message((1, FEATURE), (10, FEATURE))), (403, b""))
BLOCK = message((1, 0), (2, -1), (3, message((1, "feed"))))
TENSOR = bytes(16) + struct.pack("<i", 6) + message((1, 5), (2, 64), (2, 3)) + bytes(64)
MXNET = struct.pack("<QQQ", 0x112, 0, 2) + bytes(64)
MEAN = message((1, 1), (2, 3), (3, 2), (4, 2), (5, bytes(48)))
STATE = message((1, 1000), (2, "snapshots/lenet_iter_1000.caffemodel"), (3, MEAN))
PICKLED = pickle.dumps({"sklearn.svm._classes": 1.0}, protocol=4)
FLAX = b"\x81\xa6params\x81\xa5Conv0\x80"

SYMBOL = json.dumps({"nodes": [{"op": "null", "name": "data", "inputs": []}]})
TFJS = json.dumps({"format": "layers-model", "generatedBy": "keras", "modelTopology": {}})
KERAS = json.dumps({"class_name": "Sequential", "config": {}})
PIR = json.dumps({"base_code": {"magic": "pir", "version": 1}})
DEFINITION = '# LeNet\nname: "LeNet"\nlayer {\n  name: "data"\n  type: "Input"\n}\n'
SOLVER = 'net: "train_val.prototxt"\ntest_iter: 1000\nbase_lr: 0.01\nsnapshot: 10000\n'
OPENVINO = '<?xml version="1.0"?>\n<net name="resnet" version="11">\n<layers></layers></net>'
NCNN = "7767517\n2 2\nInput data 0 1 data\n"

FILES = {
    "TensorFlow Lite": (b"\x1c\0\0\0TFL3" + bytes(40), "--tflite"),
    "ONNX Runtime": (b"\x1c\0\0\0ORTM" + bytes(40), "ONNX Runtime's own format"),
    "Core ML": (CORE_ML, "a Core ML model (.mlmodel)"),
    "SavedModel": (SAVED_MODEL, "--saved-model"),
    "frozen graph": (GRAPH_DEF, "--graphdef"),
    "OpenVINO": (OPENVINO, "a network of OpenVINO (.xml) without its weights"),
    "ncnn": (NCNN, "a network of ncnn (.param), as text"),
    "ncnn, binary": (struct.pack("<i", 7767517) + bytes(60), "a network of ncnn (.param.bin)"),
    "MXNet": (MXNET, "parameters of MXNet without their network"),
    "MXNet's network": (SYMBOL, "a network of MXNet (symbol.json)"),
    "Darknet": (struct.pack("<3iq", 0, 2, 5, 32_013_312) + bytes(64), "weights of Darknet"),
    "Darknet's network": ("[net]\nbatch=1\n", "a network of Darknet (.cfg)"),
    "PaddlePaddle": (message((1, BLOCK), (4, message((1, 0)))), "a network of PaddlePaddle"),
    "PaddlePaddle 3": (PIR, "a network of PaddlePaddle (.json)"),
    "PaddlePaddle's parameters": (TENSOR, "parameters of PaddlePaddle"),
    "MATLAB": (b"MATLAB 5.0 MAT-file, Platform: GLNXA64" + bytes(100), "a MATLAB file"),
    "MATLAB 7.3": (b"MATLAB 7.3 MAT-file, Platform: GLNXA64" + bytes(500), "a MATLAB file"),
    "Flax": (FLAX, "a file of msgpack, in which Flax (JAX) stores parameters"),
    "GGUF": (b"GGUF\x03\0\0\0" + bytes(40), "a GGUF file"),
    "scikit-learn": (PICKLED, "a model of scikit-learn"),
    "joblib, compressed": (zlib.compress(PICKLED), "compressed (joblib's?), a model of scikit"),
    "zlib": (zlib.compress(b"weights" * 9), "compressed with zlib: unpack it first"),
    "R": (gzip.compress(b"X\n\0\0\0\3\0\4\3\0"), "an object of R"),
    "R, not compressed": (b"X\n\0\0\0\3\0\4\3\0", "an object of R (.rds)"),
    "TensorFlow.js": (TFJS, "a network of TensorFlow.js (model.json)"),
    "Keras's configuration": (KERAS, "the configuration of a Keras model without its weights"),
    "prototxt": (DEFINITION, "a definition of a Caffe network without weights (.prototxt)"),
    "solver": (SOLVER, "settings of a training with Caffe"),
    "solverstate": (STATE, "the state of a training with Caffe (.solverstate)"),
    "binaryproto": (MEAN, "a blob of Caffe (.binaryproto)"),
}


@pytest.mark.parametrize("kind", FILES)
def test_files_of_other_programs(kind, tmp_path):
    """By their content, whatever their name."""
    content, words = FILES[kind]
    path = tmp_path / "model.pth"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(WeightsError) as caught:
        gradcam.load(path)
    assert str(caught.value).startswith(f"{path}: ") and words in str(caught.value)
    assert "again" not in str(caught.value)


ARCHIVES = {
    "MAR-INF/MANIFEST.json": "an archive of TorchServe (.mar)",
    "model/saved_model.pb": "a zip file with a TensorFlow SavedModel",
    "net.mlpackage/Manifest.json": "a Core ML package (.mlpackage)",
}


@pytest.mark.parametrize("member", ARCHIVES)
def test_archives_of_other_programs(member, tmp_path):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(member, b"content")
    (tmp_path / "x").write_bytes(buffer.getvalue())
    with pytest.raises(WeightsError) as caught:
        gradcam.load(tmp_path / "x")
    assert ARCHIVES[member] in str(caught.value)


NUMBERS = b"\x01\0\0\0\0\0\0\0" + bytes.fromhex("ab0241be6c8ddfbd") * 8
NAMES = {
    "model.engine": "by its name a TensorRT engine",
    "model.bin": "as OpenVINO and ncnn write them",
    "yolo.weights": "perhaps Darknet's weights",
    "c-1.data-00000-of-00001": "the numbers of a TensorFlow checkpoint",
    "model.pth": "not a weight file of a known format",
}


@pytest.mark.parametrize("name", NAMES)
def test_bare_numbers(name, tmp_path):
    """A content that says nothing: the name may."""
    (tmp_path / name).write_bytes(NUMBERS)
    with pytest.raises(WeightsError) as caught:
        gradcam.load(tmp_path / name)
    assert NAMES[name] in str(caught.value)


FOLDERS = {
    "saved_model.pb": "a TensorFlow SavedModel",
    "Manifest.json Data": "a Core ML package (.mlpackage)",
    "_CHECKPOINT_METADATA _METADATA": "a checkpoint of orbax (JAX)",
    "manifest.ocdbt d": "a checkpoint of orbax (JAX)",
    "config.json metadata.json model.weights.h5": "an unpacked .keras file",
    "checkpoint c-1.index c-1.data-00000-of-00001": "a folder with a TensorFlow checkpoint",
    "data.pkl version": "an unpacked file of torch.save",
    "README.md": "a folder, not a weight file",
}


@pytest.mark.parametrize("names", FOLDERS)
def test_folders_of_other_programs(names, tmp_path):
    for name in names.split():
        Path(tmp_path, name).write_bytes(b"content")
    with pytest.raises(IsADirectoryError, match=FOLDERS[names].replace("(", ".").replace(")", ".")):
        gradcam.load(tmp_path)


def test_what_is_read_is_not_taken_for_another_format():
    """No signature of another program fits the files that are read."""
    from gradcam._weights import foreign

    data = Path(__file__).parent / "data"
    files = [path for path in data.rglob("*") if path.suffix in (".caffemodel", ".onnx")]
    assert len(files) > 4
    assert [foreign.kind(path) for path in files] == [None] * len(files)


def test_a_snapshot_of_caffe_as_hdf5(tmp_path):
    h5py = pytest.importorskip("h5py", reason="writes an HDF5 file")
    with h5py.File(tmp_path / "x.caffemodel.h5", "w") as file:
        file["data/conv1/0"] = [[1.0]]
        file["data/conv1/1"] = [1.0]
    with pytest.raises(WeightsError, match="an HDF5 file of Caffe, which holds blobs without"):
        gradcam.load(tmp_path / "x.caffemodel.h5")
