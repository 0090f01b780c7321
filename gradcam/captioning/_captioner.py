"""A captioner: a picture network, and a decoder that says what its code contains."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal, SupportsIndex, overload

import numpy as np
from numpy.typing import ArrayLike

from gradcam._engine.forward_pass import ForwardPass
from gradcam._engine.tape import BatchTape, Tape
from gradcam._methods.passes import positive
from gradcam._weights.tensors import WeightsError, listed
from gradcam.captioning import _file
from gradcam.captioning._caption import Caption
from gradcam.captioning._decoder import Decoder
from gradcam.captioning._search import search
from gradcam.captioning._vocabulary import LONGEST, Vocabulary
from gradcam.captioning._words import CODE, Sentence
from gradcam.pictograms._attribute_networks import (
    check_code,
    code_network,
    identity,
    output_of,
    tensor_names,
)

if TYPE_CHECKING:
    from gradcam._engine.network import BatchArray, OneArray, PictureLike

_SHIPPED = Path(__file__).with_name("captioner.safetensors")

_WIDEST = 100
"""The widest beam."""


class Captioner:
    """A network that describes pictures in words; threads may share it.

    The convolutions of the pictograms' attribute network and the layers of the code, two of them
    fully connected, compute a picture's code; an LSTM says words for it (neuraltalk2: Karpathy &
    Fei-Fei 2015). Only the decoder knows words: `network` is like any other network.

    Parameters
    ----------
    tensors : mapping of str to array
        The weights by name, in the shapes that `_file` states.
    words : sequence of str
        The vocabulary, in the order of the weights.
    name : str
        For messages.

    Attributes
    ----------
    network : Network
        It ends with the code, the layer ``"relu7"``.
    words : tuple of str

    Raises
    ------
    gradcam.WeightsError
        If the weights do not fit each other or the words, or are not finite.
    """

    def __init__(
        self, tensors: Mapping[str, ArrayLike], words: Sequence[str], name: str = "captioner"
    ) -> None:
        vocabulary = Vocabulary(words)
        arrays = {key: np.asarray(values) for key, values in tensors.items()}
        self._tensors = _file.fitting(name, arrays, vocabulary.words)
        of_network = {k: v for k, v in self._tensors.items() if k not in _file.SHAPES}
        self.network = code_network(of_network, name)
        more = of_network.keys() - tensor_names(self.network)
        if more:
            raise WeightsError(f"{name}: tensors that do not belong to it: {listed(sorted(more))}")
        (code,) = self.network.shape(CODE, self.network.input_size)
        check_code(name, code, self._tensors["image.weight"].shape[1])
        self._decoder = Decoder({k: self._tensors[k] for k in _file.SHAPES}, vocabulary)

    @property
    def words(self) -> tuple[str, ...]:
        """The words that it knows."""
        return self._decoder.vocabulary.words

    @overload
    def describe(  # type: ignore[overload-overlap]
        self,
        pictures: Tape | str | os.PathLike[str] | bytes | OneArray,
        *,
        beam: SupportsIndex = 1,
        length: SupportsIndex = 20,
    ) -> Caption: ...
    @overload
    def describe(
        self,
        pictures: BatchTape | Sequence[PictureLike] | BatchArray,
        *,
        beam: SupportsIndex = 1,
        length: SupportsIndex = 20,
    ) -> list[Caption]: ...
    def describe(
        self,
        pictures: ForwardPass | PictureLike | Sequence[PictureLike],
        *,
        beam: SupportsIndex = 1,
        length: SupportsIndex = 20,
    ) -> Caption | list[Caption]:
        """Return what it says about a picture.

        Parameters
        ----------
        pictures : Tape, BatchTape, or what :meth:`gradcam.Network.forward` takes
            A tape of :attr:`network` is not computed again.
        beam : int
            1 to 100: how many captions are continued at each word. 1 always takes the most
            probable word; more find captions that are at least as probable as a whole.
        length : int
            The greatest number of words, 1 to 50.

        Returns
        -------
        Caption
            A list for several pictures.

        Raises
        ------
        ValueError
            If the tape is of another network, or an option is out of range.
        gradcam.PictureError, OSError
            If a picture cannot be read.
        """
        width, longest = _up_to("beam", beam, _WIDEST), _up_to("length", length, LONGEST)
        tape = self._tape(pictures)
        found = [search(self._decoder, code, width, longest) for code in output_of(tape, CODE)]
        captions = [
            Caption(self._sentence(each.words), each.log_probabilities, each.end) for each in found
        ]
        return captions[0] if isinstance(tape, Tape) else captions

    @overload
    def caption(  # type: ignore[overload-overlap]
        self, pictures: Tape | str | os.PathLike[str] | bytes | OneArray, text: str
    ) -> Caption: ...
    @overload
    def caption(
        self, pictures: BatchTape | Sequence[PictureLike] | BatchArray, text: str
    ) -> list[Caption]: ...
    def caption(
        self, pictures: ForwardPass | PictureLike | Sequence[PictureLike], text: str
    ) -> Caption | list[Caption]:
        """Return a given caption, with its log-probability for a picture.

        Parameters
        ----------
        pictures
            As of :meth:`describe`.
        text : str
            Up to 50 words; upper case and punctuation do not matter.

        Returns
        -------
        Caption
            A list for several pictures.

        Raises
        ------
        ValueError
            If the text has no words, too many, or unknown ones: the message names them.
        """
        numbers = self._decoder.vocabulary.numbers(text)
        tape = self._tape(pictures)
        said = (*numbers, self._decoder.vocabulary.mark)
        values = self._decoder.log_probabilities(output_of(tape, CODE), said).array.T.tolist()
        captions = [Caption(self._sentence(numbers), tuple(words), end) for *words, end in values]
        return captions[0] if isinstance(tape, Tape) else captions

    def read(self, text: str) -> tuple[str, ...]:
        """Return the words of a caption as the captioner reads them.

        Raises
        ------
        ValueError
            If the text has no words, too many, or unknown ones: the message names them.
        """
        return tuple(self.words[number] for number in self._decoder.vocabulary.numbers(text))

    def save(
        self, path: str | os.PathLike[str], dtype: Literal["float32", "float16"] = "float32"
    ) -> None:
        """Write the captioner to a safetensors file, which :func:`load` reads.

        Parameters
        ----------
        path : path
            An earlier file is replaced, unless there is an error.
        dtype : "float32" or "float16"
            Of the weights in the file.
        """
        _file.write(path, self._tensors, self.words, dtype)

    def _sentence(self, words: tuple[int, ...]) -> Sentence:
        return Sentence(self._decoder, words, identity(self.network))

    def _tape(
        self, pictures: ForwardPass | PictureLike | Sequence[PictureLike]
    ) -> Tape | BatchTape:
        """Return a tape of the network, the one that was given or of the pictures."""
        if not isinstance(pictures, ForwardPass):
            return self.network.forward(pictures)
        if pictures.graph is not self.network or not isinstance(pictures, (Tape, BatchTape)):
            raise ValueError(
                f"the tape is of another network, {pictures.graph.name!r}: pass the picture, or "
                f"captioner.network.forward(picture)"
            )
        return pictures

    def __reduce__(self) -> tuple[object, ...]:
        return Captioner, (self._tensors, self.words, self.network.name)

    def __repr__(self) -> str:
        return f"<Captioner {self.network.name}: {len(self.words)} words>"


def load(path: str | os.PathLike[str]) -> Captioner:
    """Read a captioner from a file of :meth:`Captioner.save` or of the training.

    Raises
    ------
    gradcam.WeightsError
        If it is no file of a captioner, or its weights do not fit each other or the vocabulary.
    OSError
        If it cannot be opened.
    """
    tensors, words = _file.read(path)
    name = Path(path).stem
    try:
        return Captioner(tensors, words, name)
    except ValueError as error:
        raise WeightsError(f"{path}: {str(error).removeprefix(f'{name}: ')}") from None


@lru_cache(maxsize=1)
def model() -> Captioner:
    """Return the captioner of described scenes of pictograms, which ships with the package.

    It was trained on scenes of :func:`gradcam.pictograms.described` and sentences of their grammar
    (``python -m gradcam.captioning train``). It is loaded once.
    """
    return load(_SHIPPED)


def _up_to(name: str, value: SupportsIndex, most: int) -> int:
    """Return an option that must be an integer of 1 to `most`."""
    number = positive(name, value)
    if number > most:
        raise ValueError(f"{name}: expected 1 to {most}, got {number}")
    return number
