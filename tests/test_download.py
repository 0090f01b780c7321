"""Downloads of published weights, from a server on this computer that fails in typical ways."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest
from helpers import peer, run_python

import gradcam
from gradcam._models import published as download
from gradcam._models.published import DownloadError, Published, WeightsError, fetch
from gradcam._weights.reading import KEYWORDS

CONTENT = bytes(range(256)) * 4096
"""The content of the published file: sixteen chunks."""

HALF = len(CONTENT) // 2
SHA256 = hashlib.sha256(CONTENT).hexdigest()
NAME = "small-12345678.pth"

PARAMETERS = {
    "vgg11": 132_863_336,
    "vgg13": 133_047_848,
    "vgg16": 138_357_544,
    "vgg19": 143_667_240,
    "vgg11_bn": 132_868_840,
    "vgg13_bn": 133_053_736,
    "vgg16_bn": 138_365_992,
    "vgg19_bn": 143_678_248,
}
"""As documented by torchvision, without the running statistics."""


class Handler(BaseHTTPRequestHandler):
    """Answers by a function of the test, and records the requests."""

    server: Server

    def do_GET(self):
        self.server.requests.append((self.path, self.headers.get("Range")))
        self.server.behaviour(self)

    def log_message(self, *_):
        pass

    def answer(self, content: bytes, status: int = 200, length: int | None = None, **headers: str):
        """Send headers and content; a `length` larger than the content breaks the connection."""
        self.send_response(status)
        self.send_header("Content-Length", str(len(content) if length is None else length))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(content)

    def range_start(self) -> int:
        """Return the first byte of the requested range."""
        return int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").rstrip("-"))

    def answer_part(self, end: int = len(CONTENT)):
        """Send the requested range up to `end`, then break the connection."""
        start = self.range_start()
        length = len(CONTENT) - start
        if start == 0:
            self.answer(CONTENT[:end], length=length)
        else:
            place = f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}"
            self.answer(CONTENT[start:end], 206, length, Content_Range=place)


class Server(ThreadingHTTPServer):
    daemon_threads = True
    behaviour: Callable[[Handler], None]

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests = []
        self.behaviour = lambda handler: handler.answer(CONTENT)

    def handle_error(self, *_):  # a client that closed the connection
        pass

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/{NAME}"


def served():
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.02,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


server = pytest.fixture(served)
second = pytest.fixture(served, name="second")


@pytest.fixture
def pooch():
    return peer("pooch")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """Use temporary cache and home folders, and no proxy for the server."""
    for name in ("TORCH_HOME", "KERAS_HOME", "GRADCAM_MIRROR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home" / ".cache"))
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")
    monkeypatch.setenv("GRADCAM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(download, "PAUSE", 0.0)
    monkeypatch.setattr(download, "TIMEOUT", 10.0)
    return tmp_path / "cache" / "weights"


def publish(monkeypatch, *urls: str, digest: str = f"sha256:{SHA256}", size: int = len(CONTENT)):
    file = Published("vgg16", "imagenet", NAME, urls, size, digest, "")
    monkeypatch.setattr(download, "FILES", (file,))
    return file


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def closed_url() -> str:
    """Return a URL of this computer without a server."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as closed:
        return f"http://127.0.0.1:{closed.server_port}/{NAME}"


def fetch_error(*parts: str) -> str:
    """Return the message of fetch when it fails; it must contain these parts."""
    with pytest.raises(DownloadError) as caught:
        fetch("vgg16", "imagenet")
    for part in parts:
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def program(url: str, *before: str) -> str:
    """Return a program that fetches the file, for another process."""
    return "\n".join(
        [
            # Tests in the background ignore SIGINT, and their child processes would too.
            "import signal",
            "signal.signal(signal.SIGINT, signal.default_int_handler)",
            "from gradcam._models import published as download",
            "file = download.Published('vgg16', 'imagenet', "
            f"{NAME!r}, ({url!r},), {len(CONTENT)}, 'sha256:{SHA256}', '')",
            "download.FILES = (file,)",
            *before,
            "print(download.fetch('vgg16', 'imagenet'))",
        ]
    )


