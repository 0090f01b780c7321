"""Keras's weight files: ``.h5`` (Keras 1 to 3), ``.weights.h5`` and ``.keras`` (Keras 3).

All store their tensors as HDF5, ``.keras`` within a zip file. Tensors are named LAYER/kernel,
LAYER/bias, LAYER/gamma, beta, moving_mean and moving_variance, layers in the model's order.
Nothing in a file is executed: only names and numbers of a model's configuration are used.

- ``.h5``, since 2016: a group for each layer, whose attribute ``weight_names`` lists its datasets;
  the attribute ``layer_names`` of the root or of the group ``model_weights`` lists the layers.
- ``.weights.h5``: ``layers/conv2d_1/vars/0``, where groups are named after the classes of layers
  and numbered within each class. Since Keras 3.10 ``vars`` has an attribute, the layer's name.
- ``.keras``: the same in ``model.weights.h5``, and ``config.json`` with all names.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, BinaryIO

import numpy as np

from gradcam._weights import hdf5
from gradcam._weights.keras_config import parse_layer
from gradcam._weights.keras_model import KerasLayer, KerasModel
from gradcam._weights.tensors import Weights, WeightsError, listed
from gradcam._weights.zips import Archive, Member, check_memory

_MAX_CONFIG = 16 << 20
"""Maximum size of config.json in bytes."""

_EPSILON = 0.001
"""The epsilon of Keras's batch normalisation if the configuration does not contain it."""

_STATISTICS = ("gamma", "beta", "moving_mean", "moving_variance")

_KINDS = {
    "W": "kernel",
    "b": "bias",
    "running_mean": "moving_mean",
    "running_std": "moving_variance",  # Keras 1's name; it is the variance
} | {name: name for name in ("kernel", "bias", *_STATISTICS)}

_OLD_NAME = re.compile(rf"(?:(.+)_)?({'|'.join(_KINDS)})(?:_\d+)?")
"""``block1_conv1_W_1``: layer, kind, and TensorFlow's suffix for unique names."""

_OLD_LAYERS = "_layer_checkpoint_dependencies"
"""The groups of layers in the first files of Keras's new format, by Keras 2.12."""

_NOT_LAYERS = {"optimizer", "optimizer_weights", "seed_generator", "metrics"}
"""Groups with other state than the weights of layers."""

_CAFFE_BLOB = re.compile(r"(data|diff)/.+/\d+")
"""Names of datasets in Caffe's snapshots: a layer and the number of its blob."""


def recognise(start: bytes) -> bool:
    """Whether a file that begins with `start` can be an HDF5 file."""
    return start.startswith(hdf5.SIGNATURE)


def read(path: str | os.PathLike[str]) -> Weights:
    """Map or read the weights of a Keras file of any of the three formats.

    Raises
    ------
    ImportError
        If h5py is not installed.
    WeightsError
        If the file is damaged, has no Keras weights, or kernels in Theano's order.
    """
    with open(path, "rb") as file:
        if file.read(2) == b"PK":
            return _read_archive(file, path)
        with hdf5.open_table(file, path) as table:
            return _read_table(table, path)


def _read_archive(file: BinaryIO, path: str | os.PathLike[str]) -> Weights:
    archive = Archive(file, path)
    description = archive.members.get("config.json")
    if description is None or description.size > _MAX_CONFIG:
        raise WeightsError(f"{path}: a zip file without Keras's config.json")
    if "model.weights.json" in archive.members:
        raise WeightsError(f"{path}: its weights are in several shards; save them in one file")
    member = archive.members.get("model.weights.h5")
    if member is None:
        raise WeightsError(f"{path}: a .keras file without model.weights.h5")
    model = _parse_model(archive.read(description).tobytes(), path)
    name = f"{os.fspath(path)}: {member.name}"
    with (
        _open_member(file, archive, member) as (source, start),
        hdf5.open_table(source, name, start, member.size) as table,
    ):
        weights = _modern(table, name, model)
    graph = weights.graph
    if isinstance(graph, KerasModel):
        graph = replace(graph, version=_version(archive))
    return replace(weights, format="Keras 3 (.keras)", graph=graph)


