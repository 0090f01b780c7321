"""gradcam.from_keras: a network from a live model of Keras.

The model's own methods give its configuration and weights; Keras itself is not imported here. Then
both are run on the same random pictures, and a network that differs from its model is refused.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcam._engine.assembly import Convolution
from gradcam._engine.network import Network
from gradcam._importers.imported import DEFAULT_SIZE, Imported
from gradcam._importers.importing import import_graph
from gradcam._importers.keras.calls import parse_outputs
from gradcam._importers.keras.importing import layout_of
from gradcam._importers.keras.table import MODELS
from gradcam._labels.classes import Labels
from gradcam._models.live import LOW_PRECISION, TOLERANCE, difference, output_of, random_input
from gradcam._models.loading import Head, Options, network_of
from gradcam._models.recognition import recognised
from gradcam._pictures.presets import Preset
from gradcam._text import printable
from gradcam._weights.keras_config import parse_layer
from gradcam._weights.keras_model import KerasLayer, KerasModel
from gradcam._weights.storage import Storage
from gradcam._weights.tensors import Weights, WeightsError

_PACKAGES = ("keras", "tf_keras")


def from_keras(
    model: object,
    *,
    labels: Labels | Sequence[str] | str | os.PathLike[str] | None = None,
    preset: str | Preset | None = None,
    conv: Convolution | None = None,
    fc_dtype: Storage = "float32",
    head: Head | None = None,
    name: str | None = None,
    size: int | tuple[int, int] | None = None,
    output: str | None = None,
    target_layer: str | None = None,
) -> Network:
    """Return the network that a live model of Keras computes at inference.

    The same as saving the model and loading the file, without a file between. The weights are
    copied: later training does not change the network.

    Parameters
    ----------
    model : keras.Model
        A Sequential or Functional model, built, of Keras 2 or 3 and any backend; models in it too.
    labels, preset, conv, fc_dtype, head, size, output, target_layer
        As of :func:`gradcam.load`. Layers have Keras's names: NAME.conv and the like is a part of
        the layer NAME before its activation, NAME:2 the second call of a layer.
    name : str, optional
        For messages; by default the model's.

    Returns
    -------
    Network

    Raises
    ------
    gradcam.WeightsError
        If the model has a layer that is not supported, or is not a classifier of pictures; the
        message names the layer. Also if the network gives another output than the model for two
        random pictures, or the model does not run. It is a ValueError.
    TypeError, ValueError
        If `model` is not a model of Keras, or an option is invalid.
    """
    options = Options(labels, preset, conv, fc_dtype, head, True, name, size, output, target_layer)
    options.check()
    if isinstance(model, type) or not all(
        hasattr(model, each) for each in ("layers", "to_json", "weights")
    ):
        hint = (
            ": files are loaded with gradcam.load" if isinstance(model, (str, os.PathLike)) else ""
        )
        raise TypeError(f"model: expected a model of Keras, got {type(model).__name__}{hint}")
    title = name or printable(str(getattr(model, "name", "the model")))
    try:
        weights = _weights(model)
        imported = recognised(import_graph(weights, options.choices()))
        network = network_of(imported, options)
        _compare(network, imported, model, weights, options)
    except WeightsError as error:
        raise WeightsError(f"{title}: {error}") from error
    return network


def _weights(model: Any) -> Weights:
    """Return the configuration and the weights of a model."""
    try:
        root = _of_own_classes(parse_layer(json.loads(model.to_json())), model)
    except (NotImplementedError, TypeError, ValueError) as error:
        raise WeightsError(
            f"the model has no configuration ({printable(str(error))[:200]}): a Sequential or "
            f"Functional model of Keras's own layers can be read"
        ) from error
    tensors: dict[str, NDArray[np.generic]] = {}
    groups: dict[str, tuple[str, ...]] = {}
    for group, layer in _pairs(root, model):
        arrays = [_array(variable) for variable in layer.weights]
        groups[group] = tuple(f"{group}/{number}" for number in range(len(arrays)))
        tensors |= dict(zip(groups[group], arrays, strict=True))
    graph = KerasModel(root.with_tensors(groups), _version(model))
    return Weights(tensors, format="a live model of Keras", graph=graph)


def _of_own_classes(described: KerasLayer, model: Any) -> KerasLayer:
    """Return a model with Keras's classes in place of those that only train in another way.

    A class that inherits ``call`` from Keras computes what its layers say.
    """
    layers = {layer.name: layer for layer in getattr(model, "layers", ())}
    name = described.class_name
    call = getattr(type(model), "call", None)
    inherited = str(getattr(call, "__module__", "")).partition(".")[0] in _PACKAGES
    if described.layers is not None and name not in MODELS and inherited:
        name = "Functional" if "output_layers" in described.config else "Sequential"
    inner = tuple(
        each if each.layers is None else _of_own_classes(each, layers.get(each.name))
        for each in described.layers or ()
    )
    return replace(described, class_name=name, layers=None if described.layers is None else inner)


def _pairs(described: KerasLayer, model: Any) -> Iterator[tuple[str, Any]]:
    """Yield each layer that is not a model, with the group that its configuration has."""
    layers = {layer.name: layer for layer in model.layers}
    for each in described.layers or ():
        layer = layers.get(each.name)
        if layer is None:
            continue  # an operation, or an input
        if each.layers is not None:
            yield from _pairs(each, layer)
        else:
            yield each.group, layer


def _array(variable: Any) -> NDArray[np.generic]:
    """Return a copy of a variable's values."""
    values = getattr(variable, "value", variable)
    values = variable if callable(values) else values  # TensorFlow's is a method
    return np.array(_numpy(values))


