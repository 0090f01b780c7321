"""Pictures of every kind, on disk and as arrays, and how they become input."""

from __future__ import annotations

import io
import sys
import types
import zlib
from pathlib import Path

import chains
import numpy as np
import pytest
import reference
import vggs
from helpers import run_python
from PIL import Image

import gradcam
from gradcam import InputWarning, _core
from gradcam._pictures import decoding, foreign
from gradcam._pictures.image import Geometry, PictureError, _covering, prepare, read_picture, render
from gradcam._pictures.presets import PRESETS, Preset

PICTURE = vggs.picture(30, 40)


def saved(tmp_path, image, name="picture.png", **options):
    path = tmp_path / name
    image.save(path, **options)
    return path


# --- kinds of picture ---


@pytest.mark.parametrize("kind", ["png", "bmp", "ppm", "tiff", "webp"])
def test_lossless_files(kind, tmp_path):
    options = {"lossless": True} if kind == "webp" else {}
    path = saved(tmp_path, Image.fromarray(PICTURE), f"picture.{kind}", **options)
    for source in (path, str(path)):
        np.testing.assert_array_equal(read_picture(source), PICTURE)


def test_jpeg(tmp_path):
    path = saved(tmp_path, Image.fromarray(PICTURE), "picture.jpg", quality=95, subsampling=0)
    found = read_picture(path)
    assert found.shape == PICTURE.shape
    assert np.abs(found.astype(int) - PICTURE.astype(int)).mean() < 4


def test_grey(tmp_path):
    grey = PICTURE[..., 0]
    expected = np.repeat(grey[..., None], 3, axis=2)
    for source in (saved(tmp_path, Image.fromarray(grey)), grey, grey[..., None]):
        np.testing.assert_array_equal(read_picture(source), expected)


def test_16_bits(tmp_path):
    deep = np.linspace(0, 65535, 1200).reshape(30, 40).astype(np.uint16)
    expected = np.rint(deep / 257).astype(np.uint8)
    path = saved(tmp_path, Image.fromarray(deep))
    assert Image.open(path).mode.startswith("I")
    for source in (path, deep):
        found = read_picture(source)
        assert found.shape == (30, 40, 3)
        np.testing.assert_array_equal(found, np.repeat(expected[..., None], 3, axis=2))


def test_16_bit_colour_arrays():
    deep = PICTURE.astype(np.uint16) * 257
    np.testing.assert_array_equal(read_picture(deep), PICTURE)


@pytest.mark.parametrize(("bits", "used"), [(9, 10), (10, 10), (11, 12), (12, 12)])
def test_fewer_bits_in_a_16_bit_picture_are_scaled(bits, used, tmp_path):
    """Cameras and microscopes store 12 bits in the low end of 16: taken for 16, it is black."""
    high = (1 << bits) - 1
    deep = np.linspace(0, high, 1200).reshape(30, 40).astype(np.uint16)
    expected = np.rint(deep * (255 / ((1 << used) - 1)))
    path = saved(tmp_path, Image.fromarray(deep))
    colours = np.repeat(deep[..., None], 3, axis=2)
    for source in (path, deep, colours, Image.fromarray(deep)):
        with pytest.warns(InputWarning, match=f"maximum is {high} is taken for {used}-bit values"):
            found = read_picture(source)
        np.testing.assert_array_equal(found, np.repeat(expected[..., None], 3, axis=2))


def test_dark_pictures_of_16_bits_warn_and_stay_dark():
    deep = np.linspace(0, 16383, 1200).reshape(30, 40).astype(np.uint16)
    with pytest.warns(InputWarning, match="16383 is dark"):
        found = read_picture(deep)
    np.testing.assert_array_equal(found[..., 0], np.rint(deep / 257))


def test_every_value_of_16_bits():
    deep = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    np.testing.assert_array_equal(read_picture(deep)[..., 0], np.rint(deep / 257))


def test_8_bits_in_a_16_bit_picture_are_refused():
    with pytest.raises(PictureError, match="8-bit values"):
        read_picture(PICTURE.astype(np.uint16))


