"""The cache folder: which files are used, which are removed, and what is never touched."""

from __future__ import annotations

import os
import time
import warnings
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from helpers import run_python

from gradcam import _cache, _container, _core
from gradcam._container import MAGIC, PIECE, Container, DamagedError, ForeignError

KEY = {"layers": [[1, 2, "00ff"]], "version": "1"}
DIGEST = "0123456789abcdef" * 2
VALUES = np.random.default_rng(0).standard_normal(3 * PIECE // 4 + 100).astype(np.float32)
SECTIONS = {
    "a": VALUES,
    "b": np.arange(12, dtype=np.float64).reshape(3, 4),
    "c": np.arange(5, dtype=np.uint16),
    "empty": np.empty((0, 3), np.float32),
    "one": np.float32(7).reshape(()),
}
METADATA = {"preset": "caffe", "größe": "\n"}


@pytest.fixture
def named(tmp_path, monkeypatch):
    """The folder that GRADCAM_CACHE names; it does not exist yet."""
    monkeypatch.setenv("GRADCAM_CACHE", str(tmp_path / "named"))
    monkeypatch.setattr(_cache, "_warned", set())
    return tmp_path / "named"


@pytest.fixture
def own(named):
    return named / "gradcam-cache-2"


def store(digest: str = DIGEST, kind: str = "forward", count: int = 0) -> bool:
    sections = {"a": VALUES[:count]} if count else SECTIONS
    return _cache.store(kind, digest, KEY, sections, "/weights.npz", METADATA)


def find() -> Container | None:
    """The stored file, if it can be used as a whole."""
    found = _cache.find("forward", DIGEST, KEY)
    return found if found is not None and _cache.usable(found) else None


def name(digest: str = DIGEST, kind: str = "forward") -> str:
    return f"{kind}-{digest}.gradcam"


def number(i: int) -> str:
    return f"{i:032x}"


@pytest.fixture
def quiet():
    """Turn warnings into errors."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


# --- the format ---


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_what_was_stored_is_found(named, own, quiet, threads):
    before = _core.get_num_threads()
    _core.set_num_threads(threads)
    try:
        assert find() is None and store()
        found = find()
    finally:
        _core.set_num_threads(before)
    assert (found.kind, found.key, found.metadata) == ("forward", KEY, METADATA)
    assert found.source == "/weights.npz" and found.path == own / name()
    assert list(found.sections) == list(SECTIONS)
    for each, values in SECTIONS.items():
        section = found.sections[each]
        assert section.dtype == values.dtype and section.shape == values.shape
        assert not section.flags.writeable and section.tobytes() == values.tobytes()
        if values.nbytes:
            assert section.__array_interface__["data"][0] % 4096 == 0, "whole pages"
    assert own.joinpath(name()).stat().st_size % PIECE == 0


def test_a_file_without_sections(named, quiet):
    assert _cache.store("converted", DIGEST, KEY, {})
    assert _cache.find("converted", DIGEST, KEY).sections == {}


@pytest.mark.parametrize(
    "sections", [{"a": np.arange(3)}, {"a": np.ones(2, ">f4")}, {"a": np.array(["x"])}]
)
def test_types_that_are_not_supported(named, own, sections):
    assert not _cache.store("forward", DIGEST, KEY, sections)
    assert list(own.iterdir()) == []


def test_a_header_that_is_too_long(named, own, monkeypatch):
    monkeypatch.setattr(_container, "_MAX_HEADER", PIECE)
    assert store()
    assert not _cache.store("converted", DIGEST, KEY, {}, metadata={"a": "b" * PIECE})
    assert [path.name for path in own.iterdir()] == [name()]


def test_pieces_are_checked_when_their_section_is_used(named, own):
    """Damage elsewhere is not noticed, and each piece is compared once."""
    store()
    content = bytearray((own / name()).read_bytes())
    content[PIECE + 2 * PIECE] ^= 1  # the third piece of "a"
    (own / name()).write_bytes(content)
    found = _cache.find("forward", DIGEST, KEY)
    found.check(["b", "c"])
    found.check([])
    with pytest.raises(DamagedError, match="1 of its pieces"):
        found.check()
    with pytest.warns(RuntimeWarning, match=r"is damaged \(1 of its pieces of 64 KB have changed"):
        assert not _cache.usable(found, ["a"])
    assert _cache.usable(found, ["b"]) and not (own / name()).exists()


def test_a_piece_is_compared_once(named, monkeypatch):
    store()
    found = _cache.find("forward", DIGEST, KEY)
    compared = []
    digests = _container._digests

    def counted(data, pieces):
        compared.append(len(pieces))
        return digests(data, pieces)

    monkeypatch.setattr(_container, "_digests", counted)
    found.check(["b"])
    found.check()
    found.check()
    assert compared == [1, 6, 0]


PLACES = [0, 15, 16, 20, 24, 30, 200, 700, PIECE - 1]
PLACES += [piece * PIECE + at for piece in range(1, 8) for at in (0, PIECE // 2, PIECE - 1)]


@pytest.mark.parametrize("place", PLACES)
def test_one_changed_bit_anywhere(named, own, place):
    """In the header, each section and the padding; other magic numbers are other programs'."""
    store()
    content = bytearray((own / name()).read_bytes())
    assert len(content) == 8 * PIECE
    content[place] ^= 16
    (own / name()).write_bytes(content)
    foreign = place < len(MAGIC)
    message = "did not write this file" if foreign else "is damaged"
    with pytest.warns(RuntimeWarning, match=message):
        assert find() is None
    assert (own / name()).exists() == foreign
    assert store() != foreign
    assert (find() is None) == foreign


@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 27, 28, 100, PIECE - 1, PIECE, 5 * PIECE, -1])
def test_a_file_that_was_cut(named, own, size):
    store()
    content = (own / name()).read_bytes()[:size]
    (own / name()).write_bytes(content)
    foreign = 0 < size < len(MAGIC)
    with pytest.warns(RuntimeWarning, match="did not write" if foreign else "is damaged"):
        assert find() is None
    assert (own / name()).exists() == foreign and store() != foreign


