"""The C core: networks, tapes and the few array operations that explanations need.

All arrays are C-contiguous float32 unless said otherwise; other real dtypes and strides
are converted. Forward and backward passes and array operations release the GIL; a signal handler
that raises, such as that of Ctrl-C, ends them within a fraction of a second. Layers are
numbered in the order in which they were added; layer 0 is the input. Weights are read in place:
do not change or resize an array that a network was built from.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal, final

import numpy as np
from numpy.typing import ArrayLike, NDArray

_F32 = NDArray[np.float32]
_Pair = int | tuple[int, int]
_Padding = _Pair | tuple[int, int, int, int]
"""On all sides; (vertical, horizontal); or (top, left, bottom, right)."""
_Progress = Callable[[float], object] | None
Rule = str | tuple[str, dict[str, Any]]
"""A row of the table of rules by its name, or its name with parameters: epsilon, gamma, alpha,
beta, bias, and low and high, the bounds of each channel."""
PackKind = Literal["forward", "backward", "input-major", "sums"]
"""Transformed weights: of a 3x3 convolution, for each direction; of a linear layer."""

Method = Literal["half_pixel", "align_corners", "nearest"]

@final
class NetworkBuilder:
    """Builds a :class:`Network`, layer by layer; each method returns the new layer's number."""

    def __new__(cls, channels: int) -> NetworkBuilder: ...
    def conv(
        self,
        input: int,
        weight: ArrayLike,
        bias: ArrayLike | None = None,
        *,
        stride: _Pair = 1,
        padding: _Padding = 0,
        dilation: _Pair = 1,
        groups: int = 1,
        exact: bool = False,
    ) -> int:
        """exact: by its definition, never by Winograd's algorithm."""
    def linear(
        self,
        input: int,
        weight: ArrayLike,
        bias: ArrayLike | None = None,
        *,
        dtype: Literal["float32", "float16", "bfloat16"] = "float32",
    ) -> int:
        """dtype: how the weights are stored; arithmetic is in float32.

        float16 takes an array of float16, bfloat16 its bits in an array of uint16: neither is
        converted. All values must be finite.
        """
    def relu(self, input: int) -> int: ...
    def relu6(self, input: int) -> int:
        """``min(max(x, 0), 6)``."""
    def max_pool(
        self,
        input: int,
        kernel: _Pair,
        *,
        stride: _Pair | None = None,
        padding: _Padding = 0,
        ceil_mode: bool = False,
    ) -> int: ...
    def average_pool(
        self,
        input: int,
        kernel: _Pair,
        *,
        stride: _Pair | None = None,
        padding: _Padding = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor: int | None = None,
    ) -> int:
        """A sum is divided by `divisor`, or by the number of positions of its window.

        The padding is counted or not; what lies beyond it, in ceil mode, never is.
        """
    def adaptive_average_pool(self, input: int, size: _Pair) -> int: ...
    def global_max_pool(self, input: int) -> int:
        """The maximum of each channel, as a map of one position."""
    def affine(self, input: int, scale: ArrayLike, shift: ArrayLike) -> int:
        """Per-channel ``scale * x + shift``: batch normalisation at inference."""
    def local_response_norm(
        self, input: int, size: int, *, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
    ) -> int:
        """``x / (k + alpha / size * sum of squares) ** beta`` over `size` neighbouring channels.

        From channel c - size // 2 on, of a map.
        """
    def layer_norm(
        self, input: int, weight: ArrayLike, bias: ArrayLike | None = None, *, eps: float = 1e-6
    ) -> int:
        """Of a map over the channels of each position, of a vector over all its values."""
    def softmax(self, input: int) -> int: ...
    def log_softmax(self, input: int) -> int:
        """The logarithm of the softmax."""
    def clip(self, input: int, low: float, high: float) -> int:
        """min(max(x, low), high); low < high, either may be infinite."""
    def leaky_relu(self, input: int, slope: float = 0.01) -> int: ...
    def prelu(self, input: int, weight: ArrayLike) -> int:
        """weight: the slopes of negative values, (C,) or (1,)."""
    def elu(self, input: int, alpha: float = 1.0) -> int: ...
    def sigmoid(self, input: int) -> int:
        """Each value by itself, of a vector or a map: heads with one output, or several labels."""
    def hard_sigmoid(self, input: int) -> int:
        """x / 6 + 1 / 2, between 0 and 1."""
    def silu(self, input: int) -> int:
        """x * sigmoid(x)."""
    def hard_swish(self, input: int) -> int:
        """x * hard_sigmoid(x)."""
    def tanh(self, input: int) -> int: ...
    def gelu(self, input: int, approximate: bool = False) -> int:
        """x times the normal distribution function; approximate: by tanh, as in PyTorch."""
    def flatten(self, input: int) -> int: ...
    def dropout(self, input: int) -> int:
        """Identity: dropout does nothing at inference, but keeps its name in the network."""
    def add(self, inputs: Sequence[int]) -> int: ...
    def concatenate(self, inputs: Sequence[int]) -> int: ...
    def multiply(self, inputs: Sequence[int]) -> int:
        """Product of two inputs of one shape, or of a map and one factor for each channel.

        The factors are a vector or a map of one position; they may come first or second.
        """
    def slice(self, input: int, start: int, stop: int) -> int:
        """The channels from start up to, but not including, stop."""
    def channel_shuffle(self, input: int, groups: int) -> int:
        """The channels as a matrix of `groups` rows, transposed."""
    def build(self) -> Network: ...

