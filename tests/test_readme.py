"""The Python snippets of the README run, except those that need files of the reader."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

README = Path(__file__).parent.parent / "README.md"


def test_the_snippets_run_in_order(tmp_path, monkeypatch):
    if not README.exists():
        pytest.skip("README.md is not in the parent folder of the tests")
    blocks = re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), flags=re.DOTALL)
    assert len(blocks) >= 5
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), names)
    assert (tmp_path / "cat.png").exists()
