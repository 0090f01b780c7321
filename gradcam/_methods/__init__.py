"""The methods of explanation by name; each takes a tape and a target."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import Any

from gradcam._methods.cam import counterfactual, deconv_grad_cam, grad_cam, guided_grad_cam
from gradcam._methods.gradients import deconvnet, guided_backprop, saliency

METHODS: dict[str, Callable[..., Any]] = {
    method.__name__: method
    for method in (
        *(saliency, deconvnet, guided_backprop),
        *(grad_cam, counterfactual, guided_grad_cam, deconv_grad_cam),
    )
}


def find(name: str) -> Callable[..., Any]:
    """The method of that name; case, spaces and hyphens make no difference (``"Grad-CAM"``).

    Raises
    ------
    ValueError
        For an unknown name; the message lists the methods.
    """
    key = str(name).strip().lower().replace("-", "_").replace(" ", "_")
    if key in METHODS:
        return METHODS[key]
    near = difflib.get_close_matches(key, METHODS, n=1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    raise ValueError(f"no method is called {name!r}{hint}; there are {', '.join(METHODS)}")
