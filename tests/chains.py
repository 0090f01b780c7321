"""How the weights' authors convert a picture to network input, written in NumPy and Pillow.

Each chain is a transcription of documented steps, in the order of its float32 operations, and
converts an (H, W, 3) RGB array to (3, 224, 224). Tests under peers/ compare the originals.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image

Chain = Callable[[np.ndarray], np.ndarray]

CAFFE_MEAN = [103.939, 116.779, 123.68]  # BGR
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def resized_size(height: int, width: int) -> tuple[int, int]:
    """torchvision's Resize(256): the shorter side becomes 256, the longer is rounded down."""
    short, long = (width, height) if width <= height else (height, width)
    new = int(256 * long / short)
    return (new, 256) if width <= height else (256, new)


def crop_offset(length: int) -> int:
    """torchvision's CenterCrop(224)."""
    return round((length - 224) / 2.0)


def torchvision(picture: np.ndarray) -> np.ndarray:
    """Resize(256), CenterCrop(224), ToTensor(), Normalize(MEAN, STD) of a Pillow image."""
    height, width = resized_size(*picture.shape[:2])
    image = Image.fromarray(picture).resize((width, height), Image.Resampling.BILINEAR)
    left, top = crop_offset(width), crop_offset(height)
    image = image.crop((left, top, left + 224, top + 224))
    return normalised(np.asarray(image))


def torchvision_straight(picture: np.ndarray) -> np.ndarray:
    """Resize((224, 224)), ToTensor(), Normalize(MEAN, STD)."""
    return normalised(bilinear(picture))


def normalised(pixels: np.ndarray) -> np.ndarray:
    """ToTensor and Normalize: three float32 operations, each rounded."""
    tensor = pixels.transpose(2, 0, 1).astype(np.float32) / np.float32(255)
    mean, std = (np.array(each, np.float32).reshape(3, 1, 1) for each in (MEAN, STD))
    return (tensor - mean) / std


def keras(picture: np.ndarray, resize: Chain | None = None) -> np.ndarray:
    """load_img(target_size=(224, 224)), img_to_array, preprocess_input in caffe mode."""
    x = (resize or nearest)(picture).astype(np.float32)
    x = x[..., ::-1].copy()
    for channel in range(3):
        x[..., channel] -= CAFFE_MEAN[channel]
    return x.transpose(2, 0, 1)


def caffe(picture: np.ndarray) -> np.ndarray:
    """The paper's preprocessing, after Pillow's bilinear resize (Keras's `interpolation`)."""
    return keras(picture, bilinear)


def keras_tf(picture: np.ndarray) -> np.ndarray:
    """load_img(target_size=(224, 224)), img_to_array, preprocess_input in tf mode."""
    x = nearest(picture).astype(np.float32)
    x /= 127.5
    x -= 1.0
    return x.transpose(2, 0, 1)


def keras_torch(picture: np.ndarray) -> np.ndarray:
    """The same in torch mode."""
    return normalised(nearest(picture))


def from_0_to_1(picture: np.ndarray) -> np.ndarray:
    """Resize((224, 224)), ToTensor()."""
    return bilinear(picture).transpose(2, 0, 1).astype(np.float32) / np.float32(255)


def from_0_to_255(picture: np.ndarray) -> np.ndarray:
    """Resize((224, 224)), the pixels as they are."""
    return bilinear(picture).transpose(2, 0, 1).astype(np.float32)


def frossard(picture: np.ndarray) -> np.ndarray:
    """scipy.misc.imresize, then RGB minus the mean in float32."""
    mean = np.array([123.68, 116.779, 103.939], np.float32)
    return (bilinear(picture).astype(np.float32) - mean).transpose(2, 0, 1)


def efficientnet_lite(picture: np.ndarray) -> np.ndarray:
    """The shorter side to 256, bicubic, the longer one rounded; the centre; (v - 127) / 128."""
    height, width = (round(256 * side / min(picture.shape[:2])) for side in picture.shape[:2])
    image = Image.fromarray(picture).resize((width, height), Image.Resampling.BICUBIC)
    left, top = crop_offset(width), crop_offset(height)
    pixels = np.asarray(image.crop((left, top, left + 224, top + 224)), np.float32)
    return ((pixels - np.float32(127)) / np.float32(128)).transpose(2, 0, 1)


def bilinear(picture: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(picture).resize((224, 224), Image.Resampling.BILINEAR))


def nearest(picture: np.ndarray) -> np.ndarray:
    """Pillow's nearest in NumPy: the pixel that contains the centre of the new one."""
    rows, columns = (nearest_places(length) for length in picture.shape[:2])
    return picture[rows[:, None], columns]


def nearest_places(length: int, new: int = 224) -> np.ndarray:
    """(new,): floor((i + 1/2) length / new), by repeated addition in float64 as in Pillow."""
    step = length / new
    return np.cumsum([step / 2] + [step] * (new - 1)).astype(int)


CHAINS: dict[str, Chain] = {
    "torchvision": torchvision,
    "torchvision-straight": torchvision_straight,
    "keras": keras,
    "caffe": caffe,
    "keras-tf": keras_tf,
    "keras-torch": keras_torch,
    "0..1": from_0_to_1,
    "0..255": from_0_to_255,
    "frossard": frossard,
    "efficientnet-lite": efficientnet_lite,
}
"""Chains by the name of the equal preset."""