MODES = {
    **{mode: lambda image, mode=mode: image.convert(mode) for mode in ("L", "1", "CMYK", "YCbCr")},
    **{mode: lambda image, mode=mode: image.convert(mode) for mode in ("HSV", "RGBA", "LA", "RGB")},
    "P": lambda image: image.quantize(16),
    "I;16": lambda image: Image.fromarray(np.asarray(image)[..., 0].astype(np.uint16) * 200),
    "I": lambda image: Image.fromarray(np.asarray(image)[..., 0].astype(np.int32) * 200),
}


@pytest.mark.parametrize("orientation", [1, 3, 5, 6, 7, 8])
@pytest.mark.parametrize("mode", MODES)
def test_large_pictures_are_converted_in_bands(mode, orientation, monkeypatch):
    image = MODES[mode](Image.fromarray(PICTURE))
    if mode in ("RGBA", "LA"):
        image.putalpha(Image.fromarray(PICTURE[..., 1]))
    if mode == "P":
        image.info["transparency"] = 3
    image.getexif()[0x0112] = orientation
    whole = read_picture(image)
    monkeypatch.setattr(decoding, "_BAND", 170)  # pixels: 4 rows
    np.testing.assert_array_equal(read_picture(image), whole)


def test_16_bit_colour_files(tmp_path):
    path = tmp_path / "deep.png"
    path.write_bytes(png_bytes(PICTURE.astype(">u2") * 257, depth=16, colour=2))
    np.testing.assert_array_equal(read_picture(path), PICTURE)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_is_laid_on_white(mode, tmp_path):
    colours = PICTURE if mode == "RGBA" else PICTURE[..., :1]
    alpha = np.linspace(0, 255, 1200).reshape(30, 40, 1)
    array = np.concatenate([colours, np.rint(alpha)], axis=2).astype(np.uint8)
    opacity = array[..., -1:] / 255
    expected = colours * opacity + 255 * (1 - opacity)
    for source in (saved(tmp_path, Image.fromarray(array)), array):
        found = read_picture(source)
        assert found.shape == (30, 40, 3)
        assert np.abs(found - expected).max() <= 1.01


def test_palettes(tmp_path):
    image = Image.fromarray(PICTURE).quantize(16)
    np.testing.assert_array_equal(
        read_picture(saved(tmp_path, image)), np.asarray(image.convert("RGB"))
    )


def test_palettes_with_a_transparent_colour(tmp_path):
    indices = np.zeros((4, 6), np.uint8)
    indices[:, 3:] = 1
    image = Image.fromarray(indices, "P")
    image.putpalette([255, 0, 0, 0, 0, 255])
    found = read_picture(saved(tmp_path, image, transparency=1))
    assert (found[:, :3] == [255, 0, 0]).all() and (found[:, 3:] == 255).all()


def test_cmyk(tmp_path):
    image = Image.new("CMYK", (40, 30), (0, 255, 255, 0))
    found = read_picture(saved(tmp_path, image, "picture.jpg", quality=95))
    assert found.shape == (30, 40, 3)
    assert np.abs(found.astype(int) - [255, 0, 0]).max() < 12


def test_black_and_white(tmp_path):
    bits = PICTURE[..., 0] > 128
    expected = np.repeat(bits[..., None], 3, axis=2) * np.uint8(255)
    for source in (saved(tmp_path, Image.fromarray(bits)), bits):
        np.testing.assert_array_equal(read_picture(source), expected)


# What each EXIF orientation asks of the stored rows and columns, to see the picture upright.
UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a.swapaxes(0, 1), 2),
    8: lambda a: np.rot90(a, 1),
}


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_exif_rotation(orientation, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path, Image.fromarray(PICTURE), exif=exif)
    np.testing.assert_array_equal(read_picture(path), UPRIGHT[orientation](PICTURE))


