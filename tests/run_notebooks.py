"""Execute the notebooks, without saving the outputs.

    python tests/run_notebooks.py [NOTEBOOK ...]

Fails if a cell raises or takes longer than two minutes. Needs the extra ``notebook``.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"


def main(paths: list[str]) -> None:
    notebooks = [Path(path) for path in paths] or sorted(NOTEBOOKS.glob("*.ipynb"))
    if not notebooks:
        sys.exit(f"no notebooks in {NOTEBOOKS}")
    for path in notebooks:
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
        start = time.perf_counter()
        # In a temporary folder, so that modules of the checkout are not imported.
        with tempfile.TemporaryDirectory() as folder:
            resources = {"metadata": {"path": folder}}
            NotebookClient(
                notebook, timeout=120, kernel_name="python3", resources=resources
            ).execute()
        print(f"{path.name}: {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main(sys.argv[1:])
