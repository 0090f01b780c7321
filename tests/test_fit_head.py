"""Classifiers of your own: what is learnt, how it is tested, the network that results."""

from __future__ import annotations

import copy
import pickle
import shutil
from dataclasses import replace

import new_classes
import numpy as np
import pytest
import small_pictograms
from PIL import Image

import gradcam
from gradcam import Layer, Network, PictureError
from gradcam._codes import pooled_codes
from gradcam._heads.examples import Examples, assign_folds, examples
from gradcam._heads.regression import fit, standard
from gradcam._methods.bootstrap import share

pytest.importorskip("sklearn", reason="a classifier is trained with scikit-learn")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three classes of ten pictures of 64 x 64."""
    return new_classes.write(tmp_path_factory.mktemp("things"), 3, 10, 64)


@pytest.fixture(scope="module")
def source():
    return small_pictograms.network()


@pytest.fixture(scope="module")
def network(source, folder):
    return gradcam.fit_head(source, folder)


def files(folder):
    return sorted(folder.rglob("*.png"))


def predict_proba(codes, numbers, c):
    """scikit-learn's own answer."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    regression = LogisticRegression(C=c, tol=1e-9, max_iter=100_000)
    return make_pipeline(StandardScaler(), regression).fit(codes, numbers).predict_proba(codes)


def tiny_resnet():
    """A block with a shortcut; its scores have no softmax."""
    rng = np.random.default_rng(2)

    def kernel(out, channels, side):
        scale = (2 / (channels * side * side)) ** 0.5
        return {"weight": (scale * rng.normal(size=(out, channels, side, side))).astype(np.float32)}

    layers = [
        Layer("stem", "conv", weights=kernel(12, 3, 5), attributes={"stride": 4}),
        Layer("relu", "relu"),
        Layer("branch", "conv", weights=kernel(12, 12, 3), attributes={"padding": 1}),
        Layer("sum", "add", ("branch", "relu")),
        Layer("relu2", "relu"),
        Layer("pool", "global_average_pool"),
        Layer("flat", "flatten"),
        Layer("drop", "dropout"),
        Layer("fc", "linear", weights={"weight": rng.normal(size=(4, 12)).astype(np.float32)}),
    ]
    return Network.from_layers(layers, preset="0..1", target_layer="relu2")


def imagenet():
    if not gradcam.imagenet.is_installed():
        pytest.skip("gradcam[imagenet] is not installed")
    return gradcam.imagenet.model()


NETWORKS = {
    "small": (small_pictograms.network, "flatten"),
    "resnet": (tiny_resnet, "flat"),
    "pictograms": (gradcam.pictograms.model, "relu5_3"),
    "gap": (gradcam.pictograms.gap_model, "flatten"),
    "imagenet": (imagenet, "flatten"),
}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("classes", [2, 3])
def test_probabilities_are_those_of_scikit_learn(name, classes, folder):
    make, layer = NETWORKS[name]
    source, c = make(), 0.05
    pictures = [path for path in files(folder) if path.parent.name < f"thing_{classes}"]
    labels = [path.parent.name for path in pictures]
    trained = gradcam.fit_head(source, pictures, labels, C=c, folds=2)
    assert trained.training.layer == layer
    codes = pooled_codes(source, pictures, layer).values
    expected = predict_proba(codes.astype(np.float64), labels, c)
    tape = trained.forward(pictures)
    np.testing.assert_allclose(tape.probabilities, expected, atol=1e-5)
    if classes == 2:
        np.testing.assert_allclose(tape.scores.sum(1), 0, atol=1e-4)


@pytest.mark.parametrize("layer", ["conv", "pool", "scores", "prob", "input"])
def test_any_layer_has_codes(source, folder, layer):
    pictures = files(folder)
    trained = gradcam.fit_head(source, folder, layer=layer, C=0.1)
    codes = pooled_codes(source, pictures, layer).values.astype(np.float64)
    expected = predict_proba(codes, [path.parent.name for path in pictures], 0.1)
    np.testing.assert_allclose(trained.forward(pictures).probabilities, expected, atol=1e-5)
    assert trained.training.layer == layer


