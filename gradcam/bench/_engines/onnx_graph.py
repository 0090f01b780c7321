"""VGG-16 as an ONNX graph that refers to the weights in a safetensors file.

Both formats store raw little-endian numbers, so the graph contains the name of the file and the
offset of each tensor in it (external data), and the weights are not copied.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import onnx
from onnx import NodeProto, TensorProto, helper

GRAPH = "vgg16.onnx"


def write(weights: Path, shape: tuple[int, ...]) -> Path:
    """Write the graph for input of that shape to the folder of the weights; return its path.

    Raises
    ------
    ValueError
        If the last map is not 7 x 7: ONNX has no adaptive average pooling.
    """
    if shape[2] // 32 != 7:
        raise ValueError(f"expected pictures of 224 pixels, got {shape[2]}")
    locations = _locations(weights)
    nodes = _nodes()
    output = nodes[-1].output[0]
    classes = locations["classifier.6.bias"]["shape"][0]
    graph = helper.make_graph(
        nodes,
        "vgg16",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, (shape[0], classes))],
        [_tensor(name, location, weights.name) for name, location in locations.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = weights.with_name(GRAPH)
    path.write_bytes(model.SerializeToString())
    return path


def version() -> str:
    """Return the version of the package that writes the graph."""
    return str(onnx.__version__)


def _nodes() -> list[NodeProto]:
    """Return the nodes of VGG-16, with torchvision's names of the weights."""
    nodes: list[NodeProto] = []
    last = "input"

    def add(op: str, *parameters: str, **attributes: Any) -> None:
        nonlocal last
        output = f"{len(nodes)}_{op}"
        nodes.append(helper.make_node(op, [last, *parameters], [output], **attributes))
        last = output

    number = 0
    for convolutions in (2, 2, 3, 3, 3):
        for _ in range(convolutions):
            parameters = (f"features.{number}.weight", f"features.{number}.bias")
            add("Conv", *parameters, kernel_shape=[3, 3], pads=[1, 1, 1, 1])
            add("Relu")
            number += 2
        add("MaxPool", kernel_shape=[2, 2], strides=[2, 2])
        number += 1
    add("Flatten")
    for number in (0, 3, 6):
        add("Gemm", f"classifier.{number}.weight", f"classifier.{number}.bias", transB=1)
        if number < 6:
            add("Relu")
    return nodes


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
