"""The driver of Firefox (firefox.py), on a small page."""

from __future__ import annotations

import pytest
from browser import BrowserError, PageError


def test_firefox(firefox, tmp_path):
    path = tmp_path / "a page.html"
    path.write_text("<!doctype html><title>Small</title><body style='background: red'>", "utf-8")
    firefox.open(path, width=500, height=400)
    assert firefox.evaluate("document.title") == "Small"
    assert firefox.evaluate("Promise.resolve({a: [1, 2.5, null]})") == {"a": [1, 2.5, None]}
    assert firefox.evaluate("undefined") is None
    with pytest.raises(PageError, match="TypeError: no"):
        firefox.evaluate("(() => { throw new TypeError('no') })()")
    with pytest.raises(PageError, match=r"not true within 0\.1 s"):
        firefox.wait_for("0", seconds=0.1)
    with pytest.raises(BrowserError, match="WebDriver:Nothing"):
        firefox.command("WebDriver:Nothing")
    firefox.screenshot(tmp_path / "shot.png")
    from PIL import Image

    with Image.open(tmp_path / "shot.png") as picture:
        assert picture.convert("RGB").getpixel((20, 20)) == (255, 0, 0)
