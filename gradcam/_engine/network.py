"""A network that explains itself: pictures in, tapes out."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Sequence
from os import PathLike
from typing import IO, TYPE_CHECKING, Literal, NamedTuple, TypeVar, cast, overload

import numpy as np
from numpy.typing import NDArray

from gradcam import _core
from gradcam._engine.assembly import Assembled, Convolution, assemble, check_convolution
from gradcam._engine.forward_pass import run
from gradcam._engine.graph import Graph
from gradcam._engine.layers import Layer
from gradcam._engine.stream import OnError, Stream
from gradcam._engine.tape import BatchTape, Tape
from gradcam._labels.classes import Decoded, Labels
from gradcam._pictures import presets
from gradcam._pictures.decoding import InputWarning
from gradcam._pictures.image import (
    Geometry,
    Values,
    check_values,
    is_picture_source,
    picture_from_values,
    prepare,
    read_picture,
)
from gradcam._pictures.presets import Preset, size_pair
from gradcam._text import brief

if TYPE_CHECKING:
    from PIL import Image

    # One picture: (H, W), (H, W, C), or preprocessed, (C, H, W); and a batch of these.
    OneArray = (
        np.ndarray[tuple[int, int], np.dtype[np.generic]]
        | np.ndarray[tuple[int, int, int], np.dtype[np.generic]]
    )
    BatchArray = np.ndarray[tuple[int, int, int, int], np.dtype[np.generic]]
    PictureLike = str | PathLike[str] | bytes | IO[bytes] | Image.Image | NDArray[np.generic]

P = TypeVar("P", bound="PictureLike")

Size = int | tuple[int, int] | Literal["original"] | None
"""Size of the input: a square's side, (height, width), each picture's own, or the preset's."""


class _Batch(NamedTuple):
    """Network input, the pictures that it came from, and how it lies on them."""

    input: NDArray[np.float32]
    pictures: list[NDArray[np.uint8]] | None
    geometries: list[Geometry]
    single: bool


Origin = Callable[["Network"], "tuple[Callable[..., Network], tuple[object, ...]] | None"]
"""Returns a function and its arguments that make a network again; None if that is impossible."""


