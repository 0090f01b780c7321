"""Operations on constants, such as the weights of a weight normalisation: PyTorch computes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

import numpy as np

from gradcam._importers.aten.arguments import Arguments
from gradcam._importers.aten.tensors import Array, Tensor, tensors_in
from gradcam._weights.tensors import WeightsError

_MAX_VALUES = 1 << 28
"""Values of a constant that is computed: more than the largest layer of any network has."""

_MAX_UNKNOWN = 1 << 20
"""Values of constants from which one is computed whose size is not known before."""

MAKE = {"zeros", "ones", "full", "arange", "scalar_tensor", "eye", "empty", "tensor", "linspace"}
"""Operations that make a tensor of numbers."""

_KNOWN = {
    *MAKE,
    *("abs", "add", "addmm", "amax", "amin", "arange", "argsort", "bmm", "cat", "chunk", "clamp"),
    *("clamp_min", "clamp_max", "clone", "constant_pad_nd", "cos", "cumsum", "diag", "div", "dot"),
    *("empty_like", "eq", "exp", "expand", "expand_as", "eye", "fill", "flatten", "flip", "full"),
    *("full_like", "ge", "gt", "index", "index_select", "inverse", "le", "linalg_norm", "log"),
    *("linalg_vector_norm", "linalg_qr", "linalg_inv", "linalg_solve", "lt", "matmul", "max"),
    *("maximum", "mean", "min", "minimum", "mm", "movedim", "mul", "mv", "narrow", "ne", "neg"),
    *("new_zeros", "new_ones", "new_full", "norm", "norm_except_dim", "ones_like", "outer"),
    *("pow", "prod", "reciprocal", "relu", "repeat", "roll", "round", "rsqrt", "rsub", "select"),
    *("sigmoid", "sign", "sin", "slice", "softmax", "split", "split_with_sizes", "sqrt", "square"),
    *("stack", "std", "std_mean", "sub", "sum", "tanh", "tensor_split", "tile", "tril", "triu"),
    *(
        "unbind",
        "unflatten",
        "var",
        "var_mean",
        "where",
        "zeros_like",
        "_weight_norm",
        "logical_or",
    ),
    *("_weight_norm_interface", "batch_norm", "native_batch_norm", "_native_batch_norm_legit"),
    *("linspace", "meshgrid", "gelu", "silu", "layer_norm", "linear", "broadcast_to", "trace"),
    *(
        "logical_and",
        "logical_not",
        "matrix_exp",
        "linalg_matrix_exp",
        "linalg_householder_product",
    ),
    *(
        "bitwise_and",
        "bitwise_not",
        "bitwise_or",
        "vdot",
        "std_mean",
        "conv2d",
        "softplus",
        "floor",
    ),
    *("floor_divide", "remainder", "true_divide", "trunc", "ceil"),
}
"""Operations that PyTorch may compute."""


def _same(a: Arguments) -> Array:
    return a.array("self")


def _converted(a: Arguments) -> Array:
    """Return a constant with another type."""
    array, dtype, other = a.array("self"), a.get("dtype"), a.optional_array("other")
    if dtype is None:
        return array if other is None else array.astype(other.dtype)
    name = _type_name(dtype)
    return _bfloat16(array) if name == "bfloat16" else array.astype(name)


def _float(a: Arguments) -> Array:
    return a.array("self").astype(np.float32)


def _bfloat16(array: Array) -> Array:
    """Return numbers rounded to bfloat16, as float32, ties to even."""
    bits = np.ascontiguousarray(array, np.float32).view(np.uint32).astype(np.uint64)
    rounded = ((bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000).astype(np.uint32)
    found: Array = rounded.view(np.float32)
    return np.where(np.isnan(array), np.float32("nan"), found) if array.dtype.kind == "f" else found


def _type_name(dtype: object) -> str:
    """Return PyTorch's name of a type, given by its name or by TorchScript's number."""
    name = dtype if isinstance(dtype, str) else _TYPES.get(cast(int, dtype), "")
    if name not in _TYPES.values():
        raise WeightsError("makes numbers of a type that is not supported")
    return name


def _transposed(a: Arguments) -> Array:
    return np.transpose(a.array("self"))


def _swapped(a: Arguments) -> Array:
    first, second = a.integer("dim0"), a.integer("dim1")
    return np.swapaxes(a.array("self"), first, second)


def _permuted(a: Arguments) -> Array:
    return np.transpose(a.array("self"), a.integers("dims"))


def _reshaped(a: Arguments) -> Array:
    return a.array("self").reshape(a.integers("size", "shape") or ())


def _with_dimension(a: Arguments) -> Array:
    return np.expand_dims(a.array("self"), a.integer("dim"))


def _without_dimensions(a: Arguments) -> Array:
    array, dims = a.array("self"), a.integers("dim")
    chosen = range(array.ndim) if dims is None else [dim % array.ndim for dim in dims]
    return np.squeeze(array, tuple(dim for dim in chosen if array.shape[dim] == 1))


_ARRANGED: dict[str, Callable[[Arguments], Array]] = {
    **dict.fromkeys(("detach", "alias", "contiguous", "clone", "lift"), _same),
    **dict.fromkeys(("lift_fresh", "lift_fresh_copy", "detach_"), _same),
    **dict.fromkeys(("to", "_to_copy", "type_as"), _converted),
    "float": _float,
    "t": _transposed,
    "transpose": _swapped,
    "permute": _permuted,
    **dict.fromkeys(("view", "reshape", "_unsafe_view", "_reshape_alias"), _reshaped),
    "unsqueeze": _with_dimension,
    "squeeze": _without_dimensions,
}
"""Operations that only arrange a tensor, which need no PyTorch."""

_NUMBERS: dict[str, Callable[[Array], object]] = {
    **dict.fromkeys(
        ("item", "Int", "Float", "Bool", "IntImplicit", "FloatImplicit"), np.ndarray.item
    ),
    **dict.fromkeys(("ScalarImplicit", "_local_scalar_dense"), np.ndarray.item),
    "dim": lambda array: array.ndim,
    "numel": lambda array: array.size,
    "len": len,
    "is_floating_point": lambda array: array.dtype.kind == "f",
}
"""Operations whose result is a number."""


def call(name: str, arguments: Mapping[str, object]) -> object:
    """Return the result of an operation on constants.

    Raises
    ------
    WeightsError
        If it is unknown, cannot be computed, or its result would be too large.
    """
    try:
        if name in _NUMBERS:
            return _number(_NUMBERS[name](next(_arrays(arguments))))
        if name in ("size", "sym_size"):
            return _size(arguments)
        if name in _ARRANGED:
            return Tensor(_ARRANGED[name](Arguments(arguments)))
        return _computed(name, arguments)
    except WeightsError:
        raise
    except ImportError:
        raise
    except Exception as error:  # PyTorch raises errors of many types
        words = " ".join(str(error).split())
        raise WeightsError(f"of constants cannot be computed ({words:.200})") from None


def _arrays(arguments: Mapping[str, object]) -> Any:
    for argument in arguments.values():
        for tensor in tensors_in(argument):
            yield tensor.read()


def _number(found: object) -> object:
    if not isinstance(found, (bool, int, float)):
        raise WeightsError(f"makes a {type(found).__name__}, expected a number")
    return found


def _size(arguments: Mapping[str, object]) -> object:
    shape = list(next(_arrays(arguments)).shape)
    dim = arguments.get("dim")
    return shape if dim is None else shape[int(dim)]  # type: ignore[call-overload]


def _computed(name: str, arguments: Mapping[str, object]) -> object:
    """Return what PyTorch computes."""
    base = name.rstrip("_") if name not in _KNOWN else name
    if base not in _KNOWN:
        raise WeightsError("of constants is not supported")
    if base != name:
        raise WeightsError("changes a constant in place, which is not supported")
    try:
        import torch
    except ImportError:
        raise ImportError(
            f"PyTorch is needed to compute the constants of this model ({name}): pip install torch"
        ) from None
    operation = getattr(torch.ops.aten, base)
    given = {key: value for key, value in arguments.items() if key not in _PLACES}
    with torch.no_grad():
        _check_size(operation, given)
        return _from_torch(
            operation(**{key: _for_torch(each, "cpu", key) for key, each in given.items()})
        )


_PLACES = ("layout", "device", "pin_memory", "memory_format")
"""Arguments that say where and how a tensor is stored."""


def _check_size(operation: Any, arguments: Mapping[str, object]) -> None:
    """Raise WeightsError if the result would be very large, from the shapes alone."""
    given = {key: _for_torch(value, "meta", key) for key, value in arguments.items()}
    makes = not any(True for _ in _arrays(arguments))
    try:
        found = operation(**given, device="meta") if makes else operation(**given)
    except Exception:  # an operation whose shape depends on values, or a wrong call
        if sum(array.size for array in _arrays(arguments)) > _MAX_UNKNOWN:
            raise WeightsError("of constants is not supported for tensors of this size") from None
        return
    results = found if isinstance(found, (list, tuple)) else [found]
    if sum(getattr(each, "numel", lambda: 0)() for each in results) > _MAX_VALUES:
        raise WeightsError("makes a constant that is too large")


_TYPES = {0: "uint8", 1: "int8", 2: "int16", 3: "int32", 4: "int64", 5: "float16", 6: "float32",
          7: "float64", 11: "bool", 15: "bfloat16"}  # fmt: skip
"""PyTorch's types by the numbers that TorchScript has for them."""


def _for_torch(value: object, device: str = "cpu", key: str = "") -> Any:
    import torch

    if key == "dtype" and value is not None:
        return getattr(torch, _type_name(value))
    if isinstance(value, Tensor):
        array = cast(Array, value.read())
        if device == "meta":
            return torch.empty(array.shape, dtype=torch.tensor(array.flat[:0]).dtype, device=device)
        return torch.tensor(array)
    if isinstance(value, (list, tuple)):
        return [_for_torch(each, device) for each in value]
    return value


def _from_torch(found: Any) -> object:
    import torch

    if isinstance(found, torch.Tensor):
        return Tensor(found.detach().numpy())
    if isinstance(found, (list, tuple)):
        return [_from_torch(each) for each in found]
    return found
