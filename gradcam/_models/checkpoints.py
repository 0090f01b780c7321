"""What a weight file holds: which VGG, in whose layout; and its tensors in torchvision's layout.

The readers in :mod:`gradcam.weights` give tensors as their file names and orders them. Here they
are recognised by these names, counted, checked against each other, and brought to torchvision's
names and order of axes. That is a permutation and never changes a value:

- convolutions from H, W, I, O (Keras, Frossard) to O, I, H, W;
- fully connected weights from I, O to O, I, or from convolutions (timm's 7x7, Caffe's old
  1 x 1 x O x I) to matrices;
- the inputs of the first of them from H, W, C, as a map with its channels last is flattened, to
  C, H, W.

Nothing is guessed: a tensor that has no place in the network and is no record of a training run
is named, and the file refused.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradcam._models import graphs
from gradcam._models.vgg import FAMILY, GRID, VGG
from gradcam._pictures import presets
from gradcam._pictures.presets import Preset
from gradcam._weights.tensors import EPS, Weights, WeightsError, listed

_RECORDS = re.compile(
    r"(optim|optimi[sz]ers?|schedulers?|lr_schedulers?|scaler|grad_scaler|criterion|loss|callbacks?"
    r"|metrics?|hyper_parameters|rng|epoch|step|global_step|n_averaged|num_batches_tracked)"
    r"(_states?|_state_dict)?",
    re.IGNORECASE,
)
"""Parts of a name by which a training run's own records are known."""

_LONGEST_NAME = 500
"""Characters in the name of a tensor."""

_WRAPPERS = re.compile(r"(?<![^.])(module|_orig_mod)\.")
"""What DataParallel and torch.compile put into names, wherever they wrap."""

_AVERAGE = re.compile(r"(^|[._])ema([._]|$)", re.IGNORECASE)
"""In the prefix of a running average of the weights, kept beside them."""


@dataclass(frozen=True)
class Checkpoint:
    """A set of tensors that was recognised as a VGG.

    Attributes
    ----------
    architecture : str
        The function that makes it: "vgg16", "vgg19_bn", ...
    layout : str
        Whose names and order of axes the tensors had, in words.
    preset : Preset
        How pictures become input: what the caller says, else the metadata, else what goes with
        the layout.
    classes : int
    eps : float
        Of batch normalisation.
    ignored : tuple of str
        Tensors without a part in the network: a training run's records, averaged copies.
    in_place : bool
        Whether the core can use the fully connected weights as they lie in the file or array:
        ordered as torchvision's, in one piece.
    layout_preset : str
        The name of the preset that goes with the layout, whatever is said elsewhere.
    metadata : mapping of str to str
        The metadata of the weights, with batch normalisation's "eps" if a graph contains it.
    """

    architecture: str
    layout: str
    preset: Preset
    classes: int
    eps: float
    ignored: tuple[str, ...]
    in_place: bool
    layout_preset: str
    metadata: Mapping[str, str]
    _pieces: tuple[_Piece, ...] = field(repr=False)

    def tensors(self) -> dict[str, NDArray[Any]]:
        """The tensors with torchvision's names and layout, as float32.

        What has that order in the file is not copied; the rest is converted now.
        """
        return {piece.target: piece.convert(piece.values) for piece in self._pieces}


