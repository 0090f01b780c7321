"""Many pictures through a network: order, batches, threads, errors, memory."""

from __future__ import annotations

import gc
import itertools
import threading
import weakref
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import gradcam
from gradcam._engine import stream as module


@pytest.fixture(scope="module")
def network():
    tensors = gradcam.vgg11.random_tensors(width=4, fc=16, classes=4, seed=3)
    return gradcam.vgg11(tensors, preset=gradcam.Preset("small", size=64))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Eleven pictures of different sizes."""
    folder = tmp_path_factory.mktemp("pictures")
    generator = np.random.default_rng(0)
    paths = []
    for number in range(11):
        shape = (40 + number, 60, 3)
        paths.append(folder / f"{number:02}.png")
        Image.fromarray(generator.integers(0, 256, shape, dtype=np.uint8)).save(paths[-1])
    return paths


def decoding_threads():
    return [each for each in threading.enumerate() if each.name.startswith("gradcam-decode")]


@pytest.mark.parametrize("batch", [1, 4, 11, 20])
def test_results_are_those_of_single_passes(network, pictures, batch):
    found = []
    for files, tape in network.stream(pictures, batch):
        assert isinstance(tape, gradcam.BatchTape) and len(tape) == len(files) <= batch
        found += zip(files, tape.scores, tape.grad_cam(), strict=True)
    assert [file for file, _, _ in found] == pictures
    for file, scores, explanation in found:
        expected = network.forward(file)
        np.testing.assert_array_equal(scores, expected.scores[0])
        np.testing.assert_array_equal(explanation.map, expected.grad_cam().map)
        np.testing.assert_array_equal(explanation.picture, expected.picture)
    assert not decoding_threads()


def test_other_sources_and_options(network, pictures):
    arrays = [np.asarray(Image.open(path)) for path in pictures[:3]]
    sources = [str(pictures[0]), Image.open(pictures[1]), arrays[2]]
    for given, tape in network.stream(iter(sources), keep="conv1_1", size=96, record=False):
        assert all(a is b for a, b in zip(given, sources, strict=True))
        assert tape.size == (96, 96)
        np.testing.assert_array_equal(
            tape.activation("conv1_1"),
            network.forward(arrays, size=96, keep="conv1_1").activation("conv1_1"),
        )
        with pytest.raises(ValueError, match="record"):
            tape.grad_cam()


def test_original_sizes_are_batched_if_they_are_equal(network):
    shapes = [(64, 64, 3), (64, 64, 3), (64, 80, 3), (64, 64, 3)]
    sources = [np.full(shape, number, np.uint8) for number, shape in enumerate(shapes)]
    found = [len(given) for given, _ in network.stream(sources, size="original")]
    assert found == [2, 1, 1]


def test_an_endless_iterable_is_read_only_a_little_ahead(network, pictures):
    taken = []

    def endless():
        for number in itertools.count():
            taken.append(number)
            yield pictures[number % len(pictures)]

    done = 0
    for files, _ in network.stream(endless(), 4, workers=2):
        done += len(files)
        assert len(taken) <= done + 4 + 2
        if done == 40:
            break
    assert not decoding_threads()


@pytest.mark.parametrize("how", ["break", "exception", "kept"])
def test_no_thread_outlives_the_loop(network, pictures, how):
    stream = network.stream(pictures, 2)
    if how == "exception":
        with pytest.raises(ZeroDivisionError):
            for _ in stream:
                raise ZeroDivisionError
    else:
        for _ in stream:
            assert decoding_threads()
            break
    assert not decoding_threads()
    assert sum(len(files) for files, _ in stream) == len(pictures)  # it starts again


def test_pictures_are_decoded_during_the_pass(network, pictures, monkeypatch):
    """While the network runs, the next batch is decoded on other threads."""
    decoded = []
    enough = threading.Event()
    read = module.read_picture

    def counting(source):
        decoded.append(threading.current_thread().name)
        if len(decoded) >= 6:
            enough.set()
        return read(source)

    def waiting(*arguments):
        assert enough.wait(10)
        return run(*arguments)

    run = module.run
    monkeypatch.setattr(module, "read_picture", counting)
    monkeypatch.setattr(module, "run", waiting)
    next(iter(network.stream(pictures, 3, workers=3)))
    assert all(name.startswith("gradcam-decode") for name in decoded)


@pytest.mark.slow
def test_earlier_batches_are_freed(network, pictures, monkeypatch):
    monkeypatch.setattr(module, "MAX_WORKERS", 1)
    tapes, alive = [], []
    run = module.run

    def counting(*arguments):
        gc.collect()
        alive.append(sum(each() is not None for each in tapes))
        return run(*arguments)

    monkeypatch.setattr(module, "run", counting)
    for _, tape in network.stream(pictures, 2):
        tapes.append(weakref.ref(tape))
        del tape
    assert alive == [0] * 6


# --- errors ---


@pytest.fixture
def spoiled(pictures, tmp_path):
    """Pictures of which the second is missing and the fourth is cut off."""
    cut = tmp_path / "cut.png"
    cut.write_bytes(pictures[0].read_bytes()[:300])
    return [pictures[0], tmp_path / "missing.png", pictures[1], cut, pictures[2]]


def test_skipped_pictures_are_listed(network, spoiled):
    stream = network.stream(spoiled, 2, on_error="skip")
    assert [files for files, _ in stream] == [[spoiled[0], spoiled[2]], [spoiled[4]]]
    assert [(path, type(error)) for path, error in stream.skipped] == [
        (spoiled[1], FileNotFoundError),
        (spoiled[3], gradcam.PictureError),
    ]


def test_a_function_gets_the_picture_and_the_error(network, spoiled):
    told = []
    stream = network.stream(
        spoiled, on_error=lambda *each: told.append((*each, threading.current_thread()))
    )
    assert sum(len(files) for files, _ in stream) == 3
    assert [each[:2] for each in told] == stream.skipped
    assert {each[2] for each in told} == {threading.main_thread()}


@pytest.mark.parametrize("number", [1, 3])
def test_errors_reach_the_caller_with_the_path(network, spoiled, number):
    order = [spoiled[0], spoiled[number], spoiled[2]]
    with pytest.raises((OSError, gradcam.PictureError), match=spoiled[number].name):
        list(network.stream(order))
    assert not decoding_threads()


def test_an_error_of_the_preparation_names_the_picture(pictures):
    tensors = gradcam.vgg11.random_tensors(width=2, fc=4, classes=4)
    narrow = gradcam.vgg11(tensors, preset="torchvision")
    Image.new("L", (60000, 1)).save(pictures[0].with_name("long.png"))
    with pytest.raises(gradcam.PictureError, match=r"long\.png: the aspect ratio"):
        list(narrow.stream([pictures[0].with_name("long.png")], workers=1))


def test_nothing_can_be_read(network):
    stream = network.stream(["none.png"] * 30, on_error="skip")
    assert list(stream) == [] and len(stream.skipped) == 30
    assert list(network.stream([])) == []


def test_errors_of_the_iterable_reach_the_caller(network, pictures):
    def broken():
        yield pictures[0]
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(network.stream(broken()))
    assert not decoding_threads()


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
def test_an_interrupted_pass_leaves_no_thread(network, pictures, monkeypatch, error):
    def interrupted(*arguments):
        raise error

    monkeypatch.setattr(module, "run", interrupted)
    with pytest.raises(error):
        list(network.stream(pictures, 2))
    assert not decoding_threads()


def test_scarce_memory_makes_smaller_batches(network, pictures, monkeypatch):
    run = module.run

    def scarce(graph, input, *arguments):
        if len(input) > 3:
            raise MemoryError
        return run(graph, input, *arguments)

    monkeypatch.setattr(module, "run", scarce)
    found = [files for files, _ in network.stream(pictures, 8)]
    assert [len(files) for files in found] == [2, 2, 2, 2, 3]
    assert list(itertools.chain(*found)) == pictures
    monkeypatch.setattr(module, "run", lambda *a: (_ for _ in ()).throw(MemoryError("none")))
    with pytest.raises(MemoryError, match="none"):
        list(network.stream(pictures))


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (["a.png"], {}, "expected several pictures"),
        ([Path("folder")], {}, "rglob"),
        ([3], {}, "expected several pictures"),
        ([[], 0], {}, "batch: expected an integer of 1 or more"),
        ([[], 2.5], {}, "batch"),
        ([[]], {"workers": 0}, "workers"),
        ([[]], {"on_error": "ignore"}, "on_error"),
        ([[]], {"keep": "conv9_9"}, "conv9_9"),
        ([[]], {"size": "large"}, "size"),
    ],
)
def test_invalid_parameters_are_refused_at_once(network, arguments, options, message):
    with pytest.raises((TypeError, ValueError), match=message):
        network.stream(*arguments, **options)


def test_what_is_not_a_picture_is_an_error(network):
    with pytest.raises(TypeError, match="got int"):
        list(network.stream([3], on_error="skip"))


def test_progress(network, pictures, capfd, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    list(network.stream(pictures, 2, progress=True))
    output = capfd.readouterr()
    assert output.out == "" and "11/11" in output.err
    list(network.stream(iter(pictures), 2, progress=True))
    assert "11/?" in capfd.readouterr().err
    list(network.stream(pictures))
    assert capfd.readouterr().err == ""
