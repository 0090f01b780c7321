"""A network as an ONNX graph that refers to the weights in a safetensors file.

Both formats store raw little-endian numbers, so the graph contains the name of the file and the
offset of each tensor in it (external data), and the weights are not copied. The graph ends with the
scores.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx
from onnx import NodeProto, TensorProto, helper

from gradcam import weights
from gradcam._engine.layers import HEADS, INPUT, Layer, complete
from gradcam._models import architecture
from gradcam._models.constructors import CONSTRUCTORS
from gradcam.bench._engines import Setup

_SAME: dict[str, tuple[str, dict[str, Any]]] = {
    "relu": ("Relu", {}),
    "sigmoid": ("Sigmoid", {}),
    "hard_sigmoid": ("HardSigmoid", {"alpha": 1 / 6, "beta": 0.5}),
    "hard_swish": ("HardSwish", {}),
    "global_average_pool": ("GlobalAveragePool", {}),
    "flatten": ("Flatten", {}),
    "add": ("Sum", {}),
    "multiply": ("Mul", {}),
    "concatenate": ("Concat", {"axis": 1}),
}
"""Operations that are one node, whose inputs are those of the layer."""

_ORDER = {
    "conv": ("weight", "bias"),
    "linear": ("weight", "bias"),
    "batch_norm": ("weight", "bias", "running_mean", "running_var"),
}
"""The parameters of a node, in ONNX's order."""


def write(setup: Setup, shape: tuple[int, ...]) -> Path:
    """Write the graph for input of that shape to the folder of the weights; return its path.

    Raises
    ------
    ValueError
        If ONNX has no node for a layer: adaptive average pooling that is not the identity, or an
        operation that is not written here.
    """
    table = architecture.find(setup.network)
    tensors = weights.load(setup.weights).tensors
    parameters = {row.name: row.parameters for row in table.rows}
    layers = complete(table.layers(tensors))
    if layers[-1].op in HEADS:
        layers = layers[:-1]
    shapes = CONSTRUCTORS[setup.network](tensors).shapes(*shape[2:])
    writer = _Writer(shapes)
    for layer in layers:
        writer.add(layer, parameters[layer.name])
    output = writer.outputs[layers[-1].name]
    graph = helper.make_graph(
        writer.nodes,
        setup.network,
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)],
        [
            *writer.constants,
            *(
                _tensor(name, location, setup.weights.name)
                for name, location in _locations(setup.weights).items()
                if name in writer.used
            ),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = setup.weights.with_name(f"{setup.network}.onnx")
    path.write_bytes(model.SerializeToString())
    return path


def version() -> str:
    """Return the version of the package that writes the graph."""
    return str(onnx.__version__)


class _Writer:
    """Writes layers as nodes.

    Attributes
    ----------
    nodes, constants : list
    used : set of str
        The tensors of the file that the nodes read.
    outputs : dict of str to str
        The name of each layer's output in the graph.
    """

    def __init__(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []
        self.used: set[str] = set()
        self.outputs = {INPUT: INPUT}
        self._shapes = shapes

    def add(self, layer: Layer, parameters: Mapping[str, str]) -> None:
        inputs = [self.outputs[name] for name in layer.inputs]
        own = [parameters[key] for key in _ORDER.get(layer.op, ()) if key in parameters]
        self.used.update(own)
        if layer.op in _SAME:
            op, attributes = _SAME[layer.op]
            self._node(layer, op, inputs, **attributes)
        elif layer.op == "dropout" or self._is_identity(layer):
            self.outputs[layer.name] = inputs[0]
        elif layer.op == "conv":
            kernel = list(_shape(layer.weights["weight"])[2:])
            groups = layer.attributes.get("groups", 1)
            options = _window(layer) | {"dilations": _pair(layer.attributes.get("dilation", 1))}
            self._node(layer, "Conv", inputs + own, kernel_shape=kernel, group=groups, **options)
        elif layer.op == "linear":
            self._node(layer, "Gemm", inputs + own, transB=1)
        elif layer.op == "batch_norm":
            eps = layer.attributes["eps"]
            self._node(layer, "BatchNormalization", inputs + own, epsilon=eps)
        elif layer.op in ("max_pool", "average_pool"):
            self._pool(layer, inputs)
        elif layer.op == "relu6":
            self._node(layer, "Clip", [*inputs, self._constant(0), self._constant(6)])
        elif layer.op == "silu":
            gate = f"{layer.name}.gate"
            self.nodes.append(helper.make_node("Sigmoid", inputs, [gate]))
            self._node(layer, "Mul", [*inputs, gate])
        else:
            raise ValueError(f"{layer.name}: {layer.op} is not written as ONNX")

    def _node(self, layer: Layer, op: str, inputs: Sequence[str], **attributes: Any) -> None:
        self.nodes.append(helper.make_node(op, inputs, [layer.name], **attributes))
        self.outputs[layer.name] = layer.name

    def _pool(self, layer: Layer, inputs: Sequence[str]) -> None:
        kernel = _pair(layer.attributes["kernel"])
        options: dict[str, Any] = {"ceil_mode": int(bool(layer.attributes.get("ceil_mode")))}
        if layer.op == "average_pool":
            options["count_include_pad"] = int(bool(layer.attributes.get("count_include_pad", 1)))
        op = "MaxPool" if layer.op == "max_pool" else "AveragePool"
        self._node(layer, op, inputs, kernel_shape=kernel, **_window(layer, kernel), **options)

    def _is_identity(self, layer: Layer) -> bool:
        """Whether it is adaptive average pooling to the size that the map has."""
        if layer.op != "adaptive_average_pool":
            return False
        return self._shapes[layer.name] == self._shapes[layer.inputs[0]]

    def _constant(self, value: float) -> str:
        name = f"constant_{value}"
        if name not in {each.name for each in self.constants}:
            self.constants.append(helper.make_tensor(name, TensorProto.FLOAT, [], [value]))
        return name


def _shape(values: Any) -> tuple[int, ...]:
    return tuple(values.shape)


def _pair(value: Any) -> list[int]:
    return [value, value] if isinstance(value, int) else list(value)


def _window(layer: Layer, kernel: Sequence[int] = (1, 1)) -> dict[str, list[int]]:
    """Return the strides and the padding: of all begins, then of all ends."""
    padding = _pair(layer.attributes.get("padding", 0))
    pads = padding if len(padding) == 4 else padding * 2
    return {"strides": _pair(layer.attributes.get("stride") or list(kernel)), "pads": pads}


def _locations(weights: Path) -> dict[str, dict[str, Any]]:
    """Return the shape, the offset and the length of each tensor in the file."""
    with open(weights, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
    header.pop("__metadata__", None)
    return {
        name: {
            "shape": entry["shape"],
            "offset": 8 + length + entry["data_offsets"][0],
            "length": entry["data_offsets"][1] - entry["data_offsets"][0],
        }
        for name, entry in header.items()
    }


def _tensor(name: str, location: dict[str, Any], file: str) -> TensorProto:
    tensor = TensorProto(
        name=name,
        data_type=TensorProto.FLOAT,
        dims=location["shape"],
        data_location=TensorProto.EXTERNAL,
    )
    for key, value in {"location": file, **location}.items():
        if key != "shape":
            entry = tensor.external_data.add()
            entry.key, entry.value = key, str(value)
    return tensor
