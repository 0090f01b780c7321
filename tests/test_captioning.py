"""Captions: the decoder and its gradients against NumPy in float64, the search, bad input."""

from __future__ import annotations

import itertools
import json
import pickle
import threading

import numpy as np
import pytest
import random_attributes
import small_captioner
from helpers import assert_close
from small_captioner import WORDS

import gradcam
import gradcam._sequences as seq
from gradcam import Sum, captioning, pictograms
from gradcam._weights import safetensors
from gradcam.captioning import Captioner, _search

END = len(WORDS)


@pytest.fixture(autouse=True)
def random_convolutions(monkeypatch):
    random_attributes.use(monkeypatch)


@pytest.fixture
def captioner():
    return Captioner(small_captioner.tensors(), WORDS, "small")


@pytest.fixture
def tape(captioner):
    return captioner.network.forward(pictograms.described(3).picture)


# --- a twin in float64, for one picture and one step after the other ---


def logistic(x):
    return 1 / (1 + np.exp(-x))


def distributions(tensors, code, words):
    """The log-probabilities of all words and END after START and after each of `words`."""
    t = {name: values.astype(np.float64) for name, values in tensors.items()}
    inputs = [t["image.weight"] @ code + t["image.bias"]]
    inputs += [t["embedding.weight"][word] for word in (END, *words)]
    h = c = np.zeros(t["lstm.weight_hh"].shape[1])
    found = []
    for x in inputs:
        gates = t["lstm.weight_ih"] @ x + t["lstm.bias_ih"]
        gates += t["lstm.weight_hh"] @ h + t["lstm.bias_hh"]
        i, f, g, o = gates.reshape(4, -1)
        c = logistic(f) * c + logistic(i) * np.tanh(g)
        h = logistic(o) * np.tanh(c)
        scores = t["output.weight"] @ h + t["output.bias"]
        found.append(scores - np.log(np.exp(scores).sum()))
    return np.array(found[1:])


def log_probabilities(tensors, code, words):
    said = (*words, END)
    return distributions(tensors, code, words)[np.arange(len(said)), said]


def by_differences(function, x, step=1e-5):
    """The gradient of several numbers, (T, K)."""
    columns = [
        (function(x + step * axis) - function(x - step * axis)) / (2 * step)
        for axis in np.eye(len(x))
    ]
    return np.stack(columns, axis=-1)


TEXT = "a small red cat and two dog a"
NUMBERS = tuple(WORDS.index(word) for word in TEXT.split())


def code_of(tape, n=0):
    return tape.activation("relu7")[n].astype(np.float64)


def test_log_probabilities_are_those_of_the_twin(captioner, tape):
    caption = captioner.caption(tape, TEXT)
    expected = log_probabilities(small_captioner.tensors(), code_of(tape), NUMBERS)
    assert_close([*caption.log_probabilities, caption.end], expected, "sum")
    assert_close(caption.value(tape, 0), expected[:-1].sum(), "sum")
    assert caption.log_probability == pytest.approx(expected[:-1].sum(), rel=1e-5)


def test_seeds_are_the_gradients_of_the_twin(captioner, tape):
    caption, code = captioner.caption(tape, TEXT), code_of(tape)
    assert np.count_nonzero(code) > 3

    def twin(x):
        return log_probabilities(small_captioner.tensors(), x, NUMBERS)[:-1]

    expected = by_differences(twin, code)
    assert np.abs(expected).max(1).min() > 1e-3
    words = np.stack([word.seeds(tape, 0)["relu7"] for word in caption])
    assert_close(words, expected, "convolution")
    assert_close(caption.seeds(tape, 0)["relu7"], expected.sum(0), "convolution")
    phrase = caption.part(2, 4)
    assert phrase.text == "red cat"
    assert_close(phrase.seeds(tape, 0)["relu7"], expected[2:4].sum(0), "convolution")
    assert phrase.value(tape, 0) == pytest.approx(twin(code)[2:4].sum(), rel=1e-5)


