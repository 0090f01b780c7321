"""The notebooks: their formulas; ``gradcam notebooks``, which never replaces a user's changes."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from gradcam._cli import main
from gradcam._cli.copies import shipped


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


@pytest.mark.parametrize("path", shipped(), ids=lambda path: path.stem)
def test_formulas_show_without_a_network(path):
    """They are HTML: a page that nbconvert wrote loads MathJax, which TeX needs, from the web."""
    for cell in json.loads(path.read_text("utf-8"))["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            assert "$" not in source and "\\(" not in source and "\\[" not in source, source
            assert "src=" not in source.lower() and "](http" not in source
