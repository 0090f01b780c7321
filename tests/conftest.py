"""Markers and the fixtures that every test file may use.

`pytest` runs the quick tests, in about a minute; `pytest -m slow` the long ones (networks of full
width, very large pictures, other CPU levels than the fastest); `pytest -m "slow or not slow"`
both. Tests under peers/ compare with other packages, and are skipped if these are not installed.
"""

from __future__ import annotations

import contextlib
import gc
import os
from collections.abc import Iterator

os.environ.setdefault("MPLBACKEND", "Agg")
os.environ["GRADCAM_CACHE"] = "off"  # tests never touch the user's cache

import pytest


@contextlib.contextmanager
def _one_blas_thread() -> Iterator[None]:
    """The OpenBLAS of a library that is imported meanwhile runs in the calling thread alone.

    Other processes and the core's own OpenBLAS are as in use.
    """
    before = os.environ.get("OPENBLAS_NUM_THREADS")
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    yield
    if before is None:
        del os.environ["OPENBLAS_NUM_THREADS"]
    else:
        os.environ["OPENBLAS_NUM_THREADS"] = before


# The twins multiply small matrices, beside tests in another process: threads only wait for those.
with _one_blas_thread():
    import numpy as np  # noqa: F401


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: takes long; runs with `-m slow`")
    config.addinivalue_line("markers", "peers: compares with another package")


def pytest_ignore_collect(collection_path, config):
    """Do not import the other packages when their tests are not to run."""
    expression = config.option.markexpr
    excluded = "not peers" in expression and " or " not in expression
    return True if excluded and collection_path.name == "peers" else None


def pytest_collection_finish(session):
    """The collector of garbage does not look at thousands of tests and modules again and again."""
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(config, items):
    if config.option.markexpr:
        return
    slow = [item for item in items if "slow" in item.keywords]
    if slow:
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if "slow" not in item.keywords]


def _cpu_levels() -> tuple[str, ...]:
    try:
        from gradcam import _core
    except ImportError:  # the tests of the twin do not need the core
        return ()
    return _core.cpu_levels()


def _fast_levels() -> list:
    """All levels with vectors; the fastest alone is not slow.

    The level `reference` has neither fused layers nor blocked maps, and tests/c compares each of
    its kernels with those of the other levels: the few tests of whole networks at `cpu_level`
    are sufficient for it.
    """
    *others, fastest = _cpu_levels()[1:] or ("reference",)
    return [*(pytest.param(level, marks=pytest.mark.slow) for level in others), fastest]


@contextlib.contextmanager
def _at_level(level: str) -> Iterator[str]:
    from gradcam import _core

    before = _core.cpu_level()
    _core.set_cpu_level(level)
    yield level
    _core.set_cpu_level(before)


@pytest.fixture(params=_cpu_levels())
def cpu_level(request):
    """Run the test once at each kernel level of this machine."""
    with _at_level(request.param) as level:
        yield level


@pytest.fixture(params=_fast_levels())
def fast_level(request):
    """Run the test at the fastest kernel level, and with `-m slow` at the others with vectors."""
    with _at_level(request.param) as level:
        yield level


@pytest.fixture
def threads():
    """The number of threads, restored afterwards."""
    from gradcam import _core

    before = _core.get_num_threads()
    yield before
    _core.set_num_threads(before)


@pytest.fixture(scope="session")
def chromium():
    """One headless browser for all tests of a process; for pages that several tests share."""
    from browser import NAMES, Browser
    from helpers import program

    program(*NAMES)
    with Browser() as browser:
        yield browser


@pytest.fixture
def browser(chromium):
    """A headless browser, see browser.py. The pages that a test opens are closed after it."""
    before = [*chromium.pages]
    yield chromium
    for page in [*chromium.pages]:
        if page not in before:
            page.close()


@pytest.fixture(scope="session")
def firefox():
    """A headless Firefox, see firefox.py."""
    from firefox import NAMES, Firefox
    from helpers import program

    with Firefox(program(*NAMES)) as firefox:
        yield firefox


@pytest.fixture(scope="session")
def live_page(tmp_path_factory):
    """The address of the page that ``gradcam page`` writes."""
    from gradcam import _page

    return _page.write(tmp_path_factory.mktemp("page") / "live.html").as_uri()
