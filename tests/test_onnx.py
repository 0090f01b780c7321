"""ONNX files: tensors are read bit for bit, and become the weights of the network's layers."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx_files
import pytest
import small_vggs
import vggs
import wire
from helpers import assert_close, count_rejected_bit_flips, resident_bytes
from onnx_files import BFLOAT16, DOUBLE, FLOAT16, Op, named, node, tensor
from wire import message, varint

import gradcam
from gradcam import WeightsError
from gradcam._weights import onnx, protobuf
from gradcam.weights import load

DATA = Path(__file__).parent / "data" / "onnx"
FILES = {"vgg11_torchscript": "vgg11", "vgg11_dynamo": "vgg11", "vgg11_bn_zoo": "vgg11_bn"}
SMALL = small_vggs.tensors("vgg11")
SMALL_BN = small_vggs.tensors("vgg11_bn")


def expected(name: str, tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the tensors by their layers' operations and numbers: "conv1.weight"."""
    found = {}
    counts = {"conv": 0, "bn": 0, "fc": 0}
    for caffe, torchvision, _ in vggs.layers(name):
        kind = next((kind for kind in counts if caffe.startswith(kind)), None)
        if kind is None:
            continue
        counts[kind] += 1
        for role in ("weight", "bias", "running_mean", "running_var"):
            if f"{torchvision}.{role}" in tensors:
                ours = kind.replace("fc", "linear")
                found[f"{ours}{counts[kind]}.{role}"] = tensors[f"{torchvision}.{role}"]
    return found


def assert_same(found: dict[str, np.ndarray], desired: dict[str, np.ndarray]) -> None:
    """Check that names, their order and all bits are equal."""
    assert list(found) == list(desired)
    for name, values in desired.items():
        assert found[name].dtype == np.float32
        assert found[name].shape == values.shape
        assert found[name].tobytes() == values.tobytes(), name


def plain() -> list[Op]:
    return onnx_files.layers("vgg11", SMALL)


def find_op(ops: list[Op], op: str, number: int = 0) -> Op:
    return [each for each in ops if each.op == op][number]


@pytest.fixture
def read(tmp_path):
    """A function that writes a graph or bytes to a file and returns its network's weights."""

    def of(ops: list[Op] | bytes, **graph):
        path = tmp_path / "x.onnx"
        path.write_bytes(ops if isinstance(ops, bytes) else onnx_files.model(ops, **graph))
        return named(path)

    return of


# --- good files ---------------------------------------------------------------------------------


@pytest.mark.parametrize("file", FILES)
def test_exported_files(file):
    """PyTorch's two exporters, the newer one with external data; a file like the ONNX zoo's."""
    name = FILES[file]
    assert_same(named(DATA / f"{file}.onnx"), expected(name, small_vggs.tensors(name)))


@pytest.mark.parametrize("file", FILES)
def test_network_from_a_file(file):
    name = FILES[file]
    tensors = small_vggs.tensors(name)
    if file == "vgg11_bn_zoo":  # the twin's epsilon is 1e-5, the file's 1e-3
        for key in [key for key in tensors if key.endswith("running_var")]:
            tensors[key] = np.float64(tensors[key]) + 1e-3 - vggs.EPSILON
    x = vggs.picture(224, 224).astype(np.float32).transpose(2, 0, 1)[None] / 255
    twin, numbers = vggs.twin(name, tensors)
    ours = gradcam.load(DATA / f"{file}.onnx")
    assert_close(ours.forward(x).scores, twin.forward(x).outputs[numbers["fc8"]], "network")
    assert (ours.size, ours.fixed) == ((224, 224), True)


@pytest.mark.parametrize("file", ["vgg11_torchscript", "vgg11_dynamo"])
def test_tensors_are_views_of_the_file(file):
    for found in (onnx.read(DATA / f"{file}.onnx").tensors, named(DATA / f"{file}.onnx")):
        for values in found.values():
            assert not values.flags.owndata and not values.flags.writeable


def test_all_vggs(read):
    for name in vggs.NAMES:
        tensors = small_vggs.tensors(name)
        assert_same(read(onnx_files.layers(name, tensors)), expected(name, tensors))