def test_the_network_is_the_old_one_with_another_end(source, network):
    assert [target.label for target in network.labels] == ["thing_0", "thing_1", "thing_2"]
    assert list(network.layers) == [*list(source.layers)[:-2], "scores", "prob"]
    assert network.preset == source.preset and network.target_layer == "relu"
    assert network.layers["conv"].weights["weight"] is source.layers["conv"].weights["weight"]
    assert network.name == "network-head"
    assert gradcam.fit_head(source, two() + two(1), list("aabb"), name="noise").name == "noise"
    cut = gradcam.fit_head(source, two() + two(5), list("aabb"), layer="conv")
    assert cut.target_layer == "conv" and list(cut.layers)[1:3] == ["conv", "average"]


def two(seed=0):
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 256, (64, 64, 3), np.uint8) for _ in range(2)]


def test_layers_that_do_not_feed_the_code_are_left_out():
    resnet = tiny_resnet()
    trained = gradcam.fit_head(resnet, two() + two(1), list("aabb"), layer="relu", size=64)
    assert list(trained.layers) == ["input", "stem", "relu", "average", "code", "scores", "prob"]
    assert trained.target_layer == "relu"


def test_every_method_explains_it(network, folder):
    tape = network.forward(files(folder)[0])
    cam, grad_cam = tape.cam("thing_1").raw, tape.grad_cam("thing_1", layer="pool").raw
    np.testing.assert_allclose(cam / cam.size, grad_cam, rtol=1e-4, atol=1e-6)
    for method in ("saliency", "lrp", "occlusion", "guided_grad_cam", "score_cam"):
        found = tape.explain(method, "thing_2")
        assert found.map.shape == (64, 64) and found.label == "thing_2"


def test_it_is_pickled_with_its_training(network, folder):
    picture = files(folder)[3]
    again = pickle.loads(pickle.dumps(network))
    assert isinstance(again, gradcam.TrainedNetwork)
    np.testing.assert_array_equal(again.forward(picture).scores, network.forward(picture).scores)
    assert again.training.accuracy == network.training.accuracy
    assert again.about == network.about and copy.deepcopy(network) is network


def test_a_file_has_equal_scores(network, folder, tmp_path):
    path = tmp_path / "things.safetensors"
    gradcam.weights.save(network, path)
    loaded = gradcam.load(path)
    pictures = files(folder)[::5]
    np.testing.assert_array_equal(loaded.forward(pictures).scores, network.forward(pictures).scores)
    assert loaded.labels[0].label == "thing_0" and loaded.target_layer == network.target_layer
    assert loaded.about == network.about
    assert "its 3 classes were learnt from 30 pictures, on layer flatten of network" in loaded.about
    assert not hasattr(loaded, "training")


# ------------------------------------------------------------------------ accuracy


def test_held_out_pictures_are_not_learnt_from(source, folder, network):
    """Each probability is that of a regression on the other folds, with a C chosen there."""
    training = network.training
    codes = pooled_codes(source, files(folder)).values.astype(np.float64)
    for fold, c in enumerate(training.strengths):
        out = training.fold == fold
        both = np.concatenate([codes[~out], codes[out]])
        expected = fit_and_predict(codes[~out], training.numbers[~out], both, c)[sum(~out) :]
        np.testing.assert_allclose(training.probabilities[out], expected, atol=1e-4)
        assert c == best_strength(codes[~out], training.numbers[~out], training.fold[~out])
    assert best_strength(codes, training.numbers, training.fold) == training.C


def fit_and_predict(codes, numbers, others, c):
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    regression = LogisticRegression(C=c, tol=1e-9, max_iter=100_000)
    return make_pipeline(StandardScaler(), regression).fit(codes, numbers).predict_proba(others)