def _version(archive: Archive) -> str:
    """Return the version of Keras that wrote a file, or an empty string."""
    member = archive.members.get("metadata.json")
    if member is None or member.size > _MAX_CONFIG:
        return ""
    try:
        content = json.loads(archive.read(member).tobytes())
    except (ValueError, RecursionError):
        return ""
    version = content.get("keras_version") if isinstance(content, dict) else None
    return version if isinstance(version, str) else ""


@contextmanager
def _open_member(
    file: BinaryIO, archive: Archive, member: Member
) -> Iterator[tuple[BinaryIO, int]]:
    """Open a file that contains an uncompressed member: the archive, or a copy in memory.

    Yields the file and the member's offset in it.
    """
    if not member.deflated:
        yield file, member.start
        return
    check_memory(member.size, member.name)  # Keras does not compress: other programs do
    with _anonymous_file() as copy:
        copy.truncate(member.size)
        if member.size:
            archive.read_into(member, np.memmap(copy, np.uint8, "r+"))
        yield copy, 0


def _anonymous_file() -> BinaryIO:
    """Open a temporary file without a name, in memory if the system supports it."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("gradcam"), "w+b")
    return tempfile.TemporaryFile()


def _read_table(table: hdf5.Table, path: str | os.PathLike[str]) -> Weights:
    """Return the weights of a file that is HDF5 itself."""
    for root in ("", "model_weights"):
        group = table.groups.get(root)
        if group is not None and _strings(group, "layer_names", path):
            return replace(_legacy(table, path, group), format="Keras HDF5")
    if any(_leaf(group) == "vars" for group in table.groups):
        return replace(_modern(table, path, _Model()), format="Keras 3 (.weights.h5)")
    if "nb_layers" in table.groups[""].attributes:
        raise WeightsError(
            f"{path}: a file of Keras before 1.0, with kernels in Theano's order; "
            f"use the file for TensorFlow (tf_dim_ordering_tf_kernels)"
        )
    if table.datasets and all(_CAFFE_BLOB.fullmatch(name) for name in table.datasets):
        raise WeightsError(
            f"{path}: an HDF5 file of Caffe, which holds blobs without the network: save a "
            f".caffemodel (snapshot_format: BINARYPROTO), which holds both"
        )
    raise WeightsError(
        f"{path}: an HDF5 file without Keras weights: neither layer_names nor layers/.../vars "
        f"(it has {listed(table.datasets) or 'no datasets'})"
    )


# .h5 ------------------------------------------------------------------------------------------


def _legacy(table: hdf5.Table, path: str | os.PathLike[str], root: hdf5.Group) -> Weights:
    """Return the weights of a .h5 of Keras 1 to 3, whose attributes list layers and datasets."""
    if root.attributes.get("backend") == "theano":
        raise _theano(path)
    paths: dict[str, str] = {}
    used = set()
    ordered = True
    written: dict[str, list[tuple[str, str]]] = {}
    for layer in _strings(root, "layer_names", path):
        group = table.groups.get(_join(root.path, layer))
        if group is None:
            raise WeightsError(f"{path}: names a layer {layer!r} but has no group for it")
        names = written.setdefault(layer, [])
        for name, dataset in _parse_layer(layer, group, path):
            if dataset not in table.datasets:
                raise WeightsError(f"{path}: names {dataset!r} but has no such dataset")
            if dataset in used:
                raise WeightsError(f"{path}: names {dataset!r} twice")
            used.add(dataset)
            # A nested model lists trainable weights first, and then all others.
            ordered &= name.startswith(f"{layer}/")
            # A second tensor of the same name belongs to a nested model.
            name = dataset if name in paths else name
            paths[name] = dataset
            names.append((dataset.removeprefix(f"{group.path}/"), name))
    text = table.groups[""].attributes.get("model_config", "")
    model = _parse_model(text, path) if text else _Model()
    if model.root is None and any(_is_theano(table.datasets[p].shape) for p in paths.values()):
        raise _theano(path)
    metadata = _metadata(paths, model, root.attributes)
    weights = _weights(table, paths, metadata, ordered)
    if model.root is None:
        return weights
    tensors = _legacy_tensors(model.root, written)
    version = metadata.get("keras_version", "")
    return replace(weights, graph=KerasModel(model.root.with_tensors(tensors), version))


def _legacy_tensors(
    root: KerasLayer, written: Mapping[str, list[tuple[str, str]]]
) -> dict[str, tuple[str, ...]]:
    """Return the names of each layer's tensors, by the layer's group.

    Parameters
    ----------
    root : KerasLayer
    written : mapping of str to list of (str, str)
        For each layer of the model itself, the names of its datasets and of their tensors. Those
        of a nested model are "OWNER/kernel:0", where OWNER is a layer in it.
    """
    found: dict[str, tuple[str, ...]] = {}
    for layer in root.layers or ():
        names = written.get(layer.name, [])
        if layer.layers is None:
            found[layer.group] = tuple(tensor for _, tensor in names)
            continue
        owners: dict[str, list[str]] = {}
        for dataset, tensor in names:
            owners.setdefault(dataset.rpartition("/")[0], []).append(tensor)
        by_name: dict[str, list[tuple[str, ...]]] = {}
        leaves = list(layer.leaves())
        known = {leaf.name for leaf in leaves}
        for owner, tensors in owners.items():
            name = _leaf(owner)
            if name not in known:  # TensorFlow makes names unique: NAME_1
                name = re.sub(r"_\d+$", "", name)
            by_name.setdefault(name, []).append(tuple(tensors))
        for leaf in leaves:  # layers of one name are in the order of the model
            if by_name.get(leaf.name):
                found[leaf.group] = by_name[leaf.name].pop(0)
    return found


def _parse_layer(
    layer: str, group: hdf5.Group, path: str | os.PathLike[str]
) -> list[tuple[str, str]]:
    """Return the name and the dataset of each weight in a layer's group."""
    parsed = []
    for name in _strings(group, "weight_names", path):
        *outer, last = name.removesuffix(":0").split("/")
        match = _OLD_NAME.fullmatch(last)
        kind = _KINDS[match[2]] if match else last
        owner = outer[-1] if outer else (match[1] if match else None)
        parsed.append((owner or layer, kind, _join(group.path, name)))
    kinds = [kind for _, kind, _ in parsed]
    nested = len(set(kinds)) < len(kinds)  # the layer is a model with layers
    return [(f"{owner if nested else layer}/{kind}", dataset) for owner, kind, dataset in parsed]


