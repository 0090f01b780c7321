"""The pictures of a forward pass, and their explanations by every method.

A tape is a :class:`gradcam.ForwardPass` with the pictures that went in: :class:`Tape` one picture,
:class:`BatchTape` several.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple, cast, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gradcam import _core
from gradcam._engine import several_layers
from gradcam._engine.forward_pass import ForwardPass, listed, run
from gradcam._engine.graph import Graph
from gradcam._engine.layers import INPUT
from gradcam._labels.classes import Decoded, top_indices
from gradcam._pictures.image import Geometry, prepare, render
from gradcam._registry import METHODS, OVER_PICTURE, Method, View
from gradcam._results import notes
from gradcam._results.explanation import Evidence, Explanation, Resize, check_resize
from gradcam._results.objectives import (
    Answer,
    Objective,
    Objectives,
    On,
    TargetLike,
    Unit,
    ask_batch,
    ask_one,
)
from gradcam._results.rules import RuleLike
from gradcam._results.sheets import Explanations

if TYPE_CHECKING:
    from gradcam._engine.signatures import (
        BatchLayerMethod,
        BatchLayerMethodWithOptions,
        BatchPixelMethod,
        BatchPixelMethodWithOptions,
        LayerMethod,
        LayerMethodWithOptions,
        PixelMethod,
        PixelMethodWithOptions,
        Several,
    )

_F32 = NDArray[np.float32]


class _Explaining(ForwardPass):
    """A forward pass with its pictures; see :class:`Tape` and :class:`BatchTape`."""

    def __init__(
        self,
        graph: Graph,
        core: _core.Tape,
        input: _F32,
        pictures: Sequence[NDArray[np.uint8]] | None,
        geometries: Sequence[Geometry],
    ) -> None:
        super().__init__(graph, core, input)
        self._pictures = pictures
        self._geometries = geometries
        self._alone: dict[int, _Picture] = {}

    def ask(self, target: object, on: On = "score") -> Objectives:
        """Return the objectives that `target` stands for, for each picture."""
        raise NotImplementedError

    def gradient(
        self,
        target: TargetLike | Several | Sequence[Several] = None,
        layer: str = INPUT,
        *,
        rule: RuleLike = "gradient",
        on: On = "score",
    ) -> _F32:
        """Return the gradient of an objective with respect to the output of `layer`.

        Parameters
        ----------
        target : TargetLike, or lists of these
            As in :meth:`explain`.
        layer : str
        rule : str, Rule, LayerRule or Composite
            As of :meth:`backward`. Under a rule of relevance the seeds of the score are 1; the
            method `lrp` starts from the score itself.
        on : "score" or "probability"
            What a class stands for.

        Returns
        -------
        (N, ...) array of float32
            The shape of ``activation(layer)``. If a list of targets was given for a picture,
            (S, N, ...), S being the longest list; zero for a picture with a shorter list.
        """
        asked = self.ask(target, on)
        gradients = asked.gradient(self, layer, rule)
        return gradients if any(asked.listed) else gradients[0]

    def hessian_product(
        self,
        target: TargetLike | Several | Sequence[Several],
        direction: ArrayLike,
        *,
        on: On = "score",
    ) -> _F32:
        """Return the Hessian of an objective by the input, times a direction.

        It is exact for the decisions of this pass: for the score of a ReLU network it is zero, for
        its probability it is what the softmax adds.

        Parameters
        ----------
        target : TargetLike, or lists of these
            As in :meth:`explain`.
        direction : (N, C, H, W) array
            At the network's input.
        on : "score" or "probability"
            What a class stands for.

        Returns
        -------
        (N, C, H, W) array of float32
            (S, N, C, H, W) if a list of targets was given for a picture, as of :meth:`gradient`.

        Raises
        ------
        ValueError
            If the direction does not have the shape of the input, or the second derivatives of a
            :class:`gradcam.Function` are asked for that has no `hessian`.
        """
        shape = np.shape(direction)
        if shape != self.input.shape:
            raise ValueError(
                f"direction must have the shape of the input, {self.input.shape}, got {shape}"
            )
        asked = self.ask(target, on)
        found = self.hessian_products(asked, direction)
        return found if any(asked.listed) else found[0]

    def _explain(
        self,
        method: str | Method,
        target: object,
        layer: str | Sequence[str] | None,
        on: On,
        resize: Resize,
        options: dict[str, object],
    ) -> list[Explanation | list[Explanation]]:
        """Run a method; explanations nested as they were asked, for each picture."""
        found = METHODS.find(method)
        check_resize(resize)
        layers = self._layers(found, layer)
        arguments = self._arguments(found, resize, options)
        asked = self.ask(target, on)
        with notes.collected() as collected:
            evidence = self._evidence(found, asked, layers, resize, arguments)
        at = evidence.layer or ", ".join(layers) or INPUT
        made_by = found.with_options(title=found.title, **options) if options else found
        preset = self.graph.preset

        def explanation(s: int, n: int, objective: Objective) -> Explanation:
            weights = evidence.weights
            answer = objective.answer(self, n)
            return Explanation(
                method=found.name,
                title=found.title,
                view=evidence.view or found.view,
                label=answer.label,
                target=answer.target,
                score=answer.score,
                probability=answer.probability,
                layer=at,
                raw=_own(evidence.raw[s, n]),
                weights=None if weights is None else _own(weights[s, n]),
                picture=self._shown[n],
                geometry=self._geometries[n],
                resize=resize,
                channel_order=preset.channel_order if preset else "RGB",
                about=self.graph.about,
                notes=(*collected, *_silence(objective, answer, evidence.raw[s, n])),
                origin=_Origin(made_by, objective, tuple(layers), self._picture(n)),
            )

        answers = asked.arrange(explanation)
        return Explanations(
            Explanations(each) if isinstance(each, list) else each for each in answers
        )

    def _layers(self, method: Method, layer: str | Sequence[str] | None) -> list[str]:
        """Return the layers whose maps are explained; none for methods without a layer."""
        if not method.takes_layer:
            if layer is not None:
                raise TypeError(f"layer={layer!r}: no layer can be chosen for {method.name}")
            return []
        names = listed(self.graph.target_layer if layer is None else layer)
        if not names:
            raise ValueError("layer: an empty list of layers; give at least one")
        layers = list(dict.fromkeys(self.graph.names(name)[0] for name in names))
        if len(layers) > 1 and method.view != "map":
            raise ValueError(
                f"layer={layer!r}: maps of several layers are averaged only for methods of the "
                f"view 'map'; {method.name} has the view {method.view!r}"
            )
        return layers

    def _arguments(
        self, method: Method, resize: Resize, options: dict[str, object]
    ) -> dict[str, object]:
        """Return the keyword arguments of the method's function, without the layer."""
        method.check_options(options)
        return {**options, "resize": resize} if "resize" in method.parameters else dict(options)

    def _evidence(
        self,
        method: Method,
        asked: Objectives,
        layers: Sequence[str],
        resize: Resize,
        arguments: dict[str, object],
    ) -> Evidence:
        """Run the method's function: once, or for each of several layers."""
        leading = asked.count, len(self)
        if not layers:
            return checked_evidence(method, method(self, asked, **arguments), leading)
        found = [
            checked_evidence(method, method(self, asked, layer=layer, **arguments), leading)
            for layer in layers
        ]
        if len(found) == 1:
            return found[0]
        if any(each.view not in (None, "map") for each in found):
            raise ValueError(
                f"{method.name}: with these options, maps of several layers cannot be averaged: "
                f"give one layer"
            )
        return several_layers.average(found, self.size, resize)

    def _picture(self, n: int) -> _Picture:
        """Return what a pass of picture `n` alone needs."""
        if n not in self._alone:
            given = None if self._pictures is None else self._pictures[n]
            values = _own(self.input[n]) if given is None else None
            self._alone[n] = _Picture(self.graph, given, values, self._geometries[n])
        return self._alone[n]

    @cached_property
    def _shown(self) -> Sequence[NDArray[np.uint8]]:
        """The pictures that explanations are drawn over."""
        if self._pictures is not None:
            return self._pictures
        return [render(values, self.graph.preset) for values in self.input]

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *METHODS})

    if not TYPE_CHECKING:  # so that a type checker reports what is misspelled

        def __getattr__(self, name: str) -> Callable[..., object]:
            """Find a method in the registry."""
            if not name.startswith("_") and name in METHODS:
                return _bound(self, METHODS[name])
            raise AttributeError(f"a {type(self).__name__} has no attribute or method {name!r}")


