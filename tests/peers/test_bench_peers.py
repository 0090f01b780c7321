"""The benchmark with all programs that are installed, on a small network."""

from __future__ import annotations

import json

import pytest
from helpers import peer
from test_bench import command

torch = peer("torch")
peer("captum")

from gradcam.bench._engines.pytorch import replace_missing_torchvision  # noqa: E402

replace_missing_torchvision()
peer("pytorch_grad_cam")

pytestmark = pytest.mark.peers


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    file = tmp_path_factory.mktemp("bench") / "bench.json"
    arguments = ["--width", "4", "--batch", "2", "--threads", "1", "--rounds", "2"]
    arguments += ["--pictures", "16"]
    command(*arguments, "--json", str(file))
    return json.loads(file.read_text())


def test_all_programs_run(content):
    assert content["versions"]["torch"] == torch.__version__
    (table,) = content["tables"]
    found = {
        result["task"]: [other["label"] for other in result["others"]]
        for result in table["results"]
    }
    assert found["forward"][:2] == ["PyTorch", "PyTorch, tuned"]
    assert found["grad_cam"] == [
        "pytorch-grad-cam",
        "pytorch-grad-cam, tuned",
        "PyTorch by autograd, tuned",
    ]
    assert found["guided"] == ["captum", "captum, tuned", "PyTorch by hooks, tuned"]
    assert found["start"] == ["PyTorch, a script"]
    (limit,) = table["results"][0]["others"]
    assert limit["label"] == "direct limit"
    if "onnxruntime" in content["versions"]:
        assert "ONNX Runtime" in found["forward"]
    if "openvino" in content["versions"]:
        assert "OpenVINO, f32" in found["forward"]


def test_all_programs_return_the_same_results(content):
    tolerances = {
        "forward": 3e-5,
        "grad_cam": 1e-3,
        "guided": 0.01,
    }  # rounding changes the sign of some ReLUs' inputs
    for result in content["tables"][0]["results"]:
        for other in result["others"]:
            if other["difference"] is not None and result["task"] in tolerances:
                assert other["difference"] < tolerances[result["task"]], other["label"]


@pytest.mark.parametrize("network", ["efficientnet_lite0", "densenet121"])
def test_other_networks(network, tmp_path):
    """Modules built from the rows, and torchvision's with a ReLU that becomes a module."""
    file = tmp_path / "bench.json"
    arguments = ["--network", network, "--batch", "1", "--threads", "1", "--rounds", "1"]
    arguments += ["--tasks", "forward,grad_cam,guided", "--size", "64"]
    text = command(*arguments, "--json", str(file))
    content = json.loads(file.read_text())
    (table,) = content["tables"]
    results = {result["task"]: result for result in table["results"]}
    assert [other["label"] for other in results["grad_cam"]["others"]] == [
        "pytorch-grad-cam",
        "pytorch-grad-cam, tuned",
        "PyTorch by autograd, tuned",
    ]
    for task, tolerance in (("forward", 3e-5), ("grad_cam", 1e-3)):
        for other in results[task]["others"]:
            assert other["difference"] < tolerance, (task, other["label"])
    tuned = results["forward"]["others"][1]["tried"]
    assert {"folded", "channels last, folded"} <= tuned.keys()
    assert table["targets"] and all(line in text for line in table["targets"])
    if network == "efficientnet_lite0":
        assert "0 of 33 rectifiers are modules nn.ReLU" in text
