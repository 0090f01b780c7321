"""The modules that open pictures in the page for photographs, under node, against Pillow."""

from __future__ import annotations

import base64
import dataclasses

import numpy as np
import pytest
from helpers import run_node
from PIL import Image

from gradcam import PRESETS
from gradcam._pictures.image import scale

PRESET = PRESETS["efficientnet-lite"]


def ask(what, **request):
    """The answer of web_pictures.mjs."""
    return run_node("web_pictures.mjs", given={"what": what, **request})


def described(preset):
    return dataclasses.asdict(preset)


PRESETS_OF_FITS = [
    PRESET,
    dataclasses.replace(PRESET, longer_side="down", crop_offset="down"),
    dataclasses.replace(PRESET, size=223, interpolation="bilinear"),
    PRESETS["torchvision"],
]


@pytest.mark.parametrize("preset", PRESETS_OF_FITS)
def test_sizes_and_crops_are_those_of_python(preset):
    rng = np.random.default_rng(1)
    sizes = [(224, 224), (256, 256), (1, 1), (300, 1), (1, 300), (451, 300), (4032, 3024)]
    sizes += [tuple(map(int, pair)) for pair in rng.integers(20, 900, (60, 2))]
    for (width, height), fit in zip(
        sizes, ask("fits", sizes=sizes, preset=described(preset)), strict=True
    ):
        picture = np.zeros((height, width, 3), np.uint8)
        scaled, (top, left, bottom, right) = scale(picture, preset, (preset.size, preset.size))
        assert (fit["height"], fit["width"]) == scaled.shape[:2]
        assert (fit["top"], fit["left"]) == (top, left)
        assert (fit["top"] + fit["size"], fit["left"] + fit["size"]) == (bottom, right)