def rewritten(own: Path, change) -> None:
    """Change the description in a header, and correct the header's digest."""
    content = (own / name()).read_bytes()
    length = int.from_bytes(content[24:28], "little")
    text = change(content[28 : 28 + length])
    assert len(text) == length
    rest = content[20:28] + text + content[28 + length : PIECE]
    check = _container.zlib.crc32(rest).to_bytes(4, "little")
    (own / name()).write_bytes(content[:16] + check + rest + content[PIECE:])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"kind": ', b'"kind"; '),  # not JSON
        (b'"kind": ', b'"kinb": '),
        (b'"sections": ', b'"sectionz": '),
        (b'"<f8", [3, 4]', b'"<f8", [9999]'),  # needs two pieces
        (b'"<f8", [3, 4]', b'"<i8", [3, 4]'),
        (b'"<f8", [3, 4]', b'"<f8", [3, -4'),
        (b'"<f8", [3, 4]', b'"<f8", "3, 4"'),
        (b'"<f8", [3, 4], 262144', b'"<f8", [3, 4], 262143'),
    ],
)
def test_a_wrong_description_with_a_right_digest(named, own, old, new):
    store()
    rewritten(own, lambda text: text.replace(old, new.ljust(len(old))[: len(old)]))
    with pytest.warns(RuntimeWarning, match="is damaged"):
        assert find() is None


def test_another_kind_or_key_under_this_name(named, own, quiet):
    """It is intact: replaced by the next file of that name, without a warning."""
    store()
    assert _cache.find("converted", DIGEST, KEY) is None
    assert _cache.find("forward", DIGEST, KEY | {"version": "2"}) is None
    store(kind="converted")
    os.replace(own / name(kind="converted"), own / name())
    assert find() is None and (own / name()).exists()
    assert store() and find() is not None


