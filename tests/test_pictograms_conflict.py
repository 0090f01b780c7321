"""Shape against texture: objects with the texture of another class."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import small_pictograms
from matplotlib.backends.backend_agg import FigureCanvasAgg

import gradcam
from gradcam import measures, pictograms

pytestmark = pytest.mark.filterwarnings("ignore::gradcam.FlatMapWarning")


@pytest.fixture(scope="module")
def found():
    return pictograms.conflict(scenes=3, seed=40)


def test_numbers_are_those_of_the_pictures(found):
    network = pictograms.model()
    elephant, leopard = (network.labels.find(name) for name in ("elephant", "leopard"))
    assert (found.shape, found.texture) == (elephant, leopard)
    for n in range(3):
        plain = pictograms.scene(40 + n, classes=["elephant"])
        every = [plain, plain.replaced(0, "leopard"), plain.textured(0, "leopard")]
        every.append(plain.textured(0, "leopard", pattern=False))
        tape = network.forward([each.picture for each in every])
        expected = tape.probabilities[:, [elephant.index, leopard.index]]
        np.testing.assert_allclose(found.probabilities[:, n], expected, rtol=1e-5)
        np.testing.assert_array_equal(found.top[:, n], tape.scores.argmax(1))
        maps = network.forward(every[2].picture).grad_cam(["elephant", "leopard"])
        shares = [measures.energy_inside(each, plain.objects[0].mask) for each in maps]
        np.testing.assert_allclose(found.inside[:, n], shares, rtol=1e-4)
        if n == 0:
            for one, other in zip(found.scenes, every, strict=True):
                np.testing.assert_array_equal(one.picture, other.picture)


def test_summaries(found):
    assert found.shape_probability == measures.bootstrap(found.probabilities[2, :, 0])
    assert found.texture_probability == measures.bootstrap(found.probabilities[2, :, 1])
    assert found.colour_probability == measures.bootstrap(found.probabilities[3, :, 1])
    by_texture = int((found.top[2] == found.texture.index).sum())
    by_shape = int((found.top[2] == found.shape.index).sum())
    assert found.recognised.all()
    assert found.decided == by_texture + by_shape > 0
    assert found.shape_bias == by_shape / found.decided
    assert found.shape_inside == measures.bootstrap(found.inside[0])
    assert found.texture_inside == measures.bootstrap(found.inside[1])
    masks = [pictograms.scene(40 + n, classes=["elephant"]).objects[0].mask for n in range(3)]
    np.testing.assert_allclose(found.area, [each.mean() for each in masks])
    area = f"{100 * found.area.mean():.1f} % of the area"
    assert f"; {100 * found.texture_inside.mean:.1f} % (" in found.finding
    assert f"of the map of leopard lies on the object, which is {area}" in found.finding
    assert "elephant shape, leopard texture" in found.finding and "3 scenes" in found.finding
    assert "elephant and leopard alone are recognised in 3 and 3 of 3" in found.finding
    assert f"decided by shape in {by_shape} of {found.decided}" in found.finding
    assert found.finding in repr(found)


def test_networks_that_decide_otherwise(found):
    shape, texture, other = found.shape.index, found.texture.index, 0
    plain = [[shape] * 3, [texture] * 3]
    neither = replace(found, top=np.array([*plain, [other] * 3, [other] * 3]))
    assert neither.decided == 0 and math.isnan(neither.shape_bias)
    assert "neither of them is ever" in neither.finding
    mixed = replace(found, top=np.array([*plain, [shape, texture, other], [other] * 3]))
    assert mixed.decided == 2 and mixed.shape_bias == 0.5
    assert "decided by shape in 1 of 2" in mixed.finding
    one = pictograms.conflict("cat", "zebra", network=small_pictograms.network(), scenes=1)
    assert one.probabilities.shape == (4, 1, 2) and "1 scene;" in one.finding


def test_only_scenes_that_are_recognised_count(found):
    shape, texture, other = found.shape.index, found.texture.index, 0
    top = [[shape, shape, other], [texture, other, texture], [shape] * 3, [other] * 3]
    some = replace(found, top=np.array(top))
    assert some.recognised.tolist() == [True, False, False]
    assert some.decided == 1 and some.shape_bias == 1
    assert "alone are recognised in 2 and 2 of 3; decided by shape in 1 of 1" in some.finding
    never = replace(found, top=np.array([[other] * 3, *top[1:]]))
    assert never.decided == 0 and "recognised in 0 and 2 of 3, never both" in never.finding


def test_maps_that_are_flat_lie_nowhere(found):
    flat = replace(found, inside=np.full((2, 3), np.nan))
    assert math.isnan(flat.texture_inside.mean) and "lies on" not in flat.finding


def test_shading_is_passed_on(found):
    flat = pictograms.conflict(scenes=1, seed=40, shading=False).scenes[2]
    plain = pictograms.scene(40, classes=["elephant"])
    np.testing.assert_array_equal(flat.picture, plain.textured(0, "leopard", shading=False).picture)
    assert not np.array_equal(flat.picture, found.scenes[2].picture)


def test_the_figure(found):
    figure = found.plot()
    FigureCanvasAgg(figure).draw()
    words = [each.get_text() for each in figure.texts]
    assert len(figure.axes) == 12
    tape = pictograms.model().forward(found.scenes[2].picture)
    top = "\n".join(
        f"{label.replace('_', ' ')} {gradcam._text.percent(p)}" for _, label, p in tape.top(3)
    )
    assert top in words and "Grad-CAM: leopard" in words and "leopard" in words
    assert "about 3 scenes; the pictures are those of the first" in " ".join(words).replace(
        "\n", " "
    )


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        (("elephant", "elephant"), {}, ValueError, "another class than the shape's"),
        (("elephant", "unicorn"), {}, ValueError, "unicorn"),
        (("elephant", 36), {}, IndexError, "36"),
        ((), {"scenes": 0}, ValueError, "scenes"),
        ((), {"seed": -1}, ValueError, "seed"),
        ((), {"shading": 1}, TypeError, "shading"),
        ((), {"method": "guided"}, ValueError, "guided"),
        ((), {"network": "x"}, TypeError, "expected a gradcam.Network, got 'x'"),
    ],
)
def test_wrong_input(arguments, options, error, message):
    with pytest.raises(error, match=message):
        pictograms.conflict(*arguments, **options)


def test_a_network_without_the_class():
    kernel = np.ones((2, 3, 1, 1), np.float32)
    layers = [
        gradcam.Layer("conv", "conv", weights={"weight": kernel}),
        gradcam.Layer("mean", "global_average_pool"),
        gradcam.Layer("scores", "flatten"),
        gradcam.Layer("prob", "softmax"),
    ]
    network = gradcam.Network.from_layers(layers, labels=["elephant", "b"], name="two")
    with pytest.raises(ValueError, match=r"two has no class 'leopard' \(n02128385\)$"):
        pictograms.conflict(network=network)
    twice = gradcam.Network.from_layers(layers, labels=["elephant"] * 2, name="two")
    with pytest.raises(ValueError, match=r"no class 'elephant' .*names 2 classes"):
        pictograms.conflict(network=twice)