@contextmanager
def started(text: str, stderr: int = subprocess.PIPE):
    """Start a process and kill it at the end of the block."""
    with subprocess.Popen(
        [sys.executable, "-c", text],
        cwd=Path(__file__).parent,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


# --- the table ---


def test_the_table():
    names = [(file.architecture, file.weights) for file in download.FILES]
    assert len(set(names)) == len(names)
    vggs = {f"vgg{depth}{bn}" for depth in (11, 13, 16, 19) for bn in ("", "_bn")}
    assert {name for name, kind in names if kind == "imagenet"} > vggs
    for file in download.FILES:
        algorithm, _, digits = file.digest.partition(":")
        assert int(digits, 16) and 8 <= len(digits) <= 2 * hashlib.new(algorithm).digest_size
        assert all(url.startswith("https://") and url.endswith(file.name) for url in file.urls)
        if algorithm == "sha256":
            assert f"-{digits}.pth" in file.name or f"-{digits[:8]}.pth" in file.name
        assert callable(getattr(gradcam, file.architecture)) and file.source
        if file.architecture in PARAMETERS:
            assert 0 < file.size - 4 * PARAMETERS[file.architecture] < 100_000


def test_synonyms_and_unknown_names(monkeypatch):
    names = {file.weights for file in download.FILES}
    assert names | set(download.SYNONYMS) | {download.DEFAULT} == set(KEYWORDS)
    for name in KEYWORDS:
        network = "resnet50" if name == "IMAGENET1K_V2" else "vgg16"
        assert download._published(network, name).architecture == network
    for network, latest in (("vgg16", "imagenet"), ("resnet50", "IMAGENET1K_V2")):
        found = download._published(network, "DEFAULT")
        assert found is download._published(network, latest)
    with pytest.raises(ValueError, match="not published for vgg16; expected 'imagenet' or"):
        fetch("vgg16", "IMAGENET1K_V2")
    with pytest.raises(ValueError, match="not published for vgg11; expected 'imagenet'"):
        fetch("vgg11", "imagenet-caffe")


def test_import_loads_no_libraries():
    program = (
        "import sys, gradcam._models.published; print({'pooch', 'requests'} & set(sys.modules))"
    )
    assert run_python(program) == "set()"


# --- files that exist already ---


@pytest.mark.parametrize(
    "digest", [f"sha256:{SHA256[:8]}", f"md5:{hashlib.md5(CONTENT).hexdigest()}"]
)
def test_a_file_that_the_user_copied_into_the_cache(cache, monkeypatch, digest):
    publish(monkeypatch, closed_url(), digest=digest)
    cache.mkdir(parents=True)
    (cache / NAME).write_bytes(CONTENT)
    assert fetch("vgg16", "imagenet") == cache / NAME
    monkeypatch.setattr(download, "file_digest", None)
    assert fetch("vgg16", "DEFAULT") == cache / NAME, "the digest is noted"


def test_a_file_that_changes_is_checked_again(cache, monkeypatch):
    publish(monkeypatch, closed_url())
    cache.mkdir(parents=True)
    (cache / NAME).write_bytes(CONTENT)
    fetch("vgg16", "imagenet")
    before = (cache / NAME).stat()
    with open(cache / NAME, "r+b") as file:
        file.write(b"other")
    os.utime(cache / NAME, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(WeightsError, match=r"not the published small-12345678\.pth"):
        fetch("vgg16", "imagenet")


@pytest.mark.parametrize("content", [b"", CONTENT[:HALF], CONTENT[:-1] + b"?", b"<html>"])
def test_a_different_file_in_the_cache_is_refused_and_kept(cache, monkeypatch, content):
    publish(monkeypatch, closed_url())
    cache.mkdir(parents=True)
    (cache / NAME).write_bytes(content)
    with pytest.raises(WeightsError) as caught:
        fetch("vgg16", "imagenet")
    for part in (
        str(cache / NAME),
        f"{len(content):,} bytes",
        SHA256,
        "remove it to download it again",
    ):
        assert part in str(caught.value)
    assert (cache / NAME).read_bytes() == content and files(cache) == [NAME]


@pytest.mark.parametrize(
    ("variable", "folder"),
    [
        (None, "home/.cache/torch/hub/checkpoints"),
        ("TORCH_HOME", "hub/checkpoints"),
        (None, "home/.keras/models"),
        ("KERAS_HOME", "models"),
    ],
)
@pytest.mark.parametrize("off", [False, True])
def test_the_caches_of_other_libraries(tmp_path, cache, monkeypatch, variable, folder, off):
    publish(monkeypatch, closed_url())
    if variable:
        monkeypatch.setenv(variable, str(tmp_path / "elsewhere"))
    if off:
        monkeypatch.setenv("GRADCAM_CACHE", "off")
    copy = tmp_path / ("elsewhere" if variable else "") / folder / NAME
    copy.parent.mkdir(parents=True)
    copy.write_bytes(CONTENT)
    assert fetch("vgg16", "imagenet") == copy
    assert files(cache) == ([] if off else [f"{NAME}.checked"])
    if not off:
        monkeypatch.setattr(download, "file_digest", None)
        assert fetch("vgg16", "imagenet") == copy


def test_a_damaged_file_of_another_library_is_ignored(tmp_path, cache, monkeypatch, server):
    peer("pooch")
    publish(monkeypatch, server.url)
    copy = tmp_path / "home/.cache/torch/hub/checkpoints" / NAME
    copy.parent.mkdir(parents=True)
    copy.write_bytes(CONTENT[:-1])
    assert fetch("vgg16", "imagenet") == cache / NAME
    assert copy.read_bytes() == CONTENT[:-1]


def test_without_a_cache(monkeypatch):
    publish(monkeypatch, "https://example.org/file")
    monkeypatch.setenv("GRADCAM_CACHE", "off")
    fetch_error(
        "set GRADCAM_CACHE to a folder", "https://example.org/file", "gradcam.vgg16('FILE')"
    )


# --- mirrors ---


def test_mirror_folder_needs_no_network_and_no_pooch(tmp_path, cache, monkeypatch, capfd):
    publish(monkeypatch, closed_url())
    mirror = tmp_path / "a mirror"
    mirror.mkdir()
    (mirror / NAME).write_bytes(CONTENT)
    monkeypatch.setenv("GRADCAM_MIRROR", mirror.as_uri())
    monkeypatch.setitem(sys.modules, "pooch", None)
    path = fetch("vgg16", "imagenet")
    assert path.read_bytes() == CONTENT and files(cache) == [NAME, f"{NAME}.checked"]
    out, err = capfd.readouterr()
    assert out == "" and err == f"Downloading {mirror.as_uri()}/{NAME} (1 MB) to {path}\n"


def test_a_mirror_that_is_not_a_url(monkeypatch):
    publish(monkeypatch, closed_url())
    monkeypatch.setenv("GRADCAM_MIRROR", "/media/stick")
    with pytest.raises(ValueError, match="GRADCAM_MIRROR='/media/stick': expected the URL"):
        fetch("vgg16", "imagenet")


def test_mirror_is_tried_first(cache, monkeypatch, server, second, pooch):
    publish(monkeypatch, second.url)
    monkeypatch.setenv("GRADCAM_MIRROR", f"http://127.0.0.1:{server.server_port}/weights/")
    assert fetch("vgg16", "imagenet").read_bytes() == CONTENT
    assert server.requests == [(f"/weights/{NAME}", None)] and second.requests == []


def test_publisher_is_tried_after_the_mirror(tmp_path, monkeypatch, server, pooch):
    publish(monkeypatch, server.url)
    monkeypatch.setenv("GRADCAM_MIRROR", tmp_path.as_uri())
    assert fetch("vgg16", "imagenet").read_bytes() == CONTENT


def test_urls_are_tried_in_order(monkeypatch, server, second, pooch):
    def wrong(handler):
        handler.answer(b"x" * len(CONTENT))

    server.behaviour = wrong
    publish(monkeypatch, closed_url(), server.url, second.url)
    assert fetch("vgg16", "imagenet").read_bytes() == CONTENT
    assert len(server.requests) == len(second.requests) == 1


# --- downloads ---


def test_a_download(cache, monkeypatch, server, pooch, capfd):
    publish(monkeypatch, server.url)
    path = fetch("vgg16", "imagenet")
    assert path == cache / NAME and path.read_bytes() == CONTENT
    assert files(cache) == [NAME, f"{NAME}.checked"]
    out, err = capfd.readouterr()
    assert out == "" and err == f"Downloading {server.url} (1 MB) to {path}\n"
    monkeypatch.setattr(download, "file_digest", None)
    assert fetch("vgg16", "imagenet") == path
    assert server.requests == [(f"/{NAME}", None)], "downloaded once"


def test_progress_bar_in_a_notebook(monkeypatch, server, pooch, capfd):
    peer("tqdm")
    publish(monkeypatch, server.url)
    monkeypatch.setitem(sys.modules, "ipykernel", SimpleNamespace())
    fetch("vgg16", "imagenet")
    assert f"{NAME}: 100%" in capfd.readouterr().err


def test_progress_bar_on_a_terminal(cache, server, pooch):
    peer("tqdm")
    reader, terminal = os.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("4H", 24, 100, 0, 0))
    with started(program(server.url), terminal) as process:
        assert process.communicate(timeout=30)[0].strip() == str(cache / NAME)
    assert f"{NAME}: 100%".encode() in os.read(reader, 10_000)
    os.close(terminal)
    os.close(reader)


def test_without_pooch(cache, monkeypatch):
    publish(monkeypatch, "https://example.org/file")
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(ImportError) as caught:
        fetch("vgg16", "imagenet")
    for part in ("gradcam[download]", "https://example.org/file", "gradcam.vgg16('FILE')"):
        assert part in str(caught.value)
    assert files(cache) == []


def html(handler):
    handler.answer(b"\n<!DOCTYPE html><title>Welcome to the hotel</title>")


def gone(handler):
    handler.answer(b"<html>", 404)


def wrong_checksum(handler):
    handler.answer(CONTENT[:-1] + b"?")


def too_long(handler):
    handler.answer(CONTENT * 4)


def silent(handler):
    time.sleep(1)


def invalid_header(handler):
    handler.answer(CONTENT, length="many")


def redirect_loop(handler):
    handler.answer(b"", 302, Location=f"/{NAME}")


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        (html, "received a web page instead (does the network require a login?)"),
        (gone, "the server answered 404 Not Found"),
        (wrong_checksum, "received 1,048,576 bytes with another sha256"),
        (too_long, "the server sends more than the 1 MB of the file"),
        (silent, "no answer within 0.4 s"),
        (invalid_header, "invalid literal for int"),
        (redirect_loop, "Exceeded 30 redirects"),
    ],
)
def test_failures_of_servers(cache, monkeypatch, server, pooch, behaviour, reason):
    server.behaviour = behaviour
    monkeypatch.setattr(download, "TIMEOUT", 0.4)
    publish(monkeypatch, server.url)
    fetch_error(f"{server.url}: {reason}", f"copy it to {cache / NAME}", "gradcam.vgg16('FILE')")
    assert files(cache) == []
    assert len(server.requests) == (31 if behaviour is redirect_loop else 1)