def test_the_gradient_reaches_the_picture(captioner):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((3, 112, 112)).astype(np.float32)
    tape = captioner.network.forward(x, input="normalised")
    caption = captioner.caption(tape, TEXT)
    gradient = tape.gradient(caption)[0]
    place = np.unravel_index(np.abs(gradient).argmax(), gradient.shape)
    step, values = np.zeros_like(x), []
    for size in (0.02, -0.02):
        step[place] = size
        moved = captioner.network.forward(x + step, input="normalised")
        values.append(
            log_probabilities(small_captioner.tensors(), code_of(moved), NUMBERS)[:-1].sum()
        )
    assert (values[0] - values[1]) / 0.04 == pytest.approx(gradient[place], rel=0.02)


# --- the search ---


def greedy(tensors, code, length):
    words = ()
    while len(words) < length:
        follows = distributions(tensors, code, words)[-1]
        if not words:
            follows[END] = -np.inf
        if follows.argmax() == END:
            break
        words += (int(follows.argmax()),)
    return words


def total(caption):
    return caption.log_probability + (caption.end or 0)


@pytest.mark.parametrize("seed", range(8))
def test_greedy_takes_the_most_probable_word(seed):
    tensors = small_captioner.tensors(seed)
    captioner = Captioner(tensors, WORDS)
    tape = captioner.network.forward(pictograms.described(seed).picture)
    words = greedy(tensors, code_of(tape), 12)
    for caption in (
        captioner.describe(tape, length=12),
        captioner.describe(tape, beam=1, length=12),
    ):
        assert caption.words == tuple(WORDS[word] for word in words)
        expected = log_probabilities(tensors, code_of(tape), words)
        assert_close(caption.log_probabilities, expected[:-1], "sum")
        ends = len(words) < 12 or distributions(tensors, code_of(tape), words)[-1].argmax() == END
        assert (caption.end is not None) == ends


@pytest.mark.parametrize("seed", range(8))
def test_a_beam_is_never_less_probable_and_a_wide_one_finds_the_best(seed):
    tensors = small_captioner.tensors(seed)
    captioner = Captioner(tensors, WORDS)
    tape = captioner.network.forward(pictograms.described(seed).picture)
    first = total(captioner.describe(tape, length=12))
    assert all(total(captioner.describe(tape, beam=n, length=12)) >= first for n in (2, 3, 5))
    best = -np.inf
    for words in itertools.chain.from_iterable(
        itertools.product(range(END), repeat=length) for length in (1, 2)
    ):
        values = log_probabilities(tensors, code_of(tape), words)
        follows = distributions(tensors, code_of(tape), words)[-1]
        ends = len(words) < 2 or follows.argmax() == END
        best = max(best, values.sum() if ends else values[:-1].sum())
    assert total(captioner.describe(tape, beam=100, length=2)) == pytest.approx(best, rel=1e-5)


def test_a_batch_is_described_like_single_pictures(captioner):
    pictures = [pictograms.described(seed).picture for seed in (3, 4, 5)]
    batch = captioner.network.forward(pictures)
    captions = captioner.describe(batch, beam=2, length=9)
    for picture, caption in zip(pictures, captions, strict=True):
        alone = captioner.describe(picture, beam=2, length=9)
        assert alone.words == caption.words
        assert_close(caption.log_probabilities, alone.log_probabilities, "sum")
    given = captioner.caption(batch, "a cat")
    tapes = [captioner.network.forward(picture) for picture in pictures]
    expected = [given[0].value(tape, 0) for tape in tapes]
    assert_close(given[0].values(batch), expected, "sum")
    assert_close([caption.log_probability for caption in given], expected, "sum")
    maps = batch.grad_cam(given)
    for tape, caption, found in zip(tapes, given, maps, strict=True):
        assert_close(found.raw, tape.grad_cam(caption).raw, "network")


# --- captions and words are objectives ---


