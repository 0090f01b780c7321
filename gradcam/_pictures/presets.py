"""Input presets: how pictures are converted to the input that a set of weights was trained on.

A preset belongs to the weights, not to the architecture: the same VGG-16 was published with
Caffe's convention and with torchvision's.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

MAX_SIZE = 1 << 14
"""The maximum side that pictures are resized to, in pixels: its square is `image.MAX_PIXELS`."""


def size_pair(size: object) -> tuple[int, int] | None:
    """Return a size, an int or (height, width) in pixels, as two ints; None if it is invalid."""
    pair = size if isinstance(size, (tuple, list, np.ndarray)) else (size, size)
    if len(pair) != 2 or not all(
        isinstance(n, (int, np.integer)) and not isinstance(n, bool) and n > 0 for n in pair
    ):
        return None
    return int(pair[0]), int(pair[1])


@dataclass(frozen=True)
class Preset:
    """An input convention: ``x = (pixel / scale - mean) / std`` per channel, in float32.

    Attributes
    ----------
    name : str
    channel_order : "RGB" or "BGR"
        Order of the network's input channels, and of `mean` and `std`.
    scale : float
        The divisor of pixel values of 0 to 255: 255 or 1.
    mean, std : tuple of float
    size : int
        Height and width of the network's input, in pixels.
    shorter_side : int or None
        The picture's shorter side is resized to this many pixels, with its aspect ratio kept, and
        the centre is cropped to `size`. None: the picture is resized to `size` directly.
    interpolation : "bilinear", "bicubic" or "nearest"
        Pillow's filter: bilinear or bicubic, which average when they reduce a picture, or the
        nearest pixel.
    longer_side : "down" or "nearest"
        How the length of the longer side is rounded, if `shorter_side` is given.
    crop_offset : "nearest" or "down"
        How the number of pixels above and to the left of the crop is rounded: halves to even, as
        torchvision does, or down, as transformers does.
    """

    name: str
    channel_order: Literal["RGB", "BGR"] = "RGB"
    scale: float = 255.0
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    size: int = 224
    shorter_side: int | None = None
    interpolation: Literal["bilinear", "bicubic", "nearest"] = "bilinear"
    longer_side: Literal["down", "nearest"] = "down"
    crop_offset: Literal["nearest", "down"] = "nearest"

    def __post_init__(self) -> None:
        # The fields may come from a weight file: tuples may be lists, and any value may be invalid.
        object.__setattr__(self, "mean", tuple(map(float, self.mean)))
        object.__setattr__(self, "std", tuple(map(float, self.std)))
        sizes = [self.size] if self.shorter_side is None else [self.size, self.shorter_side]
        if any(type(size) is not int for size in sizes):
            raise ValueError(f"the sizes of an input preset must be integers: {self}")
        if (
            not isinstance(self.name, str)
            or max(sizes) > MAX_SIZE
            or not all(map(math.isfinite, (*self.mean, *self.std, self.scale)))
            or self.channel_order not in ("RGB", "BGR")
            or self.interpolation not in ("bilinear", "bicubic", "nearest")
            or self.longer_side not in ("down", "nearest")
            or self.crop_offset not in ("down", "nearest")
            or len(self.mean) != 3
            or len(self.std) != 3
            or not min(self.std) > 0
            or not self.scale > 0
            or not 1 <= self.size <= (self.shorter_side or self.size)
        ):
            raise ValueError(f"invalid input preset: {self}")

    @cached_property
    def bounds(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """The input values, one for each channel, of black and of white."""
        mean, std = np.array(self.mean), np.array(self.std)
        black, white = (0 - mean) / std, (255 / self.scale - mean) / std
        return tuple(black.tolist()), tuple(white.tolist())

    def takes(self, channels: int) -> bool:
        """Whether it makes input of so many channels: three, or one if all colours are alike."""
        alike = len(set(self.mean)) == len(set(self.std)) == 1
        return channels == 3 or (channels == 1 and alike)

    def to_metadata(self) -> dict[str, str]:
        """Return the preset as an entry of a weight file's metadata: a JSON object."""
        return {"preset": json.dumps(dataclasses.asdict(self))}

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str]) -> Preset | None:
        """Return the preset of a weight file's metadata, or None if there is no such entry.

        Raises
        ------
        ValueError
            If the entry is neither a known name nor a JSON object of this class's fields.
        """
        text = metadata.get("preset")
        if text is None:
            return None
        if not text.lstrip().startswith("{"):
            return find(text)
        try:
            return cls(**json.loads(text))
        except (TypeError, ValueError, RecursionError) as error:
            raise ValueError(f"metadata: the preset {text[:200]!r} is invalid ({error})") from error