def test_an_orientation_that_does_not_exist(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 99
    path = saved(tmp_path, Image.fromarray(PICTURE), exif=exif)
    np.testing.assert_array_equal(read_picture(path), PICTURE)


def test_animations_show_their_first_frame(tmp_path):
    frames = [Image.new("RGB", (6, 4), colour) for colour in ("red", "blue")]
    path = tmp_path / "film.gif"
    frames[0].save(path, save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(read_picture(path)[0, 0], [255, 0, 0])


def test_pillow_images_are_left_as_they_are():
    image = Image.fromarray(PICTURE)
    np.testing.assert_array_equal(read_picture(image), PICTURE)
    np.testing.assert_array_equal(np.asarray(image), PICTURE)


def test_arrays_are_read_while_another_thread_imports_pillow(monkeypatch):
    """Its module is known then, and empty."""
    monkeypatch.setitem(sys.modules, "PIL.Image", types.ModuleType("PIL.Image"))
    assert not decoding.is_pillow(np.zeros((2, 2, 3), np.uint8))
    monkeypatch.delitem(sys.modules, "PIL.Image")
    assert not decoding.is_pillow(np.zeros((2, 2, 3), np.uint8))


def test_arrays_are_copied():
    array = PICTURE.copy()
    found = read_picture(array)
    array[:] = 0
    np.testing.assert_array_equal(found, PICTURE)


def test_one_pixel():
    np.testing.assert_array_equal(read_picture(PICTURE[:1, :1]), PICTURE[:1, :1])


# --- what cannot be read ---


@pytest.mark.parametrize("kind", ["png", "jpg", "webp", "gif", "bmp", "tiff"])
def test_truncated_files_are_refused(kind, tmp_path):
    path = saved(tmp_path, Image.fromarray(PICTURE), f"picture.{kind}")
    content = path.read_bytes()
    for share in (0.1, 0.5, 0.9):
        path.write_bytes(content[: int(len(content) * share)])
        with pytest.raises(PictureError, match="picture"):
            read_picture(path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"This is no picture.",
        b"<svg></svg>",
        b"\x89PNG\r\n\x1a\n",
        b"\xff\xd8\xff\xe0",
        bytes(999),
        b"x",
    ],
    ids=["empty", "text", "svg", "png head", "jpeg head", "zeros", "a byte"],
)
def test_other_files_are_refused(content, tmp_path):
    path = tmp_path / "fake.png"
    path.write_bytes(content)
    with pytest.raises(PictureError, match=r"fake\.png"):
        read_picture(path)


def test_damaged_bytes_never_surprise(tmp_path):
    """Every 7th byte in turn is changed: it still reads, or raises PictureError."""
    path = saved(tmp_path, Image.fromarray(PICTURE))
    content = path.read_bytes()
    refused = 0
    for place in range(0, len(content), 7):
        damaged = bytearray(content)
        damaged[place] ^= 0xFF
        path.write_bytes(damaged)
        try:
            read_picture(path)
        except PictureError:
            refused += 1
    assert refused > 0


def media(brand):
    return b"\0\0\0\x18ftyp" + brand + b"\0\0\0\0mif1" + bytes(99)


UNREADABLE = {
    "empty": (b"", "the file is empty"),
    "HEIC": (media(b"heic"), "HEIC.*pip install pillow-heif"),
    "HEIF": (media(b"mif1"), "pillow-heif"),
    "damaged AVIF": (media(b"avif"), "AVIF|avif"),
    "JPEG XL": (b"\xff\x0a" + bytes(50), "JPEG XL"),
    "JPEG XL in a box": (b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(50), "JPEG XL"),
    "MP4": (media(b"isom"), "a video"),
    "raw": (media(b"crx "), "camera"),
    "web page": (b"<!doctype html><p>404", "web page"),
    "web page with blanks": (b"\xef\xbb\xbf \n<HTML><body>", "web page"),
    "SVG": (b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg">', "SVG"),
    "JSON": (b'{"error": 404}', "JSON"),
    "text": (b"Not found", "a text"),
    "URL": (b"https://example.org/cat.jpg", "URL"),
    "EPS": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\nshowpage\n", "EPS.*not run"),
    "WMF": (b"\xd7\xcd\xc6\x9a" + bytes(99), "WMF"),
    "EMF": (b"\x01\0\0\0" + bytes(36) + b" EMF" + bytes(60), "EMF"),
    "PDF": (b"%PDF-1.7\n", "PDF"),
    "zeros": (bytes(999), "zeros"),
    "PNG": (b"\x89PNG\r\n\x1a\n" + b"\1" * 40, "begins as a PNG file and is damaged"),
    "JPEG": (b"\xff\xd8\xff\xe0\0", "JPEG"),
    "WebP": (b"RIFF\x10\0\0\0WEBPxxxx", "WebP|WEBP"),
    "npy": (b"\x93NUMPY\x01\0", "numpy.load"),
    "zip": (b"PK\x03\x04" + bytes(40), "zip archive or a file of weights"),
    "HDF5": (b"\x89HDF\r\n\x1a\n" + bytes(40), "weights"),
    "pickle": (b"\x80\x02\x8a\x0al\xfc", "weights"),
    "safetensors": (b'\x40\0\0\0\0\0\0\0{"a":{}}', "weights"),
    "LFS": (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
    "gzip": (b"\x1f\x8b\x08\0", "archive"),
    "unknown": (b"\x07\x81\x99" * 40, "unknown format"),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_unreadable_files_say_what_they_seem_to_be(name, tmp_path):
    content, words = UNREADABLE[name]
    path = tmp_path / "cat.jpg"
    path.write_bytes(content)
    for source in (path, content):
        with pytest.raises(PictureError, match=f"cannot be read as a picture .*({words})") as error:
            read_picture(source)
        assert error.value.path == (str(path) if source is path else None)


def test_truncated_pictures_say_so(tmp_path):
    for kind in ("png", "jpg", "tiff"):
        path = saved(tmp_path, Image.fromarray(PICTURE), f"picture.{kind}")
        path.write_bytes(path.read_bytes()[:-500])
        with pytest.raises(PictureError, match=r"truncated|not enough|file size|damaged|decoder"):
            read_picture(path)


def test_weights_are_not_pictures(tmp_path):
    tensors = {"a": np.ones((2, 3), np.float32)}
    gradcam.weights.save(tensors, tmp_path / "w.safetensors")
    np.savez(tmp_path / "w.npz", **tensors)
    for name in ("w.safetensors", "w.npz"):
        with pytest.raises(PictureError, match="weights"):
            read_picture(tmp_path / name)


def test_folders_are_not_pictures(tmp_path):
    with pytest.raises(IsADirectoryError, match=r"a folder, not a picture: pass the pictures in"):
        read_picture(tmp_path)


def test_only_the_listed_formats_are_opened():
    """No format that starts a program (EPS) or draws (WMF); files' names do not matter."""
    Image.init()
    writable = set(Image.SAVE) & set(Image.OPEN)
    image = Image.fromarray(PICTURE)
    opened = set()
    for kind in writable:
        content = io.BytesIO()
        try:
            image.save(content, kind)
        except (OSError, ValueError, KeyError):
            continue  # a format that cannot hold a picture of RGB
        try:
            assert read_picture(content).shape[2] == 3
            opened.add(kind)
        except PictureError:
            assert kind not in decoding.FORMATS
    assert {"PNG", "JPEG", "GIF", "BMP", "TIFF", "PPM", "TGA", "PCX", "ICO"} <= opened
    assert not {"EPS", "WMF", "EMF", "PDF"} & opened and opened <= set(decoding.FORMATS)


def test_the_suffixes_are_those_of_pillow():
    Image.init()
    known = Image.registered_extensions()
    for kind, suffixes in decoding.FORMATS.items():
        theirs = {suffix for suffix, name in known.items() if name == kind}
        assert theirs <= set(suffixes), kind
    assert {".jfif", ".avif", ".jp2", ".tga", ".mpo"} <= decoding.SUFFIXES
    assert not {".eps", ".ps", ".wmf", ".emf", ".h5", ".pdf"} & decoding.SUFFIXES


def test_no_signature_hides_another():
    starts = list(foreign._SIGNATURES)
    for n, start in enumerate(starts):
        assert not any(start.startswith(earlier) for earlier in starts[:n]), start


def test_memory_is_asked_for_before_a_large_picture_is_decoded(tmp_path):
    path = saved(tmp_path, Image.new("L", (2500, 2000)), compress_level=1)
    _core._pretend_memory(50 << 20)
    try:
        with pytest.raises(MemoryError, match=r"a picture of 2000 x 2500 pixels: 0\.12 GB are ne"):
            read_picture(path)
    finally:
        _core._pretend_memory(None)
    assert read_picture(path).shape == (2000, 2500, 3)


@pytest.mark.slow
def test_memory_of_the_largest_transparent_pictures(tmp_path):
    """16000 x 16000 pixels of grey and alpha: 1.0 GB in Pillow, 0.8 GB of RGB, and a band."""
    side = 16000
    compressor = zlib.compressobj(1)
    row = b"\0" + bytes(side * 2)
    data = b"".join(compressor.compress(row) for _ in range(side)) + compressor.flush()
    head = side.to_bytes(4, "big") * 2 + bytes([8, 4, 0, 0, 0])
    path = tmp_path / "clear.png"
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head) + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")
    )
    if not Path("/proc/self/status").exists():
        pytest.skip("this system does not say how much memory a process has used at most")
    # Not getrusage: a process inherits the maximum of the process that started it.
    peak = run_python(
        "from gradcam._pictures.image import read_picture\n"
        f"assert read_picture({str(path)!r}).min() == 255\n"
        "status = open('/proc/self/status').read()\n"
        "print(status.split('VmHWM:')[1].split()[0])\n"
    )
    assert int(peak) < 2_000_000  # KB


def test_missing_files_are_missing_files(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_picture(tmp_path / "none.png")
    with pytest.raises(OSError):
        read_picture(tmp_path)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 4, 5), np.uint8),
        np.zeros((2, 4, 4, 3), np.uint8),
        np.zeros(4, np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros((4, 0), np.uint8),
    ],
    ids=lambda array: str(array.shape),
)
def test_arrays_of_other_shapes_are_refused(array):
    with pytest.raises(PictureError):
        read_picture(array)


