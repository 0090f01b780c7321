"""Figures look the same whatever the user's rcParams are, and leave these alone."""

from __future__ import annotations

import io
import warnings

import matplotlib
import numpy as np
import pytest
from helpers import DRAWN
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

import gradcam
from gradcam import plot

HOSTILE = {
    "image.origin": "lower",
    "image.cmap": "gray_r",
    "image.interpolation": "nearest",
    "image.aspect": "auto",
    "image.lut": 7,
    "image.resample": False,
    "axes.grid": True,
    "axes.facecolor": "black",
    "axes.titlecolor": "white",
    "axes.titlelocation": "left",
    "axes.titlesize": 40,
    "axes.linewidth": 9,
    "axes.labelcolor": "white",
    "axes.labelsize": 40,
    "axes.xmargin": 0.4,
    "figure.dpi": 31,
    "figure.facecolor": "black",
    "figure.autolayout": True,
    "figure.subplot.left": 0.4,
    "savefig.transparent": True,
    "savefig.bbox": "tight",
    "savefig.pad_inches": 3,
    "savefig.facecolor": "black",
    "text.usetex": True,
    "text.color": "white",
    "text.hinting": "none",
    "text.antialiased": False,
    "text.parse_math": False,
    "font.family": ["no such font"],
    "font.sans-serif": ["no such font"],
    "font.size": 40,
    "font.weight": "bold",
    "font.style": "italic",
    "mathtext.fontset": "cm",
    "patch.linewidth": 9,
    "patch.antialiased": False,
    "lines.linewidth": 9,
    "path.sketch": (5, 10, 20),
    "xtick.bottom": False,
    "xtick.top": True,
    "xtick.labelbottom": False,
    "xtick.minor.visible": True,
    "xtick.color": "white",
    "xtick.labelsize": 40,
    "xtick.direction": "in",
    "ytick.right": True,
    "ytick.left": False,
    "ytick.labelleft": False,
    "ytick.minor.visible": True,
    "ytick.color": "white",
    "ytick.labelsize": 40,
    "agg.path.chunksize": 2,
}


@pytest.fixture(scope="module")
def tape():
    tensors = gradcam.vgg11.random_tensors(width=4, fc=16, classes=3, seed=3)
    preset = gradcam.Preset("cropping", size=64, shorter_side=72)
    network = gradcam.vgg11(tensors, labels=["a_b$c$", "50 % of {x}", "plain"], preset=preset)
    pixels = np.random.default_rng(0).integers(0, 256, (48, 80, 3), dtype=np.uint8)
    pixels[:20] //= 4  # dark above
    return network.forward(pixels)


FIGURES = {
    "compare": lambda tape: gradcam.compare(tape, top=3),
    "map": lambda tape: tape.grad_cam("a_b$c$").plot(box=True, colorbar=True),
    "signed": lambda tape: tape.guided_backprop(1).plot(box=True),
    "magnitude": lambda tape: tape.saliency(1).plot(colorbar=True),
}


def pixels_of(figure, dpi=60):
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    return np.asarray(Image.open(buffer))


@pytest.mark.slow
@pytest.mark.parametrize("figure", FIGURES)
def test_figures_look_the_same(figure, tape, tmp_path):
    expected = pixels_of(FIGURES[figure](tape))
    built_before = FIGURES[figure](tape)
    shown = built_before._repr_png_()
    with matplotlib.rc_context(HOSTILE):
        settings = dict(matplotlib.rcParams)
        built = FIGURES[figure](tape)
        np.testing.assert_array_equal(pixels_of(built), expected)
        np.testing.assert_array_equal(pixels_of(built_before), expected)
        assert built._repr_png_() == shown
        plot.save(built, tmp_path / "here.png")
        assert dict(matplotlib.rcParams) == settings
    np.testing.assert_array_equal(pixels_of(built), expected)
    plot.save(FIGURES[figure](tape), tmp_path / "there.png")
    assert (tmp_path / "here.png").read_bytes() == (tmp_path / "there.png").read_bytes()


def test_a_caption_looks_the_same(tape, tmp_path):
    explanation = tape.grad_cam(0)
    explanation.save(tmp_path / "expected.png", caption=True)
    with matplotlib.rc_context(HOSTILE):
        explanation.save(tmp_path / "found.png", caption=True)
    assert (tmp_path / "found.png").read_bytes() == (tmp_path / "expected.png").read_bytes()


def test_settings_of_files_are_kept(tape):
    with matplotlib.rc_context({"savefig.dpi": 37, "savefig.format": "svg", "svg.hashsalt": "x"}):
        buffer = io.BytesIO()
        tape.grad_cam(0).plot().savefig(buffer)
        assert b"<svg" in buffer.getvalue()
        buffer = io.BytesIO()
        figure = tape.grad_cam(0).plot()
        figure.savefig(buffer, format="png")
        assert Image.open(buffer).width == pytest.approx(37 * figure.get_size_inches()[0], abs=1)


@pytest.mark.parametrize("method", DRAWN)
def test_a_picture_on_given_axes_is_upright(tape, method):
    """The pixels of the picture, whatever the settings are that the axes were created with."""
    shown = {}
    for name, settings in (("plain", {}), ("hostile", HOSTILE)):
        settings = {key: settings[key] for key in settings if not key.startswith("font")}
        with matplotlib.rc_context(settings):
            figure = Figure(figsize=(4, 3), dpi=50)
            figure.set_layout_engine("none")
            ax = figure.add_axes((0, 0, 1, 0.8))
            assert tape.explain(method, 1).plot(ax, colorbar=True) is ax
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                canvas = FigureCanvasAgg(figure)
                canvas.draw()
        inside = np.asarray(canvas.buffer_rgba())[40:145, 20:180].astype(int)
        shown[name] = inside
        assert ax.get_aspect() == 1 and not ax.title.get_usetex()
    assert np.abs(shown["plain"] - shown["hostile"]).mean() < 2
