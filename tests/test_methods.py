"""Every method against the float64 twin on narrow VGGs, and how explanations behave."""

from __future__ import annotations

import io
import pickle
import warnings

import numpy as np
import pytest
import reference
import vggs
from helpers import assert_close, largest_difference
from PIL import Image

import gradcam
from gradcam import _core, pictograms
from gradcam._pictures.image import Geometry
from gradcam._pictures.segments import largest_segment
from gradcam._results.explanation import FlatMapWarning

PIXEL_RULES = {"saliency": "gradient", "deconvnet": "deconvnet", "guided_backprop": "guided"}
CAM_SIGNS = {"grad_cam": 1, "counterfactual": -1}
COMBINED = {"guided_grad_cam": "guided", "deconv_grad_cam": "deconvnet"}
METHODS = [*PIXEL_RULES, *CAM_SIGNS, *COMBINED]
CAM_METHODS = [*CAM_SIGNS, *COMBINED]
RELUS = [caffe for caffe, _, _ in vggs.layers("vgg16") if caffe.startswith("relu")]


class Both:
    """A network and its twin on the same pictures; the twin takes the network's decisions."""

    def __init__(self, name: str, shape: tuple[int, int, int, int], seed: int = 1, tensors=None):
        tensors = tensors or vggs.tensors(name)
        self.net = getattr(gradcam, name)(tensors)
        self.twin, self.numbers = vggs.twin(name, tensors)
        x = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
        relus = [layer for layer in self.net.layers if layer.startswith("relu")]
        self.tape = self.net.forward(x, keep=relus)
        decisions = {self.numbers[name]: self.tape.activation(name) for name in relus}
        self.record = self.twin.forward(x, decisions)

    def raw(self, method, classes, on="score", layer=None):
        """(N, ...) raw evidence and (N, K) weights or None, by the twin."""
        output = self.numbers["fc8" if on == "score" else "prob"]
        number = self.numbers[layer or self.net.target_layer]
        if method in PIXEL_RULES:
            rule = PIXEL_RULES[method]
            return reference.pixel_gradient(self.record, output, classes, rule), None
        alpha, cam = reference.grad_cam(
            self.record, output, number, classes, CAM_SIGNS.get(method, 1)
        )
        if method in CAM_SIGNS:
            return cam, alpha
        rule = COMBINED[method]
        return reference.combined(self.record, output, number, classes, rule), alpha

    def check(self, explanation, method, n, index, on="score", layer=None):
        classes = [0] * len(self.record.outputs[0])
        classes[n] = index
        raw, alpha = self.raw(method, classes, on, layer)
        assert explanation.method == method
        assert explanation.target.index == index
        if method in COMBINED:
            # A product of two maps, each of which errs by a share of its own largest value.
            pixels = "guided_backprop" if COMBINED[method] == "guided" else "deconvnet"
            gradient, _ = self.raw(pixels, classes, on)
            cam, _ = self.raw("grad_cam", classes, on, layer)
            scale = np.abs(gradient[n]).max() * np.abs(cam[n]).max()
            np.testing.assert_allclose(explanation.raw, raw[n], rtol=3e-5, atol=3e-5 * scale)
        else:
            assert_close(explanation.raw, raw[n], "network")
        if alpha is None:
            assert explanation.weights is None
        else:
            assert_close(explanation.weights, alpha[n], "network")
        assert_close(
            explanation.score, self.record.outputs[self.numbers["fc8"]][n, index], "network"
        )
        probability = self.record.outputs[self.numbers["prob"]][n, index]
        assert explanation.probability == pytest.approx(probability, rel=1e-4)


@pytest.fixture(scope="module")
def wide():
    """A batch of two pictures that are wider than high."""
    return Both("vgg16", (2, 3, 48, 80))


@pytest.fixture(scope="module")
def single():
    """One picture, higher than wide, given without a batch axis."""
    both = Both("vgg16", (1, 3, 70, 40))
    both.tape = both.net.forward(both.tape.input[0], keep=RELUS)
    return both