@pytest.mark.parametrize(
    "source", [np.zeros((4, 4, 3)), np.zeros((4, 4, 3), int), None, 3, io.StringIO("x")]
)
def test_other_types_are_refused(source):
    with pytest.raises(TypeError):
        read_picture(source)


def png_bytes(array: np.ndarray, *, depth: int, colour: int) -> bytes:
    """A PNG file of big-endian samples, written by hand."""
    height, width = array.shape[:2]
    rows = b"".join(b"\0" + row.tobytes() for row in array)
    head = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([depth, colour, 0, 0, 0])
    return (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", head)
        + _chunk(b"IDAT", zlib.compress(rows))
        + _chunk(b"IEND", b"")
    )


def _chunk(kind: bytes, content: bytes) -> bytes:
    check = zlib.crc32(kind + content)
    return len(content).to_bytes(4, "big") + kind + content + check.to_bytes(4, "big")


def test_more_pixels_than_can_be_read_are_refused_unread(tmp_path):
    """Only the header says 4 gigapixels; nothing of the kind is allocated."""
    head = (65535).to_bytes(4, "big") * 2 + bytes([8, 2, 0, 0, 0])
    path = tmp_path / "bomb.png"
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head) + _chunk(b"IDAT", b"") + _chunk(b"IEND", b"")
    )
    with pytest.raises(PictureError, match="pixels"):
        read_picture(path)


