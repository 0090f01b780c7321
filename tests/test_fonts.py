"""Labels in any script in figures."""

from __future__ import annotations

import io
import shutil
import warnings

import numpy as np
import pytest
from helpers import run_python
from matplotlib import font_manager
from PIL import Image

import gradcam
from gradcam._pictures import fonts

CYRILLIC, CHINESE, TIBETAN = "кот", "猫", "ཀ"


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    """Nothing is remembered from other tests."""
    fonts._fallback.cache_clear()
    monkeypatch.setattr(fonts, "_warned", set())
    yield
    fonts._fallback.cache_clear()


@pytest.fixture
def no_fonts(monkeypatch):
    """Only matplotlib's own fonts are installed."""
    own = [font for font in font_manager.fontManager.ttflist if "mpl-data" in font.fname]
    monkeypatch.setattr(font_manager.fontManager, "ttflist", own)
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda: [])


@pytest.fixture
def new_font(tmp_path, no_fonts, monkeypatch):
    """A font with one Chinese character, installed after matplotlib listed the fonts."""
    tools = pytest.importorskip("fontTools.ttLib", reason="fontTools makes the font")
    base = font_manager.findfont(font_manager.FontProperties(family=["DejaVu Sans"]))
    font = tools.TTFont(base)
    for table in font["cmap"].tables:
        table.cmap[ord(CHINESE)] = table.cmap[ord("A")]
    for record in font["name"].names:
        if record.nameID in (1, 4, 16):
            record.string = "A New Sans"
    path = tmp_path / "new.ttf"
    font.save(path)
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda: [str(path)])
    return "A New Sans"


def network(labels):
    tensors = gradcam.vgg11.random_tensors(width=2, fc=8, classes=len(labels), seed=3)
    return gradcam.vgg11(tensors, labels=labels, preset=gradcam.Preset("small", size=64))


def draw(label):
    """Draw a figure with this label, with every warning an error, and return its texts."""
    tape = network([label, "b"]).forward(np.zeros((64, 64, 3), np.uint8))
    figure = gradcam.compare(tape, [0], methods=["saliency"], scale="map")
    figure.savefig(io.BytesIO(), format="png")
    tape.saliency(0).plot().savefig(io.BytesIO(), format="png")
    return " ".join(text.get_text() for ax in figure.axes for text in ax.texts)


@pytest.mark.filterwarnings("ignore::gradcam.FlatMapWarning")
@pytest.mark.filterwarnings("error::UserWarning")
@pytest.mark.parametrize("text", ["cat", "café", CYRILLIC, "γάτα", "a\u202eb\x07\u200b"])
def test_fonts_are_not_searched_for_what_matplotlibs_font_has(monkeypatch, text):
    monkeypatch.setattr(font_manager, "findSystemFonts", None)
    monkeypatch.setattr(fonts, "_known_fonts", None)
    shown, names = fonts.drawable(text)
    assert names == [fonts.BASE] and shown == text.replace("\u202e", "").replace("\x07", "").strip(
        "\u200b"
    )
    draw(text)


def test_matplotlib_is_not_imported_for_ascii():
    program = "import sys; from gradcam._pictures import fonts; fonts.drawable('cat')"
    assert run_python(f"{program}; print('matplotlib' in sys.modules)") == "False"


@pytest.mark.filterwarnings("ignore::gradcam.FlatMapWarning")
def test_a_font_that_was_just_installed_is_found(new_font):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        warnings.simplefilter("ignore", gradcam.FlatMapWarning)
        assert fonts.drawable(f"a{CHINESE}") == (f"a{CHINESE}", [fonts.BASE, new_font])
        assert CHINESE in draw(f"a{CHINESE}")


@pytest.mark.filterwarnings("ignore::gradcam.FlatMapWarning")
@pytest.mark.parametrize(
    ("text", "package"),
    [(CHINESE, "fonts-noto-cjk"), ("고양이", "fonts-noto-cjk"), (TIBETAN, "fonts-noto-core")],
)
def test_a_missing_font_is_one_warning(no_fonts, text, package):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        shown = draw(f"1{text}")
        draw(f"2{text}")
    found = [str(each.message) for each in caught if each.category is UserWarning]
    assert len(found) == 1 and package in found[0] and "no installed font" in found[0]
    assert "1" + "\N{REPLACEMENT CHARACTER}" * len(text) in shown.replace("\n", "")


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("text", "name"), [("ねこ", "CJK JP"), ("고양이", "CJK KR"), ("猫", "CJK SC")]
)
def test_chinese_characters_look_as_in_the_text(text, name):
    if not any(name in font.name for font in fonts._known_fonts() + fonts._new_fonts()):
        pytest.skip("needs Debian's package fonts-noto-cjk")
    assert fonts.drawable(text)[1][1].endswith(name)


@pytest.mark.filterwarnings("ignore::gradcam.FlatMapWarning")
def test_a_caption_in_another_script_is_not_boxes(new_font, tmp_path):
    explanation = network([f"a{CHINESE}", "b"]).forward(np.zeros((64, 64, 3), np.uint8)).saliency(0)
    explanation.save(tmp_path / "one.png", caption=True)
    plain = network(["aA", "b"]).forward(np.zeros((64, 64, 3), np.uint8)).saliency(0)
    plain.save(tmp_path / "two.png", caption=True)
    with Image.open(tmp_path / "one.png") as one, Image.open(tmp_path / "two.png") as two:
        assert one.size == two.size  # the new character looks like an A


def test_a_damaged_font_is_skipped(no_fonts, monkeypatch, tmp_path):
    path = tmp_path / "broken.ttf"
    shutil.copy(fonts.__file__, path)
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda: [str(path)])
    with pytest.warns(UserWarning, match="no installed font"):
        fonts.drawable(CHINESE)
