"""Load networks from weight files or arrays.

    file -> gradcam.weights.load -> an importer, if the file has a graph
                                 -> checkpoints.identify -> Architecture.layers, if it has none
         -> network_of

If the weights of a file must be reordered, a reordered copy is stored in the cache and used instead
of the file the next time (:mod:`gradcam._models.converted`).
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, cast

import numpy as np
from numpy.typing import NDArray

from gradcam import _core
from gradcam._engine.assembly import Assembled, Convolution, assemble, check_convolution
from gradcam._engine.layers import HEADS, Layer, require_finite
from gradcam._engine.network import Network
from gradcam._engine.transformed import TransformedWeights
from gradcam._files import expanded, file_state, sampled_digest
from gradcam._importers import stored
from gradcam._importers.imported import DEFAULT_SIZE, UNNAMED, Choices, Imported
from gradcam._importers.importing import import_graph, kind_of
from gradcam._importers.probabilities import ends_in_probabilities
from gradcam._labels import imagenet
from gradcam._labels.classes import Labels
from gradcam._models import caffe_parts, checkpoints, timm_folders
from gradcam._models.architecture import Architecture
from gradcam._models.recognition import recognised
from gradcam._pictures import presets
from gradcam._pictures.presets import MAX_SIZE, Preset, size_pair
from gradcam._text import brief, printable
from gradcam._weights import folder, reading
from gradcam._weights.graph import Graph
from gradcam._weights.storage import Storage, check_storage
from gradcam._weights.tensors import Weights, WeightsError, WeightsWarning

if TYPE_CHECKING:
    from gradcam._models.converted import Copy

Head = Literal["softmax", "log_softmax", "sigmoid"]
"""How scores become probabilities, or their logarithms."""

_MAX_DEPTH = 16
"""Levels of nested dicts in which arrays are looked for."""

_SURE = (
    "A file that says everything, an ONNX or .pt2 file or the module itself (gradcam.from_torch), "
    "leaves nothing to assume."
)
"""How to be sure of what a file of weights does not say."""

_MAX_SHOWN = 40
"""Bytes of an invalid argument that a message repeats."""


def load(
    weights: str | os.PathLike[str] | Mapping[str, object] | Weights,
    *,
    labels: Labels | Sequence[str] | str | os.PathLike[str] | None = None,
    preset: str | Preset | None = None,
    conv: Convolution | None = None,
    fc_dtype: Storage = "float32",
    head: Head | None = None,
    mmap: bool = True,
    name: str | None = None,
    size: int | tuple[int, int] | None = None,
    output: str | None = None,
    target_layer: str | None = None,
) -> Network:
    """Return the network whose weights these are; its architecture is recognised from them.

    ``gradcam.vgg16(weights)`` does the same, and refuses the weights of any other network.

    Parameters
    ----------
    weights : path or mapping of str to array
        A weight file of PyTorch, Keras, Caffe, ONNX, NumPy or safetensors, whatever its name (see
        :func:`gradcam.weights.load`); a folder that transformers or timm wrote, with config.json
        and weights; or arrays, also in nested dicts, such as a PyTorch module's
        ``state_dict()`` or a checkpoint. All layouts of :mod:`gradcam._models.layouts` and any
        number of classes are accepted. The fully connected weights are used where they are, in the
        memory-mapped file or in the array: do not change them. Those of a large file with another
        layout are converted once and stored in the user's cache folder, and so are the transformed
        weights of a large file (:mod:`gradcam._models.converted`,
        :mod:`gradcam._engine.transformed`).
    labels : Labels, sequence of str or path, optional
        The classes, or a file that lists them (:meth:`gradcam.Labels.read`). By default those in
        the file's metadata, else ImageNet's if there are 1000 classes, or 1001 with "background" as
        the first, else numbers.
    preset : str or Preset, optional
        A name of :data:`gradcam.PRESETS` or a preset: how pictures become input. By default what
        the file says: its metadata, the configuration of a folder, the data layer of a Caffe
        model, or layers of a graph that scale the input, which then takes "0..255" or "0..1". A
        file of weights alone that says nothing has the usual preset of its architecture and of the
        library whose names it has. So has a graph of PyTorch that is one of torchvision's
        architectures, which is a note in ``about``. Otherwise the preset is None: the network
        takes preprocessed arrays, and refuses pictures with a message that asks for a preset.
        Networks of one channel take grey pictures if the preset has one mean and one deviation for
        all colours ("0..1"); those of other numbers of channels take preprocessed arrays alone.
    conv : "winograd" or "direct", optional
        How 3x3 convolutions are computed: by Winograd's algorithm, or by their definition, which
        takes about four times as long and has smaller rounding errors: relative to the largest
        score of the full VGG-16, the scores differ from float64 by 9e-7 instead of 1.4e-6. By
        default the value of the environment variable GRADCAM_CONV, else "winograd".
    fc_dtype : "float32", "float16" or "bfloat16"
        How the fully connected weights are stored. The 16-bit types take half the memory, in a
        copy, and a forward pass of one image takes about 8 % less time. All computations are in
        float32; rounding the weights changes the scores by up to 4e-4 (float16) or 3e-3
        (bfloat16) of the largest one (full VGG-16, random weights; ``tests/bench/settings.py``
        measures this).
    head : "softmax", "log_softmax" or "sigmoid", optional
        How scores become probabilities: of classes that exclude each other ("softmax"; with
        "log_softmax" the last layer is their logarithm, and the probabilities are the same), or
        each by itself, for networks of several labels ("sigmoid"). By default what the file says
        (Keras's with a configuration and ONNX's do); else "sigmoid" if there is one output, which
        says yes or no, and "softmax" if there are more. A network whose output is made of
        probabilities, such as the mean of several softmaxes, is refused without it; with it, that
        output is taken for the scores.
    mmap : bool
        Whether weights stay where they are in a file, mapped into memory: they are read when they
        are first used, and processes share them. If such a file is truncated or overwritten later,
        or its disk is removed, the operating system stops the process (SIGBUS), which no program
        can turn into an exception. With False, all weights are copied into memory now.
    name : str, optional
        For messages; by default the architecture's, or what the file says.
    size : int or (height, width), optional
        Size of the input, in pixels. By default that of the file, if it says one, else the
        preset's; 224 where a layer of the graph depends on it and the file leaves it open.
    output : str, optional
        The output that holds the class scores, of files with a graph that has several.
    target_layer : str, optional
        Grad-CAM's layer. By default that of the architecture; of other networks the last map with
        more than one position before global pooling or flattening.

    Returns
    -------
    Network

    Warns
    -----
    gradcam.WeightsWarning
        If something that the file does not say is assumed, such as the activations of a head.

    Raises
    ------
    gradcam.WeightsError
        If a tensor is missing, unexpected, misshapen or not finite, the file cannot be read, it
        holds an unknown network, or there are not as many labels as classes. It is a ValueError.
    OSError
        If the file cannot be opened.
    ImportError
        If the library that reads this kind of file is not installed; the message names it.
    ValueError, TypeError
        If the labels, the preset, conv or fc_dtype are invalid, or `weights` is the name of
        published weights, which ``gradcam.vgg16("imagenet")`` downloads.
    """
    return load_as(
        None,
        weights,
        Options(labels, preset, conv, fc_dtype, head, mmap, name, size, output, target_layer),
    )


@dataclass(frozen=True)
class Options:
    """What the caller chooses, as the parameters of :func:`load`."""

    labels: Labels | Sequence[str] | str | os.PathLike[str] | None = None
    preset: str | Preset | None = None
    conv: Convolution | None = None
    fc_dtype: Storage = "float32"
    head: Head | None = None
    mmap: bool = True
    name: str | None = None
    size: int | tuple[int, int] | None = None
    output: str | None = None
    target_layer: str | None = None

    def check(self) -> None:
        """Raise ValueError or TypeError if an option is invalid, before any work."""
        check_storage(self.fc_dtype, "fc_dtype")
        if self.head is not None and self.head not in HEADS:
            raise ValueError(f"head={self.head!r}: the heads are {', '.join(HEADS)}")
        for option in ("name", "output", "target_layer"):
            given = getattr(self, option)
            if not isinstance(given, (str, type(None))):
                raise TypeError(f"{option}: expected a string or None, got {brief(given)}")
        check_bool(self.mmap, "mmap")
        self.choices()

    def choices(self) -> Choices:
        """Return what importers of graphs are told."""
        if self.size is None:
            return Choices(None, self.output)
        pair = size_pair(self.size)
        if pair is None or max(pair) > MAX_SIZE:
            raise ValueError(
                f"size: expected an int or (height, width) in pixels, up to {MAX_SIZE}, "
                f"got {brief(self.size)}"
            )
        return Choices(pair, self.output)


def check_bool(value: object, option: str) -> None:
    """Raise TypeError if an option is neither True nor False."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{option}: expected True or False, got {brief(value)}")


