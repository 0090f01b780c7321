"""Operations of ONNX graphs on constants: values by hand, errors, and what they may cost."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gradcam import WeightsError
from gradcam._importers.onnx.call import Allowance
from gradcam._importers.onnx.constants import OPERATIONS, fold
from gradcam._weights.graph import Node

F = np.float32
ROWS = np.arange(6, dtype=F).reshape(2, 3)


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def floats(*values: float) -> np.ndarray:
    return np.array(values, F)


def run(op, *inputs, opset=17, outputs=1, allowance=None, **attributes):
    node = Node(op, "n", ("x",) * len(inputs), tuple(f"y{i}" for i in range(outputs)), attributes)
    return fold(node, inputs, opset, allowance)


def one(op, *inputs, **options):
    (found,) = run(op, *inputs, **options)
    return found


def same(found, expected):
    expected = np.asarray(expected)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


TRUE = np.array([True, False])
LARGE = np.broadcast_to(F(0), (1 << 20, 1 << 10))
CASES = [
    ("Abs", [ints(-2, 3)], {}, ints(2, 3)),
    ("Add", [ROWS, floats(1, 2, 3)], {}, ROWS + floats(1, 2, 3)),
    ("And", [TRUE, np.array([True, True])], {}, TRUE),
    ("Cast", [floats(1.9, -1.9)], {"to": 7}, ints(1, -1)),
    ("Cast", [ints(0, 2)], {"to": 9}, np.array([False, True])),
    ("Cast", [floats(1 + 2**-8, 1 + 3 * 2**-8)], {"to": 16}, floats(1, 1.015625)),
    ("Cast", [floats(0.1)], {"to": 10}, np.array([0.1], np.float16)),
    ("CastLike", [floats(2.5), ints(0)], {}, ints(2)),
    ("Ceil", [floats(1.2, -1.2)], {}, floats(2, -1)),
    ("Clip", [floats(-1, 0.5, 9)], {"min": 0.0, "max": 6.0}, floats(0, 0.5, 6)),
    ("Clip", [floats(-1, 0.5, 9), None, np.array(6, F)], {}, floats(-1, 0.5, 6)),
    ("Concat", [ints(1), ints(2, 3)], {"axis": 0}, ints(1, 2, 3)),
    ("Concat", [ROWS, ROWS], {"axis": -1}, np.concatenate([ROWS, ROWS], 1)),
    ("Constant", [], {"value_ints": (1, 2)}, ints(1, 2)),
    ("Constant", [], {"value_float": 0.5}, F(0.5)),
    ("Constant", [], {"value": ROWS}, ROWS),
    ("ConstantOfShape", [ints(2, 1)], {}, np.zeros((2, 1), F)),
    ("ConstantOfShape", [ints()], {"value": ints(7)}, np.int64(7)),
    (
        "DequantizeLinear",
        [np.array([[-3, 2], [5, 6]], np.int8), floats(0.5, 2), np.array([1, 2], np.int8)],
        {"axis": 0},
        floats(-2, 0.5, 6, 8).reshape(2, 2),
    ),
    ("DequantizeLinear", [np.array([9], np.int32), np.array(0.5, F)], {}, floats(4.5)),
    ("Div", [ints(7, -7, 7, -7), ints(2, 2, -2, -2)], {}, ints(3, -3, -3, 3)),
    ("Div", [floats(7), floats(2)], {}, floats(3.5)),
    ("Equal", [ints(1, 2), ints(1, 3)], {}, TRUE),
    ("Exp", [floats(0)], {}, floats(1)),
    ("Expand", [ints(1, 2).reshape(2, 1), ints(1, 2)], {}, ints(1, 1, 2, 2).reshape(2, 2)),
    ("Expand", [ints(1), ints(2, 1, 2)], {}, np.ones((2, 1, 2), np.int64)),
    ("Flatten", [np.zeros((2, 3, 4), F)], {"axis": 2}, np.zeros((6, 4), F)),
    ("Flatten", [np.zeros((2, 3), F)], {"axis": 2}, np.zeros((6, 1), F)),
    ("Floor", [floats(1.2, -1.2)], {}, floats(1, -2)),
    ("Gather", [ints(5, 6, 7), np.array(-1)], {}, np.int64(7)),
    ("Gather", [ROWS, ints(2, 0)], {"axis": 1}, ROWS[:, [2, 0]]),
    ("GatherElements", [ROWS, ints(1, -1).reshape(1, 2)], {"axis": 1}, floats(1, 2).reshape(1, 2)),
    ("Greater", [ints(2, 1), ints(1, 1)], {}, TRUE),
    ("GreaterOrEqual", [ints(1, 0), ints(1, 1)], {}, TRUE),
    ("Identity", [ROWS], {}, ROWS),
    ("Less", [ints(0, 1), ints(1, 1)], {}, TRUE),
    ("LessOrEqual", [ints(1, 2), ints(1, 1)], {}, TRUE),
    ("Log", [floats(1)], {}, floats(0)),
    ("MatMul", [ROWS, ROWS.T], {}, ROWS @ ROWS.T),
    ("MatMul", [ROWS[0], ROWS[1]], {}, F(14)),
    ("Max", [ints(1, 5), ints(3), ints(2, 2)], {}, ints(3, 5)),
    ("Mean", [floats(1), floats(4)], {}, floats(2.5)),
    ("Min", [ints(1, 5), ints(3)], {}, ints(1, 3)),
    ("Mod", [ints(7, -7), ints(3, 3)], {}, ints(1, 2)),
    ("Mod", [ints(7, -7), ints(3, 3)], {"fmod": 1}, ints(1, -1)),
    ("Mul", [floats(2), floats(3)], {}, floats(6)),
    ("Neg", [ints(2)], {}, ints(-2)),
    ("NonZero", [np.array([[1, 0], [2, 3]])], {}, np.array([[0, 1, 1], [0, 0, 1]])),
    ("NonZero", [np.array(3)], {}, np.zeros((0, 1), np.int64)),
    ("Not", [TRUE], {}, ~TRUE),
    ("Or", [TRUE, TRUE], {}, TRUE),
    ("Pow", [floats(3), ints(2)], {}, floats(9)),
    ("Pow", [ints(2), floats(0.5)], {}, ints(1)),
    ("Range", [np.array(5), np.array(0), np.array(-2)], {}, ints(5, 3, 1)),
    ("Range", [np.array(0, F), np.array(1, F), np.array(0.4, F)], {}, floats(0, 0.4, 0.8)),
    ("Range", [np.array(3), np.array(3), np.array(1)], {}, ints()),
    ("Reciprocal", [floats(4)], {}, floats(0.25)),
    ("ReduceL1", [ROWS - 2], {"axes": (1,)}, floats(3, 6).reshape(2, 1)),
    ("ReduceL2", [floats(3, 4)], {"keepdims": 0}, F(5)),
    ("ReduceMax", [ROWS, ints(-1)], {"keepdims": 0}, floats(2, 5)),
    ("ReduceMean", [ROWS], {"axes": (0,), "keepdims": 0}, floats(1.5, 2.5, 3.5)),
    ("ReduceMin", [ROWS], {}, floats(0).reshape(1, 1)),
    ("ReduceProd", [np.array([2, 3], np.int32)], {"keepdims": 0}, np.int32(6)),
    ("ReduceSum", [ROWS, ints()], {"noop_with_empty_axes": 1}, ROWS),
    ("ReduceSum", [ROWS, ints(0, 1)], {"keepdims": 0}, F(15)),
    ("ReduceSumSquare", [floats(3, 4)], {"keepdims": 0}, F(25)),
    ("Relu", [floats(-1, 2)], {}, floats(0, 2)),
    ("Reshape", [ROWS, ints(0, -1, 1)], {}, ROWS[..., None]),
    ("Reshape", [np.zeros((0, 2), F), ints(2, 0)], {"allowzero": 1}, np.zeros((2, 0), F)),
    ("Reshape", [ROWS.T, ints(-1)], {}, ROWS.T.ravel()),
    ("Round", [floats(0.5, 1.5, -0.6)], {}, floats(0, 2, -1)),
    ("Shape", [ROWS], {}, ints(2, 3)),
    ("Shape", [ROWS], {"start": -1}, ints(3)),
    ("Sigmoid", [floats(0)], {}, floats(0.5)),
    ("Sign", [floats(-2, 0)], {}, floats(-1, 0)),
    ("Size", [ROWS], {}, np.int64(6)),
    ("Slice", [ROWS], {"starts": (1,), "ends": (99,), "axes": (1,)}, ROWS[:, 1:]),
    ("Slice", [ints(1, 2, 3, 4), ints(-1), ints(-99), ints(0), ints(-2)], {}, ints(4, 2)),
    ("Slice", [ints(1, 2, 3), ints(-99), ints(-98), ints(0), ints(-1)], {}, ints(1)),
    ("Slice", [ints(1, 2, 3), ints(2), ints(1)], {}, ints()),
    ("Sqrt", [floats(9)], {}, floats(3)),
    ("Squeeze", [ROWS.reshape(2, 1, 3, 1)], {}, ROWS),
    ("Squeeze", [ROWS.reshape(2, 1, 3, 1), ints(-1)], {}, ROWS.reshape(2, 1, 3)),
    ("Sub", [ints(5), ints(7)], {}, ints(-2)),
    ("Sum", [floats(1), floats(2, 3), floats(4)], {}, floats(7, 8)),
    ("Tanh", [floats(0)], {}, floats(0)),
    ("Tile", [ROWS, ints(2, 1)], {}, np.tile(ROWS, (2, 1))),
    ("Transpose", [ROWS.reshape(1, 2, 3)], {}, ROWS.reshape(1, 2, 3).T),
    ("Transpose", [ROWS.reshape(1, 2, 3)], {"perm": (2, 0, 1)}, ROWS.T.reshape(3, 1, 2)),
    ("Unsqueeze", [ROWS], {"axes": (0, -1)}, ROWS.reshape(1, 2, 3, 1)),
    ("Where", [TRUE, ints(1, 2), ints(3)], {}, ints(1, 3)),
    ("Xor", [TRUE, np.array([True, True])], {}, ~TRUE),
]  # fmt: skip


@pytest.mark.parametrize("op, inputs, attributes, expected", CASES)
def test_values(op, inputs, attributes, expected):
    same(one(op, *inputs, **attributes), expected)


@pytest.mark.parametrize(
    "options, sizes",
    [
        ({"split": (1, 3)}, [1, 3]),
        ({"inputs": [ints(3, 1)]}, [3, 1]),
        ({}, [2, 2]),
        ({"opset": 18, "num_outputs": 3, "outputs": 3}, [2, 2, 0]),
    ],
)
def test_split(options, sizes):
    inputs = options.pop("inputs", [])
    found = run("Split", np.arange(4), *inputs, axis=-1, **{"outputs": 2, **options})
    assert [len(each) for each in found] == sizes
    same(np.concatenate(found), np.arange(4))


@pytest.mark.parametrize("opset, form", [(15, {"training_mode": 1}), (9, {"outputs": 5})])
def test_weights_are_standardised_by_their_own_statistics(opset, form):
    """As a batch normalisation in training mode over a weight (1, outputs, the others)."""
    weight = np.random.default_rng(1).standard_normal((1, 4, 9)).astype(F)
    scale, shift = floats(1, 2, 3, 4), floats(0, 0, 1, 0)
    found = run("BatchNormalization", weight, scale, shift, shift, scale, opset=opset, **form)
    mean = weight.mean(2, keepdims=True)
    right = (weight - mean) / np.sqrt(weight.var(2, keepdims=True) + 1e-5)
    right = right * scale[:, None] + shift[:, None]
    np.testing.assert_allclose(found[0], right, rtol=1e-5, atol=1e-6)
    found = one("InstanceNormalization", weight, scale, shift)
    np.testing.assert_allclose(found, right, rtol=1e-5, atol=1e-6)
    found = one("BatchNormalization", weight, scale, shift, shift, scale)
    right = (weight - shift[:, None]) / np.sqrt(scale[:, None] + 1e-5)
    np.testing.assert_allclose(found, right * scale[:, None] + shift[:, None], rtol=1e-5, atol=1e-5)


def test_every_operation_has_a_case():
    tested = {case[0] for case in CASES}
    assert set(OPERATIONS) - tested == {"BatchNormalization", "InstanceNormalization", "Split"}


def test_operations_that_are_not_known():
    assert run("LSTM", ROWS) is None
    assert run("Cast", ROWS, to=8) is None  # to texts
    assert run("Constant", value_string="a") is None


@pytest.mark.parametrize(
    "op, inputs, attributes, message",
    [
        ("RandomNormal", [], {}, "makes random numbers"),
        ("Concat", [ints(1), ROWS], {}, "joins constants of shapes"),
        ("Concat", [ROWS], {"axis": 2}, "has axis 2 for 2 dimensions"),
        ("Concat", [], {}, "has no input 0"),
        ("ConstantOfShape", [ints(-1)], {}, "computes a constant of shape"),
        ("ConstantOfShape", [ROWS], {}, "expected a list of integers"),
        ("ConstantOfShape", [ints(1)], {"value": ints(1, 2)}, "not one number"),
        ("Div", [ints(1), ints(0)], {}, "divides an integer by zero"),
        ("Mod", [ints(1), ints(0)], {}, "divides an integer by zero"),
        ("Add", [ROWS, ints(1, 2)], {}, r"combines the shapes \(2, 3\) and \(2,\)"),
        ("Gather", [ints(1, 2), ints(2)], {}, "positions from 2 to 2 of 2"),
        ("Gather", [ints(1, 2), floats(0)], {}, "float32 as positions"),
        ("GatherElements", [ROWS, ints(0)], {}, "positions of shape"),
        ("MatMul", [ROWS, ROWS], {}, "multiplies matrices of shapes"),
        ("Range", [np.array(0), np.array(1), np.array(0)], {}, "in steps of 0"),
        ("Range", [np.array(0.0), np.array(np.nan), np.array(1.0)], {}, "counts from"),
        ("ReduceMax", [np.zeros((0, 2), F)], {}, "cannot be computed from float32"),
        ("Reshape", [ROWS, ints(4, -1)], {}, r"reshapes \(2, 3\) to \(4, -1\)"),
        ("Reshape", [ROWS, ints(-1, -1)], {}, "reshapes"),
        ("Reshape", [ROWS, ints(1, 1, 0)], {}, "copies size 2"),
        ("Slice", [ROWS, ints(0), ints(1), ints(0), ints(0)], {}, "step of 0"),
        ("Slice", [ROWS, ints(0, 0), ints(1, 1), ints(0, -2)], {}, "two are equal"),
        ("Slice", [ROWS, ints(0), ints(1, 1)], {}, "different lengths"),
        ("Split", [ints(1, 2, 3)], {"split": (1, 1)}, "splits 3"),
        ("Squeeze", [ROWS, ints(0)], {}, "removes the axes"),
        ("Tile", [ROWS, ints(2)], {}, "repeats that do not fit"),
        ("Transpose", [ROWS], {"perm": (0, 0)}, "has the order"),
        ("Transpose", [ROWS], {"perm": 1.5}, "not a list of integers"),
        ("Unsqueeze", [ROWS], {}, "has no axes"),
        ("Where", [TRUE, ints(1, 2, 3), ints(1)], {}, "combines the shapes"),
        ("DequantizeLinear", [ints(1, 2), floats(1, 2, 3)], {"axis": 0}, "3 scales for 2"),
        ("BatchNormalization", [ROWS[None], *[floats(1)] * 4], {}, "has means of shape"),
    ],
)
def test_errors(op, inputs, attributes, message):
    with pytest.raises(WeightsError, match=message):
        run(op, *inputs, **attributes)


@pytest.mark.parametrize(
    "op, inputs, attributes",
    [
        ("ConstantOfShape", [ints(1 << 40, 1 << 40)], {}),
        ("Expand", [ROWS[:, :1], ints(2, 1 << 40)], {}),
        ("Tile", [ROWS, ints(1 << 30, 1 << 30)], {}),
        ("Range", [np.array(0), np.array(1 << 40), np.array(1)], {}),
        ("Gather", [LARGE, np.broadcast_to(0, 1 << 30)], {}),
        ("Add", [np.zeros((1 << 16, 1), F), np.zeros(1 << 16, F)], {}),
        ("MatMul", [np.zeros((1 << 14, 1), F), np.zeros((1, 1 << 15), F)], {}),
        ("Reshape", [LARGE, ints(-1)], {}),
        ("ReduceMax", [LARGE], {}),
    ],
)
def test_large_results_are_refused_before_they_are_made(op, inputs, attributes):
    with pytest.raises(WeightsError, match="may take 2048 MB in all"):
        run(op, *inputs, **attributes)


def test_all_constants_of_a_graph_share_one_allowance():
    allowance = Allowance(10_000)
    for _ in range(10_000 // (ROWS.nbytes + 64)):
        one("Add", ROWS, ROWS, allowance=allowance)
    with pytest.raises(WeightsError, match="in all"):
        one("Add", ROWS, ROWS, allowance=allowance)


def test_constants_of_a_shape_take_no_memory():
    found = one("ConstantOfShape", ints(1 << 14, 1 << 14), value=floats(0.5))
    assert found.strides == (0, 0) and math.isclose(found[5, 7], 0.5)
