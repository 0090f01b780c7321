"""The fuzzer finds all kinds of faults, and short runs of all readers have no findings."""

from __future__ import annotations

import faulthandler
import importlib
import multiprocessing
import os
import sys
from pathlib import Path

import pytest
from helpers import peer

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


def run_here(arguments: list[str], folder: Path, output: Path) -> None:
    faulthandler.disable()  # a crash is expected
    with open(output, "w") as sys.stdout, open(output, "a") as sys.stderr:
        sys.path[:0] = [str(FOLDER), str(folder)]
        status = importlib.import_module("fuzz_weights").main(arguments)
    os._exit(status)


def run(reader: str, folder: Path, *arguments: str) -> tuple[int | None, str]:
    """The exit status and the output of the fuzzer, in a copy of this process."""
    output = folder / "output.txt"
    command = [reader, *arguments, "--keep", str(folder / "kept")]
    process = multiprocessing.get_context("fork").Process(
        target=run_here, args=(command, folder, output)
    )
    process.start()
    process.join(120)
    process.kill()  # if it still runs
    process.join()
    return process.exitcode, output.read_text()


@pytest.mark.parametrize("case", FAULTS)
def test_each_kind_of_finding(case, tmp_path):
    fault, message = FAULTS[case]
    (tmp_path / "reader_planted.py").write_text(FAULTY_READER.format(fault=fault))
    status, output = run("planted", tmp_path, "--inputs", "5", "--seconds", "0.2")
    assert status == 1, output
    assert f"FINDING: {message}" in output
    kept = next((tmp_path / "kept").iterdir())
    assert sum(kept.read_bytes()) % 10 == 0


NEEDED = {"keras": "h5py", "torchscript": "torch"}
"""The packages that open the files of these readers."""


@pytest.mark.parametrize("inputs", ["50", pytest.param("300", marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "reader", sorted(path.stem.removeprefix("reader_") for path in FOLDER.glob("reader_*.py"))
)
def test_short_runs_have_no_findings(reader, inputs, tmp_path):
    if reader in NEEDED:
        peer(NEEDED[reader])
    status, output = run(reader, tmp_path, "--inputs", inputs)
    assert status == 0, output
    assert f"{inputs} inputs" in output and " 0 kinds of finding" in output
    assert not (tmp_path / "kept").exists()