def expected_map(raw: np.ndarray, size, method="half_pixel", region=None) -> np.ndarray:
    """ReLU (CAMs) or greatest absolute value over channels; resize; min-max where seen."""
    evidence = np.maximum(raw, 0) if raw.ndim == 2 else np.abs(raw).max(axis=0)
    on_picture = reference.resize_to_picture(evidence, size, method, region)
    seen = reference.resize(np.ones((1, 1)), size, "nearest", region) > 0
    on_picture[seen] = reference.normalise(on_picture[seen])
    return on_picture


# --- numbers ---


@pytest.mark.parametrize("on", ["score", "probability"])
@pytest.mark.parametrize("method", METHODS)
def test_a_class_for_each_picture(method, on, wide):
    for n, explanation in enumerate(wide.tape.explain(method, [3, 7], on=on)):
        wide.check(explanation, method, n, [3, 7][n], on)


@pytest.mark.parametrize("method", METHODS)
def test_one_class_for_all_pictures(method, wide):
    for n, explanation in enumerate(getattr(wide.tape, method)(4)):
        wide.check(explanation, method, n, 4)


@pytest.mark.parametrize("method", METHODS)
def test_the_top_class_is_the_default(method, wide):
    top = wide.record.outputs[wide.numbers["fc8"]].argmax(axis=1)
    for n, explanation in enumerate(wide.tape.explain(method)):
        wide.check(explanation, method, n, top[n])


@pytest.mark.parametrize("method", METHODS)
def test_several_classes_of_one_picture(method, single):
    classes = [2, 9, 2]
    found = single.tape.explain(method, classes)
    assert isinstance(found, list) and len(found) == 3
    for index, explanation in zip(classes, found, strict=True):
        single.check(explanation, method, 0, index)
    alone = single.tape.explain(method, 9)
    assert isinstance(alone, gradcam.Explanation)
    assert_close(alone.raw, found[1].raw, "network")


@pytest.mark.parametrize("method", ["saliency", "grad_cam", "guided_grad_cam"])
def test_lists_of_different_lengths_in_a_batch(method, wide):
    found = wide.tape.explain(method, [[1, 2, 3], 5])
    assert isinstance(found[0], list) and isinstance(found[1], gradcam.Explanation)
    for index, explanation in zip([1, 2, 3], found[0], strict=True):
        wide.check(explanation, method, 0, index)
    wide.check(found[1], method, 1, 5)


@pytest.mark.parametrize(
    "layer",
    ["conv1_1", "relu1_1", "pool2", "conv3_2", "relu4_3", "conv5_3", "pool5", "avgpool"],
)
@pytest.mark.parametrize("method", CAM_METHODS)
def test_any_layer_with_a_map(method, layer, wide):
    for n, explanation in enumerate(wide.tape.explain(method, [3, 7], layer=layer)):
        assert explanation.layer == layer
        wide.check(explanation, method, n, [3, 7][n], layer=layer)


@pytest.mark.parametrize("name", vggs.NAMES)
def test_every_vgg(name):
    both = Both(name, (1, 3, 32, 64))
    for method in METHODS:
        (explanation,) = both.tape.explain(method, [6])
        both.check(explanation, method, 0, 6)


def test_all_names_of_a_layer_are_one_layer(single):
    found = [
        single.tape.grad_cam(1, layer=layer) for layer in ("relu5_3", "features.29", "block5_conv3")
    ]
    assert {explanation.layer for explanation in found} == {"relu5_3"}
    np.testing.assert_array_equal(found[0].raw, found[1].raw)
    np.testing.assert_array_equal(found[0].raw, found[2].raw)


def test_counterfactual_is_grad_cam_negated(wide):
    for cam, against in zip(wide.tape.grad_cam(3), wide.tape.counterfactual(3), strict=True):
        np.testing.assert_allclose(against.raw, -cam.raw, rtol=1e-6)
        np.testing.assert_allclose(against.weights, -cam.weights, rtol=1e-6)