@pytest.mark.slow
def test_100_megapixels(tmp_path):
    """Read, explained, and the map is as large as the picture."""
    width, height = 12500, 8000
    compressor = zlib.compressobj(1)
    row = b"\0" + bytes([200, 40, 90]) * width
    data = b"".join(compressor.compress(row) for _ in range(height)) + compressor.flush()
    head = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([8, 2, 0, 0, 0])
    path = tmp_path / "large.png"
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head) + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")
    )
    cam = gradcam.vgg11(vggs.tensors("vgg11")).forward(path).saliency(3)
    assert cam.picture.shape == (height, width, 3)
    assert cam.map.shape == (height, width) and cam.map.max() == 1


# --- input ---

# Tall and wide, odd and even, smaller and larger than the input, a pixel, a line.
SIZES = [
    *((1, 1), (1, 7), (300, 1), (2, 3), (17, 900), (97, 211), (300, 150), (1000, 257)),
    *((224, 224), (225, 223), (255, 256), (256, 256), (333, 500), (600, 224)),
]


@pytest.mark.parametrize("preset", chains.CHAINS)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_input_is_that_of_the_weights_author_to_the_last_bit(size, preset):
    picture = np.random.default_rng(sum(size)).integers(0, 256, (*size, 3), dtype=np.uint8)
    values, geometry = prepare(picture, PRESETS[preset], (224, 224))
    assert values.dtype == np.float32 and values.flags.c_contiguous
    np.testing.assert_array_equal(values, chains.CHAINS[preset](picture))
    assert geometry.picture == size and geometry.input == (224, 224)