def types() -> dict[str, tuple[np.ndarray, bytes]]:
    """Return arrays and their TensorProtos, for every way to store numbers."""
    shape = find_op(plain(), "Conv").parameters[0].shape
    values = small_vggs.numbers(5, shape)
    half, double = values.astype("<f2"), values.astype("<f8")
    upper = (values.view("<u4") >> 16).astype("<u2")
    widened = (upper.astype("<u4") << 16).view("<f4")
    bits = b"".join(varint(int(v)) for v in half.view("<u2").flat)
    singly = [(5, int(v)) for v in upper.flat]
    return {
        "float_data": (values, tensor("w", values, data=[(4, values.tobytes())])),
        "float_data, unpacked": (
            values,
            tensor("w", values, data=[(4, float(v)) for v in values.flat]),
        ),
        "double": (values, tensor("w", double)),
        "double_data": (values, tensor("w", double, data=[(10, double.tobytes())])),
        "float16": (half, tensor("w", half)),
        "float16 as integers": (half, tensor("w", half, data=[(5, bits)])),
        "bfloat16": (widened, tensor("w", upper, kind=BFLOAT16)),
        "bfloat16 as integers": (widened, tensor("w", upper, kind=BFLOAT16, data=singly)),
        "packed dims": (
            values,
            message((1, bytes(shape)), (2, 1), (8, "w"), (9, values.tobytes())),
        ),
    }


@pytest.mark.parametrize("kind", types())
def test_data_types(kind, read):
    values, written = types()[kind]
    ops = plain()
    find_op(ops, "Conv").parameters[0] = "w"
    found = read(ops, tensors={"w": written})["conv1.weight"]
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, values.astype(np.float32))


def changed(ops: list[Op], op: str, number: int = 0, **attributes) -> list[Op]:
    find_op(ops, op, number).attributes.update(attributes)
    return ops


def test_equivalent_graphs(read):
    """The tensors are equal to those of the plain graph."""
    desired = expected("vgg11", SMALL)

    def transposed(ops):
        for op in ops:
            if op.op == "Gemm":
                op.parameters[0], op.attributes = op.parameters[0].T, {}
        return ops

    def with_matmul(ops):
        found = []
        for op in ops:
            if op.op == "Gemm":
                weight, bias = op.parameters
                found += [Op("MatMul", [weight.T]), Op("Add", [bias[None]])]
            else:
                found.append(op)
        return found

    def with_neutral_operations(ops):
        """Dropout, Identity, Cast, Flatten before every layer, average pooling, softmax."""
        ops.insert(0, Op("Cast", [], {"to": FLOAT16}))
        pool = ops.index(find_op(ops, "MaxPool", 4))
        ops.insert(pool + 1, Op("AveragePool", [], {"kernel_shape": [1, 1], "strides": [1, 1]}))
        for number in (1, 2):
            gemm = ops.index(find_op(ops, "Gemm", number))
            ops[gemm:gemm] = [Op("Dropout", ["ratio", ""]), Op("Identity"), Op("Flatten")]
        return [*ops, Op("Softmax", [], {"axis": -1})]

    ratio = tensor("ratio", np.float32(0.5))
    same = changed(plain(), "Conv", auto_pad="SAME_UPPER", strides=[1, 1], group=1)
    del same[0].attributes["pads"]
    for ops, tensors in [
        (plain(), {}),
        (transposed(plain()), {}),
        (with_matmul(plain()), {}),
        (with_neutral_operations(plain()), {"ratio": ratio}),
        (same, {}),
        (changed(plain(), "MaxPool", ceil_mode=1, auto_pad="VALID", storage_order=0), {}),
        (changed(plain(), "Gemm", alpha=1.0, beta=1.0, transA=0), {}),
        (changed(plain(), "Flatten", axis=-3), {}),
    ]:
        assert_same(read(ops, tensors=tensors), desired)


def test_missing_biases(read):
    ops = plain()
    for op in ops:
        del op.parameters[1:]
    find_op(ops, "Conv").parameters.append("")
    desired = expected("vgg11", {k: v for k, v in SMALL.items() if "weight" in k})
    assert_same(read(ops), desired)


