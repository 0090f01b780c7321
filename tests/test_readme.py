"""The documents agree with the code.

The README's Python blocks run in order, except those that need the reader's own files, and those
that need the ImageNet network or scikit-learn where it is not installed.
"""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

import gradcam
from gradcam import imagenet

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"


def test_code_blocks_run_in_order(tmp_path, monkeypatch):
    if not README.exists():
        pytest.skip("README.md is not in the parent folder of the tests")
    blocks = re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), flags=re.DOTALL)
    assert len(blocks) >= 5
    if not imagenet.is_installed():
        blocks = [block for block in blocks if "gradcam.imagenet.model()" not in block]
    if importlib.util.find_spec("sklearn") is None:
        blocks = [block for block in blocks if "gradcam.fit_head" not in block]
    monkeypatch.chdir(tmp_path)
    # The README registers a method; other tests must not see it.
    monkeypatch.setattr(gradcam.METHODS, "_methods", dict(gradcam.METHODS._methods))
    names: dict[str, object] = {"gradcam": gradcam}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), names)
    assert (tmp_path / "shuttle.png").exists() == imagenet.is_installed()
    assert "squared_gradient" in gradcam.METHODS


def test_contributing_states_the_levels_of_pyproject():
    contributing, pyproject = ROOT / "CONTRIBUTING.md", ROOT / "pyproject.toml"
    if not contributing.exists():
        pytest.skip("CONTRIBUTING.md is not in the parent folder of the tests")
    table = contributing.read_text("utf-8").split("|---|---|---|\n")[1].split("\n\n")[0]
    stated = [re.findall(r"`(\w+)`", row.split("|")[1]) for row in table.splitlines()]
    contract = re.search(r"\nlayers = \[\n(.*?)\n\]", pyproject.read_text("utf-8"), flags=re.DOTALL)
    levels = [re.findall(r"\w+", line) for line in contract[1].splitlines()]
    assert [set(level) for level in stated] == [set(level) for level in levels]


def test_contributing_names_files_that_exist():
    contributing = ROOT / "CONTRIBUTING.md"
    if not contributing.exists():
        pytest.skip("CONTRIBUTING.md is not in the parent folder of the tests")
    paths = re.findall(r"`((?:gradcam|csrc|tests)/[\w/.]*)`", contributing.read_text("utf-8"))
    missing = [path for path in paths if not (ROOT / path).exists() and "NAME" not in path]
    assert len(paths) > 30 and not missing


def test_contributing_names_every_file_of_measures_and_pictograms():
    contributing = ROOT / "CONTRIBUTING.md"
    if not contributing.exists():
        pytest.skip("CONTRIBUTING.md is not in the parent folder of the tests")
    text = contributing.read_text("utf-8")
    paths = [
        f"gradcam/{folder}/{path.name}"
        for folder in ("measures", "pictograms")
        for path in (ROOT / "gradcam" / folder).glob("_[!_]*.py")
    ]
    assert len(paths) > 40 and not [path for path in paths if f"`{path}`" not in text]