@final
class Network:
    """An immutable network: its graph and its weights. Shared freely between threads."""

    @property
    def channels(self) -> int: ...
    def __len__(self) -> int: ...
    def shapes(self, height: int, width: int) -> list[tuple[int, ...]]:
        """Shape of each layer's output without the batch axis: (C, H, W) or (F,).

        ValueError, naming the layer, where the picture is too small.
        """
    def forward(
        self,
        input: ArrayLike,
        keep: Sequence[int] = (),
        until: int | None = None,
        record: bool = True,
        start: int = 0,
        size: _Pair | None = None,
        progress: _Progress = None,
    ) -> Tape:
        """Run the network on ``input`` (N, C, H, W) and record what backward passes need.

        keep: layers whose output can be read from the tape. The last layer computed is
        always kept. until: stop after this layer (default: the last one). record: False
        leaves out what backward passes need; they are refused then.

        start: run only the layers above this one, on its output for each picture: ``input`` is
        (N, C, H, W), or (N, F) if that output is a vector. The layer ``start`` itself counts as
        computed: it can be kept, and gradients with respect to it can be wanted; the layers below
        it do not. size: (height, width) of the pictures, or an int if both are equal. It is
        required if ``start`` is above 0; with ``start=0`` it must agree with ``input``.

        progress: called in this thread, at most every 50 ms, with the share of the work that is
        done, 0 to 1. An exception that it raises ends the pass.

        ValueError if ``input`` is not finite or does not have the shape of layer ``start`` for
        pictures of this size, if ``until`` or a layer of ``keep`` is below ``start``, or if a
        layer that is needed reads a layer that ``start`` neither is nor feeds.
        """

    def pack_bytes(self, layer: int, kind: PackKind) -> int:
        """Bytes of a layer's transformed weights at the active level; 0 if it has none."""
    def pack_key(self, layer: int, kind: PackKind) -> int:
        """A number, 64 bits, that is another one for other weights or another layout.

        Of a linear layer's weights, only a sample is read.
        """
    def pack(self, layer: int, kind: PackKind, out: NDArray[np.uint8]) -> None:
        """Make a layer's transformed weights in `out`: pack_bytes of them, aligned to 64 bytes."""
    def lend_pack(self, layer: int, kind: PackKind, pack: NDArray[np.uint8]) -> None:
        """Let passes use these transformed weights in place; they must not change any more.

        They are not used, and not kept alive, if the network has some for this level already.
        ValueError where a sample of them is not what the layer's weights give.
        """
    def pack_damaged(self, layer: int) -> bool:
        """Whether a pass found a row of lent input-major weights that has changed.

        Its results are right: it used the layer's own weights, and so do all later passes.
        """

