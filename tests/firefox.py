"""A headless Firefox for tests of pages, driven by its protocol Marionette.

    with Firefox() as firefox:
        firefox.open("live.html")
        firefox.wait_for("document.querySelector('#scores').children.length > 0")

The messages are JSON, each after its length and a colon, through a socket. Only the standard
library is needed. Tests use the fixture `firefox`; most tests need Chromium alone (browser.py).
"""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from browser import BrowserError, PageError, wait_until

NAMES = ("firefox", "firefox-esr")
"""The programs that are looked for, in this order."""

_SETTINGS = {
    "marionette.port": 0,  # a free one, which it writes into its profile
    "network.proxy.type": 1,  # nothing is reached over a network
    "network.proxy.http": "127.0.0.1",
    "network.proxy.http_port": 9,
    "network.proxy.ssl": "127.0.0.1",
    "network.proxy.ssl_port": 9,
    "app.normandy.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "layout.css.prefers-color-scheme.content-override": 1,  # light
}

_INLINE = """
const [expression, done] = arguments;
const [script, root] = [document.createElement("script"), document.documentElement];
script.textContent = `(async () => (${expression}\n))().then(
    (value) => ({value}), (error) => ({error: String(error)})
).then((answer) => {
    document.documentElement.dataset.answer = JSON.stringify(answer);
    document.dispatchEvent(new Event("answered"));
})`;
document.addEventListener("answered", () => done(root.dataset.answer), {once: true});
document.head.append(script);
script.remove();
"""
"""Runs an expression as a script of the page: those of Marionette see only parts of its objects."""


class Firefox:
    """A Firefox with one page and a profile of its own, which is removed at the end.

    Parameters
    ----------
    program : str
        The path of Firefox.
    seconds : float
        The longest time for its start, and for an answer to a command.
    """

    def __init__(self, program: str, seconds: float = 120) -> None:
        self.seconds = seconds
        self._folder = Path(tempfile.mkdtemp(prefix="gradcam-firefox-"))
        self._numbers = itertools.count(1)
        self._socket: socket.socket | None = None
        lines = [f"user_pref({json.dumps(n)}, {json.dumps(v)});\n" for n, v in _SETTINGS.items()]
        (self._folder / "user.js").write_text("".join(lines))
        self._process = subprocess.Popen(
            [program, "--headless", "--marionette", "--no-remote", "--profile", self._folder],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=os.environ | {"HOME": str(self._folder)},
            start_new_session=True,
        )
        try:
            self._connect()
        except BaseException:
            self.close()
            raise

    def _connect(self) -> None:
        end = time.monotonic() + self.seconds
        place = self._folder / "MarionetteActivePort"
        while not (place.exists() and place.read_text()):
            if self._process.poll() is not None or time.monotonic() > end:
                raise BrowserError("Firefox did not start")
            time.sleep(0.1)
        address = ("127.0.0.1", int(place.read_text()))
        self._socket = socket.create_connection(address, timeout=self.seconds)
        self._stream = self._socket.makefile("rb")
        self._receive()
        self.command("WebDriver:NewSession", capabilities={})
        self.command("WebDriver:SetTimeouts", script=int(1000 * self.seconds))

    def __enter__(self) -> Firefox:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """End Firefox with all its processes, and remove its profile."""
        if self._socket is not None:
            with contextlib.suppress(OSError, BrowserError):
                self.command("Marionette:Quit", flags=["eForceQuit"])
                self._process.wait(10)
            self._stream.close()
            self._socket.close()
            self._socket = None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def command(self, name: str, **parameters: Any) -> Any:
        """Send a command of Marionette and return its result."""
        assert self._socket is not None
        data = json.dumps([0, next(self._numbers), name, parameters]).encode()
        try:
            self._socket.sendall(b"%d:%s" % (len(data), data))
            _, _, error, result = self._receive()
        except TimeoutError:
            raise BrowserError(f"no answer to {name} within {self.seconds} s") from None
        if error:
            raise BrowserError(f"{name}: {error['message']}")
        return result

    def _receive(self) -> Any:
        length = b""
        while not length.endswith(b":"):
            more = self._stream.read(1)
            if not more:
                raise BrowserError("Firefox has ended")
            length += more
        return json.loads(self._stream.read(int(length[:-1])))

    def open(self, path: str | Path, *, width: int = 1366, height: int = 768) -> None:
        """Open a file and wait until it is loaded."""
        self.command("WebDriver:SetWindowRect", width=width, height=height)
        self.command("WebDriver:Navigate", url=Path(path).resolve(strict=True).as_uri())

    def evaluate(self, expression: str) -> Any:
        """Return the value of an expression, awaited, as JSON. Raise PageError if it throws."""
        result = self.command("WebDriver:ExecuteAsyncScript", script=_INLINE, args=[expression])
        answer = json.loads(result["value"])
        if "error" in answer:
            raise PageError(f"{answer['error']}\nin: {expression[:300]}")
        return answer.get("value")

    def wait_for(self, condition: str, seconds: float = 60) -> Any:
        """Return the value of an expression once it is true. Raise PageError if it stays false."""
        return wait_until(self.evaluate, condition, seconds)

    def screenshot(self, path: str | Path) -> None:
        """Save a PNG of the window."""
        data = self.command("WebDriver:TakeScreenshot", full=False)["value"]
        Path(path).write_bytes(base64.b64decode(data))
