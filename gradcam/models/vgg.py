"""VGG (Simonyan and Zisserman, 2015), configurations A, B, D and E, as tables.

Five blocks of 3x3 convolutions, each rectified, each block closed by a 2x2 max pooling; then
three fully connected layers. The number of channels of every layer is read off the weights, so a
narrower VGG loads as well as the published one. Weights have torchvision's names
(``features.0.weight``, ``classifier.6.bias``).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gradcam import imagenet
from gradcam import weights as weight_files
from gradcam.labels import Labels
from gradcam.models import presets
from gradcam.models.layers import Convolution, Layer
from gradcam.models.presets import Preset
from gradcam.network import Network
from gradcam.packs import Packs
from gradcam.weights.storage import Storage, check_storage
from gradcam.weights.tensors import Weights, WeightsError, as_float32, listed

_GRID = 7
"""Side of the map that reaches fc6, in positions; other sizes are averaged to it."""

_PARAMETERS = {
    "conv": ("weight", "bias"),
    "linear": ("weight", "bias"),
    "batch_norm": ("weight", "bias", "running_mean", "running_var"),
}


class _Row(NamedTuple):
    """One layer of the table: its Caffe, torchvision and Keras names."""

    name: str
    op: str
    attributes: dict[str, Any]
    torchvision: str | None = None
    keras: str | None = None

    @property
    def parameters(self) -> dict[str, str]:
        """The operation's parameters and the tensors that hold them."""
        return {p: f"{self.torchvision}.{p}" for p in _PARAMETERS.get(self.op, ())}


