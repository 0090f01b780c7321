"""Methods whose result has the pixels of the input: one backward pass.

S is the class's score, x the network's input, R the gradient that arrives at a ReLU from above.

- saliency: dS/dx; its map is the largest absolute value over the colour channels (Simonyan,
  Vedaldi and Zisserman, 2014).
- input x gradient: x * dS/dx (Shrikumar et al., 2016).
- deconvnet: every ReLU passes back ``R * (R > 0)`` (Zeiler and Fergus, 2014).
- guided backpropagation: every ReLU passes back ``R * (R > 0) * (its input > 0)``, those between
  the fully connected layers too (Springenberg et al., 2014).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gradcam._engine.forward_pass import ForwardPass
from gradcam._engine.layers import INPUT
from gradcam._registry import method
from gradcam._results.objectives import Objectives


@method(title="Simonyan saliency", source="Simonyan et al. 2014", view="magnitude")
def saliency(tape: ForwardPass, objective: Objectives) -> NDArray[np.float32]:
    """Which pixels change the score most: the gradient of the score by the input.

    Raw values: dS/dx, (C, h, w).
    """
    return objective.gradient(tape, INPUT)


@method(title="Deconvnet", source="Zeiler & Fergus 2014", view="signed")
def deconvnet(tape: ForwardPass, objective: Objectives) -> NDArray[np.float32]:
    """The deconvolutional network's projection of the score back to the pixels.

    It uses only the pooling positions of the forward pass, not which units were active, so it
    hardly depends on the class.
    """
    return objective.gradient(tape, INPUT, "deconvnet")


@method(title="Guided backprop", source="Springenberg et al. 2014", view="signed")
def guided_backprop(tape: ForwardPass, objective: Objectives) -> NDArray[np.float32]:
    """Guided backpropagation of the score to the pixels.

    The picture is sharp, but it hardly depends on the class.
    """
    return objective.gradient(tape, INPUT, "guided")


@method(title="Input x gradient", source="Shrikumar et al. 2016", view="contribution")
def input_x_gradient(tape: ForwardPass, objective: Objectives) -> NDArray[np.float32]:
    """The preprocessed input times the gradient of the score.

    Raw values: x * dS/dx, (C, h, w). In a network of convolutions, rectifiers and poolings without
    biases they add up to the score.
    """
    return tape.input * objective.gradient(tape, INPUT)