def identify(weights: Weights, preset: str | Preset | None = None) -> Checkpoint:
    """Recognise the VGG that these tensors are.

    Parameters
    ----------
    weights : Weights
    preset : str or Preset, optional
        Goes before that of the metadata, which is not looked at then.

    Raises
    ------
    WeightsError
        Where they are none of :data:`gradcam._models.vgg.FAMILY`: the message says what they seem
        to be and what is missing, left over or misshapen, by the names that the file uses.
        Also where the metadata's preset or eps cannot be used.
    ValueError, TypeError
        Where the preset that is given is none.
    """
    weights = graphs.name_tensors(weights)
    kept = _without_records(weights.tensors)
    layout = _layout(kept)
    found, left = _network(kept, layout)
    if layout.ordered and not weights.ordered:
        found = _by_number(found)
    found = layout.renamed(found)
    vgg = _architecture(found, left, layout)
    pieces = tuple(_pieces(vgg, found, layout))
    used = {place.name for place in found.values()}
    return Checkpoint(
        architecture=vgg.name,
        layout=layout.words,
        preset=_preset(weights.metadata, layout) if preset is None else presets.find(preset),
        classes=pieces[-1].values.size,
        eps=_eps(weights.metadata),
        ignored=tuple(name for name in weights.tensors if name not in used),
        in_place=not layout.outputs_last and all(map(_usable, pieces)),
        layout_preset=layout.preset,
        metadata=weights.metadata,
        _pieces=pieces,
    )


# ------------------------------------------------------------------------ layouts


class _Place(NamedTuple):
    """A tensor by the name that it has in the file."""

    name: str
    values: NDArray[Any]


_Found = dict[tuple[str, str], _Place]
"""By layer, as the file names it, and torchvision's name of the parameter."""


def _as_it_is(found: _Found) -> _Found:
    return found


@dataclass(frozen=True)
class _Layout:
    """How a library names its tensors and orders their axes.

    Attributes
    ----------
    words : str
    preset : str
        The input that networks of this kind are trained on.
    sign : str
        A pattern that the name of some tensor matches; the first layout with such a tensor is it.
    layer : str
        A pattern of all that can be a layer's name.
    forms : dict
        From an operation, or from a layer's Caffe name, to its name here: a format of the layer's
        ``torchvision`` and Caffe ``name``, of ``block`` and ``i`` in it, and of ``number``, which
        counts the layers of each operation from 1. Without "batch_norm" there is none.
    parameters : dict
        From what follows the layer's name to torchvision's name of the parameter.
    prefix : str
        A pattern of what may stand before the layer's name; of ``<prefix>`` there can be several
        in a file.
    outputs_last : bool
        Whether axes are ordered H, W, I, O and I, O.
    renamed : function
        Gives the layers that may have any name those of `forms`.
    top : str
        How one asks for the fully connected layers.
    """

    words: str
    preset: str
    sign: str
    layer: str
    forms: Mapping[str, str]
    parameters: Mapping[str, str]
    prefix: str = r"(?P<prefix>(?:.*\.)?)"
    outputs_last: bool = False
    renamed: Callable[[_Found], _Found] = _as_it_is
    top: str = "save the whole model"

    @property
    def ordered(self) -> bool:
        """Whether layers are known by their order, their names meaning nothing."""
        return "{number}" in self.forms["conv"]

    def networks(self, kept: Mapping[str, _Place]) -> dict[str, _Found]:
        """The tensors that this layout knows, by their prefix."""
        endings = "|".join(map(re.escape, self.parameters))
        pattern = re.compile(f"{self.prefix}(?P<layer>{self.layer})(?P<ending>{endings})")
        networks: dict[str, _Found] = {}
        for name, place in kept.items():
            matched = pattern.fullmatch(name)
            if matched is None:
                continue
            network = networks.setdefault(matched.groupdict().get("prefix", ""), {})
            key = (matched["layer"], self.parameters[matched["ending"]])
            if key in network:
                raise _two_networks(network[key].name, place.name)
            network[key] = place
        return networks

    def names(self, vgg: VGG) -> dict[str, str] | None:
        """From torchvision's names of the layers to those here; None where it has no such VGG."""
        if vgg.batch_norm and "batch_norm" not in self.forms:
            return None
        counts: Counter[str] = Counter()
        names = {}
        for row in vgg.rows():
            if row.parameters:
                counts[row.op] += 1
                block, _, i = row.name.lstrip("abcdefghijklmnopqrstuvwxyz").partition("_")
                form = self.forms.get(row.name) or self.forms[row.op]
                names[row.torchvision] = form.format(
                    torchvision=row.torchvision,
                    name=row.name,
                    block=block,
                    i=i,
                    number=counts[row.op],
                )
        return names

    def spelt(self, key: tuple[str, str]) -> str:
        """The name of a tensor as the file would have it."""
        ending = next(e for e, parameter in self.parameters.items() if parameter == key[1])
        return key[0] + ending