def test_every_preset_has_its_chain():
    assert chains.CHAINS.keys() == PRESETS.keys()


@pytest.mark.parametrize("preset", chains.CHAINS)
def test_every_value_of_a_pixel(preset):
    """A picture of the input's size is not resized, but a chain that crops enlarges it."""
    picture = np.arange(224 * 224 * 3).astype(np.uint8).reshape(224, 224, 3)
    values, _ = prepare(picture, PRESETS[preset], (224, 224))
    np.testing.assert_array_equal(values, chains.CHAINS[preset](picture))
    assert all(len(np.unique(plane)) == 256 for plane in values) or PRESETS[preset].shorter_side


def test_sizes_are_rounded_as_torchvision_rounds_them():
    for height in range(1, 601):
        for width in range(1, 601):
            scaled = _covering((height, width), (224, 224), 256 / 224)
            assert scaled == chains.resized_size(height, width)


def test_sizes_are_rounded_to_the_nearest_if_the_preset_says_so():
    for width in range(257, 600):
        rounded = int(256 * width / 300 + 0.5)
        assert _covering((300, width), (224, 224), 256 / 224, nearest=True) == (
            (256, rounded) if width >= 300 else (int(256 * 300 / width + 0.5), 256)
        )


@pytest.mark.parametrize("length", range(257, 265))
def test_the_crop_is_offset_as_torchvision_offsets_it(length):
    """Remainders of every kind: halves go to the even offset."""
    _, geometry = prepare(np.zeros((256, length, 3), np.uint8), PRESETS["torchvision"], (224, 224))
    left = chains.crop_offset(length)
    assert geometry.region == (16, left, 240, left + 224)


def test_straight_presets_never_crop():
    """Edges meet the picture's exactly, where a product of fractions would miss them."""
    for length in range(1, 3000):
        geometry = Geometry.scaled((length, 3000 - length), (224, 224), (0, 0, 224, 224))
        assert not geometry.cropped
        assert geometry == Geometry.straight((length, 3000 - length), (224, 224))


@pytest.mark.parametrize("interpolation", ["cubic", "", None, 1])
def test_an_unknown_interpolation_is_refused(interpolation):
    with pytest.raises(ValueError, match="preset"):
        Preset("mine", interpolation=interpolation)


@pytest.mark.parametrize("rounding", ["up", "", None, 1])
def test_an_unknown_rounding_is_refused(rounding):
    with pytest.raises(ValueError, match="preset"):
        Preset("mine", shorter_side=256, longer_side=rounding)


@pytest.mark.parametrize("preset", PRESETS.values(), ids=lambda preset: preset.name)
def test_original_size_is_neither_resized_nor_cropped(preset):
    values, geometry = prepare(PICTURE, preset, None)
    assert values.shape == (3, 30, 40) and not geometry.cropped
    pixels = values * np.array(preset.std)[:, None, None] + np.array(preset.mean)[:, None, None]
    pixels = (pixels * preset.scale).transpose(1, 2, 0)
    shown = pixels if preset.channel_order == "RGB" else pixels[..., ::-1]
    np.testing.assert_allclose(shown, PICTURE, atol=1e-3)


