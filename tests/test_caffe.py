"""Networks of caffemodels, compared with their layers' definitions in float64; what is refused."""

from __future__ import annotations

import caffe_nets
import caffe_twin
import numpy as np
import pytest
from caffe_files import Layer, Net, net_bytes
from wire import message, varint

import gradcam
from gradcam import WeightsError

SIZE = (14, 17)


def softmax(x: np.ndarray) -> np.ndarray:
    powers = np.exp(x - x.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def small(channels: int = 3, size: tuple[int, int] = SIZE) -> Net:
    """A net that begins with a convolution; the test adds a layer after it."""
    net = Net(channels)
    net.source("Input", shape=[(1, channels, *size)])
    net.conv("conv", 6, 3)
    return net


def ended(net: Net) -> Net:
    """The net with global pooling and scores at its end."""
    outputs = caffe_nets.features(net, SIZE) if net.channels[net.top] == 0 else 0
    assert not outputs
    net.average("mean", global_pooling=1)
    net.fc("scores", 4, net.channels[net.top])
    return net


def assert_right(net: Net, path, size=SIZE, **more) -> gradcam.Network:
    """The scores of a batch of two are those of the twin."""
    network = gradcam.load(net.write(path, **more))
    x = np.random.default_rng(1).normal(size=(2, net.channels["data"], *size)).astype(np.float32)
    expected = caffe_twin.run(net.layers, x)[net.top].reshape(2, -1)
    tape = network.forward(x, record=False)
    if net.layers[-1].type == "Softmax":
        np.testing.assert_allclose(tape.probabilities, expected, atol=2e-6)
    else:
        np.testing.assert_allclose(tape.scores, expected, rtol=1e-4, atol=1e-5)
    return network


# ------------------------------------------------------------------------ whole networks


@pytest.mark.parametrize("name", ["alexnet", "googlenet", "resnet", "squeezenet"])
def test_published_networks(name, tmp_path):
    make, size = caffe_nets.NETS[name]
    network = assert_right(make(size), tmp_path / "x", size)
    assert network.size == size
    assert network.fixed == (name == "alexnet")
    targets = {"alexnet": "relu5", "googlenet": "inception_4a/output", "resnet": "res3a_relu"}
    assert network.target_layer == targets.get(name, "relu_conv10")


def test_files_of_2014(tmp_path):
    """Layers and blobs of the old types; the input in the net itself."""
    make, size = caffe_nets.NETS["alexnet"]
    net = make(size)
    net.layers = net.layers[1:]
    inputs = [(3, "data"), *((4, n) for n in (10, 3, *size))]
    network = assert_right(net, tmp_path / "x", size, old=True, inputs=inputs)
    assert network.size == size
    shape = [(3, "data"), (8, message((1, b"".join(map(varint, (10, 3, *size))))))]
    assert assert_right(net, tmp_path / "x", size, old=True, inputs=shape).size == size


def test_names_are_those_of_the_file(tmp_path):
    make, size = caffe_nets.NETS["vgg11"]
    net = make(size)
    network = gradcam.load(net.write(tmp_path / "x"))
    stated = [layer.name for layer in net.layers if layer.name not in ("data",)]
    assert set(stated) <= {name for name in network.layers}
    assert network.target_layer == "relu5_2"
    assert network.preset.name == "caffe"
    assert "VGG's authors" in network.about
    # A rectifier in place: its layer has its own name, and the convolution's is what it was.
    x = np.random.default_rng(0).normal(size=(3, *size)).astype(np.float32)
    tape = network.forward(x, keep=["conv1_1", "relu1_1"])
    assert tape.activation("conv1_1").min() < 0 <= tape.activation("relu1_1").min()


# ------------------------------------------------------------------------ layers


POOLS = [
    {"kernel_size": 3, "stride": 2},
    {"kernel_size": 2, "stride": 2},
    {"kernel_size": 3, "stride": 2, "pad": 1},
    {"kernel_size": 2, "stride": 3, "pad": 1},
    {"kernel_size": 3, "stride": 1, "pad": 1},
    {"kernel_h": 4, "kernel_w": 2, "stride_h": 3, "stride_w": 2, "pad_h": 2, "pad_w": 0},
    {"kernel_size": 5, "stride": 3},
    {"kernel_size": 3, "stride": 2, "round_mode": 1},
    {"kernel_size": 3, "stride": 2, "round_mode": 0},
    {"kernel_size": 13, "stride": 4},
    {"kernel_size": 13, "stride": 4, "pad": 1},
]


@pytest.mark.parametrize("average", [0, 1])
@pytest.mark.parametrize("window", POOLS, ids=str)
def test_poolings_round_as_caffe(window, average, tmp_path):
    """Rounded up, and the last window cut off if it begins in the padding, on odd and even maps."""
    net = small(1)
    net.add("pool", "Pooling", pool=average, **window)
    network = assert_right(ended(net), tmp_path / "x")
    assert ("BVLC" in network.about) == ("round_mode" in window)


STEPS = {
    "ELU": {"alpha": 0.5},
    "Dropout": {"dropout_ratio": 0.3},
    "LRN": {"local_size": 3, "alpha": 0.5, "beta": 0.6, "k": 2.0},
    "Power": {"scale": -1.5, "shift": 0.25},
    "ReLU": {"negative_slope": 0.125},
    "ReLU6": {},
    "Sigmoid": {},
    "Softmax": {},
    "TanH": {},
}


@pytest.mark.parametrize("kind", STEPS)
def test_layers_of_one_input(kind, tmp_path):
    net = small()
    net.add("step", kind, "", "conv", **STEPS[kind])
    network = assert_right(ended(net), tmp_path / "x")
    assert kind in ("Power",) or "step" in network.layers


@pytest.mark.parametrize("shared", [0, 1])
def test_slopes_of_prelu(shared, tmp_path):
    net = small()
    net.add("prelu", "PReLU", blobs=[net.normal(1 if shared else 6)], channel_shared=shared)
    assert_right(ended(net), tmp_path / "x")


def test_convolutions(tmp_path):
    net = small()
    net.conv("groups", 8, 3, group=2, pad=2, stride=2)
    net.conv("dilated", 6, 3, dilation=2, pad=[1, 2])
    net.conv("wide", 6, 1, pad_h=0, pad_w=1, stride_h=1, stride_w=2)
    net.add("deep", "DepthwiseConvolution", blobs=[net.normal(6, 1, 3, 3)], kernel_size=3, pad=1,
            num_output=6, bias_term=0)  # fmt: skip
    assert_right(ended(net), tmp_path / "x")


def test_normalisation_without_a_scale_and_of_a_vector(tmp_path):
    net = small()
    net.norm("bn", eps=1e-3)
    net.relu("relu")
    net.average("mean", global_pooling=1)
    net.fc("fc", 5, 6, transpose=1)
    net.norm("bn2", "scale2")
    net.relu("relu2")
    net.fc("scores", 4, 5)
    network = assert_right(net, tmp_path / "x")
    assert "affine" not in {layer.op for layer in network.layers.values()}


def test_several_inputs_and_outputs(tmp_path):
    """Sums with coefficients, products, parts, copies, and the channels of several layers."""
    net = small()
    net.add("split", "Split", "conv", "a b c")
    net.add("sum", "Eltwise", "a b", operation=1, coeff=[0.5, -2.0])
    net.add("slice", "Slice", "c", "first second third", slice_point=[1, 4], axis=1)
    net.channels |= dict.fromkeys(("a", "b", "c", "sum"), 6)
    net.channels |= {"first": 1, "second": 3, "third": 2}
    net.add("halves", "Slice", "sum", "left right")
    net.channels |= {"left": 3, "right": 3}
    net.add("product", "Eltwise", "right second", operation=0)
    net.add("joined", "Concat", "third product first left")
    net.channels["joined"] = 9
    assert_right(ended(net), tmp_path / "x")


@pytest.mark.parametrize("kind", ["Scale", "Axpy"])
def test_channels_are_weighted(kind, tmp_path):
    """Squeeze and excitation."""
    net = small()
    net.average("mean", global_pooling=1)
    net.conv("gate", 6, 1)
    net.add("sigmoid", "Sigmoid")
    if kind == "Axpy":
        net.add("weighted", "Axpy", "sigmoid conv conv")
    else:
        net.add("flat", "Flatten")
        net.add("weighted", "Scale", "conv flat", axis=0)
    net.channels["weighted"] = 6
    net.average("mean2", global_pooling=1)
    net.fc("scores", 4, 6)
    assert_right(net, tmp_path / "x")


def test_shapes(tmp_path):
    net = small()
    net.add("permute", "Permute", order=[0, 2, 3, 1])
    net.add("back", "Permute", order=[0, 3, 1, 2])
    net.add("reshape", "Reshape", shape=[(0, 6, -1)])
    net.add("flatten", "Flatten")
    net.fc("scores", 4, 6 * 12 * 15)
    assert_right(net, tmp_path / "x")


# ------------------------------------------------------------------------ the end of the net


def test_a_snapshot_of_the_training(tmp_path):
    """The last loss counts; other losses, labels, and layers of the other phase are left out."""
    make, size = caffe_nets.NETS["googlenet"]
    net = make(size)
    net.layers.insert(1, Layer("data", "Data", "", "data label", {"crop_size": size[0]}, (), 1))
    network = gradcam.load(net.write(tmp_path / "x"), preset="caffe")
    assert not any(name.startswith("loss1") for name in network.layers)
    other = gradcam.load(tmp_path / "x", output="loss1/loss")
    assert "loss1/classifier" in other.layers and "loss3/classifier" not in other.layers
    assert gradcam.load(tmp_path / "x", output="loss1/classifier").score_layer == "loss1/classifier"


def test_what_a_file_says_of_pictures(tmp_path):
    net = small(size=(15, 15))
    transform = {"crop_size": 15, "mean_value": [1.0, 2.0, 3.0], "scale": 0.5}
    net.layers[0] = Layer("data", "Data", "", "data label", transform)
    ended(net)
    network = gradcam.load(net.write(tmp_path / "x"))
    picture = np.random.default_rng(0).integers(0, 256, (15, 15, 3), np.uint8)
    bgr = (picture[..., ::-1].transpose(2, 0, 1) - np.reshape([1, 2, 3], (3, 1, 1))) * 0.5
    np.testing.assert_allclose(
        network.forward(picture).scores,
        network.forward(bgr.astype(np.float32), input="normalised").scores,
        rtol=1e-5,
    )
    assert "resized" in network.about
    net.layers[0].parameters = {"crop_size": 15, "mean_file": "mean.binaryproto"}
    network = gradcam.load(net.write(tmp_path / "x"))
    assert "mean.binaryproto" in network.about and network.preset is None
    with pytest.raises(ValueError, match="preset"):
        network.forward(picture)


def test_grey_pictures(tmp_path):
    """LeNet's input: one channel, scaled; its size is found."""
    net = Net(1)
    net.source("Data", "data label", scale=0.00390625)
    net.conv("conv1", 4, 5)
    net.pool("pool1", 2, 2)
    net.fc("ip1", 3, 4 * 12 * 12)
    net.add("loss", "SoftmaxWithLoss", "ip1 label")
    network = gradcam.load(net.write(tmp_path / "x"))
    assert network.size == (28, 28)
    picture = np.random.default_rng(0).integers(0, 256, (28, 28), np.uint8)
    values = (picture[None] / 256).astype(np.float32)
    expected = network.forward(values, input="normalised").scores
    np.testing.assert_allclose(network.forward(picture).scores, expected, rtol=1e-6)


def test_a_head_of_several_labels(tmp_path):
    net = ended(small())
    net.add("loss", "SigmoidCrossEntropyLoss", "scores label")
    network = gradcam.load(net.write(tmp_path / "x"))
    assert network.layers[network.probability_layer].op == "sigmoid"


def two_losses(labels: str, type: str = "SoftmaxWithLoss") -> Net:
    net = ended(small())
    net.fc("others", 3, 6, "mean")
    net.add("sliced", "Slice", "label", "age gender")
    net.add("copied", "Split", "age", "age_0 age_1")
    for number, (scores, label) in enumerate(
        zip(("scores", "others"), labels.split(), strict=True)
    ):
        net.add(f"loss_{number}", type if number == 0 else "SoftmaxWithLoss", f"{scores} {label}")
    return net


def test_losses_of_different_labels_are_several_tasks(tmp_path):
    path = two_losses("age_0 gender", "SigmoidCrossEntropyLoss").write(tmp_path / "x")
    with pytest.raises(WeightsError, match=r"2 losses of different labels, .* scores, others: .*"):
        gradcam.load(path)
    for output, layer, head in (
        ("scores", "scores", "sigmoid"),
        ("loss_0", "scores", "sigmoid"),
        ("others", "others", "softmax"),
    ):
        network = gradcam.load(path, output=output)
        assert (network.score_layer, network.layers[network.probability_layer].op) == (layer, head)


def test_losses_of_the_same_label_aid_the_training(tmp_path):
    network = gradcam.load(two_losses("age_0 age_1").write(tmp_path / "x"))
    assert network.score_layer == "others" and len(network.labels) == 3
    assert "same label read scores, others: the scores are those of the last" in network.about


def test_the_size_of_the_input(tmp_path):
    """Stated, given, or found by trial."""
    net = Net(3)
    net.conv("conv", 4, 3)
    net.fc("scores", 4, 4 * 30 * 30)
    network = gradcam.load(net.write(tmp_path / "x", inputs=[(3, "data")]))
    assert network.size == (32, 32) and "32 x 32 is taken" in network.about
    assert gradcam.load(tmp_path / "x", size=32).size == (32, 32)
    with pytest.raises(WeightsError, match="InnerProduct 'scores': has weights of shape"):
        gradcam.load(tmp_path / "x", size=33)
    del net.layers[-1]
    net.fc("scores", 4, 4 * 31 * 31, "conv")
    with pytest.raises(WeightsError, match=r"give it, with size="):
        gradcam.load(net.write(tmp_path / "x", inputs=[(3, "data")]))


def test_a_chain_without_bottoms(tmp_path):
    net = ended(small())
    for layer in net.layers:
        layer.bottoms = layer.tops = ""
    network = gradcam.load(net.write(tmp_path / "x"))
    assert list(network.layers)[1:4] == ["conv", "mean", "mean.flatten"]
    assert "each reads the one before it" in network.about


# ------------------------------------------------------------------------ refused


def changed(**more) -> Net:
    net = small()
    net.add(**more)
    return ended(net)


REFUSED = {
    "unknown type": (dict(name="x", type="MVN"), "MVN 'x': layers of this type cannot"),
    "stochastic": (
        dict(name="x", type="Pooling", pool=2, kernel_size=2),
        "Pooling 'x': is a stochastic pooling",
    ),
    "maximum of layers": (
        dict(name="x", type="Eltwise", bottoms="conv conv", operation=2),
        "Eltwise 'x': takes the maximum",
    ),
    "one mean for all channels": (
        dict(name="x", type="BatchNorm", blobs=[np.ones(1)] * 3),
        "BatchNorm 'x': has 1 means and 1 variances for 6 channels",
    ),
    "one scale for all channels": (
        dict(name="x", type="Scale", blobs=[np.ones(1)]),
        "Scale 'x': has values of shape .1,. for",
    ),
    "within channels": (dict(name="x", type="LRN", norm_region=1), "LRN 'x': normalises within"),
    "even": (dict(name="x", type="LRN", local_size=4), "LRN 'x': has local_size 4"),
    "power": (dict(name="x", type="Power", power=2.0), "Power 'x': raises to the power 2"),
    "nothing in a window": (
        dict(name="x", type="Pooling", pool=0, kernel_size=1, stride=7),
        "Pooling 'x': has windows of .1, 1. with strides .7, 7., of which the last one",
    ),
    "too large a window": (
        dict(name="x", type="Pooling", pool=0, kernel_size=20, stride=2),
        "Pooling 'x': has windows of .20, 20. for a map",
    ),
    "padding": (
        dict(name="x", type="Pooling", pool=0, kernel_size=2, pad=2),
        "Pooling 'x': has windows",
    ),
    "another Caffe's parameters": (
        dict(name="x", type="Convolution", num_output=6, kernel_size=1, fuse_type=2,
             blobs=[np.ones((6, 6, 1, 1)), np.ones(6)]),
        r"Convolution 'x': .*does not have \(fields \(19,\)\)",
    ),
    "kernel": (
        dict(name="x", type="Convolution", num_output=6, kernel_size=3,
             blobs=[np.ones((6, 6, 1, 1)), np.ones(6)]),
        "Convolution 'x': has weights of shape",
    ),
    "groups": (
        dict(name="x", type="Convolution", num_output=6, kernel_size=1, group=4,
             blobs=[np.ones((6, 6, 1, 1)), np.ones(6)]),
        "Convolution 'x': has .* 4 groups",
    ),
    "biases": (
        dict(
            name="x",
            type="Convolution",
            num_output=6,
            kernel_size=1,
            blobs=[np.ones((6, 6, 1, 1)), np.ones(5)],
        ),
        "Convolution 'x': has 5 biases for 6 outputs",
    ),
    "no bias": (
        dict(name="x", type="Convolution", num_output=6, kernel_size=1,
             blobs=[np.ones((6, 6, 1, 1))]),
        "Convolution 'x': has 1 blobs of weights, expected 2",
    ),
    "statistics of the batch": (
        dict(name="x", type="BatchNorm", blobs=[np.ones(6), np.ones(6), np.ones(1)],
             use_global_stats=0, phase=1),
        "BatchNorm 'x': normalises by the mean of each batch",
    ),
    "negative variance": (
        dict(name="x", type="BatchNorm", blobs=[np.ones(6), -np.ones(6), np.ones(1)]),
        "BatchNorm 'x': has variances",
    ),
    "blobs": (
        dict(name="x", type="BatchNorm", blobs=[np.ones(6)] * 5),
        "BatchNorm 'x': has 5 blobs",
    ),
    "not finite": (
        dict(
            name="x",
            type="Scale",
            blobs=[np.array([1, 2, np.nan, 1, 1, 1])],
        ),
        "Scale 'x': has NaN or infinity in its scale",
    ),
    "several inputs": (
        dict(name="x", type="ReLU", bottoms="conv conv"),
        "ReLU 'x': reads 2 layers, expected 1",
    ),
    "coefficients": (
        dict(name="x", type="Eltwise", bottoms="conv conv", coeff=[1.0]),
        "Eltwise 'x': has 1 coefficients",
    ),
    "another input": (
        dict(name="x", type="Eltwise", bottoms="conv other"),
        "depend on 2 inputs .data, other.",
    ),
    "uneven parts": (
        dict(name="x", type="Slice", tops="x y z w"),
        "Slice 'x': cuts 6 channels into 4",
    ),
    "reshape": (
        dict(name="x", type="Reshape", shape=[(0, 7)]),
        "Reshape 'x': cannot reshape",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_layers_that_are_refused(case, tmp_path):
    parameters, words = REFUSED[case]
    with pytest.raises(WeightsError, match=words):
        gradcam.load(changed(**parameters).write(tmp_path / "x"), output="scores")


def test_statistics_of_the_batch_in_training(tmp_path):
    """A snapshot of the training: tests use the stored ones, which the network's notes say."""
    net = small()
    net.norm("bn", use_global_stats=0, phase=0)
    assert "stored means" in assert_right(ended(net), tmp_path / "x").about


def test_outputs_that_are_not_clear(tmp_path):
    net = ended(small())
    net.fc("others", 3, 6, "mean")
    path = net.write(tmp_path / "x")
    with pytest.raises(WeightsError, match=r"2 outputs \(scores, others\): choose"):
        gradcam.load(path)
    assert gradcam.load(path, output="others").score_layer == "others"
    with pytest.raises(WeightsError, match="no layer and no top"):
        gradcam.load(path, output="nothing")
    with pytest.raises(WeightsError, match="not a classifier"):
        gradcam.load(path, output="conv")


def test_too_many_layers(tmp_path):
    layers = [Layer("conv", "Convolution", "data", "x", {"num_output": 1, "kernel_size": 1},
                    (np.ones((1, 3, 1, 1)), np.ones(1)))]  # fmt: skip
    layers += [Layer(f"r{i}", "ReLU", "x", "x") for i in range(12000)]
    (tmp_path / "x").write_bytes(net_bytes(layers))
    with pytest.raises(WeightsError, match="12002 layers"):
        gradcam.load(tmp_path / "x")


# ------------------------------------------------------------------------ parts of a network


def parts(**pool) -> Net:
    """VGG-11 as an old tool may write it: names, types, blobs and a few parameters."""
    net = caffe_nets.vgg11((32, 32))
    net.layers = [layer for layer in net.layers if layer.type not in ("Input", "Softmax")]
    for layer in net.layers:
        layer.bottoms = layer.tops = ""
        if layer.type == "Convolution":
            layer.parameters = {}
        if layer.type == "Pooling":
            layer.parameters = pool
        if layer.name == "fc6":
            layer.blobs = (net.normal(10, 8 * 49), layer.blobs[1])
    return net


def test_a_known_network_by_its_names(tmp_path):
    network = gradcam.load(parts(pool=0, kernel_size=2, stride=2).write(tmp_path / "x"))
    assert network.preset.name == "caffe" and network.name == "vgg11"


def test_a_mean_that_a_known_network_states(tmp_path):
    net = parts()
    net.layers.insert(0, Layer("data", "Data", "", "data", {"mean_value": [1.0, 2.0, 3.0]}))
    assert gradcam.load(net.write(tmp_path / "x")).preset.mean == (1, 2, 3)
    net.layers[0].parameters = {"mean_file": "mean.binaryproto"}
    network = gradcam.load(net.write(tmp_path / "x"))
    assert network.preset is None and "mean.binaryproto" in network.about


@pytest.mark.parametrize(
    "pool, words",
    [
        ({"pool": 1, "kernel_size": 2, "stride": 2}, "pool AVE, where VGG-11 has max_pool"),
        ({"kernel_size": 3, "stride": 2}, r"kernel_size \(3, 3\), where VGG-11 has \(2, 2\)"),
        ({"kernel_size": 2}, r"stride \(1, 1\), where VGG-11 has \(2, 2\)"),
    ],
)
def test_what_contradicts_a_known_network(pool, words, tmp_path):
    with pytest.raises(WeightsError, match=words):
        gradcam.load(parts(**pool).write(tmp_path / "x"))


def test_a_layer_that_a_known_network_does_not_have(tmp_path):
    net = parts(kernel_size=2, stride=2)
    net.layers.insert(2, Layer("norm1", "LRN", "", "", {"local_size": 5}))
    with pytest.raises(WeightsError, match="it has 1 layers of the type LRN, where VGG-11 has 0"):
        gradcam.load(net.write(tmp_path / "x"))
