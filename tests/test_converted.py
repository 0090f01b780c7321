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


def fail_if_read(*arguments):
    raise AssertionError("the original was read")


def test_converted_copy_is_written_and_then_used(source, cache, monkeypatch):
    first = gradcam.vgg16(source)
    np.testing.assert_array_equal(first.forward(X).scores, expected())
    (copy,) = files(cache)
    assert copy.suffix == ".weights" and cache.stat().st_mode & 0o777 == 0o700
    description = weights.describe(copy)
    assert (description.architecture, description.preset) == ("vgg16", "frossard")
    monkeypatch.setattr(weights, "load", fail_if_read)
    os.utime(copy, (1, 1))
    second = gradcam.vgg16(source)
    np.testing.assert_array_equal(second.forward(X).scores, expected())
    assert second.preset == first.preset and list(second.labels) == list(first.labels)
    assert files(cache) == [copy] and copy.stat().st_mtime > 1
    with pytest.raises(weights.WeightsError, match=r"use gradcam\.vgg16,"):
        gradcam.vgg19(source)


def test_labels_and_preset_arguments_override_the_copy(source, cache):
    for _ in range(2):
        network = gradcam.load(source, labels=list("abcde"), preset="torchvision")
        assert network.preset.name == "torchvision" and network.labels[0].label == "a"
    assert gradcam.load(source).preset.name == "frossard"


def test_batch_normalisation_eps_is_stored(tmp_path, cache):
    path = tmp_path / "w.safetensors"
    state_dict = tensors("vgg11_bn")
    weights.save(state_dict, path, {"eps": "0.25", "preset": "caffe", "made": "here"})
    content = weights.load(path)
    checkpoint = gradcam._models.checkpoints.identify(content)
    copy = converted.Copy(path)
    copy.write(checkpoint.tensors(), checkpoint, content.metadata)
    found = copy.weights()
    converted_checkpoint = gradcam._models.checkpoints.identify(found)
    assert converted_checkpoint.eps == 0.25 and converted_checkpoint.preset.name == "caffe"
    assert found.metadata["made"] == "here"


def test_mapped_weights_are_not_cached(tmp_path, cache):
    path = tmp_path / "w.safetensors"
    weights.save(tensors(), path)
    np.testing.assert_array_equal(scores(path), expected())
    assert files(cache) == []


def test_unaligned_weights_are_not_cached(tmp_path, cache):
    """numpy.savez does not align arrays; longer names change their offsets."""
    addresses = set()
    for pad in range(4):
        path = tmp_path / f"{pad}.npz"
        np.savez(path, **{"x" * (pad + 1): np.array(1)}, **tensors())
        found = weights.load(path).tensors["classifier.0.weight"]
        addresses.add(found.__array_interface__["data"][0] % 4)
        np.testing.assert_array_equal(scores(path), expected())
    assert len(addresses) > 1 and files(cache) == []


def test_new_file_at_the_same_path_is_read(source, cache):
    scores(source)
    status = source.stat()
    np.savez(source, **frossard(tensors(seed=2)))
    os.utime(source, ns=(status.st_atime_ns, status.st_mtime_ns))  # the same size, path and time
    assert source.stat().st_size == status.st_size
    np.testing.assert_array_equal(scores(source), expected(2))
    np.testing.assert_array_equal(scores(source), expected(2))