@pytest.mark.parametrize("preset", PRESETS.values(), ids=lambda preset: preset.name)
def test_render_undoes_normalising(preset):
    values, _ = prepare(PICTURE, preset, None)
    np.testing.assert_array_equal(render(values, preset), PICTURE)


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_render_without_a_preset_stretches(channels):
    values = np.random.default_rng(0).standard_normal((channels, 6, 7)).astype(np.float32)
    shown = render(values, None)
    assert shown.shape == (6, 7, 3) and shown.dtype == np.uint8
    assert shown.min() == 0 and shown.max() == 255
    assert not render(np.ones((channels, 6, 7), np.float32), None).any()


@pytest.mark.parametrize("preset", PRESETS.values(), ids=lambda preset: preset.name)
def test_presets_travel_as_metadata(preset):
    assert Preset.from_metadata(preset.to_metadata()) == preset
    assert Preset.from_metadata({"preset": preset.name}) == preset
    assert Preset.from_metadata({}) is None


# --- maps laid back ---

BACK = [
    (97, 211),
    (300, 150),
    (448, 448),
    (1000, 257),
    (333, 500),
    (225, 223),
    (60, 90),
    (224, 224),
]
"""Sizes of pictures: made smaller and larger, tall and wide, odd."""


def centre(weights: np.ndarray) -> np.ndarray:
    """(2,): the centre of mass, in pixels from the picture's upper left corner."""
    weights = weights.astype(np.float64)
    return np.array(
        [
            weights.sum(1 - axis) @ (np.arange(weights.shape[axis]) + 0.5) / weights.sum()
            for axis in (0, 1)
        ]
    )


PLACES = [(0.5, 0.5), (0.3, 0.6), (0.71, 0.37)]


@pytest.mark.parametrize("size", BACK, ids=str)
@pytest.mark.parametrize("preset", PRESETS)
def test_a_marker_comes_back_to_its_place(preset, size):
    """A white square, as the network's input shows it, laid on the picture again.

    Its centre comes back within a twentieth of a pixel of the picture where both ways are bilinear.
    Each nearest way moves an edge by up to half a pixel of the side it reads, at its larger scale.
    """
    place = PLACES[(BACK.index(size) + list(PRESETS).index(preset)) % len(PLACES)]
    side = max(5, min(size) // 9) | 1
    # Into the middle square, so that no crop cuts it, at a whole pixel.
    short = min(size) * 0.8
    top, left = (
        round((n - short) / 2 + p * short - side / 2) for n, p in zip(size, place, strict=True)
    )
    picture = np.zeros((*size, 3), np.uint8)
    picture[top : top + side, left : left + side] = 255
    values, geometry = prepare(picture, PRESETS[preset], (224, 224))
    marked = values[0] - values[0].min()
    scale = np.array(geometry.region)[2:] - np.array(geometry.region)[:2]
    pixel = np.maximum(1, scale / 224)  # of the picture or of the input, whichever is larger
    for resize in ("half_pixel", "nearest"):
        found = geometry.to_picture(marked, resize)
        ways = [PRESETS[preset].interpolation, resize]
        error = np.abs(centre(found) - (top + side / 2, left + side / 2))
        assert (error <= 0.05 + ways.count("nearest") * pixel / 2).all(), (resize, error)


@pytest.mark.parametrize("size", BACK, ids=str)
@pytest.mark.parametrize("preset", PRESETS)
def test_what_the_input_shows_is_what_is_seen(preset, size):
    """Each picture row and column alone made white: the input shows it where `seen` says so."""
    _, geometry = prepare(np.zeros((*size, 3), np.uint8), PRESETS[preset], (224, 224))
    seen, region = geometry.seen, np.array(geometry.region).reshape(2, 2)
    assert seen.shape == size
    laid = geometry.to_picture(np.ones((14, 14), np.float32))
    np.testing.assert_array_equal(laid, seen)  # 1 where seen, else 0
    for axis in (0, 1):
        inside = np.flatnonzero(seen.any(1 - axis))
        begin, end = region[:, axis]
        centres = np.arange(size[axis]) + 0.5
        np.testing.assert_array_equal(inside, np.flatnonzero((begin <= centres) & (centres <= end)))
    if PRESETS[preset].shorter_side is None:
        assert seen.all()
    else:
        assert 0.7 < seen.any(1).mean() * size[0] / min(size) < 0.9


@pytest.mark.parametrize("preset", ["torchvision", "torchvision-straight"])
def test_pixels_cut_away_do_not_reach_the_input(preset):
    """Picture pixels far outside the region change nothing; those well inside change something."""
    size = (150, 400)
    black = np.zeros((*size, 3), np.uint8)
    plain, geometry = prepare(black, PRESETS[preset], (224, 224))
    _, left, _, right = geometry.region
    for column in range(0, 400, 3):
        picture = black.copy()
        picture[:, column] = 255
        changed = bool((prepare(picture, PRESETS[preset], (224, 224))[0] != plain).any())
        # A bilinear filter that enlarges reaches one pixel of the picture past an edge.
        if left < column + 0.5 < right:
            assert changed
        elif not left - 1 < column + 0.5 < right + 1:
            assert not changed


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (1, 10), (12, 1), (2, 2), (2, 7)], ids=str)
def test_something_is_seen_of_the_smallest_pictures(size):
    """Seven eighths of a pixel between two centres are those two pixels."""
    picture = np.zeros((*size, 3), np.uint8)
    _, geometry = prepare(picture, PRESETS["torchvision"], (224, 224))
    begin, end = (np.array(size) - min(size)) / 2, (np.array(size) + min(size)) / 2
    rows, columns = (np.arange(n) + 0.5 for n in size)
    inside = ((begin[0] <= rows) & (rows <= end[0]))[:, None]
    inside = inside & (begin[1] <= columns) & (columns <= end[1])
    if min(size) == 1:
        np.testing.assert_array_equal(geometry.seen, inside)
    assert geometry.seen.any() and not (geometry.seen & ~inside).any()
    np.testing.assert_array_equal(geometry.to_picture(np.ones((14, 14), np.float32)), geometry.seen)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("cell", [(0, 0), (3, 9), (13, 13)], ids=str)
