"""The pictures that a network gets wrong, on a network that sees nothing but three colours."""

from __future__ import annotations

import weakref
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

import gradcam
from gradcam import Labels, Layer, Network, pictograms
from gradcam._annotations.truth import AnnotationError
from gradcam._failures.finding import _Tally
from gradcam._pictures import presets

pytestmark = pytest.mark.filterwarnings("ignore::gradcam.FlatMapWarning")

LABELS = Labels(["red", "green", "light blue"], ["n01", "n02", "n03"])


@pytest.fixture(scope="module")
def network():
    """The score of each class is the mean of one channel."""
    kernel = np.eye(3, dtype=np.float32)[:, :, None, None]
    layers = [
        Layer("conv", "conv", weights={"weight": kernel}),
        Layer("relu", "relu"),
        Layer("mean", "global_average_pool"),
        Layer("scores", "flatten"),
        Layer("prob", "softmax"),
    ]
    preset = replace(presets.find("torchvision-straight"), size=8)
    return Network.from_layers(layers, labels=LABELS, preset=preset, name="colours")


def plain(*colour):
    return np.full((8, 8, 3), colour, np.uint8)


PICTURES = {
    "red/a.png": plain(250, 0, 0),
    "red/b.png": plain(0, 200, 90),  # wrong: green
    "red/c.png": plain(0, 255, 0),  # wrong, and surer
    "green/a.png": plain(10, 250, 0),
    "green/b.png": plain(200, 20, 0),  # wrong: red
    "light_blue/a.png": plain(0, 0, 255),
}
WRONG = ["red/c.png", "green/b.png", "red/b.png"]


@pytest.fixture
def folder(tmp_path):
    for name, picture in PICTURES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(picture).save(tmp_path / name)
    return tmp_path


def names(found, folder):
    return [each.source.relative_to(folder).as_posix() for each in found.wrong]


def test_a_folder(network, folder):
    found = gradcam.failures(network, folder)
    assert found.count == 6 and found.wrong_count == 3
    assert found.accuracy == gradcam.measures.bootstrap([True, False, False, True, False, True])
    chances = {name: network.forward(each).probabilities[0] for name, each in PICTURES.items()}
    assert names(found, folder) == sorted(WRONG, key=lambda name: -chances[name].max())
    for each in found.wrong:
        expected = chances[each.source.relative_to(folder).as_posix()]
        assert each.truth == LABELS.find(each.source.parent.name)
        assert each.predicted.index == expected.argmax() != each.truth.index
        assert each.predicted_probability == pytest.approx(expected.max(), rel=1e-6)
        assert each.truth_probability == pytest.approx(expected[each.truth.index], rel=1e-6)
    assert [(str(a), str(b), n) for a, b, n in found.confusions] == [
        ("red", "green", 2),
        ("green", "red", 1),
    ]
    assert "3 of 6 pictures wrong (accuracy 50.0 %" in found.finding
    assert "red is taken for green (2 times)" in found.finding
    assert "red (" in repr(found.wrong[0]) and found.finding in repr(found)


def test_the_same_from_lists(network, folder):
    expected = gradcam.failures(network, folder)
    pictures = list(PICTURES.values())
    labels = [name.split("/")[0] for name in PICTURES]
    indices = np.array([LABELS.find(name).index for name in labels])
    synsets = [LABELS.find(name).synset for name in labels]
    order = [list(PICTURES).index(name) for name in names(expected, folder)]
    for found in (
        gradcam.failures(network, pictures, labels),
        gradcam.failures(network, iter(pictures), indices, batch=2),
        gradcam.failures(network, zip(pictures, synsets, strict=True)),
        gradcam.failures(
            network,
            [(each, str(n)) for each, n in zip(pictures, indices, strict=True)],
            class_indices=True,
        ),
    ):
        assert [each.number for each in found.wrong] == order
        assert [each.name for each in found.wrong] == [f"picture {n}" for n in order]
        assert all(each.source is pictures[each.number] for each in found.wrong)
        assert (found.accuracy, found.confusions) == (expected.accuracy, expected.confusions)


