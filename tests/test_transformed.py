"""The cache of transformed weights: the same bits with and without, and never an error."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import vggs
from helpers import run_python

import gradcam
from gradcam import _cache, _core, weights
from gradcam._container import MAGIC, PIECE, Container
from gradcam._engine import transformed

PICTURE = vggs.picture(40, 50)


@pytest.fixture
def source(tmp_path):
    """A weight file whose convolutions have transformed weights at every level."""
    path = tmp_path / "vgg11.safetensors"
    weights.save(vggs.tensors("vgg11", divide=8), path)
    return path


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache folder of its own, in which small networks have a place too."""
    monkeypatch.setenv("GRADCAM_CACHE", str(tmp_path / "cache" / "gradcam"))
    monkeypatch.setattr(transformed, "MIN_BYTES", 1)
    monkeypatch.setattr(_cache, "_warned", set())
    return tmp_path / "cache" / "gradcam"


def run(source: Path) -> bytes:
    """Everything that a pass gives, from a network of its own."""
    tape = gradcam.vgg11(source).forward(PICTURE, size=64)
    raw = tape.grad_cam(3, layer="relu4_2").raw
    return tape.scores.tobytes() + raw.tobytes() + tape.gradient(3).tobytes()


def without(source: Path) -> bytes:
    """The same, of arrays: these have no cache."""
    tensors = {name: np.array(values) for name, values in weights.load(source).tensors.items()}
    tape = gradcam.vgg11(tensors).forward(PICTURE, size=64)
    raw = tape.grad_cam(3, layer="relu4_2").raw
    return tape.scores.tobytes() + raw.tobytes() + tape.gradient(3).tobytes()


def files(cache: Path) -> list[Path]:
    """The files that gradcam wrote; there are no others in the cache folder."""
    assert not cache.exists() or [each.name for each in cache.iterdir()] == ["gradcam-cache-1"]
    return sorted(cache.glob("gradcam-cache-1/*"))


def test_a_file_is_written_and_then_used(source, cache, monkeypatch, cpu_level):
    expected = without(source)
    assert run(source) == expected
    if cpu_level == "reference":
        assert files(cache) == []
        return
    (file,) = files(cache)
    os.utime(file, (1, 1))
    monkeypatch.setattr(_cache, "store", None)
    assert run(source) == expected
    assert file.stat().st_mtime > 1, "a use is noted"


def test_a_network_with_batch_normalisation(tmp_path, cache):
    path = tmp_path / "bn.safetensors"
    weights.save(vggs.tensors("vgg11_bn", divide=8), path)
    scores = [gradcam.vgg11_bn(path).forward(PICTURE, size=64).scores.tobytes() for _ in range(2)]
    assert scores[0] == scores[1] and len(files(cache)) == 1


def test_levels_have_files_of_their_own(source, cache):
    before = _core.cpu_level()
    try:
        for level in _core.cpu_levels()[1:]:
            _core.set_cpu_level(level)
            assert run(source) == run(source) == without(source)
    finally:
        _core.set_cpu_level(before)
    assert len(files(cache)) == len(_core.cpu_levels()) - 1


def test_a_file_that_was_only_touched_is_the_same(source, cache):
    run(source)
    os.utime(source, (1e9, 1e9))
    run(source)
    assert len(files(cache)) == 1