def test_grad_cam_by_hand(single):
    """alpha and the sum, from nothing but the tape's own activation and gradient."""
    cam = single.tape.grad_cam(5)
    maps, gradient = single.tape.activation("relu5_3"), single.tape.gradient(5, "relu5_3")
    alpha = gradient[0].mean(axis=(1, 2))
    np.testing.assert_allclose(cam.weights, alpha, rtol=1e-4, atol=1e-7)
    assert_close(cam.raw, np.tensordot(alpha, maps[0], 1), "network")


@pytest.mark.parametrize("on", ["score", "probability"])
@pytest.mark.parametrize("rule", ["gradient", "guided", "deconvnet"])
@pytest.mark.parametrize("layer", ["input", "relu3_1", "pool5", "fc7"])
def test_gradient(layer, rule, on, wide):
    output = wide.numbers["fc8" if on == "score" else "prob"]
    seeds = reference.class_seeds(wide.record, output, [3, 7])
    (expected,) = wide.record.backward(output, seeds, [wide.numbers[layer]], rule)
    found = wide.tape.gradient([3, 7], layer, rule=rule, on=on)
    assert_close(found, expected[0], "network")


def test_gradients_of_several_classes(single):
    found = single.tape.gradient([3, 7], "pool5")
    assert found.shape == (2, 1, 32, 2, 1)
    for index, gradient in zip([3, 7], found, strict=True):
        assert_close(gradient, single.tape.gradient(index, "pool5"), "network")


def test_backward_from_anywhere(wide):
    rng = np.random.default_rng(2)
    seeds = rng.standard_normal((3, 2, 20))
    wanted = ["relu4_1", "input", "relu6"]
    numbers = [wide.numbers[name] for name in wanted]
    expected = wide.record.backward(wide.numbers["fc7"], seeds, numbers, "guided")
    found = wide.tape.backward("fc7", seeds, wanted, "guided")
    for ours, right in zip(found, expected, strict=True):
        assert_close(ours, right, "network")


def test_one_tape_serves_all_methods_in_any_order(wide):
    first = [wide.tape.explain(method, 3)[0].raw for method in METHODS]
    again = [wide.tape.explain(method, 3)[0].raw for method in reversed(METHODS)]
    for one, other in zip(first, reversed(again), strict=True):
        np.testing.assert_array_equal(one, other)


# --- maps on the original picture ---


@pytest.mark.parametrize("method", METHODS)
def test_the_map_of_preprocessed_input(method, wide):
    for explanation in wide.tape.explain(method, 3):
        assert explanation.map.dtype == np.float32
        assert explanation.map.min() == 0 and explanation.map.max() == 1
        np.testing.assert_allclose(
            explanation.map, expected_map(explanation.raw, (48, 80)), atol=2e-6
        )


@pytest.mark.parametrize("resize", ["half_pixel", "align_corners", "nearest"])
def test_ways_to_resize(resize, wide):
    (cam, _) = wide.tape.grad_cam(3, resize=resize)
    np.testing.assert_allclose(cam.map, expected_map(cam.raw, (48, 80), resize), atol=2e-6)
    (guided, _) = wide.tape.guided_grad_cam(3, resize=resize)
    expected = reference.combined(
        wide.record,
        wide.numbers["fc8"],
        wide.numbers["relu5_3"],
        [3, 3],
        "guided",
        resize,
    )
    assert_close(guided.raw, expected[0], "network")


def seen_by_torchvision(height: int, width: int) -> tuple[float, float, float, float]:
    """Resize(256), CenterCrop(224): the part of the picture that remains, in its own pixels."""
    if height <= width:
        scaled = 256, int(256 * width / height)
    else:
        scaled = int(256 * height / width), 256
    top, left = (round((side - 224) / 2) for side in scaled)
    y, x = height / scaled[0], width / scaled[1]
    return top * y, left * x, (top + 224) * y, (left + 224) * x


PICTURE_SIZES = [(224, 224), (256, 256), (300, 150), (97, 211), (512, 384), (40, 500)]