def test_a_cell_of_a_map_covers_the_pixels_that_the_input_shows_there(preset, cell):
    """A 14 x 14 map, 16 input pixels a cell: cell by cell on the picture, to the pixel."""
    size = (448, 672)
    _, geometry = prepare(np.zeros((*size, 3), np.uint8), PRESETS[preset], (224, 224))
    cells = np.zeros((14, 14), np.float32)
    cells[cell] = 1
    found = geometry.to_picture(cells, "nearest")
    # 448 rows: cropped, 1.75 picture pixels an input pixel, and 28 cut off at each side.
    cropped = geometry.cropped
    scales = (1.75, 1.75) if cropped else (2, 3)
    starts = (28, (672 - 392) / 2) if cropped else (0, 0)
    expected = np.zeros(size)
    (top, bottom), (left, right) = (
        (start + c * 16 * scale, start + (c + 1) * 16 * scale)
        for start, c, scale in zip(starts, cell, scales, strict=True)
    )
    expected[round(top) : round(bottom), round(left) : round(right)] = 1
    np.testing.assert_array_equal(found, expected)


def test_geometry_of_corners():
    """The four corner pixels of the input map to the corners of what was seen."""
    picture = vggs.picture(100, 300)
    _, geometry = prepare(picture, PRESETS["torchvision"], (224, 224))
    top, left, bottom, right = geometry.region
    assert (bottom - top) == pytest.approx(right - left, rel=0.01), "the crop is square"
    assert top + bottom == pytest.approx(100, abs=1) and left + right == pytest.approx(300, abs=1)
    corners = np.zeros((2, 2), np.float32)
    corners[1, 0] = 1
    found = geometry.to_picture(corners, "nearest")
    expected = reference.resize(corners, (100, 300), "nearest", geometry.region)
    np.testing.assert_array_equal(found, expected)
    assert found[round(bottom) - 2, round(left) + 2] == 1
    assert found[round(top) + 2, round(left) + 2] == 0
