"""Programs of torch.export: files read without PyTorch, and each operation against NumPy."""

from __future__ import annotations

import json
import zipfile

import numpy as np
import pt2_files
import pytest
from pt2_files import call, model, tensor

import gradcam
from gradcam import WeightsError
from gradcam._weights.program import Ref

RNG = np.random.default_rng(0)
X = Ref("x")


def normal(*shape):
    return RNG.normal(size=shape).astype(np.float32)


def load(tmp_path, calls, shape, tensors, outputs, **options):
    path = tmp_path / "m.pt2"
    path.write_bytes(model(calls, shape, tensors, outputs))
    return gradcam.load(path, **options)


def ends(value="value"):
    """The calls after a map: the mean over positions."""
    return [call("mean", "scores", self=Ref(value), dim=[2, 3])]


def scores_of(tmp_path, calls, x, tensors=None):
    """Scores of the mean over positions of what the calls make of x."""
    shape = (2, *x.shape[1:])
    network = load(tmp_path, [*calls, *ends()], shape, tensors or {}, "scores", head="softmax")
    return network.forward(x).scores


def block():
    """A residual block whose rectifier is used twice, in place; then a linear layer."""
    tensors = {
        "body.conv.weight": normal(4, 3, 1, 1),
        "body.bn.weight": normal(4),
        "body.bn.bias": normal(4),
        "body.bn.running_mean": normal(4),
        "body.bn.running_var": np.abs(normal(4)) + 0.5,
        "fc.weight": normal(5, 4),
        "fc.bias": normal(5),
    }
    norm = {name: tensor(f"body.bn.{name}") for name in ("weight", "bias")}
    norm |= {name: tensor(f"body.bn.{name}") for name in ("running_mean", "running_var")}
    return tensors, [
        call("conv2d", "c", "body.conv", input=X, weight=tensor("body.conv.weight")),
        call("batch_norm", "b", "body.bn", input=Ref("c"), **norm, training=False, eps=1e-3),
        call("relu_", "r", "body.relu", self=Ref("b")),
        call("add_", "a", "body", self=Ref("r"), other=Ref("r")),
        call("relu_", "s", "body.relu@1", self=Ref("a")),
        call("adaptive_avg_pool2d", "p", "pool", self=Ref("s"), output_size=[1, 1]),
        call("flatten", "f", self=Ref("p"), start_dim=1),
        call(
            "linear", "y", "fc", input=Ref("f"), weight=tensor("fc.weight"), bias=tensor("fc.bias")
        ),
    ]


def test_a_residual_block(tmp_path):
    tensors, calls = block()
    network = load(tmp_path, calls, (2, 3, 6, 7), tensors, "y")
    x = normal(3, 3, 6, 7)
    w = {name: np.float64(array) for name, array in tensors.items()}
    y = np.einsum("oi,nihw->nohw", w["body.conv.weight"][:, :, 0, 0], x)
    scale = w["body.bn.weight"] / np.sqrt(w["body.bn.running_var"] + 1e-3)
    shift = w["body.bn.bias"] - w["body.bn.running_mean"] * scale
    y = 2 * np.maximum(y * scale[:, None, None] + shift[:, None, None], 0)
    expected = y.mean((2, 3)) @ w["fc.weight"].T + w["fc.bias"]
    np.testing.assert_allclose(network.forward(x).scores, expected, rtol=1e-5, atol=1e-5)
    assert network.target_layer == "body.relu"
    assert network.names("body.relu") == ("body.relu", "body")
    assert {"body.bn", "body.relu1", "body.add", "pool", "fc"} <= set(network.layers)
    assert not network.fixed and network.size == (6, 7)
    assert network.about.startswith("The program was exported for pictures of 6 x 7;")
    assert network.forward(normal(1, 3, 9, 5)).scores.shape == (1, 5)


def test_large_weights_are_views_of_the_file(tmp_path):
    tensors, calls = block()
    (tmp_path / "m.pt2").write_bytes(model(calls, (2, 3, 6, 7), tensors, "y"))
    found = gradcam.weights.load(tmp_path / "m.pt2")
    assert not found.tensors["fc.weight"].flags.writeable
    assert found.format == "PyTorch (torch.export)"
    for name, array in tensors.items():
        np.testing.assert_array_equal(found.tensors[name], array)
    (tmp_path / "m.pt2").write_bytes(model(calls, (2, 3, 6, 7), tensors, "y", zipfile.ZIP_DEFLATED))
    np.testing.assert_array_equal(
        gradcam.weights.load(tmp_path / "m.pt2").tensors["fc.weight"], tensors["fc.weight"]
    )


