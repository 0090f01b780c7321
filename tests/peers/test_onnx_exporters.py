"""ONNX files of PyTorch's two exporters and of Keras: loaded, and compared with ONNX Runtime and
with the models that were exported: probabilities, gradients and Grad-CAM.

``tests/report_importers.py`` does the same for many more networks.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from helpers import peer

import gradcam
from gradcam import WeightsError

onnx = peer("onnx")
onnxruntime = peer("onnxruntime")
torch = peer("torch")
torchvision = peer("torchvision")
peer("onnxscript")

import onnx_models  # noqa: E402
from decided import Differences  # noqa: E402
from onnx_models import TORCHVISION  # noqa: E402

pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("ignore")]

LIMITS = Differences(probabilities=1e-5, scores=2e-5, gradient=1e-4, grad_cam=1e-5)

SCRIPT, DYNAMO = {"dynamo": False, "opset": 17}, {"dynamo": True}

CASES = [
    ("alexnet", SCRIPT),
    ("googlenet, transform_input", SCRIPT),
    ("resnet18", {"dynamo": False, "opset": 7}),
    ("shufflenet_v2_x0_5", DYNAMO),
    ("squeezenet1_1", {"dynamo": False, "opset": 9}),
    ("squeezenet1_1", {"dynamo": False, "opset": 13, "dynamic": True}),
    ("squeezenet1_1", {"dynamo": False, "opset": 20}),
    ("vgg11", {"dynamo": False, "opset": 11}),
]

REFUSED = ("vit_b_16", "swin_t", "maxvit_t")

LONG = [
    ("squeezenet1_1", {"dynamo": True, "dynamic": True}),
    ("resnet18", {"dynamo": False, "opset": 13, "dynamic": True}),
    *(
        (name, way)
        for name in TORCHVISION
        for way in (SCRIPT, DYNAMO)
        if (name, way) not in CASES and name not in REFUSED
    ),
]


def check(found: Differences) -> None:
    print(found)
    assert all(each < limit for each, limit in zip(found, LIMITS, strict=True)), found


@pytest.mark.parametrize(
    "name, way", [*CASES, *(pytest.param(*each, marks=pytest.mark.slow) for each in LONG)]
)
def test_torchvision(name, way, tmp_path):
    make, size = TORCHVISION[name]
    model, path = onnx_models.made(make), tmp_path / "x.onnx"
    onnx_models.export(model, size, path, **way)
    check(onnx_models.differences(path, model, size))


@pytest.mark.parametrize("way", [SCRIPT, DYNAMO], ids=["script", "dynamo"])
def test_transformers_are_refused(way, tmp_path):
    model = torchvision.models.VisionTransformer(32, 16, 1, 2, 8, 16, num_classes=4).eval()
    path = tmp_path / "x.onnx"
    onnx_models.export(model, (32, 32), path, **way)
    with pytest.raises(WeightsError, match=r"MatMul .* is attention, as transformers use it"):
        gradcam.load(path)


TIMM = {
    "test_byobnet": (64, 96),
    "test_convnext": (64, 96),
    "test_efficientnet": (64, 96),
    "test_nfnet": (64, 96),
    "test_resnet": (63, 95),
}


@pytest.mark.parametrize("name", TIMM)
def test_timm(name, tmp_path):
    """Its smallest networks; the weights of test_nfnet are standardised in the graph."""
    timm = peer("timm")
    size, path = TIMM[name], tmp_path / "x.onnx"
    model = onnx_models.made(lambda: timm.create_model(name, exportable=True, num_classes=10))
    onnx_models.export(model, size, path, **SCRIPT)
    check(onnx_models.differences(path, model, size))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["MobileNet", "MobileNetV3Small"])
def test_keras(name, tmp_path):
    peer("keras")
    import keras_applications
    from report_importers import against_keras

    model, path = keras_applications.made(name), tmp_path / "x.onnx"
    model.export(path, format="onnx", verbose=False)
    check(against_keras(path, name, model.get_weights()))


LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"


@pytest.mark.parametrize("path", sorted(LIGHT.glob("*.onnx")), ids=lambda path: path.stem)
def test_models_for_tests_of_the_onnx_package(path):
    """The networks of the ONNX zoo, their weights replaced by constants."""
    net = gradcam.load(path)
    weights = [layer for layer in net.layers.values() if layer.op in ("conv", "linear")]
    nodes = [node for node in onnx.load(path).graph.node if node.op_type in ("Conv", "Gemm")]
    assert len(weights) == len(nodes) and len(net.labels) == 1000
    assert net.size == (224, 224)
    assert not re.search("pool|softmax", net.layers[net.target_layer].op)


def test_weights_that_are_constants_are_computed():
    """A light model runs: all weights are equal, so all classes have one probability."""
    net = gradcam.load(LIGHT / "light_squeezenet.onnx")
    x = np.random.default_rng(1).standard_normal((3, 224, 224)).astype(np.float32)
    path = str(LIGHT / "light_squeezenet.onnx")
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (right,) = session.run(None, {session.get_inputs()[0].name: x[None]})
    np.testing.assert_allclose(net.forward(x).probabilities, right.reshape(1, -1), rtol=1e-4)