def _strings(group: hdf5.Group, name: str, path: str | os.PathLike[str]) -> list[str]:
    """Return the list of names in an attribute, or in numbered ones if the list is long."""
    numbered = [f"{name}{i}" for i in range(len(group.attributes))]
    parts = [name] if name in group.attributes else [n for n in numbered if n in group.attributes]
    values: list[str] = []
    for part in parts:
        value = group.attributes[part]
        if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
            raise WeightsError(f"{path}: attribute {part} of {group.path!r} is not a list of names")
        values += value
    return values


def _is_theano(shape: tuple[int, ...]) -> bool:
    """Whether the last two axes of a kernel are height and width; in Keras it is the first two."""
    return len(shape) == 4 and shape[2] == shape[3] < 12 and shape[0] != shape[1]


def _theano(path: str | os.PathLike[str]) -> WeightsError:
    return WeightsError(
        f"{path}: kernels in Theano's order; use the file for TensorFlow "
        f"(tf_dim_ordering_tf_kernels)"
    )


# .weights.h5 and .keras -----------------------------------------------------------------------


@dataclass
class _Model:
    """What a configuration says of a model.

    Attributes
    ----------
    root : KerasLayer or None
        The model, if the file has a configuration with layers.
    names : dict of str to str
        The layers' names by their groups, in the model's order.
    epsilons : set of float
        Of batch normalisations.
    head : str
        The activation after the last fully connected layer, such as "softmax"; "linear" if there is
        none.
    """

    root: KerasLayer | None = None
    names: dict[str, str] = field(default_factory=dict)
    epsilons: set[float] = field(default_factory=set)
    head: str = "linear"