@dataclass(frozen=True)
class VGG:
    """One configuration of VGG. Call it with weights to make a :class:`gradcam.Network`.

    ``vgg16(weights=None, *, labels=None, preset=None, fc_dtype="float32", seed=0, name=None)``:
    weights are a path or a dict of arrays; see ``help(vgg16.__call__)``.

    Attributes
    ----------
    name : str
    blocks : tuple of int
        Convolutions in each of the five blocks.
    batch_norm : bool
        Whether each convolution is followed by batch normalisation.
    """

    name: str
    blocks: tuple[int, ...]
    batch_norm: bool = False

    def __call__(
        self,
        weights: str | os.PathLike[str] | Mapping[str, ArrayLike] | Weights | None = None,
        *,
        labels: Labels | Sequence[str] | None = None,
        preset: str | Preset | None = None,
        conv: Convolution | None = None,
        fc_dtype: Storage = "float32",
        seed: int = 0,
        name: str | None = None,
    ) -> Network:
        """Make the network.

        Parameters
        ----------
        weights : path or mapping of str to array, optional
            A safetensors or .npz file, or arrays, with torchvision's names. The fully connected
            weights stay where they are, in the file mapped into memory or in the array, and are
            not to be changed. None: random weights, so an untrained network, for trying out.
            What the convolutions of a file become is kept in the user's cache folder, see
            :mod:`gradcam.packs`.
        labels : Labels or sequence of str, optional
            By default those of the file's metadata, else ImageNet's where there are 1000
            classes, else numbers.
        preset : str or Preset, optional
            "torchvision", "torchvision-straight", "caffe" or one of your own; by default that of
            the file's metadata, else "torchvision".
        conv : "winograd" or "direct", optional
            How 3x3 convolutions are computed: by Winograd's algorithm, or by their definition,
            which takes some four times as long and rounds less: against float64 the scores of
            the full VGG-16 are 9e-7 off, in place of 1.4e-6 of the largest one. By default what
            the environment variable GRADCAM_CONV says, else "winograd".
        fc_dtype : "float32", "float16" or "bfloat16"
            How the fully connected weights are stored. The types of 16 bits hold them in memory of
            their own, half as large, and a forward pass of one picture takes a little less time
            (8 % here). Arithmetic stays in float32; the rounding of the weights moves scores by up
            to 4e-4 (float16) or 3e-3 (bfloat16) of the largest one (full VGG-16, random weights;
            ``tests/bench/settings.py`` measures this).
        seed : int
            Of the random weights.
        name : str, optional
            For messages; by default the architecture's.

        Raises
        ------
        gradcam.WeightsError
            Where a tensor is missing, extra, misshapen or not finite, or the file is unreadable.
        OSError
            Where the file cannot be opened.
        ValueError
            Where the labels, the preset, conv or fc_dtype do not fit.
        """
        check_storage(fc_dtype, "fc_dtype")
        from_file = isinstance(weights, (str, os.PathLike))
        if weights is None:
            name = name or f"{self.name} (untrained)"
            weights = Weights(self.random_tensors(seed=seed))
        elif isinstance(weights, Mapping):
            weights = Weights({str(key): _array(key, given) for key, given in weights.items()})
        elif not isinstance(weights, Weights):
            weights = weight_files.load(weights)
        layers = self.layers(weights.tensors, fc_dtype)
        classes = len(np.asarray(layers[-2].weights["bias"]))
        if labels is None:
            labels = Labels.from_metadata(weights.metadata)
        if labels is None:
            labels = imagenet.labels() if classes == 1000 else Labels.numbered(classes)
        if preset is None:
            preset = Preset.from_metadata(weights.metadata) or presets.PRESETS["torchvision"]
        network = Network.from_layers(
            layers, labels=labels, preset=preset, conv=conv, name=name or self.name
        )
        if from_file:
            convolutions = [layer for layer in layers if layer.op == "conv"]
            tensors = [np.asarray(layer.weights["weight"]) for layer in convolutions]
            network.packs = Packs(network.core, tensors)
        return network

    def layers(
        self, tensors: Mapping[str, NDArray[Any]], fc_dtype: Storage = "float32"
    ) -> list[Layer]:
        """The list of layers for :meth:`gradcam.Network.from_layers`, checked.

        Raises
        ------
        WeightsError
            Where a tensor is missing, extra, misshapen or not of numbers.
        """
        self._check_names(tensors)
        layers = []
        width = 3
        for row in self._rows():
            if row.op == "flatten":
                width *= _GRID * _GRID
            held = {name: tensors[tensor] for name, tensor in row.parameters.items()}
            if row.op in ("conv", "linear"):
                inputs = (width, 3, 3) if row.op == "conv" else (width,)
                _check_shape(row.parameters["weight"], held["weight"], (None, *inputs))
                width = len(held["weight"])
            for name, values in held.items():
                if name != "weight" or row.op == "batch_norm":
                    _check_shape(row.parameters[name], values, (width,))
                held[name] = _floats(row.parameters[name], values)
            aliases = tuple(name for name in (row.torchvision, row.keras) if name)
            attributes = row.attributes | ({"dtype": fc_dtype} if row.op == "linear" else {})
            layers.append(
                Layer(row.name, row.op, weights=held, attributes=attributes, aliases=aliases)
            )
        return layers

    def random_tensors(
        self, *, width: int = 64, fc: int = 4096, classes: int = 1000, seed: int = 0
    ) -> dict[str, NDArray[np.float32]]:
        """He-initialised weights (He et al., 2015) for this configuration, biases zero.

        Parameters
        ----------
        width : int
            Channels of the first block; the next have 2, 4, 8 and 8 times as many.
        fc : int
            Units of fc6 and fc7.
        classes : int
            Units of fc8.
        seed : int
        """
        if min(width, fc, classes) < 1:
            raise ValueError(f"width, fc and classes are 1 or more, got {width}, {fc}, {classes}")
        generator = np.random.default_rng(seed)
        tensors = {}
        inputs = 3
        for row in self._rows():
            if row.op == "flatten":
                inputs *= _GRID * _GRID
            if row.op == "conv":
                block = int(row.name.removeprefix("conv").split("_")[0])
                outputs = width * min(2 ** (block - 1), 8)
            elif row.op == "linear":
                outputs = classes if row.name == "fc8" else fc
            for parameter, name in row.parameters.items():
                if parameter == "weight" and row.op != "batch_norm":
                    shape = (outputs, inputs, 3, 3) if row.op == "conv" else (outputs, inputs)
                    values = generator.standard_normal(shape, np.float32)
                    values *= np.float32(np.sqrt(2 * outputs / values.size))
                    inputs = outputs
                else:
                    one = parameter in ("weight", "running_var")
                    values = np.full(outputs, one, np.float32)
                tensors[name] = values
        return tensors

    def _rows(self) -> Iterator[_Row]:
        """The table: every layer in order."""
        number = 0
        for block, convolutions in enumerate(self.blocks, 1):
            for i in range(1, convolutions + 1):
                # Keras counts a convolution and its ReLU as one layer, so its name is the ReLU's.
                steps: list[tuple[str, str, dict[str, Any], str | None]] = [
                    (f"conv{block}_{i}", "conv", {"padding": 1}, None),
                    (f"relu{block}_{i}", "relu", {}, f"block{block}_conv{i}"),
                ]
                if self.batch_norm:
                    steps.insert(1, (f"bn{block}_{i}", "batch_norm", {}, None))
                for name, op, attributes, keras in steps:
                    yield _Row(name, op, attributes, f"features.{number}", keras)
                    number += 1
            pool = {"kernel": 2, "stride": 2}
            yield _Row(f"pool{block}", "max_pool", pool, f"features.{number}", f"block{block}_pool")
            number += 1
        yield _Row("avgpool", "adaptive_average_pool", {"size": _GRID})
        yield _Row("flatten", "flatten", {})
        for i, fc in enumerate(("fc6", "fc7")):
            digit = fc[-1]
            yield _Row(fc, "linear", {}, f"classifier.{3 * i}")
            yield _Row(f"relu{digit}", "relu", {}, f"classifier.{3 * i + 1}", f"fc{i + 1}")
            yield _Row(f"drop{digit}", "dropout", {}, f"classifier.{3 * i + 2}")
        yield _Row("fc8", "linear", {}, "classifier.6")
        yield _Row("prob", "softmax", {}, keras="predictions")

    def _tensor_names(self) -> list[str]:
        return [name for row in self._rows() for name in row.parameters.values()]

    def _check_names(self, tensors: Mapping[str, Any]) -> None:
        needed = self._tensor_names()
        # torchvision's files count the batches seen in training; inference has no use for it.
        given = [name for name in tensors if not name.endswith(".num_batches_tracked")]
        missing = [name for name in needed if name not in tensors]
        extra = [name for name in given if name not in set(needed)]
        if not missing and not extra:
            return
        parts = [f"missing {listed(missing)}"] if missing else []
        parts += [f"not of this network {listed(extra)}"] if extra else []
        fits = [vgg.name for vgg in FAMILY if set(vgg._tensor_names()) == set(given)]
        hint = f" (they are the weights of a {fits[0]}: use gradcam.{fits[0]})" if fits else ""
        raise WeightsError(f"weights for {self.name}: {'; '.join(parts)}{hint}")