@final
class Tape:
    """What one forward pass of one batch recorded. Immutable."""

    @property
    def batch(self) -> int: ...
    @property
    def kept(self) -> tuple[int, ...]: ...
    def shape(self, layer: int) -> tuple[int, ...]: ...
    def activation(self, layer: int) -> _F32:
        """A copy of the output of ``layer``, (N, C, H, W) or (N, F).

        KeyError if it was not kept, ValueError if it was not computed.
        """
    def backward(
        self,
        layer: int,
        seeds: ArrayLike,
        wanted: Sequence[int],
        rule: Rule | list[Rule] = "gradient",
        progress: _Progress = None,
    ) -> list[_F32]:
        """Gradients of sum(seeds[s, n] * output of ``layer``[n]), one array for each layer wanted.

        seeds: (S, N, C, H, W) or (S, N, F). Returns arrays (S, N, *shape of the wanted layer).
        A wanted layer that does not feed ``layer`` has gradient zero. rule: one for all layers, or
        a list with one for each; a rule of relevance needs the inputs of convolutions, linear
        layers, sums and average poolings, KeyError if they were not kept. progress: as of
        :meth:`Network.forward`.
        """
    def pooled_gradient(
        self,
        layer: int,
        seeds: ArrayLike,
        wanted: int,
        rule: str = "gradient",
        progress: _Progress = None,
    ) -> _F32:
        """The mean over positions of the gradient by one layer, (S, N, C).

        As ``channel_mean(backward(layer, seeds, [wanted], rule)[0])``, but where only poolings lie
        between the layer wanted and a linear layer, from sums of that layer's weights, which are
        made at their first use and kept.
        """
    def seconds(self) -> list[float]:
        """What each layer took forward; 0 where it ran in the step of the layer before it."""
    def backward_seconds(
        self,
        layer: int,
        seeds: ArrayLike,
        wanted: Sequence[int],
        rule: Rule | list[Rule] = "gradient",
        progress: _Progress = None,
    ) -> list[float]:
        """What each layer takes in :meth:`backward`; 0 where another ran it."""
    def algorithms(self, backward: bool = False) -> list[str]:
        """The algorithm that each layer runs with; "" where there is only one."""
    def conversions(self) -> list[int]:
        """How many inputs each layer reads in another layout than the one they are written in.

        They are copied; the backward pass copies their gradients.
        """

def resize(
    maps: ArrayLike,
    size: tuple[int, int],
    method: Method = "half_pixel",
    region: tuple[float, float, float, float] | None = None,
) -> _F32:
    """Resize the last two axes bilinearly, or to the value whose centre is nearest (PyTorch's
    "nearest-exact"), float32.

    region: (top, left, bottom, right) of the output, in pixels, which the map covers; 0
    outside. Default: the whole output.
    """

def channel_mean(maps: ArrayLike) -> _F32:
    """(..., C, H, W) -> (..., C): the mean over positions."""

def weighted_sum(weights: ArrayLike, maps: ArrayLike) -> _F32:
    """(N, C), (N, C, H, W) -> (N, H, W): sum over channels of weight times map, signed."""

def weighted_sum_gradient(
    weights: ArrayLike, maps: ArrayLike, gradient: ArrayLike
) -> tuple[_F32, _F32]:
    """(N, C), (N, C, P), (N, P): the gradients of a weighted sum by its weights and maps."""

def matrix_product(a: ArrayLike, b: ArrayLike, bias: ArrayLike | None = None) -> _F32:
    """(B, M, K), (B, K, N), (N,) -> (B, M, N): products of matrices; b finite.

    The values of a row are the same bits for any number of other rows.
    """

