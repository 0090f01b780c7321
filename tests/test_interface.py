"""The public interface: its names, its types, and the levels of the modules behind it."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import peer

import gradcam

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = Path(gradcam.__file__).parent


def test_dir_lists_the_public_interface():
    assert dir(gradcam) == sorted(gradcam.__all__)


def test_internal_modules_begin_with_an_underscore():
    public = {path.stem for path in PACKAGE.glob("[!_]*.py")}
    public |= {path.parent.name for path in PACKAGE.glob("[!_]*/__init__.py")}
    modules = {"plot", "rules", "weights"}
    packages = {"bench", "critique", "imagenet", "inside", "measures", "pictograms", "testing"}
    packages |= {"captioning", "vqa"}
    assert public == modules | packages
    names = ("bench", "captioning", "critique", "measures", "pictograms", "testing", "vqa")
    for package in names:
        assert not list((PACKAGE / package).glob("[!_]*.py"))


def parts_of(thing):
    """The definitions of a public class or function that users see."""
    tree = ast.parse(Path(inspect.getsourcefile(thing)).read_text("utf-8"))
    for node in ast.walk(tree):
        if not isinstance(node, (ast.ClassDef, ast.FunctionDef)) or node.name != thing.__name__:
            continue
        if isinstance(node, ast.FunctionDef):
            yield node
            continue
        for each in node.body:
            if isinstance(each, ast.AnnAssign) and not each.target.id.startswith("_"):
                yield each
            if isinstance(each, ast.FunctionDef) and (
                each.name == "__init__" or not each.name.startswith("_")
            ):
                yield each


def annotations_of(node):
    if isinstance(node, ast.AnnAssign):
        return [node.annotation]
    every = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    every += [each for each in (node.args.vararg, node.args.kwarg) if each]
    return [each.annotation for each in every if each.annotation] + [node.returns]


def public_things():
    modules = [gradcam, *(getattr(gradcam, name) for name in ("plot", "rules", "weights"))]
    modules += [gradcam.pictograms, gradcam.imagenet, gradcam.critique, gradcam.captioning]
    modules += [gradcam.inside, gradcam.measures, gradcam.testing, gradcam.vqa]
    for module in modules:
        for name in getattr(module, "__all__", ["labels"]):
            thing = getattr(module, name)
            if inspect.isclass(thing) or inspect.isfunction(thing):
                yield thing
                yield from inspect.getmro(thing)[1:-1] if inspect.isclass(thing) else ()


def test_no_any_in_the_public_interface():
    seen = set()
    for thing in public_things():
        if not thing.__module__.startswith("gradcam") or thing in seen:
            continue
        seen.add(thing)
        if thing.__module__ == "gradcam._core":
            continue
        for node in parts_of(thing):
            for annotation in filter(None, annotations_of(node)):
                names = {each.id for each in ast.walk(annotation) if isinstance(each, ast.Name)}
                assert "Any" not in names, f"{thing.__name__}: {ast.unparse(node)[:200]}"
    assert len(seen) > 25


@pytest.mark.slow
def test_what_a_type_checker_knows():
    peer("mypy")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-incremental", "tests/types"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout


def test_only_the_top_level_imports_the_package_itself():
    """All others import its modules, and its C core."""
    for path in PACKAGE.rglob("*.py"):
        inside = path.relative_to(PACKAGE)
        if inside.parts[0] in ("_cli", "bench", "__main__.py", "__init__.py"):
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                assert "gradcam" not in [each.name for each in node.names], path
            if isinstance(node, ast.ImportFrom) and node.module == "gradcam":
                for each in node.names:
                    module = PACKAGE / f"{each.name}.py"
                    package = PACKAGE / each.name / "__init__.py"
                    assert each.name == "_core" or module.exists() or package.exists(), path


def test_no_import_goes_up():
    """The levels of CONTRIBUTING.md, as pyproject.toml states them for import-linter."""
    peer("importlinter")
    from importlinter.cli import lint_imports

    assert lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True) == 0
