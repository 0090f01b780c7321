"""Caffemodels compared with protobuf's parser bit for bit, and their networks with PyTorch's."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import small_vggs
import vggs
from helpers import assert_close, cost_of_reading, largest_difference, peer

import gradcam
from gradcam._weights import caffemodel

peer("google.protobuf")
peer("torch")

from caffe_schema import Net, UnpackedNet  # noqa: E402
from torch_cam import scores_and_cam  # noqa: E402

DATA = Path(__file__).resolve().parent.parent / "data" / "caffe"
sys.path.insert(0, str(DATA.parent))

from make_caffe_files import net  # noqa: E402

pytestmark = pytest.mark.peers
MEAN = np.array([103.939, 116.779, 123.68]).reshape(3, 1, 1)


def by_protobuf(data: bytes) -> dict[str, np.ndarray]:
    """Every blob, read by protobuf."""
    parsed = Net()
    parsed.ParseFromString(data)
    found = {}
    for layer in [*parsed.layers, *parsed.layer]:
        for role, blob in zip(("weight", "bias"), layer.blobs, strict=False):
            old = (blob.num, blob.channels, blob.height, blob.width)
            shape = tuple(blob.shape.dim) if blob.HasField("shape") else old
            numbers = blob.double_data or blob.data
            found[f"{layer.name}.{role}"] = np.array(numbers, np.float32).reshape(shape)
    return found


def assert_same(path: Path) -> None:
    found, right = caffemodel.read(path).tensors, by_protobuf(path.read_bytes())
    assert list(found) == list(right)
    for name, values in right.items():
        assert found[name].shape == values.shape
        assert found[name].tobytes() == values.tobytes()


@pytest.mark.parametrize("file", ["vgg16_v1", "vgg11_new"])
def test_the_committed_files_are_what_protobuf_writes(file):
    name = file.partition("_")[0]
    made = net(name, small_vggs.tensors(name), old="v1" in file)
    assert made.SerializeToString() == (DATA / f"{file}.caffemodel").read_bytes()
    assert_same(DATA / f"{file}.caffemodel")


@pytest.mark.parametrize("schema", [Net, UnpackedNet], ids=["packed", "unpacked"])
@pytest.mark.parametrize("data", ["data", "double_data"])
@pytest.mark.parametrize("old", [True, False])
def test_every_way_that_protobuf_writes(old, data, schema, tmp_path):
    made = net("vgg13", small_vggs.tensors("vgg13"), old=old, data=data, schema=schema)
    path = tmp_path / "x.caffemodel"
    path.write_bytes(made.SerializeToString())
    assert_same(path)


def test_nets_of_random_shapes(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "x.caffemodel"
    for number in range(50):
        made = (Net, UnpackedNet)[number % 2](name="x" * rng.integers(1, 50))
        for i in range(rng.integers(1, 6)):
            layer = made.layers.add() if rng.integers(2) else made.layer.add()
            layer.name = f"layer{i}"
            for _ in range(rng.integers(1, 3)):
                blob = layer.blobs.add()
                shape = rng.integers(1, 5, 4)
                if rng.integers(2):
                    blob.num, blob.channels, blob.height, blob.width = map(int, shape)
                else:
                    shape = shape[: rng.integers(1, 5)]
                    blob.shape.dim.extend(shape.tolist())
                values = rng.standard_normal(shape.prod())
                (blob.double_data if rng.integers(2) else blob.data).extend(values.tolist())
                if rng.integers(2):
                    blob.diff.extend(values.tolist())
        path.write_bytes(made.SerializeToString())
        assert_same(path)


def prepared(picture: np.ndarray) -> np.ndarray:
    """The paper's input for a picture of its size: BGR, minus the mean pixel."""
    return (picture.transpose(2, 0, 1)[::-1] - MEAN)[None]


@pytest.mark.parametrize("name, old", [("vgg16", True), ("vgg11", False)])
def test_scores_and_grad_cam(name, old, tmp_path):
    tensors = vggs.tensors(name)
    path = tmp_path / "x.caffemodel"
    path.write_bytes(net(name, tensors, old=old).SerializeToString())
    picture = vggs.picture(224, 224)
    layer = {"vgg16": "relu5_3", "vgg11": "relu5_2"}[name]
    scores, cam = scores_and_cam(name, tensors, prepared(picture), 3, layer)
    tape = getattr(gradcam, name)(path).forward(picture)
    assert_close(tape.scores, scores, "network")
    assert_close(tape.grad_cam(3).raw, cam, "network")


@pytest.mark.slow
def test_at_the_true_size(tmp_path):
    """The file of 553 MB: the cost of reading it, and the results of its network."""
    tensors = vggs.tensors(divide=1, hidden=(4096, 4096), classes=1000)
    path = tmp_path / "vgg16.caffemodel"
    path.write_bytes(net("vgg16", tensors, old=True).SerializeToString())
    size, memory, seconds = cost_of_reading(path)
    bytes_there = path.stat().st_size
    print(f"caffemodel of {bytes_there} bytes: {seconds * 1e3:.0f} ms, {memory:.0f} bytes more")
    assert size == sum(values.nbytes for values in tensors.values())
    assert memory < 4 << 20
    picture = vggs.picture(224, 224)
    scores, cam = scores_and_cam("vgg16", tensors, prepared(picture), 282, "relu5_3")
    tape = gradcam.vgg16(path).forward(picture)
    differences = (
        largest_difference(tape.scores, scores),
        largest_difference(tape.grad_cam(282).raw, cam),
    )
    print("largest differences of scores and Grad-CAM: {:.1e}, {:.1e}".format(*differences))
    assert max(differences) < 2e-5
