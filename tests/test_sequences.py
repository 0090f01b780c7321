"""Operations on sequences: each is compared with NumPy in float64, gradients with differences."""

from __future__ import annotations

import numpy as np
import pytest

import gradcam._sequences as seq
from gradcam import _core

RNG = np.random.default_rng


def logistic(x):
    return 1 / (1 + np.exp(-x))


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def lstm(x, w, u, b, c, h, cell):
    """Return the outputs of all steps and the last cell, stacked."""
    outputs = []
    for step in x:
        i, f, g, o = np.split(step @ w.T + b + h @ u.T + c, 4, axis=-1)
        cell = logistic(f) * cell + logistic(i) * np.tanh(g)
        h = logistic(o) * np.tanh(cell)
        outputs.append(h)
    return np.stack([*outputs, cell])


def both(h_and_c):
    """Return an LSTM's two results as one value."""
    return seq.concatenate([h_and_c[0], seq.reshape(h_and_c[1], (1, *h_and_c[1].shape))], axis=0)


LAST = (np.array([2, 0, 1, 2]), np.arange(4))
WORDS = np.array([[1, 0, 6], [1, 3, 3]])
OPERATIONS = {
    "add": (seq.add, np.add, [(4, 3), (4, 3)]),
    "add, broadcast": (seq.add, np.add, [(4, 1, 3), (5, 1)]),
    "subtract": (seq.subtract, np.subtract, [(2, 3), (3,)]),
    "multiply": (seq.multiply, np.multiply, [(3, 17), (3, 17)]),
    "multiply, broadcast": (seq.multiply, np.multiply, [(7,), (2, 3, 1)]),
    "tanh": (seq.tanh, np.tanh, [(3, 19)]),
    "sigmoid": (seq.sigmoid, logistic, [(3, 19)]),
    "relu": (seq.relu, lambda x: np.maximum(x, 0), [(3, 19)]),
    "softmax": (seq.softmax, softmax, [(2, 3, 21)]),
    "softmax of one": (seq.softmax, softmax, [(1, 1)]),
    "log_softmax": (seq.log_softmax, lambda x: np.log(softmax(x)), [(5, 33)]),
    "normalise": (
        seq.normalise,
        lambda x: x / np.linalg.norm(x, axis=-1, keepdims=True),
        [(5, 9)],
    ),
    "concatenate": (
        lambda a, b, c: seq.concatenate([a, b, c]),
        lambda a, b, c: np.concatenate([a, b, c], -1),
        [(2, 3), (2, 1), (2, 5)],
    ),
    "concatenate steps": (
        lambda a, b: seq.concatenate([a, b], axis=0),
        lambda a, b: np.concatenate([a, b]),
        [(2, 3, 4), (1, 3, 4)],
    ),
    "stack": (
        lambda a, b: seq.stack([a, b], axis=1),
        lambda a, b: np.stack([a, b], 1),
        [(2, 3), (2, 3)],
    ),
    "select a step": (lambda x: seq.select(x, 1), lambda x: x[1], [(3, 4, 5)]),
    "select steps": (lambda x: seq.select(x, slice(1, 3)), lambda x: x[1:3], [(3, 4, 5)]),
    "select last steps": (lambda x: seq.select(x, LAST), lambda x: x[LAST], [(3, 4, 5)]),
    "select twice": (
        lambda x: seq.select(x, [1, 1]),
        lambda x: x[[1, 1]],
        [(3, 4)],
    ),
    "pick": (
        lambda x: seq.pick(x, WORDS),
        lambda x: np.take_along_axis(x, WORDS[..., None], -1)[..., 0],
        [(2, 3, 7)],
    ),
    "pick one": (lambda x: seq.pick(x, 4), lambda x: x[4], [(7,)]),
    "reshape": (lambda x: seq.reshape(x, (2, -1)), lambda x: x.reshape(2, -1), [(4, 3)]),
    "transpose": (
        lambda x: seq.transpose(x, (2, 0, 1)),
        lambda x: x.transpose(2, 0, 1),
        [(2, 3, 4)],
    ),
    "embedding": (lambda w: seq.embedding(WORDS, w), lambda w: w[WORDS], [(7, 5)]),
    "linear": (seq.linear, lambda x, w, b: x @ w.T + b, [(2, 3, 9), (5, 9), (5,)]),
    "linear of a vector": (seq.linear, lambda x, w: x @ w.T, [(9,), (5, 9)]),
    "linear, no bias": (seq.linear, lambda x, w: x @ w.T, [(1, 1, 33), (17, 33)]),
    "matmul": (seq.matmul, np.matmul, [(3, 4, 5), (3, 5, 2)]),
    "matmul of matrices": (seq.matmul, np.matmul, [(4, 5), (5, 2)]),
    "matmul, broadcast": (seq.matmul, np.matmul, [(2, 1, 4, 5), (3, 5, 2)]),
    "attend": (seq.attend, lambda w, v: np.einsum("np,npd->nd", w, v), [(3, 7), (3, 7, 5)]),
    "attend to one": (seq.attend, lambda w, v: np.einsum("np,npd->nd", w, v), [(1, 1), (1, 1, 3)]),
    "maximum": (
        lambda a, b, c: seq.maximum([a, b, c]),
        lambda a, b, c: np.maximum(np.maximum(a, b), c),
        [(3, 5)] * 3,
    ),
}
for _t, _n, _i, _h in [(1, 1, 1, 1), (1, 3, 2, 5), (4, 1, 3, 7), (3, 2, 5, 17), (5, 4, 9, 16)]:
    OPERATIONS[f"lstm {_t, _n, _i, _h}"] = (
        lambda *given: both(seq.lstm(*given)),
        lstm,
        [(_t, _n, _i), (4 * _h, _i), (4 * _h, _h), (4 * _h,), (4 * _h,), (_n, _h), (_n, _h)],
    )