def _check_shape(name: str, values: NDArray[Any], expected: tuple[int | None, ...]) -> None:
    if (
        values.ndim != len(expected)
        or values.size == 0
        or any(e not in (None, n) for e, n in zip(expected, values.shape, strict=True))
    ):
        told = str(expected).replace("None", "any")
        raise WeightsError(f"tensor {name!r} has shape {values.shape}, expected {told}")


def _array(name: object, values: ArrayLike) -> NDArray[Any]:
    try:
        return np.asarray(values)
    except ValueError as error:
        raise WeightsError(f"tensor {name!r} is no array ({error})") from None


def _floats(name: str, values: NDArray[Any]) -> NDArray[Any]:
    """The tensor as float32, not copied where it is."""
    if values.dtype.kind not in "fiu":
        raise WeightsError(f"tensor {name!r} holds {values.dtype}, expected floating numbers")
    with np.errstate(over="ignore"):  # what becomes infinite is refused with the layer
        return as_float32(values)


vgg11 = VGG("vgg11", (1, 1, 2, 2, 2))
vgg13 = VGG("vgg13", (2, 2, 2, 2, 2))
vgg16 = VGG("vgg16", (2, 2, 3, 3, 3))
vgg19 = VGG("vgg19", (2, 2, 4, 4, 4))
vgg11_bn = VGG("vgg11_bn", (1, 1, 2, 2, 2), batch_norm=True)
vgg13_bn = VGG("vgg13_bn", (2, 2, 2, 2, 2), batch_norm=True)
vgg16_bn = VGG("vgg16_bn", (2, 2, 3, 3, 3), batch_norm=True)
vgg19_bn = VGG("vgg19_bn", (2, 2, 4, 4, 4), batch_norm=True)

FAMILY = (vgg11, vgg13, vgg16, vgg19, vgg11_bn, vgg13_bn, vgg16_bn, vgg19_bn)