_KINDS = (("conv", 4), ("linear", 2))
"""Of layers known by their order, and their weights' number of axes."""


def _of_rank(found: _Found, rank: int) -> list[str]:
    """The layers whose weights have so many axes, in order."""
    return [
        layer
        for (layer, parameter), place in found.items()
        if parameter == "weight" and place.values.ndim == rank
    ]


def _by_number(found: _Found) -> _Found:
    """Arrange the layers by the numbers in their names, for files that may hold them anyhow.

    Keras counts layers that nobody named, as they are made: where the names of all of a kind
    differ by a number alone, the number is taken for the order.
    """
    numbers: dict[str, int] = {}
    for _, rank in _KINDS:
        layers = _of_rank(found, rank)
        if len({re.sub(r"_?\d*$", "", layer) for layer in layers}) == 1:
            numbers |= {name: int((re.findall(r"\d+$", name) or ["0"])[0]) for name in layers}
    return dict(sorted(found.items(), key=lambda entry: numbers.get(entry[0][0], 0)))


def _by_order(found: _Found) -> _Found:
    """Number the layers of each kind, in the order that they have."""
    names = {
        layer: f"{kind}{number}"
        for kind, rank in _KINDS
        for number, layer in enumerate(_of_rank(found, rank), 1)
    }
    return {(names.get(layer, layer), key): place for (layer, key), place in found.items()}


def _last_renamed(convolution: str, ends: tuple[str, str, str]) -> Callable[[_Found], _Found]:
    """Fully connected layers of other names: the last, of a fine-tuned network, or all three."""

    def renamed(found: _Found) -> _Found:
        layers = dict.fromkeys(layer for layer, _ in found)
        dense = [layer for layer in layers if not re.fullmatch(convolution, layer)]
        others = [layer for layer in dense if layer not in ends]
        missing = [end for end in ends if end not in dense]
        if missing not in ([ends[-1]], list(ends)) or len(others) != len(missing):
            return found
        names = dict(zip(others, missing, strict=True))
        return {(names.get(layer, layer), p): place for (layer, p), place in found.items()}

    return renamed


_TORCH = {f".{name}": name for name in ("weight", "bias", "running_mean", "running_var")}
_KERAS = {"/kernel": "weight", "/bias": "bias"}
_TORCHVISION = {name: "{torchvision}" for name in ("conv", "batch_norm", "linear")}
_INCLUDE_TOP = "a Keras model made with include_top=True has them"

