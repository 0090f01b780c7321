"""What an importer makes of a file or a model: layers, and what the file says beside them."""

from __future__ import annotations

from dataclasses import dataclass

from gradcam._engine.graph import DEFAULT_SIZE as DEFAULT_SIZE
from gradcam._engine.layers import Layer
from gradcam._labels.classes import Labels
from gradcam._pictures.presets import Preset

UNNAMED = "network"
"""The name of a network if its file gives none."""

SIZES_ASSUMED = "That the program computes the same for all sizes is taken for granted."
"""The note of a program that does not say for which sizes it was made."""

SIZE_ASSUMED = (
    "The program was exported for pictures of {} x {}; that it computes the same for other sizes "
    "is taken for granted."
)
"""The note of a program of one size in which no layer depends on it."""

SIZE_TAKEN = "{} does not say the size of its input; {} x {} was taken: give another with size=."
"""The note of an open size on which a layer depends."""


MAX_LAYERS = 20_000
"""Of a network; the largest published ones have about 3,000."""


@dataclass(frozen=True)
class Choices:
    """What the caller chooses for an import; None: what the file says.

    Attributes
    ----------
    size : (height, width) or None
        Of the input, for graphs that do not fix it; by default :data:`DEFAULT_SIZE`.
    output : str or None
        The name of the output that holds the class scores, if there are several.
    """

    size: tuple[int, int] | None = None
    output: str | None = None


@dataclass(frozen=True, eq=False)
class Imported:
    """A network before it is assembled.

    Attributes
    ----------
    layers : tuple of Layer
        Each after its inputs; the last one holds the class scores, or is the softmax, log-softmax
        or sigmoid of them.
    channels : int
        Of the input.
    classes : int
        The number of scores.
    size : (height, width) or None
        Of the input, as the file says; None: any.
    fixed : bool
        Whether a layer fits only `size`.
    target_layer : str
        The last map with more than one position before global pooling or flattening. Empty: as
        :class:`gradcam._engine.assembly.Assembled` finds it.
    name : str
        Of the network, as the file calls it; for messages.
    architecture : str
        The function of :mod:`gradcam` that makes it, "vgg16"; empty if there is none.
    title : str
        What the network was made from, in words: "an ONNX graph of pytorch 2.13".
    library : str
        Whose usual preset goes with the architecture if the file says none, "torchvision": for
        graphs that this library's users have made. Empty: none.
    preset : Preset or None
        How pictures become input, if the file says it.
    labels : Labels or None
        The classes, if the file names them.
    in_place : bool
        Whether the large weights are those of the file, in its order; else they were copied.
    external : bool
        Whether tensors are stored in other files than the graph.
    assumed : tuple of str
        Those of the notes that are a warning too: what may well be otherwise.
    notes : tuple of str
        Sentences about what was taken for granted, for the user.
    ignored : tuple of str
        Tensors of the file that the network does not use.
    """

    layers: tuple[Layer, ...]
    channels: int
    classes: int
    size: tuple[int, int] | None
    fixed: bool
    target_layer: str
    name: str
    title: str
    architecture: str = ""
    library: str = ""
    preset: Preset | None = None
    labels: Labels | None = None
    in_place: bool = True
    external: bool = False
    assumed: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
