"""Recognise what a weight file holds: which architecture, in which library's layout.

The readers behind :func:`gradcam.weights.load` return tensors with the names and the order of the
file. Here these names identify the architecture and the layout, and every shape is checked.
:meth:`Checkpoint.tensors` then converts the tensors to torchvision's layout. That is a permutation
and never changes a value:

- convolutions from H, W, I, O (Keras, Frossard) to O, I, H, W;
- fully connected weights from I, O to O, I, or from convolutions (timm's 7x7, Caffe's old
  1 x 1 x O x I) to matrices;
- the inputs of the first of them from a map flattened as H, W, C to one flattened as C, H, W.

Nothing is guessed: a file with a tensor that neither belongs to the network nor to the state of a
training run is refused, and the message names the tensor.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradcam._engine.layers import HEADS
from gradcam._importers.axes import (
    Conversion,
    flat,
    kernel_from_outputs_last,
    matrix_from_outputs_last,
    reshaped,
)
from gradcam._models import (  # noqa: F401  the families register their architectures
    alexnet,
    convnext,
    densenet,
    efficientnet,
    googlenet,
    graphs,
    inception,
    mnasnet,
    mobilenet,
    regnet,
    resnet,
    shufflenet,
    squeezenet,
    vgg,
    vgg_gap,
)
from gradcam._models.architecture import (
    ANY_GROUPS,
    CHANNELS,
    Architecture,
    Extent,
    Extents,
    Row,
    registered,
)
from gradcam._models.layouts import ANY_PREFIX, LAYOUTS, Layout
from gradcam._pictures import presets
from gradcam._pictures.presets import Preset
from gradcam._text import printable
from gradcam._weights.tensors import Weights, WeightsError, listed

MAX_NAME = 500
"""Characters in the name of a tensor."""

_TRAINING_STATE = re.compile(
    r"(optim|optimi[sz]ers?|schedulers?|lr_schedulers?|scaler|grad_scaler|criterion|loss|callbacks?"
    r"|metrics?|hyper_parameters|rng|epoch|step|global_step|n_averaged|num_batches_tracked)"
    r"(_states?|_state_dict)?",
    re.IGNORECASE,
)
"""Parts of the names of tensors that belong to a training run and not to the network."""

_WRAPPERS = re.compile(r"(?<![^.])(module|_orig_mod)\.")
"""Parts of names that DataParallel and torch.compile insert, at any place."""

_AVERAGE = re.compile(r"(^|[._])ema([._]|$)", re.IGNORECASE)
"""In the prefix of a running average of the weights that is stored beside them."""


@dataclass(frozen=True)
class Checkpoint:
    """A set of tensors that was recognised as the weights of an architecture.

    Attributes
    ----------
    architecture : str
        The function of :mod:`gradcam` that makes it: "vgg16", "vgg19_bn", ...
    layout : str
        Whose names and order of axes the tensors have, in words.
    preset : Preset
        How images become input: the caller's preset, else that of the metadata, else the usual one.
    channels : int
        Of the input.
    classes : int
    eps : float
        Added to the variance by batch normalisations.
    head : str or None
        "softmax" or "sigmoid", if the file says how scores become probabilities.
    ignored : tuple of str
        Tensors that the network does not use: the state of a training run, averaged copies.
    in_place : bool
        Whether the core can use the fully connected weights without a copy, in the file or array:
        in torchvision's order, as contiguous float32.
    usual_preset : Preset
        Of this architecture in this layout, even if the caller or the metadata give another.
    metadata : mapping of str to str
        The metadata of the weights, with batch normalisation's "eps" if a graph contains it.
    """

    architecture: str
    layout: str
    preset: Preset
    channels: int
    classes: int
    eps: float
    head: str | None
    ignored: tuple[str, ...]
    in_place: bool
    usual_preset: Preset
    metadata: Mapping[str, str]
    _tensors: tuple[_Tensor, ...] = field(repr=False)

    def tensors(self) -> dict[str, NDArray[Any]]:
        """Return the tensors with torchvision's names and layout, as float32.

        Tensors that already have this order and type are not copied.
        """
        return {tensor.target: tensor.convert(tensor.values) for tensor in self._tensors}


def identify(weights: Weights, preset: str | Preset | None = None) -> Checkpoint:
    """Recognise the architecture and the layout of a set of tensors.

    Parameters
    ----------
    weights : Weights
    preset : str or Preset, optional
        By default that of the metadata, else that of the layout.

    Raises
    ------
    WeightsError
        If they are not the weights of a registered architecture. The message says which is the
        closest, and which tensors are missing, unexpected or misshapen, by their names in the file.
        Also if the preset, eps or head in the metadata is invalid.
    ValueError, TypeError
        If the given preset is invalid.
    """
    weights = graphs.name_tensors(weights)
    places = _network_tensors(weights.tensors)
    searches = [_Search(places, *each, weights.ordered) for each in _find_layouts(places)]
    search = min(searches, key=_Search.distance)
    if search.distance():
        raise WeightsError(search.difference())
    match, layout = search.match, search.layout
    tensors, channels, classes = _check_tensors(match, layout)
    usual = match.architecture.presets.get(layout.library) or presets.find(layout.preset)
    used = {place.name for place in match.found.values()}
    return Checkpoint(
        architecture=match.architecture.name,
        layout=layout.title,
        preset=_preset(weights.metadata, usual) if preset is None else presets.find(preset),
        channels=channels,
        classes=classes,
        eps=_eps(weights.metadata, match.architecture, layout),
        head=_head(weights.metadata),
        ignored=tuple(name for name in weights.tensors if name not in used),
        in_place=not layout.outputs_last and all(tensor.in_place for tensor in tensors),
        usual_preset=usual,
        metadata=weights.metadata,
        _tensors=tensors,
    )


# ------------------------------------------------------------------------ the tensors of a file


class _Place(NamedTuple):
    """A tensor and its name in the file."""

    name: str
    values: NDArray[Any]


_Found = dict[tuple[str, str], _Place]
"""Tensors by the layer's name in the layout and PyTorch's name of the parameter."""


def _network_tensors(tensors: Mapping[str, NDArray[Any]]) -> dict[str, _Place]:
    """Return the tensors that can be weights, by their names without wrappers."""
    places: dict[str, _Place] = {}
    for name, values in tensors.items():
        if len(name) > MAX_NAME:
            raise WeightsError(
                f"the name of a tensor has {len(name)} characters; expected at most {MAX_NAME}"
            )
        if values.ndim == 0 or any(map(_TRAINING_STATE.fullmatch, re.split(r"[./]", name))):
            continue
        unwrapped = _WRAPPERS.sub("", name)
        if unwrapped in places:
            raise _two_networks(places[unwrapped].name, name)
        places[unwrapped] = _Place(name, values)
    return places


def _two_networks(first: str, second: str) -> WeightsError:
    return WeightsError(
        f"the file holds two networks, with the tensors {first} and {second}: save one of them to "
        f"a separate file"
    )


def _find_layouts(
    places: Mapping[str, _Place],
) -> list[tuple[Layout, tuple[Architecture, ...]]]:
    """Return the layouts that the tensors may have, and the architectures that they may be of.

    The signs of families are looked for first: this needs no tables.
    """
    known = registered()
    found = []
    for layout in LAYOUTS:
        family = () if layout.counted else _signed(places, layout, known)
        if family:
            found.append((layout, family))
    if found:
        return found
    plain = tuple(architecture for architecture in known if not architecture.signs)
    for layout in LAYOUTS:
        if any(map(layout.sign_pattern(plain).fullmatch, places)):
            return [(layout, plain)]
    if not places:
        raise WeightsError("the file holds no tensors that could be the weights of a network")
    raise WeightsError(
        f"the weights of an unknown network, or in an unknown layout: the tensors are "
        f"{listed(places)}"
    )


def _signed(
    places: Mapping[str, _Place], layout: Layout, known: Iterable[Architecture]
) -> tuple[Architecture, ...]:
    """Return the architectures whose signs in this layout occur in the file."""
    signed = {each: each.signs[layout.library] for each in known if layout.library in each.signs}
    names = "|".join(map(re.escape, set(signed.values())))
    ending = re.escape(layout.tensor_name("", "weight"))
    pattern = re.compile(f"{layout.prefix}(?P<sign>{names}){ending}")
    present = {matched["sign"] for matched in map(pattern.fullmatch, places) if matched}
    return tuple(each for each, sign in signed.items() if sign in present)


def _find_networks(
    places: Mapping[str, _Place], layout: Layout, architectures: tuple[Architecture, ...]
) -> dict[str, _Found]:
    """Return the tensors whose names the layout knows, by their prefix."""
    pattern = layout.tensor_pattern(architectures)
    networks: dict[str, _Found] = {}
    for name, place in places.items():
        matched = pattern.fullmatch(name)
        if matched is None:
            continue
        network = networks.setdefault(matched.groupdict().get("prefix", ""), {})
        key = (matched["layer"], layout.endings[matched["ending"]])
        if key in network:
            raise _two_networks(network[key].name, place.name)
        network[key] = place
    return networks


def _find_network(
    places: Mapping[str, _Place], layout: Layout, architectures: tuple[Architecture, ...]
) -> tuple[_Found, list[str]]:
    """Return the tensors of the only network in the file, and the names of the other tensors.

    Those that belong to training alone are left out.
    """
    training = "|".join({each.unused for each in architectures if each.unused})
    if training:
        pattern = re.compile(f"{ANY_PREFIX}(?:{training})")
        places = {name: p for name, p in places.items() if not pattern.fullmatch(name)}
    networks = _find_networks(places, layout, architectures)
    tables = (layout.layers(architecture) for architecture in architectures)
    first = {(next(iter(layers)), "weight") for layers in tables if layers}
    complete = [prefix for prefix, found in networks.items() if first & found.keys()]
    averages = {prefix for prefix in networks if _AVERAGE.search(prefix)}
    if len(complete) > 1:
        complete = [prefix for prefix in complete if prefix not in averages] or complete
    if len(complete) > 1:
        raise WeightsError(
            f"the file holds {len(complete)} networks, with the prefixes "
            f"{listed(map(repr, complete))}: save one of them to a separate file"
        )
    # If no network has its first layer, the message is about the largest part.
    chosen = complete[0] if complete else max(networks, key=lambda prefix: len(networks[prefix]))
    accounted = {
        place.name
        for prefix, found in networks.items()
        if prefix == chosen or prefix in averages
        for place in found.values()
    }
    return networks[chosen], [p.name for p in places.values() if p.name not in accounted]


# ------------------------------------------------------------------------ layers without names

_RANKS = (("conv", 4), ("linear", 2))
"""The operations of layers that are recognised by their order, and the rank of their weights."""


def _layers_of_rank(found: _Found, rank: int) -> list[str]:
    """Return the layers whose weights have so many axes, in order."""
    return [
        layer
        for (layer, parameter), place in found.items()
        if parameter == "weight" and place.values.ndim == rank
    ]


def _sort_by_number(found: _Found) -> _Found:
    """Sort the layers by the numbers in their names, for files that do not store their order.

    Keras numbers unnamed layers in the order of their creation. If the names of all layers of one
    rank differ by a number alone, that number is the order.
    """
    numbers: dict[str, int] = {}
    for _, rank in _RANKS:
        layers = _layers_of_rank(found, rank)
        if len({re.sub(r"_?\d*$", "", layer) for layer in layers}) == 1:
            numbers |= {name: int((re.findall(r"\d+$", name) or ["0"])[0]) for name in layers}
    return dict(sorted(found.items(), key=lambda entry: numbers.get(entry[0][0], 0)))


def _count_layers(found: _Found) -> _Found:
    """Rename the layers to conv1, conv2, ..., linear1, ... in their order."""
    names = {
        layer: f"{op}{number}"
        for op, rank in _RANKS
        for number, layer in enumerate(_layers_of_rank(found, rank), 1)
    }
    return {(names.get(layer, layer), key): place for (layer, key), place in found.items()}


def _rename_ends(found: _Found, layers: Mapping[str, Row], convolution: str) -> _Found:
    """Rename linear layers to the architecture's names if the last or all have other names.

    Users give the last one a new name when they fine-tune a network. `convolution` is a pattern for
    the names of convolutions.
    """
    ends = [name for name, row in layers.items() if row.op == "linear"]
    names = dict.fromkeys(layer for layer, _ in found)
    linear = [name for name in names if not re.fullmatch(convolution, name)]
    others = [name for name in linear if name not in ends]
    missing = [end for end in ends if end not in linear]
    if missing not in (ends[-1:], ends) or len(others) != len(missing):
        return found
    renamed = dict(zip(others, missing, strict=True))
    return {(renamed.get(layer, layer), p): place for (layer, p), place in found.items()}


# ------------------------------------------------------------------------ the architecture


class _Match(NamedTuple):
    """The tensors of a file beside what an architecture needs.

    Attributes
    ----------
    architecture : Architecture
    layers : dict of str to Row
        The rows that have parameters, by their names in the layout.
    found : dict
        The tensors of the file.
    """

    architecture: Architecture
    layers: Mapping[str, Row]
    found: _Found

    def expected(self, op: str | None = None) -> list[tuple[str, str]]:
        """Return the layer and parameter of every tensor, or of those of one operation."""
        return [
            (layer, parameter)
            for layer, row in self.layers.items()
            if op in (None, row.op)
            for parameter in row.parameters
        ]

    def missing(self) -> list[tuple[str, str]]:
        return [key for key in self.expected() if key not in self.found]

    def unexpected(self) -> list[str]:
        expected = set(self.expected())
        return [place.name for key, place in self.found.items() if key not in expected]

    def distance(self) -> int:
        """Return how many tensors are missing or unexpected."""
        return len(set(self.expected()) ^ self.found.keys())

    def misfits(self) -> int:
        """Return how many weights have another shape than those that were published."""
        shapes = self.architecture.published_shapes
        return sum(
            self.found[layer, "weight"].values.shape != shapes[row.parameters["weight"]]
            for layer, row in self.layers.items()
            if row.op in ("conv", "linear")
        )


class _Search:
    """The closest architecture in one layout.

    Attributes
    ----------
    layout : Layout
    match : _Match
        Of several architectures whose tensors have the same names, that whose shapes are the most
        similar to the file's.
    """

    def __init__(
        self,
        places: Mapping[str, _Place],
        layout: Layout,
        architectures: tuple[Architecture, ...],
        ordered: bool,
    ) -> None:
        self.layout = layout
        found, self._unused = _find_network(places, layout, architectures)
        if layout.nameless:
            found = _count_layers(found if ordered else _sort_by_number(found))
        convolution = layout.pattern(architectures, "conv") if layout.renamed_ends else ""
        self._matches = []
        for architecture in architectures:
            layers = layout.layers(architecture)
            if layers is not None:
                renamed = _rename_ends(found, layers, convolution) if layout.renamed_ends else found
                self._matches.append(_Match(architecture, layers, renamed))
        self.match = min(self._matches, key=_Match.distance)
        same = [each for each in self._matches if not each.distance()]
        if len(same) > 1:
            self.match = min(same, key=_Match.misfits)

    def distance(self) -> int:
        """Return how many tensors are missing or not expected."""
        return self.match.distance() + len(self._unused)

    def difference(self) -> str:
        """Say why the tensors are not the weights of the closest architecture."""
        return _difference(self.match, self._matches, self._unused, self.layout)


def _difference(match: _Match, matches: list[_Match], unused: list[str], layout: Layout) -> str:
    """Say why these tensors are not the weights of `match`, the closest of all `matches`."""
    title, missing, unexpected = match.architecture.title, match.missing(), match.unexpected()
    ends = match.expected("linear")
    if missing == ends and not unexpected and not unused:
        return (
            f"only the convolutions of {title}, which do not classify: its fully connected layers "
            f"({listed(layer for layer, parameter in ends if parameter == 'weight')}) are missing; "
            f"{layout.whole}"
        )
    if layout.library == "keras" and _normalised(match.found, unused, matches):
        return (
            "Keras networks with batch normalisation cannot be read, because the weights do not "
            "say whether it comes before or after the ReLU; export the model as ONNX, which does"
        )
    if layout.counted:
        kinds = Counter(place.values.ndim for (_, p), place in match.found.items() if p == "weight")
        also = f", and other tensors ({listed(unused)})" if unused else ""
        return (
            f"an unknown network: {kinds[4]} convolutions and {kinds[2]} fully connected layers"
            f"{also}; the known networks have {listed(dict.fromkeys(map(_counts, matches)))}"
        )
    parts = []
    if missing:
        parts.append(f"missing {listed(layout.tensor_name(*key) for key in missing)}")
    if unexpected or unused:
        parts.append(f"unexpected {listed([*unexpected, *unused])}")
    return (
        f"the names are {layout.title}, and the closest network is {title}, but the tensors "
        f"differ: {'; '.join(parts)}"
    )


def _counts(match: _Match) -> str:
    counts = Counter(row.op for row in match.layers.values())
    return f"{counts['conv']} and {counts['linear']}"


def _normalised(found: _Found, unused: list[str], matches: Iterable[_Match]) -> bool:
    """Whether the layers are those of an architecture, with batch normalisations of Keras added.

    The convolutions then usually have no biases.
    """
    weights = {key for key in found if key[1] == "weight"}
    return any(name.endswith("/moving_variance") for name in unused) and any(
        weights == {key for key in match.expected() if key[1] == "weight"} for match in matches
    )


# ------------------------------------------------------------------------ metadata


def _preset(metadata: Mapping[str, str], usual: Preset) -> Preset:
    try:
        return Preset.from_metadata(metadata) or usual
    except ValueError as error:
        raise WeightsError(str(error)) from error


def _eps(metadata: Mapping[str, str], architecture: Architecture, layout: Layout) -> float:
    text = metadata.get("eps", str(architecture.eps_of.get(layout.library, architecture.eps)))
    try:
        eps = float(text)
    except ValueError:
        eps = math.nan
    if not 0 < eps < math.inf:
        raise WeightsError(
            f"metadata: eps of batch normalisation must be a positive number, got {text!r}"
        )
    return eps


def _head(metadata: Mapping[str, str]) -> str | None:
    head = metadata.get("head")
    if head is not None and head not in HEADS:
        raise WeightsError(
            f"the network ends in the activation {printable(head):.40}, expected "
            f"{', '.join(HEADS)} or none"
        )
    return head


# ------------------------------------------------------------------------ shapes


class _Tensor(NamedTuple):
    """A tensor, its name in torchvision's layout, and how it gets that layout.

    `in_place` is whether the core uses it without a copy, or it is small or copied in any case.
    """

    target: str
    values: NDArray[Any]
    convert: Conversion
    in_place: bool


def _check_tensors(match: _Match, layout: Layout) -> tuple[tuple[_Tensor, ...], int, int]:
    """Check every shape against the layers before; return tensors, input channels and classes."""
    names = {row.name: layer for layer, row in match.layers.items()}
    extents = Extents()
    channels = _channels(match, layout)
    extents.set_channels(channels)
    tensors = []
    for row in match.architecture.rows:
        inputs = extents.input(row)
        units = inputs.width
        for parameter, target in row.parameters.items():
            place = match.found[names[row.name], parameter]
            values = place.values
            if values.dtype.kind not in "fiu":
                raise WeightsError(
                    f"tensor {place.name!r} has type {values.dtype}, expected real numbers"
                )
            convert: Conversion = flat
            if parameter != "weight" or row.op not in ("conv", "linear"):
                _check_shape(place, _without_ones(values.shape), (units,))
            elif row.op == "conv":
                units, convert = _check_kernel(place, row, inputs, layout)
            else:
                units, convert = _check_matrix(place, inputs, layout)
            usable = values.dtype == np.float32 and values.flags.c_contiguous
            in_place = usable or values.ndim == 1 or row.op != "linear"
            tensors.append(_Tensor(target, values, convert, in_place))
        extents.add(row, units)
    return tuple(tensors), channels, units


def _channels(match: _Match, layout: Layout) -> int:
    """Return the channels of the input: those of the first convolution, if it has the right form.

    Else the usual ones; the message about its shape then says what is expected.
    """
    layer, row = next(iter(match.layers.items()))
    shape = match.found[layer, "weight"].values.shape
    if row.op != "conv" or len(shape) != 4 or row.groups != 1:
        return CHANNELS
    kernel, channels = (shape[:2], shape[2]) if layout.outputs_last else (shape[2:], shape[1])
    return channels if kernel == row.kernel and channels else CHANNELS


def _check_kernel(
    place: _Place, row: Row, inputs: Extent, layout: Layout
) -> tuple[int, Conversion]:
    """Return the output channels and the conversion to (O, I, H, W)."""
    shape = place.values.shape
    if len(shape) == 2 and row.kernel == (1, 1) and not layout.outputs_last:
        shape = (*shape, 1, 1)  # stored as a fully connected layer of each position
    width: int | None = inputs.width // max(1, row.groups)
    if row.groups == ANY_GROUPS and len(shape) == 4 and shape[1] and not inputs.width % shape[1]:
        width = None  # as many as the weight has
    if layout.outputs_last:
        _check_shape(place, shape, (*row.kernel, width, None))
        return shape[-1], kernel_from_outputs_last
    _check_shape(place, shape, (None, width, *row.kernel))
    return shape[0], reshaped(shape)


def _check_matrix(place: _Place, inputs: Extent, layout: Layout) -> tuple[int, Conversion]:
    """Return the outputs and the conversion to (O, I)."""
    shape = place.values.shape
    if layout.outputs_last:
        if len(shape) == 4:  # a convolution with the size of its input
            shape = (math.prod(shape[:3]), shape[3])
        _check_shape(place, shape, (inputs.width, None))
        return shape[1], matrix_from_outputs_last(shape, inputs.positions)
    if len(shape) == 4:
        shape = shape[2:] if shape[:2] == (1, 1) else (shape[0], math.prod(shape[1:]))
    _check_shape(place, shape, (None, inputs.width))
    return shape[0], reshaped(shape)


def _without_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of a vector of Caffe's, (1, 1, 1, n), or of ConvNeXt's, (n, 1, 1)."""
    if len(shape) == 4 and shape[:3] == (1, 1, 1):
        return shape[3:]
    return shape[:1] if len(shape) == 3 and shape[1:] == (1, 1) else shape


def _check_shape(place: _Place, shape: tuple[int, ...], expected: tuple[int | None, ...]) -> None:
    if (
        len(shape) != len(expected)
        or 0 in shape
        or any(e not in (None, n) for e, n in zip(expected, shape, strict=True))
    ):
        words = str(expected).replace("None", "any")
        raise WeightsError(
            f"tensor {place.name!r} has shape {place.values.shape}, expected {words}"
        )