def test_every_method_explains_a_caption_and_its_words(captioner, tape):
    caption = captioner.caption(tape, "a red cat and a dog")
    whole, each = tape.grad_cam(caption), tape.grad_cam([*caption])
    assert [word.label for word in each] == ["a", "red", "cat", "and", "a", "dog"]
    assert_close(sum(word.raw for word in each), whole.raw, "network")
    assert whole.label == caption.text and whole.probability is None
    assert whole.score == pytest.approx(caption.log_probability, rel=1e-5)
    assert each[2].probability == pytest.approx(np.exp(caption.log_probabilities[2]), rel=1e-5)
    assert len({word.raw.tobytes() for word in each}) == 6
    difference = tape.grad_cam(caption.word("cat") - caption.word("dog"))
    assert_close(difference.raw, each[2].raw - each[5].raw, "network")
    half = tape.grad_cam(Sum(((0.5, caption.word("cat")), (0.5, caption.word("dog")))))
    assert_close(half.raw, (each[2].raw + each[5].raw) / 2, "network")
    for method in ("guided_backprop", "guided_grad_cam", "saliency", "layer_cam"):
        assert tape.explain(method, caption.word("cat")).raw.any()
    smooth = tape.explain(gradcam.smooth("saliency", samples=3), caption.word("cat"))
    assert smooth.raw.any()


def test_values_are_those_of_the_pictures_asked_about(captioner, tape):
    caption = captioner.caption(tape, "a red cat")
    found = tape.occlusion(caption.word("cat"), patch=56, stride=56)
    base = caption.word("cat").value(tape, 0)
    rerun = tape.run(np.zeros_like(tape.input))
    assert caption.word("cat").value(rerun, 0) != base
    assert caption.word("cat").value(tape, 0) == base  # after another picture was asked about
    assert len(np.unique(found.raw)) == 4
    slopes = caption.seeds(tape, 0)["relu7"]
    assert not np.array_equal(caption.seeds(rerun, 0)["relu7"], slopes)
    assert np.array_equal(caption.seeds(tape, 0)["relu7"], slopes)
    assert caption.reads(tape, 0) == {"relu7"}