class Network(Graph):
    """An immutable network that explains itself; threads may share it.

    Returned by :func:`gradcam.load`, :func:`gradcam.vgg16` and its siblings, and
    :meth:`from_layers`. Attributes as of :class:`Graph`: ``name``, ``labels``, ``preset``,
    ``layers``, ``score_layer``, ``probability_layer``, ``target_layer``, ``about``,
    ``assumed``.

    A network can be pickled, and so be passed to other processes: one that was loaded from a file
    is loaded from there again, any other is pickled with its weights. Copies are the network
    itself.
    """

    origin: Origin | None = None

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
        target_layer: str | None = None,
    ) -> Network:
        """Build a network from a list of layers.

        Parameters
        ----------
        layers : sequence of gradcam.Layer
            In an order in which every layer comes after its inputs; the last one holds the class
            scores, or is the softmax, log-softmax or sigmoid of them.
        channels : int
            Channels of the input.
        labels : Labels or sequence of str, optional
            The classes; numbered by default.
        preset : str or Preset, optional
            How pictures become input; without one the network takes preprocessed arrays only.
        conv : "winograd" or "direct", optional
            How 3x3 convolutions of stride 1 are computed: by Winograd's algorithm, or by their
            definition, which rounds less and takes about four times as long. By default as the
            environment variable GRADCAM_CONV says, else "winograd".
        name : str
            For messages.
        target_layer : str, optional
            Grad-CAM's layer; by default the last map that is not itself a pooling.

        Raises
        ------
        ValueError, TypeError
            If a layer is malformed; the message names it. If there is no layer of the name
            `target_layer`.

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
        >>> network.layers["conv"].weights["weight"] is kernel
        True
        """
        assembled = assemble(layers, channels, check_convolution(conv)).with_target(target_layer)
        return cls.from_assembled(assembled, labels, preset, name)

    @classmethod
    def from_assembled(
        cls,
        assembled: Assembled,
        labels: Labels | Sequence[str] | None,
        preset: str | Preset | None,
        name: str,
    ) -> Network:
        """The same from layers that are assembled already."""
        if labels is None:
            if assembled.classes is None:
                raise ValueError("cannot infer the number of classes; pass labels=")
            labels = Labels.numbered(assembled.classes)
        elif not isinstance(labels, Labels):
            labels = Labels(labels)
        if assembled.classes not in (None, len(labels)):
            raise ValueError(f"{len(labels)} labels for a network of {assembled.classes} classes")
        return cls(assembled, labels, None if preset is None else presets.find(preset), name)

    def __copy__(self) -> Network:
        return self

    def __deepcopy__(self, memo: object) -> Network:
        return self

    def __reduce__(self) -> tuple[Callable[..., Network], tuple[object, ...]]:
        found = None if self.origin is None else self.origin(self)
        if found is not None:
            return found
        layers = list(self.layers.values())
        names = (self.name, self.target_layer)
        rest = (self.size, self.fixed, self.about, self.assumed)
        first = (type(self), layers, self.core.channels, self.labels, self.preset)
        return _from_value, (*first, *names, *rest)

    @overload
    def forward(  # type: ignore[overload-overlap]
        self,
        pictures: str | PathLike[str] | bytes | IO[bytes] | Image.Image | OneArray,
        *,
        keep: str | Sequence[str] = (),
        size: Size = None,
        record: bool = True,
        input: Values | None = None,
    ) -> Tape: ...
    @overload
    def forward(
        self,
        pictures: Sequence[PictureLike] | BatchArray,
        *,
        keep: str | Sequence[str] = (),
        size: Size = None,
        record: bool = True,
        input: Values | None = None,
    ) -> BatchTape: ...
    def forward(
        self,
        pictures: PictureLike | Sequence[PictureLike],
        *,
        keep: str | Sequence[str] = (),
        size: Size = None,
        record: bool = True,
        input: Values | None = None,
    ) -> Tape | BatchTape:
        """Run the network once and record what every explanation needs.

        Parameters
        ----------
        pictures : picture, list of pictures, or array
            A picture is a path, a Pillow image, an open binary file or its bytes, or an (H, W, 3)
            or (H, W) array of uint8 (uint16, bool); a batch is a list of pictures or an
            (N, H, W, 3) array. A float array, (C, H, W) or (N, C, H, W), is taken as preprocessed
            already, unless `input` says otherwise. Pictures of OpenCV are BGR: pass
            ``array[..., ::-1]``.
        keep : str or sequence of str
            Further layers whose output is kept for :meth:`Tape.activation`. Always kept are
            ``target_layer``, and every layer without a spatial map: the fully connected ones.
        size : int, (height, width), "original", optional
            Size of the input; an int is a square. By default the preset's. "original" takes each
            picture as it is, neither resized nor cropped.
        record : bool
            False: for scores and activations alone, a little faster; methods that need gradients
            raise ValueError for such a tape.
        input : "0..1", "0..255" or "normalised", optional
            What the values of an array are. With "0..1" (as torchvision's ``ToTensor`` returns) or
            "0..255" an array of any type of numbers is a picture: (H, W), (H, W, C), (C, H, W), or
            a batch of these with the batch axis first. Its values are rounded to 8 bits, as they
            are in a file, and it is resized, cropped and normalised like any other picture.
            "normalised" is the default for float arrays, and says that their values are right.

        Returns
        -------
        Tape
            Of one picture.
        BatchTape
            Of a list, or an array with a batch axis. A type checker takes an array of unknown rank
            for one picture; a list is always a batch.

        Warns
        -----
        gradcam.InputWarning
            If the values of a preprocessed array cannot be what the preset makes of a picture.

        Raises
        ------
        gradcam.PictureError
            If a picture cannot be read, or its values are not what `input` says.
        ValueError
            If an array has the wrong shape or is not finite, pictures of one batch have
            different sizes, or the input is too small for the network.
        TypeError
            If something is not a picture.
        MemoryError
            If the batch needs more memory than is available to this process; the message says how
            much. Fewer pictures, or smaller ones, take less.
        """
        kept = self._kept(keep)
        check_values(input)
        given: object = pictures
        foreign = type(given) is not np.ndarray and not is_picture_source(given)
        if foreign and hasattr(given, "__array__"):
            given = np.asarray(given)
        is_float = isinstance(given, np.ndarray) and given.dtype.kind == "f"
        if input == "normalised" or (is_float and input is None):
            batch = self._preprocessed(given, size, sure=input is not None)
        else:
            batch = self._pictures(given, size, input)
        core = run(self, batch.input, kept, record)
        kind = Tape if batch.single else BatchTape
        return kind(self, core, batch.input, batch.pictures, batch.geometries)

    def predict(
        self,
        pictures: PictureLike | Sequence[PictureLike],
        top: int = 5,
        *,
        input: Values | None = None,
    ) -> list[Decoded]:
        """Return the most probable classes of each picture, as Keras's decode_predictions.

        Parameters
        ----------
        pictures, input
            As of :meth:`forward`.
        top : int
            How many classes to list.

        Returns
        -------
        list of lists of (synset, label, probability)
            One list for each picture, also for a single one.
        """
        tape = self.forward(pictures, record=False, input=input)
        return [tape.top(top)] if isinstance(tape, Tape) else tape.top(top)

    def stream(
        self,
        pictures: Iterable[P],
        batch: int = 8,
        *,
        on_error: OnError[P] = "raise",
        workers: int | None = None,
        progress: bool = False,
        keep: str | Sequence[str] = (),
        size: Size = None,
        record: bool = True,
    ) -> Stream[P]:
        """Run the network over any number of pictures, in batches.

        Pictures are decoded on other threads while the network runs; up to ``batch + workers`` of
        them are read ahead, so that memory is limited and `pictures` may be endless. The order is
        that of `pictures`.

        Parameters
        ----------
        pictures : iterable of pictures
            Paths, Pillow images or arrays of uint8. It is iterated in the caller's thread.
        batch : int
            Pictures in a pass. A batch has fewer if ``size="original"`` and the next picture has
            another size, or if there is not enough memory.
        on_error : "raise", "skip", or function of a picture and an exception
            What happens if a picture cannot be read. A function is called, in the caller's thread,
            and the picture is skipped. :attr:`Stream.skipped` lists the skipped pictures.
        workers : int, optional
            Threads that decode; by default as many as the network uses, at most 4.
        progress : bool
            Whether to show a progress bar on standard error.
        keep, size, record
            As of :meth:`forward`.

        Returns
        -------
        Stream
            Iterating it yields ``(pictures, tape)``: a list of pictures, and their
            :class:`BatchTape`.

        Raises
        ------
        gradcam.PictureError, OSError
            During the iteration, if a picture cannot be read and `on_error` is "raise".
        ValueError, TypeError
            If a parameter is invalid, or something is not a picture.

        Examples
        --------
        >>> paths = sorted(Path("photos").rglob("*.jpg"))
        >>> for files, tape in network.stream(paths, on_error="skip"):
        ...     for file, explanation in zip(files, tape.grad_cam("cat")):
        ...         explanation.save(file.with_suffix(".png"))
        """
        return Stream(
            self,
            pictures,
            preset=self._input_preset(),
            size=self._input_size(size),
            batch=batch,
            keep=self._kept(keep),
            record=record,
            on_error=on_error,
            workers=workers,
            progress=progress,
        )

    def _kept(self, keep: str | Sequence[str]) -> list[str]:
        """Return the names of layers, having checked them."""
        if not isinstance(keep, (str, Iterable)):
            raise TypeError(f"keep: expected names of layers, got {brief(keep)}")
        kept = [keep] if isinstance(keep, str) else list(keep)
        for layer in kept:
            self.index(layer)  # refuse an unknown name before any work
        return kept

    def _pictures(self, pictures: object, size: Size, values: Values | None) -> _Batch:
        """Read one picture or several, and prepare the input."""
        single = not isinstance(pictures, (list, tuple)) and getattr(pictures, "ndim", 0) != 4
        sources: list[object] = [pictures] if single else list(cast(Iterable[object], pictures))
        if not sources:
            raise ValueError("an empty batch: give at least one picture")
        preset, input_size = self._input_preset(), self._input_size(size)
        if input_size is not None:
            _require_memory([input_size] * len(sources), self.core.channels)
        originals = [_read(source, values) for source in sources]
        if input_size is None:
            _require_memory([picture.shape[:2] for picture in originals], self.core.channels)
        channels = self.core.channels
        prepared = [prepare(original, preset, input_size, channels) for original in originals]
        inputs = [values for values, _ in prepared]
        if len({values.shape for values in inputs}) > 1:
            raise ValueError(
                "the pictures of one batch have different sizes: pass size=, or run them one by one"
            )
        geometries = [geometry for _, geometry in prepared]
        return _Batch(np.stack(inputs), originals, geometries, single)

    def _preprocessed(self, given: object, size: Size, sure: bool) -> _Batch:
        """Copy a float array as input, so that nobody else writes to it."""
        if not isinstance(given, np.ndarray) or given.dtype.kind not in "fiub":
            raise ValueError(
                "input='normalised' is for one array of numbers, (C, H, W) or (N, C, H, W)"
            )
        channels, array = self.core.channels, given
        if array.ndim not in (3, 4) or array.shape[-3] != channels or array.size == 0:
            raise ValueError(
                f"a float array is preprocessed input, (N, {channels}, H, W) or "
                f"({channels}, H, W), got shape {array.shape}; for a picture, (H, W, 3), say what "
                f"its values are: input='0..1' or input='0..255', or pass an array of uint8"
            )
        if size is not None:
            raise ValueError(
                "size is for pictures; a preprocessed array has its own. For a picture of floats "
                "pass input='0..1' or input='0..255'"
            )
        with np.errstate(over="ignore"):  # the core refuses infinities, these among them
            input = np.array(array, np.float32, order="C").reshape(-1, *array.shape[-3:])
        if not sure and self.preset is not None and self.preset.takes(channels):
            _warn_if_misread(input, self.preset)
        geometry = Geometry.straight(array.shape[-2:], array.shape[-2:])
        return _Batch(input, None, [geometry] * len(input), array.ndim == 3)

    def _input_preset(self) -> Preset:
        channels = self.core.channels
        if self.preset is None or not self.preset.takes(channels):
            shape = f"(N, {channels}, H, W)"
            if channels == 1:
                raise ValueError(
                    f"{self.name} takes grey pictures, of one channel, and it is not known how "
                    f"they become its input: make it with preset='0..1', '0..255' or 'keras-tf', "
                    f"or gradcam.Preset('mine', mean=(M,) * 3, std=(S,) * 3), or give preprocessed "
                    f"float input, {shape}"
                )
            if channels != 3:
                raise ValueError(
                    f"{self.name} has no input preset for pictures, because its input has "
                    f"{channels} channels: give preprocessed float input, {shape}"
                )
            raise ValueError(
                f"{self.name} has no input preset for pictures: make it with preset=, the name of "
                f"how its training prepared them ({', '.join(presets.PRESETS)}), or give "
                f"preprocessed float input, {shape}"
            )
        return self.preset

    def _input_size(self, size: Size) -> tuple[int, int] | None:
        """Return (height, width) of the input, None for each picture's own size."""
        if isinstance(size, str) and size == "original":
            return None
        if size is None:
            self._input_preset()  # refuses a network without one
            size = self.input_size
        pair = size_pair(size)
        if pair is None:
            raise ValueError(
                f"size: expected an int, (height, width) or 'original', in pixels, "
                f"got {brief(size)}"
            )
        self.check_size(pair)
        return pair


