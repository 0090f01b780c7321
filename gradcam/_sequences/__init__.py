"""Recurrent networks over the C core: values that remember how they were computed.

A captioner or a question answerer reads what a picture network computed and adds words. Its
operations are functions of values; :func:`gradients` goes back through them and gives the gradient
by the picture's code or map, which a backward pass through the picture network then continues.
All arrays are float32; sequences have time first, (T, N, ...).
"""

from __future__ import annotations

from gradcam._sequences.pointwise import add, maximum, multiply, relu, sigmoid, subtract, tanh
from gradcam._sequences.products import attend, embedding, linear, matmul
from gradcam._sequences.recurrent import log_softmax_step, lstm, lstm_step
from gradcam._sequences.rows import log_softmax, normalise, softmax
from gradcam._sequences.shapes import concatenate, pick, reshape, select, stack, transpose
from gradcam._sequences.values import Given, Value, constant, gradients, variable

__all__ = [
    "Given",
    "Value",
    "add",
    "attend",
    "concatenate",
    "constant",
    "embedding",
    "gradients",
    "linear",
    "log_softmax",
    "log_softmax_step",
    "lstm",
    "lstm_step",
    "matmul",
    "maximum",
    "multiply",
    "normalise",
    "pick",
    "relu",
    "reshape",
    "select",
    "sigmoid",
    "softmax",
    "stack",
    "subtract",
    "tanh",
    "transpose",
    "variable",
]
