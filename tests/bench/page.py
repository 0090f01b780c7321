"""Frames a second of the live page in headless Chromium, and the time to its first map.

    python tests/bench/page.py [SECONDS]

For both builds of the core, the page is opened from a file, and the first object of the first
scene is dragged in circles for SECONDS (5) with two Grad-CAM maps beside it. Prints how often the
maps were painted, when they were painted first after the opening, and the processor time of all of
the browser's processes for each frame, which other programs hardly change. The mouse moves up to 60
times a second; the browser and this script share the processors.
"""

from __future__ import annotations

import math
import re
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from browser import Browser, Page

from gradcam import _page

MOVES = 60  # a second

PAINTS = """
globalThis.paints = [];
const put = CanvasRenderingContext2D.prototype.putImageData;
CanvasRenderingContext2D.prototype.putImageData = function (...given) {
  if (this.canvas.closest("#maps figure:first-child")) paints.push(performance.now());
  return put.apply(this, given);
};
"""


def without_relaxed(text: str) -> str:
    """The page with the build for simd128 in the place of the relaxed one."""
    part = '<script type="application/octet-stream" id="core-{}">([^<]*)</script>'
    plain = re.search(part.format("simd128"), text)
    relaxed = re.search(part.format("relaxed"), text)
    assert plain and relaxed
    return text[: relaxed.start(1)] + plain[1] + text[relaxed.end(1) :]


def drag(page: Page, seconds: float) -> None:
    """Move the first object in circles around its place."""
    x, y = page.centre("#scene .box rect")
    page.mouse("mouseMoved", (x, y))
    page.mouse("mousePressed", (x, y))
    start = time.perf_counter()
    while (passed := time.perf_counter() - start) < seconds:
        angle = 2 * math.pi * passed / 2
        point = x + 20 * math.cos(angle), y + 20 * math.sin(angle)
        page.mouse("mouseMoved", point, button="left", buttons=1)
        time.sleep(max(0, 1 / MOVES - (time.perf_counter() - start - passed)))
    page.mouse("mouseReleased", (x, y))


def main(seconds: float) -> None:
    with tempfile.TemporaryDirectory() as folder, Browser() as browser:
        relaxed, plain = Path(folder, "relaxed.html"), Path(folder, "simd128.html")
        text = _page.write(relaxed).read_text("utf-8")
        plain.write_text(without_relaxed(text), "utf-8")
        print(f"{len(text) / 1e6:.1f} MB")
        for path in (plain, relaxed):
            page = browser.open(path, first=PAINTS)
            first = page.wait_for("paints[0]", seconds=60)
            page.evaluate("""for (const each of document.querySelectorAll("#maps select")) {
                if (![...each.options].some(({value}) => value === "grad_cam")) continue;
                each.value = "grad_cam"; each.dispatchEvent(new Event("change")) }""")
            time.sleep(1)  # the rest of the page, such as the effects of removed objects, is done
            before, used = page.evaluate("paints.length"), browser.processor_seconds()
            drag(page, seconds)
            frames = page.evaluate("paints.length") - before
            used = browser.processor_seconds() - used
            print(
                f"{path.stem:8} first map after {first / 1000:.2f} s, "
                f"{frames / seconds:.1f} frames a second, "
                f"{1000 * used / max(frames, 1):.0f} ms of processor time each"
            )
            page.check()
            page.close()


if __name__ == "__main__":
    main(float(sys.argv[1]) if sys.argv[1:] else 5)
