"""Profiles: computation from times, products and bytes, and output formats.

Most times come from a fake core, so all numbers are known.
"""

from __future__ import annotations

import json

import numpy as np
import pytest

import gradcam
from gradcam import _profile as profile

MACHINE = profile.Machine("avx2", 2, peak=100.0, bandwidth=10.0)
MS = 1e-3


@pytest.fixture(scope="module")
def network():
    """conv 3 -> 4 over 8 x 6 positions, ReLU, 2 x 2 pooling, 48 -> 5 products."""
    rng = np.random.default_rng(0)
    layers = [
        gradcam.Layer(
            "conv", "conv", weights={"weight": rng.random((4, 3, 3, 3))}, attributes={"padding": 1}
        ),
        gradcam.Layer("relu", "relu"),
        gradcam.Layer("pool", "max_pool", attributes={"kernel": 2}),
        gradcam.Layer("flatten", "flatten"),
        gradcam.Layer("fc", "linear", weights={"weight": rng.random((5, 48))}),
    ]
    return gradcam.Network.from_layers(layers)


def make_profile(network, forward, backward=(), **options):
    return profile.from_seconds(
        network, "small", (2, 3, 8, 6), MACHINE, forward, backward, **options
    )


def test_fused_layers_share_a_row(network):
    found = make_profile(network, [0.0, 2 * MS, 0.0, 0.0, 0.0, 1 * MS])
    assert [row.layer for row in found.rows] == ["conv", "fc"]
    conv, fc = found.rows
    assert conv.operation == "conv + relu + max_pool"
    assert conv.milliseconds == pytest.approx(2)
    assert conv.gflop == pytest.approx(2e-9 * 2 * 48 * 4 * 27)
    assert conv.megabytes == pytest.approx(4e-6 * (2 * (3 * 48 + 4 * 12) + 4 * 27))
    assert fc.gflop == pytest.approx(2e-9 * 2 * 5 * 48)
    assert fc.megabytes == pytest.approx(4e-6 * (2 * (48 + 5) + 5 * 48))


def test_shares_of_peak_and_bandwidth(network):
    conv = make_profile(network, [0.0, 2 * MS, 0.0, 0.0, 0.0, 1 * MS]).rows[0]
    assert conv.gflop_per_second == pytest.approx(conv.gflop / 2e-3)
    assert conv.share_of_peak == pytest.approx(conv.gflop_per_second / 100)
    assert conv.gigabytes_per_second == pytest.approx(conv.megabytes / 2)
    assert conv.share_of_bandwidth == pytest.approx(conv.gigabytes_per_second / 10)


def test_every_layer_with_a_time_has_a_row(network):
    found = make_profile(network, [MS] * 6)
    assert [row.layer for row in found.rows] == ["input", "conv", "relu", "pool", "fc"]
    assert [row.operation for row in found.rows] == ["input", "conv", "relu", "max_pool", "linear"]
    assert found.rows[3].milliseconds == pytest.approx(2)  # includes the flatten layer


def test_rows_of_the_backward_pass(network):
    backward = [0.0, 0.0, 0.0, 0.5 * MS, 0.0, 3 * MS]
    found = make_profile(network, [MS] * 6, backward, sets=3, start=5, end=2)
    rows = [row for row in found.rows if row.phase == "backward"]
    assert [(row.layer, row.operation) for row in rows] == [("fc", "linear"), ("pool", "max_pool")]
    assert rows[0].gflop == pytest.approx(2e-9 * 3 * 2 * 5 * 48)
    assert found.phases == ("forward", "backward")
    assert found.total("backward").milliseconds == pytest.approx(3.5)
    assert found.total("forward").milliseconds == pytest.approx(6)


def test_text_html_and_json(network):
    found = make_profile(network, [0.0, 2 * MS, 0.0, 0.0, 0.0, 1 * MS])
    text = str(found)
    assert "100 GFLOP/s, 10.0 GB/s, measured in processor time" in text
    assert "conv + relu + max_pool" in text
    assert text.splitlines()[-1].split()[:3] == ["total", "3.000", "100"]
    assert found._repr_html_().count("<tr>") == 5
    content = json.loads(found.to_json())
    assert content == found.as_dict()
    assert content["totals"][0]["milliseconds"] == pytest.approx(3)
    assert "forward 3.00 ms" in repr(found)