def test_without_a_network(cache, monkeypatch, pooch):
    url = closed_url()
    publish(monkeypatch, url)
    message = fetch_error("If this computer is offline", f"copy it to {cache / NAME}", "(1 MB)")
    assert f"{url}: Connection refused" in message
    assert files(cache) == []


def test_every_url_is_named(cache, monkeypatch, server, pooch):
    server.behaviour = gone
    url = closed_url()
    publish(monkeypatch, url, server.url)
    fetch_error(f"({url}: Connection refused; {server.url}: the server answered 404 Not Found)")


# --- broken connections ---


def test_a_broken_download_is_resumed(monkeypatch, server, pooch):
    """Any number of times, if each connection receives further bytes."""
    breaks = list(range(1 << 16, len(CONTENT), 1 << 16))
    server.behaviour = lambda handler: handler.answer_part(
        (*breaks, len(CONTENT))[len(server.requests) - 1]
    )
    publish(monkeypatch, server.url)
    assert fetch("vgg16", "imagenet").read_bytes() == CONTENT
    assert len(breaks) == 15 > download.RETRIES
    assert [part for _, part in server.requests] == [None, *(f"bytes={at}-" for at in breaks)]


def test_a_server_without_ranges(monkeypatch, server, pooch):
    """It sends the whole file from the beginning."""

    def behaviour(handler):
        end = HALF if len(server.requests) == 1 else len(CONTENT)
        handler.answer(CONTENT[:end], length=len(CONTENT))

    server.behaviour = behaviour
    publish(monkeypatch, server.url)
    assert fetch("vgg16", "imagenet").read_bytes() == CONTENT
    assert [part for _, part in server.requests] == [None, f"bytes={HALF}-"]


