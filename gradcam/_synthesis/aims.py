"""What pictures are made for: an objective to raise, or a layer's code to reach."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gradcam._engine.forward_pass import ForwardPass, run
from gradcam._engine.graph import Graph
from gradcam._engine.layers import INPUT
from gradcam._results.objectives import Objective, Objectives
from gradcam._synthesis.ascent import Terms

_F32 = NDArray[np.float32]


class Raising:
    """The aim to raise one objective for each picture."""

    def __init__(self, graph: Graph, objectives: Sequence[Objective]) -> None:
        self.graph = graph
        self.each = list(objectives)
        self.asked = Objectives(tuple((each,) for each in self.each), (False,) * len(self.each))
        self.keep: list[str] = []

    def __call__(self, input: _F32) -> tuple[Terms, _F32]:
        """Return scores and probabilities, and the gradient by the input."""
        forward = self.forward(input)
        (gradient,) = self.asked.gradient(forward, INPUT)
        return self.terms(forward), gradient

    def forward(self, input: _F32) -> ForwardPass:
        """Run the network; the layers that the objectives read are kept from the second pass on."""
        forward = ForwardPass(self.graph, run(self.graph, input, self.keep), input)
        if not self.keep:
            read = {layer for n, each in enumerate(self.each) for layer in each.seeds(forward, n)}
            self.keep = sorted(self.graph.names(layer)[0] for layer in read - {INPUT})
        return forward

    def terms(self, forward: ForwardPass) -> Terms:
        """Return the score of each picture's objective, and its probability, if it has one."""
        answers = [each.answer(forward, n) for n, each in enumerate(self.each)]
        terms = {"score": np.array([each.score for each in answers], np.float32)}
        if any(each.probability is not None for each in answers):
            chances = [np.nan if a.probability is None else a.probability for a in answers]
            terms["probability"] = np.array(chances, np.float32)
        return terms


class Matching:
    """The aim to bring one layer's output close to a code, for one picture.

    The gradient is that of the squared distance over the squared size of the code; the error that
    is recorded is its square root.
    """

    def __init__(self, graph: Graph, layer: str, code: _F32) -> None:
        self.graph = graph
        self.layer = layer
        self.code = code
        self.size = float(np.sum(code.astype(np.float64) ** 2))

    def __call__(self, input: _F32) -> tuple[Terms, _F32]:
        """Return the error, and minus the gradient of its square by the input."""
        core = self.graph.run_core(input, [self.layer], until=self.layer)
        forward = ForwardPass(self.graph, core, input)
        away = forward.activation(self.layer) - self.code
        error = np.sum(away.astype(np.float64) ** 2, axis=tuple(range(1, away.ndim))) / self.size
        seeds = (away * np.float32(-2 / self.size))[None]
        (gradient,) = forward.backward(self.layer, seeds, [INPUT])
        return {"error": np.sqrt(error).astype(np.float32)}, gradient[0]
