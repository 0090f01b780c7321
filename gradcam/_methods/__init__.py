"""The built-in methods of explanation; importing this package registers them.

Methods are listed in the order of these imports.
"""

# isort: off
from gradcam._methods import gradients
from gradcam._methods import sampling
from gradcam._methods import paths
from gradcam._methods import deeplift
from gradcam._methods import relevance
from gradcam._methods import cam
from gradcam._methods import cam_head
from gradcam._methods import cam_family
from gradcam._methods import cam_scores
from gradcam._methods import full_grad
from gradcam._methods import perturbation
from gradcam._methods import rise

__all__ = [
    "cam",
    "cam_family",
    "cam_head",
    "cam_scores",
    "deeplift",
    "full_grad",
    "gradients",
    "paths",
    "perturbation",
    "relevance",
    "rise",
    "sampling",
]