def test_threads_share_a_caption(captioner):
    tapes = [captioner.network.forward(pictograms.described(seed).picture) for seed in (3, 4)]
    caption = captioner.caption(tapes[0], TEXT)
    expected = [caption.seeds(tape, 0)["relu7"] for tape in tapes]
    wrong = []

    def ask(number):
        for _ in range(30):
            if not np.array_equal(caption.seeds(tapes[number], 0)["relu7"], expected[number]):
                wrong.append(number)

    threads = [threading.Thread(target=ask, args=(number,)) for number in (0, 1, 0)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_words_of_a_caption(captioner, tape):
    caption = captioner.caption(tape, "A red cat, and a dog.")
    assert (str(caption), len(caption), caption.words[2]) == ("a red cat and a dog", 6, "cat")
    assert (caption.word("a").start, caption.word("A", nth=1).start) == (0, 4)
    assert (caption.word(-1).text, caption.word(np.int64(2)).text) == ("dog", "cat")
    with pytest.raises(ValueError, match="no word 'two'; its words are a, red, cat, and, a, dog"):
        caption.word("two")
    with pytest.raises(IndexError, match="nth=2: 'a' occurs 2 times in the caption"):
        caption.word("a", nth=2)
    with pytest.raises(IndexError, match="nth=1: 'cat' occurs once"):
        caption.word("cat", nth=1)
    with pytest.raises(IndexError, match="word 6: the caption has the words 0 to 5"):
        caption.word(6)
    assert caption.word("“Cat”,").start == 2
    for given, message in (
        ("cta", r"no word 'cta' \(nearest: cat.*its words are a, red, cat, and, a, dog"),
        (
            "red cat",
            r"one word, got 'red cat', which is caption.part\(1, 3\); its words are a, red",
        ),
        ("cat red", "one word, got 'cat red'; its words are a, red, cat, and, a, dog"),
        (" , ", "one word, got ' , '; its words are"),
    ):
        with pytest.raises(ValueError, match=message):
            caption.word(given)
    for given in (1.5, None, ["cat"]):
        with pytest.raises(TypeError, match=r"a word of the caption or its position, got .*words"):
            caption.word(given)
    for start, stop in ((2, 2), (-1, 3), (4, 7)):
        with pytest.raises(IndexError, match="expected 0 <= start < stop <= 6"):
            caption.part(start, stop)


def test_one_word_for_each_code_is_the_diagonal(captioner):
    codes = np.random.default_rng(4).standard_normal((4, small_captioner.CODE)).astype(np.float32)
    words = (0, 4, 2, END)
    whole = captioner._decoder.log_probabilities(codes, words).array
    found = captioner._decoder.one_for_each(seq.variable(codes), words).array
    assert_close(found, np.diagonal(whole), "sum")


@pytest.mark.parametrize("length", [1, 2, 5, 20])
def test_the_greedy_search_is_a_beam_of_one(length):
    for seed in range(12):
        decoder = Captioner(small_captioner.tensors(seed), WORDS)._decoder
        code = np.random.default_rng(seed).standard_normal(small_captioner.CODE)
        code = code.astype(np.float32)
        greedy, beam = (find(decoder, code, length) for find in (_search._greedy, one_beam))
        assert greedy == beam


def one_beam(decoder, code, length):
    """The search by a beam, of one caption."""
    return _search._search(decoder, code, 1, length)


def test_the_report_compares_words(captioner, tape):
    caption = captioner.caption(tape, "a red cat and a dog")
    for objective, names in (
        (caption.word("cat"), ("dog", "a")),
        (caption.word(-1), ("a", "red")),
        (caption.part(0, 3), ("dog", "and")),
        (caption, ()),
    ):
        report = tape.grad_cam(objective).report(steps=1)
        assert (report.kind, report.names) == ("word", names)
        assert [each.label for each in report.others] == list(names)
        findings = [each.finding for each in report.checks if each.name == "class"]
        assert len(findings) == bool(names)
        assert all("depends on the word (" in each for each in findings)
        assert report.plot() is not None
    other = tape.grad_cam(caption).report(steps=1, other=caption.word("red"))
    assert (other.kind, other.names) == ("word", ("red",))


def test_a_caption_is_explained_on_its_network_with_random_weights(captioner, tape):
    caption = captioner.describe(tape)
    network = gradcam.measures.randomised(captioner.network, seed=1)
    twice = gradcam.measures.randomised(network, seed=2)
    for each in (network, twice):
        found = each.forward(tape.input[0], input="normalised").grad_cam(caption)
        assert found.label == caption.text and not np.array_equal(
            found.raw, tape.grad_cam(caption).raw
        )


# --- bad input ---


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a red dgo", r"does not know 'dgo' \(nearest: dog\); it knows the words a, and, cat"),
        ("xqz a vvw", "does not know 'xqz', 'vvw'"),
        (" ., ", "the caption has no words"),
        ("", "the caption has no words"),
        ("cat " * 500, "has 500 words; at most 50"),
    ],
)
def test_captions_that_cannot_be_read(captioner, tape, text, message):
    with pytest.raises(ValueError, match=message):
        captioner.caption(tape, text)


def test_other_bad_input(captioner, tape):
    with pytest.raises(TypeError, match="a caption is a text"):
        captioner.caption(tape, ["a", "cat"])
    for name, most in (("beam", 100), ("length", 50)):
        with pytest.raises(ValueError, match=f"{name}: expected 1 or more, got 0"):
            captioner.describe(tape, **{name: 0})
        with pytest.raises(ValueError, match=f"{name}: expected 1 to {most}, got {most + 1}"):
            captioner.describe(tape, **{name: most + 1})
        with pytest.raises(TypeError, match=f"{name}: expected an integer"):
            captioner.describe(tape, **{name: 1.5})