def load_as(
    expected: Architecture | None,
    weights: str | os.PathLike[str] | Mapping[str, object] | Weights,
    options: Options,
) -> Network:
    """Return the network whose weights these are, as :func:`load`.

    Raises WeightsError if `expected` is not None and they are those of another architecture.
    """
    options.check()
    if isinstance(weights, (str, os.PathLike)):
        weights = expanded(os.fsdecode(weights))
    # Before the files are read, so that a later change is seen.
    state = _state(weights) if isinstance(weights, str) else None
    copy = _copy(weights, options)
    copied = None if copy is None else copy.weights()
    content = copied or _read(weights)
    path = weights if isinstance(weights, str) else ""
    source = path or "weights"
    try:
        if copied is not None:
            imported = recognised(stored.imported(copied, Choices()))
        else:
            imported = imported_from(content, options, expected)
            imported = imported if copy is None else copy.of(imported)
        imported = with_name(imported, path)
        _check_architecture(imported, expected)
        warn_of(imported, path, stacklevel=4)
        network = network_of(imported, options, path, copy)
    except WeightsError as error:
        advice = "".join(f"; {sentence.rstrip('.')}" for sentence in _folder_of(path))
        raise WeightsError(f"{source}: {error}{advice}") from error
    if path:
        network.origin = _File(os.path.abspath(path), state, options)
    return network


