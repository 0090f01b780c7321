"""Networks and explanations go to other processes; tapes say what to do instead."""

from __future__ import annotations

import copy
import multiprocessing
import os
import pickle

import numpy as np
import pytest
import vggs

import gradcam
from gradcam import WeightsError, weights

X = np.random.default_rng(0).standard_normal((1, 3, 48, 64)).astype(np.float32)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "vgg11.safetensors"
    weights.save(vggs.tensors("vgg11"), path, {"preset": "caffe"})
    return path


def again(network):
    content = pickle.dumps(network)
    return pickle.loads(content), len(content)


def test_a_network_is_loaded_again_from_its_file(file, monkeypatch):
    labels = [f"c{i}" for i in range(10)]
    network = gradcam.load(file, labels=labels, conv="direct", fc_dtype="float16", name="mine")
    monkeypatch.chdir(file.parent.parent)
    found, size = again(network)
    assert size < 10_000
    assert found.name == "mine" and found.labels[3].label == "c3"
    assert found.preset == network.preset
    np.testing.assert_array_equal(found.forward(X).scores, network.forward(X).scores)
    assert found.layers["conv1_1"].attributes["exact"] is True
    assert found.layers["fc6"].weights["weight"].dtype == np.float16


@pytest.mark.parametrize("fc_dtype", ["float32", "float16"])
def test_weights_in_memory_need_their_file_no_longer(file, fc_dtype):
    expected = gradcam.load(file, fc_dtype=fc_dtype).forward(X).scores
    network = gradcam.load(file, fc_dtype=fc_dtype, mmap=False)
    found, _ = again(network)
    file.write_bytes(b"")  # with mapped weights, the system would stop this process
    np.testing.assert_array_equal(network.forward(X).scores, expected)
    np.testing.assert_array_equal(found.forward(X).scores, expected)


def test_a_network_of_arrays_is_pickled_with_its_weights():
    for name, options in (("vgg11", {}), ("vgg11_bn", {"fc_dtype": "bfloat16", "conv": "direct"})):
        network = getattr(gradcam, name)(vggs.tensors(name), preset="keras", **options)
        found, size = again(network)
        assert size > 100_000
        assert found.preset == network.preset and list(found.layers) == list(network.layers)
        assert found.names("relu1_1") == network.names("relu1_1")
        np.testing.assert_array_equal(found.forward(X).scores, network.forward(X).scores)


def test_a_file_that_changed_is_noticed(file):
    network = gradcam.load(file)
    content = pickle.dumps(network)
    before = network.forward(X).scores
    tensors = {name: np.array(values) for name, values in weights.load(file).tensors.items()}
    tensors["features.0.weight"][0] += 1
    weights.save(tensors, file.with_name("new"), {"preset": "caffe"})
    os.replace(file.with_name("new"), file)  # the network keeps the old file mapped
    with pytest.raises(WeightsError, match="has changed since"):
        pickle.loads(content)
    found, _ = again(network)  # by value now
    np.testing.assert_array_equal(found.forward(X).scores, before)
    file.unlink()
    with pytest.raises(WeightsError, match="cannot be read here"):
        pickle.loads(content)


def test_the_built_in_model_is_found_anywhere():
    network = gradcam.pictograms.model()
    assert again(network)[0] is network and again(network)[1] < 200


def test_copies_of_a_network_are_the_network():
    network = gradcam.vgg11(vggs.tensors("vgg11"))
    assert copy.copy(network) is network and copy.deepcopy([network])[0] is network


@pytest.mark.parametrize("several", [False, True])
def test_a_tape_says_what_to_do(several):
    tape = gradcam.pictograms.model().forward(X if several else X[0])
    for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="pickle the network"):
            attempt(tape)


def explanations():
    tape = gradcam.pictograms.model().forward(gradcam.pictograms.example("cat_and_dog"))
    yield tape.grad_cam("cat")
    yield tape.guided_grad_cam(gradcam.Difference("cat", "dog"), resize="nearest")
    cropping = gradcam.vgg11(vggs.tensors("vgg11"), preset="caffe")
    yield cropping.forward(X[0]).saliency(3)


def test_explanations_are_saved_and_loaded(tmp_path):
    for found in explanations():
        found.save(tmp_path / "all.npz")
        again = gradcam.Explanation.load(tmp_path / "all.npz")
        assert again == found and repr(again) == repr(found)
        np.testing.assert_array_equal(again.image, found.image)
        found.save(tmp_path / "raw.npz", map=False)
        raw = gradcam.Explanation.load(tmp_path / "raw.npz")
        assert raw != found and (raw.picture == 128).all()
        np.testing.assert_array_equal(raw.map, found.map)
        assert gradcam.Explanation.load(tmp_path / "raw.npz", found.picture) == found


def test_files_that_are_not_explanations_are_refused(tmp_path):
    np.savez(tmp_path / "other.npz", raw=np.zeros(3))
    (tmp_path / "text.npz").write_text("text")
    next(explanations()).save(tmp_path / "good.npz")
    content = (tmp_path / "good.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(content[: len(content) // 2])
    for name in ("other", "text", "cut"):
        with pytest.raises(ValueError, match=f"{name}.npz: not an explanation"):
            gradcam.Explanation.load(tmp_path / f"{name}.npz")
    with pytest.raises(ValueError, match="the picture has the shape"):
        gradcam.Explanation.load(tmp_path / "good.npz", np.zeros((5, 5, 3), np.uint8))


def test_explanations_are_compared_and_are_arrays():
    one, other, *_ = explanations()
    assert one == next(explanations()) and one != other and one != 3
    np.testing.assert_allclose(one, one.map)
    assert np.asarray(one, np.float64).shape == one.map.shape
    content = pickle.dumps(one)
    one.map  # noqa: B018  the map is not pickled
    assert len(pickle.dumps(one)) == len(content)
    found = pickle.loads(content)
    assert found == one and copy.deepcopy(one) == one and not found.raw.flags.writeable


def explain(network):
    return network.forward(X[0]).grad_cam(3)


def test_processes_that_were_spawned(file):
    network = gradcam.load(file)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        (found,) = pool.map(explain, [network])
    expected = explain(network)
    np.testing.assert_array_equal(found.raw, expected.raw)
    np.testing.assert_array_equal(found.map, expected.map)
    assert repr(found) == repr(expected)
