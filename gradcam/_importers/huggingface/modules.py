"""The modules that the families are made of: layers by the names of their tensors in the file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from numpy.typing import NDArray

from gradcam._engine.layers import Attribute
from gradcam._importers.builder import Builder, Pair
from gradcam._importers.values import Padding, Value
from gradcam._weights.tensors import WeightsError

Array = NDArray[Any]

_TANH: dict[str, Attribute] = {"approximate": True}
_ACTIVATIONS: dict[str, tuple[str, dict[str, Attribute]]] = {
    "relu": ("relu", {}),
    "relu6": ("relu6", {}),
    "gelu": ("gelu", {}),
    "gelu_python": ("gelu", {}),
    **dict.fromkeys(
        ("gelu_new", "gelu_fast", "gelu_accurate", "gelu_pytorch_tanh", "gelu_python_tanh"),
        ("gelu", _TANH),
    ),
    "silu": ("silu", {}),
    "swish": ("silu", {}),
    "hardswish": ("hard_swish", {}),
    "leaky_relu": ("leaky_relu", {"slope": 0.01}),
    "sigmoid": ("sigmoid", {}),
    "tanh": ("tanh", {}),
    "linear": ("", {}),
}
"""The operation and attributes of each activation, by its name in transformers; "" for none."""

_BATCH_NORM = ("weight", "bias", "running_mean", "running_var")


class Modules:
    """Adds modules of PyTorch to a network, with the tensors of a file.

    Layers have the names of modules, and shorter ones without the names of the modules around them
    that all layers have in common.

    Parameters
    ----------
    builder : Builder
    tensors : mapping of str to array
    base : str
        The module that holds all others but the classifier: "resnet".
    """

    def __init__(self, builder: Builder, tensors: Mapping[str, Array], base: str) -> None:
        self.builder = builder
        self._tensors = tensors
        self._base = f"{base}."
        self._used: set[str] = set()

    def unused(self) -> list[str]:
        """Return the names of the tensors that no module has asked for.

        The numbers of batches that batch normalisations have seen are of no use.
        """
        return [
            name
            for name in self._tensors
            if name not in self._used and name.rpartition(".")[2] != "num_batches_tracked"
        ]

    def tensor(self, name: str, *shape: int) -> Array:
        """Return a tensor.

        Raises
        ------
        WeightsError
            If it is missing, has another shape, or holds no real numbers.
        """
        values = self._tensors.get(name)
        if values is None:
            raise WeightsError(f"the tensor {name!r} is missing")
        if values.shape != shape:
            raise WeightsError(
                f"tensor {name!r} has shape {values.shape}, expected {shape} by config.json"
            )
        if values.dtype.kind != "f":
            raise WeightsError(
                f"tensor {name!r} has type {values.dtype}, expected floating-point numbers"
            )
        self._used.add(name)
        return values

    def shape(self, name: str, rank: int) -> tuple[int, ...]:
        """Return the shape of a tensor of so many axes, for sizes that only the tensors say."""
        values = self._tensors.get(name)
        if values is None or values.ndim != rank or not values.size:
            found = "missing" if values is None else f"of shape {values.shape}"
            raise WeightsError(f"the tensor {name!r} is {found}, expected one of {rank} axes")
        return values.shape

    def numbers(self, pattern: str, first: int = 0) -> list[int]:
        """Return the numbers from `first` on for which there is a tensor of this name."""
        found: list[int] = []
        while pattern.format(first + len(found)) in self._tensors:
            found.append(first + len(found))
        return found

    def conv(
        self,
        value: Value,
        path: str,
        units: int,
        kernel: int | Pair,
        *,
        stride: int | Pair = 1,
        padding: int | Padding = 0,
        dilation: int = 1,
        groups: int = 1,
        bias: bool = False,
        also: tuple[str, ...] = (),
    ) -> Value:
        """Add a convolution; `also` are further modules that end with it."""
        rows, columns = (kernel, kernel) if isinstance(kernel, int) else kernel
        if value.channels % groups:
            raise WeightsError(f"{path}: {groups} groups of {value.channels} channels")
        weight = self.tensor(f"{path}.weight", units, value.channels // groups, rows, columns)
        with _named(path):
            return self.builder.conv(
                value,
                path,
                weight,
                self.tensor(f"{path}.bias", units) if bias else None,
                stride=(stride, stride) if isinstance(stride, int) else stride,
                padding=(padding,) * 4 if isinstance(padding, int) else padding,
                dilation=(dilation, dilation),
                groups=groups,
                aliases=self._aliases(path, *also),
            )

    def batch_norm(
        self,
        value: Value,
        path: str,
        *,
        eps: float = 1e-5,
        name: str = "",
        also: tuple[str, ...] = (),
    ) -> Value:
        """Add a batch normalisation; `name` is the layer's, if it is not that of the tensors."""
        weight, bias, mean, variance = (
            self.tensor(f"{path}.{name}", value.channels) for name in _BATCH_NORM
        )
        return self.builder.batch_norm(
            value,
            name or path,
            mean,
            variance,
            weight,
            bias,
            eps=eps,
            aliases=self._aliases(name or path, *also),
        )

    def layer_norm(self, value: Value, path: str, *, eps: float) -> Value:
        """Add a layer normalisation over the channels."""
        weight, bias = (self.tensor(f"{path}.{n}", value.channels) for n in ("weight", "bias"))
        return self.builder.layer_norm(
            value, path, weight, bias, eps=eps, aliases=self._aliases(path)
        )

    def linear(self, value: Value, path: str, units: int) -> Value:
        """Add a linear layer, at each position of a map; its weight may be that of a convolution
        of one position."""
        name = f"{path}.weight"
        found = self._tensors.get(name)
        ones = (1, 1) if found is not None and found.ndim == 4 else ()
        weight = self.tensor(name, units, value.channels, *ones).reshape(units, -1)
        bias = self.tensor(f"{path}.bias", units)
        if value.is_map:
            kernel = weight.reshape(*weight.shape, 1, 1)
            return self.builder.conv(value, path, kernel, bias, aliases=self._aliases(path))
        vector = self.builder.vector(value, f"{path}.flatten")
        return self.builder.linear(vector, path, weight, bias, aliases=self._aliases(path))

    def scale(self, value: Value, path: str, tensor: str) -> Value:
        """Add a factor for each channel."""
        factors = self.tensor(tensor, value.channels)
        return self.builder.scale_and_shift(
            value, path, factors.reshape(-1, 1, 1), aliases=self._aliases(path)
        )

    def activation(self, value: Value, path: str, name: str, *also: str) -> Value:
        """Add the activation that transformers calls `name`."""
        if name not in _ACTIVATIONS:
            raise WeightsError(
                f"{path}: the activation {name!r} is not supported; known are "
                f"{', '.join(_ACTIVATIONS)}"
            )
        op, attributes = _ACTIVATIONS[name]
        if not op:
            return value
        return self.builder.elementwise(value, path, op, self._aliases(path, *also), **attributes)

    def max_pool(self, value: Value, path: str, kernel: int, stride: int, padding: int) -> Value:
        """Add a maximum pooling."""
        with _named(path):
            return self.builder.pool(
                value,
                path,
                "max_pool",
                (kernel, kernel),
                stride=(stride, stride),
                padding=(padding,) * 4,
                aliases=self._aliases(path),
            )

    def mean(self, value: Value, path: str) -> Value:
        """Add the mean over all positions, as a map of one position."""
        return self.builder.global_pool(value, path, "average_pool", aliases=self._aliases(path))

    def maximum(self, value: Value, path: str) -> Value:
        """Add the maximum over all positions, as a map of one position."""
        return self.builder.global_pool(value, path, "max_pool", aliases=self._aliases(path))

    def add(self, first: Value, second: Value, path: str, *also: str) -> Value:
        """Add the sum of two maps."""
        with _named(path):
            return self.builder.sum([first, second], path, self._aliases(path, *also))

    def gated(self, value: Value, gate: Value, path: str) -> Value:
        """Add the product of a map and a factor for each channel."""
        with _named(path):
            return self.builder.product(value, gate, path, self._aliases(path))

    def _aliases(self, *paths: str) -> tuple[str, ...]:
        """Return further names: those of modules, and all without what they have in common."""
        short = [path.removeprefix(self._base).removeprefix("encoder.") for path in paths]
        return (*paths[1:], *short)


@contextmanager
def _named(path: str) -> Iterator[None]:
    """Put a module's name before the message of an error."""
    try:
        yield
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}") from None


def same_padding(extent: Pair, kernel: int, stride: int, dilation: int = 1) -> Padding:
    """Return the padding of transformers' MobileNets: TensorFlow's padding "same".

    The output has ceil(size / stride) positions; the larger half of an odd number of zeros comes
    after the map. With a dilation, the zeros of the plain kernel are multiplied by it.
    """
    totals = [max(kernel - (size % stride or stride), 0) for size in extent]
    top, left = (total // 2 * dilation for total in totals)
    bottom, right = ((total - total // 2) * dilation for total in totals)
    return top, left, bottom, right
