"""The benchmark: statistics, tables, networks, rounds, options, and tiny runs."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import onnx_files
import pytest
from click.testing import CliRunner
from helpers import aligned
from PIL import Image

import gradcam
from gradcam import _cache, _core
from gradcam._engine import transformed
from gradcam.bench import __main__ as main_module
from gradcam.bench import _comparison as comparison
from gradcam.bench import _machine, _pictures, _process
from gradcam.bench import _networks as networks
from gradcam.bench import _report as report
from gradcam.bench.__main__ import main
from gradcam.bench._engines import Setup, ours
from gradcam.bench._process import Unavailable
from gradcam.bench._programs import PEERS, TASKS, Candidate

TINY = ["--width", "1", "--size", "32", "--threads", "1", "--rounds", "2", "--pictures", "9"]


def command(*arguments):
    """Run ``python -m gradcam.bench`` in this folder and return its standard output."""
    process = subprocess.run(
        [sys.executable, "-m", "gradcam.bench", *arguments],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert process.returncode == 0, process.stderr
    return process.stdout


def times(label, milliseconds, peer="", **more):
    return report.Times(label, peer, milliseconds, **more)


def test_ratios_are_taken_round_by_round():
    # The ratio of the medians would be 3 / 8.
    assert report.ratio([1, 3, 10], [2, 12, 8]) == (0.5, 0.25, 1.25, report.NO_VERDICT)
    with pytest.raises(ValueError):
        report.ratio([1.0], [])


@pytest.mark.parametrize(
    ("ratios", "verdict"),
    [
        ([0.5, 0.5, 0.5, 0.5], report.NO_VERDICT),  # too few rounds
        ([0.5, 0.5, 0.5, 0.5, 0.5], report.FASTER),
        ([2.0, 2.1, 2.2, 2.3, 2.4], report.SLOWER),
        ([1.0] * 9, report.NO_VERDICT),
        ([0.9] * 9 + [1.1], report.FASTER),  # one of ten on the other side
        ([0.9] * 8 + [1.1, 1.1], report.NO_VERDICT),
        ([0.9] * 4 + [1.1], report.NO_VERDICT),
        ([0.5, 0.6, 0.8, 0.95, 0.99], report.NO_VERDICT),  # quartiles 0.35 apart, 0.8 is 0.2 from 1
        ([0.7, 0.75, 0.8, 0.85, 0.99], report.FASTER),
    ],
)
def test_verdicts(ratios, verdict):
    assert report.verdict(ratios) == verdict
    assert report.verdict(ratios[::-1]) == verdict


def test_spread():
    assert report.spread([5.0, 1.0, 4.0, 2.0, 3.0]) == pytest.approx(2 / 3)
    assert report.spread([7.0]) == report.spread([7.0, 7.0]) == 0


def yardsticks(*peaks, bandwidth=10.0, **more):
    load = {"seconds": 0.1, "others": 0.05, "stolen": 0.01} | more
    return [report.Yardstick("avx2", 2, peak, bandwidth, **load) for peak in peaks]


def test_limits_use_the_yardstick_of_their_round():
    settings = comparison.Settings(
        "vgg16", Path(), 2, 224, 2, None, (), (), pictures=1, layers=False, limit=30.0, reading=0.5
    )
    limits = comparison.Comparison(settings, print)._limits
    found = yardsticks(100.0, 50.0)
    (direct,) = limits("convs", found)
    assert direct.milliseconds == [600.0, 1200.0]
    # gradcam took twice the time at half the peak: the ratios are equal.
    assert report.ratio([300.0, 600.0], direct.milliseconds)[:3] == (0.5, 0.5, 0.5)
    (reading,) = limits("fc", found)
    assert reading.milliseconds == [50.0, 50.0]
    assert limits("forward", found) == []


def test_processor_time_of_others():
    usage = _machine.parse_usage("cpu  100 20 30 4000 50 6 7 8 9 10\n", ticks=10)
    assert usage == (17.1, 0.8)  # neither idle nor waiting, and guests are part of `user`
    found = _machine.read_usage()
    assert found is None or found.busy > found.stolen >= 0


def test_the_table():
    result = report.Result(
        "forward",
        times("gradcam", [10.0, 12.0, 11.0]),
        [
            times("PyTorch", [40.0, 48.0, 22.0], "torch", difference=1.5e-6),
            times("PyTorch, tuned", [20.0, 24.0, 22.0], "torch", setting="channels last"),
            times("OpenVINO", [30.0, 30.0, 30.0], "openvino"),
        ],
        ["ONNX Runtime: onnxruntime is not installed"],
        yardsticks=yardsticks(100.0, 90.0, 110.0),
    )
    assert result.best() == {1}
    table = report.Table("vgg16", 1, 2, 30.0, [result])
    lines = str(table).splitlines()
    assert lines[0] == "vgg16, batch 1, 2 threads, avx2; direct limit 30.0 GFLOP, 300.0 ms"
    assert lines[1].startswith("the machine: peak 100 GFLOP/s (spread 10%), reading 10.0 GB/s")
    assert lines[1].endswith(
        "medians of 3 measurements, each after a run of gradcam, in processor time"
    )
    assert "used 0.50 processors on average, of which other virtual machines 0.10" in lines[2]
    assert lines[4].split() == ["forward", "gradcam", "11.0", "9%", "3"]
    cells = ["PyTorch", "40.0", "32%", "0.25", "0.25", "0.50", "no", "verdict", "1.5e-06"]
    assert lines[5].split() == cells
    assert "*  PyTorch, tuned (channels last)" in lines[6]
    assert "*" not in lines[7]
    assert lines[8] == "forward: ONNX Runtime: onnxruntime is not installed"
    content = result.as_dict()
    assert [other["best"] for other in content["others"]] == [False, True, True]
    assert content["others"][0]["ratio"] == {
        **{"median": 0.25, "minimum": 0.25, "maximum": 0.5},
        "verdict": "no verdict",
    }
    assert content["gradcam"]["milliseconds"] == [10.0, 12.0, 11.0]
    assert [each["peak"] for each in content["yardsticks"]] == [100.0, 90.0, 110.0]


def test_targets_are_those_of_the_fastest_program():
    result = report.Result(
        "forward",
        times("gradcam", [10.0] * 5),
        [
            times("PyTorch, tuned", [20.0] * 5, "torch"),
            times("ONNX Runtime", [12.5] * 5, "onnxruntime"),
            times("captum", [5.0] * 5, "captum"),  # does not count here
        ],
    )
    lines = {
        name: report.Table(name, 1, 1, 1.0, [result]).targets()
        for name in ("resnet18", "resnet50", "vgg16")
    }
    assert lines["vgg16"] == []
    assert lines["resnet18"] == [
        "target: forward / ONNX Runtime: 0.80; must 0.75 missed, aim 0.55 missed"
    ]
    assert lines["resnet50"][0].endswith("0.80; must 1.00 reached, aim 0.85 reached")
    alone = report.Result("forward", times("gradcam", [10.0]), [])
    assert report.Table("resnet18", 1, 1, 1.0, [alone]).targets() == []


def test_algorithms_and_conversions():
    def row(layer, operation, algorithm, milliseconds, phase="forward"):
        return {
            "layer": layer,
            "operation": operation,
            "algorithm": algorithm,
            "milliseconds": milliseconds,
            "phase": phase,
        }

    rows = [
        row("a", "conv", "packed (converts)", 1.0),
        row("b", "conv", "packed", 5.0),
        row("c", "max_pool", "", 2.0),
        row("d", "add", "(converts)", 2.0),
        row("b", "conv", "product", 1.0, "backward"),
    ]
    assert report.Layers("", {"rows": rows}).algorithms() == [
        "algorithms, forward: steps (share of time): packed 2 (60%), max_pool 1 (20%), add 1 (20%)",
        "maps converted, forward: a, d",
        "algorithms, backward: steps (share of time): product 1 (100%)",
        "maps converted, backward: none",
    ]


def test_other_networks_have_the_statistics_of_pictures(monkeypatch):
    monkeypatch.setattr(networks, "SIDE", 64)
    tensors = networks.other_network("resnet18")
    x = networks.make_input(networks.CALIBRATION_PICTURES, 64)
    (shares,) = networks.measure_shares(gradcam.resnet18(tensors), x).values()
    assert 0.3 < shares < 0.7
    plain = {**tensors, "bn1.weight": np.ones(64, np.float32), "bn1.bias": np.zeros(64, np.float32)}
    network = gradcam.resnet18(plain)
    maps = network.forward(x, keep=["bn1"]).activation("bn1")
    assert np.allclose(maps.mean((0, 2, 3)), 0, atol=1e-4)
    assert np.allclose(maps.std((0, 2, 3)), 1, atol=1e-3)


def test_a_table_without_yardsticks():
    result = report.Result("start", times("gradcam explain", [1.0]), [])
    table = report.Table("vgg16", 1, 1, 30.0, [result])
    assert str(table).splitlines()[0] == "vgg16, batch 1, 1 thread"
    assert table.as_dict()["peak"] is None
    (unknown,) = yardsticks(100.0, others=None, stolen=None)
    result.yardsticks.append(unknown)
    assert "noise" not in str(table)


def test_pictures_a_second():
    result = report.Result(
        "stream", times("gradcam", [2000.0]), [times("other", [8000.0])], pictures=96
    )
    assert result.messages() == ["stream: 96 pictures; pictures a second: gradcam 48.0, other 12.0"]
    assert result.as_dict()["pictures"] == 96


def test_the_pictures_are_the_same_every_time(tmp_path):
    contents = []
    for name in ("a", "b"):
        _pictures.write_pictures(tmp_path / name, 3)
        contents.append([path.read_bytes() for path in sorted((tmp_path / name).iterdir())])
    assert contents[0] == contents[1] and len(set(contents[0])) == 3
    assert all(40_000 < len(content) < 160_000 for content in contents[0])
    with Image.open(tmp_path / "a" / "0000.jpg") as image:
        assert image.size == (500, 375)


def test_calibrated_networks_have_the_shares_of_trained_ones():
    tensors, again = networks.random_network(width=4), networks.random_network(width=4)
    assert all(np.array_equal(values, again[name]) for name, values in tensors.items())
    shares = networks.measure_shares(gradcam.vgg16(tensors), networks.make_input(4, 224))
    for layer, share in networks.SHARES.items():
        if layer.startswith("relu"):  # what pooling makes of it depends on the width
            assert shares[layer] == pytest.approx(share, abs=0.02), layer


@pytest.mark.slow
def test_the_full_network_has_the_shares_of_the_trained_one():
    network = gradcam.vgg16(networks.random_network())
    for number in (1, 4):
        shares = networks.measure_shares(network, networks.make_input(number, 224))
        assert shares == pytest.approx(networks.SHARES, abs=0.02)


def test_the_input_is_turned_scenes():
    batch = networks.make_input(9, 96)
    assert batch.shape == (9, 3, 96, 96) and batch.dtype == np.float32
    assert np.array_equal(batch[1], batch[0][:, :, ::-1])
    assert len({picture.tobytes() for picture in batch}) == 9
    assert np.allclose(batch[:8].mean((1, 2, 3)), batch[0].mean(), atol=1e-6)
    assert networks.make_input(1, 32).shape == (1, 3, 32, 32)


@pytest.fixture(scope="module")
def convolutions():
    """The tensors of a VGG-16 with two channels in the first block, and its ONNX operations."""
    rng = np.random.default_rng(5)
    tensors = gradcam.vgg16.random_tensors(width=2, fc=8, classes=3)
    for name, values in tensors.items():
        if name.endswith("bias"):
            values[:] = rng.standard_normal(values.shape)
    return tensors, onnx_files.layers("vgg16", tensors)


def test_real_convolutions_are_read(convolutions, tmp_path):
    tensors, ops = convolutions
    (tmp_path / "a.onnx").write_bytes(onnx_files.model(ops))
    with zipfile.ZipFile(tmp_path / "a.whl", "w") as archive:
        archive.write(tmp_path / "a.onnx", "package/model.onnx")
        archive.writestr("package/__init__.py", "")
    found = networks.real_network(tmp_path / "a.whl", tmp_path, width=2)
    for name, values in tensors.items():
        if name.startswith("features") and not name.startswith("features.0."):
            assert np.array_equal(found[name], values)
    plain = networks.real_network(tmp_path / "a.onnx", tmp_path, width=2)
    assert all(np.array_equal(plain[name], values) for name, values in found.items())
    shares = networks.measure_shares(gradcam.vgg16(found), networks.make_input(4, 224))
    assert shares["relu6"] == pytest.approx(0.5, abs=0.02)
    assert shares["relu7"] == pytest.approx(0.5, abs=0.02)


def first_layer(tensors, x):
    builder = _core.NetworkBuilder(3)
    conv = builder.conv(0, tensors["features.0.weight"], tensors["features.0.bias"])
    return builder.build().forward(x).activation(conv)


def test_the_first_real_convolution_accepts_the_input_of_the_others(convolutions):
    tensors = {name: values.copy() for name, values in convolutions[0].items()}
    pixels = np.random.default_rng(0).integers(0, 256, (1, 3, 9, 9))
    caffe = pixels[:, ::-1] - np.reshape([103.939, 116.779, 123.68], (3, 1, 1))
    mean, std = np.reshape([0.485, 0.456, 0.406], (3, 1, 1)), [0.229, 0.224, 0.225]
    torchvision = (pixels / 255 - mean) / np.reshape(std, (3, 1, 1))
    expected = first_layer(tensors, caffe)
    networks._accept_rgb(tensors, "features.0.weight", "features.0.bias")
    assert np.allclose(first_layer(tensors, torchvision), expected, rtol=1e-4, atol=1e-3)


def test_files_without_the_real_convolutions_are_refused(convolutions, tmp_path):
    _, ops = convolutions
    file = tmp_path / "a.onnx"

    def message(content, path=file):
        file.write_bytes(content)
        options = ["--network", "vgg16-real", "--real-weights", str(path), "--width", "2"]
        result = CliRunner().invoke(main, [*options, "--tasks", "convs", "--against", "none"])
        assert result.exit_code == 1 and str(path) in result.output
        return " ".join(result.output.split())

    assert "ONNX" in message(b"no weights")
    assert "3 convolutions instead of VGG-16's 13" in message(onnx_files.model(ops[:7]))
    wide = onnx_files.layers("vgg16", gradcam.vgg16.random_tensors(width=3, fc=8, classes=3))
    assert "conv1_1 has the shape (3, 3, 3, 3) instead of (2, 3, 3, 3)" in message(
        onnx_files.model(wide)
    )
    without = [onnx_files.Op(each.op, each.parameters[:1], each.attributes) for each in ops]
    assert "expected a weight and a bias" in message(onnx_files.model(without))
    empty = tmp_path / "a.zip"
    zipfile.ZipFile(empty, "w").close()
    assert "expected one .onnx file in it, found 0" in message(b"", empty)


def candidates(*labels):
    return [Candidate(label, label, label, "forward") for label in labels]


def test_the_order_rotates_and_all_run_in_each_round(monkeypatch):
    monkeypatch.setattr(comparison, "PAUSE", 0)
    a, b, c = candidates("a", "b", "c")
    entries = {each: times(each.label, []) for each in (a, b, c)}
    ran = []

    def run(candidate):
        ran.append(candidate.label)
        return float(len(ran))

    assert comparison.run_rounds(entries, run, 3) == []
    assert "".join(ran) == "abcbcacab"
    assert entries[a].milliseconds == [1.0, 6.0, 8.0]


def test_candidates_that_fail_are_removed_and_reported(monkeypatch):
    monkeypatch.setattr(comparison, "PAUSE", 0)
    a, b = candidates("a", "b")
    entries = {each: times(each.label, []) for each in (a, b)}

    def run(candidate):
        if candidate is b and entries[b].milliseconds:
            raise Unavailable("failed: no memory")
        return 1.0

    assert comparison.run_rounds(entries, run, 3) == ["b: failed: no memory"]
    assert list(entries) == [a]
    assert len(entries[a].milliseconds) == 3


@pytest.mark.parametrize(
    ("rounds", "seconds", "round_seconds", "count"),
    [(10, 100, 1, 10), (10, 5, 1, 5), (10, 0.1, 1, 1), (10, -1, 1, 1), (1, 100, 1, 1)],
)
def test_rounds_fit_into_the_time(rounds, seconds, round_seconds, count):
    assert comparison.limit_rounds(rounds, seconds, round_seconds) == count


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--against", "torch,tensorflow"], "unknown name 'tensorflow'; expected torch,"),
        (["--tasks", "convolve"], "unknown name 'convolve'; expected convs, backward,"),
        (["--network", "vgg16-real"], "--real-weights FILE belong together"),
        (["--real-weights", __file__], "--real-weights FILE belong together"),
        (["--network", "resnet5"], "'resnet5'"),
        (["--network", "resnet50", "--tasks", "convs,forward"], "convs: only of VGG-16; resnet50"),
        (["--network", "resnet50", "--width", "8"], "--width are only of VGG-16"),
        (["--threads", "256", "--neighbour"], "--threads must be less than the number of"),
        (["--batch", "1,none"], "'none': expected integers of 1 or more"),
        (["--batch", "0"], "'0': expected integers of 1 or more"),
        (["--threads", "1,many"], "'many'"),
        (["--threads", "257"], "'257'"),
        (["--level", "avx9"], "avx9"),
        (["--rounds", "0"], "0"),
        (["--size", "8"], "8"),
    ],
)
def test_invalid_options_are_refused(arguments, message):
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.output.split())


def test_help_names_the_tasks():
    result = CliRunner().invoke(main, ["--help"])
    assert result.exit_code == 0
    assert all(task in result.output for task in (*TASKS, *PEERS))


def test_a_tiny_run(tmp_path):
    file = tmp_path / "bench.json"
    tasks = ["convs", "backward", "fc", "grad_cam5"]
    text = command(
        *TINY, *("--against", "none", "--batch", "1", "--tasks", ",".join(tasks), "--json", file)
    )
    assert text.count("gradcam, five classes") == 1
    content = json.loads(file.read_text())
    (table,) = content["tables"]
    assert content["network"] == "vgg16" and content["shares"].keys() == networks.SHARES.keys()
    assert [result["task"] for result in table["results"]] == tasks
    for result in table["results"]:
        assert len(result["gradcam"]["milliseconds"]) == 2
        assert all(each["peak"] > 0 and each["bandwidth"] > 0 for each in result["yardsticks"])
        assert len(result["yardsticks"]) == 2
    convs = table["results"][0]
    (limit,) = convs["others"]
    assert limit["label"] == "direct limit"
    assert limit["milliseconds"] == pytest.approx(
        [1e3 * table["direct_limit_gflop"] / each["peak"] for each in convs["yardsticks"]]
    )


def test_a_tiny_run_of_another_network(tmp_path):
    file = tmp_path / "bench.json"
    options = ["--size", "64", "--threads", "1", "--rounds", "1", "--batch", "1"]
    text = command("--network", "squeezenet1_1", "--against", "none", *options, "--json", str(file))
    content = json.loads(file.read_text())
    (table,) = content["tables"]
    tasks = ["forward", "grad_cam", "grad_cam5", "guided"]
    assert [result["task"] for result in table["results"]] == tasks
    assert content["network"] == table["network"] == "squeezenet1_1"
    assert content["shares"].keys() == {"rectifiers"}
    assert "algorithms, forward" in text and "maps converted, backward" in text
    assert all(row["algorithm"] for row in table["layers"]["rows"] if "conv" in row["operation"])


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache in which small networks have files too."""
    monkeypatch.setenv("GRADCAM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(transformed, "MIN_BYTES", 1)


def test_parts_of_the_network_use_cached_weights(cache, tmp_path):
    """As the passes of users do."""
    path = tmp_path / "weights.safetensors"
    gradcam.weights.save(gradcam.vgg16.random_tensors(width=8, fc=32), path)
    threads = _core.get_num_threads()
    engine = ours.Engine(Setup(path, "vgg16", threads, False))
    x = networks.make_input(1, 64)
    (fc,) = engine.variants("fc", x).values()
    fc()
    layer = engine.network.index("fc6")
    pack = aligned(engine.network.core.pack_bytes(layer, "input-major"))
    references = sys.getrefcount(pack)
    engine.network.core.pack(layer, "input-major", pack)
    engine.network.core.lend_pack(layer, "input-major", pack)
    assert sys.getrefcount(pack) == references, "it has some already"
    engine.variants("backward", x)
    assert {"forward", "backward"} < {entry.kind for entry in _cache.entries()}


def test_nothing_of_the_benchmark_stays_in_the_cache(cache):
    assert _cache.store("sums", "1" * 32, {}, {"1": np.zeros(10, np.float32)}, "/weights.pth")
    with main_module._weights_file() as path:
        gradcam.weights.save(gradcam.vgg16.random_tensors(width=8, fc=32), path)
        gradcam.vgg16(path).forward(networks.make_input(1, 64))
        assert str(path) in {entry.source for entry in _cache.entries()}
    assert [entry.source for entry in _cache.entries()] == ["/weights.pth"]
    assert not path.parent.exists()


@pytest.mark.parametrize("rounds", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_busy_neighbour(tmp_path, monkeypatch, rounds):
    processor = _machine.list_processors()[0]  # also used by gradcam, if there is only one
    for module in (_process, main_module):
        monkeypatch.setattr(module, "list_processors", lambda: [processor, processor])
    file = tmp_path / "bench.json"
    options = [*TINY, "--batch", "1", "--tasks", "convs", "--against", "none", "--json", str(file)]
    result = CliRunner().invoke(main, [*options, "--rounds", str(rounds), "--neighbour"])
    assert result.exit_code == 0, result.output
    last = json.loads(file.read_text())["tables"][0]["results"][-1]
    assert last["gradcam"]["label"] == "gradcam, busy neighbour"
    (alone,) = last["others"]
    assert alone["label"] == "gradcam, alone" and len(alone["milliseconds"]) == rounds


def test_the_neighbour_ends_with_its_run(monkeypatch):
    started = []

    class Popen(subprocess.Popen):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            started.append(self)

    monkeypatch.setattr(subprocess, "Popen", Popen)
    with pytest.raises(KeyError), _process.busy_neighbour():
        assert started[0].poll() is None
        raise KeyError
    assert started[0].poll() is not None


@pytest.mark.slow
def test_a_tiny_run_of_all_tasks(tmp_path):
    file = tmp_path / "bench.json"
    text = command(*TINY, "--against", "none", "--batch", "2,1", "--layers", "--json", str(file))
    assert text.count("gradcam, five classes") == 2
    assert text.count("gradcam explain") == 1
    assert text.count("stream: 9 pictures; pictures a second: gradcam ") == 1
    content = json.loads(file.read_text())
    assert content["versions"].keys() == {"gradcam", "BLAS of gradcam"}
    assert [(table["batch"], table["threads"]) for table in content["tables"]] == [(2, 1), (1, 1)]
    first = content["tables"][0]
    assert [result["task"] for result in first["results"]] == list(TASKS)
    assert first["peak"] > 0 and first["bandwidth"] > 0
    assert all(len(result["gradcam"]["milliseconds"]) == 2 for result in first["results"])
    phases = {(row["layer"], row["phase"]) for row in first["layers"]["rows"]}
    assert {("conv2_1", "forward"), ("conv2_1", "backward"), ("fc6", "forward")} <= phases
    assert text.count("conv2_1") == 4


@pytest.mark.slow
def test_programs_that_are_not_installed_are_listed(tmp_path, monkeypatch):
    for name in ("torch", "onnxruntime", "openvino"):
        (tmp_path / f"{name}.py").write_text(f"raise ModuleNotFoundError(name={name!r})")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    text = command(*TINY, "--rounds", "1", "--batch", "1", "--tasks", "forward,start")
    for message in (
        "PyTorch: torch is not installed",
        "PyTorch, tuned: torch is not installed",
        "ONNX Runtime: onnxruntime is not installed",
        "OpenVINO, f32: openvino is not installed",
    ):
        assert message in text
