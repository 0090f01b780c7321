"""ONNX files compared with the onnx package bit for bit, and their networks with ONNX Runtime's and
PyTorch's results.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import small_vggs
import vggs
from helpers import assert_close, largest_difference, measure_reading, peer
from onnx_files import named

import gradcam
from gradcam import WeightsError
from gradcam._weights import onnx as reader

onnx = peer("onnx")
onnxruntime = peer("onnxruntime")
torch = peer("torch")
peer("onnxscript")

from torch_cam import scores_and_cam  # noqa: E402

DATA = Path(__file__).resolve().parent.parent / "data" / "onnx"
sys.path.insert(0, str(DATA.parent))

from make_onnx_files import export, zoo  # noqa: E402

pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("ignore")]
MEAN = np.array([0.485, 0.456, 0.406]).reshape(3, 1, 1)
STD = np.array([0.229, 0.224, 0.225]).reshape(3, 1, 1)


def read_with_onnx(path: Path) -> dict[str, np.ndarray]:
    """Return the tensors in the order of their nodes, read by the onnx package."""
    graph = onnx.load(path).graph
    held = {each.name: onnx.numpy_helper.to_array(each) for each in graph.initializer}
    kinds = {"Conv": "conv", "BatchNormalization": "bn", "Gemm": "linear"}
    counts = dict.fromkeys(kinds, 0)
    found = {}
    for node in graph.node:
        if node.op_type in kinds:
            counts[node.op_type] += 1
            roles = ("weight", "bias", "running_mean", "running_var")
            for role, name in zip(roles, node.input[1:], strict=False):
                key = f"{kinds[node.op_type]}{counts[node.op_type]}.{role}"
                found[key] = held[name].astype(np.float32)
    return found


def assert_same(path: Path) -> None:
    assert_equal(named(path), read_with_onnx(path))


def assert_equal(found: dict[str, np.ndarray], right: dict[str, np.ndarray]) -> None:
    assert list(found) == list(right)
    for name, values in right.items():
        assert found[name].shape == values.shape
        assert found[name].tobytes() == values.tobytes()


@pytest.mark.parametrize("file", ["vgg11_torchscript", "vgg11_dynamo", "vgg11_bn_zoo"])
def test_the_committed_files(file):
    onnx.checker.check_model(str(DATA / f"{file}.onnx"))
    assert_same(DATA / f"{file}.onnx")


@pytest.mark.parametrize("dynamo", [False, True])
@pytest.mark.parametrize("name", ["vgg13", "vgg16", "vgg11_bn", "vgg19_bn"])
def test_exports_of_torch(name, dynamo, tmp_path):
    """The exporter folds batch normalisation into the convolutions: the file is a plain VGG."""
    tensors = small_vggs.tensors(name)
    path = tmp_path / "x.onnx"
    export(name, tensors, path, dynamo=dynamo)
    assert_same(path)
    found = named(path)
    assert ("bn1.weight" in found) == any(
        node.op_type == "BatchNormalization" for node in onnx.load(path).graph.node
    )


def test_batch_normalisation_that_is_not_folded(tmp_path):
    path = tmp_path / "x.onnx"
    with_bn = {"do_constant_folding": False, "training": torch.onnx.TrainingMode.PRESERVE}
    export("vgg11_bn", small_vggs.tensors("vgg11_bn"), path, dynamo=False, **with_bn)
    assert_same(path)
    assert "bn8.running_var" in named(path)
    training = {**with_bn, "training": torch.onnx.TrainingMode.TRAINING}
    export("vgg11_bn", small_vggs.tensors("vgg11_bn"), path, dynamo=False, **training)
    with pytest.raises(WeightsError, match="in evaluation mode"):
        gradcam.load(path)


@pytest.mark.parametrize("opset", [9, 13, 17])
def test_other_versions_and_batches_of_any_size(opset, tmp_path):
    path = tmp_path / "x.onnx"
    any_size = {"input_names": ["image"], "dynamic_axes": {"image": {0: "n"}}}
    tensors = small_vggs.tensors("vgg11")
    export("vgg11", tensors, path, dynamo=False, opset_version=opset, **any_size)
    assert_same(path)


@pytest.mark.parametrize("kind", ["FLOAT", "FLOAT16", "DOUBLE", "BFLOAT16"])
@pytest.mark.parametrize("raw", [True, False])
def test_types_written_by_the_onnx_package(raw, kind, tmp_path):
    path = tmp_path / "x.onnx"
    model = onnx.load(DATA / "vgg11_torchscript.onnx")
    kind = getattr(onnx.TensorProto, kind)
    for tensor in model.graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        given = values.astype(onnx.helper.tensor_dtype_to_np_dtype(kind))
        new_tensor = onnx.helper.make_tensor(
            tensor.name, kind, given.shape, given.tobytes() if raw else given.ravel(), raw
        )
        tensor.CopyFrom(new_tensor)
    onnx.save(model, path)
    assert_same(path)


@pytest.mark.parametrize("one", [True, False])
def test_external_data_written_by_the_onnx_package(one, tmp_path):
    path = tmp_path / "x.onnx"
    outside = {"save_as_external_data": True, "size_threshold": 0}
    onnx.save(
        onnx.load(DATA / "vgg11_torchscript.onnx"), path, all_tensors_to_one_file=one, **outside
    )
    assert len(list(tmp_path.iterdir())) > (1 if one else 20)
    assert_same(path)


def test_quantised_models_are_refused(tmp_path):
    path = tmp_path / "x.onnx"
    model = onnx.load(DATA / "vgg11_bn_zoo.onnx")
    model.graph.node[0].op_type = "QLinearConv"
    onnx.save(model, path)
    with pytest.raises(WeightsError, match=r"QLinearConv .* belongs to a quantised model"):
        gradcam.load(path)


class Residual(torch.nn.Module):
    """A different network: a residual block, resizing, and any batch size."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 3, 3, padding=1)
        self.norm = torch.nn.GroupNorm(3, 3)
        self.linear = torch.nn.Linear(3, 4)

    def forward(self, x):
        y = torch.nn.functional.interpolate(self.norm(self.conv(x)) + x, scale_factor=2.0)
        return self.linear(torch.nn.functional.hardtanh(y, 0, 6).mean((2, 3)))


