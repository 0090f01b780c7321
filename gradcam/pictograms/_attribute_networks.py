"""The attribute network, and networks that begin with its convolutions."""

from __future__ import annotations

import weakref
import zlib
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gradcam import _core
from gradcam.pictograms._attributes import ATTRIBUTES

if TYPE_CHECKING:
    from gradcam._engine.graph import Graph
    from gradcam._engine.layers import Layer
    from gradcam._engine.network import Network
    from gradcam._pictures.presets import Preset
    from gradcam._results.objectives import Forward

SIDE = 112
"""Pictures are resized to this side."""

ABOUT = (
    "the network knows drawings of 16 kinds of objects in six colours, and was not trained on "
    "photographs"
)
LAST_MAP = "relu5_3"
"""The last rectified map, of 128 channels and 14 x 14 positions for pictures of 112 x 112."""

_FOLDER = Path(__file__).parent
_BLOCKS = (2, 2, 3, 3, 2)
_POOLED = 3  # blocks of the VGG that a pooling follows


def preset() -> Preset:
    """Return how pictures become input: torchvision's mean and deviation, resized to 112 x 112."""
    from gradcam._pictures.presets import Preset

    return Preset("pictograms-112", size=SIDE)


@lru_cache(maxsize=1)
def attribute_model() -> Network:
    """Return a network that tells which kinds of objects are there, with colours and sizes.

    It has 150 outputs with a sigmoid each, such as "cat", "red", "red cat" and "small cat"; see
    `described`. It was trained from such labels of whole pictures alone, without places
    (`_train_attributes`). It is a narrow VGG-16 without its fourth pooling and with a branch for
    colours. It is loaded once.
    """
    from gradcam._engine.layers import Layer
    from gradcam._engine.network import Network

    tensors = _tensors()
    layers = [
        *feature_layers(),
        Layer("average", "global_average_pool"),
        Layer("flatten", "flatten"),
        _weighted("fc", "linear", tensors),
        Layer("prob", "sigmoid"),
    ]
    network = Network.from_layers(
        layers,
        labels=list(ATTRIBUTES),
        preset=preset(),
        name="attributes-vgg",
        target_layer=LAST_MAP,
    )
    network.origin = lambda network: (attribute_model, ())
    network.about = ABOUT
    return network


def feature_layers(own: Mapping[str, NDArray[np.float32]] | None = None) -> list[Layer]:
    """Return the layers of the attribute network up to its last rectified map.

    Parameters
    ----------
    own : mapping of str to array, optional
        Tensors that replace those of the attribute network, where the names agree: of all layers,
        if the first one is among them.
    """
    given = {} if own is None else dict(own)
    if "conv1_1.weight" not in given:
        given = {**_tensors(), **given}
    return _vgg(given)


@lru_cache(maxsize=1)
def _tensors() -> dict[str, NDArray[np.float32]]:
    return _read("attributes-vgg.safetensors")


def _read(file: str) -> dict[str, NDArray[np.float32]]:
    from gradcam._weights.reading import load

    tensors = load(_FOLDER / file).tensors
    return {name: np.asarray(tensor, np.float32) for name, tensor in tensors.items()}


def _weighted(
    name: str,
    op: str,
    tensors: dict[str, NDArray[np.float32]],
    inputs: tuple[str, ...] = (),
    **attributes: int,
) -> Layer:
    """Return the layer whose weights have its name."""
    from gradcam._engine.layers import Layer
    from gradcam._weights.tensors import WeightsError

    missing = [each for each in ("weight", "bias") if f"{name}.{each}" not in tensors]
    if missing:
        raise WeightsError(f"the tensor {name}.{missing[0]} is missing")
    weights = {kind: tensors[f"{name}.{kind}"] for kind in ("weight", "bias")}
    return Layer(name, op, inputs, weights, attributes)