def misread(values: NDArray[np.float32], preset: Preset) -> str | None:
    """Return what input values seem to be that this preset cannot have normalised.

    Parameters
    ----------
    values : (N, 3, H, W) array of float32
    preset : Preset
        Of the network that takes the values.

    Returns
    -------
    "0..1", "0..255", "other" or None
        Values of a picture, values of another normalisation, or values that may be right. A
        constant input is never wrong.
    """
    low, high = float(values.min()), float(values.max())
    if not low < high < math.inf:
        return None
    black, white = min(preset.bounds[0]), max(preset.bounds[1])
    span = white - black
    # A preset whose white is 1 makes such values of bright pictures, too.
    if low >= 0 and high <= 1 and span > 1.5 and (white > 1 or low < _SHADOW):
        return "0..1"
    if low >= 0 and 1 < high <= 255:
        above = values.max(axis=(0, 2, 3)) > np.array(preset.bounds[1]) + span / 100
        if high > _DARK and above.any():
            return "0..255"
        if black < 0 and span > _WIDE and (values == np.rint(values)).all():
            return "0..255"
    size, limit = max(-low, high), max(-black, white)
    return "other" if size > 16 * limit or (span > _WIDE and size <= _NARROW) else None


_DARK = 16
"""No picture of 0 to 255 is darker than this."""
_SHADOW = 0.1
"""Pictures of 0 to 1 have pixels darker than this."""
_WIDE, _NARROW = 50, 3
"""Ranges of values: of presets that keep the scale of the pixels; of all others."""

_CAFFE_MEAN = (103.939, 116.779, 123.68)
"""The mean of ImageNet's pixels in BGR order, from the VGG authors' Caffe model."""

PRESETS: dict[str, Preset] = {
    preset.name: preset
    for preset in (
        Preset("torchvision", shorter_side=256),
        Preset("torchvision-straight"),
        Preset("caffe", "BGR", 1.0, _CAFFE_MEAN, (1.0, 1.0, 1.0)),
        Preset("keras", "BGR", 1.0, _CAFFE_MEAN, (1.0, 1.0, 1.0), interpolation="nearest"),
        Preset("keras-tf", "RGB", 127.5, (1.0,) * 3, (1.0,) * 3, interpolation="nearest"),
        Preset("keras-torch", interpolation="nearest"),
        Preset("0..1", "RGB", 255.0, (0.0,) * 3, (1.0,) * 3),
        Preset("0..255", "RGB", 1.0, (0.0,) * 3, (1.0,) * 3),
        Preset("frossard", "RGB", 1.0, _CAFFE_MEAN[::-1], (1.0, 1.0, 1.0)),
        Preset(
            *("efficientnet-lite", "RGB", 1.0, (127.0,) * 3, (128.0,) * 3, 224, 256, "bicubic"),
            longer_side="nearest",
        ),
    )
}
"""The conventions of published weights, equal to the last bit to their authors' code.

For the same upright RGB pixels (`read_picture` lists where these differ):

torchvision
    ``VGG16_Weights.IMAGENET1K_V1.transforms()``, or ``Resize(256)``, ``CenterCrop(224)``,
    ``ToTensor()``, ``Normalize(...)``, of a Pillow image. ``transforms.v2`` multiplies by the
    rounded 1/255 and differs by up to 7e-7. For tensors, torchvision resizes with other code,
    which rounds one value in six in the other direction, by one step of 255.
torchvision-straight
    The same values, but the whole picture is resized to 224 x 224.
keras
    ``keras.utils.load_img(path, target_size=(224, 224))``, whose default interpolation is
    nearest, ``img_to_array`` and ``keras.applications.vgg16.preprocess_input``.
caffe
    The same with ``load_img(..., interpolation="bilinear")``. The Grad-CAM paper's code (Torch7)
    differs in one step: its ``image.scale`` reduces by area averages, enlarges with aligned
    corners, and does not round to 8 bits in between.
keras-tf, keras-torch
    The same with the other two modes of ``keras.applications``: RGB from -1 to 1, and RGB with
    torchvision's mean and standard deviation.
0..1, 0..255
    The whole picture, RGB, resized: pixel values divided by 255, or as they are, for networks that
    scale their input themselves.
frossard
    ``scipy.misc.imresize(picture, (224, 224))`` and the mean in the first layer of Frossard's
    VGG-16 for TensorFlow.
efficientnet-lite
    ``(pixel - 127) / 128`` of the centre of a picture whose shorter side is 256, as torchvision,
    but resized by Pillow's bicubic filter. The authors' code in TensorFlow has the same values; it
    crops before it resizes, with TensorFlow's bicubic filter.
"""


def find(preset: str | Preset) -> Preset:
    """Return the preset of that name; a :class:`Preset` is returned unchanged.

    Raises
    ------
    ValueError
        If the name is not in :data:`PRESETS`.
    TypeError
        If `preset` is neither a name nor a preset.
    """
    if isinstance(preset, Preset):
        return preset
    if not isinstance(preset, str):
        raise TypeError(f"preset: expected a name or a Preset, got {type(preset).__name__}")
    if preset not in PRESETS:
        raise ValueError(f"no input preset is called {preset!r}; known are {', '.join(PRESETS)}")
    return PRESETS[preset]
