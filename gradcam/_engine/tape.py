"""The record of one forward pass, from which every method and every class is read."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gradcam import _core
from gradcam import _methods as methods
from gradcam._engine.layers import INPUT
from gradcam._methods import cam, gradients
from gradcam._pictures.image import Geometry, render
from gradcam._results.explanation import Explanation, On, Resize, check_resize
from gradcam._results.objectives import Request, request

if TYPE_CHECKING:
    from gradcam._engine.network import Network
    from gradcam._profile import Profile

_F32 = NDArray[np.float32]


class Tape:
    """What one forward pass of one batch recorded; made by :meth:`gradcam.Network.forward`.

    It is never changed: methods and threads can read from one tape in any order.

    Attributes
    ----------
    network : Network
    core : gradcam._core.Tape
    input : (N, C, H, W) array of float32
        The preprocessed input; read-only.
    pictures : list of (H, W, 3) arrays of uint8, or None
        The original pictures, RGB; None where the input was given preprocessed.
    geometries : list of Geometry
        How the input lies on each original picture.
    single : bool
        Whether one picture was given, not a list or batch; results are then not lists.
    """

    def __init__(
        self,
        network: Network,
        core: _core.Tape,
        input: _F32,
        pictures: list[NDArray[np.uint8]] | None,
        geometries: list[Geometry],
        single: bool,
    ) -> None:
        self.network = network
        self.core = core
        self.input = input
        self.pictures = pictures
        self.geometries = geometries
        self.single = single

    def __len__(self) -> int:
        return len(self.input)

    def __repr__(self) -> str:
        count, _, height, width = self.input.shape
        return f"<Tape of {self.network.name}: {count} of {height} x {width}>"

    @cached_property
    def scores(self) -> _F32:
        """(N, K) class scores, before the softmax; read-only."""
        scores = self.activation(self.network.score_layer)
        if scores.ndim != 2:
            raise ValueError(
                f"the last layer {self.network.score_layer!r} gives maps of shape "
                f"{scores.shape[1:]}, not class scores; end the network with a flatten layer"
            )
        if scores.shape[1] != len(self.network.labels):
            raise ValueError(
                f"the network has {scores.shape[1]} scores, but {len(self.network.labels)} labels"
            )
        if not np.isfinite(scores).all():
            raise ValueError(
                f"the scores of {self.network.name} are not finite: its values are too large for "
                f"float32 on this input"
            )
        scores.flags.writeable = False
        return scores

    @cached_property
    def probabilities(self) -> _F32:
        """(N, K) class probabilities, 0 to 1; read-only.

        Raises
        ------
        ValueError
            Where the network does not end in a softmax.
        """
        probabilities = self.activation(self._start("probability"))
        probabilities.flags.writeable = False
        return probabilities

    def top(self, k: int = 5) -> Any:
        """The `k` most probable classes, in Keras's order.

        Returns
        -------
        list of (synset, label, probability), most probable first
            For a single picture; otherwise a list of such lists, one for each picture.
        """
        decoded = [self.network.labels.decode(values, k) for values in self.probabilities]
        return decoded[0] if self.single else decoded

    def shape(self, layer: str) -> tuple[int, ...]:
        """Shape of one picture's output of `layer`: (C, H, W) or (F,)."""
        return self.network.shapes(*self.input.shape[2:])[self.network.names(layer)[0]]

    def activation(self, layer: str) -> _F32:
        """The output of `layer`, (N, C, H, W) or (N, F).

        A map that was not kept is computed again from the input, up to that layer;
        ``forward(..., keep=[layer])`` has it from the one pass.
        """
        number = self.network.index(layer)
        if number == 0:
            return np.array(self.input)
        if number in self.core.kept:
            return self.core.activation(number)
        return self.network.core.forward(self.input, [number], number).activation(number)

    def backward(
        self,
        layer: str,
        seeds: ArrayLike,
        wanted: Sequence[str],
        rule: _core.Rule = "gradient",
    ) -> list[_F32]:
        """Gradients of ``sum(seeds[s, n] * output of layer[n])`` by the layers wanted.

        Parameters
        ----------
        layer : str
            Where the pass starts: any layer.
        seeds : (S, N, C, H, W) or (S, N, F) array
            S seeds over one tape: the shape of the batch's output of `layer`, S times.
        wanted : sequence of str
            The pass ends at the lowest of them.
        rule : "gradient", "guided" or "deconvnet"
            What a ReLU passes down.

        Returns
        -------
        list of (S, N, ...) arrays
            One for each layer wanted; zero where that layer does not feed `layer`.
        """
        index = self.network.index
        wanted = [wanted] if isinstance(wanted, str) else wanted
        return self.core.backward(index(layer), seeds, [index(name) for name in wanted], rule)

    def gradient(
        self,
        target: Any = None,
        layer: str = INPUT,
        *,
        rule: _core.Rule = "gradient",
        on: On = "score",
    ) -> _F32:
        """The gradient of a class's score (or probability) by the output of `layer`.

        Parameters
        ----------
        target : None, int, str, or a list of these
            As in :meth:`grad_cam`.
        layer : str
        rule : "gradient", "guided" or "deconvnet"
        on : "score" or "probability"

        Returns
        -------
        (N, ...) array of float32
            The shape of ``activation(layer)``. Where a list of classes is asked of a picture,
            (S, N, ...), S being the longest list; zero where a picture asks for fewer.
        """
        asked = self.request(target)
        gradients = self.class_gradients(asked, [layer], rule, on)[0]
        return gradients if any(asked.listed) else gradients[0]

    def explain(self, method: str, target: Any = None, **options: Any) -> Any:
        """Explain by the method of that name: ``explain("grad_cam", "tiger cat")``."""
        return methods.find(method)(self, target, **options)

    saliency = gradients.saliency
    deconvnet = gradients.deconvnet
    guided_backprop = gradients.guided_backprop
    grad_cam = cam.grad_cam
    counterfactual = cam.counterfactual
    guided_grad_cam = cam.guided_grad_cam
    deconv_grad_cam = cam.deconv_grad_cam

    def profile(
        self,
        target: Any = None,
        *,
        rule: _core.Rule = "gradient",
        to: str | None = None,
        repeat: int = 5,
    ) -> Profile:
        """Where the time of the passes goes: see :func:`gradcam._profile.profile`."""
        from gradcam._profile import profile

        return profile(self, target, rule=rule, to=to, repeat=repeat)

    # What the methods are made of.

    def request(self, target: Any) -> Request:
        """Which classes `target` asks of which pictures."""
        return request(target, self.scores, self.network.labels, self.single)

    def class_gradients(
        self, request: Request, wanted: Sequence[str], rule: _core.Rule, on: On
    ) -> list[_F32]:
        """Gradients of the classes asked by the layers wanted, each (S, N, ...)."""
        seeds = request.seeds(len(self.network.labels))
        return self.backward(self._start(on), seeds, wanted, rule)

    def class_weights(self, request: Request, layer: str, on: On) -> _F32:
        """Those gradients by one layer, averaged over its positions: (S, N, K)."""
        seeds = request.seeds(len(self.network.labels))
        index = self.network.index
        return self.core.pooled_gradient(index(self._start(on)), seeds, index(layer))

    def explanations(
        self,
        request: Request,
        method: str,
        raw: _F32,
        *,
        layer: str,
        resize: Resize,
        weights: _F32 | None = None,
    ) -> Any:
        """Explanations of raw evidence (S, N, ...), nested as the classes were asked."""
        check_resize(resize)
        network = self.network

        def explanation(s: int, n: int, index: int) -> Explanation:
            return Explanation(
                method=method,
                target=network.labels[index],
                score=float(self.scores[n, index]),
                probability=(
                    float(self.probabilities[n, index]) if network.probability_layer else None
                ),
                layer=layer,
                raw=_own(raw[s, n]),
                weights=None if weights is None else _own(weights[s, n]),
                picture=self._shown[n],
                geometry=self.geometries[n],
                resize=resize,
                channel_order=network.preset.channel_order if network.preset else "RGB",
            )

        return request.arrange(explanation)

    @cached_property
    def _shown(self) -> list[NDArray[np.uint8]]:
        """What explanations are laid over."""
        if self.pictures is not None:
            return self.pictures
        return [render(values, self.network.preset) for values in self.input]

    def _start(self, on: On) -> str:
        """The layer whose output is explained."""
        if on == "score":
            return self.network.score_layer
        if on != "probability":
            raise ValueError(f"on: expected 'score' or 'probability', got {on!r}")
        if self.network.probability_layer is None:
            raise ValueError(
                f"{self.network.name} does not end in a softmax, so it has scores and no "
                f"probabilities: use tape.scores and on='score', or add a softmax layer"
            )
        return self.network.probability_layer


def _own(values: _F32) -> _F32:
    """A read-only copy, so that one explanation does not hold the arrays of a whole batch."""
    values = values.copy()
    values.flags.writeable = False
    return values