def best_strength(codes, numbers, folds):
    """The C of the first minimum of the log loss, by a second cross-validation."""
    losses = []
    for c in (1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0, 100.0):
        loss = 0
        for fold in np.unique(folds):
            out = folds == fold
            found = fit_and_predict(codes[~out], numbers[~out], codes[out], c)
            loss -= np.log(found[np.arange(out.sum()), numbers[out]]).sum()
        if losses and loss >= losses[-1][0]:
            break
        losses.append((loss, c))
    return losses[-1][1]


def test_labels_without_meaning_are_right_by_chance():
    """What was learnt from a picture must not help with this picture."""
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (64, 64, 3), np.uint8) for _ in range(36)]
    labels = ["even", "odd"] * 18
    trained = gradcam.fit_head(gradcam.pictograms.model(), pictures, labels, C=1e4)
    learnt = [labels[n] == each[0][1] for n, each in enumerate(trained.predict(pictures, 1))]
    assert np.mean(learnt) == 1  # a code has more values than there are pictures
    assert 0.2 < trained.training.accuracy < 0.8 and trained.training.chance == 0.5


def test_what_training_says(network):
    training = network.training
    right = training.predicted == training.numbers
    assert training.accuracy == right.mean() == training.confusion.trace() / 30
    assert training.interval == share(int(right.sum()), 30)
    assert training.counts == {"thing_0": 10, "thing_1": 10, "thing_2": 10}
    assert np.mean(training.per_fold) == pytest.approx(training.accuracy)
    assert len(training.wrong) == 30 - right.sum() > 0
    assert all(each.label != each.predicted for each in training.wrong)
    confidences = [each.probability for each in training.wrong]
    assert confidences == sorted(confidences, reverse=True)
    assert training.recall["thing_1"] == training.confusion[1, 1] / 10
    np.testing.assert_allclose(training.probabilities.sum(1), 1)
    assert "of 30 held-out pictures are right (95 % interval" in training.finding
    assert training.finding in repr(training) and training.seconds > 0


def test_the_figure(network):
    figure = network.training.plot()
    (axes,) = figure.axes
    numbers = {text.get_text() for text in axes.texts}
    assert numbers == {str(each) for each in network.training.confusion.flat if each}
    assert figure._repr_png_()[:4] == b"\x89PNG"


def test_wilson_interval():
    """Compared with the roots of (p - x)^2 = z^2 x (1 - x) / n."""
    for count, size in ((0, 10), (3, 10), (10, 10), (467, 480)):
        p, z2 = count / size, 1.959963984540054**2
        roots = np.roots([1 + z2 / size, -2 * p - z2 / size, p * p])
        found = share(count, size)
        np.testing.assert_allclose([found.low, found.high], sorted(roots.real), atol=1e-12)
        assert 0 <= found.low <= p <= found.high <= 1
    assert np.isnan(share(0, 0).mean)


def test_the_seed_deals_the_folds(source, folder, network):
    again = gradcam.fit_head(source, folder, seed=0)
    np.testing.assert_array_equal(again.training.probabilities, network.training.probabilities)
    other = gradcam.fit_head(source, folder, seed=1).training
    assert (other.fold != network.training.fold).any()
    for fold in range(5):  # ten pictures of each class in five folds
        assert np.bincount(other.numbers[other.fold == fold]).tolist() == [2, 2, 2]


# ------------------------------------------------------------------------ pictures


def test_preprocessed_input(source, folder, network):
    pictures = files(folder)
    labels = [path.parent.name for path in pictures]
    trained = gradcam.fit_head(source, source.forward(pictures).input, np.array(labels))
    np.testing.assert_allclose(
        trained.training.probabilities, network.training.probabilities, atol=1e-6
    )
    assert trained.training.sources[:2] == ("picture 1", "picture 2")


def test_few_pictures_make_fewer_folds(source, folder, tmp_path):
    pictures = [*files(folder)[:12]]  # two of the second class
    training = gradcam.fit_head(source, pictures, [path.parent.name for path in pictures]).training
    assert len(training.strengths) == 2 and training.strengths == (0.01, 0.01)
    assert training.notes == (
        "The class 'thing_1' has only 2 different pictures, so that there are 2 folds.",
        "With two folds, C is not chosen: it is 0.01.",
    )
    assert training.C == 0.01  # what was tested is what is returned