def test_tapes_of_other_networks_are_refused(captioner, tape):
    caption = captioner.caption(tape, "a red cat")
    other = pictograms.model().forward(pictograms.example("cat_and_dog"))
    with pytest.raises(ValueError, match="the tape is of another network, 'pictograms'"):
        captioner.describe(other)
    with pytest.raises(
        ValueError, match=r"made by the network small .*, but the tape is of the network pict"
    ):
        other.grad_cam(caption)
    again = Captioner(small_captioner.tensors(), WORDS, "small")
    with pytest.raises(ValueError, match="the tape is of another network"):
        again.describe(tape)
    with pytest.raises(TypeError, match="tape: expected the tape of one picture"):
        caption.plot(captioner.network.forward([pictograms.described(1).picture]))


def test_a_picture_of_another_world_has_the_notice(captioner):
    tape = captioner.network.forward(gradcam.imagenet.example("cat"))
    found = tape.grad_cam(captioner.describe(tape, length=5))
    assert "was not trained on photographs" in found.about


# --- files ---


def test_files_keep_everything(captioner, tape, tmp_path):
    path = tmp_path / "mine.safetensors"
    captioner.save(path)
    read = captioning.load(path)
    assert read.words == WORDS and read.network.name == "mine"
    again = read.caption(read.network.forward(pictograms.described(3).picture), TEXT)
    assert again.log_probabilities == captioner.caption(tape, TEXT).log_probabilities
    captioner.save(path, dtype="float16")
    half = captioning.load(path).caption(pictograms.described(3).picture, TEXT)
    assert half.log_probabilities != again.log_probabilities
    assert np.allclose(half.log_probabilities, again.log_probabilities, atol=0.02)


def test_weights_of_float16_are_stored_so_with_the_same_results(captioner, tmp_path):
    captioner.save(tmp_path / "half.safetensors", dtype="float16")
    half = captioning.load(tmp_path / "half.safetensors")
    moved = {**half._tensors, "fc6.weight": half._tensors["fc6.weight"].copy()}
    moved["fc6.weight"][0, 0] += np.float32(1e-7)  # which float16 does not hold
    whole = Captioner(moved, WORDS)
    dtypes = [each.network.layers["fc6"].weights["weight"].dtype for each in (half, whole)]
    assert dtypes == [np.float16, np.float32]
    picture = pictograms.described(3).picture
    codes = [each.network.forward(picture).activation("relu7") for each in (half, whole)]
    assert_close(codes[0], codes[1], "sum")


def test_a_captioner_and_a_caption_can_be_pickled(captioner, tape):
    caption = captioner.caption(tape, TEXT)
    again, found = pickle.loads(pickle.dumps((captioner, caption)))
    new = again.network.forward(pictograms.described(3).picture)
    assert found.log_probabilities == caption.log_probabilities
    assert np.array_equal(new.grad_cam(found).raw, tape.grad_cam(caption).raw)


def replaced(**changes):
    tensors = small_captioner.tensors()
    for name, values in changes.items():
        if values is None:
            del tensors[name.replace("__", ".")]
        else:
            tensors[name.replace("__", ".")] = values
    return tensors


