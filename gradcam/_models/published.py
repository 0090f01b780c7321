"""Trained weights by name: downloaded once, checked, kept in the user's cache folder.

``fetch("vgg16", "imagenet")`` gives the path of a file that is what its authors published: the
digest has been compared before the file has its name, and what was checked is remembered by its
size and dates. A file that PyTorch or Keras has downloaded before is used where it lies; one that
was put into the folder by hand is used too. Addresses are tried in turn, that of the environment
variable GRADCAM_MIRROR (http, https or file) before the publisher's own; where a connection
breaks, the download goes on from there. Nothing is fetched when a module is imported, and nothing
stays of a download that failed.

Pooch does the transport. It has a way of its own to keep and check files, which is not used: that
compares whole digests, of most of these files the first digits alone are known; and it begins
again from nothing where a connection breaks.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
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
from gradcam._files import atomic_write, file_digest, free_bytes
from gradcam._weights.tensors import WeightsError

TIMEOUT = 30.0
"""Seconds without a sign of the server after which a connection counts as broken."""

RETRIES = 5
"""How often in a row a broken connection is taken up again without a byte more to show for it."""

PAUSE = 1.0
"""Seconds before the first of these; before each later one a second more."""

_CHUNK = 1 << 16
"""Bytes taken at a time; of a chunk that a broken connection cuts short, nothing is kept."""

_SLACK = 1 << 20
"""Bytes by which a file may be larger than the table says before it is somebody else's."""


class DownloadError(OSError):
    """The file is not here and could not be fetched; the message says what to do by hand."""


@dataclass(frozen=True)
class Published:
    """A file of trained weights, as its authors publish it.

    Attributes
    ----------
    architecture : str
        As in :data:`gradcam._models.vgg.FAMILY`.
    weights : str
        The name that users give: "imagenet" or "imagenet-caffe".
    name : str
        Of the file.
    urls : tuple of str
        Where it is found, tried in turn.
    size : int
        Bytes. Where torchvision tells thousandths of a MiB alone, right to 5000 bytes.
    digest : str
        Algorithm, colon, hexadecimal digits: all of them or the first ones.
    source : str
        Who trained it, and the licence.
    """

    architecture: str
    weights: str
    name: str
    urls: tuple[str, ...]
    size: int
    digest: str
    source: str

    @property
    def megabytes(self) -> str:
        return f"{self.size / 1e6:.0f} MB"


def _torchvision(architecture: str, size: int, digest: str) -> Published:
    """Torchvision puts the first eight digits of the SHA-256 into the name."""
    name = f"{architecture}-{digest[:8]}.pth"
    return Published(
        architecture,
        "imagenet",
        name,
        (f"https://download.pytorch.org/models/{name}",),
        size,
        f"sha256:{digest}",
        "torchvision, BSD-3-Clause",
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
)

SYNONYMS = {"IMAGENET1K_V1": "imagenet", "DEFAULT": "imagenet"}
"""Torchvision's words for the same weights; :data:`gradcam.weights.KEYWORDS` has all names."""


def fetch(architecture: str, weights: str) -> Path:
    """Where the published file lies on this computer, after a download if need be.

    Parameters
    ----------
    architecture : str
        "vgg11", ..., "vgg19_bn".
    weights : str
        "imagenet" (torchvision's; also "IMAGENET1K_V1" or "DEFAULT") or "imagenet-caffe" (the
        paper's authors', as Keras publishes them; vgg16 and vgg19).

    Returns
    -------
    pathlib.Path
        Of a file whose digest has been checked; not to be changed.

    Raises
    ------
    ValueError
        Where there are no such weights, or GRADCAM_MIRROR is no address.
    WeightsError
        Where another file lies at the path where this one is to be.
    DownloadError
        An OSError: without a network, without room on the disk, without a folder to write to.
    ImportError
        Where the file is to be downloaded and pooch is not installed.
    """
    file = _published(architecture, weights)
    folder = _folder()
    if folder is not None and (folder / file.name).is_file():
        _insist(folder / file.name, file, folder)
        return folder / file.name
    for path in _others(file.name):
        with suppress(OSError):  # not ours to read
            if path.is_file() and _checked(path, file, folder):
                return path
    if folder is None:
        raise DownloadError(
            f"{file.name} ({file.megabytes}) is not downloaded, as there is no cache to keep it "
            f"in: set GRADCAM_CACHE to a folder, or download {file.urls[0]} yourself and "
            f"{_give(file)}"
        )
    _download(file, folder)
    return folder / file.name


