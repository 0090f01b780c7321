"""Layers that change a map's size or arrangement, and those that do nothing at inference."""

from __future__ import annotations

from gradcam._importers.keras.step import Step, StepFunction
from gradcam._importers.values import Value
from gradcam._weights.tensors import WeightsError

_NOTHING = {
    "ActivityRegularization": ("l1", "l2"),
    "AlphaDropout": ("rate", "seed", "noise_shape"),
    "Dropout": ("rate", "seed", "noise_shape"),
    "GaussianDropout": ("rate", "seed"),
    "GaussianNoise": ("stddev", "seed"),
    "Identity": (),
    "SpatialDropout2D": ("rate", "seed", "data_format"),
    "StochasticDepth": ("drop_path_rate",),
}
"""Layers that do nothing at inference, with their arguments."""

_AUGMENTATION = (
    *("RandomBrightness", "RandomColorDegeneration", "RandomColorJitter", "RandomContrast"),
    *("RandomErasing", "RandomFlip", "RandomGaussianBlur", "RandomGrayscale", "RandomHeight"),
    *("RandomHue", "RandomInvert", "RandomPerspective", "RandomPosterization", "RandomRotation"),
    *("RandomSaturation", "RandomSharpness", "RandomShear", "RandomTranslation", "RandomWidth"),
    *("RandomZoom", "MixUp", "CutMix", "AugMix", "RandAugment"),
)
"""Layers that change pictures in training alone, whatever their arguments."""


def nothing(step: Step) -> Value:
    """A layer that does nothing at inference; its name stays one of the map's."""
    value = step.value()
    step.builder.also(value, step.name)
    return value


def _without_effect(names: tuple[str, ...]) -> StepFunction:
    def function(step: Step) -> Value:
        step.arguments.ignore(*names)
        return nothing(step)

    return function


def augmentation(step: Step) -> Value:
    step.arguments.ignore_all()
    return nothing(step)


def zero_padding2d(step: Step) -> Value:
    (top, bottom), (left, right) = _sides(step, "padding", 1)
    value = step.builder.arranged(step.value(), step.layout())
    return step.builder.pad(value, (top, left, bottom, right), step.name)


def cropping2d(step: Step) -> Value:
    (top, bottom), (left, right) = _sides(step, "cropping", 0)
    value = step.builder.arranged(step.value(), step.layout())
    height, width = value.extent
    if top + bottom >= height or left + right >= width:
        raise WeightsError(f"cuts all of a map of {height} x {width} positions")
    if (top, bottom, left, right) == (0, 0, 0, 0):
        return nothing(step)
    return step.builder.pad(value, (-top, -left, -bottom, -right), step.name)


def _sides(step: Step, name: str, default: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return numbers before and after the rows and the columns: of one, two or four integers."""
    value = step.arguments.get(name, default)
    both = value if isinstance(value, (list, tuple)) and len(value) == 2 else (value, value)
    pairs = [
        tuple(each) if isinstance(each, (list, tuple)) and len(each) == 2 else (each, each)
        for each in both
    ]
    numbers = [number for pair in pairs for number in pair]
    if any(type(number) is not int or not 0 <= number <= 1 << 14 for number in numbers):
        raise WeightsError(f"has the argument {name}={str(value)[:60]}; expected integers")
    return (numbers[0], numbers[1]), (numbers[2], numbers[3])


def flatten(step: Step) -> Value:
    """Rows, columns and channels as one axis: channels last, also of maps with channels first."""
    layout = step.layout()
    value = step.builder.padded(step.value())
    rank = len(value.dims)
    if layout == "NCHW" and rank > 2:
        value = value.transposed([0, *range(2, rank), 1])
    return value.reshaped((value.shape[0], -1))


def reshape(step: Step) -> Value:
    value = step.builder.padded(step.value())
    if value.is_map:
        step.builder.fixed = True
    return value.reshaped((value.shape[0], *step.arguments.integers("target_shape")))


def permute(step: Step) -> Value:
    value = step.builder.padded(step.value())
    return value.transposed([0, *step.arguments.integers("dims")])


def resizing(step: Step) -> Value:
    """A change of size, which is not supported; one to the size that the map has does nothing."""
    step.arguments.ignore("interpolation", "crop_to_aspect_ratio", "pad_to_aspect_ratio")
    step.arguments.ignore("fill_mode", "fill_value", "antialias", "seed")
    size = step.arguments.integer("height"), step.arguments.integer("width")
    value = step.builder.arranged(step.value(), step.layout())
    if value.extent != size:
        raise WeightsError(
            f"resizes {value.extent} to {size}, which is not supported: give the model pictures "
            f"of that size (with size={size} if its input is of any size), or make it without "
            f"this layer"
        )
    step.builder.fixed = True
    return nothing(step)


# ------------------------------------------------------------------------------ operations


def reshape_operation(step: Step) -> Value:
    value = step.builder.padded(step.value())
    if value.is_map:
        step.builder.fixed = True
    name = "newshape" if step.arguments.get("newshape") is not None else "shape"
    return value.reshaped((value.shape[0], *step.arguments.integers(name)[1:]))


def transpose(step: Step) -> Value:
    name = "axes" if step.arguments.get("axes") is not None else "perm"
    value = step.builder.padded(step.value())
    return value.transposed(step.arguments.integers(name))


def squeeze(step: Step) -> Value:
    value = step.builder.padded(step.value())
    axes = step.arguments.integers("axis")
    rank = len(value.dims)
    if any(not -rank <= axis < rank for axis in axes):
        raise WeightsError(f"removes the axes {axes[:8]} of {value.shape}")
    return value.without([axis % rank for axis in axes])


LAYERS: dict[str, StepFunction] = {
    "Cropping2D": cropping2d,
    "Flatten": flatten,
    "Permute": permute,
    "Reshape": reshape,
    "Resizing": resizing,
    "ZeroPadding2D": zero_padding2d,
    **{name: _without_effect(arguments) for name, arguments in _NOTHING.items()},
    **dict.fromkeys(_AUGMENTATION, augmentation),
}
"""By the class names of Keras's layers."""

OPERATIONS: dict[str, StepFunction] = {
    "Reshape": reshape_operation,
    "Squeeze": squeeze,
    "Transpose": transpose,
}
"""By the class names of Keras 3's operations."""
