"""Replies: an answer to a question about a picture, which is an objective."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from gradcam._labels.classes import Labels, top_indices
from gradcam._methods.passes import elements, positive
from gradcam._results.objectives import Answer, Forward, Objective, On, Others, check_on
from gradcam._sequences import gradients, pick, softmax, variable
from gradcam.vqa._attention import Attention
from gradcam.vqa._words import Question

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.figure import Figure

    from gradcam._engine.graph import Graph
    from gradcam._engine.tape import Tape
    from gradcam._sequences import Given, Value

_F32 = NDArray[np.float32]

MOST_SHOWN = 6
"""Answers in one figure."""


class Answering(Protocol):
    """What replies need of an answerer; :class:`gradcam.vqa.Answerer` has it."""

    @property
    def answers(self) -> tuple[str, ...]: ...
    @property
    def layer(self) -> str: ...
    @property
    def network(self) -> Graph: ...
    def find_answer(self, answer: str) -> str: ...
    def encoded(self, question: Question) -> tuple[Value, ...]: ...
    def check(self, forward: Forward) -> None: ...
    def codes(self, forward: Forward) -> _F32: ...
    def scores(
        self, code: Given, encoded: tuple[Value, ...]
    ) -> tuple[Value, list[dict[str, Attention]]]: ...


class AnswerObjective(Objective):
    """One answer to a question, as what is explained: its score, or its probability.

    It is computed again from each forward pass that it is asked about, so that methods that change
    the picture see what changes. Returned by :meth:`Reply.objective`; a :class:`Reply` is one, too.

    Attributes
    ----------
    answerer : Answerer
    question : Question
    text : str
        The answer.
    on : "score" or "probability"
        What it stands for: the answer's score before the softmax, or its probability after it,
        whose gradient is close to zero if the network is confident.
    """

    def __init__(
        self,
        answerer: Answering,
        question: Question,
        text: str,
        on: On = "score",
        *,
        encoded: tuple[Value, ...] | None = None,
    ) -> None:
        check_on(on)
        self.answerer = answerer
        self.question = question
        self.text = text
        self.on = on
        self._index = answerer.answers.index(text)
        self._encoded = answerer.encoded(question) if encoded is None else encoded

    def label(self, labels: Labels) -> str:
        """Return the question and the answer."""
        return self.question.with_answer(self.text)

    def value(self, forward: Forward, n: int) -> float:
        """Return the answer's score or probability for picture `n`."""
        return float(self._of(self._scores(self._codes(forward)[n : n + 1])).array[0])

    def values(self, forward: Forward) -> _F32:
        """Return the answer's scores or probabilities, (N,)."""
        return np.array(self._of(self._scores(self._codes(forward))).array)

    def seeds(self, forward: Forward, n: int) -> Mapping[str, _F32]:
        """Return the gradient with respect to the layer that the answerer reads."""
        code = variable(self._codes(forward)[n : n + 1])
        value = self._of(self._scores(code))
        return {self.answerer.layer: gradients(value, np.ones(1, np.float32), [code])[0][0]}

    def reads(self, forward: Forward, n: int) -> frozenset[str]:
        """Return the layer that the answerer reads."""
        self.answerer.check(forward)
        return frozenset([self.answerer.layer])

    def answer(self, forward: Forward, n: int) -> Answer:
        """Return the question and the answer with its score and probability for picture `n`."""
        scores = self._scores(self._codes(forward)[n : n + 1])
        probability = float(softmax(scores).array[0, self._index])
        score = float(scores.array[0, self._index])
        return Answer(self.label(forward.labels), score, None, probability)

    def others(self, forward: Forward, n: int) -> Others:
        """Return the most probable other answer, and one in the middle of the order."""
        scores = self._scores(self._codes(forward)[n : n + 1]).array[0]
        order = np.argsort(-scores, kind="stable")
        left = [int(each) for each in order if each != self._index]
        chosen = dict.fromkeys((left[0], left[len(left) // 2])) if left else {}
        made = tuple(self._other(self.answerer.answers[each], self.on) for each in chosen)
        return Others("answer", made, tuple(each.text for each in made))

    def _other(self, text: str, on: On) -> AnswerObjective:
        """Return another answer to the same question."""
        return AnswerObjective(self.answerer, self.question, text, on, encoded=self._encoded)

    def _codes(self, forward: Forward) -> _F32:
        """Return what the answerer reads of each picture."""
        return self.answerer.codes(forward)

    def _scores(self, code: Value | _F32) -> Value:
        return self.answerer.scores(code, self._encoded)[0]

    def _of(self, scores: Value) -> Value:
        """Return the value of the answer for each picture, (N,)."""
        found = scores if self.on == "score" else softmax(scores)
        return pick(found, np.full(found.shape[0], self._index))

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.question.with_answer(self.text)}, {self.on}>"


class Reply(AnswerObjective):
    """What a network answers to a question about a picture; returned by :meth:`Answerer.ask`.

    It is the objective of its most probable answer, the score before the softmax:
    ``tape.grad_cam(reply)``. :meth:`objective` returns that of any answer.

    Attributes
    ----------
    answerer, question, text, on
        As of :class:`AnswerObjective`; `text` is the most probable answer.
    scores : (K,) array of float32
        The score of each of ``answerer.answers``, before the softmax. Read-only.
    probabilities : (K,) array of float32
        After it. Read-only.
    attention : mapping of str to Attention
        By level, "word", "phrase" and "question"; empty for a network without attention.
    notes : tuple of str
        What to know about it, in sentences: words of the question that the network does not know.
    about : str
        What the network knows, as of :class:`gradcam.Network`.
    """

    def __init__(
        self,
        answerer: Answering,
        question: Question,
        scores: _F32,
        attention: Mapping[str, Attention],
        encoded: tuple[Value, ...],
    ) -> None:
        best = answerer.answers[int(scores.argmax())]
        super().__init__(answerer, question, best, encoded=encoded)
        self.scores = scores
        self.probabilities = softmax(scores).array
        self.attention = attention
        self.notes = (question.note,) if question.note else ()
        self.about = answerer.network.about

    @property
    def probability(self) -> float:
        """The probability of the most probable answer."""
        return float(self.probabilities[self._index])

    def top(self, k: SupportsIndex = 5) -> list[tuple[str, float]]:
        """Return the `k` most probable answers with their probabilities, the first one first."""
        best = top_indices(self.scores, positive("k", k))
        return [(self.answerer.answers[i], float(self.probabilities[i])) for i in best]

    def objective(self, answer: str | None = None, *, on: On = "score") -> AnswerObjective:
        """Return any answer as what is explained, also one that is improbable.

        Parameters
        ----------
        answer : str, optional
            One of ``answerer.answers``; by default :attr:`text`. Upper and lower case make no
            difference, nor the order of "red and yellow".
        on : "score" or "probability"
            What it stands for.

        Raises
        ------
        ValueError
            If there is no such answer; the message names similar ones.
        TypeError
            If it is not a text.
        """
        text = self.text if answer is None else self.answerer.find_answer(answer)
        return self._other(text, on)

    def plot(self, tape: Tape, answers: Sequence[str] | None = None) -> Figure:
        """Draw the picture, the question, the most probable answers, and maps of answers.

        For each answer Grad-CAM and Guided Grad-CAM, side by side.

        Parameters
        ----------
        tape : Tape
            Of the picture: ``answerer.network.forward(picture)``.
        answers : sequence of str, optional
            At most 6; by default the most probable one.

        Raises
        ------
        ValueError
            If there are more answers, or none, or one does not exist.
        TypeError
            If it is not the tape of one picture, or `answers` not a list of texts.
        """
        from gradcam.vqa import _figures  # slow to import

        asked = [self.text] if answers is None else elements("answers", answers, "answers")
        named = dict.fromkeys(self.answerer.find_answer(each) for each in asked)
        if not 1 <= len(named) <= MOST_SHOWN:
            raise ValueError(f"answers: a figure shows 1 to {MOST_SHOWN} answers, not {len(named)}")
        objectives = {each: self.objective(each) for each in named}
        return _figures.answers(tape, self.question.text, self.top(), objectives)

    def plot_attention(self, tape: Tape) -> Figure:
        """Draw the attention of each level over the picture, with that of the words, and Grad-CAM.

        Raises
        ------
        ValueError
            If the network has no attention.
        """
        from gradcam.vqa import _figures  # slow to import

        if not self.attention:
            raise ValueError(
                f"{self.answerer!r} has no attention: ask gradcam.vqa.model('coattention')"
            )
        return _figures.attention(tape, self, self.question.words, self.attention)

    def plot_layers(self, tape: Tape, layers: Sequence[str] | None = None) -> Figure:
        """Draw Grad-CAM of the answer at several layers.

        Parameters
        ----------
        tape : Tape
            Of the picture.
        layers : sequence of str, optional
            By default each block of the network: each residual block of a ResNet, the last map
            before each pooling of a VGG.
        """
        from gradcam.vqa import _figures  # slow to import

        return _figures.layers(tape, self, layers)

    def __repr__(self) -> str:
        notes = "".join(f"; {note}" for note in self.notes)
        said = self.question.with_answer(self.text)
        return f"<Reply: {said}, {self.probability:.3f}{notes}>"
