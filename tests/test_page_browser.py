"""The live page in a headless Chromium, opened from a file."""

from __future__ import annotations

import base64
import json
import platform
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import Browser, Page
from helpers import run_python
from numpy.typing import NDArray

from gradcam import _page, pictograms
from gradcam._page.data import SIZE

SCENES = [
    "v1/meadow/cat=70,120,100,0/dog=160,130,96,-15/a:grad_cam:cat:relu5_3/b:saliency:dog:input",
    "v1/street/dog.2=75,90,110,0/tiger.2=150,150,100,20/a:guided_grad_cam:tiger:relu5_3/b:counterfactual:dog:relu5_3",
    "v1/bricks/elephant=80,80,120,0/teapot=160,160,80,30/pizza=60,180,70,0/a:grad_cam:teapot:relu4_3/b:grad_cam:top:pool5",
    "v1/sea/yawl=110,100,150,0/a:guided_backprop:yawl:input/b:deconvnet:yawl:input",
    "v1/plain/a:grad_cam:volcano:relu5_3/b:saliency:top:input",
    "v1/fog/zebra=80,100,110,90/leopard=150,120,110,180/a:grad_cam:zebra:relu3_3/b:counterfactual:leopard:relu5_3",
    "v1/shapes/umbrella=224,224,200,-45/a:grad_cam:umbrella:relu5_3/b:guided_grad_cam:umbrella:relu5_3",
    "v1/leaves/mushroom=60,60,60,0/goose=165,60,60,5/lion=60,165,60,-5/racer=165,165,60,0/a:grad_cam:lion:relu5_3/b:grad_cam:racer:relu5_3",
    "v1/sand/Arabian_camel=112,120,130,0/a:deconvnet:Arabian_camel:input/b:saliency:Arabian_camel:input",
    "v1/meadow/jack-o'-lantern=112,112,30,0/a:grad_cam:jack-o'-lantern:relu1_2/b:grad_cam:goose:relu5_3",
]

OPEN = "window.gradcam && document.querySelectorAll('.bar')[35].textContent"

# Python's numbers of pictures in a folder, at the baseline of the processor.
BASELINE = """
import json, sys
from pathlib import Path
import numpy as np
from gradcam import pictograms
folder, network = Path(sys.stdin.readline().strip()), pictograms.model()
for n, wishes in enumerate(json.loads(sys.stdin.readline())):
    tape = network.forward(np.load(folder / f"{n}.npy"))
    found = {"scores": tape.scores[0]}
    for m, (method, target, layer) in enumerate(wishes):
        target = int(tape.scores[0].argmax()) if target == "top" else target
        more = {} if layer == "input" else {"layer": layer}
        found[f"map{m}"] = tape.explain(method, target, **more).map
    np.savez(folder / f"{n}.npz", **found)
"""

# Asks about a scene; arrays as base64.
ASK = """(async (text) => {
  const coded = (array) => {
    const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
    let letters = "";
    for (let n = 0; n < bytes.length; n += 8192) {
      letters += String.fromCharCode(...bytes.subarray(n, n + 8192));
    }
    return btoa(letters);
  };
  const {picture, owner, reply} = await window.gradcam.ask(text);
  return {
    picture: coded(picture), owner: coded(owner), scores: coded(reply.scores),
    maps: reply.maps.map(({values}) => coded(values)),
  };
})"""

# In each frame: how many pixels of a map, of those without colour, are not the grey of the scene.
# The darkest colours make the grey a little darker.
WATCH = """window.watched = [];
window.watch = () => {
  const pixels = (selector) => {
    const canvas = document.querySelector(selector);
    return canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  };
  const look = () => {
    const [scene, left, right] = ["#scene canvas", ".map canvas", ".map + .map canvas"].map(pixels);
    let wrong = 0;
    for (const map of [left, right]) {
      for (let n = 0; n < scene.length; n += 4) {
        if (map[n] !== map[n + 1] || map[n] !== map[n + 2]) continue;
        const grey = 0.299 * scene[n] + 0.587 * scene[n + 1] + 0.114 * scene[n + 2];
        if (Math.abs(grey - map[n]) > 8) wrong++;
      }
    }
    window.watched.push([wrong, scene.reduce((sum, each, n) => (sum * 31 + each) | 0, 0)]);
    requestAnimationFrame(look);
  };
  look();
};"""


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _page.write(tmp_path_factory.mktemp("page") / "live.html")