@pytest.mark.parametrize("preset", [PRESET, PRESETS_OF_FITS[2]])
@pytest.mark.parametrize(
    ("width", "height", "rows"), [(640, 411, 100), (57, 1200, 1), (900, 31, 31), (256, 300, 7)]
)
def test_pixels_are_those_of_pillow(tmp_path, preset, width, height, rows):
    """Bit for bit, enlarged and reduced; sharp edges make both filters overshoot."""
    rng = np.random.default_rng(width)
    picture = rng.integers(0, 256, (height, width, 3), np.uint8)
    picture[: height // 2] = np.where(picture[: height // 2] > 128, 255, 0)
    rgba = np.dstack([picture, np.full((height, width), 255, np.uint8)])
    path = tmp_path / "rgba"
    path.write_bytes(rgba.tobytes())
    request = {"path": str(path), "width": width, "height": height, "rows": rows}
    ours = base64.b64decode(ask("resized", preset=described(preset), **request))
    scaled, (top, left, bottom, right) = scale(picture, preset, (preset.size, preset.size))
    theirs = scaled[top:bottom, left:right]
    ours = np.frombuffer(ours, np.uint8).reshape(preset.size, preset.size, 4)
    assert (ours[..., 3] == 255).all()
    np.testing.assert_array_equal(ours[..., :3], theirs)


def saved(folder, name, size=(40, 30), **options):
    """Save a picture of noise with Pillow."""
    pixels = np.random.default_rng(2).integers(0, 256, (size[1], size[0], 3), np.uint8)
    path = folder / name
    Image.fromarray(pixels).save(path, **options)
    return path


@pytest.fixture
def pictures(tmp_path):
    """Files of every format that browsers open, with what each is."""
    frames = [Image.new("RGB", (40, 30), color) for color in ("red", "green", "blue")]
    several = {"save_all": True, "append_images": frames[1:], "duration": 100}
    made = {
        saved(tmp_path, "a.jpg"): ("JPEG", False),
        saved(tmp_path, "progressive.jpg", progressive=True): ("JPEG", False),
        saved(tmp_path, "a.png"): ("PNG", False),
        saved(tmp_path, "a.gif"): ("GIF", False),
        saved(tmp_path, "a.webp"): ("WebP", False),
        saved(tmp_path, "lossless.webp", lossless=True): ("WebP", False),
        saved(tmp_path, "profile.webp", exif=turned(1)): ("WebP", False),
        saved(tmp_path, "a.bmp"): ("BMP", False),
    }
    for name, format in {"more.gif": "GIF", "more.png": "PNG", "more.webp": "WebP"}.items():
        frames[0].save(tmp_path / name, **several)
        made[tmp_path / name] = (format, True)
    if "AVIF" in Image.SAVE:
        made[saved(tmp_path, "a.avif")] = ("AVIF", False)
    return made


def turned(orientation):
    """The EXIF data of a picture that is stored turned."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes()


def test_files_are_recognised(pictures):
    for found, (path, (format, animated)) in zip(
        ask("found", paths=[*map(str, pictures)]), pictures.items(), strict=True
    ):
        expected = {"format": format, "width": 40, "height": 30, "animated": animated}
        assert found == expected | {"seems": None, "cut": False}, path.name


def test_jpegs_with_a_small_picture_inside_and_something_behind(tmp_path):
    path = saved(tmp_path, "a.jpg")
    small = saved(tmp_path, "small.jpg", size=(8, 8)).read_bytes()
    content = path.read_bytes()
    segment = b"\xff\xe1" + (len(small) + 2).to_bytes(2, "big") + small
    path.write_bytes(content[:2] + segment + content[2:] + b"more")
    cut = tmp_path / "cut.jpg"
    cut.write_bytes((content[:2] + segment + content[2:])[:-300])
    whole, ended = ask("found", paths=[str(path), str(cut)])
    assert (whole["width"], whole["height"], whole["cut"]) == (40, 30, False)
    assert (ended["width"], ended["height"], ended["cut"]) == (40, 30, True)


def test_files_that_end_too_early(pictures):
    """Whatever the length, nothing but an answer, and never the size of another picture."""
    for path, (format, _) in pictures.items():
        answers = ask("beginnings", path=str(path))
        assert {answer["format"] for answer in answers} == {None, format}
        assert {(answer["width"], answer["height"]) for answer in answers} <= {(0, 0), (40, 30)}
        if format in ("JPEG", "PNG", "WebP"):
            pixels = answers[:-16]  # what is behind the end of the pixels may be missing
            assert all(answer["cut"] for answer in pixels if answer["format"]), path.name


@pytest.mark.parametrize(
    ("content", "seems"),
    [
        (b"%PDF-1.7", "a PDF document"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "a HEIC picture"),
        (b"\0\0\0\x18ftypisom\0\0\0\0", "a video"),
        (b"II*\0\x08\0\0\0", "a TIFF picture"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG drawing"),
        (b"hello", None),
        (b"\xff", None),
    ],
)
def test_other_files(tmp_path, content, seems):
    path = tmp_path / "file"
    path.write_bytes(content)
    (found,) = ask("found", paths=[str(path)])
    assert (found["format"], found["seems"]) == (None, seems)
    _, _, words = ask("words", name="file", found=found, bytes=1)
    assert words.startswith("“file” is ") and words.endswith(
        "choose a JPEG, PNG, WebP, GIF, BMP or AVIF file."
    )
    assert (seems or "not a picture that this browser opens") in words


def test_random_bytes_after_each_signature(tmp_path, pictures):
    """Damaged headers: an answer within the file, whatever they say."""
    rng = np.random.default_rng(3)
    paths = []
    for path in pictures:
        content = np.frombuffer(path.read_bytes(), np.uint8)
        for number in range(20):
            damaged = content.copy()
            places = rng.integers(3, min(len(content), 300), 5)
            damaged[places] = rng.integers(0, 256, 5)
            place = tmp_path / f"{number}-{path.name}"
            place.write_bytes(damaged.tobytes())
            paths.append(str(place))
    assert len(ask("found", paths=paths)) == len(paths)


def test_sentences():
    found = {"format": "PNG", "seems": None, "width": 12000, "height": 9000, "cut": False}
    size, large, decoding = ask("words", name="a.png", found=found, bytes=600_000_000)
    assert size == "“a.png” has 600 megabytes: this page opens files of less than 500."
    assert "12000 × 9000 pixels, 108 megapixels" in large
    assert "memory of this computer is too small for its 108 megapixels" in decoding
    found |= {"width": 30, "height": 20, "cut": True}
    empty, cut, decoding = ask("words", name="x" * 90, found=found, bytes=0)
    assert "is empty" in empty and "…" in empty and len(empty) < 140
    assert "is a PNG picture that ends too early" in cut
    assert "could not be decoded: it is damaged." in decoding
    shown = {"name": "a.gif", "width": 3, "height": 2, "animated": True, "cropped": True}
    assert ask("shown", shown=shown | {"others": 2}) == (
        "a.gif, 3 × 2 pixels; the network sees its centre; the first picture of an animation; "
        "the first of 3 files."
    )


def test_places():
    points = [(0, 0), (223, 0), (112, 112), (112, 223), (0, 112), (74, 74), (75, 75)]
    assert ask("places", points=points, size=224) == [
        *("upper left", "upper right", "centre", "lower centre", "middle left", "upper left"),
        "centre",
    ]
