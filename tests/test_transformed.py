"""The cache of transformed weights: the same bits with and without, and never an error."""

from __future__ import annotations

import functools
import mmap
import os
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import numpy as np
import onnx_files
import pytest
import vggs
from helpers import aligned, run_python

import gradcam
from gradcam import _cache, _core, weights
from gradcam._container import MAGIC, PIECE, Container
from gradcam._engine import transformed

PICTURE = vggs.picture(40, 50)


@pytest.fixture
def source(tmp_path):
    """A weight file whose convolutions have transformed weights at every level.

    So many inputs of its linear layers are active that no pass uses input-major weights.
    """
    return saved(tmp_path, active=0.95)


def saved(folder: Path, active: float) -> Path:
    """Such a file in a folder: see :func:`weight_file`."""
    path = folder / "vgg11.safetensors"
    path.write_bytes(weight_file(active))
    return path


@functools.cache
def weight_file(active: float) -> bytes:
    """A weight file with which this share of the inputs of the linear layers is not zero.

    Few of them are when input-major weights are used, which round in another way.
    """
    tensors = vggs.tensors("vgg11", divide=8)
    biases = ("features.18.bias", "classifier.0.bias", "classifier.3.bias")
    for layer, bias in zip(("conv5_2", "fc6", "fc7"), biases, strict=True):
        network = gradcam.vgg11(tensors)
        values = network.forward(PICTURE, keep=layer, size=64).activation(layer)
        maxima = values.reshape(*values.shape[:2], -1).max(-1) if values.ndim == 4 else values
        tensors[bias] = tensors[bias] - np.float32(np.quantile(maxima, 1 - active))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "vgg11.safetensors")
        weights.save(tensors, path)
        return path.read_bytes()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache folder of its own, in which small networks have a place too."""
    monkeypatch.setenv("GRADCAM_CACHE", str(tmp_path / "cache" / "gradcam"))
    monkeypatch.setattr(transformed, "MIN_BYTES", 1)
    monkeypatch.setattr(_cache, "_warned", set())
    return tmp_path / "cache" / "gradcam"


def results(network: gradcam.Network) -> bytes:
    """Everything that a pass gives; it uses transformed weights of every kind."""
    tape = network.forward(PICTURE, size=64)
    maps = [tape.grad_cam(3, layer=layer).raw for layer in ("relu4_2", "relu5_2")]
    arrays = [tape.scores, *maps, tape.gradient(3)]
    return b"".join(array.tobytes() for array in arrays)


def run(source: Path) -> bytes:
    """The same, from a network of its own."""
    return results(gradcam.vgg11(source))


def without(source: Path) -> bytes:
    """The same, of arrays: these have no cache."""
    tensors = {name: np.array(values) for name, values in weights.load(source).tensors.items()}
    return results(gradcam.vgg11(tensors))


KINDS = ("backward", "forward", "input-major", "sums")


def files(cache: Path, kind: str = "*") -> list[Path]:
    """The files of a kind that gradcam wrote; there are no others in the cache folder."""
    assert not cache.exists() or [each.name for each in cache.iterdir()] == ["gradcam-cache-2"]
    return sorted(cache.glob(f"gradcam-cache-2/{kind}-{'?' * 32}.gradcam"))


def kinds(cache: Path) -> list[str]:
    return [file.name.rpartition("-")[0] for file in files(cache)]


def test_files_are_written_and_then_used(source, cache, monkeypatch, cpu_level):
    expected = without(source)
    assert run(source) == expected
    if cpu_level == "reference":
        assert kinds(cache) == ["input-major", "sums"]
    else:
        assert kinds(cache) == [*KINDS]
    for file in files(cache):
        os.utime(file, (1, 1))
    monkeypatch.setattr(_cache, "store", None)
    assert run(source) == expected
    for file in files(cache):
        assert file.stat().st_mtime > 1, "a use is noted"


def test_each_kind_is_made_when_it_is_first_needed(source, cache):
    tape = gradcam.vgg11(source).forward(PICTURE, size=64)
    assert kinds(cache) == ["forward", "input-major"]
    tape.grad_cam(3)
    assert kinds(cache) == ["forward", "input-major", "sums"]
    tape.grad_cam(3, layer="relu5_1")
    assert kinds(cache) == [*KINDS]


def test_a_network_with_batch_normalisation(tmp_path, cache):
    path = tmp_path / "bn.safetensors"
    weights.save(vggs.tensors("vgg11_bn", divide=8), path)
    scores = [gradcam.vgg11_bn(path).forward(PICTURE, size=64).scores.tobytes() for _ in range(2)]
    assert scores[0] == scores[1] and kinds(cache) == ["forward", "input-major"]


def test_levels_have_files_of_their_own(source, cache):
    before = _core.cpu_level()
    try:
        for level in _core.cpu_levels()[1:]:
            _core.set_cpu_level(level)
            assert run(source) == run(source) == without(source)
    finally:
        _core.set_cpu_level(before)
    widths = len(_core.cpu_levels()) - 1
    assert len(files(cache, "forward")) == len(files(cache, "backward")) == widths
    assert len(files(cache, "input-major")) == 1, "they do not depend on the level"


def test_a_weight_file_that_was_only_touched(source, cache):
    """Convolutions are known by all their values, linear layers by the state of the file."""
    expected = run(source)
    os.utime(source, (1e9, 1e9))
    assert run(source) == expected
    assert len(files(cache, "forward")) == len(files(cache, "backward")) == 1
    assert len(files(cache, "input-major")) == len(files(cache, "sums")) == 2


def test_other_weights_of_the_same_size_and_date_are_others(source, cache):
    before, status = run(source), source.stat()
    tensors = {name: np.array(values) for name, values in weights.load(source).tensors.items()}
    tensors["features.11.weight"][5, 6, 1, 1] += np.float32(1e-3)  # one number of many
    weights.save(tensors, source)
    os.utime(source, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert source.stat().st_size == status.st_size
    assert run(source) == without(source) != before
    for kind in KINDS:
        assert len(files(cache, kind)) == 2


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


UNSEEN = ("a bit of the first", "a bit of the last", "two pieces")
"""What is not noticed in input-major weights before their rows are used; tested further below."""


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_removed_and_computed_again(source, cache, damage, kind):
    if kind == "input-major" and damage.startswith(UNSEEN):
        pytest.skip("its rows are compared when they are used")
    expected = run(source)
    (file,) = files(cache, kind)
    good = file.read_bytes()
    file.write_bytes(DAMAGES[damage](good))
    if file.read_bytes() == good:
        pytest.skip("this file has no such place")
    with pytest.warns(RuntimeWarning, match=f"{file.name} is damaged") as caught:
        assert run(source) == expected
    assert len(caught) == 1
    assert files(cache, kind) == [file] and file.read_bytes() == good


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "input-major"])
def test_each_section_is_checked(source, cache, monkeypatch, kind):
    """One bit of a float in the middle of each section, which no sample compares."""
    expected = run(source)
    (file,) = files(cache, kind)
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


@pytest.mark.parametrize("kind", KINDS)
def test_values_of_other_weights_are_not_used(source, cache, monkeypatch, kind):
    """A file that is intact, and whose key is right, but not its values."""
    expected = run(source)
    (file,) = files(cache, kind)
    good = file.read_bytes()
    with open(file, "rb") as opened:
        content = Container(opened)
        sections = {name: values[::-1] for name, values in content.sections.items()}
        digest = file.stem.rpartition("-")[2]
        assert _cache.store(kind, digest, content.key, sections, content.source)
    assert file.read_bytes() != good
    with pytest.warns(RuntimeWarning, match="do not belong to the weights"):
        assert run(source) == expected
    assert file.read_bytes() == good


def test_the_header_says_what_is_inside(source, cache):
    run(source)
    with open(files(cache, "forward")[0], "rb") as file:
        content = Container(file)
    assert content.kind == "forward" and content.source == str(source)
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
    (file,) = files(cache, "forward")
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
    assert kinds(cache) == ["forward", "input-major"]
    assert {*said, run_python(program)} == {said[0]}


def test_two_threads_at_once(source, cache):
    network = gradcam.vgg11(source)
    with ThreadPoolExecutor(4) as pool:
        tapes = list(pool.map(lambda _: network.forward(PICTURE, size=64), range(8)))
    assert len({tape.scores.tobytes() for tape in tapes}) == 1
    assert kinds(cache) == ["forward", "input-major"]


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


# --- linear layers whose inputs are mostly zeros ---


@pytest.fixture
def sparse(tmp_path):
    return saved(tmp_path, active=0.2)


def test_the_weights_of_zeros_are_not_needed(sparse, cache):
    """Every row of an input that is zero is damaged: nobody notices, and results are the same."""
    expected = run(sparse)
    tape = gradcam.vgg11(sparse).forward(PICTURE, keep=["avgpool", "relu6"], size=64)
    (file,) = files(cache, "input-major")
    with open(file, "rb") as opened:
        sections = Container(opened).sections
    content = file.read_bytes()
    damaged = bytearray(content)
    for linear, layer in (("fc6", "avgpool"), ("fc7", "relu6")):
        inputs = tape.activation(layer).reshape(-1)
        zeros = np.flatnonzero(inputs == 0)
        network = gradcam.vgg11(sparse)
        section = sections[str(network.index(linear))].tobytes()
        row = 4 * len(network.layers[linear].weights["weight"])
        begin = content.index(section)
        sampled = [i * (inputs.size - 1) // 16 for i in range(17)]
        assert len(zeros) > 0.6 * inputs.size
        for each in np.setdiff1d(zeros, sampled):
            damaged[begin + each * row + 8] ^= 1
    file.write_bytes(damaged)
    assert run(sparse) == expected
    assert file.read_bytes() == damaged


def test_a_thread_waits_while_another_makes_the_weights(sparse, cache, monkeypatch):
    """It would compute without them, and round in another way."""
    begun, proceed = threading.Event(), threading.Event()
    make = transformed.TransformedWeights._make

    def delayed(self, kind, sizes):
        if kind == "input-major":
            begun.set()
            assert proceed.wait(60)
        return make(self, kind, sizes)

    monkeypatch.setattr(transformed.TransformedWeights, "_make", delayed)
    network = gradcam.vgg11(sparse)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(network.forward, PICTURE, size=64)
        assert begun.wait(60)
        second = pool.submit(network.forward, PICTURE, size=64)
        wait([second], timeout=0.5)
        proceed.set()
    assert first.result().scores.tobytes() == second.result().scores.tobytes()


def test_weights_that_could_not_be_made_are_made_by_the_next_pass(source, cache, monkeypatch):
    def fail(self, kind, sizes):
        raise KeyboardInterrupt

    network = gradcam.vgg11(source)
    with monkeypatch.context() as patch:
        patch.setattr(transformed.TransformedWeights, "_make", fail)
        with pytest.raises(KeyboardInterrupt):
            network.forward(PICTURE, size=64)
    assert kinds(cache) == []
    network.forward(PICTURE, size=64)
    assert kinds(cache) == ["forward", "input-major"]


@pytest.mark.parametrize("part", ["weight", "fingerprint"])
def test_a_damaged_row_that_is_used(sparse, cache, part):
    """The pass that finds it has the right results, as have all others."""
    expected = run(sparse)
    tape = gradcam.vgg11(sparse).forward(PICTURE, keep="avgpool", size=64)
    active = np.flatnonzero(tape.activation("avgpool").reshape(-1))
    (file,) = files(cache, "input-major")
    good = file.read_bytes()
    network = gradcam.vgg11(sparse)
    with open(file, "rb") as opened:
        section = Container(opened).sections[str(network.index("fc6"))].tobytes()
    out, width = network.layers["fc6"].weights["weight"].shape
    row = active[len(active) // 2]
    place = row * out * 4 + 9 if part == "weight" else out * width * 4 + row * 8 + 3
    file.write_bytes(flip(good, good.index(section) + int(place)))
    with pytest.warns(RuntimeWarning, match=f"{file.name} is damaged .a row of layer") as caught:
        tape = network.forward(PICTURE, size=64)
    assert len(caught) == 1 and not file.exists()
    scores = tape.scores.reshape(-1)
    right = np.frombuffer(expected, np.float32)[: scores.size]
    np.testing.assert_allclose(scores, right, rtol=1e-4, atol=1e-5)
    assert network.forward(PICTURE, size=64).scores.tobytes() == tape.scores.tobytes()
    assert run(sparse) == expected
    assert file.read_bytes() == good


def test_results_with_and_without(sparse, cache):
    with_cache, without_cache = (np.frombuffer(f(sparse), np.float32) for f in (run, without))
    scale = np.abs(without_cache).max()
    np.testing.assert_allclose(with_cache, without_cache, rtol=1e-3, atol=1e-5 * scale)


def test_a_weight_file_is_checked_once(source, cache, monkeypatch):
    """Later loads do not read the linear weights; without the cache they do."""
    from gradcam._engine import layers

    checked = []
    real = _core.all_finite
    monkeypatch.setattr(
        layers._core, "all_finite", lambda array: checked.append(array.shape) or real(array)
    )
    matrix = gradcam.vgg11(source).layers["fc6"].weights["weight"].shape
    assert matrix in checked
    run(source)
    checked.clear()
    gradcam.vgg11(source)
    assert matrix not in checked
    monkeypatch.setenv("GRADCAM_CACHE", "off")
    gradcam.vgg11(source)
    assert matrix in checked


@pytest.mark.parametrize("cached", [True, False])
def test_weights_that_are_not_finite(tmp_path, cache, cached):
    path = tmp_path / "weights.safetensors"
    tensors = vggs.tensors("vgg11", divide=8)
    weights.save(tensors, path)
    if cached:
        run(path)
    tensors["classifier.0.weight"][5, 6] = np.nan
    path.unlink()
    save_as_it_is(path, tensors)
    with pytest.raises(gradcam.WeightsError, match=r"'fc6'.*its weight holds NaN"):
        gradcam.vgg11(path)


def save_as_it_is(path: Path, tensors: dict[str, np.ndarray]) -> None:
    np.savez(path.with_suffix(".npz"), **tensors)
    path.with_suffix(".npz").rename(path)


def test_a_weight_file_that_changes_in_place(sparse, cache):
    """Its weights are read in place: nothing is cached of it any more."""
    network = gradcam.vgg11(sparse)
    os.utime(sparse, (1e9, 1e9))
    network.forward(PICTURE, size=64).grad_cam(3)
    assert kinds(cache) == ["forward"]


def test_linear_weights_in_a_file_beside_the_model(tmp_path, cache):
    """It can change while the model's own file stays the same: nothing is cached of them."""
    path, data = tmp_path / "m.onnx", tmp_path / "m.onnx.data"
    ops = onnx_files.layers("vgg11", vggs.tensors("vgg11", divide=8))
    op = next(each for each in ops if each.op == "Gemm")
    values = np.array(op.parameters[0])
    op.parameters[0] = "w"
    written = onnx_files.external("w", values, location=data.name)
    path.write_bytes(onnx_files.model(ops, tensors={"w": written}))
    data.write_bytes(values.tobytes())
    gradcam.load(path, preset="0..1").forward(PICTURE, size=224).grad_cam(3)
    assert kinds(cache) == ["forward"]
    values[5, 6] = np.nan
    data.write_bytes(values.tobytes())
    with pytest.raises(gradcam.WeightsError, match=r"its weight holds NaN"):
        gradcam.load(path)


