"""Checkpoints of training scripts, other heads and other names, compared with PyTorch's modules."""

from __future__ import annotations

import argparse
import collections
import datetime
import functools
import pathlib
import warnings

import numpy as np
import pytest
from helpers import peer

import gradcam
from gradcam.weights import WeightsError

torch = peer("torch")
torchvision = peer("torchvision")
nn = torch.nn

pytestmark = pytest.mark.peers
S, L, R, D = nn.Sequential, nn.Linear, nn.ReLU, nn.Dropout


def trained(module):
    """Return the module with random weights, biases and statistics, in evaluation mode."""
    torch.manual_seed(0)
    for each in module.modules():
        if isinstance(each, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(each.weight)
            if each.bias is not None:
                nn.init.normal_(each.bias, std=0.1)
        elif isinstance(each, (nn.BatchNorm1d, nn.BatchNorm2d)):
            nn.init.uniform_(each.weight, 0.6, 1.2)
            nn.init.normal_(each.bias, std=0.1)
            nn.init.normal_(each.running_mean, std=0.1)
            nn.init.uniform_(each.running_var, 0.6, 1.5)
    return module.eval()


def vgg(blocks=(1, 1, 2, 2, 2), width=4, channels=3, bn=False, bias=True, relu=True):
    """The convolutions of a narrow VGG, as torchvision builds them."""
    layers, before = [], channels
    for block, count in enumerate(blocks):
        units = width * min(2**block, 8)
        for _ in range(count):
            layers.append(nn.Conv2d(before, units, 3, padding=1, bias=bias))
            layers += [nn.BatchNorm2d(units)] * bn + [R()] * relu
            before = units
        layers.append(nn.MaxPool2d(2))
    return S(*layers)


class Net(nn.Module):
    """A VGG of given parts, with torchvision's names."""

    def __init__(self, head, grid=7, **options):
        super().__init__()
        self.features = vgg(**options)
        self.avgpool = nn.AdaptiveAvgPool2d(grid)
        self.classifier = head

    def forward(self, x):
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


def compare(model, path, size=(64, 64), channels=3, tree=None, **options):
    """Check the probabilities of a saved state dict, and return the network."""
    torch.save(model.state_dict() if tree is None else tree, path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network = gradcam.load(path, **options)
    x = np.random.default_rng(1).standard_normal((2, channels, *size)).astype(np.float32)
    with torch.no_grad():
        scores = model(torch.from_numpy(x))
    expected = torch.softmax(scores, 1).numpy()
    found = network.forward(x, input="normalised")
    np.testing.assert_allclose(found.probabilities, expected, atol=1e-5)
    ours, theirs = (each - each.mean(1, keepdims=True) for each in (found.scores, scores.numpy()))
    np.testing.assert_allclose(ours, theirs, atol=1e-4 * np.abs(theirs).max())
    return network


def resnet(**options):
    """A ResNet-18, with torchvision's names."""
    return torchvision.models.ResNet(
        torchvision.models.resnet.BasicBlock, [2, 2, 2, 2], num_classes=3, **options
    )


# --- heads ---

VGG_HEADS = {
    "two layers": (7, lambda n: S(L(n, 8), R(), D(), L(8, 3)), True),
    "six as a sequence": (
        7,
        lambda n: S(
            *(L(n, 8), R(), D(), L(8, 8), R(), D(), S(L(8, 4), R(), D(), L(4, 3), nn.LogSoftmax(1)))
        ),
        True,
    ),
    "six as a sequence of one": (
        7,
        lambda n: S(L(n, 8), R(), D(), L(8, 8), R(), D(), S(D(), L(8, 3))),
        False,
    ),
    "one layer": (1, lambda n: L(n, 3), True),
    "one layer of a sequence": (7, lambda n: S(D(), L(n, 3)), False),
    "three layers on 1 x 1": (1, lambda n: S(L(n, 8), R(), D(), L(8, 8), R(), D(), L(8, 3)), True),
    "a grid of 3": (3, lambda n: S(L(n, 8), R(), D(), L(8, 8), R(), D(), L(8, 3)), True),
    "directly after each other": (7, lambda n: S(L(n, 8), L(8, 6), L(6, 3)), True),
    "with normalisation": (
        7,
        lambda n: S(L(n, 8), nn.BatchNorm1d(8), R(), D(), L(8, 6, bias=False), R(), L(6, 3)),
        True,
    ),
    "normalised before and after the ReLU": (
        7,
        lambda n: S(nn.BatchNorm1d(n), D(), L(n, 8), R(), nn.BatchNorm1d(8), D(), L(8, 3)),
        True,
    ),
    "five layers": (
        7,
        lambda n: S(L(n, 8), R(), L(8, 7), R(), L(7, 6), R(), L(6, 5), R(), L(5, 3)),
        True,
    ),
    "a sequence of blocks": (7, lambda n: S(S(L(n, 8), R()), S(L(8, 6), R()), S(L(6, 3))), True),
}


@pytest.mark.parametrize("case", VGG_HEADS)
@pytest.mark.parametrize("bn", [False, True])
def test_heads_of_vgg(case, bn, tmp_path):
    grid, make, assumed = VGG_HEADS[case]
    model = trained(Net(make(32 * grid * grid), grid, bn=bn))
    network = compare(model, tmp_path / "w.pth")
    assert bool(network.about) == assumed, network.about
    assert network.target_layer == "relu5_2"


class Head(nn.Module):
    """A ResNet with a head of named layers."""

    def __init__(self):
        super().__init__()
        self.backbone = resnet()
        self.backbone.fc = nn.Identity()
        self.fc1, self.bn, self.fc2 = L(512, 8), nn.BatchNorm1d(8), L(8, 3)

    def forward(self, x):
        return self.fc2(torch.relu(self.bn(self.fc1(self.backbone(x)))))


def test_named_layers_of_a_head(tmp_path):
    network = compare(trained(Head()), tmp_path / "w.pth")
    assert "what follows the linear layer bn" in network.about or "fc1" in network.about


def replaced(name, attribute, head, **options):
    model = getattr(torchvision.models, name)(weights=None, **options)
    parent = model
    *path, last = attribute.split(".")
    for each in path:
        parent = getattr(parent, each)
    old = getattr(parent, last)
    width = next(m.in_features for m in [old, *old.modules()] if isinstance(m, nn.Linear))
    setattr(parent, last, head(width))
    return model


ONE, TWO = lambda n: S(D(), L(n, 3)), lambda n: S(L(n, 16), R(), D(), L(16, 3))
FAMILIES = [
    ("resnet18", "fc", (64, 96), {}),
    ("alexnet", "classifier", (128, 96), {}),
    ("densenet121", "classifier", (64, 64), {}),
    ("mobilenet_v2", "classifier", (64, 64), {}),
    ("mobilenet_v3_small", "classifier", (64, 64), {}),
    ("mobilenet_v3_small", "classifier.3", (64, 64), {}),
    ("efficientnet_b0", "classifier.1", (64, 64), {}),
    ("googlenet", "fc", (64, 64), {"aux_logits": False, "init_weights": False}),
    ("inception_v3", "fc", (96, 96), {"aux_logits": False, "init_weights": False}),
    ("mnasnet0_5", "classifier.1", (64, 64), {}),
    ("shufflenet_v2_x0_5", "fc", (64, 64), {}),
    ("regnet_y_400mf", "fc", (64, 64), {}),
    ("convnext_tiny", "classifier.2", (64, 64), {}),
]


@pytest.mark.parametrize(("name", "attribute", "size", "options"), FAMILIES)
def test_heads_of_families(name, attribute, size, options, tmp_path):
    head = ONE if name in ("densenet121", "regnet_y_400mf", "convnext_tiny") else TWO
    model = trained(replaced(name, attribute, head, **options))
    network = compare(model, tmp_path / "w.pth", size)
    assert network.name == name and bool(network.about) == (head is TWO)


# --- other names and numbers ---


class Scratch(nn.Module):
    """VGG-16 written from scratch."""

    def __init__(self, w=4, channels=3):
        super().__init__()
        widths = [w, w, 2 * w, 2 * w] + [4 * w] * 3 + [8 * w] * 6
        for number, units in enumerate(widths, 1):
            pool = [nn.MaxPool2d(2)] if number in (2, 4, 7, 10, 13) else []
            conv = nn.Conv2d(channels, units, 3, padding=1)
            setattr(self, f"layer{number}", S(conv, nn.BatchNorm2d(units), R(), *pool))
            channels = units
        self.fc = S(D(), L(channels * 4, 8), R())
        self.fc1, self.fc2 = S(D(), L(8, 8), R()), S(L(8, 3))

    def forward(self, x):
        for number in range(1, 14):
            x = getattr(self, f"layer{number}")(x)
        return self.fc2(self.fc1(self.fc(x.flatten(1))))


class Functional(nn.Module):
    """A VGG whose ReLUs and poolings are functions, with Caffe's names."""

    def __init__(self, blocks=(2, 2, 2, 2, 2), w=4):
        super().__init__()
        self.blocks, before = blocks, 3
        for block, count in enumerate(blocks, 1):
            for i in range(1, count + 1):
                units = w * min(2 ** (block - 1), 8)
                setattr(self, f"conv{block}_{i}", nn.Conv2d(before, units, 3, padding=1))
                before = units
        self.hidden, self.output = L(before * 4, 8), L(8, 3)

    def forward(self, x):
        for block, count in enumerate(self.blocks, 1):
            for i in range(1, count + 1):
                x = torch.relu(getattr(self, f"conv{block}_{i}")(x))
            x = nn.functional.max_pool2d(x, 2)
        return self.output(torch.relu(self.hidden(x.flatten(1))))


ORDERS = {
    "layer1 ... layer13": Scratch,
    "conv1_1": Functional,
    "VGG-19, functional": lambda: Functional((2, 2, 4, 4, 4)),
    "one sequence": lambda: S(*vgg(), nn.Flatten(), L(32 * 4, 8), R(), D(), L(8, 3)),
    "one sequence, normalised": lambda: S(
        *vgg((2, 2, 3, 3, 3), bn=True, bias=False), nn.Flatten(), L(32 * 4, 8), R(), L(8, 3)
    ),
    "blocks": lambda: S(
        *(S(*part) for part in (vgg()[:3], vgg()[3:6], vgg()[6:11], vgg()[11:16], vgg()[16:])),
        nn.Flatten(),
        L(32 * 4, 3),
    ),
    "without biases": lambda: Net(L(32 * 49, 3), bn=True, bias=False),
}


@pytest.mark.parametrize("case", ORDERS)
def test_vggs_in_the_order_of_their_layers(case, tmp_path):
    with pytest.warns(gradcam.WeightsWarning, match="the file does not say where ReLUs"):
        model = trained(ORDERS[case]())
        torch.save(model.state_dict(), tmp_path / "w.pth")
        network = gradcam.load(tmp_path / "w.pth")
    compare(model, tmp_path / "w.pth")
    assert network.target_layer.startswith("relu5_") and "relu1_1" in network.layers


def body(model, cut=None):
    return S(*list(model.children())[:cut])


class Concat(nn.Module):
    """fastai's pooling."""

    def forward(self, x):
        return torch.cat([nn.functional.adaptive_max_pool2d(x, 1),
                          nn.functional.adaptive_avg_pool2d(x, 1)], 1)  # fmt: skip


def fastai(model, width, cut):
    head = S(
        *(Concat(), nn.Flatten(), nn.BatchNorm1d(2 * width), D(), L(2 * width, 16, bias=False)),
        *(R(), nn.BatchNorm1d(16), D(), L(16, 3, bias=False)),
    )
    return S(body(model, cut), head)


class Parted(nn.Module):
    """ResNet-18's children as `features`, and a linear layer."""

    def __init__(self):
        super().__init__()
        self.features, self.fc = body(resnet(), -1), L(512, 3)

    def forward(self, x):
        return self.fc(self.features(x).flatten(1))


APART = {
    "fastai": lambda: fastai(resnet(), 512, -2),
    "fastai, MobileNetV2": lambda: fastai(torchvision.models.mobilenet_v2(weights=None), 1280, -1),
    "features": Parted,
    "a sequence": lambda: S(*list(resnet().children())[:-1], nn.Flatten(), L(512, 3)),
}


@pytest.mark.parametrize("case", APART)
def test_networks_that_were_taken_apart(case, tmp_path):
    model = trained(APART[case]())
    network = compare(model, tmp_path / "w.pth")
    assert network.name in ("resnet18", "mobilenet_v2")


@pytest.mark.parametrize("channels", [1, 4])
@pytest.mark.parametrize("family", ["vgg", "resnet"])
def test_other_channels(channels, family, tmp_path):
    if family == "vgg":
        model = Net(S(L(32 * 49, 8), R(), D(), L(8, 8), R(), D(), L(8, 3)), channels=channels)
    else:
        model = resnet()
        model.conv1 = nn.Conv2d(channels, 64, 7, 2, 3, bias=False)
    network = compare(trained(model), tmp_path / "w.pth", (64, 64), channels)
    assert network.core.channels == channels


# --- what training scripts save ---


class Averaged(torch.optim.swa_utils.AveragedModel):
    pass


@functools.cache
def narrow():
    return trained(resnet())


def trees(model):
    """Yield the names and the contents of checkpoints."""
    state = model.state_dict()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.0)
    sum(p.sum() for p in model.parameters()).backward()
    optimizer.step()
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [3, 5])
    args = argparse.Namespace(lr=0.1, device="cuda", output_dir=pathlib.Path("out"))
    other = {name: value * 2 for name, value in state.items()}

    def prefixed(prefix, tree=state):
        return {prefix + name: value for name, value in tree.items()}

    yield (
        "torchvision",
        {
            "model": state,
            "optimizer": optimizer.state_dict(),
            "lr_scheduler": scheduler.state_dict(),
            "epoch": 3,
            "args": args,
            "model_ema": {"n_averaged": torch.tensor(3), **prefixed("module.", other)},
            "scaler": {"scale": 65536.0, "growth_tracker": 3},
        },
    )
    yield (
        "timm",
        {
            "epoch": 3,
            "arch": "resnet18",
            "state_dict": state,
            "optimizer": optimizer.state_dict(),
            "version": 2,
            "args": args,
            "amp_scaler": {"scale": 1.0},
            "state_dict_ema": other,
            "metric": np.float64(71.5),
        },
    )
    yield (
        "Lightning",
        {
            "state_dict": prefixed("model.") | {"criterion.weight": torch.ones(3)},
            "hyper_parameters": {"lr": 0.1, "when": datetime.date(2020, 1, 2)},
            "callbacks": {"ModelCheckpoint{'monitor': 'a'}": {"best": torch.tensor(0.5)}},
            "optimizer_states": [optimizer.state_dict()],
            "lr_schedulers": [scheduler.state_dict()],
            "hparams_name": "kwargs",
        },
    )
    yield "DataParallel", {"state_dict": prefixed("module."), "best_acc1": np.float32(3)}
    yield "compiled", prefixed("_orig_mod.")
    yield (
        "mmcls",
        {
            "meta": {"CLASSES": ("a", "b", "c"), "hook_msgs": {}},
            "state_dict": {
                (f"head.{name}" if name.startswith("fc.") else f"backbone.{name}"): value
                for name, value in state.items()
            },
        },
    )
    yield "fastai", {"model": state, "opt": {"state": [{"mom": torch.ones(3)}], "hypers": [{}]}}
    yield (
        "numbers",
        {
            "state_dict": state,
            "seen": {1, 2},
            "frozen": frozenset({3}),
            "history": collections.defaultdict(list, {"loss": [1.0]}),
            "counts": collections.Counter("abc"),
            "array": np.arange(3),
            "dtype": torch.float16,
            "device": torch.device("cuda:0"),
            "size": torch.Size([3, 4]),
            "rng": torch.get_rng_state(),
            "numpy_rng": np.random.get_state(),
            "slice": slice(1, 2),
            "complex": 1j,
        },
    )
    yield (
        "MoCo",
        {
            "state_dict": prefixed("module.encoder_q.")
            | prefixed("module.encoder_k.", other)
            | {"module.queue": torch.ones(3, 8), "module.queue_ptr": torch.zeros(1)}
        },
    )
    yield "AveragedModel", Averaged(model).state_dict()