def relu(x):
    return np.maximum(x, 0)


def selu(x):
    return 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(x))


def padded(rows, columns, channels=(0, 0)):
    return lambda x: np.pad(x, [(0, 0), channels, rows, columns])


def unshuffled(x):
    """Blocks of 2 x 2 pixels as channels, of four channels."""
    return x.reshape(-1, 4, 3, 2, 3, 2).transpose(0, 1, 3, 5, 2, 4).reshape(-1, 16, 3, 3)


ONE = [
    ("relu", {}, relu),
    ("leaky_relu", {"negative_slope": 0.2}, lambda x: np.where(x > 0, x, 0.2 * x)),
    ("elu", {"alpha": 0.5}, lambda x: np.where(x > 0, x, 0.5 * np.expm1(x))),
    ("selu", {}, selu),
    ("celu", {}, lambda x: np.where(x > 0, x, np.expm1(x))),
    ("silu", {}, lambda x: x / (1 + np.exp(-x))),
    ("sigmoid", {}, lambda x: 1 / (1 + np.exp(-x))),
    ("tanh", {}, np.tanh),
    ("hardsigmoid", {}, lambda x: np.clip(x / 6 + 0.5, 0, 1)),
    ("hardswish", {}, lambda x: x * np.clip(x / 6 + 0.5, 0, 1)),
    ("hardtanh", {"min_val": -0.5, "max_val": 0.7}, lambda x: np.clip(x, -0.5, 0.7)),
    ("clamp", {"min": 0.1}, lambda x: np.maximum(x, 0.1)),
    ("clamp_max", {"max": 0.3}, lambda x: np.minimum(x, 0.3)),
    ("add", {"other": 2.0, "alpha": 3}, lambda x: x + 6),
    ("sub", {"other": X, "alpha": 0.5}, lambda x: x / 2),
    ("rsub", {"other": 1.0}, lambda x: 1 - x),
    ("mul", {"other": X}, lambda x: x * x),
    ("div", {"other": 4.0}, lambda x: x / 4),
    ("neg", {}, lambda x: -x),
    ("softmax", {"dim": 1}, lambda x: np.exp(x) / np.exp(x).sum(1, keepdims=True)),
    ("slice", {"dim": 1, "start": 1, "end": 4, "step": 2}, lambda x: x[:, 1:4:2]),
    ("slice", {"dim": 2, "start": 1, "end": 9}, lambda x: x[:, :, 1:]),
    ("slice", {"dim": 3, "start": 0, "step": 2}, lambda x: x[:, :, :, ::2]),
    ("narrow", {"dim": 1, "start": 1, "length": 2}, lambda x: x[:, 1:3]),
    ("constant_pad_nd", {"pad": [1, 0, 2, 1]}, padded((2, 1), (1, 0))),
    ("constant_pad_nd", {"pad": [0, 0, 0, 0, 1, 2]}, padded((0, 0), (0, 0), (1, 2))),
    ("channel_shuffle", {"groups": 2}, lambda x: x[:, [0, 2, 1, 3]]),
    ("pixel_unshuffle", {"downscale_factor": 2}, unshuffled),
]  # fmt: skip
"""Operations with one map, their arguments, and what they compute."""


@pytest.mark.parametrize(("op", "arguments", "expected"), ONE)
def test_operations_of_one_map(op, arguments, expected, tmp_path):
    x = normal(2, 4, 6, 6)
    calls = [call(op, "value", self=X, **arguments)]
    found = scores_of(tmp_path, calls, x)
    np.testing.assert_allclose(found, expected(np.float64(x)).mean((2, 3)), rtol=1e-4, atol=1e-5)


def test_parts_of_channels_are_joined_in_another_order(tmp_path):
    x = normal(2, 5, 4, 4)
    calls = [
        call("chunk", ["a", "b"], self=X, chunks=2, dim=1),
        call("sigmoid_", "s", self=Ref("b")),
        call("cat", "value", tensors=[Ref("s"), Ref("s")], dim=1),
    ]
    expected = 1 / (1 + np.exp(-np.float64(x[:, 3:])))
    found = scores_of(tmp_path, calls, x)
    np.testing.assert_allclose(found, np.tile(expected.mean((2, 3)), 2), atol=1e-5)