def test_advice_that_the_system_refuses(source, cache, monkeypatch):
    """As of memory that is locked; advice changes no result."""

    class Refused:
        PAGESIZE, MADV_RANDOM, MADV_NORMAL, MADV_DONTNEED = mmap.PAGESIZE, -1, -1, -1
        mmap, MAP_PRIVATE, MAP_ANONYMOUS = mmap.mmap, mmap.MAP_PRIVATE, mmap.MAP_ANONYMOUS

    expected = without(source)
    monkeypatch.setattr(transformed, "mmap", Refused)
    assert run(source) == run(source) == expected
    assert kinds(cache) == [*KINDS]


def test_no_room(sparse, cache, monkeypatch):
    monkeypatch.setattr(_cache, "free_bytes", lambda folder: 0)
    assert run(sparse) == without(sparse)
    assert files(cache) == []


# --- the core's side ---


def core_network(seed: int = 0) -> tuple[_core.Network, int]:
    builder = _core.NetworkBuilder(8)
    kernel = np.random.default_rng(seed).standard_normal((20, 8, 3, 3)).astype(np.float32)
    layer = builder.conv(0, kernel, padding=1)
    return builder.build(), layer


def test_the_core_takes_no_others_transformed_weights(cpu_level):
    network, layer = core_network()
    count = network.pack_bytes(layer, "forward")
    if cpu_level == "reference":
        assert count == 0
        return
    assert network.pack_bytes(0, "forward") == network.pack_bytes(99, "forward") == 0
    assert network.pack_bytes(layer, "sums") == network.pack_bytes(layer, "input-major") == 0
    keys = {
        net.pack_key(layer, kind)
        for net in (network, core_network(seed=1)[0])
        for kind in ("forward", "backward")
    }
    assert len(keys) == 4
    pack = aligned(count)
    network.pack(layer, "forward", pack)
    with pytest.raises(ValueError, match="not the transformed weights"):
        core_network(seed=1)[0].lend_pack(layer, "forward", pack)
    with pytest.raises(ValueError):
        network.lend_pack(0, "forward", pack[:0])  # the input has none
    with pytest.raises(ValueError, match="'backward', 'input-major' or 'sums', not 'other'"):
        network.lend_pack(layer, "other", pack)
    for bad in (pack[:-1], pack.astype(np.int8), pack[None], np.repeat(pack, 2)[::2]):
        with pytest.raises(ValueError, match=f"{count} values of uint8"):
            network.lend_pack(layer, "forward", bad)
    with pytest.raises(TypeError, match="array"):
        network.lend_pack(layer, "forward", list(pack))
    pack.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        network.pack(layer, "forward", pack)
    x = np.random.default_rng(2).standard_normal((1, 8, 9, 9)).astype(np.float32)
    lent, _ = core_network()
    lent.lend_pack(layer, "forward", pack)
    del pack
    np.testing.assert_array_equal(
        lent.forward(x).activation(layer), network.forward(x).activation(layer)
    )