def warn_of(imported: Imported, path: str, stacklevel: int) -> None:
    """Warn of what a file does not say and was assumed."""
    if imported.assumed:
        said = (*imported.assumed, *_folder_of(path), _SURE)
        warnings.warn(" ".join(said), WeightsWarning, stacklevel=stacklevel)


def _folder_of(path: str) -> tuple[str, ...]:
    """Return the advice to load the whole folder of a file of weights, if it is part of one."""
    name = os.path.dirname(os.path.abspath(path))
    if not path or os.path.basename(path) not in folder.WEIGHTS:
        return ()
    try:
        whole = folder.is_model_folder(name)
    except OSError:
        whole = False
    return (f"{folder.CONFIG} beside it describes the network: load the folder {name}.",) * whole


def network_of(
    imported: Imported, options: Options, source: str = "", copy: Copy | None = None
) -> Network:
    """Return the network of an import.

    Parameters
    ----------
    imported : Imported
        With its architecture, if it is a known one.
    options : Options
    source : str
        The path of the file or folder; empty if there is none.
    copy : Copy, optional
        Its converted copy, if the weights are in a file.
    """
    classes = imported.classes
    layers = _with_head(imported, options.head)
    layers = [_stored(layer, options) for layer in layers]
    labels = find_labels(options.labels, imported.labels, classes)
    if labels is None:
        labels = _usual_labels(classes)
    assembled, transformed = _assemble(layers, imported, options.conv, source, copy)
    assembled = _with_target(assembled, options.target_layer, imported.target_layer)
    preset = imported.preset if options.preset is None else presets.find(options.preset)
    if options.preset is None and preset is not None and not preset.takes(imported.channels):
        preset = None  # the usual one of this architecture, for pictures in colour
    network = Network.from_assembled(assembled, labels, preset, options.name or imported.name)
    network.transformed = transformed
    network.size, network.fixed = _size(imported, options), imported.fixed
    # What is only about pictures without a preset is not about this network, if one is given.
    notes = [note for note in imported.notes if options.preset is None or "preset=" not in note]
    network.about, network.assumed = " ".join(notes), imported.assumed
    return network