def test_an_older_format_in_the_same_folder(named, own):
    """Nothing of another version is removed."""
    own.mkdir(parents=True, mode=0o700)
    content = MAGIC.replace(b"2", b"1") + bytes(PIECE)
    (own / name()).write_bytes(content)
    with pytest.warns(RuntimeWarning, match="did not write"):
        assert find() is None
    assert not store() and _cache.clear() == 0
    assert (own / name()).read_bytes() == content


def test_versions_have_folders_side_by_side(named, monkeypatch):
    store()
    monkeypatch.setattr(_cache, "_FOLDER", "gradcam-cache-3")
    assert find() is None and store()
    assert sorted(each.name for each in named.iterdir()) == ["gradcam-cache-2", "gradcam-cache-3"]


# --- what is not gradcam's is never touched ---


def users_files(named: Path, own: Path) -> dict[Path, bytes]:
    """Write files with another name than gradcam's, or another start; return their contents."""
    own.mkdir(parents=True, exist_ok=True)
    own.chmod(0o700)
    named.chmod(0o700)
    mine = dict.fromkeys([own / name(number(1)), own / f".{name(number(7))}.12345678.tmp"], b"mine")
    other_names = [
        named / "my_thesis.weights.h5",
        named / f"{DIGEST}.weights",
        named / f"{DIGEST}.packs",
        named / name(),
        named / f".{name()}.12345678.tmp",
        own / "notes.txt",
        own / "my_thesis.weights.h5",
        own / f"{number(2)}.gradcam",
        own / f"my model-{number(3)}.gradcam",
        own / f"{name(number(4))}.bak",
        own / f"x{name(number(5))}",
        own / f"backup-{name(number(8))}",
        own / f"TRANSFORMED-{number(6)}.gradcam",
        own / ".notes.12345678.tmp",
        own / f".{name(number(7))}.1234567g.tmp",
    ]
    mine |= dict.fromkeys(other_names, MAGIC + bytes(PIECE))
    for path, content in mine.items():
        path.write_bytes(content)
        os.utime(path, (1, 1))
    return mine


def test_files_of_the_user_are_kept(named, own, monkeypatch, quiet):
    mine = users_files(named, own)
    monkeypatch.setattr(_cache, "MAX_BYTES", 3 * PIECE)
    for i in range(10, 14):
        assert store(number(i), count=100)
    assert {path: path.read_bytes() for path in mine} == mine
    assert [each.path for each in _cache.entries()] == [own / name(number(13))]
    _cache.clear()
    assert {path: path.read_bytes() for path in mine} == mine


@pytest.fixture(params=["link to a file", "broken link", "folder", "FIFO", "file", "socket"])
def obstacle(request, named, own, tmp_path):
    """Something of the user's with the name of a file of gradcam's."""
    path, target = own / name(), tmp_path / "target"
    own.mkdir(parents=True, mode=0o700)
    named.chmod(0o700)
    store(number(9))
    (own / name(number(9))).rename(target)
    if request.param == "link to a file":  # even to one that gradcam wrote
        path.symlink_to(target)
    elif request.param == "broken link":
        path.symlink_to(tmp_path / "missing")
    elif request.param == "folder":
        path.mkdir()
        (path / "mine").write_bytes(b"mine")
    elif request.param == "FIFO":
        os.mkfifo(path)
    elif request.param == "socket":
        import socket

        before = os.getcwd()
        os.chdir(own)  # paths of sockets are short
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name)
        os.chdir(before)
    else:
        path.write_bytes(b"my own notes")
    return path