def test_a_view_is_not_read_after_a_change_in_place(tmp_path):
    calls = [
        call("chunk", ["a", "b"], self=X, chunks=2, dim=1),
        call("sigmoid_", "s", "gate", self=Ref("b")),
        call("cat", "value", "join", tensors=[Ref("a"), Ref("s")], dim=1),
    ]
    with pytest.raises(WeightsError, match=r"module 'join': cat reads a tensor after an operation"):
        scores_of(tmp_path, calls, normal(1, 4, 4, 4))


def test_a_change_in_place_is_seen_by_what_reads_the_tensor_later(tmp_path):
    x = normal(1, 4, 4, 4)
    calls = [
        call("tanh", "t", self=X),
        call("relu_", "r", self=Ref("t")),
        call("mul", "value", self=Ref("t"), other=2.0),
    ]
    expected = 2 * relu(np.tanh(np.float64(x)))
    np.testing.assert_allclose(scores_of(tmp_path, calls, x), expected.mean((2, 3)), atol=1e-6)


def test_local_response_normalisation_as_torch_writes_it(tmp_path):
    x = normal(2, 6, 3, 4)
    calls = [
        call("mul", "squares", self=X, other=X),
        call("view", "wide", self=Ref("squares"), size=[2, 1, 6, 3, -1]),
        call("constant_pad_nd", "padded", self=Ref("wide"), pad=[0, 0, 0, 0, 2, 1]),
        call("avg_pool3d", "mean", self=Ref("padded"), kernel_size=[4, 1, 1], stride=[1]),
        call("squeeze", "narrow", self=Ref("mean"), dim=1),
        call("view", "back", self=Ref("narrow"), size=[2, 6, 3, 4]),
        call("mul", "scaled", self=Ref("back"), other=0.3),
        call("add", "shifted", self=Ref("scaled"), other=2.0),
        call("pow", "power", self=Ref("shifted"), exponent=0.6),
        call("div", "value", "norm", self=X, other=Ref("power")),
    ]
    padded = np.pad(np.float64(x) ** 2, [(0, 0), (2, 1), (0, 0), (0, 0)])
    means = sum(padded[:, i : i + 6] for i in range(4)) / 4
    expected = x / (2 + 0.3 * means) ** 0.6
    np.testing.assert_allclose(scores_of(tmp_path, calls, x), expected.mean((2, 3)), rtol=1e-5)
    shifted_twice = [*calls[:8], call("add", "shifted", self=Ref("shifted"), other=2.0)]
    with pytest.raises(WeightsError, match="add changes squares in another way"):
        scores_of(tmp_path, [*shifted_twice, *calls[8:]], x)


def test_a_linear_layer_of_decomposed_programs(tmp_path):
    """addmm with a weight that was transposed, and a norm with several results."""
    x, tensors = normal(2, 3, 4, 4), {"w": normal(5, 3), "b": normal(5), "v": np.abs(normal(3))}
    norm = {"running_mean": tensor("v"), "running_var": tensor("v"), "momentum": 0.1, "eps": 1e-5}
    calls = [
        call("_native_batch_norm_legit_no_training", "n", input=X, **norm),
        {**call("", "value"), "target": "_operator.getitem", "inputs": [
            {"name": "a", "arg": {"as_tensor": {"name": "n"}}, "kind": 1},
            {"name": "b", "arg": {"as_int": 0}, "kind": 1},
        ]},
        call("mean", "m", self=Ref("value"), dim=[-1, -2], keepdim=True),
        call("view", "f", self=Ref("m"), size=[2, 3]),
        call("permute", "t", self=tensor("w"), dims=[1, 0]),
        call("addmm", "y", self=tensor("b"), mat1=Ref("f"), mat2=Ref("t")),
    ]  # fmt: skip
    found = load(tmp_path, calls, (2, 3, 4, 4), tensors, "y").forward(x).scores
    v = np.float64(tensors["v"])
    mean = ((x.mean((2, 3), dtype=float)) - v) / np.sqrt(v + 1e-5)
    np.testing.assert_allclose(found, mean @ tensors["w"].T + tensors["b"], rtol=1e-4, atol=1e-5)


WEIGHT = {"w": normal(4, 4, 3, 3), "m": normal(6, 6)}