def test_only_the_surest_are_kept(network, folder):
    found = gradcam.failures(network, folder, count=2, batch=1)
    assert names(found, folder) == names(gradcam.failures(network, folder), folder)[:2]
    assert found.wrong_count == 3 and found.count == 6
    with pytest.raises(ValueError, match="count"):
        gradcam.failures(network, folder, count=0)


def test_unknown_classes_are_listed(network, folder):
    (folder / "red").rename(folder / "crimson")
    found = gradcam.failures(network, folder)
    assert found.count == 3 and [len(each) for each in found.unknown.values()] == [3]
    assert [path.name for path in found.unknown["crimson"]] == ["a.png", "b.png", "c.png"]
    assert found.wrong[0].number == 4  # among all pictures


def test_no_known_class(network, folder):
    for number, name in enumerate(("red", "green", "light_blue")):
        (folder / name).rename(folder / str(number))
    message = r"does not know the classes of 6 pictures \('0', '1', '2'\): .*'red'"
    with pytest.raises(ValueError, match=message):
        gradcam.failures(network, folder)
    with pytest.raises(ValueError, match="class_indices=True"):
        gradcam.failures(network, folder)
    assert gradcam.failures(network, folder, class_indices=True).wrong_count == 3
    with pytest.raises(ValueError, match=r"classes of 1 picture \('77'\): class index 77 is out"):
        gradcam.failures(network, [(plain(1, 2, 3), "77")], class_indices=True)


def test_a_name_of_two_classes(network):
    layers = list(network.layers.values())[1:]
    twice = Network.from_layers(
        layers, labels=Labels(["crane", "crane", "c"], ["n1", "n2", "n3"]), preset=network.preset
    )
    with pytest.raises(ValueError, match=r"'crane' names 2 classes: .*0 \(n1\) or 1 \(n2\)$"):
        gradcam.failures(twice, [(plain(1, 2, 3), "crane")])
    pair = [(plain(1, 2, 3), "crane"), (plain(0, 0, 255), "n3")]
    assert list(gradcam.failures(twice, pair).unknown) == ["crane"]


def test_all_objects_of_a_scene_must_be_known(network):
    layers = list(network.layers.values())[1:]
    cat = Network.from_layers(layers, labels=["cat", "dog", "c"], preset=network.preset)
    known = pictograms.scene(7, classes=["cat", "dog"])
    other = pictograms.scene(7, classes=["cat", "zebra"])
    found = gradcam.failures(cat, [known, other])
    assert found.count == 1 and found.unknown == {"zebra": (other,)}


def test_one_output(network):
    kernel = np.ones((1, 3, 1, 1), np.float32)
    layers = [
        Layer("conv", "conv", weights={"weight": kernel}),
        Layer("mean", "global_average_pool"),
        Layer("scores", "flatten"),
        Layer("prob", "sigmoid"),
    ]
    one = Network.from_layers(layers, labels=["ill"], preset=network.preset, name="one")
    with pytest.raises(ValueError, match="one has one output"):
        gradcam.failures(one, [(plain(1, 2, 3), "ill")])


def test_a_method_that_does_not_fit_is_refused_before_any_picture(network, monkeypatch):
    def refuse(tape, objective):
        raise ValueError("needs a recurrent layer")

    method = gradcam.Method("unfit", "Unfit", "", "map", refuse)
    monkeypatch.setattr(Network, "stream", None)
    with pytest.raises(ValueError, match="recurrent"):
        gradcam.failures(network, [(plain(1, 2, 3), "red")], method=method)


def test_methods_of_many_passes_are_not_tried_first(network):
    def refuse(tape, objective, *, batch=None):
        raise AssertionError

    method = gradcam.Method("slow", "Slow", "", "map", refuse)
    assert gradcam.failures(network, [(plain(9, 2, 3), "red")], method=method).wrong == ()


def test_failures_are_sorted_once(network, monkeypatch):
    sort, times = _Tally._sort, []
    monkeypatch.setattr(_Tally, "_sort", lambda tally: times.append(1) or sort(tally))
    wrong = [(plain(0, n, 0), "red") for n in range(160, 200)]
    found = gradcam.failures(network, wrong, batch=1)
    assert len(times) == 1 and found.wrong_count == 40
    chances = [each.predicted_probability for each in found.wrong]
    assert chances == sorted(chances, reverse=True)
    few = gradcam.failures(network, wrong, batch=1, count=3)
    assert [each.number for each in few.wrong] == [each.number for each in found.wrong[:3]]
    assert len(times) < 20


