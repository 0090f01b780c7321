"""The live page in Firefox: the picture of a scene, its scores and maps equal those of Chromium.

The two may compile the relaxed instructions in their own ways, by which sums differ in the last
bits.
"""

from __future__ import annotations

import numpy as np

from gradcam import _page

SCENE = "v1/meadow/cat=80,120,96,0/dog=150,120,90,-15/a:grad_cam:cat:relu5_3/b:saliency:top:input"

ASK = f"""gradcam.ask({SCENE!r}).then(({{picture, reply}}) => ({{
    picture: [...picture], scores: [...reply.scores], maps: reply.maps.map((map) => [...map.raw])
}}))"""


def answer(page):
    page.wait_for("window.gradcam?.ask", seconds=120)
    return page.evaluate(ASK)


def test_firefox_and_chromium_agree(browser, firefox, tmp_path):
    path = _page.write(tmp_path / "live.html")
    page = browser.open(path)
    expected = answer(page)
    page.close()
    firefox.open(path)
    found = answer(firefox)
    assert found["picture"] == expected["picture"]
    np.testing.assert_allclose(found["scores"], expected["scores"], rtol=0, atol=1e-4)
    for ours, theirs in zip(found["maps"], expected["maps"], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4 * np.abs(theirs).max())
    assert firefox.evaluate("document.getElementById('problem').hidden")