def test_constant_identity_and_computed_shape_nodes(read):
    """The nodes of older exporters for x.view(x.size(0), -1), and a tensor with two names."""
    ops = plain()
    weight, bias = find_op(ops, "Conv", 4).parameters
    find_op(ops, "Conv", 4).parameters = ["constant", "same"]
    flatten = find_op(ops, "Flatten")
    flatten.op, flatten.parameters = "Reshape", ["target"]
    before = f"m{ops.index(flatten) - 1}"
    nodes = [
        node("Constant", [], ["constant"], value=tensor("", weight)),
        node("Identity", ["bias"], ["same"]),
        node("Constant", [], ["zero"], value=tensor("", np.array(0))),
        node("Constant", [], ["rest"], value_int=-1),
        node("Shape", [before], ["shape"]),
        node("Gather", ["shape", "zero"], ["batch"], axis=0),
        node("Unsqueeze", ["batch", "zero"], ["batches"]),
        node("Unsqueeze", ["rest", "zero"], ["rests"]),
        node("Concat", ["batches", "rests"], ["target"], axis=0),
    ]
    found = read(ops, tensors={"bias": tensor("bias", bias)}, nodes=nodes)
    assert_same(found, expected("vgg11", SMALL))


# --- what the reader returns for any network ----------------------------------------------------


def test_tensor_names_are_those_of_the_file():
    for file in FILES:
        found = load(DATA / f"{file}.onnx")
        graph = found.graph
        assert graph is not None and len(graph.inputs) == len(graph.outputs) == 1
        assert graph.external == (file == "vgg11_dynamo")
        taken = {name for each in graph.nodes for name in each.inputs if name in found.tensors}
        assert taken == set(found.tensors)


def test_attributes_and_constants(tmp_path):
    path = tmp_path / "x.onnx"
    part = node("Relu", ["a"], ["b"])
    nodes = [
        node("Constant", [], ["five"], value_int=5),
        node("Constant", [], ["sizes"], value_ints=[2, -3]),
        node("Constant", [], ["none"], value_ints=[]),
        node("Constant", [], ["half"], value_float=0.5),
        node("Constant", [], ["text"], value_string="text"),
        node("Constant", [], ["tensor"], value=tensor("", WEIGHT)),
        node("Foo", ["image", "five"], ["foo"], "com.example", i=-1, f=0.1, s="text", ints=[3, 4],
             t=tensor("", np.arange(4)), long="x" * 5000),
        message(
            (1, "foo"), (2, "bar"), (4, "Bar"),
            (5, message((1, "floats"), (7, 0.5), (7, 1.5), (20, 6))),
            (5, message((1, "zero"), (20, 2))),
            (5, message((1, "untyped"), (8, bytes([1, 2])))),
            (5, message((1, "graph"), (6, message((1, part))), (20, 5))),
            (5, message((1, "bytes"), (4, b"\xff"), (20, 3))),
            (5, message((1, "strings"), (9, "a"), (9, "b"), (20, 8))),
        ),
    ]  # fmt: skip
    path.write_bytes(onnx_files.model([], nodes=nodes, outputs=["bar"]))
    found = onnx.read(path)
    assert {name: values.tolist() for name, values in found.tensors.items()} == {
        "five": 5,
        "sizes": [2, -3],
        "none": [],
        "half": 0.5,
        "tensor": WEIGHT.tolist(),
    }
    kinds = [str(found.tensors[name].dtype) for name in ("five", "sizes", "none", "half")]
    assert kinds == ["int64", "int64", "int64", "float32"]
    text, foo, bar = found.graph.nodes
    assert (text.op, text.attributes) == ("Constant", {"value_string": "text"})
    assert (foo.op, foo.inputs, foo.outputs) == ("com.example.Foo", ("image", "five"), ("foo",))
    attributes = dict(foo.attributes)
    np.testing.assert_array_equal(attributes.pop("t"), np.arange(4))
    assert attributes == {"i": -1, "f": 0.1, "s": "text", "ints": (3, 4), "long": None}
    assert bar.attributes == {
        **{"floats": (0.5, 1.5), "zero": 0, "untyped": (1, 2)},
        **{"graph": None, "bytes": None, "strings": None},
    }
    assert found.graph.inputs == ("image",) and found.graph.outputs == ("bar",)


