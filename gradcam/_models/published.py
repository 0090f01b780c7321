"""Published weights by name: downloaded once, checked, and stored in the user's cache folder.

``fetch("vgg16", "imagenet")`` returns the path of a file that is identical to the published one:
the digest is compared before the file gets its name, and the result is stored together with the
file's size and times. Files that PyTorch or Keras have already downloaded are used in their
folders, and so is a file that the user copied into the cache folder. URLs are tried in order, that
of the environment variable GRADCAM_MIRROR (http, https or file) before the publisher's; if a
connection breaks, the download resumes at that byte. Importing a module downloads nothing, and a
failed download leaves no file behind.

Pooch does the HTTP transfer. Its own cache is not used, because it compares complete digests, and
for most of these files only the first digits are published; and because it restarts a broken
download from the beginning.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import stat
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit
from urllib.request import url2pathname

from gradcam import _cache
from gradcam._files import atomic_write, file_digest, free_bytes, temporary_target
from gradcam._models.architecture import Trained, registered
from gradcam._pictures.presets import Preset
from gradcam._weights.tensors import WeightsError

TIMEOUT = 30.0
"""Seconds without data from the server after which a connection is considered broken."""

RETRIES = 5
"""Consecutive attempts to resume a broken download that may fail to get further bytes."""

PAUSE = 1.0
"""Seconds before the first of these attempts; each later one waits one more such pause."""

_CHUNK = 1 << 16
"""Bytes read at a time; an incomplete chunk is discarded if the connection breaks."""

_SLACK = 1 << 20
"""Bytes by which the size of a file may differ from the table."""


class DownloadError(OSError):
    """A file could not be downloaded; the message says how to get it without this function."""


@dataclass(frozen=True)
class Published:
    """A file of trained weights, as its authors publish it.

    Attributes
    ----------
    architecture : str
        The name of an architecture: "vgg16".
    weights : str
        What users pass: "imagenet", "IMAGENET1K_V2" or "imagenet-caffe".
    name : str
        The file's name.
    urls : tuple of str
        Its URLs, in the order in which they are tried.
    size : int
        In bytes. Some of torchvision's are known to 5000 bytes only, from a size in MiB.
    digest : str
        Algorithm, colon, and all or the first hexadecimal digits.
    source : str
        Who trained the network, and the licence.
    preset : Preset or None
        How pictures become input, if not as the layout or the architecture says.
    """

    architecture: str
    weights: str
    name: str
    urls: tuple[str, ...]
    size: int
    digest: str
    source: str
    preset: Preset | None = None

    @property
    def megabytes(self) -> str:
        return f"{self.size / 1e6:.0f} MB"


_TORCHVISION = "torchvision, BSD-3-Clause"
_MEBIBYTE = 1 << 20


def _torchvision(architecture: str, size: int, digest: str) -> Published:
    """Return a file of torchvision, whose name contains the first eight digits of its SHA-256."""
    name = f"{architecture}-{digest[:8]}.pth"
    return Published(
        architecture,
        "imagenet",
        name,
        (f"https://download.pytorch.org/models/{name}",),
        size,
        f"sha256:{digest}",
        _TORCHVISION,
    )


def _from_table(architecture: str, file: Trained) -> Published:
    """Return a file of an architecture's table; the digits of its digest are those in its name."""
    digits = file.name.rpartition("-")[2].partition(".")[0]
    return Published(
        architecture,
        file.weights,
        file.name,
        (f"https://download.pytorch.org/models/{file.name}",),
        round(file.mebibytes * _MEBIBYTE),
        f"sha256:{digits}",
        _TORCHVISION,
        file.preset,
    )


def _keras(architecture: str, size: int, md5: str) -> Published:
    name = f"{architecture}_weights_tf_dim_ordering_tf_kernels.h5"
    return Published(
        architecture,
        "imagenet-caffe",
        name,
        (
            f"https://storage.googleapis.com/tensorflow/keras-applications/{architecture}/{name}",
            f"https://github.com/fchollet/deep-learning-models/releases/download/v0.1/{name}",
        ),
        size,
        f"md5:{md5}",
        "Simonyan and Zisserman (Oxford), Creative Commons Attribution; converted by Keras",
    )


