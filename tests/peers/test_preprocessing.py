"""Network input of picture files, compared with the tools of the weights' authors.

All values are equal to the last bit. The tools are called as in their manuals: torchvision's
transforms of a Pillow image; Keras's load_img, img_to_array and preprocess_input.
"""

from __future__ import annotations

import numpy as np
import pytest
from helpers import peer
from PIL import Image

from gradcam._pictures.image import prepare, read_picture
from gradcam._pictures.presets import PRESETS

torch = peer("torch")
models = peer("torchvision.models")
transforms = peer("torchvision.transforms")
v2 = peer("torchvision.transforms.v2")
keras = peer("keras")
vgg16 = peer("keras.applications.vgg16")

pytestmark = pytest.mark.peers

IMAGENET = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
SIZES = [
    *((1, 1), (1, 9), (200, 1), (2, 3), (13, 700), (97, 211), (301, 150), (999, 257)),
    *((224, 224), (225, 223), (255, 256), (256, 256), (333, 500), (600, 225), (1201, 1600)),
]


# --- the authors' tools: from a path to (3, 224, 224) ---


def torchvision_weights(path):
    """The transforms that torchvision ships with the weights."""
    return by_torchvision(path, models.VGG16_Weights.IMAGENET1K_V1.transforms())


def torchvision_classic(path):
    """The transforms of torchvision's ImageNet example."""
    steps = [transforms.Resize(256), transforms.CenterCrop(224), transforms.ToTensor()]
    return by_torchvision(path, transforms.Compose([*steps, transforms.Normalize(**IMAGENET)]))


def torchvision_straight(path):
    steps = [transforms.Resize((224, 224)), transforms.ToTensor(), transforms.Normalize(**IMAGENET)]
    return by_torchvision(path, transforms.Compose(steps))


def by_torchvision(path, steps):
    with Image.open(path) as image:
        return steps(image.convert("RGB")).numpy()


def keras_nearest(path):
    return by_keras(path)


def keras_bilinear(path):
    return by_keras(path, interpolation="bilinear")


def keras_tf(path):
    return by_keras(path, peer("keras.applications.mobilenet").preprocess_input)


def keras_torch(path):
    return by_keras(path, peer("keras.applications.densenet").preprocess_input)


def scaled(path):
    steps = [transforms.Resize((224, 224)), transforms.ToTensor()]
    return by_torchvision(path, transforms.Compose(steps))


def raw(path):
    steps = [transforms.Resize((224, 224)), transforms.PILToTensor()]
    return by_torchvision(path, transforms.Compose(steps)).astype(np.float32)


def by_keras(path, preprocess=vgg16.preprocess_input, **options):
    image = keras.utils.load_img(path, target_size=(224, 224), **options)
    batch = np.expand_dims(keras.utils.img_to_array(image), axis=0)
    return preprocess(batch)[0].transpose(2, 0, 1)


ORIGINALS = [
    ("torchvision", torchvision_weights),
    ("torchvision", torchvision_classic),
    ("torchvision-straight", torchvision_straight),
    ("keras", keras_nearest),
    ("keras-tf", keras_tf),
    ("keras-torch", keras_torch),
    ("caffe", keras_bilinear),
    ("0..1", scaled),
    ("0..255", raw),
]
each_original = pytest.mark.parametrize(
    "preset, original", ORIGINALS, ids=[original.__name__ for _, original in ORIGINALS]
)


def ours(source, preset):
    return prepare(read_picture(source), PRESETS[preset], (224, 224))[0]


def pixels(*shape, seed=0):
    """Noise on a gradient, with all values and many edges."""
    random = np.random.default_rng([seed, *shape])
    ramp = np.add.outer(np.linspace(0, 128, shape[0]), np.linspace(0, 127, shape[1]))
    ramp = ramp.reshape(*shape[:2], *[1] * (len(shape) - 2))
    return (ramp + random.integers(-127, 128, shape)).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("size", SIZES, ids=str)
@each_original
def test_sizes(preset, original, size, tmp_path):
    path = tmp_path / "picture.png"
    Image.fromarray(pixels(*size, 3)).save(path)
    found, expected = ours(path, preset), original(path)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


# --- kinds of pictures that both read in the same way ---


def jpeg(path):
    Image.fromarray(pixels(97, 211, 3)).save(path, "jpeg", quality=80)


