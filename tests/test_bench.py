"""The benchmark: its arithmetic, its rounds, its options, and one tiny contest with itself."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from gradcam._profile import Machine
from gradcam.bench import _contest as contest
from gradcam.bench import _report as report
from gradcam.bench.__main__ import main

TINY = ["--width", "1", "--size", "32", "--threads", "1", "--rounds", "2"]


def command(*arguments):
    """Run ``python -m gradcam.bench``, in this folder, and return standard output."""
    done = subprocess.run(
        [sys.executable, "-m", "gradcam.bench", *arguments],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


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
    text = report.table([result], 1, Machine("avx2", 2, 100.0, 10.0), 30.0)
    lines = text.splitlines()
    assert lines[0].startswith("batch 1, 2 threads, avx2; at best 100 GFLOP/s, 10.0 GB/s;")
    assert lines[0].endswith("direct limit 30.0 GFLOP, 300.0 ms")
    assert lines[2].split() == ["forward", "gradcam", "11.0", "3"]
    assert lines[3].split() == ["PyTorch", "40.0", "0.25", "0.25", "0.50", "1.5e-06"]
    assert "*  PyTorch, tuned (channels last)" in lines[4]
    assert "*" not in lines[5]
    assert lines[6].strip() == "ONNX Runtime: onnxruntime is not installed"
    told = result.as_dict()
    assert [other["best"] for other in told["others"]] == [False, True, True]
    assert told["others"][0]["ratio"] == {"median": 0.25, "least": 0.25, "most": 0.5}
    assert told["gradcam"]["milliseconds"] == [10.0, 12.0, 11.0]


def contenders(*labels):
    return [contest.Contender(label, label, label, "forward") for label in labels]


def test_the_order_rotates_and_everyone_runs_in_each_round(monkeypatch):
    monkeypatch.setattr(contest, "PAUSE", 0)
    a, b, c = contenders("a", "b", "c")
    entries = {each: times(each.label, []) for each in (a, b, c)}
    ran = []

    def run(contender):
        ran.append(contender.label)
        return float(len(ran))

    assert contest.play_rounds(entries, run, 3) == []
    assert "".join(ran) == "abcbcacab"
    assert entries[a].milliseconds == [1.0, 6.0, 8.0]


def test_who_fails_is_taken_out_and_told(monkeypatch):
    monkeypatch.setattr(contest, "PAUSE", 0)
    a, b = contenders("a", "b")
    entries = {each: times(each.label, []) for each in (a, b)}

    def run(contender):
        if contender is b and entries[b].milliseconds:
            raise contest.Unavailable("failed: no memory")
        return 1.0

    assert contest.play_rounds(entries, run, 3) == ["b: failed: no memory"]
    assert list(entries) == [a]
    assert len(entries[a].milliseconds) == 3


@pytest.mark.parametrize(
    ("asked", "seconds", "round_seconds", "count"),
    [(10, 100, 1, 10), (10, 5, 1, 5), (10, 0.1, 1, 1), (10, -1, 1, 1), (1, 100, 1, 1)],
)
def test_rounds_fit_into_the_time(asked, seconds, round_seconds, count):
    assert contest.allowed_rounds(asked, seconds, round_seconds) == count


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--against", "torch,tensorflow"], "there is no 'tensorflow'; there are torch,"),
        (["--tasks", "backward"], "there is no 'backward'; there are convs, forward,"),
        (["--batch", "1,none"], "'none': expected whole numbers, 1 or more"),
        (["--batch", "0"], "'0': expected whole numbers, 1 or more"),
        (["--threads", "1,many"], "'many'"),
        (["--threads", "257"], "'257'"),
        (["--level", "avx9"], "avx9"),
        (["--rounds", "0"], "0"),
        (["--size", "8"], "8"),
    ],
)
def test_what_cannot_be_meant_is_said(arguments, sentence):
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert sentence in " ".join(result.output.split())


def test_help_names_the_tasks():
    result = CliRunner().invoke(main, ["--help"])
    assert result.exit_code == 0
    assert all(task in result.output for task in (*contest.TASKS, *contest.PEERS))


def test_a_tiny_contest(tmp_path):
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
def test_a_tiny_contest_in_all_tasks(tmp_path):
    file = tmp_path / "bench.json"
    text = command(*TINY, "--against", "none", "--batch", "2,1", "--layers", "--json", str(file))
    assert text.count("gradcam, five classes") == 2
    assert text.count("gradcam explain") == 1
    content = json.loads(file.read_text())
    assert content["versions"].keys() == {"gradcam", "BLAS of gradcam"}
    assert [(table["batch"], table["threads"]) for table in content["tables"]] == [(2, 1), (1, 1)]
    first = content["tables"][0]
    assert [result["task"] for result in first["results"]] == list(contest.TASKS)
    assert first["peak"] > 0 and first["bandwidth"] > 0
    assert all(len(result["gradcam"]["milliseconds"]) == 2 for result in first["results"])
    phases = {(row["layer"], row["phase"]) for row in first["layers"]["rows"]}
    assert {("conv2_1", "forward"), ("conv2_1", "backward"), ("fc6", "forward")} <= phases
    assert text.count("conv2_1") == 4


def test_what_is_not_installed_is_left_out(tmp_path, monkeypatch):
    for name in ("torch", "onnxruntime", "openvino"):
        (tmp_path / f"{name}.py").write_text(f"raise ModuleNotFoundError(name={name!r})")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    text = command(*TINY, "--rounds", "1", "--batch", "1", "--tasks", "forward,start")
    for sentence in (
        "PyTorch: torch is not installed",
        "PyTorch, tuned: torch is not installed",
        "ONNX Runtime: onnxruntime is not installed",
        "OpenVINO, f32: openvino is not installed",
    ):
        assert sentence in text
