"""VGG (Simonyan and Zisserman, 2015), configurations A, B, D and E, as tables.

Five blocks of 3x3 convolutions, each rectified, each block closed by a 2x2 max pooling; then
three fully connected layers. The number of channels of every layer is read off the weights, so a
narrower VGG loads as well as the published one. Weights come in any layout that
:mod:`gradcam._models.checkpoints` knows; here they have torchvision's names (``features.0.weight``,
``classifier.6.bias``).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gradcam._engine.assembly import Convolution
from gradcam._engine.layers import Layer
from gradcam._engine.network import Network
from gradcam._labels.classes import Labels
from gradcam._pictures.presets import Preset
from gradcam._weights.reading import is_published
from gradcam._weights.storage import Storage
from gradcam._weights.tensors import EPS, Weights

GRID = 7
"""Side of the map that reaches fc6, in positions; other sizes are averaged to it."""


_PARAMETERS = {
    "conv": ("weight", "bias"),
    "linear": ("weight", "bias"),
    "batch_norm": ("weight", "bias", "running_mean", "running_var"),
}


class Row(NamedTuple):
    """One layer of the table: its Caffe, torchvision and Keras names."""

    name: str
    op: str
    attributes: dict[str, Any]
    torchvision: str = ""
    keras: str | None = None

    @property
    def parameters(self) -> dict[str, str]:
        """The operation's parameters and the tensors that hold them."""
        return {p: f"{self.torchvision}.{p}" for p in _PARAMETERS.get(self.op, ())}


@dataclass(frozen=True)
class VGG:
    """One configuration of VGG. Call it with weights to make a :class:`gradcam.Network`.

    ``vgg16(weights=None, *, labels=None, preset=None, conv=None, fc_dtype="float32", seed=0,
    name=None)``: weights are a path, a dict of arrays, or "imagenet" for published ones, which are
    downloaded once; see ``help(vgg16.__call__)``.

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
        labels: Labels | Sequence[str] | str | os.PathLike[str] | None = None,
        preset: str | Preset | None = None,
        conv: Convolution | None = None,
        fc_dtype: Storage = "float32",
        seed: int = 0,
        name: str | None = None,
    ) -> Network:
        """Make the network.

        Parameters
        ----------
        weights : path, "imagenet", "imagenet-caffe" or mapping of str to array, optional
            A weight file of PyTorch, Keras, Caffe, ONNX, NumPy or safetensors, known by its
            content (see :func:`gradcam.weights.load`), or arrays, in nested dicts where they are
            (a PyTorch module's ``state_dict()``, a checkpoint), in any layout that
            :mod:`gradcam._models.checkpoints` knows, of any number of classes. Or the name of
            published weights, which are downloaded once: "imagenet" for torchvision's (also
            "DEFAULT" and "IMAGENET1K_V1"), "imagenet-caffe" for the VGG authors' own as Keras has
            them; a file of that name goes before. The fully connected weights stay where they
            are, in the file mapped into memory or in the array, and are not to be changed; those
            of a large file with another layout are converted once, and kept in the user's cache
            folder (:mod:`gradcam._models.converted`). None: random weights, so an untrained
            network, for trying out. What the convolutions of a file become is kept in that
            folder, too (:mod:`gradcam._engine.transformed`).
        labels : Labels, sequence of str or path, optional
            The classes, or a file of them (:meth:`gradcam.Labels.read`). By default those of the
            file's metadata, else ImageNet's where there are 1000, else numbers.
        preset : str or Preset, optional
            A name of :data:`gradcam.PRESETS` or one of your own; by default that of the file's
            metadata, else the one that goes with the layout: torchvision's for torchvision's and
            timm's names and ONNX graphs, "keras", "caffe" and "frossard" for theirs.
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
            Where a tensor is missing, extra, misshapen or not finite, the file is unreadable, or
            it holds another network; where that is another VGG, the message names its function.
            Also where the labels are not as many as its classes. This is a ValueError, too.
        OSError
            Where the file cannot be opened.
        ImportError
            Where a library is missing that reads this kind of file; the message says which.
        ValueError, TypeError
            Where the labels, the preset, conv or fc_dtype are none.
        """
        from gradcam._models import loading  # it knows the family, so comes after it

        if weights is None:
            weights = Weights(self.random_tensors(seed=seed))
            name = name or f"{self.name} (untrained)"
        elif is_published(weights):
            from gradcam._models import published as download

            weights = download.fetch(self.name, weights)
        options = loading.Options(labels, preset, conv, fc_dtype, name)
        return loading.make(weights, options, self)

    def layers(
        self,
        tensors: Mapping[str, NDArray[Any]],
        fc_dtype: Storage = "float32",
        eps: float = EPS,
    ) -> list[Layer]:
        """The list of layers for :meth:`gradcam.Network.from_layers`.

        Parameters
        ----------
        tensors : mapping of str to array
            With torchvision's names and layout: all that :meth:`rows` names.
        fc_dtype : "float32", "float16" or "bfloat16"
        eps : float
            Of batch normalisation.
        """
        extra: dict[str, dict[str, Any]] = {
            "linear": {"dtype": fc_dtype},
            "batch_norm": {"eps": eps},
        }
        return [
            Layer(
                row.name,
                row.op,
                weights={name: tensors[tensor] for name, tensor in row.parameters.items()},
                attributes=row.attributes | extra.get(row.op, {}),
                aliases=tuple(name for name in (row.torchvision, row.keras) if name),
            )
            for row in self.rows()
        ]

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
        for row in self.rows():
            if row.op == "flatten":
                inputs *= GRID * GRID
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

    def rows(self) -> Iterator[Row]:
        """The table: every layer in order, with its names and its tensors'."""
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
                    yield Row(name, op, attributes, f"features.{number}", keras)
                    number += 1
            pool = {"kernel": 2, "stride": 2}
            yield Row(f"pool{block}", "max_pool", pool, f"features.{number}", f"block{block}_pool")
            number += 1
        yield Row("avgpool", "adaptive_average_pool", {"size": GRID})
        yield Row("flatten", "flatten", {})
        for i, fc in enumerate(("fc6", "fc7")):
            digit = fc[-1]
            yield Row(fc, "linear", {}, f"classifier.{3 * i}")
            yield Row(f"relu{digit}", "relu", {}, f"classifier.{3 * i + 1}", f"fc{i + 1}")
            yield Row(f"drop{digit}", "dropout", {}, f"classifier.{3 * i + 2}")
        yield Row("fc8", "linear", {}, "classifier.6")
        yield Row("prob", "softmax", {}, keras="predictions")


vgg11 = VGG("vgg11", (1, 1, 2, 2, 2))
vgg13 = VGG("vgg13", (2, 2, 2, 2, 2))
vgg16 = VGG("vgg16", (2, 2, 3, 3, 3))
vgg19 = VGG("vgg19", (2, 2, 4, 4, 4))
vgg11_bn = VGG("vgg11_bn", (1, 1, 2, 2, 2), batch_norm=True)
vgg13_bn = VGG("vgg13_bn", (2, 2, 2, 2, 2), batch_norm=True)
vgg16_bn = VGG("vgg16_bn", (2, 2, 3, 3, 3), batch_norm=True)
vgg19_bn = VGG("vgg19_bn", (2, 2, 4, 4, 4), batch_norm=True)

FAMILY = (vgg11, vgg13, vgg16, vgg19, vgg11_bn, vgg13_bn, vgg16_bn, vgg19_bn)