def test_what_a_file_says_beside_the_tensors(tmp_path):
    names = str({i: "x" * 90 for i in range(100)})
    entries = [("names", names), ("no text", b"\xff"), ("long", "x" * (1 << 21))]
    scopes = message((1, "pkg.torch.onnx.name_scopes"), (2, "['', 'layer4', 'layer4.1', 'relu']"))
    inside = [
        (1, message((1, "x"), (2, "y"), (4, "Relu"), (9, scopes))),
        (11, onnx_files.declared("x", (None, 3, 8, None))),
        (12, message((1, "y"))),
    ]
    opsets = [message((1, "com.acme"), (2, 1)), message((2, 19))]
    path = tmp_path / "x.onnx"
    path.write_bytes(
        message(
            *((1, 8), (2, "pytorch"), (3, "2.13"), (7, message(*inside))),
            *((8, each) for each in opsets),
            *((14, message((1, key), (2, value))) for key, value in entries),
        )
    )
    found = onnx.read(path)
    assert found.metadata == {"names": names}
    assert (found.graph.producer, found.graph.opset) == ("pytorch 2.13", 19)
    assert found.graph.shapes == {"x": (None, 3, 8, None)}
    assert found.graph.nodes[0].scope == "layer4.1"


def integer_types() -> dict[str, tuple[int, int]]:
    """Return NumPy's types with ONNX's numbers and the fields for values that are not raw bytes."""
    return {
        **{"uint8": (2, 5), "int8": (3, 5), "uint16": (4, 5), "int16": (5, 5), "int32": (6, 5)},
        **{"int64": (7, 7), "bool": (9, 5), "uint32": (12, 11), "uint64": (13, 11)},
    }


@pytest.mark.parametrize("dtype", integer_types())
def test_integers_and_booleans(dtype, tmp_path):
    kind, number = integer_types()[dtype]
    values = np.array([[0, 1], [100, -1]]).astype(dtype)
    numbers = [(number, int(v)) for v in values.flat]
    path = tmp_path / "x.onnx"
    for data in ([(9, values.tobytes())], numbers):
        written = tensor("w", values, kind=kind, data=data)
        path.write_bytes(onnx_files.model([], tensors={"w": written}))
        found = onnx.read(path).tensors["w"]
        assert found.dtype == dtype
        np.testing.assert_array_equal(found, values)


def test_types_unknown_to_numpy_are_omitted(read, tmp_path):
    written = {"w": tensor("w", WEIGHT, kind=17), "t": tensor("t", WEIGHT, kind=8, data=[(6, "a")])}
    with pytest.raises(WeightsError, match="reads 'w', which nothing in the file computes"):
        read(parameters("Conv", "w"), tensors=written)
    assert not {"w", "t"} & set(onnx.read(tmp_path / "x.onnx").tensors)


def test_empty_tensors(tmp_path):
    """For example, Resize has an empty tensor."""
    path = tmp_path / "x.onnx"
    empty = tensor("roi", np.zeros((0, 4), np.float32))
    path.write_bytes(onnx_files.model([], tensors={"roi": empty}))
    assert onnx.read(path).tensors["roi"].shape == (0, 4)


def test_list_elements_count_as_fields(tmp_path):
    path = tmp_path / "x.onnx"
    for field, data in [(8, bytes(protobuf.MAX_FIELDS)), (7, bytes(4 * protobuf.MAX_FIELDS))]:
        long = message((1, "x"), (field, data), (20, {8: 7, 7: 6}[field]))
        path.write_bytes(message((1, 8), (7, message((1, message((4, "Foo"), (5, long)))))))
        with pytest.raises(WeightsError, match=r"more than 26\d{4} (fields|integers)"):
            onnx.read(path)


# --- invalid files ------------------------------------------------------------------------------


