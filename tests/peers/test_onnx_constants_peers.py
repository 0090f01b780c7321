"""Operations of ONNX graphs on constants, compared with the onnx package's reference evaluator, and
with ONNX Runtime where the evaluator has only some versions.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import peer

from gradcam._importers.onnx.constants import OPERATIONS, fold
from gradcam._weights.graph import Node

onnx = peer("onnx")
onnxruntime = peer("onnxruntime")
reference = peer("onnx.reference")

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from test_onnx_constants import CASES  # noqa: E402

pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("ignore")]

OPSETS = (7, 9, 10, 11, 13, 15, 18, 21)


def allowed(op: str, inputs: list, attributes: dict, opset: int) -> bool:
    """Whether this version has this form of the operation."""
    try:
        schema = onnx.defs.get_schema(op, opset)
    except onnx.defs.SchemaError:
        return False
    return set(attributes) <= set(schema.attributes) and len(inputs) <= schema.max_input


def model(op: str, inputs: list, attributes: dict, opset: int, outputs: int = 1):
    """Return a model of one node, and its inputs by name."""
    names = ["" if each is None else f"x{i}" for i, each in enumerate(inputs)]
    known = {
        key: onnx.numpy_helper.from_array(np.asarray(value))
        if isinstance(value, np.ndarray)
        else value
        for key, value in attributes.items()
    }
    node = onnx.helper.make_node(op, names, [f"y{i}" for i in range(outputs)], **known)
    every = {name: np.asarray(each) for name, each in zip(names, inputs, strict=True) if name}
    infos = [
        onnx.helper.make_tensor_value_info(
            name, onnx.helper.np_dtype_to_tensor_dtype(each.dtype), each.shape
        )
        for name, each in every.items()
    ]
    results = [onnx.ValueInfoProto(name=name) for name in node.output]
    graph = onnx.helper.make_graph([node], "g", infos, results)
    opsets = [onnx.helper.make_opsetid("", opset)]
    return onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8), every


def by_onnx(*of) -> list:
    """Return what the reference evaluator computes; errors if the model is invalid."""
    proto, every = model(*of)
    return reference.ReferenceEvaluator(proto).run(None, every)


def by_runtime(*of) -> list:
    """Return what ONNX Runtime computes."""
    proto, every = model(*of)
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    return session.run(None, every)


def check(op: str, inputs: list, attributes: dict, opset: int, outputs: int = 1) -> None:
    names = tuple(f"y{i}" for i in range(outputs))
    node = Node(op, "", ("x",) * len(inputs), names, attributes)
    found = fold(node, inputs, opset)
    right = by_onnx(op, inputs, attributes, opset, outputs)
    assert found is not None
    for ours, theirs in zip(found, right, strict=True):
        theirs = np.asarray(theirs)
        assert ours.shape == theirs.shape and ours.dtype == theirs.dtype
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-6)


def other_form(op: str, inputs: list, attributes: dict, opset: int) -> bool:
    """Whether the evaluator does not compute a case as the specification has it."""
    if op == "Cast":
        return attributes["to"] == 16  # its own type for bfloat16
    if op == "GatherElements":
        return True  # refuses fewer indices than values
    if op == "DequantizeLinear":
        return opset < 19  # not implemented
    return op == "Slice" and len(inputs) == 5 and inputs[2][0] == -98  # not moved into the axis


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("op, inputs, attributes, expected", CASES)
def test_cases(op, inputs, attributes, expected, opset):
    if other_form(op, inputs, attributes, opset) or not allowed(op, inputs, attributes, opset):
        pytest.skip("another form")
    check(op, inputs, attributes, opset)


LATER = ("DequantizeLinear", "GatherElements")


@pytest.mark.parametrize(
    "op, inputs, attributes", [case[:3] for case in CASES if case[0] in (*LATER, "Slice")]
)
def test_with_onnx_runtime(op, inputs, attributes):
    opset = 9 if "starts" in attributes else 13
    (right,) = by_runtime(op, inputs, attributes, opset)
    (ours,) = fold(Node(op, "", ("x",) * len(inputs), ("y0",), attributes), inputs, opset)
    np.testing.assert_array_equal(ours, right)
    assert ours.dtype == right.dtype


RANDOM = np.random.default_rng(7)
MAP = RANDOM.standard_normal((2, 4, 5, 3)).astype(np.float32)
WHOLE = RANDOM.integers(1, 9, (2, 4, 5, 3))
TRAINING = {"training_mode": 1}
REDUCED = ("L1", "L2", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare")
ONE = ("Abs", "Ceil", "Exp", "Floor", "Neg", "Reciprocal", "Relu", "Round", "Sigmoid", "Sign")
TWO = ("Add", "Div", "Mod", "Mul", "Pow", "Sub")


@pytest.mark.parametrize("keepdims", [0, 1])
@pytest.mark.parametrize("axes", [None, (1,), (-1, -2), (0, 1, 2, 3)])
@pytest.mark.parametrize("name", REDUCED)
def test_reductions(name, axes, keepdims):
    for opset in (11, 13, 18):
        as_input = opset >= (13 if name == "Sum" else 18)
        inputs, attributes = [MAP], {"keepdims": keepdims}
        if axes is not None and as_input:
            inputs = [MAP, np.array(axes, np.int64)]
        elif axes is not None:
            attributes["axes"] = axes
        check(f"Reduce{name}", inputs, attributes, opset)


@pytest.mark.parametrize("op", ONE)
def test_functions_of_each_number(op):
    check(op, [MAP], {}, 13)


@pytest.mark.parametrize("values", [MAP, WHOLE], ids=["floats", "integers"])
@pytest.mark.parametrize("op", TWO)
def test_arithmetic_with_broadcasting(op, values):
    fmod = {"fmod": 1} if op == "Mod" else {}
    second = np.abs(values[1, :, :1]) + np.asarray(1, values.dtype)
    check(op, [np.abs(values) if op == "Pow" else values, second], fmod, 13)


@pytest.mark.parametrize("opset", [9, 11, 13, 18])
def test_random_slices_and_gathers(opset):
    rng = np.random.default_rng(opset)
    for _ in range(30):
        axes = rng.permutation(4)[: rng.integers(1, 5)]
        starts, ends = rng.integers(-7, 8, (2, len(axes)))
        if opset >= 10:
            check("Slice", [MAP, starts, ends, axes, rng.integers(1, 4, len(axes))], {}, opset)
        else:
            given = {"starts": starts, "ends": ends, "axes": axes}
            check("Slice", [MAP], {k: tuple(v.tolist()) for k, v in given.items()}, opset)
        axis = int(rng.integers(0, 4))
        indices = rng.integers(0, MAP.shape[axis], (2, 3))
        check("Gather", [MAP, indices], {"axis": axis}, opset)
        check("Transpose", [MAP], {"perm": tuple(rng.permutation(4).tolist())}, opset)
        check("Flatten", [MAP], {"axis": int(rng.integers(0, 5))}, opset)


@pytest.mark.parametrize(
    "opset, inputs, attributes",
    [
        (11, [], {"axis": 1, "split": (1, 3)}),
        (11, [], {"axis": 1}),
        (13, [np.array([3, 1])], {"axis": 1}),
        (18, [], {"axis": 2, "num_outputs": 2}),
    ],
)
def test_splits(opset, inputs, attributes):
    check("Split", [MAP, *inputs], attributes, opset, outputs=2)


def test_normalisation_of_constants():
    scale, shift = RANDOM.random((2, 4)).astype(np.float32)
    check("InstanceNormalization", [MAP, scale, shift], {}, 13)
    inputs = [MAP, scale, shift, shift, scale]
    for opset, form, outputs in ((9, {"epsilon": 0.01}, 1), (15, {}, 1), (15, TRAINING, 3)):
        names = ("y", "m", "v")[:outputs]
        ours = fold(Node("BatchNormalization", "", ("x",) * 5, names, form), inputs, opset)
        right = by_runtime("BatchNormalization", inputs, form, opset, outputs)
        np.testing.assert_allclose(ours[0], right[0], rtol=1e-5, atol=1e-5)


def test_every_operation_is_compared():
    tested = {case[0] for case in CASES} | {"BatchNormalization", "InstanceNormalization", "Split"}
    assert set(OPERATIONS) == tested