_LAYOUTS = (
    _Layout(
        "timm's",
        "torchvision",
        sign=r"(.*\.)?pre_logits\.fc\d\.weight",
        layer=r"features\.\d+|pre_logits\.fc\d|head\.fc",
        forms={**_TORCHVISION, "fc6": "pre_logits.fc1", "fc7": "pre_logits.fc2", "fc8": "head.fc"},
        parameters=_TORCH,
    ),
    _Layout(
        "torchvision's",
        "torchvision",
        sign=r"(.*\.)?(features|classifier)\.\d+\.weight",
        layer=r"features\.\d+|classifier\.\d+",
        forms=_TORCHVISION,
        parameters=_TORCH,
    ),
    _Layout(
        "Frossard's",
        "frossard",
        sign=r"(conv\d_\d|fc\d)_W",
        layer=r"conv\d_\d|fc\d",
        forms={"conv": "{name}", "linear": "{name}"},
        parameters={"_W": "weight", "_b": "bias"},
        prefix="",
        outputs_last=True,
    ),
    _Layout(
        "Keras's",
        "keras",
        sign=r"(.*/)?block\d_conv\d/kernel",
        layer=r"[^/]+",
        forms={"conv": "block{block}_conv{i}", "fc6": "fc1", "fc7": "fc2", "fc8": "predictions"},
        parameters=_KERAS,
        prefix="(?:.*/)?",
        outputs_last=True,
        renamed=_last_renamed(r"block\d_conv\d", ("fc1", "fc2", "predictions")),
        top=_INCLUDE_TOP,
    ),
    _Layout(
        "Keras's, in the order of the layers",
        "keras",
        sign=r".+/kernel",
        layer=r"[^/]+",
        forms={"conv": "conv{number}", "linear": "linear{number}"},
        parameters=_KERAS,
        prefix="(?:.*/)?",
        outputs_last=True,
        renamed=_by_order,
        top=_INCLUDE_TOP,
    ),
    _Layout(
        "Caffe's",
        "caffe",
        sign=r"(.*\.)?(conv\d_\d|fc[67])\.weight",
        layer=r"[^.]+",
        forms={"conv": "{name}", "linear": "{name}"},
        parameters={".weight": "weight", ".bias": "bias"},
        renamed=_last_renamed(r"conv\d_\d", ("fc6", "fc7", "fc8")),
    ),
    _Layout(
        "an ONNX graph's, in the order of its nodes",
        "torchvision",
        sign=r"(conv|linear)\d+\.weight",
        layer=r"(?:conv|bn|linear)\d+",
        forms={"conv": "conv{number}", "batch_norm": "bn{number}", "linear": "linear{number}"},
        parameters=_TORCH,
        prefix="",
    ),
)
"""The layouts that are known, those with the surest signs first."""


# ------------------------------------------------------------------------ recognising


def _without_records(tensors: Mapping[str, NDArray[Any]]) -> dict[str, _Place]:
    """The tensors that can be weights, by their names without wrappers."""
    kept: dict[str, _Place] = {}
    for name, values in tensors.items():
        if len(name) > _LONGEST_NAME:
            raise WeightsError(f"a tensor with a name of {len(name)} characters: no VGG has that")
        if values.ndim == 0 or any(map(_RECORDS.fullmatch, re.split(r"[./]", name))):
            continue
        unwrapped = _WRAPPERS.sub("", name)
        if unwrapped in kept:
            raise _two_networks(kept[unwrapped].name, name)
        kept[unwrapped] = _Place(name, values)
    return kept


def _two_networks(first: str, second: str) -> WeightsError:
    return WeightsError(
        f"two networks in one, {first} and {second}: write the one that is wanted to a file of its "
        f"own"
    )


def _layout(kept: Mapping[str, _Place]) -> _Layout:
    for layout in _LAYOUTS:
        if any(re.fullmatch(layout.sign, name) for name in kept):
            return layout
    holds = f"its tensors are {listed(kept)}" if kept else "it holds no tensors that could be any"
    raise WeightsError(f"no weights of a VGG in a layout that is known here: {holds}")


def _network(kept: Mapping[str, _Place], layout: _Layout) -> tuple[_Found, list[str]]:
    """The tensors of the one network that the file holds, and the names of what is left over."""
    networks = layout.networks(kept)
    first = (next(iter((layout.names(FAMILY[0]) or {}).values())), "weight")
    whole = [prefix for prefix, found in networks.items() if first in found]
    averages = {prefix for prefix in networks if _AVERAGE.search(prefix)}
    if len(whole) > 1:
        whole = [prefix for prefix in whole if prefix not in averages] or whole
    if len(whole) > 1:
        raise WeightsError(
            f"{len(whole)} networks in one, with the prefixes {listed(map(repr, whole))}: write "
            f"the one that is wanted to a file of its own"
        )
    # Where its first layer is missing, at least, there is none: the largest part tells the rest.
    chosen = whole[0] if whole else max(networks, key=lambda prefix: len(networks[prefix]))
    accounted = {
        place.name
        for prefix, found in networks.items()
        if prefix == chosen or prefix in averages
        for place in found.values()
    }
    return networks[chosen], [p.name for p in kept.values() if p.name not in accounted]