OPERATIONS["lstm, one sequence for several states"] = (
    lambda *given: both(seq.lstm(*given)),
    lstm,
    [(3, 1, 4), (20, 4), (20, 5), (20,), (20,), (6, 5), (6, 5)],
)


def relative(found, expected):
    return np.abs(found - expected).max() / max(np.abs(expected).max(), 1e-30)


def differences(function, arrays, seed, which, step=1e-5):
    """Return the gradient of ``sum(seed * function(*arrays))`` by one array, in float64."""
    result = np.empty_like(arrays[which])
    for place in np.ndindex(result.shape):
        sums = []
        for sign in (1, -1):
            moved = [array.copy() for array in arrays]
            moved[which][place] += sign * step
            sums.append((function(*moved) * seed).sum())
        result[place] = (sums[0] - sums[1]) / (2 * step)
    return result


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_is_that_of_numpy(name):
    operation, twin, shapes = OPERATIONS[name]
    rng = RNG(3)
    arrays = [rng.normal(size=shape).astype(np.float32) for shape in shapes]
    exact = [array.astype(np.float64) for array in arrays]
    values = [seq.variable(array) for array in arrays]
    output = operation(*values)
    expected = twin(*exact)
    assert output.array.dtype == np.float32
    assert output.shape == np.shape(expected)
    assert relative(output.array, expected) <= 1e-5

    seed = rng.normal(size=output.shape).astype(np.float32)
    found = seq.gradients(output, seed, values)
    for which, gradient in enumerate(found):
        assert gradient.dtype == np.float32
        assert gradient.shape == arrays[which].shape
        assert relative(gradient, differences(twin, exact, seed, which)) <= 1e-5, which


@pytest.mark.parametrize("name", OPERATIONS)
def test_what_needs_no_gradient_is_not_recorded(name):
    operation, _, shapes = OPERATIONS[name]
    arrays = [RNG(4).normal(size=shape).astype(np.float32) for shape in shapes]
    output = operation(*arrays)
    assert not output.needs_gradient
    mixed = operation(seq.variable(arrays[0]), *arrays[1:])
    assert mixed.needs_gradient
    assert np.array_equal(mixed.array, output.array)


def test_a_step_without_a_record_is_one_of_an_lstm():
    rng = RNG(9)
    x, h, c = (rng.normal(size=(3, size)).astype(np.float32) for size in (4, 5, 5))
    w, u, b = (rng.normal(size=shape).astype(np.float32) for shape in ((20, 4), (20, 5), (20,)))
    whole, cell = seq.lstm(x[None], w, u, b, None, h, c)
    found = seq.lstm_step(x @ w.T + b, seq.constant(u), h, c)
    assert relative(found[0], whole.array[0]) < 1e-6 and relative(found[1], cell.array) < 1e-6