def test_truncated_files(tmp_path):
    """Errors at every length, except at the end of the graph: later fields are optional."""
    data = (DATA / "vgg11_torchscript.onnx").read_bytes()
    path = tmp_path / "cut"
    path.write_bytes(data)
    desired = named(path)
    for end in [*range(400), *range(400, len(data), 41), *range(len(data) - 60, len(data))]:
        path.write_bytes(data[:end])
        if data[end:] == message((8, message((2, 20)))):
            assert_same(named(path), desired)
            continue
        with pytest.raises(WeightsError, match=f"^{path}: "):
            onnx.read(path)


@pytest.mark.slow
def test_bit_flips(tmp_path):
    """Files are read or refused; the format has no checksum of the numbers."""
    data = (DATA / "vgg11_torchscript.onnx").read_bytes()
    assert count_rejected_bit_flips(onnx.read, data, tmp_path / "flipped", 300) > 50


def parameters(op: str, *values) -> list[Op]:
    ops = plain()
    find_op(ops, op).parameters = list(values)
    return ops


WEIGHT = plain()[0].parameters[0]
TENSORS = {
    "too few": (tensor("w", WEIGHT, data=[(9, bytes(40))]), "but holds 10 numbers"),
    "odd length": (tensor("w", WEIGHT, data=[(9, bytes(41))]), "41 bytes, of numbers of 4"),
    "nothing": (tensor("w", WEIGHT, data=[]), "but holds 0 numbers"),
    "2^60": (tensor("w", WEIGHT, dims=[1 << 60]), "1152921504606846976"),
    "size larger than 64 bits": (tensor("w", WEIGHT, dims=[1 << 40] * 9), "1099511627776"),
    "negative": (tensor("w", WEIGHT, dims=[-1, -3, 3, 3]), r"has shape \(-1, -3, 3, 3\)"),
    "zero": (tensor("w", WEIGHT, dims=[0, 1 << 62]), "has shape"),
    "33 dimensions": (tensor("w", WEIGHT, dims=[1] * 33), "more than 32 integers"),
    "int8": (tensor("w", WEIGHT.astype("i1"), kind=3), "'w' of type int8, expected floating"),
    "no type": (tensor("w", WEIGHT, kind=0), "type 0"),
    "segments": (tensor("w", WEIGHT, extra=[(3, message((1, 0)))]), "segments"),
    "wrong field": (tensor("w", WEIGHT, kind=DOUBLE, data=[(4, WEIGHT.tobytes())]), "holds 0"),
    "float16 too long": (
        tensor("w", WEIGHT, kind=FLOAT16, data=[(5, 1)] * 28), "more than 27 integers"),
    "unterminated float16": (
        tensor("w", WEIGHT, kind=FLOAT16, data=[(5, b"\xff" * 30)]), "does not end"),
    "float16 in 11 bytes": (
        tensor("w", WEIGHT, kind=FLOAT16, data=[(5, b"\xff" * 10 + b"\x01")]), "64 bits"),
}  # fmt: skip


@pytest.mark.parametrize("case", TENSORS)
def test_invalid_tensors(case, read):
    written, pattern = TENSORS[case]
    with pytest.raises(WeightsError, match=pattern) as error:
        read(parameters("Conv", "w"), tensors={"w": written})
    assert "'w'" in str(error.value)


def test_duplicate_tensors(read):
    duplicate = tensor("w", WEIGHT)
    with pytest.raises(WeightsError, match="tensor 'w': is defined twice"):
        read(parameters("Conv", "w"), tensors={"a": duplicate, "b": duplicate})
    for other in (node("Constant", [], ["w"], value=duplicate), node("Identity", ["w"], ["w"])):
        with pytest.raises(WeightsError, match=r"'w':? is defined twice"):
            read(parameters("Conv", "w"), tensors={"w": duplicate}, nodes=[other])


def test_shared_tensors_are_converted_once(read):
    ops = onnx_files.layers("vgg11", SMALL)
    half = np.full((8, 8, 3, 3), 0.5, np.float16)
    for number in (5, 6, 7):
        find_op(ops, "Conv", number).parameters[0] = "w"
    found = read(ops, tensors={"w": tensor("w", half)})
    assert found["conv6.weight"] is found["conv7.weight"] is found["conv8.weight"]


