"""Question answerers: a picture network, and a network over its code and the question's words."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, ClassVar, Literal, Protocol, cast, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gradcam._engine.forward_pass import ForwardPass
from gradcam._engine.tape import BatchTape, Tape
from gradcam._files import expanded
from gradcam._methods.passes import elements, one_of
from gradcam._text import brief, counted, with_nearest, words_of
from gradcam._weights import checked
from gradcam._weights.expected import check_count, fitting
from gradcam._weights.tensors import WeightsError, listed
from gradcam.pictograms._attribute_networks import (
    check_code,
    identity,
    output_of,
    tensor_names,
)
from gradcam.vqa import _file
from gradcam.vqa._coattention import CoAttention
from gradcam.vqa._lstm import DeeperLSTM
from gradcam.vqa._reply import Reply
from gradcam.vqa._words import Question, UnknownWordWarning, read

if TYPE_CHECKING:
    from os import PathLike

    from PIL import Image

    from gradcam._engine.network import BatchArray, Network, OneArray, PictureLike
    from gradcam._results.objectives import Forward
    from gradcam._sequences import Given, Value
    from gradcam._weights.expected import Shapes
    from gradcam.vqa._attention import Attention

_F32 = NDArray[np.float32]

Kind = Literal["lstm", "coattention"]


class Head(Protocol):
    """What reads a picture's code and a question; it knows its tensors' names and shapes."""

    layer: ClassVar[str]
    shapes: ClassVar[Shapes]

    def __init__(self, tensors: Mapping[str, _F32]) -> None: ...
    @staticmethod
    def network(tensors: Mapping[str, _F32], name: str) -> Network:
        """Return the network that computes the code."""

    def encode(self, words: Sequence[int]) -> tuple[Value, ...]:
        """Return what is computed of a question alone."""

    def scores(
        self, code: Given, question: tuple[Value, ...]
    ) -> tuple[Value, list[dict[str, Attention]]]:
        """Return the answers' scores, (N, K), for N codes, and the attention for each."""


HEADS: dict[str, type[Head]] = {"lstm": DeeperLSTM, "coattention": CoAttention}
"""The networks over the code, by kind."""