def _published(architecture: str, weights: str) -> Published:
    asked = SYNONYMS.get(weights, weights)
    for file in FILES:
        if (file.architecture, file.weights) == (architecture, asked):
            return file
    there = sorted({file.weights for file in FILES if file.architecture == architecture})
    raise ValueError(
        f"weights={weights!r}: none are published for {architecture}; "
        f"there is {' and '.join(map(repr, there)) or 'nothing'}"
    )


def _folder() -> Path | None:
    cache = _cache.folder()
    return None if cache is None else cache.absolute() / "weights"


def _others(name: str) -> tuple[Path, ...]:
    """Where PyTorch and Keras keep the files that they download."""
    caches = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    torch = os.environ.get("TORCH_HOME", os.path.join(caches, "torch"))
    keras = os.environ.get("KERAS_HOME", "~/.keras")
    return (
        Path(os.path.expanduser(torch), "hub", "checkpoints", name),
        Path(os.path.expanduser(keras), "models", name),
    )


def _give(file: Published) -> str:
    return f"give its path: gradcam.{file.architecture}('FILE')"


# Checking.


def _insist(path: Path, file: Published, folder: Path) -> None:
    """Refuse what lies at the file's own path and is not the file: it may be the user's work."""
    if not _checked(path, file, folder):
        raise WeightsError(
            f"{path}: not {file.name} as published ({path.stat().st_size:,} bytes; expected "
            f"{file.megabytes}, {file.digest}): remove it, and it is downloaded again; or, if "
            f"these are weights of your own, {_give(file)}"
        )


def _checked(path: Path, file: Published, folder: Path | None) -> bool:
    """Whether this is the file; a digest that was right is remembered in the folder."""
    if folder is not None:
        with suppress(OSError, UnicodeDecodeError):
            if _note(file, folder).read_text("utf-8") == _stamp(path, file):
                return True
    near = abs(path.stat().st_size - file.size) <= _SLACK
    if not near or not _matches(file_digest(path, _algorithm(file)), file):
        return False
    if folder is not None:
        _remember(path, file, folder)
    return True


def _remember(path: Path, file: Published, folder: Path) -> None:
    with suppress(OSError):  # then it is checked again next time
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with atomic_write(_note(file, folder)) as out:
            out.write(_stamp(path, file).encode())


def _note(file: Published, folder: Path) -> Path:
    return folder / f"{file.name}.checked"


def _stamp(path: Path, file: Published) -> str:
    """What changes when a file changes, and the digest that it was checked for."""
    status = path.stat()
    dates = f"{status.st_mtime_ns} {status.st_ctime_ns}"
    return f"{file.digest} {status.st_size} {dates} {os.fspath(path)!r}\n"


def _algorithm(file: Published) -> str:
    return file.digest.partition(":")[0]


def _matches(digest: str, file: Published) -> bool:
    return digest.startswith(file.digest.partition(":")[2])


# Downloading.


class _Failed(Exception):
    """An address did not give the file; `again` where it may yet."""

    def __init__(self, reason: str, again: bool = False) -> None:
        super().__init__(reason)
        self.again = again


def _download(file: Published, folder: Path) -> None:
    """Leave the file in the folder, or raise and leave nothing."""
    path = folder / file.name
    urls = _addresses(file)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _lock(folder) as alone:
            if path.is_file():  # another process has made it while this one waited
                _insist(path, file, folder)
                return
            if alone:
                _sweep(folder)
            _check_room(file, folder)
            with atomic_write(path) as out:
                _from_any(urls, file, _Sink(out, file), path)
            _remember(path, file, folder)
    except DownloadError:
        raise
    except OSError as error:
        raise DownloadError(
            f"{file.name} ({file.megabytes}) cannot be kept in {folder} "
            f"({error.strerror or error}): set GRADCAM_CACHE to another folder, or download "
            f"{file.urls[0]} yourself and {_give(file)}"
        ) from error


