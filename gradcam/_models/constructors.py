"""``gradcam.vgg16`` and its siblings: callables that make the networks of one architecture."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from gradcam._engine.assembly import Convolution
from gradcam._engine.network import Network
from gradcam._labels.classes import Labels
from gradcam._models.architecture import Architecture, registered
from gradcam._models.loading import Head, Options, load_as
from gradcam._pictures.presets import Preset
from gradcam._weights.reading import is_published
from gradcam._weights.storage import Storage
from gradcam._weights.tensors import Weights


class Constructor:
    """Makes networks of one architecture; call it like a function.

    Attributes
    ----------
    architecture : Architecture
    name : str
        "vgg16", ...
    """

    def __init__(self, architecture: Architecture) -> None:
        self.architecture = architecture
        self.name = self.__name__ = self.__qualname__ = architecture.name
        self.__doc__ = f"{architecture.title}. {type(self).__call__.__doc__}"

    def __call__(
        self,
        weights: str | os.PathLike[str] | Mapping[str, object] | Weights | None = None,
        *,
        labels: Labels | Sequence[str] | str | os.PathLike[str] | None = None,
        preset: str | Preset | None = None,
        conv: Convolution | None = None,
        fc_dtype: Storage = "float32",
        head: Head | None = None,
        mmap: bool = True,
        seed: int = 0,
        name: str | None = None,
        size: int | tuple[int, int] | None = None,
        output: str | None = None,
        target_layer: str | None = None,
    ) -> Network:
        """Return a network of this architecture with the given weights.

        Parameters
        ----------
        weights : path, str or mapping of str to array, optional
            A weight file or arrays, as for :func:`gradcam.load`. Or the name of published weights,
            which are downloaded once: "imagenet" for torchvision's first (also "IMAGENET1K_V1"),
            "IMAGENET1K_V2" for those of its newer training recipe, where they exist, "DEFAULT" for
            the latest of these, "imagenet-caffe" for those of VGG's authors, as converted by Keras;
            if there is a file of that name, the file is used. None: random weights, an untrained
            network for trying things out.
        labels, preset, conv, fc_dtype, head, mmap, name, size, output, target_layer
            As for :func:`gradcam.load`.
        seed : int
            Of the random weights.

        Returns
        -------
        Network

        Raises
        ------
        gradcam.WeightsError, OSError, ImportError, ValueError, TypeError
            As :func:`gradcam.load`. Also if the weights are those of another architecture (the
            message names its function), or there are no published weights of that name, or their
            download fails.
        """
        if weights is None:
            weights = Weights({**self.random_tensors(seed=seed)})
            name = name or f"{self.name} (untrained)"
        elif is_published(weights):
            from gradcam._models import published  # it imports hashlib, which is slow

            preset = published.preset(self.name, weights) if preset is None else preset
            weights = published.fetch(self.name, weights)
        return load_as(
            self.architecture,
            weights,
            Options(
                *(labels, preset, conv, fc_dtype, head, mmap, name),
                *(size, output, target_layer),
            ),
        )

    def random_tensors(
        self,
        *,
        width: int | None = None,
        fc: int | None = None,
        classes: int | None = None,
        seed: int = 0,
    ) -> dict[str, NDArray[np.float32]]:
        """Return random weights, as :meth:`Architecture.random_tensors` does."""
        return self.architecture.random_tensors(width=width, fc=fc, classes=classes, seed=seed)

    def __repr__(self) -> str:
        return f"<gradcam.{self.name}: {self.architecture.title}>"


CONSTRUCTORS = {each.name: Constructor(each) for each in registered()}
"""The constructors, by name."""

alexnet = CONSTRUCTORS["alexnet"]
convnext_tiny = CONSTRUCTORS["convnext_tiny"]
densenet121 = CONSTRUCTORS["densenet121"]
densenet161 = CONSTRUCTORS["densenet161"]
densenet169 = CONSTRUCTORS["densenet169"]
densenet201 = CONSTRUCTORS["densenet201"]
mobilenet_v2 = CONSTRUCTORS["mobilenet_v2"]
mobilenet_v3_small = CONSTRUCTORS["mobilenet_v3_small"]
mobilenet_v3_large = CONSTRUCTORS["mobilenet_v3_large"]
efficientnet_b0 = CONSTRUCTORS["efficientnet_b0"]
efficientnet_b1 = CONSTRUCTORS["efficientnet_b1"]
efficientnet_b2 = CONSTRUCTORS["efficientnet_b2"]
efficientnet_b3 = CONSTRUCTORS["efficientnet_b3"]
efficientnet_b4 = CONSTRUCTORS["efficientnet_b4"]
efficientnet_lite0 = CONSTRUCTORS["efficientnet_lite0"]
efficientnet_lite1 = CONSTRUCTORS["efficientnet_lite1"]
efficientnet_lite2 = CONSTRUCTORS["efficientnet_lite2"]
efficientnet_lite3 = CONSTRUCTORS["efficientnet_lite3"]
efficientnet_lite4 = CONSTRUCTORS["efficientnet_lite4"]
googlenet = CONSTRUCTORS["googlenet"]
inception_v3 = CONSTRUCTORS["inception_v3"]
mnasnet0_5 = CONSTRUCTORS["mnasnet0_5"]
mnasnet0_75 = CONSTRUCTORS["mnasnet0_75"]
mnasnet1_0 = CONSTRUCTORS["mnasnet1_0"]
mnasnet1_3 = CONSTRUCTORS["mnasnet1_3"]
regnet_y_400mf = CONSTRUCTORS["regnet_y_400mf"]
regnet_y_800mf = CONSTRUCTORS["regnet_y_800mf"]
regnet_y_1_6gf = CONSTRUCTORS["regnet_y_1_6gf"]
regnet_y_3_2gf = CONSTRUCTORS["regnet_y_3_2gf"]
regnet_y_8gf = CONSTRUCTORS["regnet_y_8gf"]
regnet_y_16gf = CONSTRUCTORS["regnet_y_16gf"]
regnet_y_32gf = CONSTRUCTORS["regnet_y_32gf"]
regnet_x_400mf = CONSTRUCTORS["regnet_x_400mf"]
regnet_x_800mf = CONSTRUCTORS["regnet_x_800mf"]
regnet_x_1_6gf = CONSTRUCTORS["regnet_x_1_6gf"]
regnet_x_3_2gf = CONSTRUCTORS["regnet_x_3_2gf"]
regnet_x_8gf = CONSTRUCTORS["regnet_x_8gf"]
regnet_x_16gf = CONSTRUCTORS["regnet_x_16gf"]
regnet_x_32gf = CONSTRUCTORS["regnet_x_32gf"]
resnet18 = CONSTRUCTORS["resnet18"]
resnet34 = CONSTRUCTORS["resnet34"]
resnet50 = CONSTRUCTORS["resnet50"]
resnet101 = CONSTRUCTORS["resnet101"]
resnet152 = CONSTRUCTORS["resnet152"]
resnext50_32x4d = CONSTRUCTORS["resnext50_32x4d"]
resnext101_32x8d = CONSTRUCTORS["resnext101_32x8d"]
resnext101_64x4d = CONSTRUCTORS["resnext101_64x4d"]
wide_resnet50_2 = CONSTRUCTORS["wide_resnet50_2"]
wide_resnet101_2 = CONSTRUCTORS["wide_resnet101_2"]
shufflenet_v2_x0_5 = CONSTRUCTORS["shufflenet_v2_x0_5"]
shufflenet_v2_x1_0 = CONSTRUCTORS["shufflenet_v2_x1_0"]
shufflenet_v2_x1_5 = CONSTRUCTORS["shufflenet_v2_x1_5"]
shufflenet_v2_x2_0 = CONSTRUCTORS["shufflenet_v2_x2_0"]
squeezenet1_0 = CONSTRUCTORS["squeezenet1_0"]
squeezenet1_1 = CONSTRUCTORS["squeezenet1_1"]
vgg11 = CONSTRUCTORS["vgg11"]
vgg13 = CONSTRUCTORS["vgg13"]
vgg16 = CONSTRUCTORS["vgg16"]
vgg19 = CONSTRUCTORS["vgg19"]
vgg11_bn = CONSTRUCTORS["vgg11_bn"]
vgg13_bn = CONSTRUCTORS["vgg13_bn"]
vgg16_bn = CONSTRUCTORS["vgg16_bn"]
vgg19_bn = CONSTRUCTORS["vgg19_bn"]
vgg16_gap = CONSTRUCTORS["vgg16_gap"]