class Answerer:
    """A network that answers questions about pictures, and can be explained.

    Returned by :func:`gradcam.vqa.model` and :func:`gradcam.vqa.load`.

    Parameters
    ----------
    kind : "lstm" or "coattention"
        The deeper LSTM question with the normalised image (Antol et al., 2015), or hierarchical
        co-attention (Lu et al., 2016).
    tensors : mapping of str to array
        Of the layers above the convolutions, by the names that `_lstm` and `_coattention` list.
        Those with names of the picture network's layers replace them.
    words : sequence of str
        The vocabulary of questions, in lower case, in the order of the embedding's rows.
    answers : sequence of str
        In the order of the scores.
    name : str
        For messages.

    Attributes
    ----------
    kind : str
    network : Network
        The picture network, which ends in the layer that the answerer reads and knows no words:
        ``network.forward(picture)`` returns the tape that questions are asked about.
    layer : str
        The layer that the answerer reads.
    words, answers : tuple of str

    Raises
    ------
    gradcam.WeightsError
        If a tensor is missing, has another shape or is not finite, or words or answers do not fit
        the tensors or occur twice.
    """

    def __init__(
        self,
        kind: Kind,
        tensors: Mapping[str, ArrayLike],
        words: Sequence[str],
        answers: Sequence[str],
        *,
        name: str = "answerer",
    ) -> None:
        one_of("kind", kind, tuple(HEADS))
        head, arrays = HEADS[kind], {each: np.asarray(of) for each, of in tensors.items()}
        self.kind: Kind = kind
        self.words = _vocabulary(words)
        self.answers = _listed("answers", answers)
        check_count(name, arrays, "embedding.weight", len(self.words), "words")
        check_count(name, arrays, "answer.weight", len(self.answers), "answers")
        own = {each: of for each, of in arrays.items() if each in head.shapes}
        known = {"words": len(self.words), "answers": len(self.answers)}
        read, sizes = fitting(name, own, head.shapes, known)
        more = {each: of for each, of in arrays.items() if each not in read}
        self._tensors = read | checked.fitting(name, more, {k: v.shape for k, v in more.items()})
        self.network = head.network(self._tensors, name)
        self.layer = head.layer
        self._shape = self.network.shape(self.layer, self.network.input_size)
        self._check_code(sizes)
        self._head = head(self._tensors)

    def _check_code(self, sizes: Mapping[str, int]) -> None:
        """Refuse tensors that do not fit what the picture network computes, or that it ignores."""
        name = self.network.name
        used = tensor_names(self.network)
        more = [each for each in self._tensors if each not in {*HEADS[self.kind].shapes, *used}]
        if more:
            raise WeightsError(f"{name}: tensors that do not belong to it: {listed(more)}")
        if len(self._shape) == 1:
            check_code(name, self._shape[0], sizes["code"])
        else:
            needed = {"channels": self._shape[0], "positions": self._shape[1] * self._shape[2]}
            for what, size in needed.items():
                if sizes[what] != size:
                    raise WeightsError(
                        f"{name}: the map {self.layer} has {size} {what}, but the weights are for "
                        f"{sizes[what]}"
                    )

    @overload
    def ask(  # type: ignore[overload-overlap]
        self,
        picture: Tape | str | PathLike[str] | bytes | IO[bytes] | Image.Image | OneArray,
        question: str,
    ) -> Reply: ...
    @overload
    def ask(
        self,
        picture: BatchTape | Sequence[PictureLike] | BatchArray,
        question: str | Sequence[str],
    ) -> list[Reply]: ...
    def ask(
        self,
        picture: Tape | BatchTape | PictureLike | Sequence[PictureLike],
        question: str | Sequence[str],
    ) -> Reply | list[Reply]:
        """Answer a question about a picture.

        Parameters
        ----------
        picture : Tape, or a picture
            ``answerer.network.forward(picture)``, or a picture as that takes it. To explain the
            answer, a tape is needed: ``tape.grad_cam(answerer.ask(tape, question))``. A BatchTape
            or a list of pictures gives a list.
        question : str
            At most 50 words. Words that the network does not know are left out. For several
            pictures, one question for all or a list with one for each.

        Returns
        -------
        Reply, or a list of them

        Warns
        -----
        gradcam.vqa.UnknownWordWarning
            If a word of the question is not known; the reply's `notes` say so too.

        Raises
        ------
        ValueError
            If the question has no words, none that is known, or more than 50; if there is not one
            question for each picture; if the tape is of another network.
        TypeError
            If a question is not a text.
        gradcam.PictureError
            If the picture cannot be read.
        """
        tape = picture if isinstance(picture, ForwardPass) else self.network.forward(picture)
        if not isinstance(tape, Tape | BatchTape) or tape.graph is not self.network:
            raise ValueError(
                f"picture: expected a picture, or a tape of this answerer's network "
                f"(answerer.network.forward(picture)), got a tape of {brief(tape.graph.name)}"
            )
        questions = self._questions(question, tape)
        for note in dict.fromkeys(each.note for each in questions if each.note):
            warnings.warn(note, UnknownWordWarning, stacklevel=2)
        replies = self._replies(tape, questions)
        return replies[0] if isinstance(tape, Tape) else replies

    def read(self, question: str) -> Question:
        """Return a question as the network reads it, without an answer.

        Raises
        ------
        ValueError, TypeError
            As of :meth:`ask`.
        """
        return read(question, self.words)

    def _questions(self, given: str | Sequence[str], tape: Tape | BatchTape) -> list[Question]:
        """Return a question for each picture."""
        if isinstance(given, str) or isinstance(tape, Tape):
            return [self.read(cast(str, given))] * len(tape)
        each = elements("question", given, "questions")
        if len(each) != len(tape):
            raise ValueError(
                f"question: {counted(len(each), 'question')} for "
                f"{counted(len(tape), 'picture')}: give one for all, or a list with one for each"
            )
        return [self.read(text) for text in each]

    def _replies(self, tape: Tape | BatchTape, questions: Sequence[Question]) -> list[Reply]:
        """Answer the questions; each different one is encoded once."""
        codes = self.codes(tape)
        encoded = {question: self.encoded(question) for question in dict.fromkeys(questions)}
        replies = []
        for n, question in enumerate(questions):
            scores, attention = self.scores(codes[n : n + 1], encoded[question])
            replies.append(Reply(self, question, scores.array[0], attention[0], encoded[question]))
        return replies

    def find_answer(self, answer: str) -> str:
        """Return one of :attr:`answers` by its name.

        Upper case and punctuation make no difference, nor the order of "red and yellow".

        Raises
        ------
        ValueError
            If there is none; the message names similar ones.
        TypeError
            If it is not a text.
        """
        if not isinstance(answer, str):
            raise TypeError(f"answer: expected a text such as 'yes', got {brief(answer)}")
        keys = {_answer_key(each): each for each in self.answers}
        found = answer if answer in self.answers else keys.get(_answer_key(answer))
        if found is None:
            raise ValueError(
                f"answer: there is no answer {with_nearest([answer], self.answers)}; "
                f"answerer.answers lists all {len(self.answers)}"
            )
        return found

    def encoded(self, question: Question) -> tuple[Value, ...]:
        """Return what is computed of a question alone, for :meth:`scores`."""
        return self._head.encode(question.indices)

    def scores(
        self, code: Given, encoded: tuple[Value, ...]
    ) -> tuple[Value, list[dict[str, Attention]]]:
        """Return the answers' scores, (N, K), before the softmax, and the attention.

        Parameters
        ----------
        code : Value or array
            What :meth:`codes` returns of N pictures.
        encoded : tuple of Value
            What :meth:`encoded` returns of a question.
        """
        return self._head.scores(code, encoded)

    def codes(self, forward: Forward) -> _F32:
        """Return what the answerer reads of each picture of a forward pass.

        Raises
        ------
        ValueError
            If it is a pass of another network, or its output is not finite.
        """
        self.check(forward)
        return output_of(forward, self.layer)

    def check(self, forward: Forward) -> None:
        """Raise ValueError if a forward pass is one of another network."""
        graph = forward.graph if isinstance(forward, ForwardPass) else self.network
        if identity(graph) != identity(self.network) or forward.shape(self.layer) != self._shape:
            raise ValueError(
                f"the answer is one of the network {identity(self.network)}, and cannot be "
                f"explained on a forward pass of {identity(graph)}: use a tape of "
                f"answerer.network.forward(picture)"
            )

    def save(
        self, path: str | os.PathLike[str], dtype: Literal["float32", "float16"] = "float32"
    ) -> None:
        """Write the answerer to a safetensors file, which :func:`gradcam.vqa.load` reads.

        The attribute network's convolutions, which are a part of the package, are not in it.

        Parameters
        ----------
        path : path
            An earlier file is replaced, unless there is an error.
        dtype : "float32" or "float16"
            Of the weights in the file.

        Raises
        ------
        gradcam.WeightsError
            If a value is too large for float16.
        OSError
            If the file cannot be written.
        """
        content = _file.Content(self.kind, self._tensors, self.words, self.answers)
        _file.write(content, path, dtype)

    def __repr__(self) -> str:
        return (
            f"<Answerer {self.network.name} ({self.kind}): {len(self.words)} words, "
            f"{len(self.answers)} answers>"
        )


