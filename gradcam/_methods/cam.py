"""Class activation maps by gradients: Grad-CAM (Selvaraju et al., 2017) and what is built on it.

A^k are the maps of a convolutional layer, u x v positions; S_c is the class's score.

    alpha_k = 1/(u v) * sum over positions of dS_c/dA^k
    L = ReLU(sum_k alpha_k A^k)

The counterfactual map takes -dS_c/dA^k: what speaks against the class. Guided Grad-CAM is
guided backpropagation times L resized to the input; Deconv Grad-CAM the same with the deconvnet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradcam import _core
from gradcam._engine.layers import INPUT
from gradcam._results.explanation import On, Resize, check_resize
from gradcam._results.objectives import Request

if TYPE_CHECKING:
    from gradcam._engine.tape import Tape


def grad_cam(
    tape: Tape,
    target: Any = None,
    *,
    layer: str | None = None,
    on: On = "score",
    resize: Resize = "half_pixel",
) -> Any:
    """Where in the picture a layer found what speaks for a class.

    Parameters
    ----------
    target : None, int, str, or a list of these
        None: the top class of each picture. Index, label or synset: that class. For one picture
        a list is several classes, in one backward pass; for a batch it has one element for each
        picture, each a class or a list of classes.
    layer : str, optional
        Any layer with a spatial map, by any of its names; the network's ``target_layer`` by
        default (VGG: the last rectified map before the last pooling).
    on : "score" or "probability"
        Explain the score before the softmax, or the probability after it. The gradient of a
        confident probability is close to zero.
    resize : "half_pixel", "align_corners" or "nearest"
        How the map is laid on the original picture. The paper's code uses "align_corners".

    Returns
    -------
    Explanation, or lists of them nested as `target` and the batch are
        ``.raw`` is (u, v), before the ReLU; ``.weights`` are the alpha_k.

    Raises
    ------
    ValueError
        For an unknown layer or class, or a layer without a spatial map.
    """
    cams = _cams(tape, target, layer, on, sign=1)
    return cams.explanations(tape, "grad_cam", cams.raw, resize)


def counterfactual(
    tape: Tape,
    target: Any = None,
    *,
    layer: str | None = None,
    on: On = "score",
    resize: Resize = "half_pixel",
) -> Any:
    """Where in the picture a layer found what speaks against a class.

    Parameters and result as :func:`grad_cam`; the weights are those of the negated gradient.
    """
    cams = _cams(tape, target, layer, on, sign=-1)
    return cams.explanations(tape, "counterfactual", cams.raw, resize)


def guided_grad_cam(
    tape: Tape,
    target: Any = None,
    *,
    layer: str | None = None,
    on: On = "score",
    resize: Resize = "half_pixel",
) -> Any:
    """Guided backpropagation where Grad-CAM is high: fine detail that tells classes apart.

    Parameters as :func:`grad_cam`. ``.raw`` is the (C, h, w) product, ``.weights`` the alpha_k.
    """
    return _fine(tape, target, "guided_grad_cam", "guided", layer, on, resize)


def deconv_grad_cam(
    tape: Tape,
    target: Any = None,
    *,
    layer: str | None = None,
    on: On = "score",
    resize: Resize = "half_pixel",
) -> Any:
    """The deconvnet's projection where Grad-CAM is high.

    Parameters as :func:`grad_cam`. ``.raw`` is the (C, h, w) product, ``.weights`` the alpha_k.
    """
    return _fine(tape, target, "deconv_grad_cam", "deconvnet", layer, on, resize)


class _Cams(NamedTuple):
    """The maps of every class asked: weights (S, N, K), raw (S, N, u, v), before the ReLU."""

    request: Request
    layer: str
    weights: NDArray[np.float32]
    raw: NDArray[np.float32]

    def explanations(
        self, tape: Tape, method: str, raw: NDArray[np.float32], resize: Resize
    ) -> Any:
        return tape.explanations(
            self.request, method, raw, layer=self.layer, weights=self.weights, resize=resize
        )


def _cams(tape: Tape, target: Any, layer: str | None, on: On, sign: int) -> _Cams:
    name = tape.network.names(tape.network.target_layer if layer is None else layer)[0]
    shape = tape.shape(name)
    if len(shape) != 3 or shape[1] * shape[2] == 1:
        raise ValueError(
            f"layer {name!r} has no spatial map (its shape is {shape}), so there is nothing to "
            f"lay on the picture: choose a convolution, ReLU or pooling before it, for example "
            f"{tape.network.target_layer!r}"
        )
    request = tape.request(target)
    weights = sign * tape.class_weights(request, name, on)
    maps = tape.activation(name)
    raw = np.stack([_core.weighted_sum(one, maps) for one in weights])
    return _Cams(request, name, weights, raw)


def _fine(
    tape: Tape,
    target: Any,
    method: str,
    rule: _core.Rule,
    layer: str | None,
    on: On,
    resize: Resize,
) -> Any:
    check_resize(resize)
    cams = _cams(tape, target, layer, on, sign=1)
    gradients = tape.class_gradients(cams.request, [INPUT], rule, on)[0]
    maps = _core.resize(np.maximum(cams.raw, 0), tape.input.shape[2:], resize)
    return cams.explanations(tape, method, gradients * maps[:, :, None], resize)
