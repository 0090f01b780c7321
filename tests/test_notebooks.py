"""The notebooks: their form, and that they run; ``gradcam notebooks``, which keeps changes.

Each is a lesson, stored with its outputs, with exercises whose solutions are folded.
"""

from __future__ import annotations

import ast
import importlib
import json
import os
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from gradcam._cli import main
from gradcam._cli.copies import shipped

README = Path(__file__).parent.parent / "README.md"

LARGEST = 2_600_000
"""Bytes of a notebook."""

FIRST = "01_"
"""The introduction: it has no table of claims, and some of its solutions are words."""

lessons = pytest.mark.parametrize("path", shipped(), ids=lambda path: path.stem)


def needed(name):
    """Return a module of the extra ``notebook``; skip without it, where it may be missing."""
    if os.environ.get("GRADCAM_REQUIRE_PEERS") == "1":
        return importlib.import_module(name)
    return pytest.importorskip(name, reason="the extra gradcam[notebook] is not installed")


def cells(path, kind):
    found = json.loads(path.read_text("utf-8"))["cells"]
    return [cell for cell in found if cell["cell_type"] == kind]


def run(*arguments):
    return CliRunner().invoke(main, ["notebooks", *map(str, arguments)])


def test_notebooks_are_copied(tmp_path):
    result = run(tmp_path / "new" / "folder")
    assert result.exit_code == 0, result.output
    names = [path.name for path in shipped()]
    assert names and names[0].startswith("01_")
    assert sorted(path.name for path in (tmp_path / "new" / "folder").iterdir()) == names
    for path in (tmp_path / "new" / "folder").iterdir():
        assert json.loads(path.read_text("utf-8"))["nbformat"] == 4


def test_a_notebook_that_exists_is_kept(tmp_path):
    mine = tmp_path / shipped()[0].name
    mine.write_text("my changes")
    result = run(tmp_path)
    assert result.exit_code == 2 and mine.name in result.stderr
    assert mine.read_text() == "my changes"
    assert run(tmp_path, "--force").exit_code == 0
    assert mine.read_bytes() == shipped()[0].read_bytes()


@lessons
def test_formulas_show_without_a_network(path):
    """They are HTML: a page that nbconvert wrote loads MathJax, which TeX needs, from the web."""
    for cell in cells(path, "markdown"):
        source = "".join(cell["source"])
        for tex in ("$", "\\(", "\\[", "\\begin{"):
            assert tex not in source, source
        for loaded in ("src=", "<img", "](http", "](//"):
            assert loaded not in source.lower(), source


@lessons
def test_outputs_are_those_of_one_run(path):
    code = cells(path, "code")
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    for cell in code:
        for output in cell["outputs"]:
            assert output["output_type"] != "error", cell["source"]
            assert output.get("name") != "stderr", output["text"]
    kinds = [kind for cell in code for o in cell["outputs"] for kind in o.get("data", {})]
    assert sum(kind.startswith("image/") for kind in kinds) >= 3


def prints(source):
    """Whether a cell, and not only a function in it, calls print() or judge()."""
    waiting = list(ast.parse(source).body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("print", "judge"):
            return True
        if not isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.Lambda)):
            waiting += ast.iter_child_nodes(node)
    return False


def test_cells_that_print_are_found():
    assert prints("for x in y:\n    print(x)") and prints("if x:\n    judge(x)")
    assert not prints("def f():\n    print(1)") and not prints("x = 'print()'")


@lessons
def test_what_is_printed_is_stored(path):
    for cell in cells(path, "code"):
        assert cell["outputs"] or not prints("".join(cell["source"])), cell["source"]


@lessons
def test_claims_have_a_source_and_a_verdict(path):
    needed("nbclient")
    from run_notebooks import table

    header, *rows = table(json.loads(path.read_text("utf-8"))) or [[]]
    if path.name.startswith(FIRST):
        assert not header
        return
    assert header == ["claim", "source", "measured here", "verdict"] and len(rows) >= 4
    for row in rows:
        assert len(row) == 4 and all(row), row


