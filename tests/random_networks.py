"""Networks at random: lists of `gradcam.Layer`, for comparison with a twin.

`random_network(seed)` chains blocks: convolutions of every geometry, residuals, branches that are
concatenated or summed, dense blocks, squeeze and excitation, shuffled halves, and single layers of
every operation in `gradcam._engine.layers.OPS`. Sizes are odd and small, channels few and many.
ENTRIES has a function for each operation; an operation without one is an error.

`build` builds the list with a twin's builder (reference.py, peers/torch_twin.py). The twins compute
in float64, the core in float32, and rounding may change a decision: on which side of a kink (a
ReLU's zero) a value lies, or where the maximum of a window is. One changed decision has a larger
effect on a gradient than all rounding. So `is_robust` tells whether all values of the twin are
further from every kink than MARGIN, and comparisons use only pictures for which that is so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from gradcam import _core
from gradcam._engine.assembly import Assembled, assemble
from gradcam._engine.layers import INPUT, OPS, SEVERAL_INPUTS, Layer, complete

RULES = ("gradient", "guided", "deconvnet")
CHANNELS = (1, 3, 7, 8, 16, 17, 33, 64)
FEW_CHANNELS = (1, 3, 7, 8, 16, 17)
MAX_VALUES = 12_000
"""Of one map of one picture: the more values, the more likely one of them is near a kink."""

MARGIN = 1e-5
"""A decision's distance from a kink, relative to the largest value of the map, at least."""

Shape = tuple[int, int, int]
"""Channels, height and width; a vector has height and width 0."""


@dataclass(frozen=True)
class Map:
    """A layer's output: its name and its shape."""

    name: str
    shape: Shape

    @property
    def channels(self) -> int:
        return self.shape[0]

    @property
    def size(self) -> tuple[int, int]:
        return self.shape[1:]

    @property
    def is_vector(self) -> bool:
        return self.shape[1] == 0


@dataclass
class Draft:
    """A network that grows."""

    rng: np.random.Generator
    layers: list[Layer] = field(default_factory=list)

    def add(
        self,
        op: str,
        inputs: Map | Sequence[Map],
        shape: Shape,
        weights: Mapping[str, Any] | None = None,
        **attributes: Any,
    ) -> Map:
        sources = [inputs] if isinstance(inputs, Map) else inputs
        name = f"{op}_{len(self.layers) + 1}"
        names = tuple(each.name for each in sources)
        self.layers.append(Layer(name, op, names, weights or {}, attributes))
        return Map(name, shape)

    def maybe(self, probability: float = 0.5) -> bool:
        return bool(self.rng.random() < probability)

    def integer(self, low: int, high: int) -> int:
        """An integer from `low` to `high`, both included."""
        return int(self.rng.integers(low, high + 1))

    def choose(self, values: Sequence[Any]) -> Any:
        return values[int(self.rng.integers(len(values)))]

    def normal(self, *shape: int, scale: float = 1.0) -> np.ndarray:
        return (scale * self.rng.standard_normal(shape)).astype(np.float32)

    def uniform(self, low: float, high: float, *shape: int) -> np.ndarray:
        return self.rng.uniform(low, high, shape).astype(np.float32)

    def number(self, low: float, high: float) -> float:
        """A number that float32 holds exactly."""
        return float(np.float32(self.rng.uniform(low, high)))


# --- one layer of each operation: (draft, map) -> map ---


