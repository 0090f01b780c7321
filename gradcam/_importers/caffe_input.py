"""The input of Caffe's networks: its size, and how pictures become input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gradcam._pictures.presets import MAX_SIZE, Preset
from gradcam._text import printable
from gradcam._weights.caffe_schema import SOURCES as SOURCES
from gradcam._weights.graph import Node
from gradcam._weights.tensors import WeightsError

_MAX_CHANNELS = 1 << 16

_PICTURES = ("Data", "ImageData")
"""Sources that read pictures, whose transformation is all that happens to them."""


@dataclass(frozen=True)
class Source:
    """Where a network's pictures come from, as the file says.

    Attributes
    ----------
    node : Node
    batch : int
    channels : int or None
    size : (height, width) or None
    """

    node: Node
    batch: int
    channels: int | None
    size: tuple[int, int] | None

    @property
    def mean_file(self) -> str:
        """The name of the file with the mean of the pictures; empty if there is none."""
        name = self.node.attributes.get("mean_file", "")
        return name if isinstance(name, str) else ""


def source_of(node: Node, notes: list[str]) -> Source:
    """Return what a source says of its pictures.

    Raises
    ------
    WeightsError
        If it is not a batch of maps.
    """
    batch, channels = 1, None
    height = width = 0
    shape = node.attributes.get("shape")
    if isinstance(shape, tuple):
        if len(shape) != 4 or any(type(n) is not int for n in shape):
            raise WeightsError(
                f"the input {node.outputs[0]!r} has shape {shape}, expected a batch of pictures: "
                f"(N, C, H, W)"
            )
        batch, channels, height, width = map(int, shape)
    else:
        channels = _whole(node, "channels") or None
        height = _whole(node, "height") or _whole(node, "new_height")
        width = _whole(node, "width") or _whole(node, "new_width")
    crop = _whole(node, "crop_size")
    if crop:
        height = width = crop
    if channels is None and (
        node.attributes.get("force_gray") == 1 or node.attributes.get("is_color") == 0
    ):
        channels = 1
    size = (height, width) if height or width else None
    _check(node, batch, channels, size)
    if node.op in _PICTURES and crop:
        notes.append(
            f"Training cut {crop} x {crop} pixels out of larger pictures; here a picture is "
            f"resized to that as a whole."
        )
    return Source(node, batch, channels, size)


def _whole(node: Node, name: str) -> int:
    value = node.attributes.get(name, 0)
    return value if isinstance(value, int) else 0


def _check(node: Node, batch: int, channels: int | None, size: tuple[int, int] | None) -> None:
    sides = size or (1, 1)
    if not (
        0 < batch <= _MAX_CHANNELS
        and (channels is None or 0 < channels <= _MAX_CHANNELS)
        and all(0 < side <= MAX_SIZE for side in sides)
    ):
        raise WeightsError(
            f"the input {node.outputs[0]!r} has {batch} pictures of {channels} channels and "
            f"{sides[0]} x {sides[1]} pixels"
        )


def preset_of(
    source: Source, channels: int, size: tuple[int, int] | None, notes: list[str]
) -> Preset | None:
    """Return how pictures become input, if the file says it; else None, and a note why.

    Parameters
    ----------
    source : Source
    channels : int
        Of the input.
    size : (height, width) or None
        Of the input.
    notes : list of str
        Grows by the note.
    """
    node = source.node
    if channels not in (1, 3):
        notes.append(f"Pictures are refused, because the input has {channels} channels.")
        return None
    if node.op not in _PICTURES:
        usual = " (networks of Caffe usually take BGR, 0 to 255, minus a mean)"
        notes.append(
            f"The file does not say how pictures become input: pass preset="
            f"{usual if channels == 3 else ''}."
        )
        return None
    if source.mean_file:
        notes.append(
            f"The mean that is subtracted from pictures is in another file, "
            f"{printable(source.mean_file)!r:.80}: pass preset= with it."
        )
        return None
    found = _transformation(node, channels, size)
    if found is None:
        notes.append("The file's mean or scale of pictures is not usable: pass preset=.")
    return found


def _transformation(node: Node, channels: int, size: tuple[int, int] | None) -> Preset | None:
    """Return the preset of a mean and a scale; None if they are invalid."""
    means = _numbers(node.attributes.get("mean_value"))
    scale = node.attributes.get("scale", 1.0)
    if len(means) not in (0, 1, channels) or not isinstance(scale, float) or not scale > 0:
        return None
    first, second, third = means if len(means) == 3 else (list(means) or [0.0]) * 3
    try:
        # Caffe subtracts the mean before it scales.
        return Preset(
            *("caffe-file", "BGR", 1.0, (first, second, third), (1 / scale,) * 3),
            size=size[0] if size else 224,
        )
    except ValueError:
        return None


def _numbers(value: object) -> Sequence[float]:
    return [float(each) for each in value] if isinstance(value, tuple) else []
