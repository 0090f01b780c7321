"""The networks that were published for Caffe, narrow, as their authors' prototxts state them."""

from __future__ import annotations

import math

import caffe_twin
import numpy as np
from caffe_files import Net

Size = tuple[int, int]


def features(net: Net, size: Size) -> int:
    """The number of values for each picture in the last blob, for pictures of this size."""
    found = caffe_twin.run(net.layers, np.zeros((1, net.channels["data"], *size)))
    return math.prod(found[net.top].shape[1:])


def _input(size: Size, batch: int = 10) -> Net:
    net = Net(3)
    net.source("Input", shape=[(batch, 3, *size)])
    return net


LRN = {"local_size": 5, "alpha": 1e-2, "beta": 0.75}  # larger alpha than published: it has effect


def alexnet(size: Size, pool_first: bool = False) -> Net:
    """AlexNet; `pool_first`: CaffeNet, which pools before it normalises."""
    net = _input(size)
    for block, (outputs, kernel, more) in enumerate(
        [(8, 11, {"stride": 4}), (12, 5, {"pad": 2, "group": 2})], 1
    ):
        net.conv(f"conv{block}", outputs, kernel, **more)
        net.relu(f"relu{block}")
        steps = [
            lambda block=block: net.add(f"norm{block}", "LRN", **LRN),
            lambda block=block: net.pool(f"pool{block}", 3, 2),
        ]
        for step in steps[::-1] if pool_first else steps:
            step()
    for block, (outputs, group) in enumerate([(12, 1), (12, 2), (8, 2)], 3):
        net.conv(f"conv{block}", outputs, 3, pad=1, group=group)
        net.relu(f"relu{block}")
    net.pool("pool5", 3, 2)
    for number in (6, 7):
        net.fc(f"fc{number}", 10, features(net, size))
        net.relu(f"relu{number}")
        net.add(f"drop{number}", "Dropout", "", net.top, dropout_ratio=0.5)
    net.fc("fc8", 5, 10)
    net.add("prob", "Softmax")
    return net


