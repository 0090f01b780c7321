"""The structure of the code: dependencies between folders, stubs and documentation."""

from __future__ import annotations

import ast
import re
import types
from pathlib import Path

import pytest
from helpers import run_python

import gradcam
from gradcam import _core

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted((ROOT / "csrc").rglob("*.[ch]"))
FOLDERS = [
    "base",
    "kernels",
    "layers",
    "network",
    "python",
    "web",
]  # each may include files of those before it

pytestmark = pytest.mark.skipif(not SOURCES, reason="the C sources are not available")


def folder(path: Path) -> str:
    """The folder in csrc/, or "" for the public header."""
    parts = path.relative_to(ROOT / "csrc").parts
    return parts[0] if len(parts) > 1 else ""


def code(path: Path) -> str:
    """The file without its comments."""
    return re.sub(r"/\*.*?\*/|//[^\n]*", " ", path.read_text("utf-8"), flags=re.DOTALL)


def included(path: Path) -> list[str]:
    return re.findall(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', code(path), flags=re.MULTILINE)


def find_include(path: Path, name: str) -> Path | None:
    """The file in csrc/ that this file includes as `name`, or None."""
    for place in (path.parent, ROOT / "csrc", *(ROOT / "csrc" / entry for entry in FOLDERS)):
        if (place / name).is_file():
            return (place / name).resolve()
    return None


def source_id(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_every_package_is_installed():
    """pyproject.toml lists the packages by name; one that is missing is missing in the wheel."""
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    listed = re.findall(r'"([\w.]+)"', re.search(r"^packages = \[(.*?)^\]", text, re.M | re.S)[1])
    places = (ROOT / "gradcam").rglob("__init__.py")
    found = {".".join(path.parent.relative_to(ROOT).parts) for path in places}
    assert sorted(listed) == sorted(found - {"gradcam.testing.pytest_gradcam"} | {"pytest_gradcam"})


def test_folders_of_csrc():
    folders = {path.name for path in (ROOT / "csrc").iterdir() if path.is_dir()}
    assert folders == set(FOLDERS)


def includes_a_later_folder(path: Path, name: str) -> bool:
    """Whether `name` is a file of a later folder; the public header may include no file."""
    target = find_include(path, name)
    if target is None or not folder(path):
        return target is not None
    return bool(folder(target)) and FOLDERS.index(folder(target)) > FOLDERS.index(folder(path))


def test_no_file_includes_a_later_folder():
    wrong = [
        (source_id(path), name)
        for path in SOURCES
        for name in included(path)
        if includes_a_later_folder(path, name)
    ]
    assert not wrong


def uses_python(path: Path) -> bool:
    names = included(path)
    return any(name == "Python.h" or name.startswith("numpy/") for name in names) or bool(
        re.search(r"\bPy[A-Z_]\w*\s*\(", code(path))
    )


def test_only_one_folder_uses_python():
    assert {folder(path) for path in SOURCES if uses_python(path)} == {"python"}


def test_only_one_file_calls_the_blas():
    calls = re.compile(r"\b(cblas|openblas)_\w+\)?\s*\(")
    callers = [source_id(path) for path in SOURCES if calls.search(code(path))]
    assert callers == ["csrc/layers/sgemm.c", "csrc/web/blas.c"]  # the second one defines it


def test_kernels_never_allocate_or_print():
    calls = re.compile(r"\b(malloc|calloc|realloc|free|printf|fprintf|abort|exit)\s*\(")
    kernels = [path for path in SOURCES if folder(path) == "kernels"]
    assert kernels and not [source_id(path) for path in kernels if calls.search(code(path))]


def is_described(path: Path) -> bool:
    """Whether the file or its header begins with a comment."""
    files = [entry for entry in (path, path.with_suffix(".h")) if entry.exists()]
    return any(entry.read_text("utf-8").lstrip().startswith("/*") for entry in files)


def test_every_file_has_a_comment_at_the_top():
    assert not [source_id(path) for path in SOURCES if not is_described(path)]


def test_import_loads_no_heavy_packages():
    heavy = {"matplotlib", "PIL", "click", "torch"}
    assert run_python(f"import sys, gradcam; print({heavy!r} & set(sys.modules))") == "set()"


def test_every_public_name_exists():
    program = "import gradcam; print([n for n in gradcam.__all__ if not hasattr(gradcam, n)])"
    assert run_python(program) == "[]"
    assert run_python("import gradcam; print(set(gradcam.__all__) - set(dir(gradcam)))") == "set()"


def names_in_stub(body: list[ast.stmt]) -> dict[str, ast.stmt]:
    """The functions, classes and names in a stub."""
    found: dict[str, ast.stmt] = {}
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found[node.name] = node
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found[node.target.id] = node
    return found


def test_the_stub_of_the_core_is_complete():
    stub = ast.parse((ROOT / "gradcam" / "_core.pyi").read_text("utf-8"))
    names = names_in_stub(stub.body)
    defined = {name for name in dir(_core) if not name.startswith("__") or name == "__version__"}
    assert set(names) == defined
    for name, node in names.items():
        if isinstance(node, ast.ClassDef):
            members = {entry for entry in names_in_stub(node.body) if not entry.startswith("__")}
            assert members == {entry for entry in dir(getattr(_core, name)) if entry[0] != "_"}


def test_public_objects_have_docstrings():
    undocumented = []
    for name in gradcam.__all__:
        item = getattr(gradcam, name)
        if isinstance(item, type):
            members = {f"{name}.{k}": v for k, v in vars(item).items() if k[0] != "_"}
            undocumented += [k for k, v in members.items() if callable(v) and not v.__doc__]
        if isinstance(item, (type, types.FunctionType)) and not item.__doc__:
            undocumented.append(name)
    assert not undocumented
