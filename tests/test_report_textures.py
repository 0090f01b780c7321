"""The report on textures, as far as it needs no stamps."""

from __future__ import annotations

import numpy as np
import report_stamps
import report_textures
from PIL import Image

from gradcam import imagenet
from gradcam._tables import as_text


def stamp(name, colour, size=(60, 40)):
    """A cut-out with a border that is transparent."""
    pixels = np.zeros((size[1], size[0], 4), np.uint8)
    pixels[4:-4, 4:-4] = (*colour, 255)
    return report_stamps.Stamp(name, Image.fromarray(pixels), (386,))


def test_the_texture_of_the_pictogram():
    found = report_textures.texture("leopard", {})
    assert [imagenet.labels()[n].label for n in found.classes] == [
        *("leopard", "snow_leopard", "jaguar", "cheetah")
    ]
    assert found.picture.mode == "RGBA"


def test_a_shape_keeps_its_outline_and_classes():
    shape, skin = stamp("grey", (120, 120, 120)), stamp("green", (0, 200, 0), (50, 50))
    found = report_textures.filled(shape, skin, 0)
    plain = np.asarray(report_textures.fitted(shape.picture))
    changed = np.asarray(found.picture)
    assert found.classes == shape.classes and max(found.picture.size) == round(report_textures.ROOM)
    np.testing.assert_array_equal(changed[..., 3], plain[..., 3])
    inside = changed[plain[..., 3] == 255]
    assert (inside[:, :3] == (0, 200, 0)).mean() > 0.95


def test_the_bias_is_that_of_decisions():
    judged = report_textures.Judged
    found = [judged(1, 0.5, 0.1, 0.5, 0.25), judged(0, 0.1, 0.5, 0.0, 0.25)]
    assert report_textures.bias(found) == "50"
    assert report_textures.bias(found[:1]) == "67"
    assert report_textures.bias([judged(1, 0, 0, 0, 0)]) == "-"
    text = as_text(report_textures.to_table({"tiger": found}, {"tiger": 0.8}))
    row = text.splitlines()[-1].split()
    assert row[:3] == ["tiger", "80", "2"] and row[-2:] == ["50", "67"]