def test_a_server_that_sends_another_range(cache, monkeypatch, server, pooch):
    def behaviour(handler):
        if handler.range_start() == 0:
            handler.answer_part(HALF)
        else:
            handler.answer(CONTENT[:HALF], 206, Content_Range=f"bytes 0-{HALF - 1}/{len(CONTENT)}")

    server.behaviour = behaviour
    publish(monkeypatch, server.url)
    fetch_error(f"asked for the bytes from {HALF} on, the server sent 'bytes 0-")
    assert files(cache) == []


def test_connections_that_always_break_at_the_same_byte(cache, monkeypatch, server, pooch):
    server.behaviour = lambda handler: handler.answer(CONTENT[:HALF], length=len(CONTENT))
    publish(monkeypatch, server.url)
    fetch_error(f"interrupted after {HALF:,} bytes")
    assert len(server.requests) == 1 + download.RETRIES
    assert files(cache) == []


def test_a_server_that_stops_sending(monkeypatch, server, pooch):
    def behaviour(handler):
        if len(server.requests) == 1:
            handler.answer(CONTENT[:HALF], length=len(CONTENT))
            time.sleep(1)
        else:
            handler.answer_part()

    server.behaviour = behaviour
    monkeypatch.setattr(download, "TIMEOUT", 0.4)
    publish(monkeypatch, server.url)
    assert fetch("vgg16", "imagenet").read_bytes() == CONTENT


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_server_that_is_busy(monkeypatch, server, pooch, status):
    def behaviour(handler):
        if len(server.requests) < 3:
            handler.answer(b"later", status)
        else:
            handler.answer(CONTENT)

    server.behaviour = behaviour
    publish(monkeypatch, server.url)
    assert fetch("vgg16", "imagenet").read_bytes() == CONTENT


