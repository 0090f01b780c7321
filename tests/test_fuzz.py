"""The fuzzer finds what it is there to find, and a short run of it finds nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / "fuzz"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the fuzzer forks and reads /proc")

PLANTED = """
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
        {harm}
    raise WeightsError("damaged")
"""

HARM = {
    "another error": ("raise KeyError('x')", "KeyError at reader_planted.py:"),
    "a crash": ("os.abort()", "died (status"),
    "a hang": ("time.sleep(1000)", "hung for"),
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


@pytest.mark.parametrize("case", HARM)
def test_what_goes_wrong_is_found(case, tmp_path):
    harm, words = HARM[case]
    (tmp_path / "reader_planted.py").write_text(PLANTED.format(harm=harm))
    done = run("planted", tmp_path, "--inputs", "5", "--seconds", "0.2")
    assert done.returncode == 1, done.stderr
    assert f"FINDING: {words}" in done.stdout
    kept = next((tmp_path / "kept").iterdir())
    assert sum(kept.read_bytes()) % 10 == 0


@pytest.mark.parametrize("inputs", ["50", pytest.param("300", marks=pytest.mark.slow)])
@pytest.mark.parametrize("reader", ["safetensors", "npz", "pth", "keras", "caffemodel", "onnx"])
def test_a_short_run_finds_nothing(reader, inputs, tmp_path):
    if reader == "keras":
        pytest.importorskip("h5py", reason="reads HDF5 files")
    done = run(reader, tmp_path, "--inputs", inputs)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{inputs} inputs" in done.stdout and " 0 kinds of finding" in done.stdout
    assert not (tmp_path / "kept").exists()
