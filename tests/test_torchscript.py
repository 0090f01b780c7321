"""TorchScript files are opened by PyTorch alone; what is refused before that."""

from __future__ import annotations

import io
import sys
import zipfile

import pytest

import gradcam
from gradcam import WeightsError


def file(tmp_path, code):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("m/data.pkl", b"")
        archive.writestr("m/constants.pkl", b"")
        archive.writestr("m/code/__torch__.py", code)
    path = tmp_path / "m.pt"
    path.write_bytes(content.getvalue())
    return path


def test_pytorch_is_needed(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    path = file(tmp_path, "class M(Module): pass")
    with pytest.raises(ImportError, match="TorchScript file, which only PyTorch can open: pip"):
        gradcam.load(path)
    with pytest.raises(ImportError, match=r"gradcam\.from_torch needs PyTorch: pip install torch"):
        gradcam.from_torch(None, (1, 3, 8, 8))


def test_files_that_run_functions_when_they_are_opened_are_refused(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    path = file(tmp_path, "class M(Module):\n  def __setstate__(self, state): ...")
    with pytest.raises(WeightsError, match="whose loading runs functions"):
        gradcam.load(path)