class Tape(_Explaining):
    """What one forward pass of one picture recorded; returned by :meth:`Network.forward`.

    Every method is also an attribute: ``tape.grad_cam("cat")`` is
    ``tape.explain("grad_cam", "cat")``. Arrays have a batch axis of length 1.
    """

    if TYPE_CHECKING:
        saliency: PixelMethod
        deconvnet: PixelMethod
        guided_backprop: PixelMethod
        input_x_gradient: PixelMethod
        smooth_grad: PixelMethodWithOptions
        smooth_grad_squared: PixelMethodWithOptions
        var_grad: PixelMethodWithOptions
        integrated_gradients: PixelMethodWithOptions
        blur_integrated_gradients: PixelMethodWithOptions
        expected_gradients: PixelMethodWithOptions
        deep_lift: PixelMethodWithOptions
        lrp: PixelMethodWithOptions
        excitation_backprop: LayerMethod
        contrastive_excitation_backprop: LayerMethod
        grad_cam: LayerMethodWithOptions
        counterfactual: LayerMethod
        guided_grad_cam: LayerMethod
        deconv_grad_cam: LayerMethod
        cam: PixelMethod
        grad_cam_plus_plus: LayerMethodWithOptions
        x_grad_cam: LayerMethod
        hires_cam: LayerMethod
        grad_cam_elementwise: LayerMethod
        layer_cam: LayerMethod
        eigen_cam: LayerMethod
        eigen_grad_cam: LayerMethod
        smooth_grad_cam_plus_plus: LayerMethodWithOptions
        score_cam: LayerMethodWithOptions
        ablation_cam: LayerMethodWithOptions
        full_grad: PixelMethod
        occlusion: PixelMethodWithOptions
        rise: PixelMethodWithOptions

    @property
    def picture(self) -> NDArray[np.uint8]:
        """(H, W, 3), RGB: the original picture; a rendering of preprocessed input."""
        return self._shown[0]

    @property
    def geometry(self) -> Geometry:
        """How the input lies on the original picture."""
        return self._geometries[0]

    def top(self, k: int = 5) -> Decoded:
        """Return the `k` most probable classes: (synset, label, probability), as in Keras.

        They are ordered by score, which tells classes apart whose probabilities are rounded to 0.
        """
        return self.labels.decode(self.probabilities[0], k, scores=self.scores[0])

    def present(self, threshold: float = 0.5) -> Decoded:
        """Return all classes with at least this probability, the highest first.

        It is for networks that end in a sigmoid, whose classes are independent: any number of
        them can be present in a picture, or none. Each is (synset, label, probability).
        """
        return _present(self, 0, threshold)

    @overload
    def explain(  # type: ignore[overload-overlap]
        self,
        method: str | Method,
        target: TargetLike = None,
        *,
        layer: str | Sequence[str] | None = None,
        on: On = "score",
        resize: Resize = "half_pixel",
        **options: object,
    ) -> Explanation: ...
    @overload
    def explain(
        self,
        method: str | Method,
        target: Several,
        *,
        layer: str | Sequence[str] | None = None,
        on: On = "score",
        resize: Resize = "half_pixel",
        **options: object,
    ) -> list[Explanation]: ...
    def explain(
        self,
        method: str | Method,
        target: TargetLike | Several = None,
        *,
        layer: str | Sequence[str] | None = None,
        on: On = "score",
        resize: Resize = "half_pixel",
        **options: object,
    ) -> Explanation | list[Explanation]:
        """Explain the picture by a method: ``explain("grad_cam", "tiger cat")``.

        Parameters
        ----------
        method : str or Method
            A name in :data:`gradcam.METHODS`.
        target : Objective, int, str, None, or a list of these
            What to explain. A class by index, label or synset; None is the top class. A list is
            explained in one backward pass.
        layer : str or sequence of str, optional
            For methods for which a layer can be chosen: any of its names; by default the
            network's ``target_layer``. The maps of several layers are averaged: the ReLU of each
            is scaled to 0 to 1, and resized to the network's input.
        on : "score" or "probability"
            What a class stands for: its score before the softmax, or its probability after it. The
            gradient of a confident probability is close to zero.
        resize : "half_pixel", "align_corners" or "nearest"
            How maps are resized to the original picture: bilinearly, as PyTorch does with
            ``align_corners`` False or True, or to the value whose centre is nearest, PyTorch's
            "nearest-exact". The Grad-CAM paper's code uses "align_corners".
        **options
            Of the method.

        Returns
        -------
        Explanation, or a list of them if `target` is a list

        Raises
        ------
        ValueError, IndexError
            If the method, the class or the layer is unknown, or the layer has no map.
        TypeError
            If the method has no such option.
        """
        return self._explain(method, target, layer, on, resize, options)[0]

    def ask(self, target: object, on: On = "score") -> Objectives:
        """Return the objectives that `target` stands for."""
        return ask_one(target, self, on)


