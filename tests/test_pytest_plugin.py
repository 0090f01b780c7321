"""The pytest plugin of gradcam.testing, in sessions of its own."""

from __future__ import annotations

import importlib
import os
import re
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from helpers import run_python

from gradcam import testing
from gradcam.testing import _slides

pytest_plugins = ["pytester"]

FOLDER = str(Path(testing.__file__).parent)
"""Where the plugin is in a checkout; installed, it is a package beside gradcam."""
TESTS = """
import numpy as np
import pytest
from gradcam import testing

there = np.zeros((8, 12))
there[2, 3] = 1

def test_passes():
    testing.assert_points_at(there, (3, 2, 4, 3))

@pytest.mark.parametrize("name", ["cat", "a/b"])
def test_fails(name):
    testing.assert_points_at(there, (6, 5, 8, 8))

def test_expects_a_failure():
    with pytest.raises(AssertionError):
        testing.assert_energy_inside(there, (6, 5, 8, 8))
"""


@pytest.fixture
def session(pytester, monkeypatch):
    """Run pytest on TESTS, with the plugin; in this process, pictures are not drawn."""
    monkeypatch.setattr(_slides, "slide", lambda *arguments: np.zeros((1, 1, 3), np.uint8))
    monkeypatch.delenv("GRADCAM_PICTURES", raising=False)
    monkeypatch.delenv("GRADCAM_UPDATE", raising=False)
    pytester.syspathinsert(FOLDER)
    monkeypatch.setenv("PYTHONPATH", FOLDER, prepend=os.pathsep)
    pytester.makepyfile(test_place=TESTS)

    def run(*options, plugin="-ppytest_gradcam", within=True):
        start = pytester.runpytest_inprocess if within else pytester.runpytest_subprocess
        return start(plugin, "-pno:cacheprovider", *options)

    return run


def test_a_failure_is_one_sentence_and_its_picture_is_listed(session, pytester):
    result = session()
    result.assert_outcomes(passed=2, failed=2)
    shown = result.stdout.str()
    sentence = "the maximum of the map is at (x 3, y 2), 4.2 pixels from the box (6, 5, 8, 8)"
    assert shown.count(f"E       AssertionError: {sentence}") == 2
    assert "gradcam/testing" not in shown  # the traceback ends in the test
    listed = shown.split("pictures of explanations that failed")[1].splitlines()[1:3]
    folder = pytester.path / "gradcam-failures"
    assert re.fullmatch(r"gradcam-failures/test_place-test_fails-cat-points_at.png", listed[0])
    assert re.fullmatch(
        r"gradcam-failures/test_place-test_fails-a-b-[0-9a-f]{8}-points_at.png", listed[1]
    )
    assert all((pytester.path / path).is_file() for path in listed)
    assert (folder / ".gitignore").read_text() == "*\n"


def test_folder_of_the_pictures_and_expected_failures(session, pytester):
    """What was expected to fail is not listed."""
    result = session("--gradcam-pictures", "there/pictures", "-k", "passes or expects")
    result.assert_outcomes(passed=2)
    assert "pictures of explanations" not in result.stdout.str()
    (picture,) = (pytester.path / "there" / "pictures").glob("*.png")
    assert picture.name == "test_place-test_expects_a_failure-energy_inside.png"
    assert not (pytester.path / "gradcam-failures").exists()


def test_update(session, pytester):
    pytester.makepyfile(
        test_place="""
from pathlib import Path
import numpy as np
from gradcam import Explanation, testing
from gradcam._pictures.image import Geometry

def test_stored():
    raw = np.eye(4, dtype=np.float32)
    picture = np.zeros((8, 8, 3), np.uint8)
    cat = Explanation("grad_cam", "Grad-CAM", "map", "cat", None, 1.0, None, "relu", raw, None,
                      picture, Geometry.straight((8, 8), (8, 8)))
    testing.assert_matches_stored(cat, Path(__file__).parent / "maps" / "cat.npz")
"""
    )
    result = session()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*no map is stored at maps/cat.npz*--gradcam-update*"])
    result = session("--gradcam-update")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*maps that were stored*", "maps/cat.npz"])
    result = session()
    result.assert_outcomes(passed=1)
    assert "maps that were stored" not in result.stdout.str()


def test_the_plugin_imports_nothing_slow():
    program = f"""
import sys
sys.path.insert(0, {FOLDER!r})
import pytest
before = set(sys.modules)
import pytest_gradcam
print(sorted(set(sys.modules) - before))
"""
    assert run_python(program) == "['pytest_gradcam']"


def test_pytest_does_not_rewrite_the_package(pytester):
    pytester.syspathinsert(FOLDER)
    manager = pytester.parseconfig("-pno:pytest_gradcam").pluginmanager
    marked = manager.rewrite_hook._must_rewrite  # what pytest rewrites, by the name of the package
    marked |= {"gradcam", "other"}
    importlib.import_module("pytest_gradcam").pytest_addoption(Mock(), manager)
    assert "gradcam" not in marked and "other" in marked


@pytest.mark.slow
def test_a_session_without_assertions_imports_no_gradcam(session, pytester):
    pytester.makepyfile(
        test_place="""
import sys

def test_empty():
    assert "pytest_gradcam" in sys.modules
    assert not {"gradcam", "numpy"} & set(sys.modules)
"""
    )
    session(within=False).assert_outcomes(passed=1)


@pytest.mark.slow
def test_several_processes(session):
    pytest.importorskip("xdist")
    result = session("-n2", within=False)
    result.assert_outcomes(passed=2, failed=2)
    listed = result.stdout.str().split("pictures of explanations that failed")[1].splitlines()[1:3]
    assert len({*listed}) == 2 and all("points_at.png" in line for line in listed)


@pytest.mark.slow
def test_without_the_plugin(session, pytester):
    result = session(plugin="-pno:pytest_gradcam", within=False)
    result.assert_outcomes(passed=2, failed=2)
    result.stdout.fnmatch_lines(
        ["*Picture: gradcam-failures/test_place-test_fails-cat-points_at.png"]
    )
    assert "pictures of explanations" not in result.stdout.str()


@pytest.mark.slow
def test_unittest_shows_only_lines_of_the_test(pytester, monkeypatch):
    monkeypatch.delenv("PYTEST_CURRENT_TEST")
    pytester.makepyfile(
        test_it="""
import unittest
import numpy as np
from gradcam import testing

class TestIt(unittest.TestCase):
    def test_place(self):
        testing.assert_points_at(np.eye(4), (2, 0, 3, 1))
"""
    )
    result = pytester.runpython_c("import unittest; unittest.main('test_it')")
    shown = result.stderr.str()
    assert "the maximum of the map is at (x 0, y 0), 2 pixels from the box (2, 0, 3, 1)" in shown
    assert "Picture: gradcam-failures/test_it.TestIt.test_place-points_at.png" in shown
    assert shown.count("File ") == 1
    assert (pytester.path / "gradcam-failures" / "test_it.TestIt.test_place-points_at.png").exists()
