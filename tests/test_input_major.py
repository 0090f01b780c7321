"""Linear layers with input-major weights: the rows of inputs that are zero are not read."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from helpers import aligned

from gradcam import _core
from gradcam._weights.tensors import from_bfloat16

IN, OUT = 203, 77
STORAGES = ("float32", "float16", "bfloat16")
SPARSE = 0.6  # of layers of this size, as in csrc/layers/linear.c


def close(found: np.ndarray, expected: np.ndarray) -> None:
    """float32 against float64: 1e-5 of each value, and 1e-5 of the largest."""
    scale = np.abs(expected).max(initial=1.0)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * scale)


class Case:
    """A linear layer with a ReLU behind it, after a flatten and maybe a ReLU."""

    def __init__(self, dtype: str = "float32", *, after_relu: bool = False, inputs: int = IN):
        rng = np.random.default_rng(3)
        weight = rng.standard_normal((OUT, inputs)).astype(np.float32)
        if dtype == "float16":
            weight = weight.astype(np.float16)
        if dtype == "bfloat16":
            weight = (weight.view(np.uint32) >> 16).astype(np.uint16)
        self.inputs = inputs
        self.stored = weight
        self.weight = from_bfloat16(weight) if dtype == "bfloat16" else weight.astype(np.float32)
        self.bias = rng.standard_normal(OUT).astype(np.float32)
        builder = _core.NetworkBuilder(inputs)
        before = builder.flatten(0)
        before = builder.relu(before) if after_relu else before
        self.layer = builder.linear(before, weight, self.bias, dtype=dtype)
        self.relu = builder.relu(self.layer)
        self.core = builder.build()
        self.size = self.core.pack_bytes(self.layer, "input-major")

    def pack(self) -> np.ndarray:
        pack = aligned(self.size)
        self.core.pack(self.layer, "input-major", pack)
        return pack

    def lent(self) -> Case:
        self.core.lend_pack(self.layer, "input-major", self.pack())
        return self

    def run(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The ReLU's output, and the gradient of its sum by the input."""
        tape = self.core.forward(x.reshape(-1, self.inputs, 1, 1))
        y = tape.activation(self.relu)
        (gradient,) = tape.backward(self.relu, np.ones((1, *y.shape)), [0])
        return y, gradient.reshape(x.shape)

    def twin(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        scores = x.astype(np.float64) @ self.weight.T.astype(np.float64) + self.bias
        return np.maximum(scores, 0), (scores > 0) @ self.weight.astype(np.float64)


def inputs(*shares: float, seed: int = 0, count: int = IN) -> np.ndarray:
    """Vectors, of each of which this share is not zero."""
    rng = np.random.default_rng(seed)
    x = np.zeros((len(shares), count), np.float32)
    for row, share in zip(x, shares, strict=True):
        active = rng.permutation(count)[: round(share * count)]
        row[active] = rng.standard_normal(len(active))
    return x


BATCHES = {
    "one": (0.2,),
    "one dense": (0.9,),
    "all zeros": (0.0,),
    "sparse": (0.1, 0.3, 0.2, 0.59, 0.0),
    "dense": (0.65, 1.0, 0.8),
    "mixed": (0.9, 0.1, 0.8, 0.3, 0.2, 1.0, 0.05, 0.65, 0.59),
    "last sparse": (0.9, 0.8, 0.1),
}


@pytest.mark.parametrize("dtype", STORAGES)
@pytest.mark.parametrize("batch", BATCHES)
def test_the_float64_twin(cpu_level, batch, dtype):
    case = Case(dtype).lent()
    x = inputs(*BATCHES[batch])
    for found, expected in zip(case.run(x), case.twin(x), strict=True):
        close(found, expected)


def test_the_layout(cpu_level):
    """Each input's weights are a row; where they end, their fingerprints begin."""
    for dtype in STORAGES:
        case = Case(dtype)
        pack = case.pack()
        content = case.stored.T.tobytes()
        assert pack[: len(content)].tobytes() == content
        assert len(pack) == -(-len(content) // 64) * 64 + 8 * IN
        assert len(np.unique(pack[-8 * IN :].view(np.uint64))) == IN


def test_bits_do_not_depend_on_the_batch_or_the_threads(cpu_level):
    case = Case().lent()
    x = inputs(*BATCHES["mixed"])
    before = _core.get_num_threads()
    try:
        for threads in range(1, 5):
            _core.set_num_threads(threads)
            together = case.run(x)
            alone = [np.concatenate(each) for each in zip(*map(case.run, x[:, None]), strict=True)]
            reverse = [each[::-1] for each in case.run(x[::-1])]
            if threads == 1:
                first = together
            for found in (together, alone, reverse):
                for values, expected in zip(found, first, strict=True):
                    assert values.tobytes() == expected.tobytes()
    finally:
        _core.set_num_threads(before)


def test_which_images_use_them():
    """Rows that are not the layer's, with fingerprints that are right, show in the results."""
    shares = (0.05, 0.5, SPARSE - 0.01, SPARSE + 0.01, 0.7, 1.0)
    case = Case()
    other = Case()
    column = 5  # of no sample
    other.stored[2::5, column] += 1  # read in place
    other.weight = other.stored
    pack = other.pack()
    case.core.lend_pack(case.layer, "input-major", pack)
    x = inputs(*shares)
    x[:, column] = 1.0
    y, _ = case.run(x)
    expected = [other.twin(x)[0] if share < SPARSE else case.twin(x)[0] for share in shares]
    for i, each in enumerate(expected):
        close(y[i], each[i])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_inputs_that_are_not_finite(value):
    """A layer before overflows; the values count as not zero, and pass on as without."""
    large = np.float32(3e38)
    before = np.zeros((IN, 2), np.float32)
    before[7] = {np.inf: (large, large), -np.inf: (-large, -large)}.get(value, 0.0)
    before[8] = 1.0
    if np.isnan(value):
        before = np.concatenate([before, np.full((1, 2), large, np.float32)])
    case = Case(inputs=len(before))
    builder = _core.NetworkBuilder(2)
    first = builder.linear(builder.flatten(0), before)
    if np.isnan(value):  # inf * 0 in the affine layer
        scale = np.ones(len(before), np.float32)
        scale[-1] = 0.0
        first = builder.affine(first, scale, np.zeros_like(scale))
    layer = builder.linear(first, case.stored, case.bias)
    core = builder.build()
    x = np.full((1, 2, 1, 1), 2.0, np.float32)
    expected = core.forward(x, [first, layer])
    assert np.count_nonzero(expected.activation(first)) == 2
    assert np.isnan(expected.activation(first)).any() == np.isnan(value)
    pack = aligned(core.pack_bytes(layer, "input-major"))
    core.pack(layer, "input-major", pack)
    core.lend_pack(layer, "input-major", pack)
    found = core.forward(x, [layer]).activation(layer)
    assert not np.isfinite(found).any()
    np.testing.assert_array_equal(found, expected.activation(layer))


@pytest.mark.parametrize("dtype", STORAGES)
def test_a_damaged_row(dtype):
    """Only who uses it notices; then, and later, the layer's own weights are used."""
    case = Case(dtype)
    pack = case.pack()
    x = inputs(0.1, 0.2)
    row = int(np.flatnonzero((x[0] == 0) & (x[1] != 0))[3])
    width = case.stored.itemsize * OUT
    pack[row * width + 11] ^= 4
    case.core.lend_pack(case.layer, "input-major", pack)
    first = case.run(x[:1])[0]
    assert not case.core.pack_damaged(case.layer)
    y, _ = case.run(x)
    assert case.core.pack_damaged(case.layer)
    assert y.tobytes() == Case(dtype).run(x)[0].tobytes()
    again, _ = case.run(x[:1])
    assert again.tobytes() == y[:1].tobytes()
    close(first, again)
    assert not case.core.pack_damaged(0) and not case.core.pack_damaged(99)


def test_rows_that_changed_places():
    case = Case()
    pack = case.pack()
    content = pack[: 4 * OUT * IN].reshape(IN, -1)
    prints = pack[-8 * IN :].reshape(IN, -1)
    for rows in (content, prints):  # both, so that each row has the fingerprint of its values
        rows[[20, 30]] = rows[[30, 20]]
    case.core.lend_pack(case.layer, "input-major", pack)
    x = inputs(0.1)
    x[0, 20] = 1.0
    close(case.run(x)[0], case.twin(x)[0])
    assert case.core.pack_damaged(case.layer)


def test_a_row_is_checked_at_its_first_use_only():
    """A row that changes afterwards is not noticed: the file is the user's own."""
    case = Case()
    pack = case.pack()
    case.core.lend_pack(case.layer, "input-major", pack)
    x = inputs(0.1)
    before, _ = case.run(x)
    row = int(np.flatnonzero(x[0])[0])
    pack[row * 4 * OUT + 11] ^= 1
    assert case.run(x)[0].tobytes() != before.tobytes()
    assert not case.core.pack_damaged(case.layer)


# --- backward ---


class Chain:
    """A convolution, ReLU, max pooling, and two linear layers with a ReLU and dropout between."""

    def __init__(self) -> None:
        rng = np.random.default_rng(5)
        conv = rng.standard_normal((8, 3, 3, 3)).astype(np.float32)
        self.bias = np.full(8, -6.0, np.float32)
        self.first = rng.standard_normal((64, 8 * 12)).astype(np.float32)
        self.second = rng.standard_normal((5, 64)).astype(np.float32)
        shift = np.full(64, -4.0, np.float32)
        b = _core.NetworkBuilder(3)
        self.relu = b.relu(b.conv(0, conv, self.bias, padding=1))
        flat = b.flatten(b.max_pool(self.relu, 2))
        self.layers = [b.linear(flat, self.first, shift)]
        self.hidden = b.dropout(b.relu(self.layers[0]))
        self.layers.append(b.linear(self.hidden, self.second))
        self.core = b.build()
        self.x = rng.standard_normal((3, 3, 6, 8)).astype(np.float32)
        self.seeds = rng.standard_normal((2, 3, 5)).astype(np.float32)

    def lent(self, change=lambda layer, pack: None) -> Chain:
        for layer in self.layers:
            pack = aligned(self.core.pack_bytes(layer, "input-major"))
            self.core.pack(layer, "input-major", pack)
            change(layer, pack)
            self.core.lend_pack(layer, "input-major", pack)
        return self

    def gradient(self, rule="gradient", *, images=slice(None), sets=slice(None), wanted=0):
        tape = self.core.forward(self.x[images])
        seeds = self.seeds[sets, images]
        return tape.backward(self.layers[1], seeds, [wanted], rule)[0]


@pytest.mark.parametrize("rule", ["gradient", "guided", "deconvnet"])
def test_gradients_are_those_of_the_own_weights(cpu_level, rule):
    chain = Chain()
    share = np.mean(chain.core.forward(chain.x, [chain.hidden]).activation(chain.hidden) > 0)
    assert 0.05 < share < 0.5  # else the test shows little
    for wanted in (0, chain.relu, chain.layers[0]):
        expected = chain.gradient(rule, wanted=wanted)
        assert np.count_nonzero(expected)
        close(Chain().lent().gradient(rule, wanted=wanted), expected)


def test_gradients_that_no_relu_masks_are_complete(cpu_level):
    """Those of zero inputs, too: wanted themselves, or by deconvnet's rule."""
    chain, lent = Chain(), Chain().lent()
    tape = lent.core.forward(chain.x, [lent.hidden])
    zeros = tape.activation(lent.hidden) == 0
    found = lent.gradient(wanted=lent.hidden)
    assert np.count_nonzero(found[:, zeros]) == 2 * np.count_nonzero(zeros)
    assert found.tobytes() == chain.gradient(wanted=chain.hidden).tobytes()


def test_rows_of_zero_inputs_are_not_read_backward():
    """Wrong rows with fingerprints that are right show in the gradient only if they are used."""
    chain = Chain()
    active = chain.core.forward(chain.x[:1], [chain.hidden]).activation(chain.hidden)[0] > 0
    rows = {True: int(np.flatnonzero(active)[1]), False: int(np.flatnonzero(~active)[1])}
    found = {}
    for used, row in rows.items():
        other = Chain()
        other.second[2, row] += 1.0  # read in place, and of no sample

        pack = aligned(other.core.pack_bytes(other.layers[1], "input-major"))
        other.core.pack(other.layers[1], "input-major", pack)

        def exchange(layer, own, pack=pack, number=other.layers[1]):
            if layer == number:
                own[:] = pack

        found[used] = Chain().lent(exchange).gradient(images=slice(0, 1)).tobytes()
    right = Chain().lent().gradient(images=slice(0, 1)).tobytes()
    assert found[False] == right != found[True]


def test_gradients_do_not_depend_on_the_batch_the_sets_or_the_threads(cpu_level):
    before = _core.get_num_threads()
    chain = Chain().lent()
    together = chain.gradient()
    try:
        for threads in range(1, 4):
            _core.set_num_threads(threads)
            assert chain.gradient().tobytes() == together.tobytes()
            for image in range(3):
                one = chain.gradient(images=slice(image, image + 1))
                assert one.tobytes() == together[:, image : image + 1].tobytes()
            for number in range(2):
                one = chain.gradient(sets=slice(number, number + 1))
                assert one.tobytes() == together[number : number + 1].tobytes()
    finally:
        _core.set_num_threads(before)


def test_a_row_that_is_damaged_before_the_backward_pass():
    """The level of the forward pass had no such weights; backward, its rows are checked."""
    chain = Chain()
    expected = chain.gradient()
    tape = chain.core.forward(chain.x)

    def damage(layer, pack):
        if layer == chain.layers[0]:
            width = 4 * len(chain.first)
            pack[: 96 * width].reshape(96, width)[:, 17] ^= 1

    chain.lent(damage)
    (found,) = tape.backward(chain.layers[1], chain.seeds, [0], "gradient")
    assert chain.core.pack_damaged(chain.layers[0])
    close(found, expected)


def test_weights_of_another_layer_are_refused():
    case, other = Case(), Case()
    other.stored += 1.0
    with pytest.raises(ValueError, match="not the transformed weights of layer 2"):
        case.core.lend_pack(case.layer, "input-major", other.pack())
    keys = {each.core.pack_key(each.layer, "input-major") for each in (case, other, Case())}
    assert len(keys) == 2


def test_several_threads_use_them_for_the_first_time():
    x = inputs(0.2, 0.1, 0.3, 0.9)
    expected = Case().lent().run(x)
    for _ in range(5):
        case = Case().lent()
        with ThreadPoolExecutor(4) as pool:
            for found in pool.map(lambda _, case=case: case.run(x), range(8)):
                for values, right in zip(found, expected, strict=True):
                    assert values.tobytes() == right.tobytes()
        assert not case.core.pack_damaged(case.layer)


# --- sums over positions ---


def maps_network(dtype: str = "float32") -> tuple[_core.Network, int, int, np.ndarray]:
    rng = np.random.default_rng(0)
    builder = _core.NetworkBuilder(3)
    conv = builder.conv(0, rng.standard_normal((8, 3, 1, 1)).astype(np.float32))
    relu = builder.relu(conv)
    weight = rng.standard_normal((6, 8 * 12)).astype(np.float32)
    layer = builder.linear(builder.flatten(relu), weight.astype(dtype), dtype=dtype)
    return builder.build(), relu, layer, weight


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_sums_that_are_lent(cpu_level, dtype):
    core, relu, layer, weight = maps_network(dtype)
    sums = aligned(core.pack_bytes(layer, "sums"))
    assert len(sums) == 6 * 8 * 4
    core.pack(layer, "sums", sums)
    expected = weight.astype(dtype).astype(np.float64).reshape(6, 8, 12).sum(2)
    close(sums.view(np.float32).reshape(6, 8), expected)
    x = np.random.default_rng(1).standard_normal((2, 3, 3, 4)).astype(np.float32)
    seeds = np.ones((1, 2, 6), np.float32)
    lent = maps_network(dtype)[0]
    lent.lend_pack(layer, "sums", sums)
    found = lent.forward(x).pooled_gradient(layer, seeds, relu)
    assert found.tobytes() == core.forward(x).pooled_gradient(layer, seeds, relu).tobytes()
    sums[3] ^= 1  # of the first sum, which is compared
    with pytest.raises(ValueError, match="not the transformed weights"):
        maps_network(dtype)[0].lend_pack(layer, "sums", sums)


def test_layers_without_sums():
    builder = _core.NetworkBuilder(4)
    flat = builder.flatten(0)
    first = builder.linear(flat, np.ones((6, 4), np.float32))  # of one position
    second = builder.linear(builder.relu(first), np.ones((3, 6), np.float32))  # of units
    both = builder.linear(builder.concatenate([first, second]), np.ones((2, 9), np.float32))
    core = builder.build()
    for layer in (0, flat, first, second, both):
        assert core.pack_bytes(layer, "sums") == 0
        assert core.pack_key(layer, "sums") == 0