class BatchTape(_Explaining):
    """What one forward pass of several pictures recorded; returned by :meth:`Network.forward`.

    Answers are lists with one element for each picture. Every method is also an attribute:
    ``tape.grad_cam(["cat", "dog"])`` is ``tape.explain("grad_cam", ["cat", "dog"])``.
    """

    if TYPE_CHECKING:
        saliency: BatchPixelMethod
        deconvnet: BatchPixelMethod
        guided_backprop: BatchPixelMethod
        input_x_gradient: BatchPixelMethod
        smooth_grad: BatchPixelMethodWithOptions
        smooth_grad_squared: BatchPixelMethodWithOptions
        var_grad: BatchPixelMethodWithOptions
        integrated_gradients: BatchPixelMethodWithOptions
        blur_integrated_gradients: BatchPixelMethodWithOptions
        expected_gradients: BatchPixelMethodWithOptions
        deep_lift: BatchPixelMethodWithOptions
        lrp: BatchPixelMethodWithOptions
        excitation_backprop: BatchLayerMethod
        contrastive_excitation_backprop: BatchLayerMethod
        grad_cam: BatchLayerMethodWithOptions
        counterfactual: BatchLayerMethod
        guided_grad_cam: BatchLayerMethod
        deconv_grad_cam: BatchLayerMethod
        cam: BatchPixelMethod
        grad_cam_plus_plus: BatchLayerMethodWithOptions
        x_grad_cam: BatchLayerMethod
        hires_cam: BatchLayerMethod
        grad_cam_elementwise: BatchLayerMethod
        layer_cam: BatchLayerMethod
        eigen_cam: BatchLayerMethod
        eigen_grad_cam: BatchLayerMethod
        smooth_grad_cam_plus_plus: BatchLayerMethodWithOptions
        score_cam: BatchLayerMethodWithOptions
        ablation_cam: BatchLayerMethodWithOptions
        full_grad: BatchPixelMethod
        occlusion: BatchPixelMethodWithOptions
        rise: BatchPixelMethodWithOptions

    @property
    def pictures(self) -> Sequence[NDArray[np.uint8]]:
        """Each (H, W, 3), RGB: the original pictures; renderings of preprocessed input."""
        return self._shown

    @property
    def geometries(self) -> Sequence[Geometry]:
        """How the input lies on each original picture."""
        return self._geometries

    def top(self, k: int = 5) -> list[Decoded]:
        """Return the `k` most probable classes of each picture, as :meth:`Tape.top`."""
        return [
            self.labels.decode(probabilities, k, scores=scores)
            for probabilities, scores in zip(self.probabilities, self.scores, strict=True)
        ]

    def present(self, threshold: float = 0.5) -> list[Decoded]:
        """Return all classes of each picture with at least this probability, as Tape.present."""
        return [_present(self, n, threshold) for n in range(len(self))]

    @overload
    def explain(  # type: ignore[overload-overlap]
        self,
        method: str | Method,
        target: TargetLike | Several = None,
        *,
        layer: str | Sequence[str] | None = None,
        on: On = "score",
        resize: Resize = "half_pixel",
        **options: object,
    ) -> list[Explanation]: ...
    @overload
    def explain(
        self,
        method: str | Method,
        target: Sequence[Several],
        *,
        layer: str | Sequence[str] | None = None,
        on: On = "score",
        resize: Resize = "half_pixel",
        **options: object,
    ) -> list[list[Explanation]]: ...
    def explain(
        self,
        method: str | Method,
        target: TargetLike | Several | Sequence[Several] = None,
        *,
        layer: str | Sequence[str] | None = None,
        on: On = "score",
        resize: Resize = "half_pixel",
        **options: object,
    ) -> list[Explanation] | list[list[Explanation]]:
        """Explain every picture by a method.

        Parameters
        ----------
        method, layer, on, resize, **options
            As of :meth:`Tape.explain`.
        target : Objective, int, str, None, or a list
            One for every picture, or a list with one element for each picture, which is a target
            or a list of targets.

        Returns
        -------
        list of Explanation, one for each picture
            An element is a list if the targets of that picture were a list.

        Raises
        ------
        ValueError
            If the list does not have one element for each picture; as :meth:`Tape.explain`.
        """
        found = self._explain(method, target, layer, on, resize, options)
        return cast("list[Explanation] | list[list[Explanation]]", found)

    def ask(self, target: object, on: On = "score") -> Objectives:
        """Return the objectives that `target` stands for, for each picture."""
        return ask_batch(target, self, on)