TREES = dict(trees(narrow()))


@pytest.mark.parametrize(("number", "case"), list(enumerate(TREES)))
def test_checkpoints_of_training_scripts(number, case, tmp_path):
    protocol = 2 + 2 * (number % 2)
    model = narrow()
    path = tmp_path / "w.pth"
    torch.save(TREES[case], path, pickle_protocol=protocol)
    network = gradcam.load(path)
    x = torch.randn(2, 3, 32, 64)
    with torch.no_grad():
        expected = torch.softmax(model(x), 1)
    np.testing.assert_allclose(network.forward(x.numpy()).probabilities, expected, atol=1e-5)
    averaged = case in ("torchvision", "timm", "MoCo")
    assert ("a running average" in network.about) == averaged


def test_whole_models_are_refused(tmp_path):
    path = tmp_path / "w.pth"
    for tree in (resnet(), {"model": resnet(), "epoch": 3}):
        torch.save(tree, path)
        with pytest.raises(WeightsError, match=r"whole pickled .*ResNet, .*state_dict\(\)"):
            gradcam.load(path)
    optimizer = torch.optim.SGD(resnet().parameters(), 0.1)
    torch.save({"model": resnet(), "optimizer": optimizer.state_dict(), "a": torch.ones(3)}, path)
    with pytest.raises(WeightsError, match=r"'?model'?.*ResNet.*state_dict\(\)"):
        gradcam.load(path)
