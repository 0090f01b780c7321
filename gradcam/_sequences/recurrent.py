"""The LSTM (Hochreiter & Schmidhuber 1997, with the forget gate of Gers et al. 2000)."""

from __future__ import annotations

import numpy as np

from gradcam import _core
from gradcam._sequences.pointwise import unbroadcast
from gradcam._sequences.products import by_weights, times
from gradcam._sequences.shapes import select
from gradcam._sequences.values import F32, Given, Value, record, value_of


def lstm(
    x: Given,
    weight_ih: Given,
    weight_hh: Given,
    bias_ih: Given | None = None,
    bias_hh: Given | None = None,
    h0: Given | None = None,
    c0: Given | None = None,
) -> tuple[Value, Value]:
    """Run one layer of an LSTM over a sequence.

    From a = W_ih x_t + b_ih + W_hh h_(t-1) + b_hh, whose rows are those of the gates i, f, g and
    o in this order, as PyTorch stores them: c_t = s(f) c_(t-1) + s(i) tanh(g) and
    h_t = s(o) tanh(c_t), s the logistic function. There are no peepholes.

    Parameters
    ----------
    x : Value or array-like
        (T, N, I), or (T, 1, I) if all N sequences are the same and only their states `h0` differ.
    weight_ih, weight_hh : Value or array-like
        (4H, I) and (4H, H).
    bias_ih, bias_hh : Value or array-like, optional
        (4H,). Default: zero.
    h0, c0 : Value or array-like, optional
        (N, H), the state before the first step. Default: zero.

    Returns
    -------
    h : Value
        (T, N, H), the output of each step.
    c : Value
        (N, H), the cell after the last step.

    Raises
    ------
    ValueError
        If the shapes do not fit.

    """
    value, by_input, by_state = value_of(x), value_of(weight_ih), value_of(weight_hh)
    steps, batch, hidden = _sizes(value, by_input, by_state, h0)
    zero = np.zeros(4 * hidden, np.float32)
    state = np.zeros((batch, hidden), np.float32)
    rest = (
        _optional(bias_ih, zero, "bias_ih"),
        _optional(bias_hh, zero, "bias_hh"),
        _optional(h0, state, "h0"),
        _optional(c0, state, "c0"),
    )
    bias = rest[0].array + rest[1].array
    given, states = times(value.array, by_input.transposed, bias), [rest[2].array, rest[3].array]
    if given.shape[1] == 1 and all((each == each[0]).all() for each in states):
        states = [each[:1] for each in states]  # copies of one sequence are computed once
    found = _core.lstm_forward(by_state.transposed, _for_each(given, len(states[0])), *states)
    gates, h, c = (_for_each(each, batch) for each in found)
    inputs = (value, by_input, by_state, *rest)
    whole = record(
        np.concatenate([h[1:], c[-1:]]),
        inputs,
        lambda gradient: _backward(gradient, gates, h, c, inputs),
    )
    return select(whole, slice(0, steps)), select(whole, steps)


def lstm_step(given: F32, weight_hh: Value, h: F32, c: F32) -> tuple[F32, F32]:
    """Run one step of an LSTM without recording it, for a search that needs no gradient.

    Parameters
    ----------
    given : ndarray of float32
        (N, 4H), W_ih x + b_ih + b_hh, which for words can be computed once.
    weight_hh : Value
        (4H, H).
    h, c : ndarray of float32
        (N, H), the state before.

    Returns
    -------
    h, c : ndarray of float32
        (N, H), the state after.

    """
    _, outputs, cells = _core.lstm_forward(weight_hh.transposed, given[None], h, c)
    return outputs[1], cells[1]


def log_softmax_step(h: F32, weight: Value, bias: Value) -> F32:
    """Return the log-softmax of ``h @ weight.T + bias`` without recording it.

    Parameters
    ----------
    h : ndarray of float32
        (N, H).
    weight, bias : Value
        (V, H) and (V,).

    Returns
    -------
    ndarray of float32
        (N, V).

    """
    return _core.softmax_rows(times(h, weight.transposed, bias.array), True)


def _for_each(x: F32, batch: int) -> F32:
    """Return one sequence (T, 1, ...) for each of N, if it is one."""
    return x if x.shape[1] == batch else np.repeat(x, batch, axis=1)


def _sizes(x: Value, weight_ih: Value, weight_hh: Value, h0: Given | None) -> tuple[int, int, int]:
    """Return T, N and H, checked."""
    if x.array.ndim != 3:
        raise ValueError(f"the input of an LSTM is (T, N, I), not {x.shape}")
    hidden = weight_hh.shape[-1] if weight_hh.array.ndim else 0
    if weight_hh.shape != (4 * hidden, hidden):
        raise ValueError(f"weight_hh is (4H, H), not {weight_hh.shape}")
    if weight_ih.shape != (4 * hidden, x.shape[2]):
        raise ValueError(
            f"weight_ih has shape {weight_ih.shape}, but {(4 * hidden, x.shape[2])} is needed "
            f"for H = {hidden} and an input of {x.shape[2]} values"
        )
    batch, states = x.shape[1], () if h0 is None else value_of(h0).shape
    return x.shape[0], states[0] if batch == 1 and states else batch, hidden


def _optional(given: Given | None, default: F32, name: str) -> Value:
    value = Value(default, False) if given is None else value_of(given)
    if value.shape != default.shape:
        raise ValueError(f"{name} has shape {value.shape}, but {default.shape} is needed")
    return value


def _backward(
    gradient: F32, gates: F32, h: F32, c: F32, inputs: tuple[Value, ...]
) -> list[F32 | None]:
    """Return the gradients by all inputs, from that by h of all steps and c of the last one."""
    x, by_input, by_state, bias_ih, bias_hh = inputs[:5]
    by_gates, by_h, by_c = _core.lstm_backward(
        by_state.array, gates, c, gradient[:-1], gradient[-1]
    )
    by_x = unbroadcast(times(by_gates, by_input.array), x) if x.needs_gradient else None
    by_weight_ih, by_bias_ih, by_bias_hh = by_weights(
        by_gates, _for_each(x.array, by_gates.shape[1]), (by_input, bias_ih, bias_hh)
    )
    (by_weight_hh,) = by_weights(by_gates, h[:-1], (by_state,))
    return [by_x, by_weight_ih, by_weight_hh, by_bias_ih, by_bias_hh, by_h, by_c]