FILES = (
    _torchvision("vgg11", 531_460_260, "8a719046"),
    _torchvision("vgg13", 532_199_506, "19584684"),
    _torchvision(
        "vgg16", 553_433_881, "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0"
    ),
    _torchvision(
        "vgg19", 574_673_361, "dcbb9e9dad569fff7a846263a77324fc34978fea2bfb039c012d710e1776ae44"
    ),
    _torchvision("vgg11_bn", 531_503_251, "6002323d"),
    _torchvision("vgg13_bn", 532_246_692, "abd245e5"),
    _torchvision("vgg16_bn", 553_507_836, "6c64b313"),
    _torchvision("vgg19_bn", 574_769_405, "c79401a0"),
    _keras("vgg16", 553_467_096, "64373286793e3c8b2b4e3219cbf3544b"),
    _keras("vgg19", 574_710_816, "cbe5617147190e668d6c5d5026f83318"),
    *(_from_table(each.name, file) for each in registered() for file in each.published),
)

DEFAULT = "DEFAULT"
"""Torchvision's name for its best weights, which are its latest."""

SYNONYMS = {"IMAGENET1K_V1": "imagenet"}
"""Torchvision's names for the same weights."""


def fetch(architecture: str, weights: str) -> Path:
    """Return the path of a published file on this computer; download it if necessary.

    Parameters
    ----------
    architecture : str
        "vgg11", "resnet50", ...
    weights : str
        "imagenet" (torchvision's first; also "IMAGENET1K_V1"), "IMAGENET1K_V2" (torchvision's with
        its newer training recipe, where they exist), "DEFAULT" (the latest of these), or
        "imagenet-caffe" (the paper's authors', as Keras publishes them; vgg16 and vgg19).

    Returns
    -------
    pathlib.Path
        A file whose digest has been checked. Do not change it.

    Raises
    ------
    ValueError
        If there are no such weights, or GRADCAM_MIRROR is not a URL.
    WeightsError
        If there is a different file at the path of this one in the cache folder.
    DownloadError
        If the network is down, the disk is full, or the folder is not writable; it is an OSError.
    ImportError
        If a download needs pooch and it is not installed.
    """
    file = _published(architecture, weights)
    folder = _folder()
    if folder is not None and (folder / file.name).is_file():
        _require_published(folder / file.name, file, folder)
        return folder / file.name
    for path in _elsewhere(file.name):
        with suppress(OSError):  # no permission to read it
            if path.is_file() and _checked(path, file, folder):
                return path
    if folder is None:
        raise DownloadError(
            f"{file.name} ({file.megabytes}) cannot be downloaded without a cache folder: "
            f"set GRADCAM_CACHE to a folder, or download {file.urls[0]} yourself and {_hint(file)}"
        )
    _download(file, folder)
    return folder / file.name


def preset(architecture: str, weights: str) -> Preset | None:
    """Return the preset of published weights; None if it is that of the layout.

    Parameters and errors as of :func:`fetch`.
    """
    return _published(architecture, weights).preset


def _published(architecture: str, weights: str) -> Published:
    asked = SYNONYMS.get(weights, weights)
    files = {file.weights: file for file in FILES if file.architecture == architecture}
    if asked == DEFAULT:
        asked = "IMAGENET1K_V2" if "IMAGENET1K_V2" in files else "imagenet"
    if asked in files:
        return files[asked]
    known = sorted(files)
    raise ValueError(
        f"weights={weights!r}: not published for {architecture}; "
        f"expected {' or '.join(map(repr, known)) or 'a file'}"
    )


def _folder() -> Path | None:
    cache = _cache.folder()
    return None if cache is None else cache.absolute() / "weights"


def _elsewhere(name: str) -> tuple[Path, ...]:
    """Return the paths of the file in the download folders of PyTorch and Keras."""
    caches = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    torch = os.environ.get("TORCH_HOME", os.path.join(caches, "torch"))
    keras = os.environ.get("KERAS_HOME", "~/.keras")
    return (
        Path(os.path.expanduser(torch), "hub", "checkpoints", name),
        Path(os.path.expanduser(keras), "models", name),
    )