@pytest.mark.parametrize("method", ["grad_cam", "saliency", "guided_grad_cam"])
@pytest.mark.parametrize("size", PICTURE_SIZES, ids=str)
def test_the_map_lies_where_the_centre_crop_was(size, method, narrow):
    tape = narrow.forward(vggs.picture(*size))
    explanation = tape.explain(method, 3)
    region = seen_by_torchvision(*size)
    assert explanation.map.shape == size
    np.testing.assert_allclose(
        explanation.map, expected_map(explanation.raw, size, region=region), atol=2e-5
    )
    rows, columns = np.arange(size[0]) + 0.5, np.arange(size[1]) + 0.5
    outside = np.ones(size, bool)
    inside_rows = (rows >= region[0]) & (rows <= region[2])
    inside_columns = (columns >= region[1]) & (columns <= region[3])
    outside[np.ix_(inside_rows, inside_columns)] = False
    assert not explanation.map[outside].any()


@pytest.mark.parametrize("size", PICTURE_SIZES, ids=str)
def test_the_map_covers_the_picture_without_a_crop(size, narrow_straight):
    explanation = narrow_straight.forward(vggs.picture(*size)).grad_cam(3)
    np.testing.assert_allclose(explanation.map, expected_map(explanation.raw, size), atol=2e-5)


@pytest.fixture(scope="module")
def narrow():
    return gradcam.vgg16(vggs.tensors())


@pytest.fixture(scope="module")
def narrow_straight():
    return gradcam.vgg16(vggs.tensors(), preset="torchvision-straight")


@pytest.mark.parametrize("size", [(1, 1), (1, 60), (60, 1), (2, 300), (180, 3)], ids=str)
@pytest.mark.filterwarnings("ignore::gradcam.FlatMapWarning")
@pytest.mark.parametrize("method", ["grad_cam", "guided_backprop"])
def test_slivers(method, size, narrow):
    """The crop may show less than one pixel of them: still a map, and no error."""
    explanation = narrow.forward(vggs.picture(*size)).explain(method, 3)
    assert explanation.map.shape == size
    assert np.isfinite(explanation.map).all() and explanation.map.max() <= 1
    assert explanation.image.shape == (*size, 3)


def test_rows_stay_rows():
    """A map that is bright at the top is bright at the top of a wide picture."""
    raw = np.zeros((3, 3), np.float32)
    raw[0] = 1
    geometry = Geometry.straight((60, 200), (224, 224))
    on_picture = geometry.to_picture(raw)
    assert on_picture.shape == (60, 200)
    assert (on_picture[:10] > 0.9).all() and not on_picture[40:].any()


def test_each_map_is_normalised_by_itself(wide):
    """Not the batch as a whole: both maps span 0 to 1."""
    for explanation in wide.tape.grad_cam([3, 7]):
        assert explanation.map.min() == 0 and explanation.map.max() == 1


def test_a_batch_of_different_pictures(narrow):
    pictures = [vggs.picture(97, 211), vggs.picture(150, 80, seed=1)]
    together = narrow.forward(pictures).grad_cam([3, 7])
    for picture, index, explanation in zip(pictures, [3, 7], together, strict=True):
        alone = narrow.forward(picture).grad_cam(index)
        assert explanation.map.shape == picture.shape[:2]
        np.testing.assert_array_equal(explanation.picture, picture)
        assert_close(explanation.raw, alone.raw, "network")
        np.testing.assert_allclose(explanation.map, alone.map, atol=1e-4)


def test_relu_before_resizing_before_normalising(single):
    """The order matters where the raw map has both signs; here it has."""
    cams = [single.tape.grad_cam(index) for index in range(10)]
    both_signs = [cam for cam in cams if cam.raw.min() < 0 < cam.raw.max()]
    assert both_signs, "random networks give maps of both signs"
    for cam in both_signs:
        np.testing.assert_allclose(cam.map, expected_map(cam.raw, (70, 40)), atol=2e-6)


# --- flat maps ---


