"""Answers to questions: scores, gradients, maps, and what is said of bad input."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pytest
from small_answerers import ANSWERS, QUESTION, TENSORS, WORDS, Twin, answerer

import gradcam
from gradcam import vqa
from gradcam._weights import safetensors

KINDS = ("lstm", "coattention")


def picture(seed=1, side=112):
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)


@pytest.fixture(scope="module", params=KINDS)
def small(request):
    """An answerer, the tape of a picture, and the same computations in float64."""
    made = answerer(request.param)
    twin = Twin(request.param, TENSORS[request.param]())
    return made, made.network.forward(picture()), twin


# --- values and gradients ---


@pytest.mark.parametrize("question", [QUESTION, "dog", "IS the Cat, left of the dog..."])
def test_scores_are_those_of_the_twin(small, question):
    made, tape, twin = small
    reply = made.ask(tape, question)
    code = tape.activation(made.layer)[0]
    expected = twin.scores(code, list(reply.question.indices))
    assert np.abs(expected).max() > 0.04
    assert np.allclose(reply.scores, expected, rtol=1e-5, atol=1e-5)
    powers = np.exp(expected - expected.max())
    assert np.allclose(reply.probabilities, powers / powers.sum(), rtol=1e-5, atol=1e-6)
    assert reply.text == ANSWERS[int(expected.argmax())]
    assert reply.probability == reply.probabilities.max()


def test_seeds_are_the_gradients_of_the_twin(small):
    """Of scores and of probabilities, by the values of the code that matter most, and by others."""
    made, tape, twin = small
    reply = made.ask(tape, QUESTION)
    code = tape.activation(made.layer)[0]
    objective = reply.objective("red and yellow")
    found = objective.seeds(tape, 0)
    assert set(found) == {made.layer} == objective.reads(tape, 0)
    seeds = found[made.layer].ravel()
    order = np.argsort(-np.abs(seeds))
    places = np.concatenate([order[:20], order[20::50]])
    expected = twin.gradients(code, list(reply.question.indices), places)
    size = np.abs(expected).max()
    assert size > 1e-4
    index, p = ANSWERS.index("red and yellow"), reply.probabilities
    assert np.allclose(seeds[places], expected[:, index], rtol=1e-3, atol=1e-4 * size)
    likely = reply.objective("red and yellow", on="probability")
    seeds = likely.seeds(tape, 0)[made.layer].ravel()
    of_p = p[index] * (expected[:, index] - expected @ p)
    assert np.allclose(seeds[places], of_p, rtol=1e-3, atol=1e-4 * np.abs(of_p).max())
    assert likely.value(tape, 0) == pytest.approx(p[index], rel=1e-5)


def test_the_gradient_by_the_picture_is_that_of_finite_differences(small):
    made, tape, _ = small
    objective = made.ask(tape, QUESTION).objective("red")
    gradient = tape.gradient(objective)[0]
    place = np.unravel_index(np.abs(gradient).argmax(), gradient.shape)
    step, values = 1e-2, []
    for sign in (1, -1):
        moved = tape.input.copy()
        moved[(0, *place)] += sign * step
        values.append(objective.value(tape.run(moved), 0))
    assert (values[0] - values[1]) / (2 * step) == pytest.approx(gradient[place], rel=0.05)


def test_a_batch_is_the_same_as_single_pictures(small):
    made, _, _ = small
    pictures = [picture(seed) for seed in (1, 2, 3)]
    questions = [QUESTION, "is the dog red", QUESTION]
    with pytest.warns(vqa.UnknownWordWarning):
        replies = made.ask(pictures, questions)
    tape = made.network.forward(pictures)
    maps = tape.grad_cam(replies)
    for n, (reply, found) in enumerate(zip(replies, maps, strict=True)):
        alone = made.network.forward(pictures[n])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", vqa.UnknownWordWarning)
            expected = made.ask(alone, questions[n])
        assert expected.text == reply.text
        assert np.allclose(expected.scores, reply.scores, rtol=1e-5, atol=1e-6)
        raw = alone.grad_cam(expected).raw
        assert np.allclose(found.raw, raw, rtol=1e-4, atol=1e-5 * np.abs(raw).max())
        assert reply.value(tape, n) == pytest.approx(reply.scores.max(), rel=1e-5)
        assert reply.values(tape)[n] == pytest.approx(reply.scores.max(), rel=1e-5)
    assert len(made.ask(tape, QUESTION)) == 3


def test_attention_is_that_of_the_twin(small):
    made, tape, twin = small
    reply = made.ask(tape, QUESTION)
    if made.kind == "lstm":
        assert reply.attention == {}
        with pytest.raises(ValueError, match=r"no attention: .*coattention"):
            reply.plot_attention(tape)
        return
    twin.scores(tape.activation(made.layer)[0], list(reply.question.indices))
    assert list(reply.attention) == ["word", "phrase", "question"]
    for level, (positions, words) in twin.attention.items():
        found = reply.attention[level]
        assert found.positions.shape == (7, 7) and found.words.shape == (5,)
        assert np.allclose(found.positions.ravel(), positions, rtol=1e-4, atol=1e-7)
        assert np.allclose(found.words, words, rtol=1e-4, atol=1e-7)


# --- as an objective ---


def test_every_kind_of_method_explains_an_answer(small):
    made, tape, _ = small
    reply = made.ask(tape, QUESTION)
    red, yellow = reply.objective("red"), reply.objective("yellow")
    maps = tape.grad_cam([reply, red, yellow, red - yellow, gradcam.Sum(((0.5, red),))])
    assert [each.label for each in maps[:2]] == [f"{QUESTION} {reply.text}", f"{QUESTION} red"]
    assert maps[0].probability == pytest.approx(reply.probability, rel=1e-5)
    assert np.allclose(maps[4].raw, 0.5 * maps[1].raw, rtol=1e-4, atol=1e-6)
    assert np.allclose(maps[3].raw, maps[1].raw - maps[2].raw, rtol=1e-3, atol=1e-5)
    occluded = tape.occlusion(red, patch=56, stride=56, baseline=0)
    changed = tape.input.copy()
    changed[..., :56, :56] = 0
    lost = red.value(tape, 0) - red.value(tape.run(changed), 0)
    assert abs(lost) > 1e-4
    assert occluded.raw.flat[0] == pytest.approx(lost, rel=1e-2)
    for name in ("guided_backprop", "guided_grad_cam", "integrated_gradients"):
        assert tape.explain(name, red).raw.any()


def test_grad_cam_at_each_block():
    made = answerer("coattention")
    tape = made.network.forward(picture())
    reply = made.ask(tape, QUESTION)
    for number, side in ((1, 14), (4, 14), (5, 7), (8, 7)):
        found = tape.grad_cam(reply, layer=f"block{number}")
        assert found.raw.shape == (side, side)
        gradient = tape.gradient(reply, f"block{number}")[0]
        maps = tape.activation(f"block{number}")[0]
        expected = np.tensordot(gradient.mean((1, 2)), maps, 1)
        assert np.allclose(found.raw, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


def test_answers_are_found_by_their_names(small):
    made, tape, _ = small
    reply = made.ask(tape, QUESTION)
    assert reply.objective("  Yellow AND red. ").text == "red and yellow"
    assert reply.objective().text == reply.text
    assert reply.top(2) == sorted(reply.top(99), key=lambda each: -each[1])[:2]
    assert sum(share for _, share in reply.top(99)) == pytest.approx(1, abs=1e-5)
    with pytest.raises(ValueError, match=r"'yelow' \(nearest: yellow.*lists all 6"):
        reply.objective("yelow")
    with pytest.raises(TypeError, match="expected a text"):
        reply.objective(2)
    with pytest.raises(ValueError, match="'score' or 'probability'"):
        reply.objective("red", on="odds")
    with pytest.raises(ValueError, match="1 or more"):
        reply.top(0)


def test_a_question_and_its_answer_are_one_text(small):
    made, tape, _ = small
    for asked, text in (
        ("what is the cat?", "what is the cat? red"),
        ("what is the cat", "what is the cat: red"),
        ("what is the cat .", "what is the cat: red"),
    ):
        reply = made.ask(tape, asked)
        objective = reply.objective("red")
        assert objective.label(made.network.labels) == text and text in repr(objective)
        assert made.read(asked).with_answer(reply.text) in repr(reply)
        assert tape.grad_cam(objective).label == text


def test_the_report_compares_answers(small):
    made, tape, _ = small
    reply = made.ask(tape, QUESTION)
    report = tape.grad_cam(reply).report(steps=1)
    texts = [text for text, _ in reply.top(99)]
    chosen = (texts[1], texts[1 + (len(texts) - 1) // 2])
    assert (report.kind, report.names) == ("answer", chosen)
    assert [each.label for each in report.others] == [f"{QUESTION} {each}" for each in chosen]
    for each, text in zip(report.others, chosen, strict=True):
        assert np.array_equal(each.raw, tape.grad_cam(reply.objective(text)).raw)
    (check,) = [each for each in report.checks if each.name == "class"]
    assert " the answer (" in check.finding and report.finding.startswith(f"{QUESTION} {texts[0]}")
    chance = tape.grad_cam(reply.objective("red", on="probability")).origin.objective
    assert {each.on for each in chance.others(tape, 0).objectives} == {"probability"}


def test_an_output_that_is_not_finite_is_said_so(small):
    made, _, _ = small
    with np.errstate(all="ignore"):
        tape = made.network.forward(np.full((3, 112, 112), 3e38, np.float32), input="normalised")
    with pytest.raises(ValueError, match="is not finite: its values are too large"):
        made.ask(tape, QUESTION)


def test_an_answer_that_is_written_exactly_is_that_one():
    names = ("yes", "Yes", "red and yellow", "yellow and red", "no", "cat")
    made = vqa.Answerer("lstm", TENSORS["lstm"](), WORDS, names)
    assert [made.find_answer(each) for each in names] == list(names)


# --- bad input ---


def test_unknown_words_are_named_and_left_out(small):
    made, tape, _ = small
    with pytest.warns(vqa.UnknownWordWarning, match=r"'color' \(nearest: colour.*'kat'"):
        reply = made.ask(tape, "What color is the kat?")
    assert reply.question.words == ("what", "is", "the")
    assert "2 words of the question are not in the vocabulary" in reply.notes[0]
    assert "not in the vocabulary" in repr(reply)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plain = made.ask(tape, "what is the")
    assert np.array_equal(plain.scores, reply.scores) and plain.notes == ()


@pytest.mark.parametrize(
    ("question", "error", "message"),
    [
        ("", ValueError, "has no words"),
        (" ?! ", ValueError, "has no words"),
        ("cat " * 500, ValueError, "500 words, and at most 50"),
        ("colores quantos", ValueError, "not one of its words is known"),
        (7, TypeError, "expected a text"),
        (["what", "is"], TypeError, "expected a text"),
    ],
)
def test_questions_that_cannot_be_answered(small, question, error, message):
    made, tape, _ = small
    with pytest.raises(error, match=message):
        made.ask(tape, question)


def test_a_batch_needs_a_question_for_each_picture(small):
    made, _, _ = small
    with pytest.raises(ValueError, match="1 question for 2 pictures"):
        made.ask([picture(1), picture(2)], [QUESTION])
    with pytest.raises(TypeError, match="expected a list of questions"):
        made.ask([picture(1), picture(2)], 5)


def test_tapes_of_other_networks_are_refused(small):
    made, tape, _ = small
    other = answerer(made.kind, seed=3, name="another")
    with pytest.raises(ValueError, match=r"network.forward\(picture\)\), got a tape of 'another'"):
        made.ask(other.network.forward(picture()), QUESTION)
    reply = made.ask(tape, QUESTION)
    with pytest.raises(ValueError, match=r"one of the network small .* forward pass of another"):
        other.network.forward(picture()).grad_cam(reply)
    with pytest.raises(ValueError, match="forward pass of pictograms"):
        gradcam.pictograms.model().forward(picture()).grad_cam(reply)
    with pytest.raises(ValueError, match="tape of 'pictograms'"):
        made.ask(gradcam.pictograms.model().forward(picture()), QUESTION)


def test_maps_say_what_the_network_knows(small):
    made, tape, _ = small
    reply = made.ask(tape, QUESTION)
    assert "16 kinds of objects" in reply.about
    assert tape.grad_cam(reply).about == reply.about


def test_answerers_and_replies_can_be_pickled(small):
    made, tape, _ = small
    reply = made.ask(tape, QUESTION)
    again = pickle.loads(pickle.dumps(made)).ask(picture(), QUESTION)
    assert np.array_equal(again.scores, reply.scores)
    copied = pickle.loads(pickle.dumps(reply))
    assert copied.top(3) == reply.top(3)
    assert np.array_equal(tape.grad_cam(copied).raw, tape.grad_cam(reply).raw)


# --- files ---


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_a_file_is_read_as_it_was_written(tmp_path, kind, dtype):
    made, path = answerer(kind), tmp_path / "small.safetensors"
    made.save(path, dtype)
    loaded = vqa.load(path)
    assert (loaded.kind, loaded.words, loaded.answers) == (kind, WORDS, ANSWERS)
    first, second = (each.ask(picture(), QUESTION) for each in (made, loaded))
    atol = 0 if dtype == "float32" else 0.02
    assert np.allclose(first.scores, second.scores, rtol=0, atol=atol)


def _written(path, kind="lstm", change=lambda tensors, metadata: None):
    """Write a file of an answerer that has been changed."""
    tensors = TENSORS[kind]()
    metadata = {"architecture": kind, "format": "1"}
    metadata |= {"words": f"{list(WORDS)}".replace("'", '"')}
    metadata |= {"answers": f"{list(ANSWERS)}".replace("'", '"')}
    change(tensors, metadata)
    safetensors.write(tensors, path, metadata)
    return path


def _drop(name):
    return lambda tensors, metadata: tensors.pop(name)


def _cut(name, axis=0):
    def change(tensors, metadata):
        tensors[name] = np.delete(tensors[name], 0, axis)

    return change


def _say(name, value):
    return lambda tensors, metadata: metadata.update({name: value})


@pytest.mark.parametrize(
    ("kind", "change", "message"),
    [
        ("lstm", _say("words", '["what", "cat"]'), "2 words, but the weights are for 8"),
        ("lstm", _say("answers", '["yes", "no"]'), "2 answers, but the weights are for 6"),
        ("lstm", _say("words", '["a","b","c","d","e","f","g","g"]'), "words twice: g"),
        ("lstm", _say("words", '["What","b","c","d","e","f","g","h"]'), "'What' is not a word in"),
        ("lstm", _say("words", "what cat"), "not JSON"),
        ("lstm", _say("architecture", "captioner"), "question answerer, of .* say 'captioner'"),
        ("lstm", _say("format", "2"), "version '2' of the format"),
        ("lstm", _drop("lstm2.bias_hh"), r"missing: lstm2\.bias_hh"),
        ("lstm", _drop("conv3_2.bias"), r"conv3_2\.bias is missing"),
        ("lstm", _cut("image.weight", 1), "relu7, has 10 values, but image.weight is for 9"),
        ("lstm", _cut("fc6.weight", 1), "fc6"),
        ("coattention", _cut("phrase3.weight", 2), r"phrase3.weight .* expected \(7, 7, 3\)"),
        ("coattention", _cut("position.weight"), "has 49 positions, .* for 48"),
        ("coattention", _cut("image.weight", 1), "has 256 channels, .* for 255"),
        ("lstm", lambda t, m: t.update(more=np.zeros(3)), "do not belong to it: more"),
    ],
)
def test_files_whose_parts_do_not_fit(tmp_path, kind, change, message):
    path = _written(tmp_path / "changed.safetensors", kind, change)
    with pytest.raises(gradcam.WeightsError, match=message) as caught:
        vqa.load(path)
    assert str(path) in str(caught.value)


def test_files_of_other_things(tmp_path):
    with pytest.raises(FileNotFoundError):
        vqa.load(tmp_path / "missing.safetensors")
    with pytest.raises(ValueError, match="'lstm' or 'coattention', got 'mlb'"):
        vqa.model("mlb")
    with pytest.raises(ValueError, match="'lstm' or 'coattention'"):
        vqa.Answerer("mlb", {}, WORDS, ANSWERS)
    path = tmp_path / "nan.safetensors"
    tensors = TENSORS["lstm"]()
    tensors["answer.bias"][0] = np.nan
    with pytest.raises(gradcam.WeightsError, match=r"answer.bias holds NaN"):
        vqa.Answerer("lstm", tensors, WORDS, ANSWERS)
    answerer("lstm").save(path)
    before = path.read_bytes()
    with pytest.raises(gradcam.WeightsError, match="not finite as float16"):
        broken = TENSORS["lstm"]() | {"answer.bias": np.full(len(ANSWERS), 1e6, np.float32)}
        vqa.Answerer("lstm", broken, WORDS, ANSWERS).save(path, "float16")
    assert path.read_bytes() == before


# --- figures ---


def _is_png(figure):
    return figure._repr_png_().startswith(b"\x89PNG")


def test_figures(small):
    made, tape, _ = small
    reply = made.ask(tape, QUESTION)
    figure = reply.plot(tape, ["red", "yellow", "yellow and red", "red"])
    words = " ".join(each.get_text() for each in figure.texts)
    assert QUESTION in words and "red and yellow, " in words
    assert len(figure.axes) == 2 + 2 * 3 and _is_png(figure)
    layers = reply.plot_layers(tape)
    count = 6 if made.kind == "lstm" else 9
    assert len(layers.axes) == count and _is_png(layers)
    assert len(reply.plot_layers(tape, [made.network.target_layer]).axes) == 2
    if made.kind == "coattention":
        shown = reply.plot_attention(tape)
        assert "colour " in " ".join(each.get_text() for each in shown.texts)
        assert len(shown.axes) == 5 and _is_png(shown)


def test_the_figure_of_one_answer_and_a_tall_picture_says_what_the_colours_mean():
    made = answerer("lstm")
    tape = made.network.forward(np.zeros((300, 100, 3), np.uint8))
    figure = made.ask(tape, QUESTION).plot(tape, ["red"])
    words = " ".join(each.get_text() for each in figure.texts)
    assert "each map is scaled to its own maximum. Guided Grad-CAM: grey is 0." in words


def test_figures_refuse_what_they_cannot_show(small):
    made, tape, _ = small
    reply = made.ask(tape, QUESTION)
    with pytest.raises(ValueError, match="1 to 6 answers, not 0"):
        reply.plot(tape, [])
    with pytest.raises(ValueError, match="empty list of layers"):
        reply.plot_layers(tape, [])
    with pytest.raises(TypeError, match="the tape of one picture"):
        reply.plot(made.network.forward([picture()]))
    with pytest.raises(TypeError, match="the tape of one picture"):
        reply.plot_layers(made.network.forward([picture()]))