@pytest.fixture
def opened(browser: Browser, file: Path) -> Iterator[Page]:
    page = browser.open(file, first=WATCH)
    page.wait_for(OPEN, 60)
    yield page
    page.check()


def array(text: str, kind: Any) -> NDArray[Any]:
    return np.frombuffer(base64.b64decode(text), kind)


def asked(page: Page, text: str) -> dict[str, Any]:
    found = page.evaluate(f"{ASK}({json.dumps(text)})")
    return {
        "picture": array(found["picture"], np.uint8).reshape(SIZE, SIZE, 4)[..., :3].copy(),
        "scores": array(found["scores"], np.float32),
        "maps": [array(each, np.float32).reshape(SIZE, SIZE) for each in found["maps"]],
    }


def wishes_of(text: str) -> list[tuple[str, int | str, str]]:
    labels = [label for _, label in pictograms.CLASSES]
    found = (part.split(":")[1:] for part in text.split("/") if ":" in part)
    return [(m, c if c == "top" else labels.index(c), layer) for m, c, layer in found]


def test_scores_and_maps_are_those_of_python(opened):
    """With whichever level the browser has; a decision of a ReLU near zero may fall otherwise."""
    network = pictograms.model()
    for text in SCENES:
        found = asked(opened, text)
        tape = network.forward(found["picture"])
        scale = np.abs(tape.scores).max()
        assert np.abs(found["scores"] - tape.scores[0]).max() <= 1e-5 * scale, text
        for (method, target, layer), map_ in zip(wishes_of(text), found["maps"], strict=True):
            more = {} if layer == "input" else {"layer": layer}
            target = int(tape.scores[0].argmax()) if target == "top" else target
            expected = tape.explain(method, target, **more).map
            assert np.abs(map_ - expected).mean() <= 1e-5, (text, method)


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="other arithmetic")
def test_the_same_bits_as_the_baseline(browser, file, tmp_path):
    """Without relaxed SIMD, which a browser may lack: its core is replaced by that of simd128."""
    text = file.read_text("utf-8")
    core = r'(id="core-{}">)([A-Za-z0-9+/=]+)<'
    simd128 = re.search(core.format("simd128"), text)
    assert simd128 is not None
    plain = tmp_path / "plain.html"
    replaced = re.sub(core.format("relaxed"), lambda m: f"{m[1]}{simd128[2]}<", text)
    plain.write_text(replaced, "utf-8")
    page = browser.open(plain)
    page.wait_for(OPEN, 60)
    answers = [asked(page, scene) for scene in SCENES]
    for n, found in enumerate(answers):
        np.save(tmp_path / f"{n}.npy", found["picture"])
    given = f"{tmp_path}\n{json.dumps([wishes_of(scene) for scene in SCENES])}\n"
    run_python(BASELINE, given, GRADCAM_CPU_LEVEL="baseline", GRADCAM_NUM_THREADS="1")
    for n, found in enumerate(answers):
        expected = np.load(tmp_path / f"{n}.npz")
        np.testing.assert_array_equal(found["scores"], expected["scores"], SCENES[n])
        for m, map_ in enumerate(found["maps"]):
            np.testing.assert_array_equal(map_, expected[f"map{m}"], SCENES[n])


def test_what_is_dragged_changes_scene_and_maps_together(opened):
    before = opened.evaluate("JSON.stringify(window.gradcam.state().scene)")
    opened.evaluate("window.watch()")
    x, y = opened.centre("#scene .square")
    side = opened.evaluate("document.querySelector('#scene .square').clientWidth")
    start = (x + side * (70 / SIZE - 0.5), y + side * (120 / SIZE - 0.5))  # on the cat
    opened.drag(start, (start[0] + side * 0.25, start[1] - side * 0.2), steps=12)
    opened.wait_for("document.querySelector('.effects').textContent.includes('without the cat')")
    after = json.loads(opened.evaluate("JSON.stringify(window.gradcam.state().scene)"))
    moved, other = after["objects"]
    assert (moved["x"], moved["y"]) == pytest.approx((70 + 56, 120 - 45), abs=1)
    assert other == json.loads(before)["objects"][1]
    watched = opened.evaluate("window.watched")
    assert max(wrong for wrong, _ in watched) < 40  # colours that happen to be grey
    assert len({scene for _, scene in watched}) >= 3  # several frames were seen


