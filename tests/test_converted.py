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
from gradcam import _cache, weights
from gradcam._files import sampled_digest
from gradcam._importers import stored
from gradcam._importers.imported import Choices
from gradcam._models import converted
from gradcam._models.loading import Options, imported_from
from gradcam._models.recognition import recognised

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
    monkeypatch.setattr(_cache, "_warned", set())
    return tmp_path / "cache"


def files(cache):
    """The files that gradcam wrote; there are no others in the cache folder."""
    assert not cache.is_dir() or [each.name for each in cache.iterdir()] == ["gradcam-cache-2"]
    return sorted(cache.glob("gradcam-cache-2/*"))


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
    assert copy.stat().st_mode & 0o777 == 0o600 and cache.stat().st_mode & 0o777 == 0o700
    (entry,) = _cache.entries()
    assert (entry.path, entry.kind, entry.source) == (copy, "converted", str(source))
    found = recognised(stored.imported(converted.Copy(source).weights(), Choices()))
    assert (found.architecture, found.preset.name) == ("vgg16", "frossard") and found.in_place
    assert found.title == "VGG-16, Frossard's names"
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
    found = converted.Copy(path).write(imported_from(weights.load(path), Options()))
    assert {layer.attributes["eps"] for layer in found.layers if layer.op == "batch_norm"} == {0.25}
    assert found.preset.name == "caffe"