def test_other_weights_of_the_same_size_and_date_are_others(source, cache):
    before, status = run(source), source.stat()
    tensors = {name: np.array(values) for name, values in weights.load(source).tensors.items()}
    tensors["features.11.weight"][5, 6, 1, 1] += np.float32(1e-3)  # one number of many
    weights.save(tensors, source)
    os.utime(source, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert source.stat().st_size == status.st_size
    assert run(source) == without(source) != before
    assert len(files(cache)) == 2


def flip(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


DAMAGES = {
    "cut short": lambda content: content[:-1],
    "only the header": lambda content: content[:PIECE],
    "only the magic number": lambda content: content[: len(MAGIC)],
    "empty": lambda content: b"",
    "longer": lambda content: content + b"\0",
    "a bit of the sizes": lambda content: flip(content, 22),
    "a bit of the description": lambda content: flip(content, 40),
    "a bit of the digests": lambda content: flip(content, content.index(b"]]}") + 4),
    "a bit of the header's padding": lambda content: flip(content, PIECE - 1),
    "a bit of the first section": lambda content: flip(content, PIECE),
    "a bit of the last section": lambda content: flip(content, len(content.rstrip(b"\0")) - 1),
    "a bit of the last padding": lambda content: flip(content, len(content) - 1),
    "zeros in place of weights": lambda content: content[:PIECE].ljust(len(content), b"\0"),
    "other weights": lambda content: content[:PIECE] + content[PIECE:][::-1],
    "two pieces exchanged": lambda content: (
        content[:PIECE]
        + content[2 * PIECE : 3 * PIECE]
        + content[PIECE : 2 * PIECE]
        + content[3 * PIECE :]
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_removed_and_computed_again(source, cache, damage):
    expected = run(source)
    (file,) = files(cache)
    good = file.read_bytes()
    file.write_bytes(DAMAGES[damage](good))
    assert file.read_bytes() != good
    with pytest.warns(RuntimeWarning, match=f"{file.name} is damaged") as caught:
        assert run(source) == expected
    assert len(caught) == 1
    assert files(cache) == [file] and file.read_bytes() == good


def test_each_section_is_checked(source, cache, monkeypatch):
    """One bit of a float in the middle of each section, which no sample compares."""
    expected = run(source)
    (file,) = files(cache)
    good = file.read_bytes()
    with open(file, "rb") as opened:
        sections = Container(opened).sections
    for values in sections.values():
        content = values.tobytes()
        place = good.index(content) + len(content) // 2 + 3
        monkeypatch.setattr(_cache, "_warned", set())
        file.write_bytes(flip(good, place))
        with pytest.warns(RuntimeWarning, match="1 of its pieces"):
            assert run(source) == expected
        assert file.read_bytes() == good


def test_values_of_other_weights_are_not_used(source, cache, monkeypatch):
    """A file that is intact, and whose key is right, but not its values."""
    expected = run(source)
    (file,) = files(cache)
    good = file.read_bytes()
    with open(file, "rb") as opened:
        content = Container(opened)
        sections = {name: values[::-1] for name, values in content.sections.items()}
        digest = file.stem.rpartition("-")[2]
        assert _cache.store("transformed", digest, content.key, sections, content.source)
    assert file.read_bytes() != good
    with pytest.warns(RuntimeWarning, match="do not belong to the weights"):
        assert run(source) == expected
    assert file.read_bytes() == good


def test_the_header_says_what_is_inside(source, cache):
    run(source)
    with open(files(cache)[0], "rb") as file:
        content = Container(file)
    assert content.kind == "transformed" and content.source == str(source)
    names = list(gradcam.vgg11(source).layers)
    layers = [names[number] for number, _, _ in content.key["layers"]]
    assert layers == [names[int(section)] for section in content.sections]
    assert layers == [
        *("conv2_1", "conv3_1", "conv3_2", "conv4_1", "conv4_2", "conv5_1", "conv5_2")
    ]
    for _, floats, fingerprint in content.key["layers"]:
        assert floats > 0 and len(fingerprint) == 16


@pytest.mark.parametrize("obstacle", ["a file", "read-only"])
def test_a_folder_that_cannot_be_written(source, cache, obstacle):
    if obstacle == "a file":
        cache.parent.write_bytes(b"")
    else:
        cache.parent.mkdir(mode=0o500)
        if os.access(cache.parent, os.W_OK):
            pytest.skip("this user may write anywhere")
    assert run(source) == run(source) == without(source)


def test_a_write_that_fails_leaves_nothing(source, cache, monkeypatch):
    def fail(*names):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    assert run(source) == without(source)
    assert files(cache) == []


def test_a_cache_that_others_can_write_is_not_used(source, cache, monkeypatch):
    """Neither read nor written: the weights are computed in memory."""
    expected = run(source)
    (file,) = files(cache)
    before = file.read_bytes()
    file.write_bytes(flip(before, 3 * PIECE))
    cache.chmod(0o770)
    monkeypatch.setattr(Container, "check", lambda self, names=None: None)
    with pytest.warns(RuntimeWarning, match=f"other users can write {cache}; run: chmod go-w"):
        assert run(source) == expected
    assert file.read_bytes() == flip(before, 3 * PIECE)


def test_off(source, cache, monkeypatch):
    monkeypatch.setenv("GRADCAM_CACHE", "off")
    assert run(source) == without(source)
    assert files(cache) == [] and _cache.folder() is None


def test_small_networks_have_no_file(source, cache, monkeypatch):
    monkeypatch.setattr(transformed, "MIN_BYTES", 32 << 20)
    run(source)
    assert files(cache) == []


def test_where_the_files_lie(monkeypatch):
    monkeypatch.delenv("GRADCAM_CACHE", raising=False)
    monkeypatch.setenv("HOME", "/home/someone")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert _cache.folder() == Path("/home/someone/.cache/gradcam")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative is to be ignored")
    assert _cache.folder() == Path("/home/someone/.cache/gradcam")
    monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
    assert _cache.folder() == Path("/caches/gradcam")
    monkeypatch.setattr(sys, "platform", "darwin")
    assert _cache.folder() == Path("/home/someone/Library/Caches/gradcam")
    monkeypatch.setenv("GRADCAM_CACHE", "/elsewhere")
    assert _cache.folder() == Path("/elsewhere")
    monkeypatch.setenv("GRADCAM_CACHE", "~/elsewhere")
    assert _cache.folder() == Path("/home/someone/elsewhere")


def test_two_processes_at_once(source, cache):
    program = (
        "import hashlib, vggs, gradcam\n"
        "from gradcam._engine import transformed\n"
        "transformed.MIN_BYTES = 1\n"
        f"tape = gradcam.vgg11({str(source)!r}).forward(vggs.picture(40, 50), size=64)\n"
        "print(hashlib.sha256(tape.scores.tobytes()).hexdigest())\n"
    )
    folder = Path(__file__).parent
    both = [
        subprocess.Popen([sys.executable, "-c", program], cwd=folder, stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    said = [process.communicate(timeout=120)[0].decode().strip() for process in both]
    assert all(process.returncode == 0 for process in both)
    assert len(files(cache)) == 1
    assert {*said, run_python(program)} == {said[0]}


def test_two_threads_at_once(source, cache):
    network = gradcam.vgg11(source)
    with ThreadPoolExecutor(4) as pool:
        tapes = list(pool.map(lambda _: network.forward(PICTURE, size=64), range(8)))
    assert len({tape.scores.tobytes() for tape in tapes}) == 1
    assert len(files(cache)) == 1


def test_what_was_given_back_is_read_again(source, cache):
    run(source)
    network = gradcam.vgg11(source)
    tensors = weights.load(source).tensors
    kept = {name: np.array(values) for name, values in tensors.items()}
    network.forward(PICTURE, size=64)
    for name, values in tensors.items():
        transformed._free(values)
        np.testing.assert_array_equal(values, kept[name])
    transformed._free(np.ones(10_000, np.float32))


# --- the core's side ---


def aligned(count: int) -> np.ndarray:
    whole = np.zeros(count + 16, np.float32)
    start = -whole.__array_interface__["data"][0] // 4 % 16
    return whole[start : start + count]


def core_network(seed: int = 0) -> tuple[_core.Network, int]:
    builder = _core.NetworkBuilder(8)
    kernel = np.random.default_rng(seed).standard_normal((20, 8, 3, 3)).astype(np.float32)
    layer = builder.conv(0, kernel, padding=1)
    return builder.build(), layer


def test_the_core_takes_no_others_transformed_weights(cpu_level):
    network, layer = core_network()
    count = network.pack_floats(layer)
    if cpu_level == "reference":
        assert count == 0
        return
    assert network.pack_floats(0) == network.pack_floats(99) == 0
    assert network.pack_key(layer) != core_network(seed=1)[0].pack_key(layer)
    pack = aligned(count)
    network.pack(layer, pack)
    with pytest.raises(ValueError, match="not the transformed weights"):
        core_network(seed=1)[0].lend_pack(layer, pack)
    with pytest.raises(ValueError):
        network.lend_pack(0, pack[:0])  # the input has none
    for bad in (pack[:-1], pack.astype(np.float64), pack[None], pack.astype(">f4")):
        with pytest.raises(ValueError, match=f"{count} values of float32"):
            network.lend_pack(layer, bad)
    with pytest.raises(TypeError, match="array"):
        network.lend_pack(layer, list(pack))
    pack.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        network.pack(layer, pack)
    x = np.random.default_rng(2).standard_normal((1, 8, 9, 9)).astype(np.float32)
    lent, _ = core_network()
    lent.lend_pack(layer, pack)
    del pack
    np.testing.assert_array_equal(
        lent.forward(x).activation(layer), network.forward(x).activation(layer)
    )
