"""How libraries name and order the tensors of a network: one layout for each.

The names of layers come from the tables of the registered architectures. A layout adds the endings
of tensors' names, what may precede a layer's name, and the order of axes.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from gradcam._models.architecture import Architecture, Row

ANY_PREFIX = r"(?P<prefix>(?:.*?\.)??)"
"""What may precede the name of a layer in PyTorch, as short as possible, because the name of one
layer may end that of another ("layer1.0.conv1"). One file may hold networks of several."""


@dataclass(frozen=True, eq=False)
class Layout:
    """How a library names its tensors and orders their axes.

    Attributes
    ----------
    title : str
        Whose names they are, for people.
    preset : str
        The input preset that networks of this kind are trained with.
    library : str
        As in :meth:`Row.stored_as`.
    endings : mapping of str to str
        From what follows a layer's name to PyTorch's name of the parameter.
    prefix : str
        A pattern of what may precede a layer's name. Tensors with different values of its group
        ``prefix`` belong to different networks.
    sign : str
        The operation whose layers identify the layout: a file has this layout if it contains the
        weight of any of them. Layers with the same name in torchvision's layout do not count.
    any_name : str
        A pattern for the names of layers, if users may choose them: those of the linear layers, or
        of all layers if `counted` is given.
    counted : mapping of str to str
        If layers are recognised by their order: for each operation, what precedes the number in
        ``conv1``, ``conv2``, ... Else empty.
    numbered : bool
        Whether the parts of a network have numbers instead of names, as in
        ``nn.Sequential(*model.children())``.
    outputs_last : bool
        Whether the axes of weights are (H, W, I, O) and (I, O) instead of (O, I, H, W) and (O, I).
    whole : str
        How to save a network with its linear layers.
    """

    title: str
    preset: str
    library: str
    endings: Mapping[str, str]
    prefix: str = ANY_PREFIX
    sign: str = "conv"
    any_name: str = ""
    counted: Mapping[str, str] = field(default_factory=dict)
    numbered: bool = False
    outputs_last: bool = False
    whole: str = "save the whole model"

    @property
    def nameless(self) -> bool:
        """Whether layers have arbitrary names and are recognised by their order."""
        return bool(self.counted and self.any_name)

    @property
    def renamed_ends(self) -> bool:
        """Whether linear layers may have other names than in the architecture."""
        return bool(self.any_name and not self.counted)

    def layers(self, architecture: Architecture) -> dict[str, Row] | None:
        """Return the rows that have parameters, by their names in this layout.

        None if the layout cannot hold the architecture.
        """
        known = _known.setdefault(architecture, {})
        if self not in known:
            known[self] = _layers(self, architecture)
        return known[self]

    @property
    def free(self) -> bool:
        """Whether the linear layers can be any modules of PyTorch's."""
        return self.endings is _PYTORCH and not self.counted

    def sign_pattern(self, architectures: Iterable[Architecture]) -> re.Pattern[str]:
        """Return a pattern for the names of tensors that only files with this layout have."""
        layers = self.any_name if self.nameless else self.pattern(architectures, self.sign, True)
        ending = re.escape(self.tensor_name("", "weight"))
        return re.compile(f"{self.prefix}(?:{layers}){ending}")

    def tensor_pattern(self, architectures: Iterable[Architecture]) -> re.Pattern[str]:
        """Return a pattern with the groups ``layer``, ``ending`` and possibly ``prefix``."""
        endings = "|".join(map(re.escape, self.endings))
        layers = self.any_name or self.pattern(architectures)
        return re.compile(f"{self.prefix}(?P<layer>{layers})(?P<ending>{endings})")

    def pattern(
        self, architectures: Iterable[Architecture], op: str | None = None, own: bool = False
    ) -> str:
        """Return a pattern for the names of layers in these architectures, with any numbers.

        Parameters
        ----------
        architectures : iterable of Architecture
        op : str, optional
            Only layers of this operation.
        own : bool
            Only layers with another name in torchvision's layout.
        """
        names = {
            name
            for architecture in architectures
            for name, row in (self.layers(architecture) or {}).items()
            if op in (None, row.op)
            and not (own and self.library != "torchvision" and name == row.torchvision)
        }
        return "|".join(sorted({re.sub(r"\d+", r"\\d+", re.escape(name)) for name in names}))

    def tensor_name(self, layer: str, parameter: str) -> str:
        """Return the name of a tensor as a file with this layout has it."""
        return layer + next(e for e, name in self.endings.items() if name == parameter)