class _Picture(NamedTuple):
    """A picture, and the network that saw it.

    Attributes
    ----------
    graph : Graph
    picture : (H, W, 3) array of uint8, or None
    input : (C, h, w) array, or None
        The preprocessed values, if there is no picture.
    geometry : Geometry
    """

    graph: Graph
    picture: NDArray[np.uint8] | None
    input: _F32 | None
    geometry: Geometry

    def forward(self) -> Tape:
        """Run the network again."""
        values, shown = self.input, None if self.picture is None else [self.picture]
        if values is None and self.picture is not None and self.graph.preset is not None:
            size = self.geometry.input
            whole = self.geometry == Geometry.straight(size, size)
            channels = self.graph.core.channels
            values, _ = prepare(self.picture, self.graph.preset, None if whole else size, channels)
        input = np.ascontiguousarray(values, np.float32)[None]
        return Tape(self.graph, run(self.graph, input), input, shown, [self.geometry])


@dataclass(frozen=True)
class _Origin:
    """What an explanation was computed from: see :class:`gradcam._results.explanation.Origin`."""

    method: Method
    objective: Objective
    layers: tuple[str, ...]
    source: _Picture

    def forward(self) -> Tape:
        """Run the forward pass of this picture again."""
        return self.source.forward()


def check_one(tape: object) -> None:
    """Raise TypeError unless it is the tape of one picture."""
    if not isinstance(tape, Tape):
        words = "one of several" if isinstance(tape, ForwardPass) else type(tape).__name__
        raise TypeError(
            f"tape: expected the tape of one picture, network.forward(picture), got {words}"
        )


