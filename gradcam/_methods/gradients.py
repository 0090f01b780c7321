"""Methods that answer in the pixels of the input: one backward pass, under three rules.

S_c is the class's score, x the network's input, R the gradient that arrives at a ReLU from above.

- saliency: dS_c/dx; its map is the greatest absolute value over the colour channels
  (Simonyan, Vedaldi and Zisserman, 2014).
- deconvnet: every ReLU passes ``R * (R > 0)`` (Zeiler and Fergus, 2014).
- guided backpropagation: every ReLU passes ``R * (R > 0) * (its input > 0)``, those between the
  fully connected layers too (Springenberg et al., 2014).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gradcam import _core
from gradcam._engine.layers import INPUT
from gradcam._results.explanation import On, Resize

if TYPE_CHECKING:
    from gradcam._engine.tape import Tape


def saliency(
    tape: Tape, target: Any = None, *, on: On = "score", resize: Resize = "half_pixel"
) -> Any:
    """The gradient of a class's score by the input: which pixels change it most, at a small step.

    Parameters
    ----------
    target : None, int, str, or a list of these
        None: the top class of each picture. Index, label or synset: that class. For one picture
        a list is several classes, in one backward pass; for a batch it has one element for each
        picture, each a class or a list of classes.
    on : "score" or "probability"
        Explain the score before the softmax, or the probability after it. The gradient of a
        confident probability is close to zero.
    resize : "half_pixel", "align_corners" or "nearest"
        How the map is laid on the original picture.

    Returns
    -------
    Explanation, or lists of them nested as `target` and the batch are
    """
    return _explain(tape, target, "saliency", "gradient", on, resize)


def deconvnet(
    tape: Tape, target: Any = None, *, on: On = "score", resize: Resize = "half_pixel"
) -> Any:
    """The deconvolutional network's projection of a class's score back to the pixels.

    Parameters and result as :func:`saliency`. Of the forward pass it knows the pooling positions
    only, not which units were active, so it hardly depends on the class.
    """
    return _explain(tape, target, "deconvnet", "deconvnet", on, resize)


def guided_backprop(
    tape: Tape, target: Any = None, *, on: On = "score", resize: Resize = "half_pixel"
) -> Any:
    """Guided backpropagation of a class's score to the pixels.

    Parameters and result as :func:`saliency`. Sharp, but hardly dependent on the class.
    """
    return _explain(tape, target, "guided_backprop", "guided", on, resize)


def _explain(tape: Tape, target: Any, method: str, rule: _core.Rule, on: On, resize: Resize) -> Any:
    request = tape.request(target)
    raw = tape.class_gradients(request, [INPUT], rule, on)[0]
    return tape.explanations(request, method, raw, layer=INPUT, resize=resize)