def test_copies_that_were_encoded_again_are_held_out_together(source, folder, tmp_path):
    """Their files differ, but not their pixels, and so not their codes."""
    shutil.copytree(folder, tmp_path / "set")
    inside = tmp_path / "set" / "thing_0"
    Image.open(inside / "003.png").save(inside / "copy.bmp")
    training = gradcam.fit_head(source, tmp_path / "set").training
    fold = dict(zip(training.sources, training.fold, strict=True))
    assert fold[str(inside / "003.png")] == fold[str(inside / "copy.bmp")]
    assert "1 picture is the same as another, or has the same code" in training.notes[0]


def test_pictures_with_other_palettes_are_no_copies():
    indices = np.arange(64, dtype=np.uint8).reshape(8, 8) % 4
    pictures = []
    for first in (0, 60, 60):
        picture = Image.fromarray(indices, "L").convert("P")
        picture.putpalette([first + 5 * n for n in range(12)])
        pictures.append(picture)
    given = Examples(("a",), pictures, np.zeros(3, np.int64), ("1", "2", "3"))
    assert given.contents().tolist() == [0, 1, 1]


def far(network, mean):
    """The network with a large number added to its first maps."""
    layers = [each for each in network.layers.values() if each.op != "input"]
    conv = layers[0]
    bias = np.full(len(conv.weights["weight"]), mean, np.float32)
    layers[0] = replace(conv, weights={**conv.weights, "bias": bias})
    return Network.from_layers(layers, labels=network.labels, preset=network.preset)


@pytest.mark.parametrize("layer", [None, "mean", "flatten", "relu"])
@pytest.mark.parametrize("mean", [1e4, 1e5])
def test_codes_with_a_large_mean(source, folder, layer, mean):
    """In float32 the mean would cancel only in part."""
    network, pictures = far(source, mean), files(folder)
    made = gradcam.fit_head(network, folder, layer=layer, folds=3)
    training = made.training
    codes = pooled_codes(network, pictures, training.layer).values.astype(np.float64)
    expected = predict_proba(codes, training.numbers, training.C)
    tape = made.forward(pictures)
    np.testing.assert_allclose(tape.probabilities, expected, atol=2e-4)
    assert made.forward(pictures[0]).cam("thing_1").method == "cam" and not training.doubts


def test_codes_that_are_all_equal(source):
    pictures = [np.full((64, 64, 3), n, np.uint8) for n in range(8)]
    dead = far(source, -1e9)
    with pytest.raises(ValueError, match="the codes of all 8 pictures are equal"):
        gradcam.fit_head(dead, pictures, list("aabbaabb"), layer="relu")


def test_equal_codes_leave_the_frequencies():
    equal = standard(np.full((5, 9), 3.0))
    linear = fit(equal, np.array([0, 0, 1, 2, 2]), 1.0)
    np.testing.assert_allclose(
        np.exp(linear.log_probabilities(np.ones((1, 9)))), [[0.4, 0.2, 0.4]], rtol=1e-12
    )


def test_copies_are_held_out_together(source, folder, tmp_path):
    shutil.copytree(folder, tmp_path / "set")
    for number in range(3):
        path = tmp_path / "set" / "thing_0" / f"{number:03}.png"
        shutil.copy(path, path.with_name(f"copy{number}.png"))
    training = gradcam.fit_head(source, tmp_path / "set").training
    fold = dict(zip(training.sources, training.fold, strict=True))
    for number in range(3):
        inside = tmp_path / "set" / "thing_0"
        assert fold[str(inside / f"{number:03}.png")] == fold[str(inside / f"copy{number}.png")]
    assert training.notes == (
        "3 pictures are the same as another, or have the same code: copies are held out together.",
    )


def test_a_picture_of_several_classes_is_a_warning(source, folder, tmp_path):
    shutil.copytree(folder, tmp_path / "set")
    shutil.copy(tmp_path / "set/thing_0/001.png", tmp_path / "set/thing_2/other.png")
    with pytest.warns(UserWarning, match=r"1 picture is in several classes, .* example .*001\.png "
                                         r"\(thing_0\) and .*other\.png \(thing_2\)"):  # fmt: skip
        training = gradcam.fit_head(source, tmp_path / "set").training
    assert "doubtful" in training.doubts[0]