METADATA = {"architecture": "captioner", "format": "1", "vocabulary": json.dumps(WORDS)}
F = np.float32
DAMAGES = {
    "no vocabulary": ({}, {"vocabulary": None}, "have no 'vocabulary'"),
    "no JSON": ({}, {"vocabulary": "[a"}, "'vocabulary' in the metadata is not JSON"),
    "no list": ({}, {"vocabulary": "{}"}, "is not a list of words"),
    "no words": ({}, {"vocabulary": "[]"}, "'vocabulary' in the metadata is empty"),
    "a number": ({}, {"vocabulary": "[1]"}, "is not a list of words"),
    "a word twice": ({}, {"vocabulary": '["a", "b", "a"]'}, "has words twice: a"),
    "too few words": (
        {},
        {"vocabulary": '["a", "cat"]'},
        "the vocabulary has 2 words, but the weights are for 7",
    ),
    "two words in one": (
        {},
        {"vocabulary": json.dumps(["a b", *WORDS[1:]])},
        "'a b' is not a word in lower case",
    ),
    "another architecture": ({}, {"architecture": "vqa"}, "expected .* 'captioner'; .* say 'vqa'"),
    "no architecture": ({}, {"architecture": None}, "its metadata do not say what"),
    "another version": ({}, {"format": "9"}, "version '9' of the format"),
    "a tensor is missing": ({"image__bias": None}, {}, "the tensor .image.bias. is missing"),
    "a size is missing": ({"embedding__weight": None}, {}, "'embedding.weight' is missing"),
    "one too many": ({"more": np.zeros(3, F)}, {}, "do not belong to it: more"),
    "another shape": (
        {"output__weight": np.zeros((8, 3), F)},
        {},
        r"output.weight has the shape \(8, 3\), expected \(8, 9\)",
    ),
    "an empty one": ({"image__weight": np.zeros((0, 10), F)}, {}, "image.weight has the shape"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_files_that_do_not_fit_are_refused(name, tmp_path):
    changes, metadata, message = DAMAGES[name]
    stated = {key: value for key, value in (METADATA | metadata).items() if value is not None}
    path = tmp_path / "file.safetensors"
    safetensors.write(replaced(**changes), path, stated)
    with pytest.raises(gradcam.WeightsError, match=message) as error:
        captioning.load(path)
    assert str(path) in str(error.value)


def test_weights_that_are_not_finite_are_refused():
    wrong = replaced(lstm__bias_hh=np.full(36, np.nan, F))
    with pytest.raises(gradcam.WeightsError, match=r"mine: lstm.bias_hh holds NaN"):
        Captioner(wrong, WORDS, "mine")
    with pytest.raises(gradcam.WeightsError, match=r"image.bias holds int64, expected floating"):
        Captioner(replaced(image__bias=np.zeros(6, np.int64)), WORDS)
    with pytest.raises(ValueError, match="words: a more than once"):
        Captioner(small_captioner.tensors(), ("a", "a", *WORDS[2:]))
    with pytest.raises(TypeError, match="words: expected a list of words"):
        Captioner(small_captioner.tensors(), "a cat")
    with pytest.raises(FileNotFoundError):
        captioning.load("no such file.safetensors")


# --- figures ---


def texts(figure):
    return [each.get_text() for each in figure.texts]


def test_figures_say_what_they_show(captioner, tape):
    caption = captioner.caption(tape, "a small red cat and two dog a cat")
    whole = caption.plot(tape)
    assert {"“a small red cat and two dog a cat”", "Picture", "Grad-CAM", "Guided Grad-CAM"} <= set(
        texts(whole)
    )
    assert len(whole.axes) == 3 and whole._repr_png_()[:4] == b"\x89PNG"
    strip = caption.plot_words(tape)
    below = [
        f"{word}\n{100 * np.exp(p):.1f} %"
        for word, p in zip(caption.words, caption.log_probabilities, strict=True)
    ]
    assert len(strip.axes) == 1 + len(caption) and set(below) <= set(texts(strip))
    assert "Simonyan saliency of each word" in " ".join(texts(caption.plot_words(tape, "saliency")))


def test_a_caption_belongs_to_its_network_not_to_the_name():
    picture = pictograms.described(3).picture
    first, second = (Captioner(small_captioner.tensors(seed), WORDS) for seed in (2, 3))
    caption = first.caption(picture, "a red cat")
    again = Captioner(small_captioner.tensors(2), WORDS)
    score = again.network.forward(picture).grad_cam(caption).score
    assert score == pytest.approx(caption.log_probability, rel=1e-5)
    with pytest.raises(ValueError, match="the tape is of the network"):
        second.network.forward(picture).grad_cam(caption)