def test_another_url_starts_from_the_beginning(monkeypatch, server, second, pooch):
    server.behaviour = lambda handler: handler.answer(b"?" * HALF, length=len(CONTENT))
    publish(monkeypatch, server.url, second.url)
    assert fetch("vgg16", "imagenet").read_bytes() == CONTENT
    assert second.requests == [(f"/{NAME}", None)]


# --- the disk ---


def test_too_little_free_space(cache, monkeypatch):
    publish(monkeypatch, closed_url())
    full = SimpleNamespace(f_bavail=10, f_frsize=4096)
    monkeypatch.setattr(os, "statvfs", lambda path: full)
    fetch_error(f"needs 1 MB in {cache}, but only 0 MB are free", "GRADCAM_CACHE")
    assert files(cache) == []


def test_disk_becomes_full_during_download(cache, server, pooch):
    """The system refuses further writes, as on a full disk."""
    limit = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({HALF}, {HALF}))"
    catch = "try: download.fetch('vgg16', 'imagenet')\nexcept OSError as error: print(error)"
    message = run_python(program(server.url, limit, catch, "raise SystemExit"))
    assert f"cannot be stored in {cache} ({os.strerror(errno.EFBIG)})" in message
    assert "GRADCAM_CACHE" in message and server.url in message
    assert files(cache) == []


def test_a_folder_that_cannot_be_created(tmp_path, monkeypatch):
    (tmp_path / "cache").write_bytes(b"a file")
    publish(monkeypatch, closed_url())
    fetch_error(f"cannot be stored in {tmp_path / 'cache' / 'weights'} (", "set GRADCAM_CACHE")


def test_a_folder_that_is_not_writable(cache, monkeypatch):
    publish(monkeypatch, closed_url())
    cache.mkdir(parents=True)
    cache.chmod(0o500)
    if os.access(cache, os.W_OK):
        pytest.skip("root may write to any folder")
    fetch_error(f"cannot be stored in {cache} (Permission denied)")
    cache.chmod(0o700)


# --- concurrent processes ---


class PausingServer:
    """A server that stops in the middle of the file until the test continues it."""

    def __init__(self):
        self.reached = threading.Event()
        self.resume = threading.Event()

    def __call__(self, handler):
        handler.answer(CONTENT[:HALF], length=len(CONTENT))
        handler.wfile.flush()
        self.reached.set()
        assert self.resume.wait(30)
        handler.wfile.write(CONTENT[HALF:])


def test_two_processes_at_once(cache, server, pooch):
    """The second process waits for the first and uses its file."""
    server.behaviour = halfway = PausingServer()
    with started(program(server.url)) as first:
        assert halfway.reached.wait(30)
        with started(program(server.url)) as second:
            assert "Waiting for another process" in second.stderr.readline()
            halfway.resume.set()
            outputs = [process.communicate(timeout=30)[0].strip() for process in (first, second)]
    assert first.returncode == second.returncode == 0
    assert outputs == [str(cache / NAME)] * 2
    assert (cache / NAME).read_bytes() == CONTENT and len(server.requests) == 1
    assert files(cache) == [NAME, f"{NAME}.checked"]