def dead_network():
    """Its last convolution gives nothing: every map is flat."""
    tensors = vggs.tensors()
    tensors["features.28.weight"][:] = 0
    tensors["features.28.bias"][:] = -1
    return gradcam.vgg16(tensors)


# The deconvnet does not ask whether units were active, so its map is not flat here.
@pytest.mark.parametrize("method", [each for each in METHODS if each != "deconvnet"])
def test_flat_maps_warn_and_stay_zero(method):
    explanation = dead_network().forward(vggs.picture(80, 60)).explain(method, 1)
    with pytest.warns(FlatMapWarning, match=method):
        flat = explanation.map
    assert flat.shape == (80, 60) and not flat.any()
    assert explanation.box() is None
    assert explanation.image.shape == (80, 60, 3)


def test_a_map_without_positive_evidence_is_flat(single):
    """ReLU leaves nothing of it; the counterfactual then sees it."""
    cams = [single.tape.grad_cam(index) for index in range(10)]
    cams += [single.tape.counterfactual(index) for index in range(10)]
    negative = [cam for cam in cams if cam.raw.max() <= 0]
    assert negative, "some random class has none"
    for cam in negative:
        with pytest.warns(FlatMapWarning):
            assert not cam.map.any()
    for cam in cams:
        if cam.raw.max() > 1e-3:
            with warnings.catch_warnings():
                warnings.simplefilter("error", FlatMapWarning)
                assert cam.map.max() == 1


# --- targets ---


def imagenet_tape():
    net = gradcam.vgg11(vggs.tensors("vgg11", divide=32, classes=1000))
    return net.forward(np.random.default_rng(0).standard_normal((3, 32, 64)))


@pytest.mark.parametrize("target", [282, "tiger cat", "tiger_cat", "Tiger Cat", "n02123159"])
def test_a_class_by_index_label_or_synset(target):
    cam = imagenet_tape().grad_cam(target)
    assert (cam.target.index, cam.target.synset) == (282, "n02123159")
    assert cam.target.label == "tiger_cat"


def test_numpy_integers_are_indices(single):
    assert single.tape.grad_cam(np.int64(3)).target.index == 3
    found = single.tape.grad_cam(np.array([3, 4]))
    assert [cam.target.index for cam in found] == [3, 4]


@pytest.mark.parametrize("name, indices", [("crane", (134, 517)), ("maillot", (638, 639))])
def test_ambiguous_labels_list_their_classes(name, indices):
    with pytest.raises(ValueError) as caught:
        imagenet_tape().grad_cam(name)
    for index in indices:
        assert str(index) in str(caught.value)
    assert str(caught.value).count("n0") == 2


@pytest.mark.parametrize(
    "given, near", [("tigercatt", "tiger_cat"), ("gold fish", "goldfish"), ("boxxer", "boxer")]
)
def test_unknown_classes_name_the_nearest(given, near):
    tape = imagenet_tape()
    if given == "gold fish":
        assert tape.grad_cam(given).target.label == near
        return
    with pytest.raises(ValueError, match=near):
        tape.grad_cam(given)


BAD_TARGETS = {
    "beyond the last": (IndexError, 10),
    "negative": (IndexError, -1),
    "far beyond": (IndexError, 2**70),
    "a bool": (TypeError, True),
    "a float": (TypeError, 3.0),
    "an object": (TypeError, object()),
    "a dict": (TypeError, {"class": 3}),
    "an unknown label": (ValueError, "no such class at all"),
    "an empty label": (ValueError, ""),
    "an empty list": (ValueError, []),
    "a list with a bad one": (IndexError, [3, 10]),
    "a float in an array": (TypeError, np.array([1.0, 2.0])),
}


@pytest.mark.parametrize("method", ["saliency", "grad_cam", "guided_grad_cam"])
@pytest.mark.parametrize("name", BAD_TARGETS)
def test_bad_targets_are_refused(name, method, single):
    error, target = BAD_TARGETS[name]
    with pytest.raises(error):
        single.tape.explain(method, target)


