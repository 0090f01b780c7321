"""Markers and the fixtures that every test file may use.

`pytest` runs the quick tests; `pytest -m slow` the long ones (full-width networks, very large
pictures); `pytest -m "slow or not slow"` both. Tests under peers/ compare with other packages
and skip, saying so, where these are not installed.
"""

from __future__ import annotations

import os

os.environ.setdefault("MPLBACKEND", "Agg")
os.environ["GRADCAM_CACHE"] = "off"  # the user's own is none of the tests' business

import pytest


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: takes long; runs with `-m slow`")
    config.addinivalue_line("markers", "peers: compares with another package")


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
    except ImportError:  # the twin's own tests need no core
        return ()
    return _core.cpu_levels()


@pytest.fixture(params=_cpu_levels())
def cpu_level(request):
    """Runs the test once at each kernel level of this machine."""
    from gradcam import _core

    before = _core.cpu_level()
    _core.set_cpu_level(request.param)
    yield request.param
    _core.set_cpu_level(before)


@pytest.fixture
def threads():
    """The thread count, put back afterwards."""
    from gradcam import _core

    before = _core.get_num_threads()
    yield before
    _core.set_num_threads(before)
