"""Captions and sheets: what notebooks show, and pictures with a text below."""

from __future__ import annotations

import base64
import io
import itertools
import pickle
import re
from dataclasses import replace

import numpy as np
import pytest
from helpers import DRAWN
from PIL import Image

import gradcam
from gradcam import plot
from gradcam._pictures import captions
from gradcam._text import percent, width, wrap

LABELS = ["cat", "<b>dog</b> & $x$", "an extremely long name of a class that no line can contain"]


@pytest.fixture(scope="module")
def network():
    tensors = gradcam.vgg11.random_tensors(width=4, fc=16, classes=len(LABELS), seed=3)
    return gradcam.vgg11(tensors, labels=LABELS, preset=gradcam.Preset("small", size=64))


def picture(height=48, width=80, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def tape(network):
    return network.forward(picture())


def embedded(html):
    """The pictures in a piece of HTML."""
    found = re.findall(r'src="data:image/png;base64,([^"]+)"', html)
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(each)))) for each in found]


# --- captions ---


@pytest.mark.parametrize("method", DRAWN)
def test_a_caption_names_everything(tape, method):
    explanation = tape.explain(method, "cat")
    heading, details = explanation.caption.split("\n")
    chance = percent(explanation.probability)
    assert heading == f"{gradcam.METHODS[method].title}: cat, probability {chance}"
    assert f"Layer {explanation.layer}, " in details
    assert f"largest value {explanation.evidence.max():.3g}." in details
    scale = {
        "map": "Colours: 0 is the map's minimum, 1 its maximum; over the grey picture, opacity 0",
        "signed": "Grey is 0; colours are full from the 99.5th percentile",
        "magnitude": "Grey values: 0 is the map's minimum, 1 its 99.5th percentile",
    }
    assert scale[explanation.view] in details


def test_a_caption_without_a_probability_has_the_score(tape):
    explanation = tape.grad_cam(gradcam.Difference(0, 1))
    assert explanation.caption.split("\n")[0].endswith(f", score {explanation.score:.1f}")


@pytest.mark.filterwarnings("ignore::gradcam.FlatMapWarning")
def test_a_caption_says_that_a_map_is_flat(network):
    found = network.forward(picture()).grad_cam(0)
    flat = replace(found, raw=np.zeros_like(found.raw))
    assert "The map is flat: it says nothing" in flat.caption
    assert "The map is flat: it says nothing" in flat._repr_html_()


def test_a_caption_says_what_was_cut_off(network):
    preset = gradcam.Preset("cropping", size=64, shorter_side=72)
    tensors = gradcam.vgg11.random_tensors(width=4, fc=16, classes=4, seed=3)
    cropped = gradcam.vgg11(tensors, preset=preset).forward(picture()).grad_cam(0)
    assert "did not see the faded part" in cropped.caption
    assert "faded" not in network.forward(picture()).grad_cam(0).caption


@pytest.mark.parametrize("method", DRAWN)
@pytest.mark.parametrize("label", LABELS)
def test_a_notebook_shows_the_picture_and_its_caption(tape, method, label):
    explanation = tape.explain(method, label)
    html = explanation._repr_html_()
    image, *bar = embedded(html)
    np.testing.assert_array_equal(image, explanation.image)
    assert len(bar) == (explanation.view != "signed")
    for text in explanation.caption.split("\n"):
        escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        assert escaped.replace("'", "&#x27;") in html
    assert "<b>" not in html
    assert "width: 400px" in html  # a small picture is shown enlarged


def test_a_large_picture_is_shown_small(network):
    html = network.forward(picture(900, 1300)).grad_cam(0)._repr_html_()
    assert embedded(html)[0].shape == (443, 640, 3) and "width: 640px" in html


@pytest.mark.parametrize(
    ("method", "size"),
    [
        *itertools.product(DRAWN, [(48, 80), (300, 50)]),
        ("grad_cam", (700, 1400)),
        *(
            pytest.param(method, (700, 1400), marks=pytest.mark.slow)
            for method in DRAWN
            if method != "grad_cam"
        ),
    ],
)
def test_a_saved_caption_is_below_the_picture(network, tmp_path, method, size):
    explanation = network.forward(picture(*size)).explain(method, LABELS[2])
    explanation.save(tmp_path / "plain.png")
    explanation.save(tmp_path / "captioned.png", caption=True)
    plain = np.asarray(Image.open(tmp_path / "plain.png"))
    found = np.asarray(Image.open(tmp_path / "captioned.png"))
    left = (found.shape[1] - size[1]) // 2
    np.testing.assert_array_equal(found[: size[0], left : left + size[1]], plain)
    text = found[size[0] :]
    assert text.shape[0] > 60 and text.min() < 60
    assert (text[:, [0, -1]] == 255).all() and (text[-1] == 255).all()  # nothing is cut off