def test_log_softmax_without_a_record_is_that_with_one():
    rng = RNG(3)
    h, weight, bias = (rng.normal(size=shape).astype(np.float32) for shape in ((3, 5), (9, 5), 9))
    expected = seq.log_softmax(seq.linear(h, weight, bias)).array
    found = seq.log_softmax_step(h, seq.constant(weight), seq.constant(bias))
    assert np.array_equal(found, expected)


def test_a_long_lstm_is_that_of_float64():
    rng = RNG(5)
    steps, batch, size, hidden = 20, 3, 37, 53
    shapes = [(steps, batch, size), (4 * hidden, size), (4 * hidden, hidden), (4 * hidden,)]
    shapes += [(4 * hidden,), (batch, hidden), (batch, hidden)]
    arrays = [rng.normal(size=shape).astype(np.float32) * 0.3 for shape in shapes]
    x = seq.variable(arrays[0])
    h, c = seq.lstm(x, *arrays[1:])
    expected = lstm(*(array.astype(np.float64) for array in arrays))
    assert relative(h.array, expected[:-1]) <= 1e-5
    assert relative(c.array, expected[-1]) <= 1e-5


def test_products_of_several_parts():
    rng = RNG(11)
    x, weight = (rng.normal(size=shape).astype(np.float32) for shape in [(50, 300), (900, 300)])
    bias = rng.normal(size=900).astype(np.float32)
    values = [seq.variable(each) for each in (x, weight, bias)]
    y = seq.linear(*values)
    exact = [each.astype(np.float64) for each in (x, weight, bias)]
    assert relative(y.array, exact[0] @ exact[1].T + exact[2]) <= 1e-5
    seed = rng.normal(size=y.shape).astype(np.float32)
    by_x, by_weight, by_bias = seq.gradients(y, seed, values)
    assert relative(by_x, seed.astype(np.float64) @ exact[1]) <= 1e-5
    assert relative(by_weight, seed.T.astype(np.float64) @ exact[0]) <= 1e-5
    assert relative(by_bias, seed.astype(np.float64).sum(0)) <= 1e-5
    for row in (0, 23, 24, 49):
        assert np.array_equal(seq.linear(x[row], weight, bias).array, y.array[row])


def test_sequences_of_a_batch_do_not_depend_on_each_other():
    rng = RNG(12)
    x, w, u = (rng.normal(size=s).astype(np.float32) for s in [(4, 7, 5), (44, 5), (44, 11)])
    together = seq.lstm(x, w, u)
    for n in range(7):
        h, c = seq.lstm(x[:, n : n + 1], w, u)
        assert np.array_equal(h.array[:, 0], together[0].array[:, n])
        assert np.array_equal(c.array[0], together[1].array[n])


def test_steps_one_by_one_are_those_of_the_whole():
    rng = RNG(13)
    x, w, u = (rng.normal(size=s).astype(np.float32) for s in [(4, 2, 5), (24, 5), (24, 6)])
    whole, last = seq.lstm(x, w, u)
    state = None, None
    for t in range(4):
        h, c = seq.lstm(x[t : t + 1], w, u, None, None, *state)
        state = seq.select(h, 0), c
        assert np.array_equal(state[0].array, whole.array[t])
    assert np.array_equal(c.array, last.array)


def test_a_value_that_is_used_twice_has_the_sum_of_both_gradients():
    x = seq.variable([1.0, 2.0])
    y = seq.add(seq.multiply(x, x), seq.multiply(x, [3.0, 5.0]))
    assert seq.gradients(y, [1.0, 1.0], [x])[0].tolist() == [5.0, 9.0]


def test_gradients_of_values_between_and_of_values_that_do_not_count():
    x, other = seq.variable([1.0, 2.0]), seq.variable([[7.0]])
    y = seq.multiply(x, 2.0)
    z = seq.multiply(y, y)
    by_y, by_x, by_other, by_z = seq.gradients(z, [1.0, 1.0], [y, x, other, z])
    assert by_y.tolist() == [4.0, 8.0]
    assert by_x.tolist() == [8.0, 16.0]
    assert by_other.tolist() == [[0.0]]
    assert by_z.tolist() == [1.0, 1.0]