def conv_of(
    d: Draft,
    x: Map,
    out: int,
    kernel: tuple[int, int],
    *,
    groups: int = 1,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
) -> Map:
    shape = (out, x.channels // groups, *kernel)
    weights = {"weight": d.normal(*shape, scale=math.sqrt(2 / math.prod(shape[1:])))}
    if d.maybe(0.7):
        weights["bias"] = d.normal(out, scale=0.3)
    sizes = []
    for i in (0, 1):
        room = x.size[i] + sum(sides(padding)[i]) - pair(dilation)[i] * (kernel[i] - 1) - 1
        sizes.append(room // pair(stride)[i] + 1)
    given = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    default = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1}
    attributes = {key: value for key, value in given.items() if value != default[key]}
    return d.add("conv", x, (out, *sizes), weights, **attributes)


def same_conv(d: Draft, x: Map, out: int, size: int = 3, **options: Any) -> Map:
    """A convolution that keeps the size of the map."""
    return conv_of(d, x, out, (size, size), padding=size // 2, **options)


def pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else tuple(value)


def sides(padding: Any) -> tuple[tuple[int, int], tuple[int, int]]:
    """((top, bottom), (left, right)) of an int, a pair or (top, left, bottom, right)."""
    if not isinstance(padding, int) and len(padding) == 4:
        top, left, bottom, right = padding
        return (top, bottom), (left, right)
    vertical, horizontal = pair(padding)
    return (vertical, vertical), (horizontal, horizontal)


def accepts_four_sides() -> bool:
    """Whether the core's padding may differ from side to side."""
    try:
        _core.NetworkBuilder(1).max_pool(0, 3, padding=(0, 0, 1, 1))
    except (TypeError, ValueError):
        return False
    return True


FOUR_SIDES = accepts_four_sides()


def random_padding(d: Draft, high: tuple[int, int]) -> Any:
    """Padding of at most that many rows and columns: a number, a pair, or one for each side."""
    if FOUR_SIDES and d.maybe(0.4):
        return tuple(d.integer(0, high[i]) for i in (0, 1, 0, 1))
    if d.maybe():
        return d.integer(0, min(high))
    return (d.integer(0, high[0]), d.integer(0, high[1]))


def channels_for(d: Draft, size: tuple[int, int]) -> int:
    """A number of channels with which a map of that size is not too large."""
    fitting = [c for c in CHANNELS if c * max(1, size[0] * size[1]) <= MAX_VALUES]
    return d.choose(fitting or [1])


def conv(d: Draft, x: Map) -> Map:
    """Of any geometry; often one of those that networks use most."""
    kind = d.choose(["3x3", "1x1", "depthwise", "strided", "grouped", "any", "any"])
    out = channels_for(d, x.size)
    if kind == "3x3":
        return same_conv(d, x, out)
    if kind == "1x1":
        return conv_of(d, x, out, (1, 1), stride=d.choose([1, 1, 2]))
    if kind == "depthwise":
        size, times = d.choose([3, 3, 5, 7]), d.choose([1, 1, 1, 2])
        return same_conv(d, x, times * x.channels, size, groups=x.channels, stride=d.choose([1, 2]))
    if kind == "strided":
        size = d.choose([3, 5, 7, 11])
        return conv_of(
            d, x, out, (size, size), stride=d.choose([2, 2, 3, 4]), padding=random_same(d, x, size)
        )
    groups = d.choose([g for g in (2, 3, 4, 8) if x.channels % g == 0] or [1])
    if kind == "grouped":
        return same_conv(d, x, groups * d.integer(1, 9), d.choose([1, 3, 3, 5]), groups=groups)
    return any_conv(d, x, groups if d.maybe(0.3) else 1)


def random_same(d: Draft, x: Map, size: int) -> Any:
    """Padding as "same" makes it: half of the kernel, or one less before than after."""
    if FOUR_SIDES and min(x.size) > 1 and d.maybe():
        before, after = size // 2 - 1, size // 2
        return (before, before, after, after)
    return size // 2


def any_conv(d: Draft, x: Map, groups: int) -> Map:
    kernel = (d.integer(1, 5), d.integer(1, 5))
    dilation = (d.choose([1, 1, 2, 3]), d.choose([1, 1, 2, 3]))
    covered = [dilation[i] * (kernel[i] - 1) + 1 for i in (0, 1)]
    padding = random_padding(d, (covered[0] // 2 + 1, covered[1] // 2 + 1))
    if any(x.size[i] + sum(sides(padding)[i]) < covered[i] for i in (0, 1)):
        return conv_of(d, x, groups * d.integer(1, 8), (1, 1), groups=groups)
    stride = (d.choose([1, 1, 1, 2, 3]), d.choose([1, 1, 1, 2, 3]))
    out = groups * max(1, channels_for(d, x.size) // groups)
    return conv_of(
        d, x, out, kernel, groups=groups, stride=stride, padding=padding, dilation=dilation
    )


def linear(d: Draft, x: Map) -> Map:
    x = x if x.is_vector else flatten(d, x)
    return linear_of(d, x, d.choose([1, 5, 16, 37, 130]))


def linear_of(d: Draft, x: Map, out: int, scale: float = 1.0) -> Map:
    weight = d.normal(out, x.channels, scale=scale * math.sqrt(2 / x.channels))
    attributes = {}
    if d.maybe(0.2):
        weight = weight.astype(np.float16).astype(np.float32)  # which is then stored exactly
        attributes["dtype"] = "float16"
    weights = {"weight": weight}
    if d.maybe(0.8):
        weights["bias"] = d.normal(out, scale=0.3)
    return d.add("linear", x, (out, 0, 0), weights, **attributes)


def batch_norm(d: Draft, x: Map) -> Map:
    weights = {"running_mean": d.normal(x.channels, scale=0.3)}
    weights["running_var"] = d.uniform(0.5, 2, x.channels)
    if d.maybe(0.8):
        weights["weight"] = d.uniform(0.5, 1.5, x.channels) * d.choose([1, 1, -1])
        weights["bias"] = d.normal(x.channels, scale=0.3)
    attributes = {"eps": 1e-3} if d.maybe(0.3) else {}
    return d.add("batch_norm", x, x.shape, weights, **attributes)


def affine(d: Draft, x: Map) -> Map:
    weights = {"scale": d.normal(x.channels), "shift": d.normal(x.channels, scale=0.5)}
    return d.add("affine", x, x.shape, weights)


def unary(op: str) -> Callable[[Draft, Map], Map]:
    """A layer without options, whose output has the shape of its input."""

    def function(d: Draft, x: Map) -> Map:
        return d.add(op, x, x.shape)

    return function


def relu6(d: Draft, x: Map) -> Map:
    """Of values that are large enough for its limit."""
    return d.add("relu6", larger(d, x), x.shape)


def larger(d: Draft, x: Map) -> Map:
    if not d.maybe():
        return x
    weights = {"scale": d.uniform(2, 6, x.channels), "shift": d.normal(x.channels)}
    return d.add("affine", x, x.shape, weights)


def clip(d: Draft, x: Map) -> Map:
    return d.add("clip", x, x.shape, low=d.number(-2, 0.2), high=d.number(0.5, 2))


def leaky_relu(d: Draft, x: Map) -> Map:
    attributes = {"slope": d.number(0, 0.4)} if d.maybe() else {}
    return d.add("leaky_relu", x, x.shape, **attributes)


def prelu(d: Draft, x: Map) -> Map:
    count = 1 if d.maybe(0.3) else x.channels
    return d.add("prelu", x, x.shape, {"weight": d.uniform(-0.2, 0.5, count)})


def elu(d: Draft, x: Map) -> Map:
    return d.add("elu", x, x.shape, **({"alpha": d.number(0.3, 1.5)} if d.maybe() else {}))


def gelu(d: Draft, x: Map) -> Map:
    return d.add("gelu", x, x.shape, **({"approximate": True} if d.maybe() else {}))


def hard(op: str) -> Callable[[Draft, Map], Map]:
    def function(d: Draft, x: Map) -> Map:
        return d.add(op, larger(d, x), x.shape)

    return function


def on_scores(op: str) -> Callable[[Draft, Map], Map]:
    """Softmax and its logarithm: of a short vector of small values.

    Of large ones all but one probability is nearly zero, and gradients are differences of rounding.
    """

    def function(d: Draft, x: Map) -> Map:
        if not x.is_vector:
            x = flatten(d, global_pool(d, x))
        x = d.add("sigmoid", x, x.shape)
        scores = linear_of(d, x, d.choose([2, 5, 10]))
        return d.add(op, scores, scores.shape)

    return function


def pool(op: str) -> Callable[[Draft, Map], Map]:
    def function(d: Draft, x: Map) -> Map:
        if d.maybe(0.4) and min(x.size) >= 2:
            attributes: dict[str, Any] = {"kernel": 2, "stride": 2}
        else:
            kernel = tuple(min(d.choose([1, 2, 3, 3, 5]), x.size[i]) for i in (0, 1))
            attributes = {"kernel": kernel, "stride": (d.integer(1, 3), d.integer(1, 3))}
            attributes["padding"] = random_padding(d, (kernel[0] // 2, kernel[1] // 2))
        if d.maybe(0.3):
            attributes["ceil_mode"] = True
        if op == "average_pool" and d.maybe(0.3):
            attributes["count_include_pad"] = False
        elif op == "average_pool" and HAS_DIVISOR and d.maybe(0.3):
            attributes["divisor"] = d.integer(1, 12)
        return d.add(op, x, (x.channels, *pooled_size(x, attributes)), **attributes)

    return function


def accepts_divisor() -> bool:
    """Whether average pooling takes a divisor."""
    try:
        _core.NetworkBuilder(1).average_pool(0, 2, divisor=3)  # type: ignore[call-arg]
    except TypeError:
        return False
    return True


HAS_DIVISOR = accepts_divisor()


def pooled_size(x: Map, attributes: Mapping[str, Any]) -> tuple[int, int]:
    """PyTorch's rule: in ceil mode no window may start beyond the picture and its first padding."""
    kernel, stride = pair(attributes["kernel"]), pair(attributes["stride"])
    padding = sides(attributes.get("padding", 0))
    sizes = []
    for i in (0, 1):
        room = x.size[i] + sum(padding[i]) - kernel[i]
        count = room // stride[i] + 1
        if attributes.get("ceil_mode"):
            count = -(-room // stride[i]) + 1
            if (count - 1) * stride[i] >= x.size[i] + padding[i][0]:
                count -= 1
        sizes.append(count)
    return sizes[0], sizes[1]


def adaptive_average_pool(d: Draft, x: Map) -> Map:
    size = d.choose([1, 2, 3, (2, 3), (1, 4)])
    return d.add("adaptive_average_pool", x, (x.channels, *pair(size)), size=size)


def to_one(op: str) -> Callable[[Draft, Map], Map]:
    def function(d: Draft, x: Map) -> Map:
        return d.add(op, x, (x.channels, 1, 1))

    return function


def global_pool(d: Draft, x: Map) -> Map:
    kinds = [op for op in ("global_average_pool", "global_max_pool") if op in OPS]
    return ENTRIES[d.choose(kinds)](d, x)


def flatten(d: Draft, x: Map) -> Map:
    """Of a map that is not too large for the layers after it."""
    if x.is_vector:
        return x
    if math.prod(x.shape) > 1500:
        x = adaptive_average_pool(d, x)
    return d.add("flatten", x, (math.prod(x.shape), 0, 0))


def add(d: Draft, x: Map) -> Map:
    """Of two or three maps: paths of one or two layers from `x`, or `x` itself."""
    paths = [path(d, x) for _ in range(d.choose([1, 1, 2]))]
    return sum_of(d, [x, *paths] if d.maybe() else [*paths, x])


def sum_of(d: Draft, maps: Sequence[Map]) -> Map:
    return d.add("add", maps, maps[0].shape)


def path(d: Draft, x: Map) -> Map:
    """One or two layers whose output has the shape of their input."""
    if x.is_vector:
        return linear_of(d, activation(d, x), x.channels)
    kind = d.choose(["one", "two", "bottleneck", "separable", "activation"])
    if kind == "activation":
        return activation(d, x)
    if kind == "one":
        return normalised(d, same_conv(d, x, x.channels, d.choose([1, 3, 5])))
    if kind == "two":
        y = activation(d, normalised(d, same_conv(d, x, x.channels)))
        return normalised(d, same_conv(d, y, x.channels))
    if kind == "separable":
        y = normalised(d, same_conv(d, x, x.channels, d.choose([3, 5]), groups=x.channels))
        return same_conv(d, activation(d, y), x.channels, 1)
    y = activation(d, same_conv(d, x, max(1, x.channels // 4), 1))
    return same_conv(d, activation(d, same_conv(d, y, y.channels)), x.channels, 1)


def normalised(d: Draft, x: Map) -> Map:
    return batch_norm(d, x) if d.maybe() else x


def activation(d: Draft, x: Map) -> Map:
    """Most often a ReLU, else any other nonlinearity."""
    if d.maybe(0.6):
        return ENTRIES["relu"](d, x)
    return ENTRIES[d.choose([op for op in ACTIVATIONS if op in OPS])](d, x)


def multiply(d: Draft, x: Map) -> Map:
    """With a gate of the same shape, or squeeze and excitation: one value for each channel."""
    gate = d.choose([op for op in ("sigmoid", "hard_sigmoid") if op in OPS])
    if x.is_vector or d.maybe(0.3):
        y = path(d, x)
        return d.add("multiply", [x, d.add(gate, y, y.shape)], x.shape)
    y = d.add("global_average_pool", x, (x.channels, 1, 1))
    y = activation(d, same_conv(d, y, max(1, x.channels // 4), 1))
    y = same_conv(d, y, x.channels, 1)
    if d.maybe(0.2):
        y = flatten(d, y)
    y = d.add(gate, y, y.shape)
    return d.add("multiply", [x, y], x.shape)


def concatenate(d: Draft, x: Map) -> Map:
    """Two to four branches of one map, or a few dense layers, of which each reads all before."""
    if x.is_vector:
        y = linear_of(d, x, d.choose([1, 7, 16]))
        return d.add("concatenate", [y, x], (x.channels + y.channels, 0, 0))
    if d.maybe(0.4):
        maps, lists = [x], d.maybe()  # as lists that grow, or pairs
        for _ in range(d.integer(1, 3)):
            y = same_conv(d, activation(d, normalised(d, x)), d.choose(FEW_CHANNELS))
            maps = [*maps, y] if lists else [x, y]
            x = d.add("concatenate", maps, (x.channels + y.channels, *x.size))
        return x
    branches = [branch(d, x) for _ in range(d.integer(2, 4))]
    return d.add("concatenate", branches, (sum(b.channels for b in branches), *x.size))


def branch(d: Draft, x: Map) -> Map:
    """A part of an inception block; it keeps the size of the map."""
    kind = d.choose(["1x1", "3x3", "5x5", "pool", "itself"])
    out = d.choose(FEW_CHANNELS)
    if kind == "itself":
        return x
    if kind == "pool":
        op = d.choose(["max_pool", "average_pool"])
        y = d.add(op, x, x.shape, kernel=3, stride=1, padding=1)
        return activation(d, same_conv(d, y, out, 1)) if d.maybe() else y
    size = int(kind[0])
    if size > 1 and d.maybe():
        x = activation(d, same_conv(d, x, d.choose(FEW_CHANNELS), 1))
    return activation(d, normalised(d, same_conv(d, x, out, size)))


def cut(d: Draft, x: Map, start: int, stop: int) -> Map:
    return d.add("slice", x, (stop - start, *x.size), start=start, stop=stop)


def slice_channels(d: Draft, x: Map) -> Map:
    """Some channels; or two halves, one of which gets a path, and both again together."""
    if x.channels < 2 or d.maybe(0.3):
        start = d.integer(0, x.channels - 1)
        return cut(d, x, start, d.integer(start + 1, x.channels))
    middle = x.channels // 2
    low, high = cut(d, x, 0, middle), cut(d, x, middle, x.channels)
    return d.add("concatenate", [low, path(d, high)], x.shape)


def channel_shuffle(d: Draft, x: Map) -> Map:
    divisors = [g for g in range(2, x.channels + 1) if x.channels % g == 0]
    return d.add("channel_shuffle", x, x.shape, groups=d.choose(divisors or [1]))


def local_response_norm(d: Draft, x: Map) -> Map:
    attributes: dict[str, Any] = {"size": d.integer(1, 6)}
    if d.maybe():
        attributes |= {"alpha": d.number(1e-3, 1), "beta": d.number(0.3, 1)}
        attributes["k"] = d.number(0.5, 2)
    return d.add("local_response_norm", x, x.shape, **attributes)


def layer_norm(d: Draft, x: Map) -> Map:
    """With few channels only after more: of one or two, gradients are differences of rounding."""
    if x.channels < 7:
        x = linear_of(d, x, 16) if x.is_vector else same_conv(d, x, 8, 1)
    weights = {"weight": d.normal(x.channels), "bias": d.normal(x.channels, scale=0.3)}
    attributes = {"eps": 1e-5} if d.maybe() else {}
    return d.add("layer_norm", x, x.shape, weights, **attributes)


RECTIFIERS = ("relu", "relu6", "leaky_relu", "prelu")
ACTIVATIONS = (
    *(*RECTIFIERS, "clip", "elu", "sigmoid", "hard_sigmoid", "silu", "hard_swish"),
    *("tanh", "gelu"),
)
ENTRIES: dict[str, Callable[[Draft, Map], Map]] = {
    "conv": conv,
    "linear": linear,
    "batch_norm": batch_norm,
    "affine": affine,
    "relu": unary("relu"),
    "relu6": relu6,
    "clip": clip,
    "leaky_relu": leaky_relu,
    "prelu": prelu,
    "elu": elu,
    "sigmoid": unary("sigmoid"),
    "hard_sigmoid": hard("hard_sigmoid"),
    "silu": unary("silu"),
    "hard_swish": hard("hard_swish"),
    "tanh": unary("tanh"),
    "gelu": gelu,
    "softmax": on_scores("softmax"),
    "log_softmax": on_scores("log_softmax"),
    "max_pool": pool("max_pool"),
    "average_pool": pool("average_pool"),
    "adaptive_average_pool": adaptive_average_pool,
    "global_average_pool": to_one("global_average_pool"),
    "global_max_pool": to_one("global_max_pool"),
    "flatten": flatten,
    "dropout": unary("dropout"),
    "add": add,
    "multiply": multiply,
    "concatenate": concatenate,
    "slice": slice_channels,
    "channel_shuffle": channel_shuffle,
    "local_response_norm": local_response_norm,
    "layer_norm": layer_norm,
}
MAPS_ONLY = frozenset(
    {
        *("conv", "max_pool", "average_pool", "adaptive_average_pool"),
        *("global_average_pool", "global_max_pool", "channel_shuffle", "slice"),
        "local_response_norm",
    }
)
ENDS_MAP = ("linear", "flatten", "softmax", "log_softmax", "global_average_pool", "global_max_pool")


# --- the network ---


@dataclass(frozen=True)
class Case:
    """A network at random.

    Attributes
    ----------
    seed : int
    shape : (N, C, H, W)
        Of its pictures.
    layers : list of Layer
        With their inputs spelled out.
    """

    seed: int
    shape: tuple[int, int, int, int]
    layers: list[Layer]

    def __str__(self) -> str:
        lines = [f"network {self.seed}, pictures {self.shape}"]
        for layer in self.layers:
            weights = {key: np.shape(value) for key, value in layer.weights.items()}
            lines.append(
                f"  {layer.name}({', '.join(layer.inputs)}) {weights} {dict(layer.attributes)}"
            )
        return "\n".join(lines)

    @property
    def operations(self) -> set[str]:
        return {layer.op for layer in self.layers}

    def pictures(self, number: int) -> np.ndarray:
        """Other ones for each number."""
        rng = np.random.default_rng((self.seed, number))
        return rng.standard_normal(self.shape).astype(np.float32)

    def assemble(self, conv: str = "winograd") -> Assembled:
        return assemble(self.layers, self.shape[1], conv)


def random_case(seed: int) -> Case:
    """A network of about 5 to 40 layers, with one output."""
    d = Draft(np.random.default_rng(seed))
    channels = d.choose([1, 3, 3, 3, 8, 17])
    size = d.integer(5, 27), d.integer(5, 27)
    x = Map(INPUT, (channels, *size))
    if channels in (1, 3) and d.maybe(0.7):  # so that few other blocks have so few channels
        x = activation(d, normalised(d, conv(d, x)))
    for _ in range(d.integer(1, 6)):
        usual = ("conv", "conv", "add", "concatenate", "multiply", "slice", "max_pool")
        every = [op for op in OPS if op not in ENDS_MAP]
        x = ENTRIES[d.choose([op for op in usual if op in OPS] if d.maybe() else every)](d, x)
        while math.prod(x.shape) > MAX_VALUES:
            x = pool("max_pool")(d, x)
    if d.maybe(0.85):
        x = head(d, x)
    shape = (d.integer(1, 3), channels, *size)
    return Case(seed, shape, complete(d.layers))


def head(d: Draft, x: Map) -> Map:
    if d.maybe(0.7):
        x = global_pool(d, x)
    x = flatten(d, x)
    vectors = [op for op in OPS if op not in MAPS_ONLY and op not in ("softmax", "log_softmax")]
    for _ in range(d.integer(0, 2)):
        x = ENTRIES[d.choose(vectors)](d, x)
    last = d.choose(["linear", "softmax", "sigmoid", "log_softmax"])
    return ENTRIES[last if last in OPS else "linear"](d, x)


def build(case: Case, builder: Any) -> tuple[Any, dict[str, int]]:
    """Return the network of a twin's builder, and the number of each layer in it."""
    numbers = {INPUT: 0}
    for layer in case.layers:
        arguments = {**layer.weights, **layer.attributes}
        arguments.pop("dtype", None)  # in which the core stores the weights
        inputs = [numbers[name] for name in layer.inputs]
        method = getattr(builder, layer.op)
        numbers[layer.name] = method(
            inputs if layer.op in SEVERAL_INPUTS else inputs[0], **arguments
        )
    return builder.build(), numbers


# --- decisions ---


def kinks(layer: Layer) -> tuple[float, ...]:
    """Where the derivative of a layer jumps."""
    if layer.op == "clip":
        return (float(layer.attributes["low"]), float(layer.attributes["high"]))
    fixed = {"relu6": (0.0, 6.0), "hard_sigmoid": (-3.0, 3.0), "hard_swish": (-3.0, 3.0)}
    return fixed.get(layer.op, (0.0,) if layer.op in (*RECTIFIERS, "elu") else ())


PASSING = ("dropout", "max_pool", "global_max_pool", "channel_shuffle", "slice", "flatten")


def exact_values(layers: Mapping[str, Layer], name: str) -> set[float]:
    """The values that a layer's output has exactly, in any arithmetic, at many positions.

    Equal maxima of such a value are equal in float32 too, and the first of them is chosen.
    """
    layer = layers.get(name)
    if layer is None:
        return set()
    if layer.op in ("relu", "relu6", "clip"):
        limits = set(kinks(layer))
        return limits | (exact_values(layers, layer.inputs[0]) if layer.op != "clip" else set())
    if layer.op in PASSING:
        return exact_values(layers, layer.inputs[0])
    if layer.op == "concatenate":
        return set.intersection(*(exact_values(layers, each) for each in layer.inputs))
    return set()


def windows(layer: Layer, x: np.ndarray) -> np.ndarray:
    """The values of each window of a max pooling in the last axis, -inf outside the map."""
    if layer.op == "global_max_pool":
        return x.reshape(*x.shape[:2], -1)
    kernel = pair(layer.attributes["kernel"])
    stride = pair(layer.attributes["stride"])
    padding = sides(layer.attributes.get("padding", 0))
    count = pooled_size(Map("", x.shape[1:]), layer.attributes)
    border = [(0, 0), (0, 0)]
    for i in (0, 1):
        after = (count[i] - 1) * stride[i] + kernel[i] - x.shape[2 + i] - padding[i][0]
        border.append((padding[i][0], max(after, padding[i][1])))
    padded = np.pad(x, border, constant_values=-np.inf)
    found = sliding_window_view(padded, kernel, axis=(2, 3))[:, :, :: stride[0], :: stride[1]]
    found = found[:, :, : count[0], : count[1]]
    return found.reshape(*found.shape[:4], -1)


def is_robust(case: Case, outputs: Mapping[str, np.ndarray], margin: float = MARGIN) -> bool:
    """Whether rounding cannot change a decision of this forward pass of a twin."""
    layers = {layer.name: layer for layer in case.layers}
    for layer in case.layers:
        source = layer.inputs[0]
        x = outputs[source]
        least = margin * np.abs(x).max()
        exact = exact_values(layers, source)
        for kink in kinks(layer):
            distances = np.abs(x - kink)
            if ((distances < least) & ~((distances == 0) & (kink in exact))).any():
                return False
        if layer.op in ("max_pool", "global_max_pool"):
            values = windows(layer, x)
            if values.shape[-1] == 1:
                continue
            best = np.partition(values, (-2, -1), axis=-1)[..., -2:]
            gap = best[..., 1] - best[..., 0]
            tied = (gap == 0) & np.isin(best[..., 1], list(exact))
            if ((gap < least) & ~tied).any():
                return False
    return True


# --- comparison ---


@dataclass(frozen=True)
class Question:
    """A backward pass: from which layer, to which layers."""

    start: str
    seeds: np.ndarray
    wanted: tuple[str, ...]


def questions(case: Case, assembled: Assembled) -> list[Question]:
    """From the last layer to all layers and to the input, and between two layers at random."""
    names = assembled.names.layers
    count, _, *size = case.shape
    shapes = dict(zip(names, assembled.core.shapes(*size), strict=True))
    rng = np.random.default_rng((case.seed, 1))

    def seeds(layer: str) -> np.ndarray:
        return rng.standard_normal((2, count, *shapes[layer])).astype(np.float32)

    scores = seeds(names[-1])
    asked = [Question(names[-1], scores, names), Question(names[-1], scores, (INPUT,))]
    if len(names) > 2:
        start = int(rng.integers(1, len(names) - 1))
        wanted = names[int(rng.integers(0, start + 1))]
        asked.append(Question(names[start], seeds(names[start]), (wanted,)))
    return asked


def difference(found: np.ndarray, right: np.ndarray) -> float:
    """max |found - right| / max |right|; infinity where values are not finite.

    Where all of `right` is zero, values below 1e-15 count as zero: the derivative of a sigmoid at a
    large input is 0 for one program and tiny for another.
    """
    if found.shape != right.shape or not np.isfinite(found).all():
        return math.inf
    if not found.size:
        return 0.0
    scale = float(np.abs(right).max())
    most = float(np.abs(found - right).max())
    return most / scale if scale > 0 else (0.0 if most < 1e-15 else math.inf)


Results = dict[tuple[str, ...], np.ndarray]
"""Outputs by ("output", layer), gradients by (rule, layer of the seeds, layer)."""


def run_core(assembled: Assembled, x: np.ndarray, asked: Sequence[Question]) -> Results:
    """Return the core's results, with all layers kept.

    Raises
    ------
    AssertionError
        If a result has other bits when nothing is kept, so that layers run in one step.
    """
    names, core = assembled.names, assembled.core
    kept, fused = core.forward(x, keep=list(range(len(core)))), core.forward(x)
    results: Results = {
        ("output", name): kept.activation(number) for number, name in enumerate(names.layers)
    }
    last = len(core) - 1
    for other in (fused, core.forward(x, record=False)):
        assert np.array_equal(kept.activation(last), other.activation(last)), "other bits: scores"
    for question in asked:
        start, wanted = names.index(question.start), [names.index(n) for n in question.wanted]
        for rule in RULES:
            found = kept.backward(start, question.seeds, wanted, rule)
            again = fused.backward(start, question.seeds, wanted, rule)
            for name, one, other in zip(question.wanted, found, again, strict=True):
                place = rule, question.start, name
                assert np.array_equal(one, other), f"other bits when fused: {' '.join(place)}"
                assert np.array_equal(results.setdefault(place, one), one), (
                    f"other bits when fewer gradients are wanted: {' '.join(place)}"
                )
    return results


class Twin:
    """A case as reference.py computes it."""

    def __init__(self, case: Case, builder: Any) -> None:
        self.case = case
        self.network, self.numbers = build(case, builder)

    def robust_pictures(self, tries: int = 12) -> np.ndarray | None:
        """Pictures for which rounding cannot change a decision; None if none are found."""
        for number in range(tries):
            x = self.case.pictures(number)
            if is_robust(self.case, self._outputs(self.network.forward(x))):
                return x
        return None

    def run(self, x: np.ndarray, asked: Sequence[Question]) -> Results:
        """As `run_core`, for every layer of the list."""
        record = self.network.forward(x)
        results: Results = {("output", n): y for n, y in self._outputs(record).items()}
        for rule in RULES:
            backward = self._backward(x, record, rule)
            for question in asked:
                wanted = [self.numbers[name] for name in question.wanted]
                found = backward(self.numbers[question.start], question.seeds, wanted)
                for name, gradient in zip(question.wanted, found, strict=True):
                    results[rule, question.start, name] = gradient
        return results

    def _outputs(self, record: Any) -> dict[str, np.ndarray]:
        return {name: record.activation(number) for name, number in self.numbers.items()}

    def _backward(self, x: np.ndarray, record: Any, rule: str) -> Callable[..., Any]:
        return partial(record.backward, rule=rule)


class TorchTwin(Twin):
    """A case as peers/torch_twin.py computes it, which records the rule in the forward pass."""

    def _backward(self, x: np.ndarray, record: Any, rule: str) -> Callable[..., Any]:
        return self.network.forward(x, rule=rule).backward


def differences(found: Results, right: Results) -> dict[tuple[str, ...], float]:
    return {place: difference(values, right[place]) for place, values in found.items()}