def test_a_caption_follows_the_colour_map(tape, tmp_path):
    explanation = tape.grad_cam(0)
    for cmap in ("jet", "inferno"):
        explanation.save(tmp_path / f"{cmap}.png", cmap=cmap)
        found = np.asarray(Image.open(tmp_path / f"{cmap}.png"))
        np.testing.assert_array_equal(found, explanation.render(cmap))
        explanation.save(tmp_path / f"{cmap}.png", cmap=cmap, caption=True)
        bar = np.asarray(Image.open(tmp_path / f"{cmap}.png"))[48 + 10]
        red, _, blue = bar[(bar < 255).any(1)][0].tolist()  # the colour of 0
        assert blue > red + 40 if cmap == "jet" else blue == red
    assert explanation._captioned("jet").details.endswith("over the picture, opacity 0.5.")


# --- sheets ---


def test_lists_of_explanations_are_shown_as_a_sheet(network, tape):
    found = tape.grad_cam(["cat", 1, 2])
    assert isinstance(found, list) and found == list(found)
    html = found._repr_html_()
    assert html.count("<figure") == 3 and html.count("flex-wrap") == 1
    assert "&lt;b&gt;dog" in html
    batch = network.forward([picture(), picture(seed=1)])
    assert batch.saliency(0)._repr_html_().count("<figure") == 2
    nested = batch.saliency([[0, 1], [2]])
    html = nested._repr_html_()
    assert html.count("<figure") == 3 and html.count("flex-wrap") == 2
    assert nested[0]._repr_html_().count("<figure") == 2
    assert gradcam.explain(picture(), [0, 1], network=network)._repr_html_().count("<figure") == 2


def test_a_long_list_is_shown_in_part(tape):
    html = tape.saliency([0, 1, 2] * 10)._repr_html_()
    assert html.count("<figure") == 24 and "6 more are not shown here" in html
    assert "more are not" not in tape.saliency([0, 1])._repr_html_()


def test_a_list_of_explanations_can_be_pickled(tape):
    found = tape.grad_cam([0, 1])
    again = pickle.loads(pickle.dumps(found))
    assert type(again) is type(found) and len(again) == 2


@pytest.mark.slow
def test_a_sheet_is_a_picture(tape, tmp_path):
    explanations = tape.grad_cam([0, 1, 2, 0, 1])
    pixels = plot.sheet(explanations)
    assert pixels.dtype == np.uint8 and pixels.shape[1] == 4 * (300 + 8)
    cell = captions.draw(explanations[0]._captioned())
    np.testing.assert_array_equal(pixels[: cell.shape[0], :300], cell)
    plot.save(pixels, tmp_path / "sheet.png")
    rows = plot.sheet([[explanations[0]], explanations[1:3]])
    assert rows.shape[1] == 2 * 308
    different = plot.sheet(tape.explain(method, 0) for method in DRAWN)
    assert different.shape[1] == 4 * 308


@pytest.mark.parametrize(
    ("wrong", "error"), [([], ValueError), ([[]], ValueError), ([3], TypeError), (["a"], TypeError)]
)
def test_a_sheet_refuses_what_is_not_an_explanation(wrong, error):
    with pytest.raises(error, match="explanation"):
        plot.sheet(wrong)


# --- lines ---


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", [""]),
        ("one two three", ["one two", "three"]),
        ("at 97.2 %", ["at", "97.2 %"]),
        ("abcdefghijkl", ["abcdefgh", "ijkl"]),
        ("猫と犬の絵", ["猫と犬の", "絵"]),
        ("a 猫と犬の絵", ["a", "猫と犬の", "絵"]),
        ("e\u0301e\u0301e\u0301e\u0301 abcd", ["e\u0301e\u0301e\u0301e\u0301", "abcd"]),
    ],
)
def test_lines_are_wrapped_by_their_width(text, lines):
    assert wrap(text, 8) == lines
    assert all(width(line) <= 8 for line in lines)