def imported_from(
    content: Weights, options: Options, expected: Architecture | None = None
) -> Imported:
    """Return the network in a file: from its graph, or from the names of its tensors."""
    if kind_of(content) is not None:
        imported = recognised(import_graph(content, options.choices()))
        imported = replace(imported, notes=(*imported.notes, *content.notes))
        if imported.labels is not None:
            return imported
        return _with_labels_of(content.metadata, imported)
    if options.output is not None:
        raise WeightsError(
            f"output={options.output!r}: only files with a graph have outputs to choose from; "
            f"leave it out"
        )
    if content.graph is not None and content.graph.kind == "timm":
        imported = recognised(timm_folders.imported(content, options.choices()))
        return replace(imported, notes=(*imported.notes, *content.notes))
    checkpoint = checkpoints.identify(content, options.preset, expected)
    architecture = checkpoint.network
    layers = architecture.layers(checkpoint.tensors(), checkpoint.eps)
    preset: Preset | None = checkpoint.own_preset
    notes: tuple[str, ...] = ()
    if isinstance(content.graph, Graph) and content.graph.kind == "caffe parts":
        caffe_parts.check(content.graph, layers, architecture.title)
        preset, notes = caffe_parts.preset(content.graph, checkpoint.channels, preset)
    if layers[-1].op in HEADS:
        default = "sigmoid" if checkpoint.classes == 1 else "softmax"
        layers[-1] = replace(layers[-1], op=checkpoint.head or default)
    imported = Imported(
        layers=tuple(layers),
        channels=checkpoint.channels,
        classes=checkpoint.classes,
        size=None,
        fixed=False,
        target_layer=architecture.target_layer,
        name=architecture.name,
        title=f"{architecture.title}, {checkpoint.layout} names",
        architecture=architecture.name,
        preset=preset,
        in_place=checkpoint.in_place,
        external=content.graph is not None and content.graph.external,
        ignored=checkpoint.ignored,
        notes=(*checkpoint.assumed, *checkpoint.notes, *notes),
        assumed=checkpoint.assumed,
    )
    return _with_labels_of(content.metadata, imported)


def with_name(imported: Imported, path: str) -> Imported:
    """Return the network with a name, also if its file gives none: its architecture's or file's."""
    if imported.name not in ("", UNNAMED):
        return imported
    stem = os.path.splitext(os.path.basename(os.path.abspath(path)))[0] if path else ""
    return replace(imported, name=imported.architecture or printable(stem) or UNNAMED)


def _with_target(assembled: Assembled, chosen: str | None, usual: str) -> Assembled:
    """Return the layers with the target layer that the caller chose, or else the file's."""
    if chosen is not None:
        return assembled.with_target(chosen)
    try:
        return assembled.with_target(usual or None)
    except ValueError as error:
        raise WeightsError(f"the target layer: {error}") from error


def _size(imported: Imported, options: Options) -> tuple[int, int] | None:
    """Return the size of the input: the caller's, if the network takes any, or the file's."""
    size = options.choices().size
    if size is None or size == imported.size:
        return imported.size
    if imported.fixed and imported.size is not None:
        height, width = imported.size
        raise WeightsError(
            f"size={options.size!r}: the network is made for inputs of {height} x {width} only"
        )
    return size


def _check_classes(assembled: Assembled, imported: Imported) -> None:
    """Raise WeightsError if the layers do not end in as many scores as the file says.

    Also if a map is so large that no machine can hold it.
    """
    classes = assembled.classes
    height, width = imported.size or DEFAULT_SIZE
    shapes = []
    try:
        shapes = assembled.core.shapes(height, width)
    except (MemoryError, ValueError) as error:
        # A network of any size may need a larger input.
        if classes is None or isinstance(error, MemoryError):
            raise WeightsError(f"input of {height} x {width}: {error}") from error
    if classes is None:  # of a flattened map, for one size
        classes = math.prod(shapes[assembled.names.index(assembled.score_layer)])
    if classes != imported.classes:
        raise WeightsError(f"the layers end in {classes} scores, not in {imported.classes}")


def _with_head(imported: Imported, head: Head | None) -> list[Layer]:
    """Return the layers with their last one a head: the caller's, the file's, or the usual one."""
    layers = list(imported.layers)
    if head is None and ends_in_probabilities(layers):
        last = next(layer for layer in reversed(layers) if layer.op != "flatten")
        raise WeightsError(
            f"the network ends in probabilities, but not in a softmax or sigmoid (its last layer "
            f"is {printable(last.name)!r}, {last.op}), so that its scores are not known: choose "
            f"another output by output=, or take the probabilities for scores by head='softmax' "
            f"or head='sigmoid'"
        )
    if layers[-1].op in HEADS:
        return layers if head is None else [*layers[:-1], replace(layers[-1], op=head)]
    names = {name for layer in layers for name in (layer.name, *layer.aliases)}
    name = next(name for name in ("prob", "probabilities", "probabilities_2") if name not in names)
    return [*layers, Layer(name, head or ("sigmoid" if imported.classes == 1 else "softmax"))]


