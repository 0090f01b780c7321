"""Colour maps, overlays, plots, and the figure that compares methods."""

from __future__ import annotations

import itertools
import re

import matplotlib
import numpy as np
import pytest
from helpers import DRAWN, run_python
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from PIL import Image

import gradcam
from gradcam import _compare, plot
from gradcam._pictures import colour, figures
from gradcam._pictures.image import Geometry
from gradcam._text import percent

LABELS = ["cat", "black-and-tan_coonhound", "Old_English_sheepdog", "dog"]


@pytest.fixture(scope="module")
def network():
    """A narrow VGG-11 that takes pictures of 64 x 64."""
    tensors = gradcam.vgg11.random_tensors(width=4, fc=16, classes=len(LABELS), seed=3)
    return gradcam.vgg11(tensors, labels=LABELS, preset=gradcam.Preset("small", size=64))


def picture(height=48, width=80, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def tape(network):
    return network.forward(picture())


# --- colours ---


@pytest.mark.parametrize(
    ("value", "rgb"),
    [
        (0.0, (0, 0, 1)),
        (0.125, (0, 0.5, 1)),
        (0.25, (0, 1, 1)),
        (0.375, (0, 1, 0.5)),
        (0.5, (0, 1, 0)),
        (0.625, (0.5, 1, 0)),
        (0.75, (1, 1, 0)),
        (0.875, (1, 0.5, 0)),
        (1.0, (1, 0, 0)),
    ],
)
def test_the_papers_colours(value, rgb):
    ours = plot.colour(np.full((2, 3), value), "paper")
    assert ours.shape == (2, 3, 3) and ours.dtype == np.uint8
    np.testing.assert_allclose(ours[0, 0], np.array(rgb) * 255, atol=0.5)


@pytest.mark.parametrize("name", ["inferno", "jet", "viridis", "gray"])
def test_colours_are_matplotlibs(name):
    import matplotlib

    values = np.linspace(0, 1, 50).reshape(5, 10)
    theirs = matplotlib.colormaps[name](values.astype(np.float32), bytes=True)[..., :3]
    np.testing.assert_array_equal(plot.colour(values, name), theirs)


@pytest.mark.parametrize("name", ["inferno", "gray", "jet", "paper"])
def test_every_colour_made_here_is_matplotlibs(name):
    theirs = ListedColormap(colour._paper()) if name == "paper" else matplotlib.colormaps[name]
    table = theirs(np.arange(theirs.N), bytes=True)[:, :3]
    np.testing.assert_array_equal(colour._table(name), table)


def test_a_heat_map_needs_no_matplotlib():
    work = (
        "plot.colour([0.5])",
        "plot.overlay(np.zeros((1, 1, 3), np.uint8), [[0.5]])",
        "gradcam.explain(np.zeros((64, 64, 3), np.uint8), "
        "network=gradcam.pictograms.model())._repr_html_()",
    )
    program = "import sys, gradcam, numpy as np; from gradcam import plot"
    for each in work:
        program += f"\n{each}\nprint('matplotlib' in sys.modules)"
    assert run_python(program).split() == ["False"] * len(work)


def test_large_maps_are_coloured_in_bands():
    values = np.random.default_rng(0).random((3, 2**20), np.float32)
    expected = [plot.colour(row, "paper") for row in values[:, ::4096]]
    np.testing.assert_array_equal(plot.colour(values, "paper")[:, ::4096], expected)
    np.testing.assert_array_equal(plot.colour(values.T, "paper")[::4096].swapaxes(0, 1), expected)


@pytest.mark.parametrize("name", ["jet", "paper"])
def test_values_outside_take_the_ends_colour(name):
    np.testing.assert_array_equal(
        plot.colour([[-1, 2, np.inf]], name), plot.colour([[0, 1, 1]], name)
    )


def test_colours_refuse_what_has_none():
    with pytest.raises(ValueError, match="did you mean jet"):
        plot.colour(np.zeros((2, 2)), "jett")
    with pytest.raises(ValueError, match="NaN"):
        plot.colour([[np.nan]])


def test_overlay_is_the_weighted_mean():
    below, values = picture(), np.random.default_rng(1).random((48, 80), np.float32)
    mixed = plot.overlay(below, values, "paper", alpha=0.3)
    expected = 0.7 * below + 0.3 * plot.colour(values, "paper").astype(float)
    assert mixed.dtype == np.uint8
    tall = np.tile(below, (500, 1, 1))  # more than one band of rows
    high = np.tile(values, (500, 1))
    np.testing.assert_array_equal(plot.overlay(tall, high, "paper", 0.3)[-48:], mixed)
    np.testing.assert_allclose(mixed, expected, atol=0.5)
    np.testing.assert_array_equal(plot.overlay(below, values, alpha=0), below)
    np.testing.assert_array_equal(plot.overlay(below, values, alpha=1), plot.colour(values))


def grey(pixels):
    return np.asarray(Image.fromarray(pixels).convert("L").convert("RGB"))


@pytest.mark.parametrize("name", ["inferno", "viridis", "tab10"])
def test_opacity_rises_with_the_map_over_the_grey_picture(name):
    below, values = picture(), np.random.default_rng(1).random((48, 80), np.float32)
    count = matplotlib.colormaps[name].N
    share = 0.8 * np.minimum((values * count).astype(int), count - 1) / (count - 1)
    share = share[:, :, None]
    expected = (1 - share) * grey(below) + share * plot.colour(values, name).astype(float)
    np.testing.assert_allclose(plot.overlay(below, values, name), expected, atol=0.5)
    nothing = np.zeros((48, 80), np.float32)
    np.testing.assert_array_equal(plot.overlay(below, nothing, name), grey(below))
    np.testing.assert_array_equal(plot.overlay(grey(below), nothing, name), grey(below))


@pytest.mark.parametrize("name", ["jet", "paper"])
def test_the_papers_colours_are_blended_as_in_the_papers(name):
    below, values = picture(), np.random.default_rng(1).random((48, 80), np.float32)
    expected = (below + plot.colour(values, name).astype(float)) / 2
    np.testing.assert_allclose(plot.overlay(below, values, name), expected, atol=0.5)


@pytest.mark.parametrize(("name", "alpha"), [("inferno", None), ("jet", None), ("viridis", 0.3)])
def test_a_bar_shows_what_an_overlay_shows(name, alpha):
    """Every value of the map, from left to right, over every grey, from white to black."""
    bar = colour.scale_bar(name, alpha)
    greys = np.repeat(np.arange(255, -1, -1, dtype=np.uint8)[:, None, None], 256, axis=1)
    values = np.broadcast_to((np.arange(256) + 0.5) / 256, (256, 256))
    np.testing.assert_array_equal(bar, plot.overlay(greys.repeat(3, 2), values, name, alpha))


def test_inferno_grows_steadily_lighter():
    """So that it can be read in grey print and by colour-blind people."""
    table = colour._table("inferno") / 255
    linear = np.where(table <= 0.04045, table / 12.92, ((table + 0.055) / 1.055) ** 2.4)
    luminance = linear @ (0.2126, 0.7152, 0.0722)
    lightness = np.where(luminance > 0.008856, 116 * np.cbrt(luminance) - 16, 903.3 * luminance)
    assert (np.diff(lightness) > 0).all()
    assert lightness[0] < 1 and lightness[-1] > 97


@pytest.mark.parametrize(
    ("below", "shape", "alpha", "complaint"),
    [
        (picture(), (80, 48), 0.5, "height and width"),
        (picture().astype(float), (48, 80), 0.5, "uint8"),
        (picture()[..., 0], (48, 80), 0.5, "uint8"),
        (picture(), (48, 80), 1.5, "alpha"),
    ],
)
def test_overlay_refuses(below, shape, alpha, complaint):
    with pytest.raises(ValueError, match=complaint):
        plot.overlay(below, np.zeros(shape), alpha=alpha)


@pytest.mark.parametrize("region", [(10, 5.2, 38.7, 61), (0, 0.5, 48, 79.5), (-3, 12, 48, 80)])
def test_what_was_not_seen_is_not_coloured(region):
    below, values = picture(), np.random.default_rng(1).random((48, 80), np.float32)
    geometry = Geometry((48, 80), (64, 64), region)
    seen = geometry.to_picture(np.ones((64, 64), np.float32), "nearest") > 0
    for cmap, under in (("jet", below), ("inferno", grey(below))):
        shown = plot.overlay(below, values, cmap, region=region)
        np.testing.assert_array_equal(shown[seen], plot.overlay(below, values, cmap)[seen])
        np.testing.assert_array_equal(shown[~seen], under[~seen] // 2 + 64)


def test_percentages_do_not_round_to_certainty():
    shares = (0.0, 0.0004, 0.5, 0.9996, 1.0)
    assert [percent(share) for share in shares] == [
        *("0.0 %", "< 0.1 %", "50.0 %", "> 99.9 %", "100.0 %")
    ]


def test_a_large_picture_is_drawn_small(network, monkeypatch):
    monkeypatch.setattr(figures, "MAX_DRAWN", 50)
    large = picture(70, 100)
    figure = gradcam.compare(network.forward(large), top=2, methods=["saliency", "grad_cam"])
    for ax in cells(figure, 2).flat:
        assert ax.images[0].get_array().shape == (35, 50, 3)
        assert list(ax.images[0].get_extent()) == [-0.5, 99.5, 69.5, -0.5]
    explanation = network.forward(large).grad_cam()
    ax = explanation.plot(box=True).axes[0]
    assert ax.images[0].get_array().shape == (35, 50, 3)
    assert ax.get_xlim() == (-0.5, 99.5)


# --- one explanation ---


@pytest.mark.parametrize("method", DRAWN)
def test_plots_of_every_method(tape, method):
    explanation = tape.explain(method, "Old English sheepdog")
    figure = explanation.plot(box=True, colorbar=True)
    assert isinstance(figure, Figure)
    ax = figure.axes[0]
    assert ax.get_title().startswith(f"{gradcam.METHODS[method].title}: Old English sheepdog, ")
    np.testing.assert_array_equal(ax.images[0].get_array(), explanation.image)
    figure.canvas.draw()
    assert figure._repr_png_().startswith(b"\x89PNG")


def test_plots_on_given_axes(tape):
    axes = Figure().subplots(1, 2)
    assert tape.grad_cam("dog").plot(axes[0], title="", cmap="paper") is axes[0]
    assert axes[0].get_title() == "" and not axes[1].images
    explanation = tape.saliency("dog")
    explanation.plot(axes[1], cmap="viridis")
    expected = plot.colour(explanation.map, "viridis")
    np.testing.assert_array_equal(axes[1].images[0].get_array(), expected)


def test_the_box_is_drawn_where_it_is(tape):
    explanation = tape.grad_cam("dog")
    patch = explanation.plot(box=True).axes[0].patches[-1]
    x0, y0, x1, y1 = explanation.box()
    assert patch.get_bbox().extents.tolist() == [x0 - 0.5, y0 - 0.5, x1 - 0.5, y1 - 0.5]


@pytest.mark.parametrize(
    "options",
    ["top=1, methods=['saliency']", pytest.param("", marks=pytest.mark.slow)],
    ids=["saliency", "all compared methods"],
)
def test_pyplot_is_never_imported(options):
    run_python(
        "import sys, numpy as np\n"
        "import gradcam\nfrom gradcam import vgg11\n"
        "net = vgg11(vgg11.random_tensors(width=2, fc=4, classes=3))\n"
        "x = np.zeros((40, 40, 3), np.uint8); x[::2] = 255\n"
        f"gradcam.compare(net.forward(x), {options}).canvas.draw()\n"
        "net.forward(x).grad_cam().plot(colorbar=True)\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )


def test_save_is_whole_or_not_at_all(tmp_path, monkeypatch):
    file = tmp_path / "a.png"
    plot.save(picture(), file)
    before = file.read_bytes()

    def broken(self, *args, **options):
        args[0].write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr("PIL.Image.Image.save", broken)
    with pytest.raises(OSError, match="disk full"):
        plot.save(picture(seed=1), file)
    assert file.read_bytes() == before
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize(
    ("nothing", "error", "complaint"),
    [
        (np.zeros((4, 4, 3)), ValueError, "float64"),
        (np.zeros((4, 4, 2), np.uint8), ValueError, "(4, 4, 2)"),
        (np.zeros(4, np.uint8), ValueError, "(4,)"),
        ("x", TypeError, "not str"),
        (None, TypeError, "figure"),
    ],
)
def test_save_refuses_what_is_no_picture(tmp_path, nothing, error, complaint):
    with pytest.raises(error, match=re.escape(complaint)):
        plot.save(nothing, tmp_path / "a.png")
    assert not list(tmp_path.iterdir())


# --- the comparison ---


def scales(figure):
    """The axes of the colour bars."""
    return [ax for ax in figure.axes if ax.get_label() == "scale"]


def cells(figure, rows):
    """The axes of the comparison as (rows, columns), without the scales."""
    drawn = [ax for ax in figure.axes if ax not in scales(figure)]
    return np.array(drawn).reshape(rows, -1)


def test_comparison_has_a_row_a_class_and_a_column_a_method(network, tape):
    figure = gradcam.compare(network.forward(picture()), top=3)
    grid = cells(figure, 3)
    assert grid.shape == (3, 1 + 5)
    titles = [{text.get_text() for text in ax.texts} for ax in grid[0]]
    assert "Picture" in titles[0]
    for method, texts in zip(_compare.COMPARED, titles[1:], strict=True):
        assert {gradcam.METHODS[method].title, gradcam.METHODS[method].source} <= texts
    for ax, (_, label, probability) in zip(grid[:, 0], tape.top(3), strict=True):
        texts = " ".join(text.get_text().replace("\n", " ") for text in ax.texts)
        assert label.replace("_", " ") in texts and percent(probability) in texts
        np.testing.assert_array_equal(ax.images[0].get_array(), picture())


def test_comparison_of_classes_and_methods_asked_for(network):
    figure = gradcam.compare(
        network.forward(picture()),
        ["dog", 0],
        methods=["Grad-CAM"],
        layer="pool3",
        on="probability",
    )
    assert cells(figure, 2).shape == (2, 2)
    expected = network.forward(picture()).grad_cam(["dog", 0], layer="pool3", on="probability")
    maps = _compare.on_one_scale(expected)
    for ax, values in zip(cells(figure, 2)[:, 1], maps, strict=True):
        shown = plot.overlay(picture(), values, "inferno")
        np.testing.assert_array_equal(ax.images[0].get_array(), shown)


def test_the_bars_of_a_comparison_say_what_is_drawn(tape):
    both = scales(gradcam.compare(tape, top=1))
    over, alone = (ax.get_xlabel().replace("\n", " ") for ax in both)
    assert over == "over the grey picture, opacity 0 to 0.8 1 is the column's maximum"
    assert alone == "without the picture 1 is the column's 99.8 % quantile"
    assert [tick.get_text() for tick in both[1].get_xticklabels()] == ["0", "0.5", "≥ 1"]
    np.testing.assert_array_equal(both[0].images[0].get_array(), colour.scale_bar("inferno"))
    table = plot.colour((np.arange(256) + 0.5) / 256)
    np.testing.assert_array_equal(both[1].images[0].get_array(), table[None])
    (only,) = scales(gradcam.compare(tape, top=1, methods=["grad_cam"], cmap="jet", scale="map"))
    assert only.get_xlabel() == "over the picture, opacity 0.5\n1 is the map's maximum"
    np.testing.assert_array_equal(only.images[0].get_array(), colour.scale_bar("jet"))


@pytest.mark.parametrize("method", DRAWN)
def test_rows_of_a_column_share_their_scale(tape, method):
    """What is drawn is the evidence in its own unit, all rows over one number."""
    explanations = tape.explain(method, [0, 1, 2])
    drawn = _compare.on_one_scale(explanations)
    ratios = []
    for explanation, values in zip(explanations, drawn, strict=True):
        coarse = explanation.view == "map"
        evidence = np.maximum(explanation.raw, 0) if coarse else np.abs(explanation.raw).max(0)
        on_picture = explanation.geometry.to_picture(evidence)
        here = on_picture > 0
        ratios.append(np.unique((values[here] / on_picture[here]).round(6)))
        np.testing.assert_array_equal(values[~here], 0)
    one = np.concatenate(ratios)
    np.testing.assert_allclose(one, one[0], rtol=1e-3)
    strongest = max(values.max() for values in drawn)
    assert strongest == pytest.approx(1) if coarse else strongest >= 1


def test_maps_may_have_a_scale_each(network):
    figure = gradcam.compare(network.forward(picture()), methods=["saliency"], scale="map")
    top = plot.colour(1, "inferno")
    for ax in cells(figure, 3)[:, 1]:
        assert (ax.images[0].get_array() == top).all(-1).any()


@pytest.mark.parametrize("label", ["consomme", "WWWWWWWWWWWWW", "mm$_mm"])
def test_labels_of_wide_letters_stay_in_the_figure(label):
    labels = [label, *LABELS[1:]]
    tensors = gradcam.vgg11.random_tensors(width=2, fc=4, classes=len(labels))
    network = gradcam.vgg11(tensors, labels=labels, preset=gradcam.Preset("small", size=64))
    figure = gradcam.compare(network.forward(picture(40, 60)), [0], methods=["saliency"])
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    texts = [text for ax in figure.axes for text in ax.texts if text.get_text()]
    assert min(text.get_window_extent(renderer).x0 for text in texts) >= 0


@pytest.mark.filterwarnings("ignore::gradcam.FlatMapWarning")
@pytest.mark.parametrize(
    ("size", "classes", "methods"),
    [
        ((64, 64), 3, _compare.COMPARED),
        pytest.param((40, 160), 2, DRAWN, marks=pytest.mark.slow),
        ((160, 40), 4, _compare.COMPARED),
        ((64, 64), 1, ("saliency",)),
        ((160, 40), 2, ("saliency", "grad_cam")),
        pytest.param((50, 70), 4, ("saliency", "grad_cam"), marks=pytest.mark.slow),
        ((30, 200), 1, _compare.COMPARED),
        pytest.param((20, 160), 1, _compare.COMPARED, marks=pytest.mark.slow),
        ((20, 160), 1, ("saliency",)),
        pytest.param((20, 160), 4, _compare.COMPARED, marks=pytest.mark.slow),
        ((64, 64), 2, ("smooth_grad_cam_plus_plus", "eigen_cam", "eigen_grad_cam") * 3),
    ],
)
def test_no_text_overlaps_another_or_leaves_the_figure(network, size, classes, methods):
    figure = gradcam.compare(network.forward(picture(*size)), top=classes, methods=methods)
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    texts = [text for ax in figure.axes for text in ax.texts if text.get_text()]
    for scale in scales(figure):
        texts += [scale.yaxis.label, *scale.get_yticklabels()]
        texts += [scale.xaxis.label, *scale.get_xticklabels()]
    texts = [text for text in texts if text.get_text()]
    boxes = [text.get_window_extent(renderer) for text in texts]
    for text, box in zip(texts, boxes, strict=True):
        assert box.x0 >= 0 and box.y0 >= 0, text
        assert box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1, text
    for (one, a), (other, b) in itertools.combinations(zip(texts, boxes, strict=True), 2):
        assert not a.overlaps(b), (one, other)
    for ax in figure.axes:
        frame = ax.get_window_extent(renderer)
        assert not any(frame.overlaps(box) for box in boxes), ax


@pytest.fixture(scope="module")
def cropping():
    """A network that sees the centre of a picture."""
    preset = gradcam.Preset("cropping", size=64, shorter_side=72)
    return gradcam.vgg11(
        gradcam.vgg11.random_tensors(width=4, fc=16, classes=4, seed=3), preset=preset
    )


def test_what_a_crop_cut_off_is_told(network, cropping):
    figure = gradcam.compare(cropping.forward(picture()), top=1, methods=["grad_cam"])
    first, overlaid = figure.axes[:2]
    assert any("dashed" in text.get_text() for text in first.texts) and first.patches
    faded = grey(picture())[0] // 2 + 64
    np.testing.assert_array_equal(overlaid.images[0].get_array()[0], faded)
    assert not gradcam.compare(network.forward(picture()), top=1).axes[0].patches


@pytest.mark.parametrize("method", DRAWN)
def test_a_plot_frames_what_was_seen(tape, cropping, method):
    explanation = cropping.forward(picture()).explain(method, 1)
    ax = explanation.plot().axes[0]
    top, left, bottom, right = explanation.geometry.region
    frame = ax.patches[-1].get_bbox().extents + 0.5
    np.testing.assert_allclose(frame, (left, top, right, bottom))
    assert not tape.explain(method, 1).plot().axes[0].patches


def test_the_usual_picture_does_not_colour_what_was_cut_off(cropping):
    explanation = cropping.forward(picture()).grad_cam(1)
    shown = explanation.render("paper")
    top, left, bottom, right = (round(side) for side in explanation.geometry.region)
    faded = picture() // 2 + 64
    np.testing.assert_array_equal(shown[: top - 1], faded[: top - 1])
    np.testing.assert_array_equal(shown[:, : left - 1], faded[:, : left - 1])
    inside = np.s_[top + 1 : bottom - 1, left + 1 : right - 1]
    coloured = plot.overlay(picture(), explanation.map, "paper")
    np.testing.assert_array_equal(shown[inside], coloured[inside])


def test_comparison_of_several_layers(network):
    tape = network.forward(picture(), keep=["pool3", "pool4"])
    methods, layers = ["saliency", "grad_cam"], ["pool3", "pool4"]
    figure = gradcam.compare(tape, ["dog"], methods=methods, layers=layers)
    (row,) = cells(figure, 1)
    sources = [[text.get_text() for text in ax.texts] for ax in row[1:]]
    assert [("pool3" in texts, "pool4" in texts) for texts in sources] == [
        (False, False),
        (True, False),
        (False, True),
    ]
    for ax, layer in zip(row[2:], layers, strict=True):
        expected = _compare.on_one_scale([tape.grad_cam("dog", layer=layer)])[0]
        shown = plot.overlay(picture(), expected, "inferno")
        np.testing.assert_array_equal(ax.images[0].get_array(), shown)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"layers": []}, "at least one layer"),
        ({"layers": "pool3"}, "list of at least one layer"),
        ({"layers": ["pool3"], "layer": "pool4"}, "not both"),
        ({"layers": ["pool3"], "methods": ["saliency"]}, "no effect on saliency"),
        ({"methods": ["gradcam"]}, "did you mean .grad_cam"),
        ({"methods": []}, "at least one method"),
        ({"methods": "saliency"}, "list"),
        ({"targets": "dog"}, "list"),
        ({"targets": []}, "at least one class"),
        ({"targets": gradcam.Class(0)}, "list of at least one class, not Class"),
        ({"methods": None}, "list of at least one method, not None"),
        ({"methods": gradcam.METHODS["saliency"]}, "list of at least one method"),
        ({"layers": 3}, "list of at least one layer, not 3"),
        ({"targets": ["cow"]}, "cow"),
        ({"top": 0}, "top"),
        ({"layer": "relu9_9"}, "relu9_9"),
        ({"layer": "conv1_1", "methods": ["saliency", "deconvnet"]}, "no effect on saliency"),
        ({"cmap": "nope"}, "colour map"),
        ({"scale": "row"}, "scale"),
        ({"on": "loss"}, "loss"),
    ],
)
def test_comparison_refuses(network, options, complaint):
    with pytest.raises(ValueError, match=complaint):
        gradcam.compare(network.forward(picture()), **options)


def test_comparison_refuses_other_types(network):
    tape = network.forward(picture())
    with pytest.raises(TypeError, match="top must be an integer, not 'two'"):
        gradcam.compare(tape, top="two")
    for ask in (lambda: tape.grad_cam(layer=3), lambda: gradcam.compare(tape, [0], layer=3)):
        with pytest.raises(TypeError, match="by its name"):
            ask()


def test_comparison_is_of_one_picture(network):
    for several in ([picture(), picture(seed=1)], [picture()], picture()[None]):
        with pytest.raises(ValueError, match="one picture"):
            gradcam.compare(network.forward(several))


def test_comparison_says_that_it_takes_a_tape(network):
    for first in ("pic.png", picture(), network):
        with pytest.raises(TypeError, match=r"network\.forward"):
            gradcam.compare(first)


def test_a_flat_picture_makes_a_low_figure(network):
    low = gradcam.compare(network.forward(picture(20, 160)), top=1)
    assert low.get_size_inches()[1] < 2.7
    for scale in scales(low):
        assert scale.get_position().y1 < low.axes[0].get_position().y0
