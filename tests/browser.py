"""A headless Chromium for tests of pages, driven by the DevTools protocol.

    with Browser() as browser:
        page = browser.open("live.html", width=360, height=740, dark=True, mobile=True)
        page.wait_for("document.querySelector('#scores').children.length > 0")
        page.screenshot("phone.png")
        page.check()  # no errors, and nothing was asked for over a network

The messages are JSON, each ended by a zero byte. They go through two pipes, which Chromium finds
as file descriptors 3 and 4. Only the standard library is needed. Tests use the fixture `browser`.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import itertools
import json
import os
import select
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
"""The programs that are looked for, in this order."""

LOCAL = ("file:", "blob:", "data:", "about:")
"""The beginnings of addresses that need no network."""

_OPTIONS = (
    *("--headless", "--no-sandbox", "--no-zygote", "--disable-gpu", "--disable-dev-shm-usage"),
    *("--no-first-run", "--no-default-browser-check", "--disable-extensions", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--disable-breakpad"),
    *("--mute-audio", "--hide-scrollbars", "--force-device-scale-factor=1", "--lang=en"),
    *("--disable-backgrounding-occluded-windows", "--disable-renderer-backgrounding"),
    *("--host-resolver-rules=MAP * ~NOTFOUND", "--proxy-server=127.0.0.1:9"),
    "--remote-debugging-pipe",
)

_KEYS = {  # name: (code, virtual key code, text)
    "Enter": ("Enter", 13, "\r"),
    " ": ("Space", 32, " "),
    "Tab": ("Tab", 9, ""),
    "Escape": ("Escape", 27, ""),
    "Backspace": ("Backspace", 8, ""),
    "Delete": ("Delete", 46, ""),
    "Home": ("Home", 36, ""),
    "End": ("End", 35, ""),
    "PageUp": ("PageUp", 33, ""),
    "PageDown": ("PageDown", 34, ""),
    "ArrowLeft": ("ArrowLeft", 37, ""),
    "ArrowUp": ("ArrowUp", 38, ""),
    "ArrowRight": ("ArrowRight", 39, ""),
    "ArrowDown": ("ArrowDown", 40, ""),
}
_MODIFIERS = {"Alt": 1, "Control": 2, "Meta": 4, "Shift": 8}

Point = tuple[float, float]


class BrowserError(Exception):
    """The browser ended, did not answer in time, or refused a command."""


class PageError(Exception):
    """JavaScript that a test evaluated threw an error, or a condition did not become true."""


def wait_until(
    evaluate: Callable[[str], Any], condition: str, seconds: float, errors: Sequence[str] = ()
) -> Any:
    """Return the value of an expression once it is true. Raise PageError if it stays false."""
    end = time.monotonic() + seconds
    true = f"Promise.resolve({condition}).then((value) => value ? [value] : [])"  # as JavaScript
    while not (found := evaluate(true)):
        if time.monotonic() > end:
            words = evaluate("document.body?.innerText.slice(0, 300)")
            raise PageError(
                f"not true within {seconds} s: {condition}\n"
                f"errors: {', '.join(errors) or 'none'}\npage: {words}"
            )
        time.sleep(0.02)
    return found[0]


def find() -> str | None:
    """Return the path of the first program of `NAMES` that is installed."""
    return next(filter(None, map(shutil.which, NAMES)), None)


def _high(descriptor: int) -> int:
    """Move a file descriptor to a number above 4."""
    moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 5)
    os.close(descriptor)
    return moved


class _Process:
    """A running Chromium: messages to it and from it, and its end."""

    def __init__(self, program: str, options: Sequence[str], folder: Path) -> None:
        theirs, self._write = map(_high, os.pipe())
        self._read, answers = map(_high, os.pipe())
        self._log = folder / "log.txt"
        self._received = bytearray()
        self.ended = False
        self._pid = os.posix_spawn(
            program,
            [program, *_OPTIONS, *options, f"--user-data-dir={folder / 'profile'}", "about:blank"],
            os.environ | dict.fromkeys(("HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"), str(folder)),
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, str(self._log), os.O_WRONLY | os.O_CREAT, 0o600),
                (os.POSIX_SPAWN_DUP2, 1, 2),
                (os.POSIX_SPAWN_DUP2, theirs, 3),
                (os.POSIX_SPAWN_DUP2, answers, 4),
            ],
            setpgroup=0,
        )
        os.close(theirs)
        os.close(answers)

    def send(self, message: Mapping[str, Any]) -> None:
        data = memoryview(json.dumps(message).encode() + b"\0")
        try:
            while data:
                data = data[os.write(self._write, data) :]
        except BrokenPipeError:
            raise BrowserError(f"the browser has ended\n{self._last_words()}") from None

    def receive(self, end: float) -> dict[str, Any] | None:
        """Return the next message, or None if there is none until time.monotonic() is `end`."""
        while (place := self._received.find(0)) < 0:
            if not select.select([self._read], [], [], max(0, end - time.monotonic()))[0]:
                return None
            data = os.read(self._read, 1 << 20)
            if not data:
                raise BrowserError(f"the browser has ended\n{self._last_words()}")
            self._received += data
        message = json.loads(self._received[:place])
        del self._received[: place + 1]
        return message

    def end(self, seconds: float) -> None:
        """Close the pipes, wait for the browser's end, and after `seconds` end its processes."""
        if self.ended:
            return
        self.ended = True
        os.close(self._write)
        stop = time.monotonic() + seconds
        while not self._is_reaped() and time.monotonic() < stop:
            time.sleep(0.02)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._pid, signal.SIGKILL)  # all its processes, also those that it left
        while not self._is_reaped():
            time.sleep(0.02)
        os.close(self._read)

    def processor_seconds(self) -> float:
        ticks = 0
        for path in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                fields = path.read_text().rpartition(")")[2].split()
                if int(fields[2]) == self._pid:  # the process group
                    ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def _is_reaped(self) -> bool:
        try:
            return os.waitpid(self._pid, os.WNOHANG)[0] != 0
        except ChildProcessError:
            return True

    def _last_words(self) -> str:
        return self._log.read_text(errors="replace")[-2000:]