def test_damaged_protobuf_in_a_graph(read):
    for damage, error in [
        (wire.tag(1, wire.BYTES) + varint(1 << 62), "claims 4611686018427387904 bytes"),
        (wire.tag(1, wire.GROUP), "a group"),
        (b"\xff" * 11, "does not end"),
    ]:
        with pytest.raises(WeightsError, match=f"the graph: .*{error}"):
            read(message((1, 8), (7, damage)))
        with pytest.raises(WeightsError, match=f"a node: .*{error}"):
            read(message((1, 8), (7, message((1, damage)))))
        with pytest.raises(WeightsError, match=f"an attribute: .*{error}"):
            read(message((1, 8), (7, message((1, message((4, "Conv"), (5, damage)))))))
    with pytest.raises(WeightsError, match="no graph"):
        read(message((1, 8), (2, "test")))
    with pytest.raises(WeightsError, match=r"\(the graph\) occurs 2 times"):
        read(message((1, 8), (7, b""), (7, b"")))


def test_deep_nesting_is_not_followed(read):
    deep = b""
    for _ in range(3000):
        deep = message((1, "then_branch"), (6, message((1, message((4, "If"), (5, deep))))))
    nodes = [message((1, "image"), (2, "y"), (4, "If"), (5, deep))]
    with pytest.raises(WeightsError, match=r"If .* decides at run time"):
        read(plain(), nodes=nodes, outputs=["y"])


@pytest.mark.slow
def test_number_of_fields_is_limited(read):
    many = (protobuf.MAX_FIELDS // 4) * message((1, message((4, "Relu"))))
    with pytest.raises(WeightsError, match=f"more than {protobuf.MAX_FIELDS} fields"):
        read(message((1, 8), (7, many * 3)))


# --- external data ------------------------------------------------------------------------------


@pytest.fixture
def outside(tmp_path, read):
    """A function that reads a VGG with the first weights in another file."""
    (tmp_path / "beside").write_bytes(bytes(4) + WEIGHT.tobytes() + bytes(4))

    def of(values: np.ndarray = WEIGHT, **entries):
        written = onnx_files.external("w", values, **entries)
        return read(parameters("Conv", "w"), tensors={"w": written})["conv1.weight"]

    return of


def test_external_data(outside, tmp_path):
    for entries in ({"offset": "4", "length": str(WEIGHT.nbytes)}, {"offset": "4"}):
        found = outside(location="beside", checksum="not looked at", **entries)
        assert found.tobytes() == WEIGHT.tobytes()
        assert not found.flags.owndata
    os.symlink("beside", tmp_path / "link")
    assert outside(location="link", offset="4").tobytes() == WEIGHT.tobytes()


def test_links_to_a_model_and_its_external_data_in_one_folder(tmp_path):
    """As in Hugging Face's cache, where the files in `blobs` are named by digests."""
    values = SMALL["classifier.0.weight"]
    ops = plain()
    find_op(ops, "Gemm").parameters[0] = "w"
    written = onnx_files.external("w", values, location="model.onnx_data")
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshots" / "1"
    blobs.mkdir()
    snapshot.mkdir(parents=True)
    (blobs / "6d").write_bytes(onnx_files.model(ops, tensors={"w": written}))
    (blobs / "0a").write_bytes(values.tobytes())
    os.symlink("../../blobs/6d", snapshot / "model.onnx")
    os.symlink("../../blobs/0a", snapshot / "model.onnx_data")
    assert_same(named(snapshot / "model.onnx"), expected("vgg11", SMALL))
    (snapshot / "model.onnx_data").unlink()
    os.symlink("../../secret", snapshot / "model.onnx_data")
    (blobs / "0a").rename(tmp_path / "secret")
    with pytest.raises(WeightsError, match="a link out of the model's folder"):
        load(snapshot / "model.onnx")


EXTERNAL = {
    "parent folder": ({"location": "../beside"}, "expected the bare name"),
    "subfolder": ({"location": "folder/beside"}, "expected the bare name"),
    "absolute path": ({"location": "/etc/passwd"}, "expected the bare name"),
    "Windows": ({"location": "..\\beside"}, "expected the bare name"),
    "the folder": ({"location": ".."}, "expected the bare name"),
    "nothing": ({}, "expected the bare name"),
    "null byte": ({"location": "beside\0"}, "expected the bare name"),
    "long": ({"location": "x" * 3000}, "not beside the model"),
    "missing file": ({"location": "lost.data"}, "'lost.data', which is not beside the model"),
    "a folder": ({"location": "folder"}, "not beside the model"),
    "a pipe": ({"location": "pipe"}, "not beside the model"),
    "a link to a file": ({"location": "outward"}, "a link out of the model's folder"),
    "a link to a link": ({"location": "twice"}, "a link out of the model's folder"),
    "a link to itself": ({"location": "circle"}, "not beside the model"),
    "empty": ({"location": "empty"}, "'empty', which has 0 in all"),
    "offset": ({"location": "beside", "offset": "9"}, "needs 108 bytes from 9"),
    "huge offset": ({"location": "beside", "offset": str(1 << 62)}, "from 4611686018427387904"),
    "negative": ({"location": "beside", "offset": "-4"}, "the file says offset '-4'"),
    "hexadecimal offset": ({"location": "beside", "offset": "0x4"}, "the file says offset '0x4'"),
    "very long offset": ({"location": "beside", "offset": "9" * 4000}, "the file says offset"),
    "non-ASCII digits": ({"location": "beside", "offset": "٤"}, "the file says offset"),
    "length": ({"location": "beside", "length": "104"}, "length '104'"),
    "negative length": ({"location": "beside", "length": "-108"}, "length '-108'"),
}  # fmt: skip


@pytest.mark.parametrize("case", EXTERNAL)
def test_invalid_external_data(case, outside, tmp_path):
    entries, error = EXTERNAL[case]
    other_folder = tmp_path.parent / "away"
    other_folder.mkdir(exist_ok=True)
    (other_folder / "secret").write_bytes(bytes(WEIGHT.nbytes))
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "beside").write_bytes(bytes(WEIGHT.nbytes))
    (tmp_path / "empty").touch()
    os.mkfifo(tmp_path / "pipe")
    os.symlink(other_folder / "secret", tmp_path / "outward")
    os.symlink("outward", tmp_path / "twice")
    os.symlink("circle", tmp_path / "circle")
    with pytest.raises(WeightsError, match=error):
        outside(**entries)


