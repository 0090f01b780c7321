"""Execute the notebooks, and after each the code of its solutions.

    python tests/run_notebooks.py [--save] [NOTEBOOK ...]

Fails if a cell raises or takes longer than ten minutes. The kernel has no network, where `unshare`
can take it away. `--save` writes the outputs of the lesson, without those of its solutions, into
the notebook. Needs the extra ``notebook``.
"""

from __future__ import annotations

import base64
import io
import re
import shutil
import subprocess
import sys
import tempfile
from datetime import datetime
from pathlib import Path
from textwrap import dedent

import nbformat
from nbclient import NotebookClient
from PIL import Image

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"

WIDTH = 1000
"""Of the widest figure that is stored, in pixels: a page of a notebook is not wider."""

FOLDED = re.compile(r"<details>.*?</details>", re.DOTALL)
CODE = re.compile(r"```python\n(.*?)^ *```", re.DOTALL | re.MULTILINE)


def solutions(notebook: nbformat.NotebookNode) -> list[str]:
    """Return the code of the solutions: the blocks of Python in the folded parts."""
    texts = ["".join(c["source"]) for c in notebook["cells"] if c["cell_type"] == "markdown"]
    return [
        dedent(code)
        for text in texts
        for folded in FOLDED.findall(text)
        for code in CODE.findall(folded)
    ]


def alone(code: str, number: int) -> str:
    """Return code that runs a solution with the names of the lesson, without those of others."""
    return f"exec(compile({code!r}, 'solution block {number}', 'exec'), dict(globals()))"


def offline() -> list[str]:
    """Return the beginning of a command that takes the network away, empty if there is none."""
    command = ["unshare", "--user", "--map-root-user", "--net"]
    found = shutil.which("unshare")
    works = found and subprocess.run([*command, "true"], capture_output=True).returncode == 0
    return command if works else []


def _run(notebook: nbformat.NotebookNode, folder: str) -> None:
    """Execute the cells in a kernel that is reached by sockets that are files."""
    resources = {"metadata": {"path": folder}}
    client = NotebookClient(notebook, timeout=600, kernel_name="python3", resources=resources)
    without_network = offline()
    if without_network:
        manager = client.create_kernel_manager()
        manager.transport, manager.ip = "ipc", f"{folder}/kernel"
        manager.kernel_spec.argv[:1] = [*without_network, sys.executable]
    client.execute()


def execute(path: Path) -> nbformat.NotebookNode:
    """Execute a lesson and its solutions in one kernel, and return the lesson.

    The working folder is temporary, so that modules of the checkout are not imported.
    """
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    lesson = len(notebook.cells)
    for number, code in enumerate(solutions(notebook), 1):
        notebook.cells.append(nbformat.v4.new_code_cell(alone(code, number)))
    with tempfile.TemporaryDirectory() as folder:
        _run(notebook, folder)
    seconds = [_seconds(cell) for cell in notebook.cells]
    own, rest = sum(seconds[:lesson]), sum(seconds[lesson:])
    print(
        f"{path.name}: {own:.0f} s, its {len(seconds) - lesson} solutions {rest:.0f} s", flush=True
    )
    del notebook.cells[lesson:]
    return notebook


def _seconds(cell: nbformat.NotebookNode) -> float:
    """Return how long a cell took, 0 for text and if its times are not complete."""
    times = cell.metadata.get("execution", {})
    keys = ("iopub.status.busy", "shell.execute_reply")
    if not all(key in times for key in keys):
        return 0.0
    start, end = (datetime.fromisoformat(times[key].replace("Z", "+00:00")) for key in keys)
    return (end - start).total_seconds()


def table(notebook: nbformat.NotebookNode) -> list[list[str]]:
    """Return the rows of the table of claims at the end of a lesson, its header first."""
    found = [
        "".join(output["data"]["text/markdown"])
        for cell in notebook["cells"]
        for output in cell.get("outputs", [])
        if "text/markdown" in output.get("data", {})
    ]
    rows = [line for line in found[-1].splitlines() if line.startswith("|")] if found else []
    return [
        [part.strip() for part in line.strip("|").split("|")] for line in rows if "---" not in line
    ]


def save(notebook: nbformat.NotebookNode, path: Path) -> None:
    """Write a notebook with its outputs; figures are made small."""
    notebook.metadata.language_info = {"name": "python"}  # not which version it was
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if "outputs" in cell:
            cell.outputs = _joined(cell.outputs)
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                output["data"].update(_small(output["data"].pop("image/png")))
    nbformat.write(notebook, path)


def _joined(outputs: list[nbformat.NotebookNode]) -> list[nbformat.NotebookNode]:
    """Return outputs with texts that follow each other as one; where they are cut is chance."""
    joined: list[nbformat.NotebookNode] = []
    for output in outputs:
        last = joined[-1] if joined else {}
        if output["output_type"] == "stream" and last.get("name") == output["name"]:
            last["text"] += output["text"]
        else:
            joined.append(output)
    return joined


def _small(figure: str) -> dict[str, str]:
    """Return a figure not wider than a page, as the smaller of PNG with 256 colours and JPEG."""
    picture = Image.open(io.BytesIO(base64.b64decode(figure))).convert("RGB")
    picture.thumbnail((WIDTH, 2 * WIDTH), Image.Resampling.LANCZOS)
    palette = picture.quantize(256, Image.Quantize.MEDIANCUT)
    dithered = picture.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG)
    png, jpeg = io.BytesIO(), io.BytesIO()
    dithered.save(png, "PNG", optimize=True)
    picture.save(jpeg, "JPEG", quality=85, subsampling=0)
    kind, file = min(("png", png), ("jpeg", jpeg), key=lambda each: each[1].tell())
    return {f"image/{kind}": base64.b64encode(file.getvalue()).decode()}


def main(arguments: list[str]) -> None:
    saved = "--save" in arguments
    paths = [Path(each) for each in arguments if each != "--save"]
    paths = paths or sorted(NOTEBOOKS.glob("*.ipynb"))
    if not paths:
        sys.exit(f"no notebooks in {NOTEBOOKS}")
    for path in paths:
        notebook = execute(path)
        if saved:
            save(notebook, path)


if __name__ == "__main__":
    main(sys.argv[1:])