def _parse_model(text: Any, path: str | os.PathLike[str]) -> _Model:
    """Parse a model's configuration; entries of unexpected types are skipped."""
    try:
        root = parse_layer(json.loads(text))
    except (TypeError, ValueError, RecursionError) as error:
        if isinstance(error, WeightsError):
            raise WeightsError(f"{path}: {error}") from error
        raise WeightsError(f"{path}: the model's configuration is not JSON ({error})") from error
    model = _Model()
    if root.layers:
        model.root = root
        _collect(root, model)
    return model


def _collect(parent: KerasLayer, model: _Model) -> None:
    """Add what the layers of a model say."""
    for layer in parent.layers or ():
        if layer.class_name and layer.name:
            model.names[layer.group] = layer.name
        epsilon = layer.config.get("epsilon")
        if layer.class_name == "BatchNormalization" and isinstance(epsilon, float):
            model.epsilons.add(epsilon)
        if layer.class_name in ("Dense", "Activation"):
            model.head = str(layer.config.get("activation") or "linear")
        elif layer.class_name in ("Softmax", "Sigmoid"):
            model.head = layer.class_name.lower()
        _collect(layer, model)


def _modern(table: hdf5.Table, path: str | os.PathLike[str], model: _Model) -> Weights:
    """Return the weights in Keras 3's groups, which are numbered within each class of layers."""
    variables: dict[str, list[hdf5.Dataset]] = {}
    for dataset in table.datasets.values():
        group, _, number = dataset.path.rpartition("/")
        layer = group.removesuffix("vars").rstrip("/")
        if _leaf(group) == "vars" and number.isdecimal() and not _NOT_LAYERS & {*layer.split("/")}:
            variables.setdefault(layer, []).append(dataset)
    if not variables:
        raise WeightsError(f"{path}: a Keras HDF5 file without weights")
    paths: dict[str, str] = {}
    groups: dict[str, tuple[str, ...]] = {}
    for layer in _sort_layers(variables, table, model):
        own = sorted(variables[layer], key=lambda d: int(_leaf(d.path)))
        name = _name(layer, table, model)
        if any(f"{name}/{kind}" in paths for kind in _kinds(own)):
            name = layer  # a nested model has a layer of the same name
        added = {f"{name}/{kind}": d.path for kind, d in zip(_kinds(own), own, strict=True)}
        paths |= added
        groups[layer.replace(_OLD_LAYERS, "layers")] = tuple(added)
    ordered = all(_is_counted(layer) for layer in variables)
    weights = _weights(table, paths, _metadata(paths, model, {}), ordered)
    if model.root is None:
        return weights
    return replace(weights, graph=KerasModel(model.root.with_tensors(groups)))


def _is_counted(layer: str) -> bool:
    """Whether a group is in its model's list of layers, which Keras numbers in their order.

    The groups of a subclassed model are named after its attributes instead.
    """
    parts = layer.split("/")
    return len(parts) % 2 == 0 and set(parts[::2]) == {"layers"}


def _name(layer: str, table: hdf5.Table, model: _Model) -> str:
    """Return the name of a group's layer."""
    own = table.groups[_join(layer, "vars")].attributes.get("name")
    return own if isinstance(own, str) else model.names.get(layer, _leaf(layer))