@pytest.mark.parametrize("dynamo", [False, True])
def test_tensors_and_nodes_of_another_network(dynamo, tmp_path):
    path = tmp_path / "x.onnx"
    torch.onnx.export(Residual(), (torch.ones(1, 3, 8, 8),), path, dynamo=dynamo)
    graph = onnx.load(path).graph
    right = {each.name: onnx.numpy_helper.to_array(each) for each in graph.initializer}
    for each in graph.node:
        if each.op_type == "Constant":
            (value,) = each.attribute
            right[each.output[0]] = onnx.numpy_helper.to_array(value.t)
    found = reader.read(path)
    assert_equal(found.tensors, right)
    nodes = [each for each in graph.node if each.op_type != "Constant"]
    for ours, theirs in zip(found.graph.nodes, nodes, strict=True):
        assert (ours.op, ours.name) == (theirs.op_type, theirs.name)
        assert (ours.inputs, ours.outputs) == (tuple(theirs.input), tuple(theirs.output))
        for attribute in theirs.attribute:
            value = onnx.helper.get_attribute_value(attribute)
            if isinstance(value, bytes):
                assert ours.attributes[attribute.name] == value.decode()
            else:
                np.testing.assert_allclose(ours.attributes[attribute.name], value, rtol=1e-6)
    with pytest.raises(WeightsError, match=r"InstanceNormalization|GroupNormalization"):
        gradcam.load(path)


class Activations(torch.nn.Module):
    """Every activation that has a layer, on maps; PReLU with a slope for each channel."""

    def __init__(self) -> None:
        super().__init__()
        nn = torch.nn
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        kinds = [nn.GELU(), nn.GELU("tanh"), nn.SiLU(), nn.Hardswish(), nn.Hardsigmoid()]
        kinds += [nn.ELU(1.3), nn.SELU(), nn.CELU(1.7), nn.LeakyReLU(0.2), nn.PReLU(8, 0.3)]
        kinds += [nn.ReLU6(), nn.Hardtanh(-1, 2), nn.Tanh(), nn.Sigmoid()]
        self.kinds = nn.ModuleList(kinds)
        self.convs = nn.ModuleList([nn.Conv2d(8, 8, 1) for _ in kinds])
        self.last = nn.Linear(8, 5)

    def forward(self, x):
        x = self.first(x)
        for kind, conv in zip(self.kinds, self.convs, strict=True):
            x = kind(conv(x) * 2) + x
        return self.last(x.mean((2, 3)))