def progressive(path):
    Image.fromarray(pixels(301, 150, 3)).save(path, "jpeg", progressive=True)


def grey_jpeg(path):
    Image.fromarray(pixels(97, 211)).save(path, "jpeg")


def cmyk(path):
    Image.fromarray(pixels(97, 211, 4), "CMYK").save(path, "jpeg")


def grey(path):
    Image.fromarray(pixels(301, 150)).save(path, "png")


def bits(path):
    Image.fromarray(pixels(97, 211) > 128).save(path, "png")


def palette(path):
    Image.fromarray(pixels(97, 211, 3)).quantize(200).save(path, "png")


def gif(path):
    Image.fromarray(pixels(97, 211, 3)).quantize(64).save(path, "gif")


def opaque(path):
    rgba = pixels(97, 211, 4)
    rgba[..., 3] = 255
    Image.fromarray(rgba).save(path, "png")


def webp(path):
    Image.fromarray(pixels(97, 211, 3)).save(path, "webp")


def grey_pixel(path):
    Image.fromarray(pixels(1, 1)).save(path, "png")


SAME_KINDS = [
    jpeg,
    progressive,
    grey_jpeg,
    cmyk,
    grey,
    bits,
    palette,
    gif,
    opaque,
    webp,
    grey_pixel,
]


@pytest.mark.parametrize("save", SAME_KINDS)
@each_original
def test_kinds(preset, original, save, tmp_path):
    save(tmp_path / "picture")
    np.testing.assert_array_equal(
        ours(tmp_path / "picture", preset), original(tmp_path / "picture")
    )


# --- kinds of pictures that are read differently on purpose; the conversion is the same ---


def transparent(path):
    Image.fromarray(pixels(97, 211, 4)).save(path, "png")


def transparent_grey(path):
    Image.fromarray(pixels(97, 211, 2)).save(path, "png")


def rotated(path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels(97, 211, 3)).save(path, "png", exif=exif)


def deep(path):
    Image.fromarray(pixels(97, 211).astype(np.uint16) * 257).save(path, "png")


@pytest.mark.parametrize("save", [transparent, transparent_grey, rotated, deep])
@each_original
def test_kinds_that_gradcam_reads_differently(preset, original, save, tmp_path):
    path, upright = tmp_path / "picture", tmp_path / "upright.png"
    save(path)
    picture = read_picture(path)
    Image.fromarray(picture).save(upright)
    np.testing.assert_array_equal(ours(path, preset), original(upright))
    with Image.open(path) as image:  # the differences in the docstring of read_picture
        theirs = np.asarray(image.convert("RGB"))
        if save is rotated:
            np.testing.assert_array_equal(np.rot90(theirs, -1), picture)
        elif save is deep:
            assert (theirs[picture > 0] == 255).all()
        else:
            stored = np.asarray(image)
            np.testing.assert_array_equal(theirs, np.broadcast_to(stored[..., :-1], theirs.shape))
            assert (picture >= theirs.astype(int) - 1).all(), "white is added"


def test_transforms_v2_round_differently(tmp_path):
    """They multiply by the rounded 1/255, so 40% of the values differ by about one bit."""
    path = tmp_path / "picture.png"
    Image.fromarray(pixels(333, 500, 3)).save(path)
    steps = [v2.Resize(256), v2.CenterCrop(224), v2.PILToTensor()]
    steps += [v2.ToDtype(torch.float32, scale=True), v2.Normalize(**IMAGENET)]
    theirs = by_torchvision(path, v2.Compose(steps))
    found = ours(path, "torchvision")
    assert (found != theirs).any()
    np.testing.assert_allclose(found, theirs, rtol=0, atol=1e-6)


def test_torchvision_resizes_tensors_differently():
    """Its code for tensors rounds one in six values differently, by 1/255."""
    picture = pixels(333, 500, 3)
    tensor = torch.from_numpy(picture.transpose(2, 0, 1).copy())
    theirs = models.VGG16_Weights.IMAGENET1K_V1.transforms()(tensor).numpy()
    step = 1 / 255 / np.array(IMAGENET["std"])[:, None, None]
    difference = np.abs(ours(picture, "torchvision") - theirs) / step
    assert 0 < difference.max() < 1.001
    assert (difference > 0.5).mean() < 0.25