def test_arrays_and_pillow_images_have_contents():
    picture, other = two()
    image = Image.fromarray(picture)
    pictures = [picture, other, picture.copy(), image, image.copy()]
    given = examples(pictures, list("aabbb"))
    assert given.contents().tolist() == [0, 1, 0, 3, 3]
    with pytest.raises(ValueError, match=r"'a' has 1 different picture, beside those of other"):
        assign_folds(given, given.contents(), 5, 0)


def test_broken_pictures(source, folder, tmp_path):
    shutil.copytree(folder, tmp_path / "set")
    broken = tmp_path / "set/thing_1/004.png"
    broken.write_bytes(b"not a picture")
    with pytest.raises(PictureError, match=r"004\.png"):
        gradcam.fit_head(source, tmp_path / "set")
    training = gradcam.fit_head(source, tmp_path / "set", on_error="skip").training
    assert training.counts["thing_1"] == 9 and len(training.sources) == 29
    ((name, reason),) = training.skipped
    assert name == str(broken) and reason
    for path in files(tmp_path / "set/thing_2")[1:]:
        path.write_bytes(b"no")
    with pytest.raises(ValueError, match="'thing_2' has 1 different picture"):
        gradcam.fit_head(source, tmp_path / "set", on_error="skip")


def test_bad_folders(source, tmp_path):
    with pytest.raises(FileNotFoundError):
        gradcam.fit_head(source, tmp_path / "missing")
    with pytest.raises(ValueError, match="expected a folder for each class"):
        gradcam.fit_head(source, tmp_path)
    new_classes.write(tmp_path / "one", 1, 2, 64)
    with pytest.raises(ValueError, match="all pictures are of one class, 'thing_0'"):
        gradcam.fit_head(source, tmp_path / "one")
    new_classes.write(tmp_path / "few", 2, 1, 64)
    with pytest.raises(ValueError, match="'thing_0' has 1 different picture: it needs two"):
        gradcam.fit_head(source, tmp_path / "few")


def test_bad_labels(source, folder):
    pictures = two() + two(1)
    for labels, match in (
        (None, "a list of pictures needs the name"),
        (list("aab"), "expected one for each of 4 pictures, got 3"),
        (list("aaaa"), "one class"),
        (["Cat", "cat", "Cat", "cat"], "differ only in capitals"),
        (["a b", "a_b", "a b", "a_b"], "differ only in capitals"),
        (["a", "a", "", ""], "is empty"),
    ):
        with pytest.raises(ValueError, match=match):
            gradcam.fit_head(source, pictures, labels)
    for labels in ([0, 0, 1, 1], "aabb", 5):
        with pytest.raises(TypeError, match="labels: expected a list of strings"):
            gradcam.fit_head(source, pictures, labels)
    with pytest.raises(ValueError, match="no pictures"):
        gradcam.fit_head(source, [], [])
    named = gradcam.fit_head(source, pictures, list(np.array(["a", "a", "b", "b"])))
    assert [type(each) for each in named.training.classes] == [str, str]
    with pytest.raises(ValueError, match="labels is for a list"):
        gradcam.fit_head(source, folder, ["a"] * 30)
    with pytest.raises(TypeError, match="a folder for each class, or a list"):
        gradcam.fit_head(source, Image.fromarray(pictures[0]), ["a"])


def test_bad_options(source, folder):
    for options, error in (
        ({"folds": 1}, ValueError),
        ({"folds": 2.5}, TypeError),
        ({"C": 0}, ValueError),
        ({"C": np.inf}, ValueError),
        ({"C": "1"}, TypeError),
        ({"seed": -1}, ValueError),
        ({"layer": "nothing"}, ValueError),
        ({"on_error": "ignore"}, ValueError),
    ):
        with pytest.raises(error):
            gradcam.fit_head(source, folder, **options)
