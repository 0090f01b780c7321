"""Copies of converted weights in the cache: the same network, used only if they are valid."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnx_files
import pytest
from helpers import run_python
from test_checkpoints import frossard, tensors

import gradcam
from gradcam import weights
from gradcam._models import converted

X = np.random.default_rng(2).standard_normal((1, 3, 32, 40)).astype(np.float32)


@pytest.fixture
def source(tmp_path):
    """A file with Frossard's layout."""
    path = tmp_path / "vgg16_weights.npz"
    np.savez(path, **frossard(tensors()))
    return path


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Use a temporary cache folder, which stores small networks too."""
    monkeypatch.setenv("GRADCAM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(converted, "MIN_BYTES", 1)
    return tmp_path / "cache"


def files(cache):
    return sorted(cache.iterdir()) if cache.exists() else []


def scores(source):
    return gradcam.load(source).forward(X).scores


def expected(seed=1):
    return gradcam.vgg16(tensors(seed=seed)).forward(X).scores


def never(*arguments):
    raise AssertionError("the original was read")


def test_a_copy_is_written_and_then_used(source, cache, monkeypatch):
    first = gradcam.vgg16(source)
    np.testing.assert_array_equal(first.forward(X).scores, expected())
    (copy,) = files(cache)
    assert copy.suffix == ".weights" and cache.stat().st_mode & 0o777 == 0o700
    described = weights.describe(copy)
    assert (described.architecture, described.preset) == ("vgg16", "frossard")
    monkeypatch.setattr(weights, "load", never)
    os.utime(copy, (1, 1))
    second = gradcam.vgg16(source)
    np.testing.assert_array_equal(second.forward(X).scores, expected())
    assert second.preset == first.preset and list(second.labels) == list(first.labels)
    assert files(cache) == [copy] and copy.stat().st_mtime > 1
    with pytest.raises(weights.WeightsError, match=r"use gradcam\.vgg16,"):
        gradcam.vgg19(source)


def test_labels_and_preset_of_the_caller_override_the_copys(source, cache):
    for _ in range(2):
        network = gradcam.load(source, labels=list("abcde"), preset="torchvision")
        assert network.preset.name == "torchvision" and network.labels[0].label == "a"
    assert gradcam.load(source).preset.name == "frossard"


def test_eps_of_batch_normalisation_is_stored(tmp_path, cache):
    path = tmp_path / "w.safetensors"
    made = tensors("vgg11_bn")
    weights.save(made, path, {"eps": "0.25", "preset": "caffe", "made": "here"})
    content = weights.load(path)
    checkpoint = gradcam._models.checkpoints.identify(content)
    copy = converted.Copy(path)
    copy.write(checkpoint.tensors(), checkpoint, content.metadata)
    found = copy.weights()
    converted_checkpoint = gradcam._models.checkpoints.identify(found)
    assert converted_checkpoint.eps == 0.25 and converted_checkpoint.preset.name == "caffe"
    assert found.metadata["made"] == "here"


def test_weights_that_are_used_in_place_have_no_copy(tmp_path, cache):
    path = tmp_path / "w.safetensors"
    weights.save(tensors(), path)
    np.testing.assert_array_equal(scores(path), expected())
    assert files(cache) == []


def test_weights_at_odd_addresses_have_no_copy(tmp_path, cache):
    """numpy.savez does not align arrays; longer names move them."""
    addresses = set()
    for pad in range(4):
        path = tmp_path / f"{pad}.npz"
        np.savez(path, **{"x" * (pad + 1): np.array(1)}, **tensors())
        found = weights.load(path).tensors["classifier.0.weight"]
        addresses.add(found.__array_interface__["data"][0] % 4)
        np.testing.assert_array_equal(scores(path), expected())
    assert len(addresses) > 1 and files(cache) == []


def test_another_file_at_the_same_path_is_not_confused(source, cache):
    scores(source)
    status = source.stat()
    np.savez(source, **frossard(tensors(seed=2)))
    os.utime(source, ns=(status.st_atime_ns, status.st_mtime_ns))  # the same size, path and time
    assert source.stat().st_size == status.st_size
    np.testing.assert_array_equal(scores(source), expected(2))
    np.testing.assert_array_equal(scores(source), expected(2))


def test_a_change_outside_of_the_samples_is_detected(source, cache, monkeypatch):
    """The modification time can be reset, but the time of the inode's change cannot."""
    monkeypatch.setattr(converted, "_SAMPLES", 2)
    scores(source)
    status = source.stat()
    content = np.load(source)["fc6_W"].tobytes()
    place = source.read_bytes().index(content) + len(content) // 2 // 4 * 4
    assert converted._BLOCK < place < status.st_size - converted._BLOCK
    before = converted._file_digest(source)
    with open(source, "r+b") as file:
        file.seek(place)
        file.write(np.float32(100).tobytes() * 8)
    os.utime(source, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert converted._file_digest(source) == before
    assert converted.Copy(source).weights() is None


@pytest.mark.parametrize("which", ["layouts", "package"])
def test_copies_of_another_version_are_not_used(which, source, cache, monkeypatch):
    scores(source)
    assert converted.Copy(source).weights() is not None
    if which == "layouts":
        monkeypatch.setattr(converted, "LAYOUT", converted.LAYOUT + 1)
    else:
        monkeypatch.setattr(converted._core, "__version__", "99.0")
    assert converted.Copy(source).weights() is None


def transposed(made, name="vgg11"):
    """Return a VGG-11 as ONNX, with transposed matrices, Gemm's default."""
    ops = onnx_files.layers(name, made)
    for op in ops:
        if op.op == "Gemm":
            op.attributes = {"transB": 0}
            op.parameters[0] = np.ascontiguousarray(op.parameters[0].T)
    return ops


@pytest.mark.parametrize("place", [0, -1], ids=["convolution", "linear"])
def test_onnx_models_with_external_data_are_read_each_time(place, tmp_path, cache):
    path, data = tmp_path / "m.onnx", tmp_path / "m.onnx.data"
    made = tensors("vgg11")
    ops = transposed(made)
    op = [each for each in ops if each.parameters][place]
    op.parameters[0], values = "w", op.parameters[0]
    written = onnx_files.external("w", values, location=data.name)
    path.write_bytes(onnx_files.model(ops, tensors={"w": written}))
    data.write_bytes(values.tobytes())
    np.testing.assert_array_equal(scores(path), gradcam.vgg11(made).forward(X).scores)
    assert files(cache) == []
    name = [name for name in made if name.endswith(".weight")][place]
    made[name] = 2 * made[name]
    data.write_bytes((2 * values).tobytes())
    np.testing.assert_array_equal(scores(path), gradcam.vgg11(made).forward(X).scores)
    data.unlink()
    with pytest.raises(weights.WeightsError, match=r"m\.onnx\.data.*not beside the model"):
        scores(path)


def test_onnx_models_in_one_file_have_a_copy(tmp_path, cache, monkeypatch):
    path = tmp_path / "m.onnx"
    made = tensors("vgg11")
    path.write_bytes(onnx_files.model(transposed(made)))
    for _ in range(2):
        right = gradcam.vgg11(made).forward(X).scores
        np.testing.assert_array_equal(gradcam.load(path).forward(X).scores, right)
        monkeypatch.setattr(weights, "load", never)
    assert len(files(cache)) == 1


def test_the_epsilon_of_an_onnx_model_is_kept(tmp_path, cache, monkeypatch):
    path = tmp_path / "m.onnx"
    ops = transposed(tensors("vgg11_bn"), "vgg11_bn")
    for op in ops:
        if op.op == "BatchNormalization":
            op.attributes = {"epsilon": 0.5}
    path.write_bytes(onnx_files.model(ops))
    right = gradcam.load(weights.load(path)).forward(X).scores
    gradcam.load(path)
    monkeypatch.setattr(weights, "load", never)
    np.testing.assert_array_equal(gradcam.load(path).forward(X).scores, right)
    assert len(files(cache)) == 1


def test_a_cache_that_cannot_be_read_is_ignored(source, monkeypatch):
    """A name that is too long fails for root too, unlike missing permissions."""
    monkeypatch.setenv("GRADCAM_CACHE", str(source.parent / ("x" * 300)))
    np.testing.assert_array_equal(scores(source), expected())


def test_a_cache_that_is_read_only_is_used(source, cache, monkeypatch):
    scores(source)

    def refuse(*arguments, **options):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(os, "utime", refuse)
    monkeypatch.setattr(weights, "load", never)
    np.testing.assert_array_equal(scores(source), expected())


@pytest.mark.parametrize("damage", ["emptied", "cut", "zeroed", "another's"])
def test_a_damaged_copy_is_not_used(damage, source, cache, tmp_path):
    scores(source)
    (copy,) = files(cache)
    content = bytearray(copy.read_bytes())
    if damage == "emptied":
        content = b""
    elif damage == "cut":
        content = content[:-1000]
    elif damage == "zeroed":
        content[len(content) // 2 :] = bytes(len(content) - len(content) // 2)
    else:
        weights.save(tensors(seed=3), tmp_path / "other")
        content = (tmp_path / "other").read_bytes()
    copy.write_bytes(content)
    np.testing.assert_array_equal(scores(source), expected())
    assert converted.Copy(source).weights() is not None  # written again


def test_nothing_is_written_if_the_cache_is_off_or_the_network_small(source, cache, monkeypatch):
    monkeypatch.setenv("GRADCAM_CACHE", "off")
    np.testing.assert_array_equal(scores(source), expected())
    monkeypatch.setenv("GRADCAM_CACHE", str(cache))
    monkeypatch.setattr(converted, "MIN_BYTES", 32 << 20)
    np.testing.assert_array_equal(scores(source), expected())
    assert files(cache) == []


@pytest.mark.parametrize("obstacle", ["a file instead of the folder", "a full disk"])
def test_a_copy_that_cannot_be_written_is_not_an_error(obstacle, source, cache, monkeypatch):
    if obstacle == "a full disk":

        def fail(*arguments):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "replace", fail)
    else:
        cache.write_bytes(b"")
    np.testing.assert_array_equal(scores(source), expected())
    assert cache.is_file() or files(cache) == []


def test_weights_that_are_not_finite_have_no_copy(source, cache):
    made = frossard(tensors())
    made["fc7_W"][0, 0] = np.nan
    np.savez(source, **made)
    with pytest.raises(weights.WeightsError, match=r"vgg16_weights\.npz: layer 'fc7'.*NaN"):
        gradcam.vgg16(source)
    assert files(cache) == []


def test_a_file_that_changes_while_it_is_read_has_no_copy(source, cache, monkeypatch):
    copy = converted.Copy(source)
    content = weights.load(source)
    checkpoint = gradcam._models.checkpoints.identify(content)
    made = checkpoint.tensors()
    os.utime(source, (1, 1))
    assert copy.write(made, checkpoint, content.metadata) is None and files(cache) == []


def test_the_least_recently_used_copies_are_removed_first(source, cache, tmp_path, monkeypatch):
    scores(source)
    (first,) = files(cache)
    os.utime(first, (1, 1))
    (cache / f"{'0' * 32}.packs").write_bytes(bytes(1000))  # another kind of file, which stays
    monkeypatch.setattr(converted, "MAX_BYTES", first.stat().st_size + 1000)
    other = tmp_path / "other.npz"
    np.savez(other, **frossard(tensors(seed=5)))
    scores(other)
    remaining = files(cache)
    assert first not in remaining and len(remaining) == 2


def test_threads_and_processes_at_once(source, cache):
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(scores, [source] * 4):
            np.testing.assert_array_equal(found, expected())
    program = (
        "import gradcam, numpy as np\n"
        "from gradcam._models import converted\n"
        "converted.MIN_BYTES = 1\n"
        f"x = np.random.default_rng(2).standard_normal((1, 3, 32, 40)).astype(np.float32)\n"
        f"print(gradcam.vgg16({str(source)!r}).forward(x).scores.tobytes().hex())"
    )
    for copy in files(cache):
        copy.unlink()
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda _: run_python(program, GRADCAM_CACHE=str(cache)), range(3)))
    assert found == [expected().tobytes().hex()] * 3
    assert len(files(cache)) == 1