@lessons
def test_form_of_a_lesson(path):
    notebook = json.loads(path.read_text("utf-8"))
    assert path.stat().st_size <= LARGEST
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
    texts = ["".join(cell["source"]) for cell in cells(path, "markdown")]
    assert texts[0].startswith("# ") and notebook["cells"][0]["cell_type"] == "markdown"
    assert "## References" in "".join(texts)


@lessons
def test_exercises_have_folded_solutions(path):
    """Those in one folded part have the numbers of the exercises, or each exercise has its own."""
    text = "\n".join("".join(cell["source"]) for cell in cells(path, "markdown"))
    _, found, rest = text.partition("## Exercises")
    exercises = rest.partition("\n## ")[0]
    assert found and exercises.count("<details>") == exercises.count("</details>") >= 1
    folded = "\n".join(re.findall(r"<details>.*?</details>", exercises, re.DOTALL))
    assert exercises.count("<summary>") == exercises.count("<details>") and "olution" in folded
    asked = re.sub(r"<details>.*?</details>", "", exercises, flags=re.DOTALL)
    if not path.name.startswith(FIRST):
        for solution in re.split(r"^(?=\d+\. )", folded, flags=re.MULTILINE)[1:]:
            assert "```python" in solution, solution
    numbers = re.findall(r"^(\d+)\. ", asked, re.MULTILINE)
    assert numbers == [str(n) for n in range(1, len(numbers) + 1)] and len(numbers) >= 4
    assert exercises.count("<details>") >= len(numbers) or numbers == re.findall(
        r"^(\d+)\. ", folded, re.MULTILINE
    )


@lessons
def test_the_readme_lists_it(path):
    if not README.exists():
        pytest.skip("README.md is not in the parent folder of the tests")
    assert f"(notebooks/{path.name})" in README.read_text("utf-8")


@lessons
def test_the_code_of_all_solutions_is_found(path):
    nbformat = needed("nbformat")
    needed("nbclient")
    from run_notebooks import solutions

    text = "\n".join("".join(cell["source"]) for cell in cells(path, "markdown"))
    folded = "".join(re.findall(r"<details>.*?</details>", text, re.DOTALL))
    found = solutions(nbformat.read(path, as_version=4))
    assert len(found) == folded.count("```python") >= 1
    for code in found:
        compile(code, path.name, "exec")


@pytest.mark.slow
@lessons
def test_it_runs_and_so_do_its_solutions(path):
    needed("nbclient")
    needed("ipykernel")
    from run_notebooks import execute, table

    stored = table(json.loads(path.read_text("utf-8")))
    again = table(execute(path))
    assert [row[0] for row in again] == [row[0] for row in stored]
    # Times and rounding differ from machine to machine: a verdict near its limit may change there.
    pairs = zip(stored, again, strict=True)
    other = [f"{old[0]}: {old[-1]} -> {new[-1]}" for old, new in pairs if old[-1] != new[-1]]
    assert len(other) <= len(stored) / 4, "\n".join(["the outputs are old:", *other])


def test_a_solution_sees_the_lesson_and_no_other_solution():
    needed("nbclient")
    from run_notebooks import alone

    lesson = {"a": [1]}
    exec(alone("b = a + [2]\na.append(b)", 1), lesson)
    assert lesson["a"] == [1, [1, 2]] and "b" not in lesson
    with pytest.raises(NameError, match="'b'"):
        exec(alone("print(b)", 2), lesson)


def test_times_that_are_not_complete_count_as_none():
    needed("nbclient")
    from nbformat.v4 import new_code_cell
    from run_notebooks import _seconds

    began = {"iopub.status.busy": "2020-01-01T00:00:01Z"}
    ended = {**began, "shell.execute_reply": "2020-01-01T00:00:03.5Z"}
    found = [_seconds(new_code_cell(metadata={"execution": each})) for each in (began, ended)]
    assert found == [0.0, 2.5] and _seconds(new_code_cell()) == 0.0


@pytest.mark.slow
def test_the_kernel_has_no_network(tmp_path):
    needed("ipykernel")
    nbformat = needed("nbformat")
    from run_notebooks import execute, offline

    if not offline():
        pytest.skip("unshare cannot take the network away here")
    code = "import socket\nprint([name for _, name in socket.if_nameindex()])"
    path = tmp_path / "lesson.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)]), path)
    assert execute(path).cells[0].outputs[0]["text"] == "['lo']\n"
