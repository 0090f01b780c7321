"""Input presets: how a picture becomes the numbers that a set of weights was trained on.

A preset belongs to the weights, not to the architecture: the same VGG-16 was published with
Caffe's convention and with torchvision's.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

MAX_SIZE = 1 << 14
"""The longest side that pictures are resized to, in pixels: as many as can be read."""


@dataclass(frozen=True)
class Preset:
    """A convention of input: ``x = (pixel / scale - mean) / std`` for each channel, in float32.

    Attributes
    ----------
    name : str
    channel_order : "RGB" or "BGR"
        Order of the network's input channels, and of `mean` and `std`.
    scale : float
        What pixel values of 0 to 255 are divided by: 255 or 1.
    mean, std : tuple of float
    size : int
        Height and width of the network's input, in pixels.
    shorter_side : int or None
        The picture's shorter side is resized to this many pixels, its aspect kept, and the
        centre cropped to `size`. None: the picture is resized straight to `size`.
    interpolation : "bilinear" or "nearest"
        How Pillow resizes: its bilinear filter, which averages where it makes smaller, or the
        nearest pixel.
    """

    name: str
    channel_order: Literal["RGB", "BGR"] = "RGB"
    scale: float = 255.0
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    size: int = 224
    shorter_side: int | None = None
    interpolation: Literal["bilinear", "nearest"] = "bilinear"

    def __post_init__(self) -> None:
        # The fields may come from a weight file: tuples may be lists, and anything may be wrong.
        object.__setattr__(self, "mean", tuple(map(float, self.mean)))
        object.__setattr__(self, "std", tuple(map(float, self.std)))
        sizes = [self.size] if self.shorter_side is None else [self.size, self.shorter_side]
        if any(type(size) is not int for size in sizes):
            raise ValueError(f"an input preset's sizes are whole numbers of pixels: {self}")
        if (
            not isinstance(self.name, str)
            or max(sizes) > MAX_SIZE
            or not all(map(math.isfinite, (*self.mean, *self.std, self.scale)))
            or self.channel_order not in ("RGB", "BGR")
            or self.interpolation not in ("bilinear", "nearest")
            or len(self.mean) != 3
            or len(self.std) != 3
            or not min(self.std) > 0
            or not self.scale > 0
            or not 1 <= self.size <= (self.shorter_side or self.size)
        ):
            raise ValueError(f"unusable input preset: {self}")

    def to_metadata(self) -> dict[str, str]:
        """The preset as an entry of a weight file's metadata: a JSON object."""
        return {"preset": json.dumps(dataclasses.asdict(self))}

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str]) -> Preset | None:
        """The preset that a weight file names or spells out; None where it says nothing.

        Raises
        ------
        ValueError
            Where the entry is neither a known name nor a JSON object of this class's fields.
        """
        text = metadata.get("preset")
        if text is None:
            return None
        if not text.lstrip().startswith("{"):
            return find(text)
        try:
            return cls(**json.loads(text))
        except (TypeError, ValueError, RecursionError) as error:
            raise ValueError(
                f"metadata: the preset {text[:200]!r} cannot be used ({error})"
            ) from error


_CAFFE_MEAN = (103.939, 116.779, 123.68)
"""Of ImageNet's pixels in the order BGR, from the VGG authors' Caffe model."""

PRESETS: dict[str, Preset] = {
    preset.name: preset
    for preset in (
        Preset("torchvision", shorter_side=256),
        Preset("torchvision-straight"),
        Preset("caffe", "BGR", 1.0, _CAFFE_MEAN, (1.0, 1.0, 1.0)),
        Preset("keras", "BGR", 1.0, _CAFFE_MEAN, (1.0, 1.0, 1.0), interpolation="nearest"),
        Preset("frossard", "RGB", 1.0, _CAFFE_MEAN[::-1], (1.0, 1.0, 1.0)),
    )
}
"""The conventions of the published VGGs, to the last bit of what their authors' code makes.

From the same upright RGB pixels (see `read_picture` for where these differ):

torchvision
    ``VGG16_Weights.IMAGENET1K_V1.transforms()``, or ``Resize(256)``, ``CenterCrop(224)``,
    ``ToTensor()``, ``Normalize(...)``, of a Pillow image. Its ``transforms.v2`` multiply by the
    rounded 1/255 and are up to 7e-7 off; a tensor it resizes by other code, which rounds one
    value in six the other way, by one step of 255.
torchvision-straight
    The same numbers, the whole picture resized to 224 x 224.
keras
    ``keras.utils.load_img(path, target_size=(224, 224))``, whose interpolation is nearest unless
    told otherwise, ``img_to_array`` and ``keras.applications.vgg16.preprocess_input``.
caffe
    The same with ``load_img(..., interpolation="bilinear")``. Of the Grad-CAM paper's code
    (Torch7) in all but one step: its ``image.scale`` makes smaller by the mean of each pixel's
    share, makes larger with aligned corners, and does not round to 8 bits in between.
frossard
    ``scipy.misc.imresize(picture, (224, 224))`` and the mean that is the first layer of
    Frossard's VGG-16 for TensorFlow.
"""


def find(preset: str | Preset) -> Preset:
    """The preset of that name; a :class:`Preset` is given back as it is.

    Raises
    ------
    ValueError
        For a name that :data:`PRESETS` does not have.
    TypeError
        For anything that is neither a name nor a preset.
    """
    if isinstance(preset, Preset):
        return preset
    if not isinstance(preset, str):
        raise TypeError(f"preset: expected a name or a Preset, got {type(preset).__name__}")
    if preset not in PRESETS:
        raise ValueError(f"no input preset is called {preset!r}; there are {', '.join(PRESETS)}")
    return PRESETS[preset]
