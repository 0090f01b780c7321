"""gradcam.from_torch, .pt2 and TorchScript files beside the modules of PyTorch that they came from.

Random weights and statistics, a batch of two, sizes that are not square. Compared are the scores,
Grad-CAM, the gradient by the pixels, and the output of every module that has the name of a layer.
"""

from __future__ import annotations

import numpy as np
import pytest
from helpers import peer

import gradcam
from gradcam import WeightsError

torch = peer("torch")
torchvision = peer("torchvision")

import families  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from torch import nn  # noqa: E402

pytestmark = [
    pytest.mark.peers,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore:The default weight initialization"),
]

LIMIT = 1e-5
"""Of all differences, relative to the largest value of the reference."""

TERMS = 1e-6
"""Of Grad-CAM, relative to the largest sum of the magnitudes of its terms, if these cancel."""

SIZES = {"alexnet": (96, 80), "inception_v3": (107, 123)}
"""Of the input; the others take 64 x 96."""

FAMILIES = [
    *("alexnet", "squeezenet1_1", "resnet18", "mobilenet_v3_small", "shufflenet_v2_x0_5"),
    *("convnext_tiny", "googlenet", "mnasnet0_5"),
]
SLOW = [
    *("vgg11_bn", "resnext50_32x4d", "densenet121", "inception_v3", "mobilenet_v2"),
    *("efficientnet_b0", "efficientnet_v2_s", "regnet_x_400mf", "regnet_y_400mf"),
]
ALL = [*FAMILIES, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)]


def model_of(name):
    return families.randomised(torchvision.models.get_model, name, weights=None, num_classes=7)


def pictures(*shape, seed=1):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def probabilities(model, x):
    with torch.no_grad():
        return torch.softmax(model(x), 1).numpy()


def check(net, model, size):
    found = families.compare(net, model, size)
    print(net.name, *(f"{each:.1e}" for each in found))
    assert max(found.scores, found.gradient, found.modules) < LIMIT, found
    assert found.grad_cam < LIMIT or found.grad_cam_terms < TERMS, found


@pytest.mark.parametrize("name", ALL)
def test_families_of_torchvision_live(name):
    model = model_of(name)
    size = SIZES.get(name, (64, 96))
    net = gradcam.from_torch(model, (1, 3, *size))
    assert not net.fixed and len(net.labels) == 7
    check(net, model, size)


@pytest.mark.parametrize("form", ["pt2", "script", "trace"])
@pytest.mark.parametrize(
    "name",
    [n if n in ("shufflenet_v2_x0_5", "squeezenet1_1") else pytest.param(n, marks=pytest.mark.slow)
     for n in [*FAMILIES, *SLOW]],
)  # fmt: skip
def test_files_of_torchvisions_families(name, form, tmp_path):
    model = model_of(name)
    size = SIZES.get(name, (64, 96))
    x = pictures(2, 3, *size)
    path = str(tmp_path / "model")
    if form == "pt2":
        torch.export.save(torch.export.export(model, (x,)), path + ".pt2")
        path += ".pt2"
    else:
        scripted = torch.jit.script(model) if form == "script" else torch.jit.trace(model, x)
        torch.jit.save(scripted, path)
    net = gradcam.load(path, size=size)
    found = net.forward(x.numpy(), input="normalised").probabilities
    assert np.abs(found - probabilities(model, x)).max() < 1e-6


TIMM = [
    *("lcnet_050", "convnext_atto"),
    *("resnet10t", "resnet18d", "resnetv2_50", "tf_efficientnet_b0", "efficientnet_lite0"),
    *("mobilenetv3_small_050", "mobilenetv4_conv_small", "repvgg_a0", "ghostnet_050", "dla34"),
    *("dpn68", "selecsls42b", "regnetx_002", "regnety_002", "seresnet18", "densenet121"),
    *("vovnet39a", "cspresnet50", "darknet53", "rexnet_100", "mnasnet_small", "mobileone_s0"),
    *("tinynet_e", "hardcorenas_a", "res2net50_14w_8s"),
]
"""Networks of timm, of as many families; the first two are quick."""


