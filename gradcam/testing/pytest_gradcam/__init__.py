"""The pytest plugin of gradcam.testing: two options, and a list of what a session wrote.

pytest imports this module in every session where gradcam is installed. It is installed as
``pytest_gradcam``, outside the package ``gradcam``, and imports neither that package nor NumPy: a
session that uses no assertion of gradcam.testing does not wait for them.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

_TITLES = {
    "gradcam_picture": "pictures of explanations that failed",
    "gradcam_stored": "maps that were stored",
}
"""What is listed at the end, by the name of the property of a test's report."""


class Session:
    """What gradcam.testing asks the session that runs.

    Attributes
    ----------
    pictures : Path
        The folder of the pictures of failures.
    update : bool
        Whether maps are stored.
    written : list of (str, str)
        What the test that runs has written so far: the name of a property, and a path.
    """

    def __init__(self, pictures: Path, update: bool) -> None:
        self.pictures = pictures
        self.update = update
        self.written: list[tuple[str, str]] = []


sessions: list[Session] = []
"""The sessions that run; the last one is a session inside a test of the others."""

_KEY = pytest.StashKey[Session]()


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    """Add the options of the plugin, and let gradcam be imported as it is.

    pytest rewrites the assert statements of every package that is installed with a plugin. The
    package gradcam gains nothing by that: its import would take longer, and the files that pytest
    writes beside it would remain when it is uninstalled. pytest has no public way to prevent it.
    """
    rewritten: set[str] = getattr(
        getattr(pluginmanager, "rewrite_hook", None), "_must_rewrite", set()
    )
    rewritten.discard("gradcam")
    group = parser.getgroup("gradcam", "explanations of networks (gradcam.testing)")
    group.addoption(
        "--gradcam-pictures",
        metavar="DIR",
        help="where pictures of failed explanations are written; by default the folder "
        "gradcam-failures in the root folder of the tests",
    )
    group.addoption(
        "--gradcam-update",
        action="store_true",
        help="store the maps of assert_matches_stored that are missing or do not agree any more",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Read the options."""
    given = config.getoption("--gradcam-pictures")
    default = config.rootpath / "gradcam-failures"
    folder = default if given is None else config.invocation_params.dir / Path(given).expanduser()
    config.stash[_KEY] = Session(folder, bool(config.getoption("--gradcam-update")))
    sessions.append(config.stash[_KEY])


def pytest_unconfigure(config: pytest.Config) -> None:
    """Forget the session."""
    if config.stash.get(_KEY, None) in sessions:
        sessions.remove(config.stash[_KEY])


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item) -> None:
    """Add what a test wrote to its report, which also reaches the main process of pytest-xdist."""
    written = item.config.stash[_KEY].written
    item.user_properties.extend(written)
    written.clear()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """List what the session wrote, if anything."""
    for name, title in _TITLES.items():
        paths = list(dict.fromkeys(_written(terminalreporter, name)))
        if paths:
            terminalreporter.section(title)
            for path in paths:
                terminalreporter.line(path)


def _written(terminalreporter: pytest.TerminalReporter, name: str) -> Iterator[str]:
    """Yield the paths of a property; pictures only of tests that failed."""
    for outcome, reports in terminalreporter.stats.items():
        if name == "gradcam_picture" and outcome not in ("failed", "error"):
            continue
        for report in reports:
            for key, value in getattr(report, "user_properties", ()):
                if key == name:
                    yield str(value)