def test_gradients_can_be_asked_for_twice():
    x = seq.variable(RNG(6).normal(size=(3, 2, 4)))
    h, _ = seq.lstm(x, RNG(7).normal(size=(12, 4)), RNG(8).normal(size=(12, 3)))
    first = seq.gradients(h, np.ones(h.shape), [x])[0]
    first_copy = first.copy()
    first[:] = 0
    assert np.array_equal(seq.gradients(h, np.ones(h.shape), [x])[0], first_copy)


def test_the_gradient_goes_to_the_first_of_equal_maxima():
    a, b = seq.variable([1.0, 2.0]), seq.variable([1.0, 3.0])
    found = seq.gradients(seq.maximum([a, b]), [5.0, 7.0], [a, b])
    assert [array.tolist() for array in found] == [[5.0, 0.0], [0.0, 7.0]]


def test_a_row_of_zeros_stays_one():
    x = seq.variable(np.zeros((1, 3)))
    y = seq.normalise(x)
    assert y.array.tolist() == [[0.0, 0.0, 0.0]]
    assert seq.gradients(y, np.ones((1, 3)), [x])[0].tolist() == [[0.0, 0.0, 0.0]]


@pytest.mark.parametrize("size", [1e-45, 1e-38, 1e-22, 1e22, 3e38])
def test_rows_of_any_size_are_normalised(size):
    row = np.array([[3.0, 4.0, 0.0]], np.float32) * np.float32(size / 4)
    x = seq.variable(row)
    y = seq.normalise(x)
    exact = row.astype(np.float64)
    norm = np.sqrt((exact**2).sum())
    if norm < 3e-39:  # its reciprocal is infinite in float32
        assert not y.array.any()
        return
    np.testing.assert_allclose(y.array[0], (exact / norm)[0], rtol=1e-6)
    unit = (exact / norm)[0]
    expected = (np.array([1.0, 0, 0]) - unit * unit[0]) / norm
    found = seq.gradients(y, [[1.0, 0, 0]], [x])[0][0]
    np.testing.assert_allclose(found * norm, expected * norm, rtol=1e-5)


def test_sequences_without_a_gradient_at_the_last_steps(fast_level):
    """The backward pass is linear: a sparse gradient and the rest of it add up to all of it."""
    rng = np.random.default_rng(2)
    steps, batch, hidden = 5, 7, 6
    weight = rng.standard_normal((4 * hidden, hidden)).astype(np.float32)
    inputs = rng.standard_normal((steps, batch, 4 * hidden)).astype(np.float32)
    gates, _, c = _core.lstm_forward(np.ascontiguousarray(weight.T), inputs)
    by_h = rng.standard_normal((steps, batch, hidden)).astype(np.float32)
    by_c = rng.standard_normal((batch, hidden)).astype(np.float32)
    kept_h, kept_c = np.zeros_like(by_h), np.zeros_like(by_c)
    for row, step in ((1, 0), (2, 3), (4, 4), (6, 1)):  # rows 0 and 3 have none at all
        kept_h[step, row] = by_h[step, row]
    kept_c[5] = by_c[5]
    parts = [
        _core.lstm_backward(weight, gates, c, *some)
        for some in ((kept_h, kept_c), (by_h - kept_h, by_c - kept_c), (by_h, by_c))
    ]
    for sparse, rest, whole in zip(*parts, strict=True):
        np.testing.assert_allclose(sparse + rest, whole, rtol=1e-5, atol=1e-5)
    by_gates, by_h0, by_c0 = parts[0]
    assert not by_gates[:, [0, 3]].any() and not by_gates[1:, 1].any()
    assert by_gates[0, 1].any() and by_gates[4, 5].any()
    assert not by_h0[[0, 3]].any() and not by_c0[[0, 3]].any() and by_h0[[1, 2, 4, 5, 6]].all()


def test_arrays_of_values_cannot_be_written():
    given = np.ones((2, 2), np.float32)
    value = seq.variable(given)
    with pytest.raises(ValueError, match="read-only"):
        value.array[0, 0] = 2
    with pytest.raises(ValueError, match="read-only"):
        seq.add(value, 1.0).array[0, 0] = 2
    given[0, 0] = 3  # the user's own array stays writable


