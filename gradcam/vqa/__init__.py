"""Networks that answer questions about pictures, and what their answers are based on.

>>> from gradcam import pictograms, vqa
>>> answerer = vqa.model()
>>> tape = answerer.network.forward(pictograms.described(3).picture)
>>> reply = answerer.ask(tape, "what colour is the cat?")
>>> reply.text, reply.probability
>>> tape.grad_cam(reply)  # where the network sees it; any other method, too
>>> tape.grad_cam(reply.objective("yellow"))  # what would speak for this answer?

The answerers know the scenes of :func:`gradcam.pictograms.described`.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from gradcam.vqa._answerer import HEADS, Answerer, Kind, load
from gradcam.vqa._attention import Attention
from gradcam.vqa._reply import MOST_SHOWN, AnswerObjective, Reply
from gradcam.vqa._words import Question, UnknownWordWarning

__all__ = [
    "MOST_SHOWN",
    "AnswerObjective",
    "Answerer",
    "Attention",
    "Question",
    "Reply",
    "UnknownWordWarning",
    "load",
    "model",
]

_FOLDER = Path(__file__).parent


@lru_cache(maxsize=2)
def model(kind: Kind = "lstm") -> Answerer:
    """Return an answerer of the package, which knows the scenes of `pictograms.described`.

    It is loaded once.

    Parameters
    ----------
    kind : "lstm" or "coattention"
        The deeper LSTM question with the normalised image (Antol et al., 2015), over the code of a
        VGG; or hierarchical co-attention (Lu et al., 2016), over a small ResNet that reads its map.
    """
    if kind not in HEADS:
        raise ValueError(f"kind: expected {' or '.join(map(repr, HEADS))}, got {kind!r}")
    return load(_FOLDER / f"{kind}.safetensors")