_known: WeakKeyDictionary[Architecture, dict[Layout, dict[str, Row] | None]] = WeakKeyDictionary()
"""What :meth:`Layout.layers` has returned: tables are read once."""


def _layers(layout: Layout, architecture: Architecture) -> dict[str, Row] | None:
    counts: Counter[str] = Counter()
    layers = {}
    children = dict.fromkeys(_path(row).partition(".")[0] for row in architecture.rows)
    for row in architecture.rows:
        if not row.parameters:
            continue
        counts[row.op] += 1
        name = row.stored_as(layout.library)
        if layout.numbered:
            name = _numbered(row, children)
        if layout.counted:
            kind = layout.counted.get(row.op)
            name = f"{kind}{counts[row.op]}" if kind else ""
        if not name or not row.parameters.keys() <= set(layout.endings.values()):
            return None
        layers[name] = row
    return layers


def _path(row: Row) -> str:
    """Return the path of a row's module in torchvision, or the row's name."""
    return row.stored_as("torchvision") or row.name


def _numbered(row: Row, children: Iterable[str]) -> str:
    """Return a module's path with the number of its first part among the network's children."""
    first, dot, rest = _path(row).partition(".")
    return f"{list(children).index(first)}{dot}{rest}"


_PYTORCH = {f".{name}": name for name in ("weight", "bias", "running_mean", "running_var")}
_PYTORCH |= {".layer_scale": "scale", ".gamma": "scale"}
_CAFFE = {".weight": "weight", ".bias": "bias"}
_FROSSARD = {"_W": "weight", "_b": "bias"}
_KERAS = {"/kernel": "weight", "/bias": "bias"}
_KERAS_PREFIX = "(?:.*/)?"
_INCLUDE_TOP = "a Keras model made with include_top=True has them"

LAYOUTS = (
    Layout("timm's", "torchvision", "timm", _PYTORCH, sign="linear"),
    Layout("torchvision's", "torchvision", "torchvision", _PYTORCH),
    Layout("torchvision's of 2017", "torchvision", "torchvision-2017", _PYTORCH),
    Layout("EfficientNet-PyTorch's", "torchvision", "efficientnet-pytorch", _PYTORCH),
    Layout("Frossard's", "frossard", "caffe", _FROSSARD, prefix="", outputs_last=True),
    Layout(
        "Keras's",
        "keras",
        "keras",
        _KERAS,
        prefix=_KERAS_PREFIX,
        any_name="[^/]+",
        outputs_last=True,
        whole=_INCLUDE_TOP,
    ),
    Layout(
        "Keras's, in the order of the layers",
        "keras",
        "keras",
        _KERAS,
        prefix=_KERAS_PREFIX,
        any_name="[^/]+",
        counted={"conv": "conv", "linear": "linear"},
        outputs_last=True,
        whole=_INCLUDE_TOP,
    ),
    Layout("Caffe's", "caffe", "caffe", _CAFFE, any_name="[^.]+"),
)
"""All layouts; the first that matches any name in a file is the file's."""

CHILDREN = Layout(
    "torchvision's modules by their numbers", "torchvision", "torchvision", _PYTORCH, numbered=True
)
"""A network that was taken apart: fastai's, and ``nn.Sequential(*model.children())``."""

IN_ORDER = Layout("PyTorch's, in the order of the layers", "torchvision", "torchvision", _PYTORCH)
"""A network whose layers have any names."""