def _hint(file: Published) -> str:
    return f"pass its path: gradcam.{file.architecture}('FILE')"


# --- checking ---


def _require_published(path: Path, file: Published, folder: Path) -> None:
    """Raise WeightsError if this is another file; it is not replaced, as the user may need it."""
    if not _checked(path, file, folder):
        raise WeightsError(
            f"{path}: not the published {file.name} ({path.stat().st_size:,} bytes; expected "
            f"{file.megabytes}, {file.digest}): remove it to download it again; or, if these are "
            f"your own weights, move it and {_hint(file)}"
        )


def _checked(path: Path, file: Published, folder: Path | None) -> bool:
    """Return whether this is the published file; a correct digest is noted in the folder.

    A note in a folder that other users can write could be anybody's, and is not read.
    """
    if folder is not None and _cache.is_private(folder):
        with suppress(OSError, UnicodeDecodeError):
            if _note(file, folder).read_text("utf-8") == _stamp(path, file):
                return True
    near = abs(path.stat().st_size - file.size) <= _SLACK
    if not near or not _matches(file_digest(path, _algorithm(file)), file):
        return False
    if folder is not None:
        _write_note(path, file, folder)
    return True


def _write_note(path: Path, file: Published, folder: Path) -> None:
    note = _note(file, folder)
    with suppress(OSError):  # then it is checked again the next time
        _cache.make_folder(folder)
        if os.path.lexists(note) and not _is_note(note, file):
            return  # the user's
        with atomic_write(note, 0o600) as out:
            out.write(_stamp(path, file).encode())


def _note(file: Published, folder: Path) -> Path:
    return folder / f"{file.name}.checked"


def _is_note(path: Path, file: Published) -> bool:
    """Return whether a file was written by :func:`_write_note`."""
    if path.is_symlink() or not path.is_file():
        return False
    with open(path, "rb") as note:
        start = f"{file.digest} ".encode()
        return note.read(len(start)) == start


def _stamp(path: Path, file: Published) -> str:
    """Return what changes if the file changes, and the digest that it was checked against."""
    status = path.stat()
    times = f"{status.st_mtime_ns} {status.st_ctime_ns}"
    return f"{file.digest} {status.st_size} {times} {os.fspath(path)!r}\n"


def _algorithm(file: Published) -> str:
    return file.digest.partition(":")[0]


def _matches(digest: str, file: Published) -> bool:
    return digest.startswith(file.digest.partition(":")[2])


# --- downloading ---


class _Failed(Exception):
    """A URL did not provide the file; `again` if another attempt may succeed."""

    def __init__(self, reason: str, again: bool = False) -> None:
        super().__init__(reason)
        self.again = again


def _download(file: Published, folder: Path) -> None:
    """Download the file into the folder; if that fails, leave no file behind."""
    path = folder / file.name
    urls = _urls(file)
    try:
        _cache.make_folder(folder)
        with _lock(folder) as locked:
            if path.is_file():  # another process has written it while this one waited
                _require_published(path, file, folder)
                return
            if os.path.lexists(path):  # a broken link, or a folder
                raise FileExistsError(errno.EEXIST, f"{path} exists, but is not a file")
            if locked:
                _remove_leftovers(file, folder)
            _check_free_space(file, folder)
            with atomic_write(path) as out:
                _from_any(urls, file, _Sink(out, file), path)
            _write_note(path, file, folder)
    except DownloadError:
        raise
    except OSError as error:
        raise DownloadError(
            f"{file.name} ({file.megabytes}) cannot be stored in {folder} "
            f"({error.strerror or error}): set GRADCAM_CACHE to another folder, or download "
            f"{file.urls[0]} yourself and {_hint(file)}"
        ) from error


