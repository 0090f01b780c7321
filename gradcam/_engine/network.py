"""A network with its names, labels and input preset: pictures in, tapes out."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradcam import _core
from gradcam._engine.layers import Convolution, Graph, Layer, build, check_convolution
from gradcam._engine.tape import Tape
from gradcam._engine.transformed import Packs
from gradcam._labels.classes import Decoded, Labels
from gradcam._pictures import presets
from gradcam._pictures.image import Geometry, is_picture_source, prepare, read_picture
from gradcam._pictures.presets import Preset

Size = int | tuple[int, int] | Literal["original"] | None


class _Batch(NamedTuple):
    """Input with where it came from; attributes as those of :class:`Tape`."""

    input: NDArray[np.float32]
    pictures: list[NDArray[np.uint8]] | None
    geometries: list[Geometry]
    single: bool


class Network:
    """An immutable network that explains itself; threads may share it.

    Made by :func:`gradcam.vgg16` and its family, or by :meth:`from_layers`.

    Attributes
    ----------
    name : str
    core : gradcam._core.Network
        The graph and the weights.
    labels : Labels
        The classes, in the order of the scores.
    preset : Preset or None
        How pictures become input; None: only preprocessed arrays are taken.
    layers : tuple of str
        Every layer's first name, from ``"input"`` on.
    score_layer : str
        The layer of the class scores.
    probability_layer : str or None
        The softmax after it, where there is one.
    target_layer : str
        Where Grad-CAM looks unless told otherwise.
    nodes : tuple of gradcam._engine.layers.Node
        What each layer computes, in the order of :attr:`layers`.
    packs : Packs or None
        Where the transformed weights are kept from one process to the next.
    """

    def __init__(
        self, graph: Graph, labels: Labels, preset: Preset | None, name: str = "network"
    ) -> None:
        self.name = name
        self.core = graph.core
        self.labels = labels
        self.preset = preset
        self.layers = graph.names.layers
        self.nodes = graph.nodes
        self.score_layer = graph.scores
        self.probability_layer = graph.probabilities
        self.target_layer = graph.target
        self.packs: Packs | None = None
        self._names = graph.names

    @classmethod
    def from_layers(
        cls,
        layers: Sequence[Layer],
        *,
        channels: int = 3,
        labels: Labels | Sequence[str] | None = None,
        preset: str | Preset | None = None,
        conv: Convolution | None = None,
        name: str = "network",
    ) -> Network:
        """Build a network of your own from a list of layers.

        Parameters
        ----------
        layers : sequence of gradcam.Layer
            In an order in which every layer comes after its inputs; the last one holds the class
            scores, or is the softmax over them.
        channels : int
            Channels of the input.
        labels : Labels or sequence of str, optional
            The classes; numbered by default.
        preset : str or Preset, optional
            How pictures become input; without one the network takes preprocessed arrays only.
        conv : "winograd" or "direct", optional
            How 3x3 convolutions of stride 1 are computed: by Winograd's algorithm, or by their
            definition, which rounds less and takes some four times as long. By default what the
            environment variable GRADCAM_CONV says, else "winograd".
        name : str
            For messages.

        Raises
        ------
        ValueError, TypeError
            Where a layer is malformed; the message names it.

        Examples
        --------
        >>> import numpy as np
        >>> from gradcam import Layer, Network
        >>> kernel = np.ones((2, 3, 3, 3), np.float32)
        >>> network = Network.from_layers([
        ...     Layer("conv", "conv", weights={"weight": kernel}, attributes={"padding": 1}),
        ...     Layer("relu", "relu"),
        ...     Layer("pool", "global_average_pool"),
        ...     Layer("scores", "flatten"),
        ... ])
        >>> network.target_layer
        'relu'
        """
        graph = build(layers, channels, check_convolution(conv))
        if labels is None:
            if graph.classes is None:
                raise ValueError("the layers do not tell the number of classes: give labels")
            labels = Labels.numbered(graph.classes)
        elif not isinstance(labels, Labels):
            labels = Labels(labels)
        if graph.classes not in (None, len(labels)):
            raise ValueError(f"{len(labels)} labels for a network of {graph.classes} classes")
        return cls(graph, labels, None if preset is None else presets.find(preset), name)

    def __repr__(self) -> str:
        preset = self.preset.name if self.preset else None
        return (
            f"<Network {self.name}: {len(self.layers)} layers, {len(self.labels)} classes, "
            f"input preset {preset}>"
        )

    def index(self, layer: str) -> int:
        """The number of a layer in the core, by its Caffe, torchvision or Keras name.

        Raises
        ------
        ValueError
            For an unknown name (the message lists the layers), or a convolution that its batch
            normalisation was folded into.
        """
        return self._names.index(layer)

    def names(self, layer: str) -> tuple[str, ...]:
        """Every name of one layer, the first as in :attr:`layers`."""
        return self._names.of(layer)

    def shapes(self, height: int, width: int) -> dict[str, tuple[int, ...]]:
        """Shape of each layer's output for one picture, (C, H, W) or (F,), by first name.

        Raises
        ------
        ValueError
            Where an input of that size is too small for the network.
        """
        try:
            return dict(zip(self.layers, self.core.shapes(height, width), strict=True))
        except ValueError as error:
            # The core knows its layers by number.
            named = re.sub(r"^layer (\d+)", lambda m: f"layer {self.layers[int(m[1])]}", str(error))
            raise ValueError(f"{self.name}, input of {height} x {width}: {named}") from None

    def forward(
        self,
        pictures: Any,
        *,
        keep: str | Sequence[str] = (),
        size: Size = None,
        record: bool = True,
    ) -> Tape:
        """Run the network once and record what every explanation needs.

        Parameters
        ----------
        pictures : picture, list of pictures, or array
            A picture is a path, a Pillow image, or an (H, W, 3) or (H, W) array of uint8 (uint16,
            bool); a batch is a list of pictures or an (N, H, W, 3) array. A float array,
            (C, H, W) or (N, C, H, W), is taken as preprocessed already.
        keep : str or sequence of str
            Further layers whose output is kept for :meth:`Tape.activation`. Always kept are
            ``target_layer``, and every layer without a spatial map: the fully connected ones.
        size : int, (height, width), "original", optional
            Size of the input; an int is a square. By default the preset's. "original" takes each
            picture as it is, neither resized nor cropped.
        record : bool
            False: for scores and activations alone, a little faster; methods that need gradients
            refuse such a tape with ValueError.

        Returns
        -------
        Tape

        Raises
        ------
        gradcam.PictureError
            Where a picture cannot be read.
        ValueError
            Where an array has the wrong shape or is not finite, pictures of one batch have
            different sizes, or the input is too small for the network.
        TypeError
            For anything that is no picture.
        MemoryError
            Where the batch needs more memory than there is to spare on this machine and within
            its limits for this process; the message says how much. Fewer pictures, or smaller
            ones, take less.
        """
        if not isinstance(keep, (str, Iterable)):
            raise TypeError(f"keep: expected names of layers, got {keep!r}")
        kept = {self.index(layer) for layer in ([keep] if isinstance(keep, str) else keep)}
        if not is_picture_source(pictures) and hasattr(pictures, "__array__"):
            pictures = np.asarray(pictures)
        if isinstance(pictures, np.ndarray) and pictures.dtype.kind == "f":
            batch = self._preprocessed(pictures, size)
        else:
            batch = self._pictures(pictures, size)
        batch.input.flags.writeable = False
        shapes = self.shapes(*batch.input.shape[2:]).values()
        kept |= {self.index(self.target_layer), self.index(self.score_layer)}
        kept |= {number for number, shape in enumerate(shapes) if len(shape) == 1}
        if self.packs is not None:
            self.packs.attach()
        core = self.core.forward(batch.input, sorted(kept), record=record)
        return Tape(self, core, *batch)

    def predict(self, pictures: Any, top: int = 5) -> list[Decoded]:
        """The most probable classes of each picture, in the order of Keras's decode_predictions.

        Parameters
        ----------
        pictures
            As :meth:`forward` takes them.
        top : int
            How many classes to list.

        Returns
        -------
        list of lists of (synset, label, probability)
            One list for each picture, of a single one too.
        """
        tape = self.forward(pictures, record=False)
        return [self.labels.decode(values, top) for values in tape.probabilities]

    def _pictures(self, pictures: Any, size: Size) -> _Batch:
        """Read one picture or several, and make input of them."""
        single = not isinstance(pictures, (list, tuple)) and getattr(pictures, "ndim", 0) != 4
        sources = [pictures] if single else list(pictures)
        if not sources:
            raise ValueError("an empty batch: give at least one picture")
        preset, input_size = self._input_preset(), self._input_size(size)
        if input_size is not None:
            _require_memory([input_size] * len(sources), self.core.channels)
        originals = [read_picture(source) for source in sources]
        if input_size is None:
            _require_memory([picture.shape[:2] for picture in originals], self.core.channels)
        prepared = [prepare(original, preset, input_size) for original in originals]
        inputs = [values for values, _ in prepared]
        if len({values.shape for values in inputs}) > 1:
            raise ValueError(
                "the pictures of one batch have different sizes: give size=, or run them one by one"
            )
        geometries = [geometry for _, geometry in prepared]
        return _Batch(np.stack(inputs), originals, geometries, single)

    def _preprocessed(self, array: NDArray[Any], size: Size) -> _Batch:
        """Take a float array as input, in a copy that nobody else writes to."""
        channels = self.core.channels
        if array.ndim not in (3, 4) or array.shape[-3] != channels or array.size == 0:
            raise ValueError(
                f"a float array is preprocessed input, (N, {channels}, H, W) or "
                f"({channels}, H, W), got shape {array.shape}; pictures are arrays of uint8, "
                f"(H, W, 3), values 0 to 255"
            )
        if size is not None:
            raise ValueError("size is for pictures; a preprocessed array has its own")
        with np.errstate(over="ignore"):  # the core refuses infinities, these among them
            input = np.array(array, np.float32, order="C").reshape(-1, *array.shape[-3:])
        geometry = Geometry.straight(array.shape[-2:], array.shape[-2:])
        return _Batch(input, None, [geometry] * len(input), array.ndim == 3)

    def _input_preset(self) -> Preset:
        if self.preset is None or self.core.channels != 3:
            raise ValueError(
                f"{self.name} has no input preset for pictures: give preprocessed float input, "
                f"(N, {self.core.channels}, H, W), or name a preset when the network is made"
            )
        return self.preset

    def _input_size(self, size: Size) -> tuple[int, int] | None:
        """(height, width) of the input, None for each picture's own."""
        if isinstance(size, str) and size == "original":
            return None
        if size is None:
            size = self._input_preset().size
        pair = (size, size) if isinstance(size, (int, np.integer)) else size
        if not (
            isinstance(pair, (tuple, list, np.ndarray))
            and len(pair) == 2
            and all(isinstance(n, (int, np.integer)) and n > 0 for n in pair)
        ) or isinstance(size, bool):
            raise ValueError(
                f"size: expected an int, (height, width) or 'original', in pixels, got {size!r}"
            )
        return int(pair[0]), int(pair[1])


def _require_memory(sizes: Sequence[tuple[int, ...]], channels: int) -> None:
    """Refuse inputs that would drive the machine out of memory, before they are made.

    Each is made twice, by itself and as a part of the batch. What the layers need, the core counts
    before they run.
    """
    needed = 2 * 4 * channels * sum(map(math.prod, sizes))
    available = _core.available_memory()
    if available is not None and needed > available:
        height, width = max(sizes, key=math.prod)
        raise MemoryError(
            f"no memory for {len(sizes)} input(s) of up to {height} x {width}: "
            f"{needed / 1e9:.2f} GB are needed, {available / 1e9:.2f} GB to spare; "
            f"give fewer or smaller ones"
        )