def _addresses(file: Published) -> tuple[str, ...]:
    mirror = os.environ.get("GRADCAM_MIRROR")
    if not mirror:
        return file.urls
    if urlsplit(mirror).scheme not in ("http", "https", "file"):
        raise ValueError(
            f"GRADCAM_MIRROR={mirror!r}: expected the address of the folder that holds "
            f"{file.name}, as http://..., https://... or file:///..."
        )
    return (f"{mirror.rstrip('/')}/{file.name}", *file.urls)


@contextmanager
def _lock(folder: Path) -> Iterator[bool]:
    """Let one process at a time download; yields whether the system could promise that.

    The folder itself is locked. So no lock file stays behind, and the system takes the lock back
    from a process that ends, however it ends.
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
    except OSError:  # some network file systems: each process writes a file of its own then
        return False
    return True


def _sweep(folder: Path) -> None:
    """Remove what processes that were killed left behind."""
    for leftover in folder.glob(".*.tmp"):
        leftover.unlink(missing_ok=True)


def _check_room(file: Published, folder: Path) -> None:
    free = free_bytes(folder)
    if free < file.size:
        raise DownloadError(
            f"{file.name} needs {file.megabytes} in {folder}, where {free / 1e6:.0f} MB are free: "
            f"make room, or set GRADCAM_CACHE to a folder on another disk"
        )


def _from_any(urls: tuple[str, ...], file: Published, sink: _Sink, path: Path) -> None:
    """Fill the sink from the first address that has the file."""
    reasons = []
    for url in urls:
        try:
            _from_one(url, file, sink, path)
            return
        except _Failed as error:
            reasons.append(f"{url}: {error}")
    raise DownloadError(
        f"{file.name} ({file.megabytes}) could not be downloaded ({'; '.join(reasons)}). Without "
        f"a network, download {file.urls[0]} elsewhere and put it at {path}, or {_give(file)}"
    )


def _from_one(url: str, file: Published, sink: _Sink, path: Path) -> None:
    """Fill the sink from one address."""
    transfer = _copy if urlsplit(url).scheme == "file" else _http(file)
    _say(f"Downloading {url} ({file.megabytes}) to {path}")
    with _progress(file) as show:
        sink.begin(show)
        _persist(transfer, url, sink)
    if not _matches(sink.digest(), file):
        raise _Failed(sink.description())


def _persist(transfer: _Transfer, url: str, sink: _Sink) -> None:
    """Transfer again what breaks off, as long as it brings more each time."""
    fruitless = 0
    while True:
        most = sink.most
        try:
            transfer(url, sink)
            return
        except _Failed as error:
            fruitless = 0 if sink.most > most else fruitless + 1
            if not error.again or fruitless == RETRIES:
                raise
            time.sleep(PAUSE * (fruitless + 1))


def _copy(url: str, sink: _Sink) -> None:
    """The transport of file: addresses."""
    for chunk in _chunks(url2pathname(urlsplit(url).path)):
        sink.write(chunk)


def _chunks(path: str) -> Iterator[bytes]:
    try:
        with open(path, "rb") as source:
            while chunk := source.read(_CHUNK):
                yield chunk
    except OSError as error:  # of reading: what the sink raises does not come by here
        raise _Failed(error.strerror or str(error)) from error


def _http(file: Published) -> _Transfer:
    """The transport of http: and https: addresses."""
    try:
        with warnings.catch_warnings():  # pooch imports a bar for notebooks that is not used
            warnings.simplefilter("ignore")
            import pooch
        import requests
    except ImportError as error:
        raise ImportError(
            f"to download {file.name} takes pooch: pip install 'gradcam[download]'; or download "
            f"{file.urls[0]} ({file.megabytes}) yourself and {_give(file)}"
        ) from error

    def transfer(url: str, sink: _Sink) -> None:
        headers = {"Accept-Encoding": "identity"}
        if sink.received:
            headers["Range"] = f"bytes={sink.received}-"
        get = pooch.HTTPDownloader(
            chunk_size=_CHUNK, timeout=TIMEOUT, headers=headers, hooks={"response": sink.answered}
        )
        try:
            get(url, sink, None)
        except requests.HTTPError as error:
            answer: Any = error.response
            reason = f"the server answered {answer.status_code} {answer.reason}"
            passing = answer.status_code >= 500 or answer.status_code == 429
            raise _Failed(reason, again=passing) from error
        except requests.Timeout as error:
            raise _Failed(f"no answer within {TIMEOUT:g} s", again=sink.most > 0) from error
        except (requests.RequestException, ValueError) as error:  # a header may be no number
            place = f"broke off after {sink.received:,} bytes: " if sink.received else ""
            raise _Failed(place + _innermost(error), again=sink.most > 0) from error

    return transfer


_Transfer = Callable[[str, "_Sink"], None]
"""Fills a sink, or what it lacks, from an address; raises :class:`_Failed`."""


def _innermost(error: BaseException) -> str:
    """The cause under the wrappings of three libraries, in the system's words."""
    while error.__context__ is not None:
        error = error.__context__
    return getattr(error, "strerror", None) or str(error)


