"""The built-in methods of explanation; importing this package registers them."""

from __future__ import annotations

from gradcam._methods import cam, gradients

__all__ = ["cam", "gradients"]