def _urls(file: Published) -> tuple[str, ...]:
    mirror = os.environ.get("GRADCAM_MIRROR")
    if not mirror:
        return file.urls
    if urlsplit(mirror).scheme not in ("http", "https", "file"):
        raise ValueError(
            f"GRADCAM_MIRROR={mirror!r}: expected the URL of the folder that contains "
            f"{file.name}: http://..., https://... or file:///..."
        )
    return (f"{mirror.rstrip('/')}/{file.name}", *file.urls)


@contextmanager
def _lock(folder: Path) -> Iterator[bool]:
    """Let one process at a time download; yield whether the file system supports locks.

    The folder itself is locked. So there is no lock file to remove, and the system releases the
    lock when the process ends, even if it is killed.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        yield _locked(handle)
    finally:
        os.close(handle)


def _locked(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        _say("Waiting for another process that is downloading weights")
        fcntl.flock(handle, fcntl.LOCK_EX)
    except OSError:  # some network file systems; then each process writes its own file
        return False
    return True


def _remove_leftovers(file: Published, folder: Path) -> None:
    """Remove the temporary files of this download, of processes that were killed."""
    for leftover in folder.iterdir():
        if temporary_target(leftover.name) == file.name:
            status = leftover.lstat()
            if stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid():
                leftover.unlink(missing_ok=True)


def _check_free_space(file: Published, folder: Path) -> None:
    free = free_bytes(folder)
    if free < file.size:
        raise DownloadError(
            f"{file.name} needs {file.megabytes} in {folder}, but only {free / 1e6:.0f} MB are "
            f"free: free some space, or set GRADCAM_CACHE to a folder on another disk"
        )


def _from_any(urls: tuple[str, ...], file: Published, sink: _Sink, path: Path) -> None:
    """Fill the sink from the first URL that provides the file."""
    reasons = []
    for url in urls:
        try:
            _from_one(url, file, sink, path)
            return
        except _Failed as error:
            reasons.append(f"{url}: {error}")
    raise DownloadError(
        f"{file.name} ({file.megabytes}) could not be downloaded ({'; '.join(reasons)}). If this "
        f"computer is offline, download {file.urls[0]} elsewhere and copy it to {path}, or "
        f"{_hint(file)}"
    )


def _from_one(url: str, file: Published, sink: _Sink, path: Path) -> None:
    """Fill the sink from one URL."""
    transfer = _copy if urlsplit(url).scheme == "file" else _http(file)
    _say(f"Downloading {url} ({file.megabytes}) to {path}")
    with _progress(file) as show:
        sink.begin(show)
        _transfer_all(transfer, url, sink)
    if not _matches(sink.digest(), file):
        raise _Failed(sink.description())


def _transfer_all(transfer: _Transfer, url: str, sink: _Sink) -> None:
    """Transfer the file; resume a broken transfer, up to RETRIES times without further bytes."""
    fruitless = 0
    while True:
        before = sink.max_received
        try:
            transfer(url, sink)
            return
        except _Failed as error:
            fruitless = 0 if sink.max_received > before else fruitless + 1
            if not error.again or fruitless == RETRIES:
                raise
            time.sleep(PAUSE * (fruitless + 1))


def _copy(url: str, sink: _Sink) -> None:
    """Transfer a file: URL."""
    for chunk in _chunks(url2pathname(urlsplit(url).path)):
        sink.write(chunk)


def _chunks(path: str) -> Iterator[bytes]:
    try:
        with open(path, "rb") as source:
            while chunk := source.read(_CHUNK):
                yield chunk
    except OSError as error:  # of reading only: the sink raises outside of this function
        raise _Failed(error.strerror or str(error)) from error


def _http(file: Published) -> _Transfer:
    """Return the function that transfers http: and https: URLs."""
    try:
        with warnings.catch_warnings():  # of the notebook progress bar that pooch imports
            warnings.simplefilter("ignore")
            import pooch
        import requests
    except ImportError as error:
        raise ImportError(
            f"downloading {file.name} needs pooch: pip install 'gradcam[download]'; or download "
            f"{file.urls[0]} ({file.megabytes}) yourself and {_hint(file)}"
        ) from error

    def transfer(url: str, sink: _Sink) -> None:
        headers = {"Accept-Encoding": "identity"}
        if sink.received:
            headers["Range"] = f"bytes={sink.received}-"
        hooks = {"response": sink.check_response}
        get = pooch.HTTPDownloader(chunk_size=_CHUNK, timeout=TIMEOUT, headers=headers, hooks=hooks)
        try:
            get(url, sink, None)
        except requests.HTTPError as error:
            answer: Any = error.response
            reason = f"the server answered {answer.status_code} {answer.reason}"
            temporary = answer.status_code >= 500 or answer.status_code == 429
            raise _Failed(reason, again=temporary) from error
        except requests.Timeout as error:
            raise _Failed(f"no answer within {TIMEOUT:g} s", again=sink.max_received > 0) from error
        except (requests.RequestException, ValueError) as error:  # ValueError: a bad header
            place = f"interrupted after {sink.received:,} bytes: " if sink.received else ""
            raise _Failed(place + _innermost(error), again=sink.max_received > 0) from error

    return transfer


_Transfer = Callable[[str, "_Sink"], None]
"""Fills a sink, or its missing rest, from a URL; raises :class:`_Failed`."""


def _innermost(error: BaseException) -> str:
    """Return the system's message of an error that three libraries have wrapped."""
    while error.__context__ is not None:
        error = error.__context__
    return getattr(error, "strerror", None) or str(error)