class FakeTape:
    """A fake tape of the core with given times."""

    kept = (5,)

    def __init__(self, times):
        self.times, self.arguments = times, None

    def seconds(self):
        return self.times.pop(0)

    def algorithms(self, backward=False):
        return ["", "backward" if backward else "forward", "", "", "", ""]

    def conversions(self):
        return [0, 1, 0, 0, 0, 0]

    def backward_seconds(self, layer, seeds, wanted, rule):
        self.arguments = layer, seeds, wanted, rule
        return [0.0, 0.0, 0.0, 0.0, 0.0, 2 * MS]


def test_profile_repeats_and_takes_medians(network, monkeypatch):
    peaks = iter([100.0, 90.0, 1.0, 110.0, 104.0, 102.0, 103.0])  # before, and after each pass
    monkeypatch.setattr(profile._core, "measure_peak", lambda threads: next(peaks))
    monkeypatch.setattr(profile._core, "measure_bandwidth", lambda threads: 10.0)
    times = [[0.0, ms * MS, 0.0, 0.0, 0.0, MS] for ms in (99, 1, 5, 2, 9)]  # the first: warm-up
    tape = network.forward(np.zeros((1, 3, 8, 6), np.float32))
    assert tape.scores.shape == (1, 5)  # before the core is replaced
    fake = FakeTape(times)

    class FakeNetwork:
        shapes = network.core.shapes

        def forward(self, input, keep):
            return fake

    monkeypatch.setattr(tape, "core", fake)
    monkeypatch.setattr(network, "core", FakeNetwork())
    found = gradcam.profile(tape, [3], rule="guided", to="pool", repeat=3)
    assert found.rows[0].milliseconds == pytest.approx(2)
    assert found.rows[0].algorithm == "forward (converts)"
    assert (found.machine.peak, found.machine.bandwidth) == (102.0, 10.0)
    layer, seeds, wanted, rule = fake.arguments
    assert (layer, rule, wanted) == (5, "guided", [3])
    assert seeds.tolist() == [[[0, 0, 0, 1, 0]]]
    with pytest.raises(ValueError, match="repeat"):
        gradcam.profile(tape, repeat=0)


def test_a_real_tape():
    network = gradcam.vgg16(gradcam.vgg16.random_tensors(width=2, fc=8, classes=4))
    tape = network.forward(np.random.default_rng(0).random((2, 3, 32, 32), np.float32))
    found = gradcam.profile(tape, rule="guided", to="input", repeat=2)
    assert found.phases == ("forward", "backward")
    layers = {phase: {r.layer for r in found.rows if r.phase == phase} for phase in found.phases}
    weighted = {name for name in network.layers if name.startswith(("conv", "fc"))}
    assert weighted <= layers["forward"] and weighted <= layers["backward"]
    assert all(row.algorithm for row in found.rows if row.layer.startswith("conv"))
    gflop = profile.direct_gflop(network, 32, 32, "fc8")
    assert found.total("forward").gflop == pytest.approx(2 * gflop)
    assert found.total("backward").gflop == pytest.approx(2 * gflop)
    shorter = gradcam.profile(tape, [[0, 1], [2, 3]], repeat=1)  # two classes per picture
    below = {"conv5_3", "conv1_1"}
    assert not below & {row.layer for row in shorter.rows if row.phase == "backward"}


def test_gflop_of_direct_convolutions():
    network = gradcam.vgg16(gradcam.vgg16.random_tensors(width=1, fc=1, classes=2))
    macs = 224 * 224 * 9 * (3 + 1) + 112 * 112 * 9 * (2 + 4)
    assert profile.direct_gflop(network, 224, 224, "pool2") == pytest.approx(2e-9 * macs)


def test_machine_measure(threads):
    machine = profile.Machine.measure()
    assert machine.peak > 0 and machine.bandwidth > 0
    assert machine.threads == threads
    for measure in (gradcam._core.measure_peak, gradcam._core.measure_bandwidth):
        with pytest.raises(ValueError, match="1 to 256"):
            measure(0)
        with pytest.raises(TypeError):
            measure("many")
