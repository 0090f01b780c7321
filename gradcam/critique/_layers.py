"""Are the deconvnet and backpropagation equal, but for the ReLU?"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gradcam._engine import rule_pass
from gradcam._engine.forward_pass import ForwardPass
from gradcam._engine.layers import INPUT
from gradcam._engine.network import Network
from gradcam._engine.tape import Tape
from gradcam._pictures import figures
from gradcam._results.explanation import Explanation, no_flat_warnings
from gradcam._results.objectives import Class
from gradcam._results.rules import RECTIFIERS
from gradcam.critique import _slide
from gradcam.critique._confidence import norm
from gradcam.critique._target import class_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from gradcam._results.rules import CoreRule
    from gradcam.critique._target import ClassLike

_F64 = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LayerDifferences:
    """By how much backward passes differ, from the score down to the input.

    A difference is the length of the difference of two passes at a layer's output, divided by the
    length of the longer one: 0 if they are equal, at most 2.

    Attributes
    ----------
    layers : tuple of str
        From the layer of the scores down to the input.
    is_rectifier : (L,) array of bool
        Whether the layer is a ReLU, ReLU6, leaky ReLU or PReLU.
    deconvnet, guided : (L,) array of float64
        The deconvnet, and guided backpropagation, against the gradient.
    without_relus : (L,) array of float64
        The deconvnet against the gradient in the same network without its ReLUs.
    explanations : tuple of three Explanation
        Of the saliency, the deconvnet and guided backpropagation.
    """

    layers: tuple[str, ...]
    is_rectifier: NDArray[np.bool_]
    deconvnet: _F64
    guided: _F64
    without_relus: _F64
    explanations: tuple[Explanation, Explanation, Explanation]

    @property
    def equal_down_to(self) -> str:
        """The last layer at whose output deconvnet and gradient are equal."""
        differ = np.flatnonzero(self.deconvnet)
        return self.layers[-1 if not differ.size else max(0, int(differ[0]) - 1)]

    @property
    def finding(self) -> str:
        """What was found, in a sentence."""
        if not self.is_rectifier.any() and not self.deconvnet.any():
            return (
                f"{self.explanations[0].words}: deconvnet and backprop are equal everywhere: "
                f"the network has no ReLUs"
            )
        most = self.without_relus.max()
        linear = "equal everywhere" if most == 0 else f"different by up to {most:.1g}"
        return (
            f"{self.explanations[0].words}: deconvnet and backprop are equal down to "
            f"{self.equal_down_to}, then differ by up to {self.deconvnet.max():.2f}; without "
            f"ReLUs they are {linear}"
        )

    def plot(self) -> Figure:
        """Draw the differences by layer, and the three pictures, for a slide."""
        with figures.default_settings(), no_flat_warnings():
            figure = _slide.new(self.finding)
            self._draw(_slide.axes(figure, 1.2, 1.5, 8.2, 4.25))
            for number, found in enumerate(self.explanations):
                place = (9.9, 4.3 - 1.95 * number, 3.1, 1.6)
                _slide.heading(_slide.picture(figure, place, found.image), found.title, size=14)
            return figure

    def _draw(self, ax: Axes) -> None:
        x = np.arange(len(self.layers))
        for number in np.flatnonzero(self.is_rectifier):
            ax.axvspan(number - 0.5, number + 0.5, color="0.92", linewidth=0, zorder=0)
        for values, words, colour, style in (
            (self.deconvnet, "deconvnet", _slide.RED, "-s"),
            (self.guided, "guided backprop", _slide.BLUE, "-o"),
            (self.without_relus, "deconvnet, without ReLUs", _slide.GREY, "--"),
        ):
            ax.plot(x, values, style, color=colour, markersize=5, linewidth=2.5, label=words)
        every = -(-len(x) // 22)
        ax.set_xticks(x[::every], self.layers[::every], rotation=60, ha="right")
        _slide.label(ax, "", "difference from the gradient")
        ax.grid(False, axis="x")
        ax.tick_params(axis="x", labelsize=11)
        ax.set_ylim(-0.04, max(1.05, 1.05 * self.deconvnet.max(), 1.05 * self.guided.max()))
        _slide.legend(ax, "lower right")


def deconvnet_and_backprop(tape: Tape, target: ClassLike = None) -> LayerDifferences:
    """Compare the deconvnet and guided backpropagation with the gradient, layer by layer.

    All three pass back the same through convolutions and pooling, and differ at the ReLUs only: the
    gradient is cut where the ReLU's input was negative, the deconvnet where what arrives is
    negative, guided backpropagation at both. In a network without ReLUs they are equal.

    Parameters
    ----------
    tape : Tape
        Of one picture.
    target : int, str, Target or None
        A class; None is the most probable one.

    Raises
    ------
    ValueError
        If the class is unknown.
    """
    index = class_of(tape, target)
    layers, start = tape.graph.layers, tape.score_layer
    active = rule_pass.between(layers, start, [INPUT])
    names = [name for name in reversed(list(layers)) if name in active]
    linear = _without_relus(tape)
    found = tape.explain("saliency", index), tape.explain("deconvnet", index)
    return LayerDifferences(
        layers=tuple(names),
        is_rectifier=np.array([layers[name].op in RECTIFIERS for name in names]),
        deconvnet=_differences(tape, index, names, "deconvnet"),
        guided=_differences(tape, index, names, "guided"),
        without_relus=_differences(linear, index, names, "deconvnet"),
        explanations=(*found, tape.explain("guided_backprop", index)),
    )


def _differences(forward: ForwardPass, index: int, names: list[str], rule: CoreRule) -> _F64:
    seeds = Class(index).seeds(forward, 0)[forward.score_layer][None, None]
    passes = [
        forward.backward(forward.score_layer, seeds, names, each) for each in ("gradient", rule)
    ]
    return np.array([_difference(*pair) for pair in zip(*passes, strict=True)])


def _difference(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    longer = max(norm(one), norm(other))
    return norm(one.astype(np.float64) - other) / longer if longer else 0.0


def _without_relus(tape: Tape) -> ForwardPass:
    """Return a pass of the same network whose rectifiers pass everything on."""
    layers = [
        replace(layer, op="dropout", weights={}, attributes={}) if layer.op in RECTIFIERS else layer
        for layer in tape.graph.layers.values()
    ]
    network = Network.from_layers(layers, channels=tape.input.shape[1], labels=tape.labels)
    return ForwardPass(network, network.run_core(tape.input, [network.score_layer]), tape.input)