class _Sink:
    """Writes downloaded bytes to the file and updates the digest and the progress bar.

    Attributes
    ----------
    received : int
        Bytes in the file now.
    max_received : int
        The maximum of `received` for the current URL.
    """

    def __init__(self, out: BinaryIO, file: Published) -> None:
        self._out = out
        self._file = file

    def begin(self, show: Callable[[int], None]) -> None:
        """Start with a new URL; `show` is called with the number of bytes received."""
        self._show = show
        self.max_received = 0
        self._restart()

    def _restart(self) -> None:
        self._out.seek(0)
        self._out.truncate()
        self._hash = hashlib.new(_algorithm(self._file), usedforsecurity=False)
        self._start = b""
        self.received = 0

    def check_response(self, response: Any, **_: Any) -> None:
        """Handle a response before its content; requests calls this."""
        if response.status_code == 200 and self.received:  # the whole file instead of the rest
            self._restart()
        place = response.headers.get("Content-Range", "")
        if response.status_code == 206 and not place.startswith(f"bytes {self.received}-"):
            raise _Failed(f"asked for the bytes from {self.received} on, the server sent {place!r}")

    def write(self, chunk: bytes) -> None:
        """Write a chunk; an OSError here concerns the local disk."""
        if self.received + len(chunk) > self._file.size + _SLACK:
            raise _Failed(f"the server sends more than the {self._file.megabytes} of the file")
        self._out.write(chunk)
        self._hash.update(chunk)
        if len(self._start) < 64:
            self._start += chunk[:64]
        self.received += len(chunk)
        self.max_received = max(self.max_received, self.received)
        self._show(self.received)

    def flush(self) -> None:
        """Do nothing: pooch calls this after every chunk, and closing flushes the file."""

    def digest(self) -> str:
        return str(self._hash.hexdigest())

    def description(self) -> str:
        """Say what was received instead of the file."""
        if self._start.lstrip().startswith(b"<"):
            return "received a web page instead (does the network require a login?)"
        algorithm = _algorithm(self._file)
        return f"received {self.received:,} bytes with another {algorithm}"


# --- messages ---


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


@contextmanager
def _progress(file: Published) -> Iterator[Callable[[int], None]]:
    """Show a progress bar on a terminal and in a notebook, but not in a log.

    It is not rich's, which needs another package in notebooks and warns if it is missing.
    """
    try:
        from tqdm import tqdm
    except ImportError:
        yield lambda received: None
        return
    shown = "ipykernel" in sys.modules or sys.stderr.isatty()
    with tqdm(desc=file.name, total=file.size, unit="B", unit_scale=True, disable=not shown) as bar:
        yield lambda received: bar.update(received - bar.n)
