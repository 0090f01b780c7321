"""The fuzzer finds all kinds of faults, and short runs of all readers have no findings."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / "fuzz"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the fuzzer forks and reads /proc")

FAULTY_READER = """
import os, time
from pathlib import Path
from gradcam.weights import Weights, WeightsError

def seeds():
    return [bytes(range(40))]

def read(path):
    data = Path(path).read_bytes()
    start = time.process_time()
    if data == seeds()[0]:
        return Weights({{}})
    if sum(data) % 10 == 0:
        {fault}
    raise WeightsError("damaged")
"""

FAULTS = {
    "another error": ("raise KeyError('x')", "KeyError at reader_planted.py:"),
    "crash": ("os.abort()", "died (status"),
    "hang": ("time.sleep(1000)", "hung for"),
    "time": ("while time.process_time() < start + 0.3: pass", "slow, "),
    "memory": ("bytes(100 << 20)", "memory, "),
}


def run(reader: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(FOLDER / "fuzz_weights.py"), reader, *arguments]
    paths = [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
    return subprocess.run(
        [*command, "--keep", str(folder / "kept")],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        cwd=FOLDER,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize("case", FAULTS)
def test_each_kind_of_finding(case, tmp_path):
    fault, message = FAULTS[case]
    (tmp_path / "reader_planted.py").write_text(FAULTY_READER.format(fault=fault))
    done = run("planted", tmp_path, "--inputs", "5", "--seconds", "0.2")
    assert done.returncode == 1, done.stderr
    assert f"FINDING: {message}" in done.stdout
    kept = next((tmp_path / "kept").iterdir())
    assert sum(kept.read_bytes()) % 10 == 0


@pytest.mark.parametrize("inputs", ["50", pytest.param("300", marks=pytest.mark.slow)])
@pytest.mark.parametrize("reader", ["safetensors", "npz", "pth", "keras", "caffemodel", "onnx"])
def test_short_runs_have_no_findings(reader, inputs, tmp_path):
    if reader == "keras":
        pytest.importorskip("h5py", reason="reads HDF5 files")
    done = run(reader, tmp_path, "--inputs", inputs)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{inputs} inputs" in done.stdout and " 0 kinds of finding" in done.stdout
    assert not (tmp_path / "kept").exists()