def test_copies_of_other_choices_are_others(source, cache):
    copies = [converted.Copy(source, Choices(size)) for size in (None, (32, 40))]
    assert copies[0].write(imported_from(weights.load(source), Options())) is not None
    assert copies[0].weights() is not None and copies[1].weights() is None


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
    monkeypatch.setattr(converted, "sampled_digest", lambda path: sampled_digest(path, samples=2))
    scores(source)
    status = source.stat()
    content = np.load(source)["fc6_W"].tobytes()
    place = source.read_bytes().index(content) + len(content) // 2 // 4 * 4
    assert 4096 < place < status.st_size - 4096
    before = converted.sampled_digest(source)
    with open(source, "r+b") as file:
        file.seek(place)
        file.write(np.float32(100).tobytes() * 8)
    os.utime(source, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert converted.sampled_digest(source) == before
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


@pytest.mark.parametrize("place", [0, -1], ids=["convolution", "linear"])
def test_onnx_models_with_external_data_are_read_each_time(place, tmp_path, cache):
    path, data = tmp_path / "m.onnx", tmp_path / "m.onnx.data"
    made = tensors("vgg11")
    ops = onnx_files.layers("vgg11", made)
    op = [each for each in ops if each.parameters][place]
    op.parameters[0], values = "w", op.parameters[0]
    written = onnx_files.external("w", values, location=data.name)
    path.write_bytes(onnx_files.model(ops, tensors={"w": written}))
    x = np.random.default_rng(2).standard_normal((1, 3, 224, 224)).astype(np.float32)
    name = [name for name in made if name.endswith(".weight")][place]
    for factor in (1, 2):
        data.write_bytes((factor * values).tobytes())
        made[name] = factor * made[name]
        found = gradcam.load(path).forward(x).scores
        np.testing.assert_array_equal(found, gradcam.vgg11(made).forward(x).scores)
        assert files(cache) == []
    data.unlink()
    with pytest.raises(weights.WeightsError, match=r"m\.onnx\.data.*not beside the model"):
        gradcam.load(path)


def test_graphs_with_transposed_matrices_have_a_copy(tmp_path, cache, monkeypatch):
    """The copy holds the layers as they were imported, and what the file says beside them."""
    path = tmp_path / "m.onnx"
    ops = []
    for op in onnx_files.layers("vgg11", tensors("vgg11")):
        if op.op == "Gemm":
            weight, bias = op.parameters
            ops += [onnx_files.Op("MatMul", [weight.T]), onnx_files.Op("Add", [bias])]
        else:
            ops.append(op)
    path.write_bytes(onnx_files.model(ops))
    x = np.random.default_rng(2).standard_normal((1, 3, 224, 224)).astype(np.float32)
    first = gradcam.load(path)
    (copy,) = files(cache)
    monkeypatch.setattr(weights, "load", never)
    monkeypatch.setattr("gradcam._weights.reading.load", never)
    second = gradcam.vgg11(path)
    np.testing.assert_array_equal(second.forward(x).scores, first.forward(x).scores)
    assert [second.names(name) for name in second.layers] == [
        first.names(name) for name in first.layers
    ]
    for key in ("preset", "size", "fixed", "target_layer", "about"):
        assert getattr(first, key) == getattr(second, key), key
    assert files(cache) == [copy]
    with pytest.raises(AssertionError, match="the original was read"):
        gradcam.load(path, size=224)  # another choice, another copy


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


@pytest.mark.parametrize("damage", ["emptied", "cut", "zeroed", "one bit", "header", "NaN"])
def test_a_damaged_copy_is_not_used(damage, source, cache):
    scores(source)
    (copy,) = files(cache)
    good = copy.read_bytes()
    content = bytearray(good)
    if damage == "emptied":
        content = b""
    elif damage == "cut":
        content = content[:-1000]
    elif damage == "zeroed":
        content[len(content) // 2 :] = bytes(len(content) - len(content) // 2)
    else:
        fc7 = tensors()["classifier.3.weight"].tobytes()
        place = 100 if damage == "header" else good.index(fc7) + len(fc7) // 2 // 4 * 4
        new = np.float32(np.nan).tobytes() if damage == "NaN" else bytes([content[place] ^ 1])
        content[place : place + len(new)] = new
    copy.write_bytes(content)
    with pytest.warns(RuntimeWarning, match=f"{copy.name} is damaged"):
        np.testing.assert_array_equal(scores(source), expected())
    assert converted.Copy(source).weights() is not None and copy.read_bytes() == good


def test_another_networks_copy_is_not_used(source, cache, tmp_path):
    """An intact copy under the name of another one is replaced without a warning."""
    scores(source)
    (copy,) = files(cache)
    good = copy.read_bytes()
    other = tmp_path / "other.npz"
    np.savez(other, **frossard(tensors(seed=3)))
    scores(other)
    (others,) = (file for file in files(cache) if file != copy)
    copy.write_bytes(others.read_bytes())
    np.testing.assert_array_equal(scores(source), expected())
    assert copy.read_bytes() == good


def test_a_file_of_another_program_is_kept(source, cache, tmp_path):
    """It has the name of a copy: the weights are converted each time."""
    scores(source)
    (copy,) = files(cache)
    weights.save(tensors(seed=3), tmp_path / "other")
    content = (tmp_path / "other").read_bytes()
    copy.write_bytes(content)
    with pytest.warns(RuntimeWarning, match="gradcam did not write this file"):
        np.testing.assert_array_equal(scores(source), expected())
    assert copy.read_bytes() == content and converted.Copy(source).weights() is None


def test_nothing_is_written_if_the_cache_is_off_or_the_network_small(source, cache, monkeypatch):
    monkeypatch.setenv("GRADCAM_CACHE", "off")
    np.testing.assert_array_equal(scores(source), expected())
    monkeypatch.setenv("GRADCAM_CACHE", str(cache))
    monkeypatch.setattr(converted, "MIN_BYTES", 32 << 20)
    np.testing.assert_array_equal(scores(source), expected())
    assert files(cache) == []


@pytest.mark.filterwarnings("ignore:the cache is not used")
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
    made = imported_from(weights.load(source), Options())
    os.utime(source, (1, 1))
    assert copy.write(made) is None and files(cache) == []


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
    _cache.clear()
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda _: run_python(program, GRADCAM_CACHE=str(cache)), range(3)))
    assert found == [expected().tobytes().hex()] * 3
    assert len(files(cache)) == 1