def test_total_size_of_external_tensors_is_limited(read, tmp_path):
    """Otherwise many converted copies of one region would need more memory than the file."""
    (tmp_path / "beside").write_bytes(bytes(8 * 8 * 9 * 2))
    half = np.zeros((8, 8, 3, 3), np.float16)
    ops, tensors = plain(), {}
    for number in (5, 6):
        find_op(ops, "Conv", number).parameters[0] = f"w{number}"
        tensors[f"w{number}"] = onnx_files.external(f"w{number}", half, location="beside")
    with pytest.raises(WeightsError, match="'beside', which has 1152 in all"):
        read(ops, tensors=tensors)


def test_claimed_sizes_are_not_allocated(read):
    before = resident_bytes()
    for dims, data in [([1 << 20] * 2, [(5, bytes(99))]), ([1 << 40], [(9, bytes(99))])]:
        written = tensor("w", WEIGHT, kind=FLOAT16, dims=dims, data=data)
        with pytest.raises(WeightsError):
            read(parameters("Conv", "w"), tensors={"w": written})
    assert resident_bytes() - before < 8 << 20


@pytest.mark.parametrize(
    "start, known",
    [
        *(((DATA / f"{file}.onnx").read_bytes()[:64], True) for file in FILES),
        (b"\x08\x03\x12\x05mxnet:\x99\x99\x80\x01", True),
        (b"\x08\x03:\x99\x99\x80\x01", True),
        (b"\x08\x03", False),
        (b"\x08\x08 is a text", False),
        (b"\n\x14VGG_ILSVRC_16_layers\x12\x8a\x01\x12", False),
        (b"\x80\x02\x8a\n", False),
        (b"", False),
    ],
)
def test_recognise(start, known):
    assert onnx.recognise(start) is known