def _inception(net: Net, name: str, bottom: str) -> str:
    """A module of GoogLeNet: four branches, side by side."""

    def branch(part: str, outputs: int, kernel: int, source: str) -> str:
        top = net.conv(f"{name}/{part}", outputs, kernel, source, pad=kernel // 2)
        net.relu(f"{name}/relu_{part}")
        return top

    tops = [branch("1x1", 4, 1, bottom)]
    tops.append(branch("3x3", 6, 3, branch("3x3_reduce", 3, 1, bottom)))
    tops.append(branch("5x5", 4, 5, branch("5x5_reduce", 2, 1, bottom)))
    pooled = net.pool(f"{name}/pool", 3, 1, bottom, pad=1)
    tops.append(branch("pool_proj", 3, 1, pooled))
    top = net.add(f"{name}/output", "Concat", " ".join(tops))
    net.channels[top] = sum(net.channels[each] for each in tops)
    return top


def googlenet(size: Size) -> Net:
    """A snapshot of the training: labels, a copy (Split), two losses and the accuracy."""
    net = Net(3)
    transform = {"crop_size": size[0], "mean_value": [104.0, 117.0, 123.0], "mirror": 1}
    net.source("Data", "data label", include=0, **transform)
    net.add("label_split", "Split", "label", "label_0 label_1 label_2")
    net.top = "data"
    net.conv("conv1/7x7_s2", 6, 7, stride=2, pad=3)
    net.relu("conv1/relu_7x7")
    net.pool("pool1/3x3_s2", 3, 2)
    net.add("pool1/norm1", "LRN", **LRN)
    net.conv("conv2/3x3_reduce", 6, 1)
    net.relu("conv2/relu_3x3_reduce")
    net.conv("conv2/3x3", 8, 3, pad=1)
    net.relu("conv2/relu_3x3")
    net.add("conv2/norm2", "LRN", **LRN)
    top = net.pool("pool2/3x3_s2", 3, 2)
    top = _inception(net, "inception_3a", top)
    net.add("split", "Split", top, "a b")
    net.channels |= {"a": net.channels[top], "b": net.channels[top]}
    net.add("loss1/ave_pool", "Pooling", "a", pool=1, kernel_size=5, stride=3)
    net.conv("loss1/conv", 4, 1)
    net.fc("loss1/classifier", 5, features(net, size))
    net.add("loss1/loss", "SoftmaxWithLoss", "loss1/classifier label_0", "loss1/loss1")
    top = net.pool("pool3/3x3_s2", 3, 2, "b")
    top = _inception(net, "inception_4a", top)
    net.average("pool5/7x7_s1", global_pooling=1)
    net.add("pool5/drop_7x7_s1", "Dropout", "", net.top, dropout_ratio=0.4)
    net.fc("loss3/classifier", 5, net.channels[top])
    net.add("loss3/loss3", "SoftmaxWithLoss", "loss3/classifier label_1", "loss3/loss3")
    net.add("accuracy", "Accuracy", "loss3/classifier label_2", "accuracy")
    net.top = "loss3/classifier"
    return net


def resnet(size: Size) -> Net:
    """Batch normalisation and scale in place after each convolution, sums of two branches."""
    net = _input(size, 1)

    def unit(name: str, outputs: int, kernel: int, bottom: str = "", **more: int) -> str:
        net.conv(f"res{name}", outputs, kernel, bottom, bias_term=0, **more)
        return net.norm(f"bn{name}", f"scale{name}", use_global_stats=1)

    net.conv("conv1", 8, 7, stride=2, pad=3)
    net.norm("bn_conv1", "scale_conv1", use_global_stats=1)
    net.relu("conv1_relu")
    before = net.pool("pool1", 3, 2)
    for block, stride in (("2a", 1), ("2b", 1), ("3a", 2)):
        short = before
        if block.endswith("a"):
            short = unit(f"{block}_branch1", 12, 1, before, stride=stride)
        unit(f"{block}_branch2a", 6, 1, before, stride=stride)
        net.relu(f"res{block}_branch2a_relu")
        unit(f"{block}_branch2b", 6, 3, pad=1)
        net.relu(f"res{block}_branch2b_relu")
        last = unit(f"{block}_branch2c", 12, 1)
        net.add(f"res{block}", "Eltwise", f"{short} {last}")
        before = net.relu(f"res{block}_relu")
    net.average("pool5", global_pooling=1)
    net.fc("fc1000", 5, 12)
    net.add("prob", "Softmax")
    return net


def vgg11(size: Size) -> Net:
    net = _input(size)
    for block, (count, outputs) in enumerate([(1, 4), (1, 6), (2, 8), (2, 8), (2, 8)], 1):
        for i in range(1, count + 1):
            net.conv(f"conv{block}_{i}", outputs, 3, pad=1)
            net.relu(f"relu{block}_{i}")
        net.pool(f"pool{block}", 2, 2)
    for number in (6, 7):
        net.fc(f"fc{number}", 10, features(net, size))
        net.relu(f"relu{number}")
        net.add(f"drop{number}", "Dropout", "", net.top)
    net.fc("fc8", 5, 10)
    net.add("prob", "Softmax")
    return net


def squeezenet(size: Size) -> Net:
    """The scores are the mean of a convolution's maps."""
    net = _input(size)
    net.conv("conv1", 8, 3, stride=2)
    net.relu("relu_conv1")
    net.pool("pool1", 3, 2)
    for name in ("fire2", "fire3"):
        squeezed = net.conv(f"{name}/squeeze1x1", 3, 1)
        net.relu(f"{name}/relu_squeeze1x1")
        first = net.conv(f"{name}/expand1x1", 4, 1, squeezed)
        net.relu(f"{name}/relu_expand1x1")
        second = net.conv(f"{name}/expand3x3", 4, 3, squeezed, pad=1)
        net.relu(f"{name}/relu_expand3x3")
        top = net.add(f"{name}/concat", "Concat", f"{first} {second}")
        net.channels[top] = 8
    net.pool("pool3", 3, 2)
    net.add("drop9", "Dropout", "", net.top)
    net.conv("conv10", 5, 1)
    net.relu("relu_conv10")
    net.average("pool10", global_pooling=1)
    net.add("prob", "Softmax")
    return net


def densenet(size: Size) -> Net:
    """Batch normalisation before the convolutions, not in place."""
    net = _input(size)

    def normed(name: str, bottom: str) -> None:
        count = net.channels[bottom]
        blobs = [net.normal(count), net.rng.uniform(1, 4, count).astype(np.float32)]
        blobs.append(np.ones(1, np.float32))
        net.add(f"{name}/bn", "BatchNorm", bottom, blobs=blobs, eps=1e-5)
        blobs = [net.normal(count), net.normal(count)]
        net.add(f"{name}/scale", "Scale", "", net.top, blobs, bias_term=1)
        net.relu(f"{name.replace('conv', 'relu')}")

    net.conv("conv1", 6, 7, stride=2, pad=3, bias_term=0)
    top = net.pool("pool1", 3, 2, pad=1)
    for i in (1, 2):
        normed(f"conv2_{i}/x1", top)
        net.conv(f"conv2_{i}/x1", 8, 1, bias_term=0)
        normed(f"conv2_{i}/x2", net.top)
        new = net.conv(f"conv2_{i}/x2", 3, 3, pad=1, bias_term=0)
        joined = net.add(f"concat_2_{i}", "Concat", f"{top} {new}")
        net.channels[joined] = net.channels[top] + 3
        top = joined
    normed("conv2_blk", top)
    net.conv("conv2_blk", 6, 1, bias_term=0)
    net.average("pool2", kernel_size=2, stride=2)
    normed("conv5_blk", net.top)
    net.average("pool5", global_pooling=1)
    net.conv("fc6", 5, 1)
    return net


def mobilenet(size: Size) -> Net:
    """Depthwise convolutions as groups; fc7 is a convolution."""
    net = _input(size)
    net.conv("conv1", 8, 3, stride=2, pad=1, bias_term=0)
    net.norm("conv1/bn", "conv1/scale")
    net.relu("relu1")
    for i, (outputs, stride) in enumerate([(10, 1), (12, 2)], 1):
        inputs = net.channels[net.top]
        net.conv(f"conv2_{i}/dw", inputs, 3, group=inputs, stride=stride, pad=1, bias_term=0)
        net.norm(f"conv2_{i}/dw/bn", f"conv2_{i}/dw/scale")
        net.relu(f"relu2_{i}/dw")
        net.conv(f"conv2_{i}/sep", outputs, 1, bias_term=0)
        net.norm(f"conv2_{i}/sep/bn", f"conv2_{i}/sep/scale")
        net.relu(f"relu2_{i}/sep")
    net.average("pool6", global_pooling=1)
    net.conv("fc7", 5, 1)
    net.add("prob", "Softmax")
    return net


NETS = {
    "alexnet": (alexnet, (67, 83)),
    "caffenet": (lambda size: alexnet(size, pool_first=True), (75, 67)),
    "densenet": (densenet, (37, 44)),
    "googlenet": (googlenet, (64, 64)),
    "mobilenet": (mobilenet, (35, 48)),
    "resnet": (resnet, (50, 41)),
    "squeezenet": (squeezenet, (46, 53)),
    "vgg11": (vgg11, (64, 96)),
}
"""Each network and a size of its input."""