def _architecture(found: _Found, left: list[str], layout: _Layout) -> VGG:
    """The VGG whose tensors are these, each of them and no other."""
    expected = {}
    for vgg in FAMILY:
        names = layout.names(vgg)
        if names is not None:
            rows = [
                (names[row.torchvision], row.parameters) for row in vgg.rows() if row.parameters
            ]
            expected[vgg] = [(layer, parameter) for layer, each in rows for parameter in each]
    vgg = min(expected, key=lambda vgg: len(set(expected[vgg]) ^ found.keys()))
    missing = [key for key in expected[vgg] if key not in found]
    extra = [found[key].name for key in found if key not in expected[vgg]] + left
    if not missing and not extra:
        return vgg
    ends = expected[vgg][-6:]
    if not extra and missing == ends:
        raise WeightsError(
            f"the convolutions of a {vgg.name} only, without its three fully connected layers "
            f"({listed(dict(ends))}): nothing in it tells classes apart ({layout.top})"
        )
    if layout.parameters is _KERAS and _normalised(found, left, expected.values()):
        raise WeightsError(
            "Keras networks with batch normalisation are not read: the weights do not say whether "
            "it comes before or after the ReLU; export the model as ONNX, which says so"
        )
    if layout.ordered and not left:
        kinds = Counter(place.values.ndim for (_, p), place in found.items() if p == "weight")
        raise WeightsError(
            f"{kinds[4]} convolutions and {kinds[2]} fully connected layers are no VGG of those "
            f"known here: they have 8, 10, 13 or 16, and 3"
        )
    parts = [f"missing {listed(map(layout.spelt, missing))}"] if missing else []
    parts += [f"not of this network {listed(extra)}"] if extra else []
    raise WeightsError(
        f"by {layout.words} names the nearest is a {vgg.name}, but it is not one: "
        f"{'; '.join(parts)}"
    )


def _normalised(found: _Found, left: list[str], expected: Iterable[list[tuple[str, str]]]) -> bool:
    """Whether batch normalisations are what keeps Keras's layers from being a VGG's.

    Their convolutions have no biases, as a rule.
    """
    kernels = {key for key in found if key[1] == "weight"}
    return any(name.endswith("/moving_variance") for name in left) and any(
        kernels == {key for key in each if key[1] == "weight"} for each in expected
    )


def _preset(metadata: Mapping[str, str], layout: _Layout) -> Preset:
    try:
        return Preset.from_metadata(metadata) or presets.find(layout.preset)
    except ValueError as error:
        raise WeightsError(str(error)) from error


def _eps(metadata: Mapping[str, str]) -> float:
    text = metadata.get("eps", str(EPS))
    try:
        eps = float(text)
    except ValueError:
        eps = math.nan
    if not 0 < eps < math.inf:
        raise WeightsError(f"metadata: eps of batch normalisation is to be above 0, not {text!r}")
    return eps


# ------------------------------------------------------------------------ converting


class _Piece(NamedTuple):
    """A tensor, the name that torchvision gives it, and how it gets torchvision's layout."""

    target: str
    values: NDArray[Any]
    convert: Callable[[NDArray[Any]], NDArray[Any]]


def _usable(piece: _Piece) -> bool:
    """Whether the core takes the tensor without a copy; small ones it copies anyway."""
    values = piece.values
    lies = values.dtype == np.float32 and values.flags.c_contiguous
    return lies or values.ndim == 1 or not piece.target.startswith("classifier.")