@pytest.mark.parametrize(
    "name", [n if n in TIMM[:2] else pytest.param(n, marks=pytest.mark.slow) for n in TIMM]
)
def test_families_of_timm_live(name):
    timm = peer("timm")
    model = families.randomised(timm.create_model, name, num_classes=7)
    x = pictures(2, 3, 96, 64)
    net = gradcam.from_torch(model, x)
    found = net.forward(x.numpy(), input="normalised").probabilities
    assert np.abs(found - probabilities(model, x)).max() < 5e-6
    assert net.preset.name == "timm" and net.preset.mean == model.pretrained_cfg["mean"]


TIMM_REFUSED = {
    "convnextv2_atto": "mlp.grn': linalg_vector_norm is an operation that the core does not have",
    "hrnet_w18_small": "resizes a map",
    "ecaresnet26t": "conv1d is not a two-dimensional convolution",
    "skresnet18": "stacks several values",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", TIMM_REFUSED)
def test_networks_of_timm_that_are_refused(name):
    timm = peer("timm")
    with pytest.raises(WeightsError, match=TIMM_REFUSED[name]):
        gradcam.from_torch(timm.create_model(name), (1, 3, 64, 64))


# --- modules of one's own ---


class Block(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding="same", dilation=2)
        self.bn = nn.BatchNorm2d(channels)
        self.act = nn.ReLU(inplace=True)

    def forward(self, x):
        y = self.act(self.bn(self.conv(x)))
        y += x
        return self.act(y)


class Own(nn.Module):
    """Reused modules, operations in place, functional ones, parameters in sums, normed weights."""

    def __init__(self, channels=3):
        super().__init__()
        self.stem = nn.utils.parametrizations.weight_norm(nn.Conv2d(channels, 8, 3, stride=2))
        self.shared = Block(8)
        self.blocks = nn.Sequential(self.shared, nn.Sequential(Block(8), nn.Identity()))
        self.old = nn.utils.spectral_norm(nn.Conv2d(8, 8, 1))
        self.scale = nn.Parameter(torch.rand(8, 1, 1) + 0.5)
        self.drop = nn.Dropout(0.5, inplace=True)
        self.fc = nn.Linear(8, 5)

    def forward(self, x):
        x = F.leaky_relu(self.stem(x), 0.1)
        x = self.shared(self.blocks(x))
        x = x * self.scale - 0.5 * F.gelu(self.old(x))
        x = F.max_pool2d(x, 3, 2, ceil_mode=True)
        x = F.local_response_norm(x, 3)
        x = self.drop(x.mean([2, 3]))
        return self.fc(x)


def own(**options):
    model = families.randomised(Own, **options)
    return model.train()


def test_a_module_of_ones_own():
    model = own()
    hook = model.blocks[1].register_forward_hook(lambda *_: pytest.fail("the hook was called"))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    hooks = model.blocks[1]._forward_hooks
    random = torch.get_rng_state()
    net = gradcam.from_torch(model, (1, 3, 32, 41), labels=list("abcde"))
    assert all(module.training for module in model.modules())
    assert model.blocks[1]._forward_hooks is hooks and len(hooks) == 1
    assert all(p.requires_grad and p.grad is None for p in model.parameters())
    assert torch.equal(torch.get_rng_state(), random)
    assert all(torch.equal(before[name], t) for name, t in model.state_dict().items())
    assert net.about == "The forward hooks of 'blocks.1' were not followed."
    hook.remove()
    x = pictures(2, 3, 32, 41)
    expected = probabilities(model.eval(), x)
    np.testing.assert_allclose(net.forward(x.numpy()).probabilities, expected, atol=1e-6)
    weight = net.layers["fc"].weights["weight"]
    assert np.shares_memory(weight, model.fc.weight.detach().numpy())
    assert {"stem", "blocks.1.0.act", "shared.act", "old", "fc"} <= set(net.layers)
    assert {"shared", "blocks.1"} <= {name for layer in net.layers for name in net.names(layer)}


@pytest.mark.parametrize("change", ["half", "bfloat16", "double", "channels_last", "grey"])
def test_types_and_arrangements_of_memory(change):
    model = own(channels=1 if change == "grey" else 3).eval()
    x = pictures(2, 1 if change == "grey" else 3, 32, 40)
    expected = probabilities(model, x)
    if change == "channels_last":
        model = model.to(memory_format=torch.channels_last)
    elif change != "grey":
        model = getattr(model, change)()
    net = gradcam.from_torch(model, x.numpy())
    limit = {"half": 2e-3, "bfloat16": 2e-2}.get(change, 1e-6)
    assert np.abs(net.forward(x.numpy()).probabilities - expected).max() < limit
    lacks = "The module does not run here" in net.about  # PyTorch's normalisation in 16 bits
    assert lacks == (change in ("half", "bfloat16"))


@pytest.mark.parametrize("form", ["script", "trace"])
def test_modules_of_torchscript(form):
    model = model_of("resnet18")
    x = pictures(1, 3, 40, 48)
    scripted = torch.jit.script(model) if form == "script" else torch.jit.trace(model, x)
    net = gradcam.from_torch(scripted.train() if form == "script" else scripted, x)
    assert form == "trace" or scripted.training
    live = gradcam.from_torch(model, x)
    assert list(net.layers) == list(live.layers) and net.target_layer == live.target_layer
    expected = probabilities(model.eval(), x)
    np.testing.assert_allclose(net.forward(x.numpy()).probabilities, expected, atol=1e-6)


def test_a_model_of_transformers():
    transformers = peer("transformers")
    config = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic",
        id2label={0: "cat", 1: "dog", 2: "owl"},
    )  # fmt: skip
    model = families.randomised(transformers.ResNetForImageClassification, config)
    x = pictures(2, 3, 48, 40)
    net = gradcam.from_torch(model, x)
    with torch.no_grad():
        expected = model(x).logits.softmax(1).numpy()
    np.testing.assert_allclose(net.forward(x.numpy()).probabilities, expected, atol=1e-6)
    assert [each.label for each in net.labels] == ["cat", "dog", "owl"]