def _stored(layer: Layer, options: Options) -> Layer:
    """Return the layer with its weights as the caller wants them."""
    if layer.op == "linear" and options.fc_dtype != "float32":
        layer = replace(layer, attributes={**layer.attributes, "dtype": options.fc_dtype})
    if not options.mmap:
        layer = replace(layer, weights={name: np.array(w) for name, w in layer.weights.items()})
    return layer


@dataclass(frozen=True, eq=False)
class _File:
    """The file that a network was loaded from; see :data:`gradcam._engine.network.Origin`."""

    path: str
    state: tuple[int, ...] | None
    options: Options

    def __call__(
        self, network: Network
    ) -> tuple[Callable[..., Network], tuple[object, ...]] | None:
        """Return how to load the file again; None if it has changed since."""
        if self.state is None or _state(self.path) != self.state:
            return None
        last = network.probability_layer
        head = network.layers[last].op if last else None
        options = replace(
            self.options,
            labels=network.labels,
            preset=network.preset,
            conv=check_convolution(self.options.conv),
            head=cast("Head | None", head),
            name=network.name,
            target_layer=network.target_layer,
        )
        return _load_again, (self.path, _digest(self.path), options)


def _state(path: str) -> tuple[int, ...] | None:
    """Return what normally changes if a file changes, or one of those that a folder is read from.

    None if there is no such file.
    """
    states = [file_state(file) for file in _files(path)]
    if not states or None in states:
        return None
    return tuple(number for state in states if state is not None for number in state)


def _digest(path: str) -> str:
    """Return a digest of samples of a file, or of those that a folder is read from."""
    return " ".join(map(sampled_digest, _files(path)))


def _files(path: str) -> tuple[str, ...]:
    """Return a file, or those that a folder is read from; none if that cannot be said."""
    if not os.path.isdir(path):
        return (path,)
    try:
        return folder.files(path)
    except (OSError, WeightsError):
        return ()


def _load_again(path: str, digest: str, options: Options) -> Network:
    """Load a network that was pickled.

    Raises
    ------
    WeightsError
        If the file is missing, or is another one than when the network was pickled.
    """
    try:
        same = _digest(path) == digest
    except OSError as error:
        raise WeightsError(
            f"{path}: the network was pickled by its file, which cannot be read here "
            f"({error.strerror}): copy the file to this place, or load the network here"
        ) from error
    if not same:
        raise WeightsError(f"{path}: the file has changed since the network was pickled")
    return load_as(None, path, options)


def find_labels(
    given: Labels | Sequence[str] | str | os.PathLike[str] | None,
    stored: Labels | None,
    classes: int,
) -> Labels | None:
    """Return the given labels, or those of the given file, or else those stored with the weights.

    None if there are none of these.

    Raises
    ------
    WeightsError
        If there are not as many as `classes`.
    ValueError, TypeError, OSError
        If the given labels are invalid.
    """
    if isinstance(given, (bytes, bytearray)):
        raise TypeError(
            f"labels: expected names of classes or the path of a file that lists them, "
            f"got {given[:_MAX_SHOWN]!r}"
        )
    given = getattr(given, "tolist", lambda: given)()  # of an array
    found: Labels | None
    if isinstance(given, (str, os.PathLike)):
        found = Labels.read(given)
    elif given is None:
        found = stored
    else:
        found = given if isinstance(given, Labels) else Labels(given)
    if found is not None and len(found) != classes:
        source = f"{given}: " if isinstance(given, (str, os.PathLike)) else ""
        hint = ""
        if len(found) + 1 == classes == len(imagenet.labels()) + 1:
            hint = (
                "; networks of 1001 classes usually begin with 'background', before ImageNet's "
                "1000: add it as the first label, or leave the labels out"
            )
        raise WeightsError(f"{source}{len(found)} labels for a network of {classes} classes{hint}")
    return found


def _usual_labels(classes: int) -> Labels:
    """Return the labels of a network without any: ImageNet's if their number fits, else numbers."""
    known = imagenet.labels()
    if classes == len(known):
        return known
    if classes == len(known) + 1:
        return imagenet.labels_after_background()
    return Labels.numbered(classes)