def test_change_outside_of_the_samples_is_detected(source, cache, monkeypatch):
    """The modification time can be reset, but not the inode's change time."""
    monkeypatch.setattr(converted, "_SAMPLES", 2)
    scores(source)
    status = source.stat()
    content = np.load(source)["fc6_W"].tobytes()
    position = source.read_bytes().index(content) + len(content) // 2 // 4 * 4
    assert converted._BLOCK < position < status.st_size - converted._BLOCK
    digest = converted._file_digest(source)
    with open(source, "r+b") as file:
        file.seek(position)
        file.write(np.float32(100).tobytes() * 8)
    os.utime(source, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert converted._file_digest(source) == digest
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


def transposed_ops(state_dict, name="vgg11"):
    """Return a VGG-11 as ONNX, with transposed matrices, Gemm's default."""
    ops = onnx_files.layers(name, state_dict)
    for op in ops:
        if op.op == "Gemm":
            op.attributes = {"transB": 0}
            op.parameters[0] = np.ascontiguousarray(op.parameters[0].T)
    return ops


@pytest.mark.parametrize("place", [0, -1], ids=["convolution", "linear"])
def test_onnx_models_with_external_data_are_not_cached(place, tmp_path, cache):
    path, data = tmp_path / "m.onnx", tmp_path / "m.onnx.data"
    state_dict = tensors("vgg11")
    ops = transposed_ops(state_dict)
    op = [each for each in ops if each.parameters][place]
    op.parameters[0], values = "w", op.parameters[0]
    written = onnx_files.external("w", values, location=data.name)
    path.write_bytes(onnx_files.model(ops, tensors={"w": written}))
    data.write_bytes(values.tobytes())
    np.testing.assert_array_equal(scores(path), gradcam.vgg11(state_dict).forward(X).scores)
    assert files(cache) == []
    name = [name for name in state_dict if name.endswith(".weight")][place]
    state_dict[name] = 2 * state_dict[name]
    data.write_bytes((2 * values).tobytes())
    np.testing.assert_array_equal(scores(path), gradcam.vgg11(state_dict).forward(X).scores)
    data.unlink()
    with pytest.raises(weights.WeightsError, match=r"m\.onnx\.data.*not beside the model"):
        scores(path)


def test_onnx_models_in_one_file_are_cached(tmp_path, cache, monkeypatch):
    path = tmp_path / "m.onnx"
    state_dict = tensors("vgg11")
    path.write_bytes(onnx_files.model(transposed_ops(state_dict)))
    for _ in range(2):
        desired = gradcam.vgg11(state_dict).forward(X).scores
        np.testing.assert_array_equal(gradcam.load(path).forward(X).scores, desired)
        monkeypatch.setattr(weights, "load", fail_if_read)
    assert len(files(cache)) == 1


def test_the_epsilon_of_an_onnx_model_is_kept(tmp_path, cache, monkeypatch):
    path = tmp_path / "m.onnx"
    ops = transposed_ops(tensors("vgg11_bn"), "vgg11_bn")
    for op in ops:
        if op.op == "BatchNormalization":
            op.attributes = {"epsilon": 0.5}
    path.write_bytes(onnx_files.model(ops))
    desired = gradcam.load(weights.load(path)).forward(X).scores
    gradcam.load(path)
    monkeypatch.setattr(weights, "load", fail_if_read)
    np.testing.assert_array_equal(gradcam.load(path).forward(X).scores, desired)
    assert len(files(cache)) == 1


def test_unreadable_cache_is_ignored(source, monkeypatch):
    """A too long name raises an error also for root, unlike missing permissions."""
    monkeypatch.setenv("GRADCAM_CACHE", str(source.parent / ("x" * 300)))
    np.testing.assert_array_equal(scores(source), expected())


def test_read_only_cache_is_used(source, cache, monkeypatch):
    scores(source)

    def fail(*arguments, **options):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(os, "utime", fail)
    monkeypatch.setattr(weights, "load", fail_if_read)
    np.testing.assert_array_equal(scores(source), expected())


@pytest.mark.parametrize("damage", ["empty", "truncated", "zeros", "another copy"])
def test_damaged_copy_is_not_used(damage, source, cache, tmp_path):
    scores(source)
    (copy,) = files(cache)
    content = bytearray(copy.read_bytes())
    if damage == "empty":
        content = b""
    elif damage == "truncated":
        content = content[:-1000]
    elif damage == "zeros":
        content[len(content) // 2 :] = bytes(len(content) - len(content) // 2)
    else:
        weights.save(tensors(seed=3), tmp_path / "other")
        content = (tmp_path / "other").read_bytes()
    copy.write_bytes(content)
    np.testing.assert_array_equal(scores(source), expected())
    assert converted.Copy(source).weights() is not None  # written again


def test_no_copy_if_the_cache_is_off_or_the_network_is_small(source, cache, monkeypatch):
    monkeypatch.setenv("GRADCAM_CACHE", "off")
    np.testing.assert_array_equal(scores(source), expected())
    monkeypatch.setenv("GRADCAM_CACHE", str(cache))
    monkeypatch.setattr(converted, "MIN_BYTES", 32 << 20)
    np.testing.assert_array_equal(scores(source), expected())
    assert files(cache) == []


@pytest.mark.parametrize("obstacle", ["a file instead of the folder", "a full disk"])
def test_failing_to_write_a_copy_is_not_an_error(obstacle, source, cache, monkeypatch):
    if obstacle == "a full disk":

        def fail(*arguments):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "replace", fail)
    else:
        cache.write_bytes(b"")
    np.testing.assert_array_equal(scores(source), expected())
    assert cache.is_file() or files(cache) == []


def test_weights_with_nan_are_not_cached(source, cache):
    state_dict = frossard(tensors())
    state_dict["fc7_W"][0, 0] = np.nan
    np.savez(source, **state_dict)
    with pytest.raises(weights.WeightsError, match=r"vgg16_weights\.npz: layer 'fc7'.*NaN"):
        gradcam.vgg16(source)
    assert files(cache) == []


def test_file_that_changes_during_reading_is_not_cached(source, cache, monkeypatch):
    copy = converted.Copy(source)
    content = weights.load(source)
    checkpoint = gradcam._models.checkpoints.identify(content)
    state_dict = checkpoint.tensors()
    os.utime(source, (1, 1))
    assert copy.write(state_dict, checkpoint, content.metadata) is None and files(cache) == []


def test_the_least_recently_used_copies_are_removed_first(source, cache, tmp_path, monkeypatch):
    scores(source)
    (first,) = files(cache)
    os.utime(first, (1, 1))
    (cache / f"{'0' * 32}.packs").write_bytes(bytes(1000))  # another kind of file, which is kept
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
