"""The built-in methods of explanation; importing this package registers them."""

# isort: off  (methods are listed in the order in which they are registered)
from gradcam._methods import cam, gradients

__all__ = ["cam", "gradients"]
