"""From preprocessor_config.json to an input preset.

The image processors of transformers first resize, then crop, then scale and normalise. They differ
in what a size means, and in the values of settings that the file leaves out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple, cast

from gradcam._importers.huggingface.settings import Settings
from gradcam._pictures.presets import Preset
from gradcam._weights.folder import PREPROCESSOR
from gradcam._weights.tensors import WeightsError

_HALF = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
_CLIP = {
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
}

_BILINEAR, _BICUBIC = 2, 3
_FILTERS: dict[int, Literal["nearest", "bilinear", "bicubic"]] = {
    0: "nearest",
    _BILINEAR: "bilinear",
    _BICUBIC: "bicubic",
}
"""Interpolations by Pillow's numbers."""

_DEFAULTS: dict[str, Mapping[str, object]] = {
    "ConvNext": {
        **_HALF,
        "resample": _BICUBIC,
        "size": {"shortest_edge": 384},
        "do_center_crop": False,
    },
    "EfficientNet": {
        **_HALF,
        "resample": _BICUBIC,
        "size": {"height": 346, "width": 346},
        "do_center_crop": False,
        "crop_size": {"height": 289, "width": 289},
    },
    "MobileNetV1": {**_HALF, "resample": _BILINEAR, "size": {"shortest_edge": 256}},
    "MobileNetV2": {**_HALF, "resample": _BILINEAR, "size": {"shortest_edge": 256}},
    "Bit": {**_CLIP, "resample": _BICUBIC, "size": {"shortest_edge": 224}},
    "CLIP": {**_CLIP, "resample": _BICUBIC, "size": {"shortest_edge": 224}},
    "ViT": {
        **_HALF,
        "resample": _BILINEAR,
        "size": {"height": 224, "width": 224},
        "do_center_crop": False,
    },
}
"""What an image processor does if the file does not say it, by the beginning of its name."""

_COMMON: Mapping[str, object] = {
    "do_resize": True,
    "do_center_crop": True,
    "crop_size": {"height": 224, "width": 224},
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
}

_SQUARE = ("ViT", "EfficientNet")
"""Those that take a size of one number as that of both sides."""

_NO_MATTER = (
    *("image_processor_type", "feature_extractor_type", "processor_class", "return_tensors"),
    *("data_format", "input_data_format", "disable_grouping", "do_convert_rgb", "device"),
    *("image_seq_length", "_valid_processor_keys", "default_to_square", "pad_size", "auto_map"),
    *("_processor_class", "size_divisor", "backend"),
)
"""Settings that change nothing here. Pictures are RGB in any case."""

_WARPED = 384
"""ConvNeXt's processor resizes to sizes from this one on without a crop."""


def preset_of(values: Mapping[str, object] | None, channels: int) -> tuple[Preset | None, str]:
    """Return the preset, or why there is none: the end of the sentence "... , pass preset=".

    Parameters
    ----------
    values : mapping of str to object, or None
        The content of preprocessor_config.json.
    channels : int
        Of the input.

    Raises
    ------
    WeightsError
        If a setting has a wrong type or a value out of range.
    """
    if values is None:
        return None, f"there is no {PREPROCESSOR}, which says how pictures become input"
    if channels != 3:
        return None, f"its input has {channels} channel{'s' * (channels != 1)}"
    kind = _kind(values)
    if kind is None:
        named = values.get("image_processor_type", values.get("feature_extractor_type"))
        return None, f"the image processor {str(named)[:60]!r} is not known here"
    settings = Settings({**_COMMON, **_DEFAULTS[kind], **_stated(values)}, PREPROCESSOR)
    try:
        numbers = _numbers(settings, kind)
        place = _place(settings, kind)
        _refuse_others(settings)
    except _Inexpressible as error:
        return None, str(error)
    try:
        scale, mean, std = numbers
        preset = Preset(
            f"{kind} of {PREPROCESSOR}",
            scale=scale,
            mean=mean,
            std=std,
            size=place.size,
            shorter_side=place.shorter_side,
            interpolation=place.interpolation,
            crop_offset="down",
        )
    except (ValueError, OverflowError) as error:
        raise WeightsError(f"{PREPROCESSOR}: {error}") from None
    return preset, ""


_Three = tuple[float, float, float]


class _Inexpressible(Exception):
    """What a file says that no preset can express."""


class _Place(NamedTuple):
    """How a picture is resized and cropped, as the fields of a preset."""

    size: int
    shorter_side: int | None
    interpolation: Literal["nearest", "bilinear", "bicubic"]


def _stated(values: Mapping[str, object]) -> dict[str, object]:
    return {key: value for key, value in values.items() if value is not None}


