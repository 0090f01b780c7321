"""Receptive fields are exact: nothing outside of them counts, and each of their edges does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import gradcam
from gradcam import Layer, Network
from gradcam._engine.receptive import Interval, read_by
from gradcam.inside._fields import flattened_map, receptive_fields


def fields_of(network, layer, size, unit=0):
    """The fields of one unit."""
    fields, which = receptive_fields(network, layer, size)
    return fields[which[unit]]


def weights(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def conv(name, channels, *inputs, side=3, out=8, groups=1, seed=0, **attributes):
    weight = weights(out, channels // groups, side, side, seed=seed)
    if groups > 1:
        attributes["groups"] = groups
    return Layer(name, "conv", inputs, {"weight": weight}, attributes)


def chain(*layers):
    end = [Layer("mean", "global_average_pool"), Layer("flat", "flatten")]
    return Network.from_layers([*layers, *end], conv="direct")


def family(name, width=8):
    """A network of a family in which no unit is 0 everywhere: its ReLUs are leaky."""
    make = getattr(gradcam, name)
    made = make(make.random_tensors(width=width, fc=8, classes=4))
    layers = [
        replace(layer, op="leaky_relu", attributes={"slope": 0.3}) if layer.op == "relu" else layer
        for layer in made.layers.values()
    ]
    return Network.from_layers(layers, labels=made.labels, conv="direct")


def pool(name, op="max_pool", *inputs, **attributes):
    return Layer(name, op, inputs, attributes=attributes)


def branches():
    """Channels 0 to 7 see 1 position of `first`, 8 to 15 see 3 x 3, 16 to 23 see 5 x 5."""
    return chain(
        conv("first", 3, padding=1),
        conv("one", 8, "first", side=1),
        conv("three", 8, "first", padding=1),
        conv("five", 8, "first", side=5, padding=2),
        Layer("joined", "concatenate", ("one", "three", "five")),
        Layer("shuffled", "channel_shuffle", attributes={"groups": 3}),
        Layer("sliced", "slice", attributes={"start": 2, "stop": 20}),
    )


NETWORKS = {
    "stride and padding": (
        lambda: chain(
            conv("a", 3, side=7, stride=2, padding=3), pool("p", kernel=3, stride=2, padding=1)
        ),
        "p",
    ),
    "dilation": (
        lambda: chain(conv("a", 3, dilation=3, padding=2), conv("b", 8, dilation=2, stride=2)),
        "b",
    ),
    "stride larger than the kernel": (
        lambda: chain(conv("a", 3, side=1, stride=3), conv("b", 8, padding=1)),
        "b",
    ),
    "ceil mode": (
        lambda: chain(
            conv("a", 3, padding=(1, 0, 2, 1)),
            pool("p", kernel=3, stride=2, ceil_mode=True),
            pool("q", "average_pool", kernel=2, stride=2, ceil_mode=True, padding=1),
        ),
        "q",
    ),
    "oblong": (
        lambda: chain(
            Layer("a", "conv", (), {"weight": weights(8, 3, 1, 5)}, {"padding": (0, 2)}),
            Layer("b", "conv", (), {"weight": weights(8, 8, 4, 2)}, {"stride": (2, 3)}),
        ),
        "b",
    ),
    "groups": (lambda: chain(conv("a", 3), conv("b", 8, groups=8, padding=1, stride=2)), "b"),
    "adaptive pooling": (
        lambda: chain(conv("a", 3), pool("p", "adaptive_average_pool", size=(5, 4))),
        "p",
    ),
    "branches": (branches, "joined"),
    "shuffled branches": (branches, "sliced"),
    "vgg11": (lambda: family("vgg11"), "pool3"),
    "resnet18": (lambda: family("resnet18"), "layer2"),
    "googlenet": (lambda: family("googlenet"), "inception4a"),
    "densenet121": (lambda: family("densenet121"), "features.denseblock1"),
    "shufflenet": (lambda: family("shufflenet_v2_x0_5", 24), "stage2.1"),
    "squeezenet": (lambda: family("squeezenet1_1"), "features.7"),
}

SIZE = 75, 58


def values_of(network, layer, x):
    return network.forward(x, keep=layer, record=False).activation(layer)[0]


def changed_at(x, rows, columns, rng, scale):
    """The input, with other values in these rows and columns."""
    changed = x.copy()
    part = changed[:, rows, columns]
    changed[:, rows, columns] = scale * rng.standard_normal(part.shape).astype(np.float32)
    return changed


def edges(box):
    x0, y0, x1, y1 = box
    yield "top", slice(y0, y0 + 1), slice(x0, x1)
    yield "bottom", slice(y1 - 1, y1), slice(x0, x1)
    yield "left", slice(y0, y1), slice(x0, x0 + 1)
    yield "right", slice(y0, y1), slice(x1 - 1, x1)


@pytest.mark.parametrize("name", NETWORKS)
def test_fields_are_exact(name):
    make, layer = NETWORKS[name]
    network, rng = make(), np.random.default_rng(1)
    layer = network.names(layer)[0]
    channels, height, width = network.shape(layer, SIZE)
    corners = {(0, 0), (height - 1, width - 1), (height // 2, width // 3)}
    for row, column in sorted(corners):
        for unit in rng.choice(channels, 3, replace=False):
            fields = fields_of(network, layer, SIZE, int(unit))
            x0, y0, x1, y1 = box = fields.box(row, column)
            x = rng.standard_normal((3, *SIZE)).astype(np.float32)
            before = values_of(network, layer, x)[unit, row, column]
            outside = changed_at(x, slice(None), slice(None), rng, 9)
            outside[:, y0:y1, x0:x1] = x[:, y0:y1, x0:x1]
            assert values_of(network, layer, outside)[unit, row, column] == before
            for edge, rows, columns in edges(box):
                assert matters(network, layer, (unit, row, column), rows, columns, rng), edge


def matters(network, layer, place, rows, columns, rng):
    """Whether a value changes with some rows and columns, on one of several inputs.

    Rectifiers and maxima can hide a change.
    """
    for scale in (3, 30, 300, 3, 30, 300, 3000, 3000, 3000, 3000):
        x = rng.standard_normal((3, *SIZE)).astype(np.float32)
        other = changed_at(x, rows, columns, rng, scale)
        before, after = (values_of(network, layer, each)[place] for each in (x, other))
        if before != after:
            return True
    return False


def test_channels_of_different_branches_have_different_fields():
    network = branches()
    sides = [fields_of(network, "joined", SIZE, unit).largest for unit in (0, 7, 8, 16)]
    assert sides == [(3, 3), (3, 3), (5, 5), (7, 7)]
    assert len(receptive_fields(network, "joined", SIZE)[0]) == 3  # computed once for many units
    # Unit n of `shuffled` is channel n % 3 * 8 + n // 3 of `joined`, and `sliced` begins at 2.
    sides = [fields_of(network, "sliced", SIZE, unit).largest for unit in (0, 1, 2)]
    assert sides == [(7, 7), (3, 3), (5, 5)]


@pytest.mark.parametrize(("size", "units"), [(3, (7, 15)), (4, (7, 16)), (5, (6, 16))])
def test_local_response_norm_reads_neighbouring_channels(size, units):
    """Channels 8 to 15 of `joined` see 5 x 5; here those beside them do, too."""
    attributes = {"size": size, "alpha": 1e-4, "beta": 0.75, "k": 1.0}
    network = chain(
        *list(branches().layers.values())[1:6],
        Layer("norm", "local_response_norm", (), {}, attributes),
    )
    first, last = units
    sides = [fields_of(network, "norm", SIZE, unit).largest[0] for unit in range(24)]
    assert sides[:first] == [3] * first and sides[first] == 5
    assert sides[last] == 7


def test_fields_of_vgg16():
    network = gradcam.pictograms.model()
    for layer, side in (("relu1_1", 3), ("pool1", 6), ("relu3_3", 40), ("relu5_3", 196)):
        assert fields_of(network, layer, (512, 512)).largest == (side, side)
    fields = fields_of(network, "relu4_3", (224, 224))
    shapes, layers = network.shapes(224, 224), list(network.layers.values())
    layers = layers[1 : network.index("relu4_3") + 1]
    for row in range(28):
        outputs = Interval(np.array([row]), np.array([row + 1]))
        read = read_by(layers, shapes, 0, "relu4_3", outputs)["input"]
        x0, y0, x1, y1 = fields.box(row, row)
        assert (y0, y1) == (x0, x1) == (read.begin[0], read.end[0])


@pytest.mark.parametrize(
    ("name", "layers"),
    [("vgg11", ["fc6", "relu7", "prob"]), ("mobilenet_v3_small", ["features.2", "avgpool"])],
)
def test_layers_that_read_the_whole_picture(name, layers):
    """Fully connected ones, and those after a global pooling or a squeeze and excitation."""
    network = family(name)
    for layer in layers:
        fields = fields_of(network, layer, (64, 96))
        assert fields.largest == (64, 96) and fields.sees.all()


def test_positions_that_see_only_padding():
    fields = fields_of(chain(conv("a", 3, side=1, padding=2)), "a", (4, 6))
    expected = np.zeros((8, 10), bool)
    expected[2:6, 2:8] = True
    np.testing.assert_array_equal(fields.sees, expected)
    assert fields.box(0, 0) == (0, 0, 0, 0) and fields.box(2, 3) == (1, 0, 2, 1)


def test_vectors_that_hold_a_map():
    network = family("vgg11")
    size = network.input_size
    assert flattened_map(network, "flatten", size) == "avgpool"
    assert flattened_map(network, "fc6", size) is None
    assert flattened_map(network, "pool5", size) is None
    assert flattened_map(family("resnet18"), "flatten", size) is None