def _pieces(vgg: VGG, found: _Found, layout: _Layout) -> Iterator[_Piece]:
    """Every tensor in order, its shape checked against the layers before it."""
    names = layout.names(vgg) or {}
    width, grid = 3, 1
    for row in vgg.rows():
        if row.op == "flatten":
            width, grid = width * GRID * GRID, GRID * GRID
        outputs = width
        for parameter, target in row.parameters.items():
            place = found[names[row.torchvision], parameter]
            if place.values.dtype.kind not in "fiu":
                raise WeightsError(
                    f"tensor {place.name!r} holds {place.values.dtype}, expected floating numbers"
                )
            if row.op == "conv" and parameter == "weight":
                outputs, convert = _convolution(place, width, layout)
            elif row.op == "linear" and parameter == "weight":
                outputs, convert = _linear(place, width, grid, layout)
                grid = 1
            else:
                _check_shape(place, _bare(place.values.shape), (outputs,))
                convert = _flat
            yield _Piece(target, place.values, convert)
        width = outputs


def _convolution(
    place: _Place, width: int, layout: _Layout
) -> tuple[int, Callable[[NDArray[Any]], NDArray[Any]]]:
    """How many channels come out, and what makes it (O, I, 3, 3)."""
    if layout.outputs_last:
        _check_shape(place, place.values.shape, (3, 3, width, None))
        return place.values.shape[-1], _outputs_first
    _check_shape(place, place.values.shape, (None, width, 3, 3))
    return len(place.values), _floats


def _linear(
    place: _Place, width: int, grid: int, layout: _Layout
) -> tuple[int, Callable[[NDArray[Any]], NDArray[Any]]]:
    """How many units come out, and what makes it (O, I); `grid` positions for each channel."""
    shape = place.values.shape
    if layout.outputs_last:
        if len(shape) == 4:  # a convolution of the size of its input
            shape = (math.prod(shape[:3]), shape[3])
        _check_shape(place, shape, (width, None))
        return shape[1], lambda values: _transposed(_floats(values).reshape(shape), grid)
    if len(shape) == 4:
        shape = shape[2:] if shape[:2] == (1, 1) else (shape[0], math.prod(shape[1:]))
    _check_shape(place, shape, (None, width))
    return shape[0], lambda values: _floats(values).reshape(shape)


def _bare(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Without the leading ones of Caffe's old vectors, (1, 1, 1, n)."""
    return shape[3:] if len(shape) == 4 and shape[:3] == (1, 1, 1) else shape


def _check_shape(place: _Place, shape: tuple[int, ...], expected: tuple[int | None, ...]) -> None:
    if (
        len(shape) != len(expected)
        or 0 in shape
        or any(e not in (None, n) for e, n in zip(expected, shape, strict=True))
    ):
        told = str(expected).replace("None", "any")
        raise WeightsError(f"tensor {place.name!r} has shape {place.values.shape}, expected {told}")


def _floats(values: NDArray[Any]) -> NDArray[Any]:
    """The tensor as float32, not copied where it is."""
    with np.errstate(over="ignore"):  # what becomes infinite is refused with the layer
        return values.astype(np.float32, copy=False)


def _flat(values: NDArray[Any]) -> NDArray[Any]:
    return _floats(values).reshape(-1)


def _outputs_first(values: NDArray[Any]) -> NDArray[Any]:
    """From H, W, I, O to O, I, H, W."""
    height, width, inputs, outputs = values.shape
    matrix = _floats(values).reshape(-1, outputs)
    return _transposed(matrix, height * width).reshape(outputs, inputs, height, width)


_TILE = 64
"""Rows and columns moved at a time: read in whole cache lines, then turned in the cache."""


def _transposed(matrix: NDArray[Any], grid: int) -> NDArray[Any]:
    """From (positions x channels, outputs) to (outputs, channels x positions), contiguous.

    The one copy that is made: 411 MB for fc6 of VGG-16.
    """
    inputs, outputs = matrix.shape
    source = matrix.reshape(grid, inputs // grid, outputs)
    result: NDArray[Any] = np.empty((outputs, inputs // grid, grid), matrix.dtype)
    for row in range(0, outputs, _TILE):
        for channel in range(0, inputs // grid, _TILE):
            tile = np.ascontiguousarray(source[:, channel : channel + _TILE, row : row + _TILE])
            result[row : row + _TILE, channel : channel + _TILE] = tile.transpose(2, 1, 0)
    return result.reshape(outputs, inputs)
