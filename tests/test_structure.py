"""The shape of the code: which part may know which."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from helpers import run_python

import gradcam
from gradcam import _core

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted((ROOT / "csrc").rglob("*.[ch]"))
ROOMS = ["base", "kernels", "layers", "network", "python"]  # nothing includes upward

pytestmark = pytest.mark.skipif(not SOURCES, reason="the sources are not here")


def room(path: Path) -> str:
    """The folder right under csrc/, or "" for the public header beside them."""
    parts = path.relative_to(ROOT / "csrc").parts
    return parts[0] if len(parts) > 1 else ""


def code(path: Path) -> str:
    """The file without its comments."""
    return re.sub(r"/\*.*?\*/|//[^\n]*", " ", path.read_text("utf-8"), flags=re.DOTALL)


def included(path: Path) -> list[str]:
    return re.findall(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', code(path), flags=re.MULTILINE)


def own(path: Path, name: str) -> Path | None:
    """The file of ours that this file means by `name`."""
    for folder in (path.parent, ROOT / "csrc", *(ROOT / "csrc" / each for each in ROOMS)):
        if (folder / name).is_file():
            return (folder / name).resolve()
    return None


def source_id(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_the_rooms_are_the_ones_known():
    folders = {path.name for path in (ROOT / "csrc").iterdir() if path.is_dir()}
    assert folders == set(ROOMS)


@pytest.mark.parametrize("path", SOURCES, ids=source_id)
def test_nothing_includes_upward(path):
    if not room(path):
        assert all(own(path, name) is None for name in included(path))
        return
    for name in included(path):
        target = own(path, name)
        if target is not None and room(target):
            assert ROOMS.index(room(target)) <= ROOMS.index(room(path)), f"includes {name}"


@pytest.mark.parametrize("path", SOURCES, ids=source_id)
def test_only_the_python_room_knows_python(path):
    names = included(path)
    knows = any(name == "Python.h" or name.startswith("numpy/") for name in names)
    knows |= bool(re.search(r"\bPy[A-Z_]\w*\s*\(", code(path)))
    assert not knows or room(path) == "python"


@pytest.mark.parametrize("path", SOURCES, ids=source_id)
def test_only_one_file_calls_the_blas(path):
    calls = re.search(r"cblas_\w+\s*\(", code(path), flags=re.IGNORECASE)
    assert not calls or source_id(path) == "csrc/layers/sgemm.c"


@pytest.mark.parametrize("path", SOURCES, ids=source_id)
def test_kernels_never_allocate_or_print(path):
    if room(path) == "kernels":
        assert not re.search(
            r"\b(malloc|calloc|realloc|free|printf|fprintf|abort|exit)\s*\(", code(path)
        )


@pytest.mark.parametrize("path", SOURCES, ids=source_id)
def test_every_file_says_what_it_does(path):
    """In itself, or in its header."""
    texts = [
        each.read_text("utf-8").lstrip() for each in (path, path.with_suffix(".h")) if each.exists()
    ]
    assert any(text.startswith("/*") for text in texts)


@pytest.mark.parametrize("package", ["matplotlib", "PIL", "click", "torch"])
def test_importing_is_light(package):
    assert run_python(f"import sys, gradcam; print({package!r} in sys.modules)") == "False"


def test_every_public_name_is_there():
    program = "import gradcam; print([n for n in gradcam.__all__ if not hasattr(gradcam, n)])"
    assert run_python(program) == "[]"
    assert run_python("import gradcam; print(set(gradcam.__all__) - set(dir(gradcam)))") == "set()"


def stubbed(body: list[ast.stmt]) -> dict[str, ast.stmt]:
    """The functions, classes and names that a stub states."""
    found: dict[str, ast.stmt] = {}
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found[node.name] = node
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found[node.target.id] = node
    return found


def test_the_stub_of_the_core_says_what_is_there():
    stub = ast.parse((ROOT / "gradcam" / "_core.pyi").read_text("utf-8"))
    names = stubbed(stub.body)
    there = {name for name in dir(_core) if not name.startswith("__") or name == "__version__"}
    assert set(names) == there
    for name, node in names.items():
        if isinstance(node, ast.ClassDef):
            stated = {each for each in stubbed(node.body) if not each.startswith("__")}
            assert stated == {each for each in dir(getattr(_core, name)) if each[0] != "_"}


def test_every_public_thing_is_documented():
    undocumented = []
    for name in gradcam.__all__:
        thing = getattr(gradcam, name)
        if isinstance(thing, type):
            members = {f"{name}.{k}": v for k, v in vars(thing).items() if k[0] != "_"}
            undocumented += [k for k, v in members.items() if callable(v) and not v.__doc__]
        if callable(thing) and not thing.__doc__:
            undocumented.append(name)
    assert not undocumented