X = np.ones((2, 3, 4), np.float32)
BAD = {
    "empty": (lambda: seq.constant(np.ones((2, 0))), "is empty"),
    "nan": (lambda: seq.variable([1.0, np.nan]), "NaN or infinite"),
    "too large for float32": (lambda: seq.variable([1e300]), "NaN or infinite"),
    "nan in weights": (lambda: seq.linear(X, np.full((2, 4), np.nan)), "NaN or infinite"),
    "shapes": (lambda: seq.add(X, np.ones(3)), "cannot be broadcast"),
    "linear": (lambda: seq.linear(X, np.ones((2, 3))), "do not fit"),
    "linear of a number": (lambda: seq.linear(1.0, np.ones((2, 1))), "do not fit"),
    "bias": (lambda: seq.linear(X, np.ones((2, 4)), np.ones(3)), "a bias of shape"),
    "matmul": (lambda: seq.matmul(X, np.ones((3, 4))), "no matrix product"),
    "matmul, first axes": (lambda: seq.matmul(X, np.ones((3, 4, 2))), "no matrix product"),
    "matmul of a vector": (lambda: seq.matmul(X, np.ones(4)), "no matrix product"),
    "attend": (lambda: seq.attend(np.ones((2, 4)), X), "are needed"),
    "softmax": (lambda: seq.softmax(1.0), "at least one axis"),
    "index": (lambda: seq.embedding([[0, 5]], np.ones((5, 2))), "index 5 is not from 0 to 4"),
    "negative": (lambda: seq.embedding([-1], np.ones((5, 2))), "index -1 is not from 0 to 4"),
    "no index": (lambda: seq.embedding(np.ones((0, 1), int), np.ones((5, 2))), "no indices"),
    "huge index": (lambda: seq.embedding([2**62], np.ones((5, 2))), "index"),
    "table": (lambda: seq.embedding([1], np.ones(5)), "table of an embedding"),
    "pick": (lambda: seq.pick(X, [[0, 1, 2]]), "for rows of shape"),
    "pick beyond": (lambda: seq.pick(np.ones((1, 3)), [3]), "index 3"),
    "pick from a number": (lambda: seq.pick(1.0, 0), "no rows"),
    "select": (lambda: seq.select(X, 2), "out of bounds"),
    "select nothing": (lambda: seq.select(X, slice(2, 2)), "nothing is selected"),
    "concatenate": (lambda: seq.concatenate([X, np.ones((2, 4))]), "cannot be concatenated"),
    "concatenate nothing": (lambda: seq.concatenate([]), "cannot be concatenated"),
    "stack": (lambda: seq.stack([X, np.ones((2, 4))]), "cannot be stacked"),
    "maximum": (lambda: seq.maximum([X, np.ones((2, 4))]), "different shapes"),
    "maximum of nothing": (lambda: seq.maximum([]), "no values"),
    "reshape": (lambda: seq.reshape(X, (5, 5)), r"24 values of shape \(2, 3, 4\) do not fill the"),
    "reshape, -1 twice": (lambda: seq.reshape(X, (-1, -1)), "at most one size may be -1"),
    "reshape, zero": (lambda: seq.reshape(X, (0, -1)), "do not fill the shape"),
    "transpose": (lambda: seq.transpose(X, (0, 1)), r"axes \(0, 1\) of values of shape"),
    "transpose twice": (lambda: seq.transpose(X, (0, 0, 1)), "each of the axes 0 to 2 is needed"),
    "transpose, the same": (lambda: seq.transpose(X, (0, 1, -2)), "needed once"),
    "transpose, beyond": (lambda: seq.transpose(X, (0, 1, 3)), "needed once"),
    "transpose nothing": (lambda: seq.transpose(X, ()), "needed once"),
    "lstm of a matrix": (lambda: seq.lstm(X[0], np.ones((8, 4)), np.ones((8, 2))), r"\(T, N, I\)"),
    "lstm, weight_ih": (lambda: seq.lstm(X, np.ones((8, 3)), np.ones((8, 2))), "weight_ih"),
    "lstm, weight_hh": (lambda: seq.lstm(X, np.ones((8, 4)), np.ones((8, 3))), "weight_hh"),
    "lstm, bias": (
        lambda: seq.lstm(X, np.ones((8, 4)), np.ones((8, 2)), np.ones(7)),
        "bias_ih has shape",
    ),
    "lstm, state": (
        lambda: seq.lstm(X, np.ones((8, 4)), np.ones((8, 2)), h0=np.ones((1, 2))),
        "h0 has shape",
    ),
    "seed": (lambda: seq.gradients(seq.variable(X), X[0], []), "the seed has shape"),
    "nan in the seed": (lambda: seq.gradients(seq.variable(X), X * np.nan, []), "NaN"),
    "constant": (
        lambda: seq.gradients(seq.variable(X), X, [seq.constant(X)]),
        "make it with variable",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_a_clear_error(name):
    call, message = BAD[name]
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: seq.constant(["a"]), "real numbers"),
        (lambda: seq.constant([1j]), "real numbers"),
        (lambda: seq.embedding([0.5], np.ones((5, 2))), "must be integers"),
        (lambda: seq.embedding([True], np.ones((5, 2))), "must be integers"),
        (lambda: seq.pick(np.ones((1, 3)), [1.0]), "must be integers"),
        (lambda: seq.reshape(X, (2.0, 12)), "sizes of a shape must be integers"),
    ],
)
def test_values_of_the_wrong_kind_are_a_type_error(call, message):
    with pytest.raises(TypeError, match=message):
        call()