REFUSED = [
    (call("mish", "value", "act", self=X), "module 'act': mish is an operation that the core"),
    (call("group_norm", "value", input=X), "group_norm normalises groups of channels"),
    (call("grid", "value", self=X), r"grid is an operation that is not .*Network\.from_layers"),
    (call("conv_transpose2d", "value", input=X, weight=tensor("w")), "a transposed convolution"),
    (call("conv2d", "value", "c", input=X, weight=X), "module 'c': conv2d has a weight that dep"),
    (call("matmul", "value", "att", self=X, other=X), "module 'att': matmul is a product of two"),
    (call("linear", "value", input=X, weight=tensor("w")), r"has weights of shape \(4, 4, 3, 3\)"),
    (call("dropout", "value", input=X, p=0.5, train=True), "is in training mode"),
    (
        call(
            "batch_norm",
            "value",
            input=X,
            training=True,
            running_mean=tensor("m"),
            running_var=tensor("m"),
        ),
        "normalisation in training mode",
    ),
    (call("batch_norm", "value", input=X, training=True), r"\(track_running_stats=False\)"),
    (call("pixel_unshuffle", "value", self=X, downscale_factor=0), "into blocks of 0"),
    (call("pixel_unshuffle", "value", self=X, downscale_factor=4), "into blocks of 4"),
    (call("slice", "value", self=X, dim=2, step=0), r"slice cannot be followed \(slice step"),
    (call("clamp", "value", self=X, min=float("nan")), "clamp has min nan, expected a number"),
    (call("to", "value", self=tensor("w"), dtype="complex64"), "type that is not supported"),
    (call("view_as_real", "value", self=X), "is about complex numbers"),
    (call("select", "value", self=X, dim=1, index=9), "takes index 9 of 4"),
    (call("to", "value", self=X, dtype="int64"), "makes integers of the picture's values"),
    (call("relu", "value", self=X, bound=3), "relu has bound 3, which is not supported"),
    (call("relu", "value", self=Ref("lost")), "it reads 'lost', which no earlier operation makes"),
    (call("view", "value", self=X, size=[2, 7]), r"cannot reshape .* another size of the input"),
    (call("select", "value", self=X, dim=0, index=0), "takes one picture of the batch"),
    (call("max_pool2d", "value", self=X, kernel_size=[2], dilation=[2, 2]), "has a dilation"),
    (call("constant_pad_nd", "value", self=X, pad=[1, 1], value=1.0), "pads with the value 1.0"),
    (call("upsample_nearest2d", "value", self=X, output_size=[8, 8]), "resizes a map"),
    (call("pow", "value", self=X, exponent=2), "pow is an operation that the core does not have"),
    (call("add", "value", self=X, other=tensor("m")), "differs along other axes"),
]


@pytest.mark.parametrize(("refused", "words"), REFUSED)
def test_what_is_not_supported_is_named(refused, words, tmp_path):
    with pytest.raises(WeightsError, match=words):
        load(tmp_path, [refused, *ends()], (2, 4, 6, 6), WEIGHT, "scores")


