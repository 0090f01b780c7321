"""The Python blocks of the README run one after the other, except those with files of the reader."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import gradcam

README = Path(__file__).parent.parent / "README.md"


def test_the_snippets_run_one_after_the_other(tmp_path, monkeypatch):
    if not README.exists():
        pytest.skip("the README is not beside the tests")
    blocks = re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), flags=re.DOTALL)
    assert len(blocks) >= 5
    monkeypatch.chdir(tmp_path)
    # The README registers a method; other tests must not see it.
    monkeypatch.setattr(gradcam.METHODS, "_methods", dict(gradcam.METHODS._methods))
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), names)
    assert (tmp_path / "cat.png").exists()
    assert "input_x_gradient" in gradcam.METHODS