def lstm_forward(
    weight: ArrayLike, inputs: ArrayLike, h0: ArrayLike | None = None, c0: ArrayLike | None = None
) -> tuple[_F32, _F32, _F32]:
    """An LSTM from what its inputs add to the gates i, f, g and o; gates, h and c.

    weight: (H, 4H), the transpose of the recurrent weights. inputs: (T, N, 4H). h0, c0: (N, H).
    Returns the sums of the gates (T, N, 4H), h and c (T + 1, N, H), the first of them h0 and c0.
    """

def lstm_backward(
    weight: ArrayLike, gates: ArrayLike, c: ArrayLike, dh: ArrayLike, dc: ArrayLike | None = None
) -> tuple[_F32, _F32, _F32]:
    """The gradients by the inputs (T, N, 4H), h0 and c0 (N, H) of :func:`lstm_forward`.

    weight: (4H, H), not transposed. gates, c: as :func:`lstm_forward` returned them. dh, dc: the
    gradients by h of each step, (T, N, H), and by c of the last one, (N, H).
    """

def gather_rows(table: ArrayLike, numbers: NDArray[np.intp]) -> _F32:
    """(V, E), (R,) -> (R, E): rows of a table; ValueError if there is no such row."""

def scatter_rows(gradient: ArrayLike, numbers: NDArray[np.intp], rows: int) -> _F32:
    """(R, E), (R,) -> (rows, E): the gradient of :func:`gather_rows` by its table."""

def sigmoid(x: ArrayLike) -> tuple[_F32, _F32]:
    """The logistic function of each value, (R,), and its derivative."""

def tanh(x: ArrayLike) -> tuple[_F32, _F32]:
    """The hyperbolic tangent of each value, (R,), and its derivative."""

def softmax_rows(x: ArrayLike, logarithm: bool, gradient: ArrayLike | None = None) -> _F32:
    """The softmax of each row of (R, V), or its logarithm; with a gradient, that by x."""

def fingerprints(
    data: NDArray[np.uint8], piece: int, numbers: NDArray[np.intp]
) -> NDArray[np.uint64]:
    """Fingerprints of pieces of `data`, `piece` bytes each, computed by all threads.

    A fingerprint is a number that changes with the content; it finds accidental changes.
    """

def all_finite(array: ArrayLike) -> bool: ...
def cpu_levels() -> tuple[str, ...]:
    """Kernel levels that this machine runs, slowest first: reference, baseline, ..."""

def cpu_level() -> str: ...
def set_cpu_level(level: str) -> None: ...
def blas_config() -> str: ...
def get_num_threads() -> int:
    """Threads that a pass may use.

    Those set, else GRADCAM_NUM_THREADS, else the processors that this process may use, within the
    limit of its control group.
    """

def set_num_threads(threads: int) -> None:
    """Let a pass use up to that many threads, 1 to 256."""

def measure_peak(threads: int) -> float:
    """GFLOP/s of multiplications and additions on registers, at the active level.

    The sum of the speeds of the threads, each in its own processor time: time that other processes
    take does not count. Takes about 20 ms.
    """

def measure_bandwidth(threads: int) -> float:
    """GB/s read from memory, from a buffer that no cache holds; measured like the peak."""

def available_memory() -> int | None:
    """Bytes that this process can still take; None where that cannot be known.

    What the machine has available without swapping, within the limits of the control groups, less
    a small reserve. What needs more raises MemoryError before it is written.
    """

def release_memory() -> None:
    """Give back to the system what is kept between passes.

    The working memory of a pass, at most 512 MB, is kept for the next one, which then need not
    wait for the system to clear fresh pages. This gives it back, from all threads; what networks
    and tapes hold stays, and the next pass takes its memory anew.
    """

def _pretend_memory(bytes: int | None) -> None:
    """For tests: as if no more than that were available; None ends it."""

def _fail_allocations_after(successes: int) -> None:
    """For tests: the next ``successes`` allocations of this thread's core calls succeed, all
    later ones fail; a negative number ends that."""

def _live_allocations() -> int:
    """For tests: blocks that the core holds, over all threads."""

__version__: str