def test_broken_pictures(network, folder):
    (folder / "green/0.png").write_text("no picture")
    (folder / "red/b.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(gradcam.PictureError, match=r"0\.png"):
        gradcam.failures(network, folder)
    noted = []
    for on_error in ("skip", lambda picture, error: noted.append(picture.name)):
        found = gradcam.failures(network, folder, on_error=on_error, batch=2)
        assert found.count == 5
        assert {path.name for path, _ in found.skipped} == {"0.png", "b.png"}
        assert sorted(names(found, folder)) == ["green/b.png", "red/c.png"]
    assert noted == ["0.png", "b.png"]
    with pytest.raises(ValueError, match=r"none of the 1 picture could be read: .*0\.png"):
        gradcam.failures(network, [(folder / "green/0.png", "green")], on_error="skip")


def test_memory_is_limited(network):
    drawn, most = [], []

    def pictures():
        for n in range(60):
            picture = Image.fromarray(plain(n, 255 - n, 0))
            drawn.append(weakref.ref(picture))
            most.append(sum(each() is not None for each in drawn))
            yield picture, "green" if n % 20 else "red"

    found = gradcam.failures(network, pictures(), batch=2, count=2)
    assert found.count == 60 and found.wrong_count == 3 and len(found.wrong) == 2
    assert max(most) < 20


def test_explanations_are_those_of_the_network(network, folder):
    failure = gradcam.failures(network, folder).wrong[0]
    tape = network.forward(failure.source)
    for method in (None, "grad_cam"):
        found = failure.explain(method)
        expected = tape.explain(method or "guided_grad_cam", ["green", "red"])
        for one, other in zip(found, expected, strict=True):
            assert (one.method, one.target) == (other.method, other.target)
            np.testing.assert_array_equal(one.raw, other.raw)
    assert found.wrong.target == failure.predicted and found.right.target == failure.truth
    given = gradcam.failures(network, folder, method="saliency").wrong[0].explain()
    assert given.wrong.method == "saliency"


def texts(figure):
    FigureCanvasAgg(figure).draw()
    return " | ".join(each.get_text() for each in figure.texts)


def test_the_figure(network, folder):
    found = gradcam.failures(network, folder)
    figure = found.plot(2)
    assert len(figure.axes) == 2 * 5
    words = texts(figure)
    shown = [name.replace("/", "\n") for name in names(found, folder)[:2]]
    for part in ("Wrong: Grad-CAM", "Guided Grad-CAM", "3 of 6", *shown):
        assert part in words
    surest = found.wrong[0]
    assert f"green {gradcam._text.percent(surest.predicted_probability)}" in words
    assert len(found.plot(9).axes) == 3 * 5
    assert len(gradcam.failures(network, folder, method="grad_cam").plot().axes) == 3 * 3
    with pytest.raises(ValueError, match="count"):
        found.plot(0)


def test_nothing_is_wrong(network):
    found = gradcam.failures(network, [(plain(255, 0, 0), "red"), (plain(0, 255, 0), "green")])
    assert found.wrong == found.confusions == () and found.accuracy.mean == 1
    assert found.finding == "all of 2 pictures are right"
    with pytest.raises(ValueError, match=r"no failure to draw: all of the 2 pictures are right"):
        found.plot()
    one = gradcam.failures(network, [(plain(255, 0, 0), "red")])
    assert one.finding == "1 picture, and it is right"
    assert (
        "2 of 2 pictures wrong (accuracy 0.0 %): "
        in gradcam.failures(network, [(plain(255, 0, 0), "green")] * 2).finding
    )
    assert (
        "1 of 1 picture wrong (accuracy 0.0 %)"
        in gradcam.failures(network, [(plain(255, 0, 0), "green")]).finding
    )


def test_any_object_of_a_scene_is_right():
    network = pictograms.model()
    scene = pictograms.scene(7, classes=["cat", "dog"])
    probabilities = network.forward(scene.picture).probabilities[0]
    best = max(scene.objects, key=lambda each: probabilities[each.index])
    assert probabilities.argmax() == best.index
    assert gradcam.failures(network, [scene]).wrong_count == 0
    hidden = scene.covered(0, 0.95).covered(1, 0.95, seed=3)
    found = gradcam.failures(network, [hidden])
    (failure,) = found.wrong
    assert "most often" not in found.finding  # each pair of classes occurs once
    probabilities = network.forward(hidden.picture).probabilities[0]
    best = max(hidden.objects, key=lambda each: probabilities[each.index])
    assert failure.truth.label == best.label and failure.source is hidden
    assert failure.explain("grad_cam").right.label == best.label
    assert "picture 0" in texts(found.plot())
    with pytest.raises(ValueError, match="no object"):
        gradcam.failures(network, [scene.without(0, 1)])


@pytest.mark.parametrize(
    ("pictures", "labels", "error", "message"),
    [
        (plain(1, 2, 3), ["red"], TypeError, "several pictures, got ndarray"),
        (5, None, TypeError, "several pictures, got int"),
        (pictograms.scene(1), None, TypeError, "got one scene"),
        ([plain(1, 2, 3)], None, TypeError, r"scenes or pairs \(picture, label\)"),
        ([], [], ValueError, "there is none"),
        ([plain(1, 2, 3)], [], ValueError, "as many labels as pictures, got fewer"),
        ([plain(1, 2, 3)], ["red", "red"], ValueError, "as many labels as pictures, got more"),
        ([plain(1, 2, 3)], "red", TypeError, "a label for each picture"),
        ([plain(1, 2, 3)], [1.5], TypeError, "expected a label, synset or index, got 1.5"),
        ([plain(1, 2, 3)], [True], TypeError, "expected a label, synset or index, got True"),
        ([plain(1, 2, 3)], [3], IndexError, "class index 3 is out of range"),
        ([plain(1, 2, 3)], 5, TypeError, "a label for each picture, got 5"),
        ([plain(1, 2, 3)], np.array(5), TypeError, "a label for each picture"),
        (np.zeros((1, 3, 8, 8), np.float32), ["red"], TypeError, "preprocessed input and pictures"),
        ([(np.zeros((8, 8, 3)), "red")], None, TypeError, r"a float array of shape \(8, 8, 3\)"),
    ],
)
def test_wrong_input(network, pictures, labels, error, message):
    with pytest.raises(error, match=message):
        gradcam.failures(network, pictures, labels)


@pytest.mark.parametrize("label", [0, np.array(0), np.int64(0), "red", np.str_("red"), LABELS[0]])
def test_labels_of_all_kinds(network, label):
    found = gradcam.failures(network, [plain(0, 255, 0)], [label])
    assert found.wrong[0].truth == LABELS[0]
    assert gradcam.failures(network, [(plain(255, 0, 0), label)]).wrong == ()


def test_wrong_options(network):
    with pytest.raises(TypeError, match=r"expected a gradcam\.Network, got 'x'"):
        gradcam.failures("x", [(plain(1, 2, 3), "red")])
    with pytest.raises(TypeError, match="class_indices"):
        gradcam.failures(network, [(plain(1, 2, 3), "red")], class_indices="no")


def test_wrong_folders(network, folder, tmp_path_factory):
    with pytest.raises(ValueError, match=r"the folders in .* name the classes"):
        gradcam.failures(network, folder, ["red"])
    with pytest.raises(FileNotFoundError):
        gradcam.failures(network, folder / "none")
    with pytest.raises(AnnotationError, match="found no folders"):
        gradcam.failures(network, tmp_path_factory.mktemp("empty"))
    with pytest.raises(ValueError, match="guided"):
        gradcam.failures(network, folder, method="guided")


def test_networks_without_probabilities(network, folder):
    layers = list(network.layers.values())[1:-1]
    plain_scores = Network.from_layers(layers, labels=LABELS, preset=network.preset)
    with pytest.raises(ValueError, match="softmax"):
        gradcam.failures(plain_scores, folder)