def _kind(values: Mapping[str, object]) -> str | None:
    """Return whose image processor it is, of those that are known."""
    name = values.get("image_processor_type", values.get("feature_extractor_type"))
    if not isinstance(name, str):
        return None
    for ending in ("Fast", "Pil"):
        name = name.removesuffix(ending)
    name = name.removesuffix("ImageProcessor").removesuffix("FeatureExtractor")
    return name if name in _DEFAULTS else None


def _numbers(settings: Settings, kind: str) -> tuple[float, _Three, _Three]:
    """Return scale, mean and standard deviation."""
    scale = 1.0
    mean: _Three = (0.0, 0.0, 0.0)
    std: _Three = (1.0, 1.0, 1.0)
    rescaled = settings.flag("do_rescale", True)
    if rescaled:
        scale = 1 / settings.real("rescale_factor", 1 / 255, 1e-9, 1e9)
        scale = round(scale) if abs(scale - round(scale)) < 1e-6 else scale
    deviation = _three(settings, "image_std")
    if settings.flag("do_normalize", True):
        mean, std = _three(settings, "image_mean"), deviation
    if kind == "EfficientNet":
        if settings.flag("rescale_offset", False) and rescaled:  # pixel / scale - 1
            mean = (mean[0] + 1, mean[1] + 1, mean[2] + 1)
        if settings.flag("include_top", True):  # divided by the deviation once more
            std = (std[0] * deviation[0], std[1] * deviation[1], std[2] * deviation[2])
    return float(scale), mean, std


def _three(settings: Settings, key: str) -> _Three:
    values = settings.reals(key, ())
    if len(values) != 3:
        raise settings.wrong(key, "three numbers, for red, green and blue")
    return values[0], values[1], values[2]


def _place(settings: Settings, kind: str) -> _Place:
    number = settings.whole("resample", _BILINEAR, low=0)
    if number not in _FILTERS:
        raise _Inexpressible(
            f"resample is {number}, and only Pillow's filters 0 (nearest), 2 (bilinear) and "
            f"3 (bicubic) are known here"
        )
    if not settings.flag("do_resize", True):
        raise _Inexpressible("do_resize is false, so pictures keep their size")
    place = _convnext(settings) if kind == "ConvNext" else _general(settings, kind)
    size, shorter_side = place
    return _Place(size, shorter_side, _FILTERS[number])


def _convnext(settings: Settings) -> tuple[int, int | None]:
    size = _sides(settings, "size", square=False)
    if isinstance(size, tuple):
        raise settings.wrong("size", "an object with shortest_edge")
    if settings.flag("do_center_crop", False):
        raise _Inexpressible("do_center_crop is true, which crops a second time")
    share = settings.real("crop_pct", 224 / 256, 1e-3, 1e3)
    if size >= _WARPED:
        return size, None
    shorter_side = int(size / share)
    if shorter_side < size:
        raise _Inexpressible(f"crop_pct is {share:g}, more than 1")
    return size, shorter_side


def _general(settings: Settings, kind: str) -> tuple[int, int | None]:
    size = _sides(settings, "size", square=kind in _SQUARE)
    crop = _sides(settings, "crop_size", square=True)
    if isinstance(size, tuple) and size[0] != size[1]:
        raise _Inexpressible(f"size is {size[0]} x {size[1]}, not a square")
    cropped = settings.flag("do_center_crop", True)
    if not cropped:
        if isinstance(size, tuple):
            return size[0], None
        raise _Inexpressible("inputs keep the shape of the picture: they are not cropped")
    assert isinstance(crop, tuple)
    if crop[0] != crop[1]:
        raise _Inexpressible(f"crop_size is {crop[0]} x {crop[1]}, not a square")
    if isinstance(size, tuple):
        if size != crop:
            raise _Inexpressible("a picture is resized to a square before it is cropped")
        return size[0], None
    if size < crop[0]:
        raise _Inexpressible(f"crop_size {crop[0]} is larger than size {size}")
    return crop[0], size


def _sides(settings: Settings, key: str, *, square: bool) -> int | tuple[int, int]:
    """Return the shorter side, or height and width."""
    value = settings.get(key)
    if isinstance(value, dict):
        sides = Settings(cast("Mapping[str, object]", value), f"{settings.file}: {key}")
        names = {name for name, each in value.items() if each is not None}
        if names == {"shortest_edge"}:
            return sides.whole("shortest_edge", 1)
        if names == {"height", "width"}:
            return sides.whole("height", 1), sides.whole("width", 1)
        raise _Inexpressible(f"{key} has {', '.join(sorted(map(str, names))) or 'no entries'}")
    side = settings.whole(key, 1)
    return (side, side) if square else side


def _refuse_others(settings: Settings) -> None:
    settings.used.update(_NO_MATTER, _COMMON, _HALF)
    others = settings.others()
    if others:
        raise _Inexpressible(f"the setting {others[0][:60]!r} is not known here")
