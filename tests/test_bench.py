"""The benchmark: ratios, tables, rounds, options, and a tiny run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from gradcam._profile import Machine
from gradcam.bench import _comparison as comparison
from gradcam.bench import _report as report
from gradcam.bench.__main__ import main
from gradcam.bench._process import Unavailable
from gradcam.bench._programs import PEERS, TASKS, Candidate

TINY = ["--width", "1", "--size", "32", "--threads", "1", "--rounds", "2"]


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
    assert report.ratio([1, 3, 10], [2, 12, 8]) == (0.5, 0.25, 1.25)
    with pytest.raises(ValueError):
        report.ratio([1.0], [])


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
    )
    assert result.best() == {1}
    table = report.Table(1, Machine("avx2", 2, 100.0, 10.0), 30.0, [result])
    lines = str(table).splitlines()
    assert lines[0].startswith("batch 1, 2 threads, avx2; peak 100 GFLOP/s, 10.0 GB/s;")
    assert lines[0].endswith("direct limit 30.0 GFLOP, 300.0 ms")
    assert lines[2].split() == ["forward", "gradcam", "11.0", "3"]
    assert lines[3].split() == ["PyTorch", "40.0", "0.25", "0.25", "0.50", "1.5e-06"]
    assert "*  PyTorch, tuned (channels last)" in lines[4]
    assert "*" not in lines[5]
    assert lines[6] == "forward: ONNX Runtime: onnxruntime is not installed"
    content = result.as_dict()
    assert [other["best"] for other in content["others"]] == [False, True, True]
    assert content["others"][0]["ratio"] == {"median": 0.25, "minimum": 0.25, "maximum": 0.5}
    assert content["gradcam"]["milliseconds"] == [10.0, 12.0, 11.0]


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
        (["--tasks", "backward"], "unknown name 'backward'; expected convs, forward,"),
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
    tasks = ["convs", "grad_cam5"]
    text = command(
        *TINY, *("--against", "none", "--batch", "1", "--tasks", ",".join(tasks), "--json", file)
    )
    assert text.count("gradcam, five classes") == 1
    (table,) = json.loads(file.read_text())["tables"]
    assert [result["task"] for result in table["results"]] == tasks
    assert all(len(result["gradcam"]["milliseconds"]) == 2 for result in table["results"])


@pytest.mark.slow
def test_a_tiny_run_of_all_tasks(tmp_path):
    file = tmp_path / "bench.json"
    text = command(*TINY, "--against", "none", "--batch", "2,1", "--layers", "--json", str(file))
    assert text.count("gradcam, five classes") == 2
    assert text.count("gradcam explain") == 1
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
