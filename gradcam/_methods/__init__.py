"""The built-in methods of explanation; importing this package registers them.

Methods are listed in the order of these imports.
"""

# isort: off
from gradcam._methods import gradients
from gradcam._methods import cam

__all__ = ["cam", "gradients"]