def test_the_keys(opened):
    def thing() -> dict[str, Any]:
        return opened.evaluate("window.gradcam.state().scene.objects[0]")

    opened.evaluate("document.querySelector('.box').focus()")
    for key, changed in (
        ("ArrowRight", {"x": 72}),
        ("Shift+ArrowDown", {"y": 130}),
        ("+", {"length": 106}),
        ("[", {"turn": -5}),
        (",", {"turn": -10}),
        (".", {"turn": -5}),
        ("v", {"variant": 2}),
    ):
        opened.press(key)
        assert {name: thing()[name] for name in changed} == changed
    opened.press("Tab")
    assert opened.evaluate("window.gradcam.state().selected") == 1
    opened.press("Shift+Tab")
    opened.press("f")
    assert labels(opened) == ["dog", "cat"]
    assert opened.evaluate("window.gradcam.state().selected") == 1
    assert focused(opened).startswith("cat, at")
    opened.press("Delete")
    assert labels(opened) == ["dog"]
    assert focused(opened).startswith("dog, at")
    opened.wait_for("document.querySelector('#scene canvas').ariaLabel.startsWith('dog, on')")
    opened.press("Delete")
    assert labels(opened) == []
    assert focused(opened).startswith("Add: ")


def labels(page: Page) -> list[str]:
    return page.evaluate("window.gradcam.state().scene.objects.map(({label}) => label)")


def focused(page: Page) -> str:
    return page.evaluate("document.activeElement.getAttribute('aria-label')")


def test_a_key_by_altgr(opened):
    """Where brackets are written with AltGr, which some systems report as Ctrl and Alt."""
    turned = opened.evaluate(
        """(() => {
        const press = (more) => document.querySelector(".box").dispatchEvent(new KeyboardEvent(
            "keydown", {key: "]", ctrlKey: true, altKey: true, ...more}));
        document.querySelector(".box").focus();
        press({});
        const before = window.gradcam.state().scene.objects[0].turn;
        press({modifierAltGraph: true});
        return [before, window.gradcam.state().scene.objects[0].turn];
        })()"""
    )
    assert turned == [0, 5]


def test_only_the_main_button_drags(opened):
    x, y = opened.centre("#scene .square")
    side = opened.evaluate("document.querySelector('#scene .square').clientWidth")
    point = (x + side * (70 / SIZE - 0.5), y + side * (120 / SIZE - 0.5))  # on the cat
    scene = "JSON.stringify(window.gradcam.state().scene)"
    before = opened.evaluate(scene)
    for button, held in (("right", 2), ("middle", 4)):
        opened.mouse("mousePressed", point, button=button, buttons=held)
        opened.mouse("mouseMoved", (point[0] + 30, point[1]), button=button, buttons=held)
        opened.mouse("mouseReleased", point, button=button, buttons=0)
    assert opened.evaluate(scene) == before
    opened.drag(point, (point[0] + 30, point[1]))
    assert opened.evaluate(scene) != before


def test_a_fifth_object_is_refused_in_words(opened):
    button = ".palette button[aria-label='Add: teapot']"
    for _ in range(3):
        opened.click(button)
    assert len(labels(opened)) == 4
    assert opened.text("#spoken") == "A scene has at most four objects."


def test_what_a_screen_reader_is_told(opened):
    label = opened.evaluate("document.querySelector('.box').getAttribute('aria-label')")
    assert label == "cat, at 70, 120, 100 pixels long, turned 0 degrees"
    opened.wait_for("document.getElementById('spoken').textContent")
    spoken = opened.evaluate("document.getElementById('spoken').textContent")
    assert re.fullmatch(r"The network says cat, [\d.]+ %, then dog, [\d.]+ %\.", spoken)
    words = opened.evaluate("document.querySelector('.map canvas').getAttribute('aria-label')")
    assert words.startswith("Grad-CAM for cat. Its maximum is on the cat.") and "dog 0 %" in words
    opened.click("#truth")
    opened.wait_for("document.querySelector('.map canvas').ariaLabel === 'Grad-CAM for cat.'")
    tabs = opened.evaluate(
        "[...document.querySelectorAll('[role=tab]')].map((tab) => {"
        "  const panel = document.getElementById(tab.getAttribute('aria-controls'));"
        "  return [panel.getAttribute('role'), panel.getAttribute('aria-labelledby') === tab.id];"
        "})"
    )
    assert tabs == [["tabpanel", True]] * 4
    opened.evaluate("document.getElementById('tab-maps').focus()")
    for key, tab in (("End", "vote"), ("Home", "maps")):
        opened.press(key)
        assert opened.evaluate("window.gradcam.state().tab") == tab
    unnamed = opened.evaluate(
        "[...document.querySelectorAll('button, select, input')].filter((each) => !each.hidden && "
        "!(each.textContent.trim() || each.ariaLabel || each.labels?.length)).length"
    )
    assert unnamed == 0