def _numpy(values: Any) -> NDArray[Any]:
    """Return a tensor of any backend as an array of float32, or of integers."""
    for method in ("detach", "cpu"):
        values = getattr(values, method, lambda given=values: given)()
    if str(values.dtype).endswith("bfloat16"):
        values = values.float() if hasattr(values, "float") else np.asarray(values, np.float32)
    values = values.numpy() if hasattr(values, "numpy") else values
    array: NDArray[Any] = np.asarray(values)
    return array.astype(np.float32, copy=False) if array.dtype.kind == "f" else array


def _version(model: Any) -> str:
    """Return the version of the Keras that the model's class is from."""
    for each in type(model).__mro__:
        package = each.__module__.partition(".")[0]
        if package in _PACKAGES:
            return str(getattr(sys.modules.get(package), "__version__", ""))
    return ""


def _compare(
    network: Network, imported: Imported, model: Any, weights: Weights, options: Options
) -> None:
    """Raise WeightsError if the network's output is not the model's for random pictures."""
    assert isinstance(weights.graph, KerasModel)
    root = weights.graph.root
    size = imported.size or network.size or DEFAULT_SIZE
    x = random_input(imported, size)
    given = x.transpose(0, 2, 3, 1).copy() if layout_of(root) == "NHWC" else x
    try:
        result = model(given, training=False)
    except Exception as error:  # Keras raises errors of many types
        reason = printable(str(error).strip().partition("\n")[0][:200])
        raise WeightsError(
            f"the model does not run on pictures of {size[0]} x {size[1]} ({reason}): if it takes "
            f"another size, pass size="
        ) from error
    result = _chosen(result, root, options.output)
    found = difference(output_of(network, imported, x), _numpy(result).astype(np.float64))
    low = options.fc_dtype != "float32" or "16" in str(result.dtype)
    if not found <= (LOW_PRECISION if low else TOLERANCE):
        raise WeightsError(
            "the network's output differs from the model's: the model does something that its "
            "configuration does not say"
        )


def _chosen(result: Any, root: KerasLayer, output: str | None) -> Any:
    """Return the output of a model that was chosen: that of the layer of this name, or its only."""
    if hasattr(result, "shape"):
        return result
    described = root.config.get("output_layers")
    if isinstance(described, dict) and isinstance(result, dict) and set(described) == set(result):
        result = [result[key] for key in described]
    names, results = [each.layer for each in parse_outputs(described)], list(result)
    if len(names) != len(results) or not all(hasattr(each, "shape") for each in results):
        raise WeightsError("the model's outputs are not those that its configuration describes")
    return results[0 if output is None else names.index(output)]