@pytest.mark.parametrize("target", [[3], [3, 4, 5], [], [[3, 4]], (1, 2, 3)], ids=str)
@pytest.mark.parametrize("method", METHODS)
def test_targets_that_do_not_fit_the_batch_are_refused(method, target, wide):
    """Never cut to the batch's length, never repeated."""
    with pytest.raises(ValueError):
        wide.tape.explain(method, target)


# --- refusals ---


@pytest.mark.parametrize("layer", ["fc6", "relu7", "flatten", "prob", "fc8", "predictions"])
@pytest.mark.parametrize("method", CAM_METHODS)
def test_layers_without_a_map_are_refused(method, layer, single):
    with pytest.raises(ValueError, match="relu5_3"):
        single.tape.explain(method, 3, layer=layer)


def test_options_that_do_not_exist_are_refused(single):
    tape = single.tape
    with pytest.raises(ValueError, match="half_pixel"):
        tape.grad_cam(3, resize="bicubic")
    with pytest.raises(ValueError, match="probability"):
        tape.grad_cam(3, on="logit")
    with pytest.raises(ValueError, match="grad_cam"):
        tape.explain("gradcam++", 3)
    with pytest.raises(ValueError):
        tape.gradient(3, rule="lrp")
    with pytest.raises(TypeError):
        tape.grad_cam(3, layers="relu5_3")


@pytest.mark.parametrize("name", ["Grad-CAM", "grad cam", "GRAD_CAM"])
def test_methods_by_other_spellings(name, single):
    assert single.tape.explain(name, 3).method == "grad_cam"


def test_a_refusal_leaves_the_tape_usable(single):
    before = single.tape.grad_cam(3).raw
    for bad in ("no such class", 99, True):
        with pytest.raises((ValueError, IndexError, TypeError)):
            single.tape.grad_cam(bad)
    np.testing.assert_array_equal(single.tape.grad_cam(3).raw, before)


# --- boxes ---


def flood(mask: np.ndarray) -> list[tuple[int, tuple[int, int, int, int]]]:
    """(size, box) of each 4-connected segment, by flood filling."""
    left, found = mask.copy(), []
    for start in zip(*np.nonzero(mask), strict=True):
        if not left[start]:
            continue
        stack, segment = [start], []
        left[start] = False
        while stack:
            y, x = stack.pop()
            segment.append((y, x))
            for place in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
                if 0 <= place[0] < mask.shape[0] and 0 <= place[1] < mask.shape[1] and left[place]:
                    left[place] = False
                    stack.append(place)
        ys, xs = zip(*segment, strict=True)
        found.append((len(segment), (min(xs), min(ys), max(xs) + 1, max(ys) + 1)))
    return found


@pytest.mark.parametrize("density", [0.02, 0.3, 0.5, 0.6, 0.8, 1.0])
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (7, 12), (40, 31)], ids=str)
def test_largest_segment(shape, density):
    rng = np.random.default_rng(5)
    for _ in range(20):
        mask = rng.uniform(size=shape) < density
        segments = flood(mask)
        found = largest_segment(mask)
        if not segments:
            assert found is None
            continue
        largest = max(size for size, _ in segments)
        assert found in [box for size, box in segments if size == largest]


def test_largest_segment_of_a_spiral():
    """Long and winding: joined in the end."""
    mask = np.zeros((61, 61), bool)
    y = x = 0
    dy, dx, length = 0, 1, 60
    while length > 0:
        for _ in range(2):
            for _ in range(length):
                mask[y, x] = True
                y, x = y + dy, x + dx
            dy, dx = dx, -dy
        length -= 2
    assert largest_segment(mask) == (0, 0, 61, 61)
    assert len(flood(mask)) == 1


@pytest.mark.parametrize("threshold", [0.15, 0.5, 1.0])
def test_box(threshold, narrow):
    cam = narrow.forward(vggs.picture(97, 211)).grad_cam(3)
    segments = flood(cam.map >= threshold * cam.map.max())
    largest = max(size for size, _ in segments)
    box = cam.box(threshold)
    assert box in [each for size, each in segments if size == largest]
    assert all(type(side) is int for side in box)
    if threshold == 0.15:
        assert cam.box() == box


