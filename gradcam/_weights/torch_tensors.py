"""Live tensors of PyTorch as arrays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

from numpy.typing import NDArray

from gradcam._weights.tensors import WeightsError

Array = NDArray[Any]


class Parameters(Mapping[str, Array]):
    """Tensors of PyTorch as arrays, converted when they are first asked for.

    A contiguous float32 tensor in the memory of the CPU is not copied: the array is the tensor.

    Parameters
    ----------
    tensors : mapping of str to torch.Tensor
    """

    def __init__(self, tensors: Mapping[str, Any]) -> None:
        self._tensors = tensors
        self._arrays: dict[str, Array] = {}

    def __getitem__(self, name: str) -> Array:
        if name not in self._arrays:
            self._arrays[name] = array_of(self._tensors[name], name)
        return self._arrays[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)


def array_of(tensor: Any, name: str) -> Array:
    """Return a tensor of PyTorch as an array: of float32 if it holds floating-point numbers.

    Raises
    ------
    WeightsError
        If it has no values in memory, or is quantised or sparse.
    """
    import torch

    tensor = tensor.detach()
    if tensor.is_quantized or tensor.layout != torch.strided or tensor.is_meta:
        kind = "has no values (meta)" if tensor.is_meta else "is quantised or sparse"
        raise WeightsError(f"the tensor {name!r} {kind}, which is not supported")
    if tensor.is_complex():
        raise WeightsError(f"the tensor {name!r} holds complex numbers, which is not supported")
    if tensor.is_floating_point():
        tensor = tensor.to(torch.float32)
    return cast(Array, tensor.cpu().resolve_neg().numpy())