class Function(nn.Module):
    """A module that computes what a function says, after a convolution and a mean."""

    def __init__(self, function):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.function = function

    def forward(self, x):
        return self.function(self.conv(x))


def pooled(x):
    return x.mean((2, 3))


def test_one_of_several_results():
    x = pictures(2, 3, 12, 10)
    module = Function(lambda x: {"a": pooled(x), "b": [pooled(x) * 2, pooled(x.tanh())]})
    expected = torch.softmax(module(x)["b"][1], 1).detach().numpy()
    found = gradcam.from_torch(module, x, output="b.1").forward(x.numpy()).probabilities
    np.testing.assert_allclose(found, expected, atol=1e-6)
    with pytest.raises(WeightsError, match=r"3 outputs.*'a', 'b.0', 'b.1'"):
        gradcam.from_torch(module, x)


REFUSED = {
    "values of the picture": (lambda x: pooled(x) if x.sum() > 0 else -pooled(x), "cannot follow"),
    "a map": (lambda x: x, "not a classifier"),
    "attention": (lambda x: pooled(x) @ pooled(x).T, "depend on the picture .attention"),
    "an unknown operation": (lambda x: pooled(F.mish(x)), "mish is an operation that the core"),
    "interpolation": (lambda x: pooled(F.interpolate(x, scale_factor=2)), "resizes a map"),
    "no tensor": (lambda x: 3, "expected one score for each class"),
    "noise": (lambda x: pooled(x) + torch.rand(4), "rand"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_modules_that_are_refused(kind):
    function, words = REFUSED[kind]
    with pytest.raises(WeightsError, match=words):
        gradcam.from_torch(Function(function), (1, 3, 12, 12))


@pytest.mark.parametrize("module", [nn.LSTM(8, 4), nn.GroupNorm(1, 3), nn.ConvTranspose2d(3, 3, 2)])
def test_layers_that_are_refused(module):
    with pytest.raises(WeightsError):
        gradcam.from_torch(module, (1, 3, 8, 8))


def test_other_tasks_are_refused():
    detector = torchvision.models.detection.ssdlite320_mobilenet_v3_large(
        weights=None, weights_backbone=None
    )
    with pytest.raises(WeightsError):
        gradcam.from_torch(detector, (1, 3, 320, 320))
    vit = torchvision.models.VisionTransformer(32, 16, 1, 2, 8, 16)
    with pytest.raises(WeightsError, match="class token of a transformer"):
        gradcam.from_torch(vit, (1, 3, 32, 32))


def test_padding_that_depends_on_the_size_fits_one_size():
    def padded(x):
        height, width = x.shape[2:]
        return pooled(F.avg_pool2d(F.pad(x, (width % 2, 0, height % 2, 0)), 2).tanh())

    net = gradcam.from_torch(Function(padded), (1, 3, 13, 13))
    assert net.fixed and net.size == (13, 13)
    with pytest.raises(ValueError, match="13"):
        net.forward(np.zeros((1, 3, 14, 14), np.float32))


class Hidden(nn.Module):
    """A module whose sign depends on its input, which no export shows."""

    def __init__(self, negative):
        super().__init__()
        self.conv, self.negative = nn.Conv2d(3, 4, 3), negative

    def forward(self, x):
        y = pooled(self.conv(x))
        exporting = torch.compiler.is_compiling() or torch.compiler.is_exporting()
        return y if exporting or not self.negative(x) else -y


def test_more_than_the_example_is_compared():
    with pytest.raises(WeightsError, match="differ from the module's"):
        gradcam.from_torch(Hidden(lambda x: bool(x.any())), torch.zeros(1, 3, 12, 12))
    assert gradcam.from_torch(Hidden(lambda x: x.shape[-1] > 12), (1, 3, 12, 12)).fixed


def test_a_module_that_changes_its_input():
    gradcam.from_torch(Function(pooled), (1, 3, 12, 12))
    module = nn.Sequential(nn.ReLU(inplace=True), Function(pooled))
    assert not gradcam.from_torch(module, torch.randn(1, 3, 12, 12)).fixed


def test_a_program_is_compared_too(monkeypatch):
    program = torch.export.export(Function(pooled).eval(), (torch.zeros(1, 3, 12, 12),))
    assert gradcam.from_torch(program).size == (12, 12)
    with pytest.raises(TypeError, match="has its own"):
        gradcam.from_torch(program, (1, 3, 12, 12))
    monkeypatch.setattr(type(program), "module", lambda self: Function(pooled).eval())
    with pytest.raises(WeightsError, match="differ from"):
        gradcam.from_torch(program)


def test_only_classes_of_torchvision_have_its_preset():
    model = torchvision.models.resnet18(weights=None, num_classes=4)
    net = gradcam.from_torch(model, (1, 3, 40, 40))
    assert net.preset is not None and "taken for granted" in net.about

    class Mine(torchvision.models.ResNet):
        pass

    model = Mine(torchvision.models.resnet.BasicBlock, [2, 2, 2, 2], num_classes=4)
    net = gradcam.from_torch(model, (1, 3, 40, 40))
    assert net.preset is None and "layer4.1.relu" in net.layers


BAD = {
    "no example": (lambda m: gradcam.from_torch(m), TypeError, "example: missing"),
    "a vector": (lambda m: gradcam.from_torch(m, torch.ones(3)), ValueError, "N, channels, height"),
    "a word": (lambda m: gradcam.from_torch(m, "x"), TypeError, "expected a tensor"),
    "channels": (
        lambda m: gradcam.from_torch(m, (1, 4, 32, 32)),
        WeightsError,
        "refuses two pictures of shape",
    ),
    "a small picture": (
        lambda m: gradcam.from_torch(m, (1, 3, 1, 1)),
        WeightsError,
        "refuses two",
    ),
    "two axes": (lambda m: gradcam.from_torch(m, (3, 8, 8)), ValueError, "expected a shape"),
    "a bool": (lambda m: gradcam.from_torch(m, (True, 3, 8, 8)), ValueError, "expected a shape"),
    "NaN": (
        lambda m: gradcam.from_torch(m, torch.full((1, 3, 8, 8), torch.nan)),
        ValueError,
        "finite",
    ),
    "a class": (lambda m: gradcam.from_torch(type(m), (1, 3, 8, 8)), TypeError, "a class; pass"),
    "weights": (lambda m: gradcam.from_torch({}, (1, 3, 8, 8)), TypeError, "gradcam.load"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_input(kind):
    call, error, words = BAD[kind]
    with pytest.raises(error, match=words):
        call(own())