def _from_value(
    kind: type[Network],
    layers: list[Layer],
    channels: int,
    labels: Labels,
    preset: Preset | None,
    name: str,
    target_layer: str,
    size: tuple[int, int] | None,
    fixed: bool,
    about: str,
    assumed: tuple[str, ...],
) -> Network:
    """Return a network that was pickled with its weights."""
    # How each convolution is computed is one of the layer's attributes.
    assembled = assemble(layers, channels, "winograd").with_target(target_layer)
    network = kind.from_assembled(assembled, labels, preset, name)
    network.size, network.fixed = size, fixed
    network.about, network.assumed = about, assumed
    return network


def _read(source: object, values: Values | None) -> NDArray[np.uint8]:
    """Read one picture; `values` says what the numbers of an array are."""
    if values is None:
        return read_picture(source)
    if is_picture_source(source) or not hasattr(source, "__array__"):
        raise ValueError(
            f"input={values!r} says what the values of an array are; "
            f"leave it out for {type(source).__name__}"
        )
    return picture_from_values(np.asarray(source), values)


def _warn_if_misread(input: NDArray[np.float32], preset: Preset) -> None:
    """Warn if input that was taken as normalised is probably a picture, or for another preset."""
    found = presets.misread(input, preset)
    if found is None:
        return
    black, white = preset.bounds
    advice = f"if they are a picture, pass input={found!r}, and it is prepared as files are"
    if found == "other":
        advice = f"normalise them as the preset {preset.name!r} does, or pass the picture itself"
    warnings.warn(
        f"the values of the array, {input.min():.4g} to {input.max():.4g}, were taken as "
        f"normalised input, but the preset {preset.name!r} makes {min(black):.4g} to "
        f"{max(white):.4g} of a picture: {advice}; if they are right, pass input='normalised'",
        InputWarning,
        stacklevel=4,
    )


_SMALL = 1 << 24
"""Bytes for inputs that are not worth the question how much memory there is."""


def _require_memory(sizes: Sequence[tuple[int, ...]], channels: int) -> None:
    """Raise MemoryError before inputs are allocated that the machine has no memory for.

    Each exists twice, by itself and as a part of the batch. The core counts what the layers need
    before they run.
    """
    needed = 2 * 4 * channels * sum(map(math.prod, sizes))
    if needed < _SMALL:
        return
    available = _core.available_memory()
    if available is not None and needed > available:
        height, width = max(sizes, key=math.prod)
        raise MemoryError(
            f"no memory for {len(sizes)} input(s) of up to {height} x {width}: "
            f"{needed / 1e9:.2f} GB are needed, {available / 1e9:.2f} GB are available; "
            f"pass fewer or smaller ones"
        )


def check_network(network: object) -> None:
    """Raise TypeError for what is not a network."""
    if not isinstance(network, Network):
        raise TypeError(f"network: expected a gradcam.Network, got {brief(network)}")