def _with_labels_of(metadata: Mapping[str, str], imported: Imported) -> Imported:
    """Return the network with the labels of the metadata.

    Names that another program wrote may be those of something else: they are used only if there are
    as many as classes.
    """
    try:
        labels = Labels.from_metadata(metadata)
    except ValueError as error:
        raise WeightsError(str(error)) from error
    if labels is None or "classes" in metadata or len(labels) == imported.classes:
        return replace(imported, labels=labels)
    note = (
        f"The names in the file's metadata ({len(labels)}) are not used: the network has "
        f"{imported.classes} classes."
    )
    return replace(imported, notes=(*imported.notes, note))


def _check_architecture(imported: Imported, expected: Architecture | None) -> None:
    name = imported.architecture
    if expected is not None and name != expected.name:
        found, use = (f"a {name}", f"gradcam.{name}, or ") if name else ("another network", "")
        raise WeightsError(
            f"these are the weights of {found}: use {use}gradcam.load, which accepts every known "
            f"network"
        )


def _copy(weights: object, options: Options) -> Copy | None:
    """Return the converted copy of a file; None if the weights are not in one file.

    Those of folders have an order that the core can use.
    """
    if not isinstance(weights, (str, os.PathLike)) or os.path.isdir(weights):
        return None
    from gradcam._models.converted import Copy  # it imports hashlib, which is slow

    return Copy(weights, options.choices())


def _assemble(
    layers: Sequence[Layer],
    imported: Imported,
    conv: Convolution | None,
    source: str,
    copy: Copy | None,
) -> tuple[Assembled, TransformedWeights | None]:
    """Assemble the layers; return them, and their transformed weights if they come from a file.

    The weights of linear layers are checked unless the cache shows that they are finite.
    """
    conv = check_convolution(conv)
    _core.cpu_level()  # refuses an unknown level, which is not an error of the file
    try:
        assembled = assemble(layers, imported.channels, conv, check_linear=False)
    except (LookupError, TypeError, ValueError) as error:  # a file can say anything
        raise WeightsError(str(error)) from error
    _check_classes(assembled, imported)
    transformed = None
    if source:
        # The state of one file says nothing about the others that tensors are stored in.
        state = None if copy is None or imported.external else copy.state
        transformed = _transformed(assembled, source, state)
    if transformed is None or not transformed.linear_is_finite():
        for layer in layers:
            if layer.op == "linear":
                require_finite(layer)
    return assembled, transformed


def _transformed(
    assembled: Assembled, source: str, state: tuple[int, ...] | None
) -> TransformedWeights:
    """Return the transformed weights of layers whose file is `source`."""
    tensors = {
        op: [np.asarray(layer.weights["weight"]) for layer in assembled.layers if layer.op == op]
        for op in ("conv", "linear")
    }
    return TransformedWeights(
        assembled.core, tensors["conv"], tensors["linear"], os.path.abspath(source), state
    )


def _read(weights: str | os.PathLike[str] | Mapping[str, object] | Weights) -> Weights:
    if isinstance(weights, Weights):
        return weights
    if isinstance(weights, Mapping):
        return Weights(_arrays(weights))
    if hasattr(weights, "state_dict"):
        raise TypeError(
            f"weights: expected a path or a dict of arrays, got a {type(weights).__name__}; "
            f"pass its state_dict()"
        )
    return reading.load(weights)


def _arrays(weights: Mapping[str, object]) -> dict[str, NDArray[np.generic]]:
    """Return the arrays in nested dicts, by their keys joined with dots; skip non-arrays."""
    arrays: dict[str, NDArray[np.generic]] = {}
    for name, values in _flattened(weights):
        array = _array(name, values)
        if array.dtype.kind not in "biufc" and not hasattr(values, "__array__"):
            continue
        if name in arrays:
            raise WeightsError(f"two tensors are called {name!r}")
        arrays[name] = array
    return arrays


def _flattened(weights: Mapping[str, object], *keys: str) -> Iterator[tuple[str, object]]:
    if len(keys) > _MAX_DEPTH:
        raise WeightsError(f"dicts nested more than {_MAX_DEPTH} deep, or inside themselves")
    for key, value in weights.items():
        if isinstance(value, Mapping):
            yield from _flattened(value, *keys, str(key))
        else:
            yield ".".join((*keys, str(key))), value


def _array(name: str, values: object) -> NDArray[np.generic]:
    try:
        return np.asarray(values)
    except (ValueError, TypeError, RuntimeError) as error:  # RuntimeError: torch's, of gradients
        raise WeightsError(f"tensor {name!r} cannot be read as an array: {error}") from None