class _Sink:
    """Where downloaded bytes go: into the file, the digest and the progress bar.

    Attributes
    ----------
    received : int
        Bytes in the file now.
    most : int
        The most that there were at one time, from the present address.
    """

    def __init__(self, out: BinaryIO, file: Published) -> None:
        self._out = out
        self._file = file

    def begin(self, show: Callable[[int], None]) -> None:
        """Begin anew with an address; `show` is told what was received."""
        self._show = show
        self.most = 0
        self._restart()

    def _restart(self) -> None:
        self._out.seek(0)
        self._out.truncate()
        self._hash = hashlib.new(_algorithm(self._file), usedforsecurity=False)
        self._start = b""
        self.received = 0

    def answered(self, response: Any, **_: Any) -> None:
        """What requests calls with every answer, before its content."""
        if response.status_code == 200 and self.received:  # all of it, not the rest alone
            self._restart()
        place = response.headers.get("Content-Range", "")
        if response.status_code == 206 and not place.startswith(f"bytes {self.received}-"):
            raise _Failed(f"asked for what follows byte {self.received}, it sent {place!r}")

    def write(self, chunk: bytes) -> None:
        """Take bytes in; an OSError here is about our disk."""
        if self.received + len(chunk) > self._file.size + _SLACK:
            raise _Failed(f"it sends more than the {self._file.megabytes} of the file")
        self._out.write(chunk)
        self._hash.update(chunk)
        if len(self._start) < 64:
            self._start += chunk[:64]
        self.received += len(chunk)
        self.most = max(self.most, self.received)
        self._show(self.received)

    def flush(self) -> None:
        """Pooch asks for it after every chunk; the file is flushed when it is closed."""

    def digest(self) -> str:
        return str(self._hash.hexdigest())

    def description(self) -> str:
        """What came in place of the file."""
        if self._start.lstrip().startswith(b"<"):
            return "a web page came in its place (does the network want you to log in?)"
        algorithm = _algorithm(self._file)
        return f"{self.received:,} bytes came that are not the file, by their {algorithm}"


# Telling.


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


@contextmanager
def _progress(file: Published) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal and in a notebook; nothing in a log, where one line tells enough.

    Not rich's: in a notebook that needs one more package, and warns where it is missing.
    """
    try:
        from tqdm import tqdm
    except ImportError:
        yield lambda received: None
        return
    shown = "ipykernel" in sys.modules or sys.stderr.isatty()
    with tqdm(desc=file.name, total=file.size, unit="B", unit_scale=True, disable=not shown) as bar:
        yield lambda received: bar.update(received - bar.n)