def test_backward_weights_that_are_lent(cpu_level):
    network, layer = core_network()
    x = np.random.default_rng(2).standard_normal((1, 8, 9, 9)).astype(np.float32)
    tape = network.forward(x)
    seeds = np.ones((1, *tape.activation(layer).shape), np.float32)
    (expected,) = tape.backward(layer, seeds, [0])
    if cpu_level == "reference":
        return
    lent, _ = core_network()
    pack = aligned(network.pack_bytes(layer, "backward"))
    network.pack(layer, "backward", pack)
    lent.lend_pack(layer, "backward", pack)
    (found,) = lent.forward(x).backward(layer, seeds, [0])
    np.testing.assert_array_equal(found, expected)


def test_begin_attaches_on_another_thread(source, cache):
    """The command line calls it; the first pass waits for it."""
    expected = without(source)
    network = gradcam.vgg11(source)
    assert network.transformed is not None
    network.transformed.begin()
    assert results(network) == expected
    assert len(files(cache, "forward")) == 1


def test_a_failure_on_that_thread_shows_in_the_first_pass(source, monkeypatch):
    network = gradcam.vgg11(source)
    failed = []

    def fail(self):
        failed.append(threading.current_thread() is threading.main_thread())
        raise RuntimeError("no luck")

    monkeypatch.setattr(transformed.TransformedWeights, "before_forward", fail)
    assert network.transformed is not None
    network.transformed.begin()
    with pytest.raises(RuntimeError, match="no luck"):
        network.forward(PICTURE, size=64)
    assert True in failed
