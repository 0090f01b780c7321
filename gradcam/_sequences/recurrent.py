"""The LSTM (Hochreiter & Schmidhuber 1997, with the forget gate of Gers et al. 2000)."""

from __future__ import annotations

import numpy as np

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
        (T, N, I).
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
    steps, batch, hidden = _sizes(value, by_input, by_state)
    zero = np.zeros(4 * hidden, np.float32)
    state = np.zeros((batch, hidden), np.float32)
    rest = (
        _optional(bias_ih, zero, "bias_ih"),
        _optional(bias_hh, zero, "bias_hh"),
        _optional(h0, state, "h0"),
        _optional(c0, state, "c0"),
    )
    inputs = (value, by_input, by_state, *rest)
    gates, h, c = _forward(*(each.array for each in inputs))
    whole = record(
        np.concatenate([h[1:], c[-1:]]),
        inputs,
        lambda gradient: _backward(gradient, gates, h, c, inputs),
    )
    return select(whole, slice(0, steps)), select(whole, steps)


def _sizes(x: Value, weight_ih: Value, weight_hh: Value) -> tuple[int, int, int]:
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
    return x.shape[0], x.shape[1], hidden


def _optional(given: Given | None, default: F32, name: str) -> Value:
    value = Value(default, False) if given is None else value_of(given)
    if value.shape != default.shape:
        raise ValueError(f"{name} has shape {value.shape}, but {default.shape} is needed")
    return value


def _forward(
    x: F32, weight_ih: F32, weight_hh: F32, bias_ih: F32, bias_hh: F32, h0: F32, c0: F32
) -> tuple[F32, F32, F32]:
    """Return the gates (T, N, 4, H), and h and c of each step, those before the first at 0."""
    before = x @ weight_ih.T + (bias_ih + bias_hh)
    gates = np.empty((len(x), len(h0), 4, h0.shape[1]), np.float32)
    h = np.concatenate([h0[None], np.empty_like(gates[:, :, 0])])
    c = np.concatenate([c0[None], np.empty_like(gates[:, :, 0])])
    for t in range(len(x)):
        a = (before[t] + h[t] @ weight_hh.T).reshape(gates[t].shape)
        gates[t] = 0.5 * (1 + np.tanh(0.5 * a))
        gates[t, :, 2] = np.tanh(a[:, 2])
        i, f, g, o = gates[t].swapaxes(0, 1)
        c[t + 1] = f * c[t] + i * g
        h[t + 1] = o * np.tanh(c[t + 1])
    return gates, h, c


def _backward(
    gradient: F32, gates: F32, h: F32, c: F32, inputs: tuple[Value, ...]
) -> list[F32 | None]:
    """Return the gradients by all inputs, from that by h of all steps and c of the last one."""
    x, weight_ih, weight_hh = (value.array for value in inputs[:3])
    by_gates = np.empty_like(gates)
    by_h, by_c = np.zeros_like(h[0]), gradient[-1]
    for t in reversed(range(len(gates))):
        i, f, g, o = gates[t].swapaxes(0, 1)
        by_h = by_h + gradient[t]
        s = np.tanh(c[t + 1])
        by_c = by_c + by_h * o * (1 - s * s)
        by_gates[t, :, 0] = by_c * g * i * (1 - i)
        by_gates[t, :, 1] = by_c * c[t] * f * (1 - f)
        by_gates[t, :, 2] = by_c * i * (1 - g * g)
        by_gates[t, :, 3] = by_h * s * o * (1 - o)
        by_h = by_gates[t].reshape(len(by_h), -1) @ weight_hh
        by_c = by_c * f
    flat = by_gates.reshape(-1, weight_ih.shape[0])
    bias = flat.sum(axis=0)
    return [
        (flat @ weight_ih).reshape(x.shape),
        flat.T @ x.reshape(len(flat), -1),
        flat.T @ h[:-1].reshape(len(flat), -1),
        bias,
        bias,
        by_h,
        by_c,
    ]