@pytest.mark.parametrize("threshold", [0, -0.1, 1.1, np.nan])
def test_bad_thresholds_are_refused(threshold, narrow):
    with pytest.raises(ValueError):
        narrow.forward(vggs.picture(60, 60)).grad_cam(3).box(threshold)


# --- showing and saving ---


@pytest.mark.parametrize("method", METHODS)
def test_image_and_display(method, narrow):
    explanation = narrow.forward(vggs.picture(90, 120)).explain(method, 3)
    assert explanation.image.shape == (90, 120, 3) and explanation.image.dtype == np.uint8
    shown = Image.open(io.BytesIO(explanation._repr_png_()))
    assert shown.format == "PNG"
    assert shown.width / shown.height == pytest.approx(120 / 90, rel=0.02)
    assert method in repr(explanation)


@pytest.mark.parametrize("method", METHODS)
def test_png_round_trip(method, narrow, tmp_path):
    explanation = narrow.forward(vggs.picture(90, 120)).explain(method, 3)
    path = tmp_path / "out.png"
    explanation.save(path)
    np.testing.assert_array_equal(np.asarray(Image.open(path)), explanation.image)
    assert [each.name for each in tmp_path.iterdir()] == ["out.png"]


@pytest.mark.parametrize("method", METHODS)
def test_npz_round_trip(method, narrow, tmp_path):
    explanation = narrow.forward(vggs.picture(90, 120)).explain(method, "class_3")
    path = tmp_path / "out.npz"
    explanation.save(str(path))
    with np.load(path) as saved:
        np.testing.assert_array_equal(saved["raw"], explanation.raw)
        np.testing.assert_array_equal(saved["map"], explanation.map)
        assert ("weights" in saved) == (explanation.weights is not None)
        if explanation.weights is not None:
            np.testing.assert_array_equal(saved["weights"], explanation.weights)
        assert saved["method"] == method and saved["label"] == "class_3"
        assert saved["target"] == 3 and saved["layer"] == explanation.layer
        assert saved["score"] == explanation.score
        assert saved["probability"] == explanation.probability