def _vgg(tensors: dict[str, NDArray[np.float32]]) -> list[Layer]:
    from gradcam._engine.layers import INPUT, Layer

    layers = []
    for block, depth in enumerate(_BLOCKS, start=1):
        for each in range(1, depth + 1):
            layers.append(_weighted(f"conv{block}_{each}", "conv", tensors, padding=1))
            layers.append(Layer(f"relu{block}_{each}", "relu"))
        if block <= _POOLED:
            layers.append(Layer(f"pool{block}", "max_pool", attributes={"kernel": 2, "stride": 2}))
    last = INPUT
    for number in (1, 2, 3):
        name, relu = f"colour{number}", f"colour{number}.relu"
        layers.append(_weighted(name, "conv", tensors, (last,), stride=2, padding=1))
        layers.append(Layer(relu, "relu"))
        last = relu
    layers.append(Layer("joined", "concatenate", ("relu5_2", last)))
    layers.append(_weighted("conv5_3", "conv", tensors, padding=1))
    layers.append(Layer("relu5_3", "relu"))
    return layers


@lru_cache(maxsize=1)
def _code_tensors() -> dict[str, NDArray[np.float32]]:
    from gradcam.pictograms._waves import over_positions

    found = _read("scene-code.safetensors")
    found["fc6.weight"] = over_positions(found.pop("fc6.waves"))
    return found


def code_layers(
    own: Mapping[str, NDArray[np.float32]] | None = None, *, maxima: bool = False
) -> list[Layer]:
    """Return the layers from pool5 to the picture's code, ``relu7`` (`_code_nets`).

    ``relu6_3`` has a map for each kind of object with a colour or a size. With `maxima`, fc7 reads
    the maximum of each map beside what fc6 computes; its weights are then those of ``fc7_maxima``.
    """
    from gradcam._engine.layers import Layer

    known = {**_code_tensors(), **(own or {})}
    scale_and_shift = {part: known[f"norm5.{part}"] for part in ("scale", "shift")}
    layers = [
        pool5(),
        Layer("norm5", "affine", weights=scale_and_shift),
        _weighted("conv6_1", "conv", known, padding=1),
        Layer("relu6_1", "relu"),
        _weighted("conv6_2", "conv", known, padding=1),
        Layer("relu6_2", "relu"),
        _weighted("skip6", "conv", known, ("norm5",)),
        Layer("sum6", "add", ("relu6_2", "skip6")),
        _weighted("conv6_3", "conv", known),
        Layer("relu6_3", "relu"),
        Layer("flatten", "flatten"),
        _fully_connected("fc6", known),
        Layer("relu6", "relu"),
    ]
    if maxima:
        layers += [
            Layer("maxima", "global_max_pool", ("relu6_3",)),
            Layer("flat_maxima", "flatten"),
            Layer("joined7", "concatenate", ("relu6", "flat_maxima")),
        ]
    name = "fc7_maxima" if maxima else "fc7"
    return [*layers, _fully_connected(name, known), Layer("relu7", "relu")]


def pool5() -> Layer:
    """Return the pooling after the VGG's last map."""
    from gradcam._engine.layers import Layer

    return Layer("pool5", "max_pool", attributes={"kernel": 2, "stride": 2})


def code_network(
    tensors: dict[str, NDArray[np.float32]], name: str, *, maxima: bool = False
) -> Network:
    """Return the VGG's convolutions and the layers of the picture's code, up to ``relu7``.

    Parameters
    ----------
    tensors : dict of str to array
        Those of layers of this network replace the weights that ship, such as ``fc7.weight``.
    name : str
        For messages.
    maxima : bool
        As of :func:`code_layers`.
    """
    from gradcam._engine.network import Network

    layers = [*feature_layers(tensors), *code_layers(tensors, maxima=maxima)]
    network = Network.from_layers(layers, preset=preset(), name=name, target_layer="relu6_3")
    network.about = ABOUT
    return network


def tensor_names(network: Network) -> set[str]:
    """Return the names of the tensors of a network's layers, such as ``conv6_1.weight``."""
    return {f"{layer.name}.{kind}" for layer in network.layers.values() for kind in layer.weights}