class Browser:
    """A browser with a profile of its own, which is removed at the end.

    Parameters
    ----------
    options : str
        Further options of Chromium's command line.
    seconds : float
        The longest time for an answer to a command.
    """

    def __init__(self, *options: str, seconds: float = 60) -> None:
        program = find()
        if program is None:
            raise BrowserError(f"none of {', '.join(NAMES)} is installed")
        self.seconds = seconds
        self.pages: list[Page] = []
        self._folder = Path(tempfile.mkdtemp(prefix="gradcam-browser-"))
        self.downloads = self._folder / "downloads"
        self._finished: set[str] = set()
        self._names: dict[str, str] = {}
        self._numbers = itertools.count(1)
        self._owners: dict[str, Page] = {}
        self._process = _Process(program, options, self._folder)
        try:
            self._allow()
        except BaseException:
            self.close()
            raise

    def _allow(self) -> None:
        where = {"behavior": "allow", "downloadPath": str(self.downloads), "eventsEnabled": True}
        self.command("Browser.setDownloadBehavior", where)
        allowed = ["clipboardReadWrite", "clipboardSanitizedWrite"]
        self.command("Browser.grantPermissions", {"permissions": allowed})

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """End the browser with all its processes, and remove its profile and its downloads."""
        with contextlib.suppress(BrowserError):
            if not self._process.ended:
                self._post("Browser.close", {}, None)
        self._process.end(seconds=5)
        shutil.rmtree(self._folder, ignore_errors=True)

    def open(
        self,
        address: str | Path,
        *,
        width: int = 1366,
        height: int = 768,
        dark: bool = False,
        mobile: bool = False,
        first: str = "",
    ) -> Page:
        """Open a page and wait until it is loaded.

        Parameters
        ----------
        address : str or Path
            An address, or a file.
        width, height : int
            The size of the window's contents in CSS pixels.
        dark : bool
            Whether the reader prefers dark colours.
        mobile : bool
            Whether it is a telephone: touched, with two pixels to a CSS pixel each way.
        first : str
            JavaScript that runs before that of the page.
        """
        if isinstance(address, Path) or ":" not in address:
            address = Path(address).resolve(strict=True).as_uri()
        page = Page(self)
        page._prepare(width, height, dark, mobile, first)
        page.go(address)
        return page

    def processor_seconds(self) -> float:
        """Return the processor time that all processes of the browser have taken (Linux)."""
        return self._process.processor_seconds()

    def wait_for_download(self, seconds: float = 10) -> Path:
        """Return the next file that was saved in `downloads` and was not returned before."""
        end = time.monotonic() + seconds
        while not self._finished:
            if not self._step(end):
                raise BrowserError(f"nothing was saved within {seconds} s")
        return self.downloads / self._names.pop(self._finished.pop())

    def command(
        self, method: str, parameters: Mapping[str, Any] | None = None, session: str | None = None
    ) -> dict[str, Any]:
        """Send a command of the DevTools protocol and return its result."""
        number = self._post(method, parameters or {}, session)
        end = time.monotonic() + self.seconds
        while True:
            message = self._step(end)
            if message is None:
                raise BrowserError(f"no answer to {method} within {self.seconds} s")
            if message.get("id") == number:
                break
        if "error" in message:
            raise BrowserError(f"{method}: {message['error']['message']}")
        return message["result"]

    def _post(self, method: str, parameters: Mapping[str, Any], session: str | None) -> int:
        """Send a command without waiting for its result. Return its number."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters}
        self._process.send(message | ({"sessionId": session} if session else {}))
        return number

    def _step(self, end: float) -> dict[str, Any] | None:
        """Receive one message, and give events to their page."""
        message = self._process.receive(end)
        if message is not None and "method" in message:
            parameters = message["params"]
            if message["method"] == "Browser.downloadWillBegin":
                self._names[parameters["guid"]] = parameters["suggestedFilename"]
            elif message["method"] == "Browser.downloadProgress":
                if parameters["state"] == "completed":
                    self._finished.add(parameters["guid"])
            elif page := self._owners.get(message.get("sessionId", "")):
                page._hear(message["sessionId"], message["method"], parameters)
        return message


class Page:
    """A tab of the browser, and the workers that it starts.

    Attributes
    ----------
    errors : list of str
        Errors that no one caught, console.error, and what the content security policy forbade.
    requests : list of str
        The addresses that the page and its workers asked for.
    """

    def __init__(self, browser: Browser) -> None:
        self.browser = browser
        self.errors: list[str] = []
        self.requests: list[str] = []
        self._loaded = False
        self._target = browser.command("Target.createTarget", {"url": "about:blank"})["targetId"]
        to = {"targetId": self._target, "flatten": True}
        self._session = browser.command("Target.attachToTarget", to)["sessionId"]
        browser._owners[self._session] = self
        browser.pages.append(self)

    def _prepare(self, width: int, height: int, dark: bool, mobile: bool, first: str) -> None:
        for name in ("Page", "Runtime", "Network", "Log"):
            self.command(f"{name}.enable")
        attach = {"autoAttach": True, "waitForDebuggerOnStart": True, "flatten": True}
        self.command("Target.setAutoAttach", **attach)
        scale = 2 if mobile else 1
        size = {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": mobile}
        self.command("Emulation.setDeviceMetricsOverride", **size)
        self.command("Emulation.setTouchEmulationEnabled", enabled=mobile, maxTouchPoints=5)
        colours = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.command("Emulation.setEmulatedMedia", features=[colours])
        self.command("Emulation.setFocusEmulationEnabled", enabled=True)
        if first:
            self.command("Page.addScriptToEvaluateOnNewDocument", source=first)

    def _hear(self, session: str, event: str, parameters: Mapping[str, Any]) -> None:
        if event == "Page.loadEventFired":
            self._loaded = True
        elif event == "Network.requestWillBeSent":
            self.requests.append(parameters["request"]["url"])
        elif event == "Runtime.exceptionThrown":
            self.errors.append(_thrown(parameters["exceptionDetails"]))
        elif event == "Runtime.consoleAPICalled" and parameters["type"] in ("error", "assert"):
            self.errors.append(" ".join(map(_shown, parameters["args"])))
        elif event == "Log.entryAdded" and parameters["entry"]["level"] == "error":
            self.errors.append(parameters["entry"]["text"])
        elif event == "Target.attachedToTarget":  # a worker: it waits until it is heard, too
            worker = parameters["sessionId"]
            self.browser._owners[worker] = self
            for method in ("Runtime.enable", "Network.enable", "Runtime.runIfWaitingForDebugger"):
                self.browser._post(method, {}, worker)

    def command(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command of the DevTools protocol for this page and return its result."""
        return self.browser.command(method, parameters, self._session)

    def go(self, address: str) -> None:
        """Open another address and wait until it is loaded."""
        self._loaded = False
        result = self.command("Page.navigate", url=address)
        if "errorText" in result:
            raise BrowserError(f"{address}: {result['errorText']}")
        end = time.monotonic() + self.browser.seconds
        while not self._loaded and "loaderId" in result:  # without it only the fragment changed
            if self.browser._step(end) is None:
                raise BrowserError(f"{address} was not loaded within {self.browser.seconds} s")

    def close(self) -> None:
        if self in self.browser.pages:
            self.browser.pages.remove(self)
            self.browser.command("Target.closeTarget", {"targetId": self._target})

    def check(self) -> None:
        """Raise AssertionError if there were errors, or if anything but files was asked for."""
        self.evaluate("0")  # the events before it have arrived
        assert not self.errors, "the page has errors:\n" + "\n".join(self.errors)
        remote = [address for address in self.requests if not address.startswith(LOCAL)]
        assert not remote, f"the page asked for {', '.join(remote)}"

    def evaluate(self, expression: str) -> Any:
        """Return the value of an expression, awaited, as JSON has it. Raise PageError if it throws.

        It runs as if the reader had just touched the page.
        """
        flags = {"awaitPromise": True, "returnByValue": True, "userGesture": True}
        result = self.command("Runtime.evaluate", expression=expression, **flags)
        if "exceptionDetails" in result:
            raise PageError(f"{_thrown(result['exceptionDetails'])}\nin: {expression[:300]}")
        return result["result"].get("value")

    def wait_for(self, condition: str, seconds: float = 20) -> Any:
        """Return the value of an expression once it is true. Raise PageError if it stays false."""
        return wait_until(self.evaluate, condition, seconds, self.errors)

    def text(self, selector: str) -> str:
        """Return the visible text of an element."""
        return self.evaluate(f"document.querySelector({json.dumps(selector)}).innerText")

    def screenshot(self, path: str | Path, whole: bool = False) -> None:
        """Save a PNG of the window, or of the whole page."""
        data = self.command(
            "Page.captureScreenshot", captureBeyondViewport=whole, **self._area(whole)
        )
        Path(path).write_bytes(base64.b64decode(data["data"]))

    def _area(self, whole: bool) -> dict[str, Any]:
        if not whole:
            return {}
        size = self.command("Page.getLayoutMetrics")["cssContentSize"]
        return {"clip": size | {"scale": 1}}

    def centre(self, selector: str) -> Point:
        """Scroll an element into view and return its centre in CSS pixels of the window."""
        x, y = self.evaluate(
            f"""(() => {{
            const element = document.querySelector({json.dumps(selector)});
            element.scrollIntoView({{block: "center", inline: "center", behavior: "instant"}});
            const box = element.getBoundingClientRect();
            return [box.x + box.width / 2, box.y + box.height / 2];
            }})()"""
        )
        return x, y

    def press(self, key: str, times: int = 1) -> None:
        """Press a key: "a", "Enter", "ArrowLeft", "Shift+Tab"."""
        *held, name = key.split("+") if len(key) > 1 else [key]
        modifiers = sum(_MODIFIERS[modifier] for modifier in held)
        other = {*held} - {"Shift"}
        code, number, text = _KEYS.get(name) or (_code(name), ord(name.upper()), name)
        common = {"key": name, "code": code, "windowsVirtualKeyCode": number}
        common["modifiers"] = modifiers
        for _ in range(times):
            down = (
                {"type": "keyDown", "text": text} if text and not other else {"type": "rawKeyDown"}
            )
            self.command("Input.dispatchKeyEvent", **common, **down)
            self.command("Input.dispatchKeyEvent", type="keyUp", **common)

    def mouse(self, event: str, point: Point, **more: Any) -> None:
        """Send one event: "mousePressed", "mouseMoved", "mouseReleased" or "mouseWheel"."""
        held = {"mousePressed": 1, "mouseReleased": 0}
        button = (
            {"button": "left", "buttons": held[event], "clickCount": 1} if event in held else {}
        )
        x, y = point
        self.command("Input.dispatchMouseEvent", type=event, x=x, y=y, **button | more)

    def click(self, target: str | Point) -> None:
        """Click with the mouse on the centre of an element, or on a point."""
        point = self.centre(target) if isinstance(target, str) else target
        for event in ("mouseMoved", "mousePressed", "mouseReleased"):
            self.mouse(event, point)

    def drag(self, start: Point, stop: Point, steps: int = 8) -> None:
        """Drag with the mouse along a straight line."""
        self.mouse("mouseMoved", start)
        self.mouse("mousePressed", start)
        for point in _line(start, stop, steps):
            self.mouse("mouseMoved", point, button="left", buttons=1)
        self.mouse("mouseReleased", stop)

    def wheel(self, point: Point, down: float) -> None:
        """Turn the wheel by `down` CSS pixels."""
        self.mouse("mouseWheel", point, deltaX=0, deltaY=down)

    def touch(self, event: str, *points: Point) -> None:
        """Send "touchStart", "touchMove", "touchEnd" or "touchCancel", with all fingers."""
        places = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(points)]
        self.command("Input.dispatchTouchEvent", type=event, touchPoints=places)

    def tap(self, target: str | Point) -> None:
        """Touch the centre of an element, or a point."""
        self.touch("touchStart", self.centre(target) if isinstance(target, str) else target)
        self.touch("touchEnd")

    def swipe(self, start: Point, stop: Point, steps: int = 8) -> None:
        """Drag with one finger along a straight line."""
        self.touch("touchStart", start)
        for point in _line(start, stop, steps):
            self.touch("touchMove", point)
        self.touch("touchEnd")

    def choose_files(self, selector: str, *paths: Path) -> None:
        """Choose files in <input type="file">."""
        element = f"document.querySelector({json.dumps(selector)})"
        found = self.command("Runtime.evaluate", expression=element)["result"]["objectId"]
        files = [str(path.resolve(strict=True)) for path in paths]
        self.command("DOM.setFileInputFiles", files=files, objectId=found)

    def drop_files(self, selector: str, *paths: Path) -> None:
        """Drag files from the desktop to the centre of an element and drop them."""
        x, y = self.centre(selector)
        files = [str(path.resolve(strict=True)) for path in paths]
        data = {"items": [], "files": files, "dragOperationsMask": 1}
        for event in ("dragEnter", "dragOver", "drop"):
            self.command("Input.dispatchDragEvent", type=event, x=x, y=y, data=data)


def _line(start: Point, stop: Point, steps: int) -> Iterator[Point]:
    (x0, y0), (x1, y1) = start, stop
    for step in range(1, steps + 1):
        yield x0 + (x1 - x0) * step / steps, y0 + (y1 - y0) * step / steps


def _code(character: str) -> str:
    return f"Digit{character}" if character.isdigit() else f"Key{character.upper()}"


def _shown(value: Mapping[str, Any]) -> str:
    return str(value.get("value", value.get("description", value.get("type"))))


def _thrown(details: Mapping[str, Any]) -> str:
    exception = details.get("exception", {})
    return exception.get("description") or str(exception.get("value", details["text"]))