def test_saving_elsewhere_is_refused(narrow, tmp_path):
    explanation = narrow.forward(vggs.picture(60, 60)).grad_cam(3)
    for name in ("out.gif", "out", "out.npy"):
        with pytest.raises(ValueError, match=r"\.png"):
            explanation.save(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        explanation.save(tmp_path / "no such folder" / "out.png")
    assert not list(tmp_path.iterdir())


def test_saving_replaces_a_file_whole(narrow, tmp_path):
    path = tmp_path / "out.png"
    path.write_bytes(b"old")
    explanation = narrow.forward(vggs.picture(60, 60)).grad_cam(3)
    explanation.save(path)
    assert Image.open(path).size == (60, 60)


def test_guided_pictures_show_rgb_whatever_the_network_reads():
    """A BGR network's red gradients are shown red."""
    tensors = vggs.tensors()
    flipped = dict(tensors)
    flipped["features.0.weight"] = tensors["features.0.weight"][:, ::-1].copy()
    picture = vggs.picture(224, 224)
    rgb = gradcam.vgg16(tensors, preset="torchvision-straight").forward(picture)
    # The same network with its colours turned, given the same numbers.
    bgr = gradcam.vgg16(flipped, preset="caffe").forward(rgb.input[0, ::-1].copy())
    one, other = rgb.guided_backprop(3), bgr.guided_backprop(3)
    assert_close(one.raw, other.raw[::-1], "network")
    assert np.abs(one.image.astype(int) - other.image.astype(int)).max() <= 1


def test_the_picture_of_preprocessed_input_is_rendered_back(narrow_straight):
    picture = vggs.picture(224, 224)
    x = narrow_straight.forward(picture).input
    cam = narrow_straight.forward(x[0]).grad_cam(3)
    assert np.abs(cam.picture.astype(int) - picture.astype(int)).max() <= 1


# --- full width ---


@pytest.mark.slow
def test_the_full_vgg16():
    """224x224 and all 138 million weights, on the network's own decisions."""
    tensors = vggs.tensors(divide=1, hidden=(4096, 4096), classes=1000)
    both = Both("vgg16", (1, 3, 224, 224), tensors=tensors)
    scores = both.record.outputs[both.numbers["fc8"]]
    assert largest_difference(both.tape.scores, scores) < 2e-5
    for method in METHODS:
        (found,) = both.tape.explain(method, [282])
        raw, alpha = both.raw(method, [282])
        assert largest_difference(found.raw, raw[0]) < 2e-5, method
        if alpha is not None:
            assert largest_difference(found.weights, alpha[0]) < 2e-5, method


# --- the shortcuts of the package ---


def test_explain_takes_any_network(narrow):
    picture = vggs.picture(80, 60)
    found = gradcam.explain(picture, 3, "saliency", network=narrow)
    np.testing.assert_array_equal(found.raw, narrow.forward(picture).saliency(3).raw)


def test_batches_and_levels_agree(cpu_level, wide):
    """At every CPU level, the whole way through Python."""
    tape = wide.net.forward(wide.tape.input, keep=RELUS)
    decisions = {wide.numbers[name]: tape.activation(name) for name in RELUS}
    record = wide.twin.forward(tape.input, decisions)
    alpha, cam = reference.grad_cam(record, wide.numbers["fc8"], wide.numbers["relu5_3"], [3, 7])
    found = tape.grad_cam([3, 7])
    assert_close(np.stack([each.raw for each in found]), cam, "network")
    assert_close(np.stack([each.weights for each in found]), alpha, "network")
    assert _core.cpu_level() == cpu_level


# --- what must not happen silently ---


def test_a_small_picture_averages_what_falls_on_one_pixel(narrow_straight):
    explanation = narrow_straight.forward(vggs.picture(40, 64)).saliency(3)
    expected = expected_map(explanation.raw, (40, 64))
    np.testing.assert_allclose(explanation.map, expected, atol=2e-5)
    point_samples = reference.normalise(reference.resize(explanation.evidence, (40, 64)))
    assert np.abs(point_samples - expected).max() > 0.1


def test_results_cannot_be_changed(narrow):
    tape = narrow.forward(vggs.picture(70, 50))
    explanation = tape.grad_cam(3)
    for array in (tape.scores, tape.probabilities, explanation.raw, explanation.map):
        with pytest.raises(ValueError, match="read-only"):
            array[:] = 0


def test_an_explanation_does_not_hold_the_whole_batch(narrow):
    explanations = narrow.forward([vggs.picture(70, 50)] * 3).saliency([1, 2, 3])
    assert all(explanation.raw.base is None for explanation in explanations)


def test_overflow_is_an_error_and_no_flat_map(narrow):
    with pytest.raises(ValueError, match="not finite"):
        narrow.forward(np.full((1, 3, 224, 224), 1e38, np.float32)).grad_cam(1)


def test_an_empty_layer_name_is_no_default(narrow):
    with pytest.raises(ValueError, match="no layer is called"):
        narrow.forward(vggs.picture(70, 50)).grad_cam(1, layer="")


@pytest.mark.parametrize("preprocessed", [False, True])
def test_an_explanation_can_run_its_pass_again(preprocessed):
    network = pictograms.model()
    pictures = [pictograms.scene(seed, size=(120, 200)).picture for seed in (1, 2)]
    tape = network.forward(pictures)
    if preprocessed:
        tape = network.forward(tape.input)
    explanation = tape.grad_cam(["cat", "dog"], layer="relu4_3")[1]
    origin = explanation.origin
    assert origin is not None and origin.layers == ("relu4_3",)
    again = origin.forward()
    np.testing.assert_array_equal(again.input[0], tape.input[1])
    assert again.explain(origin.method, origin.objective, layer=origin.layers[0]) == explanation
    assert pickle.loads(pickle.dumps(explanation)).origin is None