def test_other_things_of_that_name_are_kept(obstacle, monkeypatch):
    before = obstacle.lstat()
    target = obstacle.parent.parent.parent / "target"
    content = target.read_bytes()
    monkeypatch.setattr(_cache, "MAX_BYTES", PIECE * 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert find() is None and not store() and find() is None
    assert store(number(1), count=10)
    assert [each.path.name for each in _cache.entries()] == [name(number(1))]
    assert _cache.clear() == 2 * PIECE
    after = obstacle.lstat()
    assert (after.st_ino, after.st_size, after.st_mtime_ns) == (
        before.st_ino,
        before.st_size,
        before.st_mtime_ns,
    )
    assert target.read_bytes() == content
    if obstacle.is_dir():
        assert (obstacle / "mine").read_bytes() == b"mine"


@pytest.mark.parametrize("what", ["file", "link"])
def test_the_folders_name_is_taken(named, own, tmp_path, what):
    """A file, or a link to a folder: a link could lead into a folder of the user's."""
    named.mkdir(mode=0o700)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    (elsewhere / name()).write_bytes(MAGIC)
    if what == "file":
        own.write_bytes(b"mine")
    else:
        own.symlink_to(elsewhere)
    with pytest.warns(RuntimeWarning, match=f"{own} is not a folder; set GRADCAM_CACHE"):
        assert find() is None
    assert not store() and _cache.entries() == [] and _cache.clear() == 0
    assert (elsewhere / name()).read_bytes() == MAGIC and len(list(elsewhere.iterdir())) == 1
    assert what == "link" or own.read_bytes() == b"mine"


def test_the_named_folder_may_be_a_link(named, own, tmp_path, quiet):
    (tmp_path / "disk").mkdir(mode=0o700)
    named.symlink_to(tmp_path / "disk")
    assert store() and find() is not None


# --- who can write ---


def test_only_the_user_can_read_and_write(named, own):
    before = os.umask(0)
    try:
        store()
    finally:
        os.umask(before)
    modes = [path.stat().st_mode & 0o777 for path in (named, own, own / name())]
    assert modes == [0o700, 0o700, 0o600]


@pytest.mark.parametrize("mode", [0o020, 0o002])
@pytest.mark.parametrize("what", ["named", "own", "file"])
def test_what_others_can_write_is_not_used(named, own, what, mode):
    store()
    path = {"named": named, "own": own, "file": own / name()}[what]
    path.chmod(path.stat().st_mode | mode)
    before = (own / name()).stat()
    with pytest.warns(RuntimeWarning, match=f"other users can write {path}; run: chmod go-w"):
        assert find() is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # the warning is issued once
        assert find() is None and not store()
        assert _cache.entries() == [] and _cache.clear() == 0
    after = (own / name()).stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    path.chmod(path.stat().st_mode & ~mode)
    assert find() is not None, "as the warning says"


@pytest.mark.parametrize("what", ["named", "own", "file"])
def test_what_belongs_to_another_user_is_not_used(named, own, what):
    if os.geteuid() != 0:
        pytest.skip("only root can give files to other users")
    store()
    path = {"named": named, "own": own, "file": own / name()}[what]
    os.chown(path, 12345, -1)
    with pytest.warns(RuntimeWarning, match=f"{path} belongs to another user; set GRADCAM_CACHE"):
        assert find() is None
    assert not store() and _cache.entries() == [] and _cache.clear() == 0
    assert (own / name()).exists()


def test_another_user_runs_the_program(named, own, monkeypatch):
    """The same without root."""
    store()
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.warns(RuntimeWarning, match=f"{named} belongs to another user"):
        assert find() is None
    assert not store() and _cache.clear() == 0
    monkeypatch.undo()


def test_a_private_folder(named, own):
    assert not _cache.is_private(own)
    store()
    assert _cache.is_private(own)
    named.chmod(0o777)
    assert not _cache.is_private(own)


# --- file systems ---


def test_a_read_only_folder_is_used(named, own, monkeypatch, quiet):
    store()
    own.chmod(0o500)
    named.chmod(0o500)

    def refuse(*arguments, **options):
        raise OSError(30, "Read-only file system")

    for function in ("utime", "unlink", "replace", "mkdir"):
        monkeypatch.setattr(os, function, refuse)
    monkeypatch.setattr(Path, "mkdir", refuse)
    assert find() is not None and not store(number(1)) and _cache.clear() == 0
    assert len(_cache.entries()) == 1
    monkeypatch.undo()
    own.chmod(0o700)
    named.chmod(0o700)


def test_a_damaged_file_that_cannot_be_removed(named, own, monkeypatch):
    store()
    with open(own / name(), "r+b") as file:
        file.seek(PIECE)
        file.write(b"other")

    def refuse(*arguments, **options):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.warns(RuntimeWarning, match=r"cannot be removed \(Read-only file system\)"):
        assert find() is None


@pytest.mark.parametrize("function", ["open", "lstat", "stat", "statvfs", "fstat", "replace"])
def test_an_error_of_the_file_system_is_no_error_of_the_cache(named, own, monkeypatch, function):
    store()

    def refuse(*arguments, **options):
        raise OSError(116, "Stale file handle")

    with monkeypatch.context() as patch:
        patch.setattr(os, function, refuse)
        found = find()
        stored = store()
        _cache.entries()
    assert not stored and (found is None or function in ("statvfs", "replace"))
    assert find() is not None and [path.name for path in own.iterdir()] == [name()]


def test_a_folder_that_cannot_be_created(named, quiet, tmp_path, monkeypatch):
    monkeypatch.setenv("GRADCAM_CACHE", str(tmp_path / ("x" * 300)))
    assert find() is None and not store() and _cache.entries() == []
    (tmp_path / "file").write_bytes(b"mine")
    monkeypatch.setenv("GRADCAM_CACHE", str(tmp_path / "file" / "cache"))
    assert find() is None and not store() and _cache.clear() == 0


def test_the_named_folder_is_a_file(named):
    named.write_bytes(b"mine")
    with pytest.warns(RuntimeWarning, match=f"{named} is not a folder"):
        assert find() is None or _cache.entries() == []
        assert not store()
        _cache.entries()
    assert named.read_bytes() == b"mine"


def test_off(named, monkeypatch, quiet):
    monkeypatch.setenv("GRADCAM_CACHE", "off")
    assert find() is None and not store() and _cache.entries() == [] and _cache.clear() == 0
    assert not named.exists()


# --- the size ---


def test_the_least_recently_used_are_removed_first(named, own, monkeypatch, quiet):
    """All kinds have one limit; a use counts, and files that are replaced do not count."""
    for i, kind in enumerate(("forward", "converted", "converted")):
        assert store(number(i), kind, count=10)
        os.utime(own / name(number(i), kind), (1000 + i, 1000 + i))
    assert _cache.find("forward", number(0), KEY) is not None
    monkeypatch.setattr(_cache, "MAX_BYTES", 6 * PIECE)
    assert store(number(2), "converted", count=20)
    assert len(_cache.entries()) == 3
    assert store(number(3), count=10)
    kept = [each.path.name for each in _cache.entries()]
    assert sorted(kept) == sorted([name(number(0)), name(number(2), "converted"), name(number(3))])


def test_a_file_that_is_larger_than_the_limit(named, own, monkeypatch):
    store(number(1), count=10)
    monkeypatch.setattr(_cache, "MAX_BYTES", 7 * PIECE)
    assert not store() and len(_cache.entries()) == 1
    monkeypatch.setattr(_cache, "MAX_BYTES", 8 * PIECE)
    assert store() and [each.path.name for each in _cache.entries()] == [name()]


def test_the_limit_holds_two_vgg16():
    """With transformed weights of all kinds, and copies of converted weights."""
    channels = (64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512)
    kernels = sum(a * b for a, b in pairwise(channels))
    forward = backward = 36 * 4 * kernels
    matrices = ((25088, 4096), (4096, 4096), (4096, 1000))
    input_major = sum(4 * rows * columns + 8 * rows for rows, columns in matrices)
    sums = 4 * 512 * 4096
    transformed = forward + backward + input_major + sums
    assert 970e6 < transformed < 975e6
    assert 2 * (transformed + 554e6) < _cache.MAX_BYTES


def test_three_times_the_size_remains_free(named, own, monkeypatch):
    """Otherwise nothing is written, and nothing removed."""
    store(number(1), count=10)
    free = [0]
    monkeypatch.setattr(os, "statvfs", lambda path: SimpleNamespace(f_bavail=free[0], f_frsize=1))
    monkeypatch.setattr(_cache, "MAX_BYTES", 9 * PIECE)
    free[0] = 4 * 8 * PIECE - 2 * PIECE - 1
    assert not store() and len(_cache.entries()) == 1
    free[0] += 1  # with the two pieces of the file that is removed
    assert store() and [each.path.name for each in _cache.entries()] == [name()]


# --- interrupted and concurrent writers ---


def test_a_write_that_fails_leaves_nothing(named, own, monkeypatch):
    def fail(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    assert not store() and list(own.iterdir()) == []


def test_abandoned_temporary_files_are_removed_after_a_day(named, own, quiet):
    store(number(1), count=10)
    content = (own / name(number(1))).read_bytes()
    old, new, empty = (own / f".{name(number(i))}.{'0' * 7}{i}.tmp" for i in range(3))
    old.write_bytes(content[:-1])
    new.write_bytes(content[:-1])
    empty.write_bytes(b"")
    day = time.time() - _cache.MAX_AGE
    for path, age in ((old, day - 60), (empty, day - 60), (new, day + 60)):
        os.utime(path, (age, age))
    assert find() is None and old.exists()
    assert store()
    assert not old.exists() and not empty.exists() and new.exists()
    assert [each.path.name for each in _cache.entries()] == [name(), name(number(1))]


def test_a_process_that_is_killed_while_it_writes(named, own):
    program = (
        "import os, signal, numpy as np\n"
        "from gradcam import _cache\n"
        "os.replace = lambda *names: os.kill(os.getpid(), signal.SIGKILL)\n"
        f"_cache.store('forward', {DIGEST!r}, {KEY!r}, {{'a': np.ones(10, 'f4')}})\n"
    )
    with pytest.raises(AssertionError, match="exit status -9"):
        run_python(program)
    (leftover,) = own.iterdir()
    assert find() is None and _cache.entries() == []
    os.utime(leftover, (1, 1))
    assert store() and [path.name for path in own.iterdir()] == [name()]


def test_a_file_that_was_replaced_is_not_removed(named, own):
    """Another process has already removed and rewritten the damaged file."""
    store()
    damaged = _cache.find("forward", DIGEST, KEY)
    (own / name()).unlink()
    store()
    _cache.discard(damaged, "wrong")
    assert find() is not None
    _cache.discard(damaged, "wrong")
    (own / name()).unlink()
    _cache.discard(damaged, "wrong")


def test_files_of_one_weight_file_are_removed(named, own):
    store()
    assert _cache.store("sums", DIGEST, KEY, SECTIONS, "/other.npz")
    assert _cache.clear("/missing.npz") == 0
    assert _cache.clear("/other.npz") == 8 * PIECE
    assert [entry.source for entry in _cache.entries()] == ["/weights.npz"]


def test_a_file_that_is_used_while_it_is_removed(named, own):
    store()
    found = _cache.find("forward", DIGEST, KEY)
    assert _cache.clear() == 8 * PIECE and _cache.entries() == []
    assert _cache.usable(found)
    np.testing.assert_array_equal(found.sections["a"], VALUES)


# --- what is in the cache ---


def test_entries(named, own):
    assert _cache.entries() == []
    store(number(1), "converted", count=10)
    store()
    os.utime(own / name(), (1000, 1000))
    first, second = _cache.entries()
    assert (first.kind, first.size, first.source) == ("converted", 2 * PIECE, "/weights.npz")
    assert first.last_used > 1e9
    assert second == _cache.Entry(own / name(), "forward", 8 * PIECE, 1000.0, "/weights.npz")
    (own / name()).write_bytes(MAGIC)
    assert _cache.entries()[0].source == "", "a damaged file is listed too"
    assert _cache.clear() == 2 * PIECE + len(MAGIC) and list(own.iterdir()) == []


def test_foreign_files_are_not_parsed(tmp_path):
    (tmp_path / "a").write_bytes(b"{}" * PIECE)
    with open(tmp_path / "a", "rb") as file, pytest.raises(ForeignError):
        Container(file)