def test_a_process_that_is_killed(cache, monkeypatch, server, pooch):
    """Its lock is released; the next process ignores and removes its temporary file."""
    server.behaviour = halfway = PausingServer()
    with started(program(server.url)) as killed:
        assert halfway.reached.wait(30)
        killed.send_signal(signal.SIGKILL)
        killed.communicate(timeout=30)
    halfway.resume.set()
    (leftover,) = files(cache)
    assert leftover.startswith(".") and leftover.endswith(".tmp")
    server.behaviour = lambda handler: handler.answer(CONTENT)
    publish(monkeypatch, server.url)
    assert fetch("vgg16", "imagenet").read_bytes() == CONTENT
    assert files(cache) == [NAME, f"{NAME}.checked"]


def test_temporary_files_of_others_are_kept(cache, monkeypatch, server, pooch, tmp_path):
    """Only files that atomic_write creates for this download are removed."""
    cache.mkdir(parents=True)
    kept = [".mine.tmp", ".notes.12345678.tmp", f".{NAME}.tmp", f".{NAME}.1234567g.tmp"]
    for name in kept:
        (cache / name).write_bytes(b"mine")
    (cache / f".{NAME}.00000000.tmp").mkdir()
    (cache / f".{NAME}.11111111.tmp").symlink_to(tmp_path / "missing")
    (cache / f".{NAME}.22222222.tmp").write_bytes(b"a part")
    kept += [f".{NAME}.00000000.tmp", f".{NAME}.11111111.tmp"]
    publish(monkeypatch, server.url)
    assert fetch("vgg16", "imagenet").read_bytes() == CONTENT
    assert files(cache) == sorted([*kept, NAME, f"{NAME}.checked"])


@pytest.mark.parametrize("what", ["link", "folder"])
def test_what_is_not_a_file_is_kept(cache, monkeypatch, tmp_path, what):
    """A link to a disk that is not mounted, for example."""
    publish(monkeypatch, closed_url())
    cache.mkdir(parents=True)
    if what == "link":
        (cache / NAME).symlink_to(tmp_path / "missing")
    else:
        (cache / NAME).mkdir()
    fetch_error(f"cannot be stored in {cache} ({cache / NAME} exists, but is not a file)")
    assert files(cache) == [NAME] and (cache / NAME).is_symlink() == (what == "link")


def test_a_note_of_the_users_is_kept(cache, monkeypatch):
    publish(monkeypatch, closed_url())
    cache.mkdir(parents=True)
    (cache / NAME).write_bytes(CONTENT)
    (cache / f"{NAME}.checked").write_bytes(b"mine")
    assert fetch("vgg16", "imagenet") == cache / NAME
    assert (cache / f"{NAME}.checked").read_bytes() == b"mine"


@pytest.mark.parametrize("shared", ["cache", "weights"])
def test_notes_in_a_shared_folder_are_not_trusted(cache, monkeypatch, shared):
    """Another user could have written both the file and its note."""
    file = publish(monkeypatch, closed_url())
    cache.mkdir(parents=True)
    (cache / NAME).write_bytes(CONTENT)
    fetch("vgg16", "imagenet")
    (cache / NAME).write_bytes(CONTENT[:-1] + b"?")
    (cache / f"{NAME}.checked").write_text(download._stamp(cache / NAME, file))
    assert fetch("vgg16", "imagenet") == cache / NAME, "the note is believed"
    (cache if shared == "weights" else cache.parent).chmod(0o777)
    with pytest.raises(WeightsError, match="not the published"):
        fetch("vgg16", "imagenet")


def test_a_process_that_is_interrupted(cache, server, pooch):
    server.behaviour = halfway = PausingServer()
    with started(program(server.url)) as interrupted:
        assert halfway.reached.wait(30)
        interrupted.send_signal(signal.SIGINT)
        assert "KeyboardInterrupt" in interrupted.communicate(timeout=30)[1]
    halfway.resume.set()
    assert files(cache) == []


def test_threads_at_once(cache, monkeypatch, server, pooch):
    publish(monkeypatch, server.url)
    paths = []
    threads = [
        threading.Thread(target=lambda: paths.append(fetch("vgg16", "imagenet"))) for _ in "12345"
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert paths == [cache / NAME] * 5 and len(server.requests) == 1
    assert files(cache) == [NAME, f"{NAME}.checked"]


def test_a_file_system_without_locks(cache, monkeypatch, server, pooch):
    """Each process writes its own file and does not remove those of others."""

    def no_locks(handle, operation):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    cache.mkdir(parents=True)
    (cache / ".another.tmp").write_bytes(b"")
    publish(monkeypatch, server.url)
    assert fetch("vgg16", "imagenet").read_bytes() == CONTENT
    assert ".another.tmp" in files(cache)