def _kinds(datasets: list[hdf5.Dataset]) -> tuple[str, ...]:
    """Name a layer's numbered variables by their shapes, or else by their numbers."""
    ranks = [len(d.shape) for d in datasets]
    if ranks == [1] * 4:
        return _STATISTICS
    if len(ranks) < 3 and ranks[0] > 1 and ranks[1:] in ([], [1]):
        return ("kernel", "bias")[: len(ranks)]
    return tuple(_leaf(d.path) for d in datasets)


def _sort_layers(
    variables: Mapping[str, list[hdf5.Dataset]], table: hdf5.Table, model: _Model
) -> Iterator[str]:
    """Sort the groups of layers by the model's order, with nested models in their places.

    The configuration contains that order. Without it, layers of one class are sorted by their
    numbers (HDF5 lists conv2d_10 before conv2d_2). Layers of different classes are sorted by the
    addresses of their groups, which is almost the order of their creation; fully connected layers
    are last.
    """
    rank = {layer: number for number, layer in enumerate(model.names)}
    children: dict[str, set[str]] = {}
    for layer in variables:
        parts = layer.split("/") if layer else []
        for depth in range(len(parts)):
            parent = "/".join(parts[:depth])
            children.setdefault(parent, set()).add(_join(parent, parts[depth]))

    def rank_of(group: str) -> tuple[bool, int]:
        connected = any(len(d.shape) == 2 for d in variables.get(group, ()))
        return connected, table.groups[group].address

    def visit(group: str) -> Iterator[str]:
        if group in variables:
            yield group
        found = sorted(children.get(group, ()))
        if all(child in rank for child in found):
            found.sort(key=rank.__getitem__)
        else:
            found = _merge(found, rank_of)
        for child in found:
            yield from visit(child)

    return visit("")


def _merge(groups: list[str], rank: Callable[[str], Any]) -> list[str]:
    """Sort groups by number within a class, and by rank otherwise."""
    classes: dict[str, list[tuple[int, str]]] = {}
    for group in groups:
        stem, _, number = _leaf(group).rpartition("_")
        if stem and number.isdecimal() and number.isascii():
            classes.setdefault(stem, []).append((int(number), group))
        else:
            classes.setdefault(_leaf(group), []).append((0, group))
    queues = [[group for _, group in sorted(members)][::-1] for members in classes.values()]
    merged = []
    while queues := [queue for queue in queues if queue]:
        merged.append(min(queues, key=lambda queue: rank(queue[-1])).pop())
    return merged


# All ------------------------------------------------------------------------------------------


def _weights(
    table: hdf5.Table, paths: Mapping[str, str], metadata: dict[str, str], ordered: bool
) -> Weights:
    """Read the datasets, given by the tensors' names."""
    tensors = dict(zip(paths, table.tensors(list(paths.values())), strict=True))
    kinds = {name: table.datasets[path].kind for name, path in paths.items()}
    dtypes = {name: kind for name, kind in kinds.items() if kind != str(tensors[name].dtype)}
    return Weights(tensors, metadata, dtypes=dtypes, ordered=ordered)


def _metadata(paths: Iterable[str], model: _Model, attributes: Mapping[str, Any]) -> dict[str, str]:
    """Return the version, the backend, the head, and the epsilon of batch normalisation."""
    known = ("keras_version", "backend")
    metadata = {k: v for k, v in attributes.items() if k in known and isinstance(v, str)}
    if any(_leaf(name) == "moving_variance" for name in paths):
        # Different ones are those of a model whose configuration is followed.
        metadata["eps"] = str(next(iter(model.epsilons), _EPSILON))
    if model.head != "linear":
        metadata["head"] = model.head
    return metadata


def _leaf(path: str) -> str:
    return path.rpartition("/")[2]


def _join(group: str, name: str) -> str:
    return f"{group}/{name}" if group else name