def test_every_second_row_up_to_one(tmp_path):
    x = normal(2, 3, 8, 7)
    part = call("slice", "value", self=X, dim=2, start=1, end=-3, step=2)
    expected = x[:, :, 1:-3:2].mean((2, 3))
    np.testing.assert_allclose(scores_of(tmp_path, [part], x), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("op", ["to", "contiguous", "float"])
def test_what_may_be_a_copy_is_not_read_after_a_change_in_place(op, tmp_path):
    calls = [
        call(op, "c", self=X),
        call("relu_", "r", self=Ref("c")),
        call("add", "value", self=X, other=Ref("r")),
    ]
    with pytest.raises(WeightsError, match="add reads a tensor after an operation in place"):
        scores_of(tmp_path, calls, normal(1, 3, 4, 4))


def test_a_copy_is_not_changed_with_its_source(tmp_path):
    calls = [
        call("to", "c", self=X, copy=True),
        call("relu_", "r", self=Ref("c")),
        call("add", "value", self=X, other=Ref("r")),
    ]
    x = normal(1, 3, 4, 4)
    expected = (x + relu(x)).mean((2, 3))
    np.testing.assert_allclose(scores_of(tmp_path, calls, x), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", [4, "int64", "bool", 0, "bfloat16"])
def test_constants_are_converted(dtype, tmp_path):
    w = np.float32([0.3, 1.7, 2.00390625]).reshape(3, 1, 1)
    calls = [
        call("to", "t", self=tensor("w"), dtype=dtype),
        call("mul", "value", self=X, other=Ref("t")),
    ]
    types = {4: np.int64, "int64": np.int64, "bool": np.bool_, 0: np.uint8}
    rounded = np.float32([0.30078125, 1.703125, 2.0]).reshape(3, 1, 1)
    expected = w.astype(types[dtype]) if dtype in types else rounded
    x = normal(1, 3, 4, 4)
    found = scores_of(tmp_path, calls, x, {"w": w})
    np.testing.assert_allclose(found, (x * expected).mean((2, 3)), rtol=1e-6, atol=1e-7)


def test_integers_are_numbers_beside_values(tmp_path):
    x, w = normal(1, 3, 4, 4), np.uint8([200, 1, 2]).reshape(3, 1, 1)
    calls = [call("sub", "value", self=X, other=tensor("w"))]
    found = scores_of(tmp_path, calls, x, {"w": w})
    np.testing.assert_allclose(found, (x - np.float32(w)).mean((2, 3)), rtol=1e-5)


def python(op, output, **arguments):
    """A call of Python's own operation."""
    return {**call(op, output, **arguments), "target": f"_operator.{op}"}


def test_what_is_computed_from_the_size_fits_that_size_alone(tmp_path):
    calls = [
        {**call("sym_size", "h", self=X, dim=2), "target": "torch.ops.aten.sym_size.int"},
        python("floordiv", "k", a=Ref("h"), b=2),
        call("max_pool2d", "value", self=X, kernel_size=Ref("k")),
    ]
    shape = (None, 3, None, None)
    network = load(tmp_path, [*calls, *ends()], shape, {}, "scores", size=(8, 8), head="softmax")
    assert network.fixed
    calls[-1] = call("relu", "value", self=X)
    network = load(tmp_path, [*calls, *ends()], shape, {}, "scores", size=(8, 8), head="softmax")
    assert not network.fixed and "taken for granted" in network.about


def test_lists_of_lists_are_bounded(tmp_path):
    calls = [python("list", "l0", a=[X, X])]
    calls += [python("list", f"l{i}", a=[Ref(f"l{i - 1}")] * 2) for i in range(1, 40)]
    with pytest.raises(WeightsError, match="list has lists of more than 20000 items"):
        load(tmp_path, [*calls, *ends("x")], (2, 3, 4, 4), {}, "scores")
    calls = [python("list", "l", a=[1]), python("append", "m", a=Ref("l"), b=Ref("l"))]
    calls += [python("list", "n", a=Ref("l"))]
    with pytest.raises(WeightsError, match="more than 16 deep"):
        load(tmp_path, [*calls, *ends("x")], (2, 3, 4, 4), {}, "scores")
    calls = [python("mul", "l", a=[1], b=50_000_000)]
    with pytest.raises(WeightsError, match="the list is too long"):
        load(tmp_path, [*calls, *ends("x")], (2, 3, 4, 4), {}, "scores")


def test_infinity_is_a_text(tmp_path):
    calls = [call("clamp", "value", self=X, min=0.5, max=9.0)]
    for entry in calls[0]["inputs"]:
        if entry["name"] == "max":
            entry["arg"] = {"as_float": "Infinity"}
    x = 100 * normal(1, 3, 4, 4)
    expected = np.maximum(x, 0.5).mean((2, 3))
    np.testing.assert_allclose(scores_of(tmp_path, calls, x), expected, rtol=1e-5)


def test_a_module_called_input_and_a_normalisation_of_a_flattened_map(tmp_path):
    tensors = {"m": normal(12), "v": np.abs(normal(12)) + 0.5, "w": normal(2, 12)}
    norm = {"running_mean": tensor("m"), "running_var": tensor("v"), "eps": 1e-5}
    calls = [
        call("relu", "r", "input", self=X),
        call("flatten", "f", self=Ref("r"), start_dim=1),
        call("batch_norm", "n", "bn", input=Ref("f"), training=False, **norm),
        call("linear", "y", "fc", input=Ref("n"), weight=tensor("w")),
    ]
    network = load(tmp_path, calls, (2, 3, 2, 2), tensors, "y")
    x = normal(1, 3, 2, 2)
    normed = (relu(x).reshape(1, 12) - tensors["m"]) / np.sqrt(tensors["v"] + 1e-5)
    np.testing.assert_allclose(network.forward(x).scores, normed @ tensors["w"].T, rtol=1e-4)
    assert "input.relu" in network.layers


def test_one_of_several_outputs_is_chosen_by_its_name(tmp_path):
    calls = [call("relu", "r", self=X), *ends("r"), call("neg", "n", self=Ref("scores"))]
    x = normal(2, 4, 3, 3)

    def loaded(outputs, **options):
        return load(tmp_path, calls, (2, 4, 3, 3), {}, outputs, **options).forward(x).scores

    expected = relu(x).mean((2, 3))
    outputs = {"main": "scores", "aux": "n"}
    np.testing.assert_allclose(loaded(outputs, output="aux"), -expected, atol=1e-6)
    np.testing.assert_allclose(loaded({"logits": "scores", "x": "r"}), expected, atol=1e-6)
    with pytest.raises(WeightsError, match=r"2 outputs: choose .* output=, one of 'main', 'aux'"):
        loaded(outputs)
    with pytest.raises(WeightsError, match=r"no output 'other'; its outputs are 'main', 'aux'"):
        loaded(outputs, output="other")
    with pytest.raises(WeightsError, match="not a classifier"):
        loaded({"": "r"})


def test_sizes_that_are_left_open(tmp_path):
    calls = [call("relu", "value", self=X), *ends()]
    assert load(tmp_path, calls, (None, 3, None, None), {}, "scores").size == (224, 224)
    found = load(tmp_path, calls, (None, 3, None, None), {}, "scores", size=(32, 40))
    assert found.size == (32, 40) and "all sizes is taken" in found.about
    pad = call("constant_pad_nd", "value", self=X, pad=[1, 1, 1, 1])
    assert load(tmp_path, [pad, *ends()], (1, 3, 8, 9), {}, "scores").fixed
    assert load(tmp_path, calls, (1, 3, 8, 9), {}, "scores").size == (8, 9)
    assert load(tmp_path, calls, (1, 3, 8, 9), {}, "scores", size=(32, 40)).size == (32, 40)
    with pytest.raises(WeightsError, match=r"its input has the shape \(2, 3\)"):
        load(tmp_path, calls, (2, 3), {}, "scores")


def rewritten(content, change):
    """The file with another description."""
    import io

    result = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(result, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            if name.endswith("model.json"):
                described = json.loads(data)
                change(described)
                data = json.dumps(described).encode()
            new.writestr(name, data)
    return result.getvalue()


def _set(described, key, value):
    described["graph_module"]["graph"][key] = value


DAMAGE = [
    lambda described: described.pop("graph_module"),
    lambda described: _set(described, "nodes", 3),
    lambda described: _set(described, "nodes", [{}]),
    lambda described: _set(described, "tensor_values", {}),
    lambda described: described["graph_module"]["signature"].update(input_specs=[[]]),
    lambda described: described["graph_module"]["graph"]["nodes"][0]["inputs"].append({"arg": 3}),
]


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_descriptions(damage, tmp_path):
    tensors, calls = block()
    path = tmp_path / "m.pt2"
    path.write_bytes(rewritten(model(calls, (2, 3, 6, 7), tensors, "y"), damage))
    with pytest.raises(WeightsError, match=f"^{path}: a file of torch.export whose description"):
        gradcam.load(path)


def test_tensors_that_do_not_fit_their_bytes(tmp_path, monkeypatch):
    tensors, calls = block()
    original = pt2_files._meta

    def larger(array):
        return {**original(array), "storage_offset": {"as_int": 1}}

    monkeypatch.setattr(pt2_files, "_meta", larger)
    with pytest.raises(WeightsError, match=r"tensor 'body.conv.weight' of shape .* damaged"):
        load(tmp_path, calls, (2, 3, 6, 7), tensors, "y")


def test_the_older_format_and_other_zip_files(tmp_path):
    path = tmp_path / "m.pt2"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("serialized_exported_program.json", "{}")
    with pytest.raises(WeightsError, match=r"older format.*gradcam\.from_torch"):
        gradcam.load(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("m/archive_format", "pt2")
    with pytest.raises(WeightsError, match="no program"):
        gradcam.load(path)