def check_code(name: str, code: int, expected: int) -> None:
    """Raise WeightsError unless the code has as many values as the weights that read it."""
    from gradcam._weights.tensors import WeightsError

    if code != expected:
        raise WeightsError(
            f"{name}: the picture's code, relu7, has {code} values, but image.weight is for "
            f"{expected}"
        )


def _fully_connected(name: str, tensors: dict[str, NDArray[np.float32]]) -> Layer:
    """Return a linear layer; weights that float16 holds exactly take half the memory.

    Those of the files that ship are such weights, and the results are the same.
    """
    layer, weight = _weighted(name, "linear", tensors), tensors[f"{name}.weight"]
    with np.errstate(over="ignore"):
        is_exact = np.array_equal(weight.astype(np.float16), weight)
    return replace(layer, attributes={"dtype": "float16"}) if is_exact else layer


def map_network(
    tensors: dict[str, NDArray[np.float32]], name: str, strides: Mapping[str, int]
) -> Network:
    """Return the VGG's layers up to relu5_3 and a small ResNet: residual blocks over its map.

    Parameters
    ----------
    tensors : dict of str to array
        For each block, such as "block1": ``block1.conv1.weight`` (B, C, 1, 1), the first C of
        which is 128, ``block1.conv1.bias`` and so on, as :func:`_residual_block` names them. Those
        of the VGG's layers replace the attribute network's.
    name : str
        For messages.
    strides : mapping of str to int
        Of each block, by its name.
    """
    from gradcam._engine.network import Network

    layers = feature_layers(tensors)
    for block, stride in strides.items():
        layers += _residual_block(block, layers[-1].name, stride, tensors)
    last = layers[-1].name
    network = Network.from_layers(layers, preset=preset(), name=name, target_layer=last)
    network.about = ABOUT
    return network


def _residual_block(
    block: str, before: str, stride: int, tensors: dict[str, NDArray[np.float32]]
) -> list[Layer]:
    """Return a block with a bottleneck (He et al. 2016): convolutions of 1 x 1, 3 x 3 and 1 x 1.

    Their sum with the map before the block is rectified. With a stride, which the convolution of
    3 x 3 has, that map passes a 1 x 1 convolution of the same stride, ``projection``.
    """
    from gradcam._engine.layers import Layer

    layers, same = [], before
    if stride != 1:
        same = f"{block}.projection"
        layers.append(_weighted(same, "conv", tensors, (before,), stride=stride))
    return [
        *layers,
        _weighted(f"{block}.conv1", "conv", tensors, (before,)),
        Layer(f"{block}.relu1", "relu"),
        _weighted(f"{block}.conv2", "conv", tensors, stride=stride, padding=1),
        Layer(f"{block}.relu2", "relu"),
        _weighted(f"{block}.conv3", "conv", tensors),
        Layer(f"{block}.sum", "add", (f"{block}.conv3", same)),
        Layer(block, "relu"),
    ]


_IDENTITIES: weakref.WeakKeyDictionary[Graph, str] = weakref.WeakKeyDictionary()


def identity(graph: Graph) -> str:
    """Return the network's name with a checksum of its last weights.

    So captions and answers can tell their own network from another one of the same name. That of a
    network with random weights is that of the network that they were drawn for, so that measures
    can ask for the same caption or answer there.
    """
    graph = graph.redrawn or graph
    if graph not in _IDENTITIES:
        *_, last = (layer for layer in graph.layers.values() if "weight" in layer.weights)
        weight = np.ascontiguousarray(last.weights["weight"])
        _IDENTITIES[graph] = f"{graph.name} {zlib.crc32(weight.tobytes()):08x}"
    return _IDENTITIES[graph]


def output_of(forward: Forward, layer: str) -> NDArray[np.float32]:
    """Return the output of the layer that words are read from, for each picture.

    Raises
    ------
    ValueError
        If it is not finite.
    """
    found = forward.activation(layer)
    if not _core.all_finite(found):
        raise ValueError(
            f"the output of the layer {layer!r} is not finite: its values are too large for "
            f"float32 on this input"
        )
    return found
