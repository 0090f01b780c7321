"""What the notebooks contain; `run_notebooks.py` executes them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_formulas_show_without_a_network(path):
    """They are HTML: a page that nbconvert wrote loads MathJax, which TeX needs, from the web."""
    for cell in json.loads(path.read_text("utf-8"))["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            assert "$" not in source and "\\(" not in source and "\\[" not in source, source
            assert "src=" not in source.lower() and "](http" not in source


def test_there_are_notebooks():
    assert NOTEBOOKS