class Operations(torch.nn.Module):
    """Scaled pixels, layer normalisation by hand, a shuffle, parts, zeros, gates."""

    def __init__(self) -> None:
        super().__init__()
        self.first = torch.nn.Conv2d(3, 8, 3, padding=1)
        self.weight, self.bias = (torch.nn.Parameter(torch.rand(8, 1, 1)) for _ in range(2))
        self.norm = torch.nn.LayerNorm(16)
        self.last = torch.nn.Linear(16, 5)

    def forward(self, x):
        functional = torch.nn.functional
        x = self.first((x * 255 - 127.5) / 127.5)
        u = x.mean(1, keepdim=True)
        x = (x - u) / torch.sqrt((x - u).pow(2).mean(1, keepdim=True) + 1e-6)
        x = self.weight * x + self.bias
        n, c, h, w = x.shape
        x = x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)
        a, b = x.chunk(2, 1)
        x = torch.cat([a * functional.relu6(a + 3) / 6, b], 1)
        x = functional.max_pool2d(functional.pad(x, (1, 0, 2, 1)), 3, 2, 1, ceil_mode=True)
        y = functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 4, 4))
        x = functional.avg_pool2d(x, 3, 2, 1, count_include_pad=False)
        x = torch.cat([x, x[:, :8].flip(1)], 1) + y[:, :, : x.shape[2], : x.shape[3]]
        x = x * torch.sigmoid(x.mean((2, 3), keepdim=True))
        x = self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return self.last(x.amax((2, 3)).view(n, -1))


@pytest.mark.parametrize("opset, dynamo", [(13, False), (17, False), (18, True), (21, True)])
@pytest.mark.parametrize("module", [Activations, Operations])
def test_operations_as_torch_exports_them(module, opset, dynamo, tmp_path):
    path = tmp_path / "x.onnx"
    torch.manual_seed(0)
    network = module().eval()
    x = torch.randn(2, 3, 31, 32)
    torch.onnx.export(network, (x[:1],), path, dynamo=dynamo, opset_version=opset)
    with torch.no_grad():
        scores = torch.cat([network(each[None]) for each in x]).numpy()
    np.testing.assert_allclose(gradcam.load(path).forward(x.numpy()).scores, scores, atol=1e-5)


def prepared(picture: np.ndarray) -> np.ndarray:
    """Return torchvision's input for a picture of 256x256: the centre, standardised."""
    centre = picture[16:240, 16:240].transpose(2, 0, 1) / 255
    return ((centre - MEAN) / STD)[None]


def by_runtime(path: Path, x: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (scores,) = session.run(None, {session.get_inputs()[0].name: x.astype(np.float32)})
    return scores


@pytest.mark.parametrize("kind", ["torchscript", "dynamo", "zoo"])
@pytest.mark.parametrize("name, layer", [("vgg16", "relu5_3"), ("vgg11_bn", "relu5_2")])
def test_scores_and_grad_cam(name, layer, kind, tmp_path):
    """Compare the file with ONNX Runtime, and the tensors before the export with PyTorch."""
    tensors = vggs.tensors(name)
    path = tmp_path / "x.onnx"
    if kind == "zoo":
        onnx.save(zoo(name, tensors, classes=10), path)
    else:
        export(name, tensors, path, dynamo=kind == "dynamo")
    picture = vggs.picture(256, 256)
    x = prepared(picture)
    scores, cam = scores_and_cam(name, tensors, x, 3, layer)
    tape = gradcam.load(path).forward(x)
    assert_close(tape.scores, by_runtime(path, x), "network")
    assert_close(tape.scores, scores, "network")
    assert_close(tape.grad_cam(3)[0].raw, cam, "network")


@pytest.mark.slow
@pytest.mark.parametrize("dynamo", [False, True], ids=["torchscript", "dynamo"])
def test_full_size(dynamo, tmp_path):
    """The file of 553 MB: time and memory to read it, and the results of its network."""
    tensors = vggs.tensors(divide=1, hidden=(4096, 4096), classes=1000)
    path = tmp_path / "vgg16.onnx"
    export("vgg16", tensors, path, dynamo=dynamo)
    size, memory, seconds = measure_reading(path)
    bytes_there = sum(each.stat().st_size for each in tmp_path.iterdir())
    print(f"ONNX of {bytes_there} bytes: {seconds * 1e3:.0f} ms, {memory:.0f} bytes more")
    others = [v for v in reader.read(path).tensors.values() if v.dtype.kind != "f"]  # shapes
    right = sum(values.nbytes for values in [*tensors.values(), *others])
    assert size == right and len(others) < 3
    assert memory < 4 << 20
    picture = vggs.picture(256, 256)
    x = prepared(picture)
    scores, cam = scores_and_cam("vgg16", tensors, x, 282, "relu5_3")
    tape = gradcam.load(path).forward(x)
    differences = (
        largest_difference(tape.scores, by_runtime(path, x)),
        largest_difference(tape.scores, scores),
        largest_difference(tape.grad_cam(282)[0].raw, cam),
    )
    print(
        "largest differences: scores {:.1e} (ONNX Runtime), {:.1e}; Grad-CAM {:.1e}".format(
            *differences
        )
    )
    assert max(differences) < 2e-5
