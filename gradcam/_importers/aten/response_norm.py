"""Local response normalisation (Krizhevsky et al., 2012), which PyTorch writes as operations.

``torch.nn.functional.local_response_norm`` squares the map, pads the squares along the channels,
takes their mean over `size` channels, multiplies it by alpha, adds k, raises it to beta, and
divides the map by it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from gradcam._engine.layers import Layer
from gradcam._importers.aten.arguments import Arguments
from gradcam._importers.aten.table import Site
from gradcam._importers.aten.tensors import Content, Squares
from gradcam._importers.values import Value
from gradcam._weights.tensors import WeightsError


def padded_squares(value: Value, layer: Layer | None, padding: list[int]) -> Squares | None:
    """Return squares of a map that are padded along the channels; None for any other padding.

    Parameters
    ----------
    value : Value
        What is padded.
    layer : Layer or None
        The layer that it is the output of.
    padding : list of int
        As of PyTorch: before and after the last dimension, the one before it, ...
    """
    if layer is None or layer.op != "multiply" or len(set(layer.inputs)) != 1:
        return None
    padding = [*padding, *[0] * (2 * len(value.dims) - len(padding))]
    found = {
        len(value.dims) - 1 - i // 2: (padding[i], padding[i + 1])
        for i in range(0, len(padding), 2)
        if padding[i] or padding[i + 1]
    }
    if len(found) != 1 or len(value.core) != 3:
        return None
    ((dim, (before, after)),) = found.items()
    if dim >= len(value.dims) or value.axis(dim) != "C" or min(before, after) < 0:
        return None
    squared = replace(value.arranged("NCHW"), layer=layer.inputs[0])
    return Squares(squared, before, after)


def step(op: str, squares: Squares, a: Arguments) -> Content:
    """Return what an operation makes of the squares.

    Raises
    ------
    WeightsError
        If it is not the next one of a local response normalisation.
    """
    if op not in _STEPS:
        raise WeightsError("reads squares padded along the channels, which is not supported")
    return _STEPS[op](squares, a)


def _pooled(squares: Squares, a: Arguments) -> Squares:
    kernel, stride = a.integers("kernel_size") or [], a.integers("stride")
    a.skip("padding", "ceil_mode", "count_include_pad")
    size = kernel[0] if kernel else 0
    padding = a.integers("padding") or [0]
    expected = (size // 2, (size - 1) // 2)
    if (
        math.prod(kernel) != size
        or set(stride or kernel) != {1}
        or any(padding)
        or squares.size is not None
        or (squares.before, squares.after) != expected
    ):
        raise WeightsError("pools squares in another way than a local response normalisation")
    return replace(squares, size=size)


def _scaled(squares: Squares, a: Arguments) -> Squares:
    _check(squares, squares.alpha == 1 and squares.k == 0)
    return replace(squares, alpha=a.number("other"))


def _shifted(squares: Squares, a: Arguments) -> Squares:
    _check(squares, squares.k == 0 and a.number("alpha", 1.0) == 1)
    return replace(squares, k=a.number("other"))


def _raised(squares: Squares, a: Arguments) -> Squares:
    _check(squares, True)
    return replace(squares, beta=a.number("exponent"))


def _check(squares: Squares, right: bool) -> None:
    if squares.size is None or squares.beta is not None or not right:
        raise WeightsError("changes squares in another way than a local response normalisation")


def _same(squares: Squares, a: Arguments) -> Squares:
    a.skip("size", "shape", "dim")
    return squares


_STEPS: dict[str, Callable[[Squares, Arguments], Squares]] = {
    "avg_pool3d": _pooled,
    "avg_pool2d": _pooled,
    "mul": _scaled,
    "add": _shifted,
    "pow": _raised,
    **dict.fromkeys(("view", "reshape", "squeeze", "_unsafe_view", "contiguous", "clone"), _same),
}


def divided(site: Site, value: Value, squares: Squares) -> Value:
    """Add the layer, where a map is divided by what was made of its squares."""
    value = site.builder.padded(value)
    if squares.beta is None or squares.size is None or squares.map.layer != value.layer:
        raise WeightsError("divides by a value that depends on the picture")
    found = site.builder.add(
        site.name,
        "local_response_norm",
        [value.arranged("NCHW")],
        value.core,
        size=squares.size,
        alpha=squares.alpha,
        beta=squares.beta,
        k=squares.k,
    )
    return value.of(found.layer)