ONES = [np.ones(shape, np.float32) for shape in [(2, 3), (3, 3), (1, 2, 3), (1, 3, 2), (5,)]]
ROWS = np.array([0, 2])
CORE = {
    "product, depth": lambda: _core.matrix_product(ONES[2], ONES[2]),
    "product, batch": lambda: _core.matrix_product(ONES[2], np.ones((2, 3, 2))),
    "product, bias": lambda: _core.matrix_product(ONES[2], ONES[3], ONES[4]),
    "product, axes": lambda: _core.matrix_product(ONES[0], ONES[1]),
    "product, empty": lambda: _core.matrix_product(np.ones((1, 0, 2)), ONES[2]),
    "lstm, weight": lambda: _core.lstm_forward(ONES[0], ONES[2]),
    "lstm, inputs": lambda: _core.lstm_forward(np.ones((1, 4)), ONES[2]),
    "lstm, h0": lambda: _core.lstm_forward(np.ones((1, 4)), np.ones((1, 1, 4)), ONES[0]),
    "lstm, c": lambda: _core.lstm_backward(
        np.ones((4, 1)), np.ones((2, 1, 4)), np.ones((2, 1, 1)), np.ones((2, 1, 1))
    ),
    "lstm, dh": lambda: _core.lstm_backward(
        np.ones((4, 1)), np.ones((2, 1, 4)), np.ones((3, 1, 1)), np.ones((1, 1, 1))
    ),
    "lstm, dc": lambda: _core.lstm_backward(
        np.ones((4, 1)), np.ones((1, 1, 4)), np.ones((2, 1, 1)), np.ones((1, 1, 1)), np.ones((2, 1))
    ),
    "gather": lambda: _core.gather_rows(ONES[0], ROWS),
    "gather, negative": lambda: _core.gather_rows(ONES[0], ROWS - 1),
    "scatter": lambda: _core.scatter_rows(ONES[0], ROWS, 2),
    "scatter, count": lambda: _core.scatter_rows(ONES[1], ROWS, 3),
    "scatter, no rows": lambda: _core.scatter_rows(ONES[0], ROWS, 0),
    "softmax": lambda: _core.softmax_rows(ONES[0], False, ONES[1]),
    "sum, weights": lambda: _core.weighted_sum_gradient(ONES[0], ONES[2], ONES[1]),
    "sum, gradient": lambda: _core.weighted_sum_gradient(np.ones((1, 2)), ONES[2], ONES[0]),
    "tanh": lambda: _core.tanh(ONES[0]),
}


@pytest.mark.parametrize("name", CORE)
def test_the_core_refuses_what_does_not_fit(name):
    with pytest.raises(ValueError, match=r"must have|there is no row|is empty|needs one row"):
        CORE[name]()


def test_the_core_takes_numbers_of_rows_as_they_are():
    with pytest.raises(TypeError, match="numbers must be an array of int64"):
        _core.gather_rows(ONES[0], np.array([0.0]))


def test_a_product_that_does_not_fit_into_memory():
    _core._pretend_memory(1 << 30)
    try:
        with pytest.raises(MemoryError, match="no memory for an array"):
            seq.matmul(np.ones((30_000, 1)), np.ones((1, 30_000)))
    finally:
        _core._pretend_memory(None)
