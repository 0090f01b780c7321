"""A panel of the live page in a browser, and the package's answer to the same picture."""

from __future__ import annotations

import re

import numpy as np

from gradcam.pictograms import model

SCENE = "v1/meadow/cat=70,120,100,0/dog=160,130,96,-15"
WAIT = 150  # seconds at most, for a busy machine

_MINUS = str.maketrans("−⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "--0123456789")
_CHOOSE = """(select, value) => {
    select.value = value;
    for (const name of ["input", "change"]) select.dispatchEvent(new Event(name));
}"""


class Panel:
    """A panel that is shown, from the first answer on; its parts are named by data-part."""

    def __init__(self, browser, address, key, **view):
        self.page = browser.open(f"{address}#{SCENE}", **view)
        self.root = f"#panel-{key}"
        self.page.wait_for("window.gradcam", WAIT)
        self.page.click(f"#tab-{key}")

    def at(self, part):
        """The selector of a part."""
        return f"{self.root} [data-part={part}]"

    def wait(self, part, condition):
        self.page.wait_for(f"document.querySelector('{self.at(part)}').{condition}", WAIT)

    def text(self, part):
        return self.page.text(self.at(part))

    def numbers(self, part):
        """The numbers of a text that have a point or a minus sign: "−0.012", "9.65 × 10⁻⁶"."""
        found = re.findall(r"(−?\d+\.\d+|−\d+)(?:\s×\s10([⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+))?", self.text(part))
        return [float(f"{number}e{power or 0}".translate(_MINUS)) for number, power in found]

    def choose(self, part, value):
        """Give a choice or a slider another value."""
        self.page.evaluate(f"({_CHOOSE})(document.querySelector('{self.at(part)}'), '{value}')")

    def focus(self, part):
        self.page.evaluate(f"document.querySelector('{self.at(part)}').focus()")

    def box(self, part):
        """Left, top, width and height of a part that is scrolled into view."""
        self.page.centre(self.at(part))
        box = f"document.querySelector('{self.at(part)}').getBoundingClientRect()"
        return self.page.evaluate(f"(b => [b.left, b.top, b.width, b.height])({box})")


def scene_of(page):
    """The picture of the scene, (224, 224, 3) uint8."""
    asked = f"gradcam.ask('{SCENE}').then(({{picture}}) => Array.from(picture))"
    return np.reshape(page.evaluate(asked), (224, 224, 4)).astype(np.uint8)[..., :3]


def shown_in(page, selector):
    """The pixels of a canvas of the picture's size, (224, 224, 3) uint8."""
    pen = f"document.querySelector('{selector}').getContext('2d')"
    found = page.evaluate(f"Array.from({pen}.getImageData(0, 0, 224, 224).data)")
    return np.reshape(found, (224, 224, 4)).astype(np.uint8)[..., :3]


def tape_of(picture):
    """The package's tape of a picture."""
    return model().forward(picture)