def _present(forward: ForwardPass, n: int, threshold: float) -> Decoded:
    """Return the classes of picture `n` with at least this probability."""
    probabilities = forward.probabilities[n]
    count = int((probabilities >= threshold).sum())
    best = top_indices(forward.scores[n], count)
    targets = [forward.labels[index] for index in best]
    return [(each.synset, each.label, float(probabilities[each.index])) for each in targets]


def checked_evidence(method: Method, given: object, leading: tuple[int, int]) -> Evidence:
    """Check what a method's function returned, and return it as float32.

    Raises
    ------
    ValueError
        If the raw values or the weights do not have the right shape, or are not finite.
    """
    evidence = given if isinstance(given, Evidence) else Evidence(cast(_F32, given))
    view = evidence.view or method.view
    axes = "h, w" if view in OVER_PICTURE else "C, h, w"
    raw = _checked(method, view, evidence.raw, leading, axes)
    weights = evidence.weights
    if weights is not None:
        weights = _checked(method, view, weights, leading, "K")
    return evidence._replace(raw=raw, weights=weights)


def _checked(
    method: Method, view: View, given: object, leading: tuple[int, int], axes: str
) -> _F32:
    values = np.asarray(given)
    if values.dtype.kind not in "fiub":
        raise ValueError(f"the method {method.name!r} returned {values.dtype}, not real numbers")
    if values.shape[:2] != leading or values.ndim != 3 + axes.count(",") or values.size == 0:
        raise ValueError(
            f"the method {method.name!r} returned an array of shape {values.shape}; its view "
            f"{view!r} needs (S, N, {axes}) with S, N = {leading}"
        )
    values = values.astype(np.float32, copy=False)
    if not _core.all_finite(values):
        raise ValueError(f"the method {method.name!r} returned values that are not finite")
    return values


def _silence(objective: Objective, answer: Answer, raw: _F32) -> list[str]:
    """Return the note that a unit does not fire, if it is why all raw values are zero."""
    if isinstance(objective, Unit) and answer.score == 0 and not raw.any():
        return [f"The {answer.label} does not fire on this picture: its value is 0."]
    return []


def _own(values: _F32) -> _F32:
    """Return a read-only copy, so that an explanation does not hold the arrays of a batch."""
    values = values.copy()
    values.flags.writeable = False
    return values


_COMMON = """

Parameters that all methods have
--------------------------------
target, on, resize
    What to explain, what a class stands for, and how maps are resized: see `explain`.
"""


def _bound(tape: _Explaining, method: Method) -> Callable[..., object]:
    """Return ``tape.explain`` for one method, with that method's signature and documentation."""
    explain = cast(Callable[..., object], getattr(tape, "explain"))  # noqa: B009

    def call(target: object = None, **options: object) -> object:
        return explain(method, target, **options)

    call.__name__ = method.name
    call.__qualname__ = f"{type(tape).__name__}.{method.name}"
    call.__doc__ = method.documentation + _COMMON
    setattr(call, "__signature__", method.signature)  # noqa: B010
    return call


METHODS.reserve(
    [name for name in (*dir(Tape), *dir(BatchTape)) if not name.startswith("_")]
    + ["graph", "core", "input", "start", "size"]
)