def load(path: str | os.PathLike[str]) -> Answerer:
    """Load an answerer from a file that :meth:`Answerer.save` wrote.

    Parameters
    ----------
    path : path

    Raises
    ------
    gradcam.WeightsError
        If the file is damaged, is not of an answerer, or its vocabulary, answers and tensors do not
        belong together.
    OSError
        If the file cannot be opened.
    """
    found = _file.read(path, tuple(HEADS))
    kind, name = cast(Kind, found.kind), Path(expanded(path)).stem
    try:
        return Answerer(kind, found.tensors, found.words, found.answers, name=name)
    except ValueError as error:
        said = str(error).removeprefix(f"{name}: ")
        raise WeightsError(f"{os.fspath(path)}: {said}") from None


def _listed(name: str, given: Sequence[str]) -> tuple[str, ...]:
    """Return texts, each of which occurs once."""
    texts = tuple(elements(name, given, "texts"))
    for text in texts:
        if not isinstance(text, str) or not text:
            raise WeightsError(f"{name}: expected texts, got {brief(text)}")
    twice = [text for text in dict.fromkeys(texts) if texts.count(text) > 1]
    if twice or not texts:
        raise WeightsError(f"{name}: {f'{brief(twice[0])} is listed twice' if twice else 'none'}")
    return texts


def _vocabulary(given: Sequence[str]) -> tuple[str, ...]:
    """Return the words of questions, each of which a question can have."""
    words = _listed("words", given)
    never = [word for word in words if words_of(word) != [word]]
    if never:
        raise WeightsError(
            f"words: {brief(never[0])} is not a word in lower case without punctuation"
        )
    return words


def _answer_key(answer: str) -> tuple[str, ...]:
    """Return what all ways to write an answer have in common."""
    return tuple(sorted(" ".join(words_of(answer)).split(" and ")))