def test_a_pictogram_is_added_and_the_link_holds_the_scene(opened, browser, file):
    opened.click(".palette button[aria-label='Add: teapot']")
    scene = opened.evaluate("window.gradcam.state().scene")
    assert [each["label"] for each in scene["objects"]] == ["cat", "dog", "teapot"]
    opened.click("#link")
    opened.wait_for("location.hash.length > 1")
    address = opened.evaluate("location.href")
    again = browser.open(address)
    again.wait_for(OPEN, 60)
    assert again.evaluate("window.gradcam.state().scene") == scene


def test_a_damaged_address(browser, file):
    page = browser.open(file.as_uri() + "#v1/meadow/kat=80,120,96,0")
    page.wait_for(OPEN, 60)
    assert page.text("#problem") == (
        "The address of this page has a scene that cannot be shown: there is no class “kat”."
    )
    assert page.evaluate("window.gradcam.state().scene.objects.length") == 2
    page.click(".palette button")
    assert page.evaluate("document.getElementById('problem').hidden")
    page.check()


def test_a_failure_is_told_until_a_frame_is_painted_again(opened):
    opened.evaluate(
        "window.send = Worker.prototype.postMessage;"
        "Worker.prototype.postMessage = () => { throw new Error('it is lost'); }"
    )
    opened.click(".palette button")
    opened.wait_for("!document.getElementById('problem').hidden")
    assert opened.text("#problem") == "The request could not be sent: it is lost."
    opened.evaluate("Worker.prototype.postMessage = window.send; 0")
    opened.click(".palette button")
    opened.wait_for("document.getElementById('problem').hidden")


def test_a_slower_question_that_fails_is_told(opened):
    """The effects on the score are asked when the scene is at rest."""
    opened.wait_for("document.querySelector('.effects').textContent.includes('without the cat')")
    opened.evaluate(
        "(() => { const send = Worker.prototype.postMessage; let count = 0;"
        " Worker.prototype.postMessage = function (request) {"
        "   if (count++) throw new Error('it is lost'); send.call(this, request); }; })()"
    )
    opened.click(".palette button")
    opened.wait_for("!document.getElementById('problem').hidden")
    assert opened.text("#problem") == "The request could not be sent: it is lost."


def test_a_browser_without_webassembly(browser, file, tmp_path):
    old = tmp_path / "old.html"
    mark = '<script type="text/plain" id="worker">\n'
    text = file.read_text("utf-8")
    assert mark in text
    old.write_text(text.replace(mark, f"{mark}delete self.WebAssembly;\n"), "utf-8")
    page = browser.open(old)
    page.wait_for("!document.getElementById('problem').hidden", 60)
    assert page.text("#problem").startswith(
        "This browser has no WebAssembly, or it is switched off: "
    )
    assert page.evaluate("document.getElementById('opening') === null")


def test_an_old_browser(browser, file):
    page = browser.open(file, first="delete window.DecompressionStream;")
    page.wait_for("!document.getElementById('problem').hidden", 60)
    expected = "This browser cannot unpack the pictures: open this page in a newer one."
    assert page.text("#problem") == expected


@pytest.mark.parametrize(("width", "height", "mobile"), [(360, 740, True), (1920, 1080, False)])
def test_it_fits(browser, file, width, height, mobile):
    page = browser.open(file, width=width, height=height, mobile=mobile, dark=mobile)
    page.wait_for(OPEN, 60)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    small = page.evaluate(
        "[...document.querySelectorAll('header button, select, .toolbar button, .bar')]"
        ".filter((each) => each.offsetParent && each.offsetHeight < 44).length"
    )
    assert small == 0
    if mobile:
        x, y = page.centre("#scene .square")
        page.swipe((x - 60, y), (x - 60, y - 50))
        moved = page.evaluate("window.gradcam.state().scene.objects[0].y")
        assert moved < 110
    page.check()
