"""Measures of a place beside Quantus's, scikit-image's, scikit-learn's and OpenCV's."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import peer

from gradcam import measures, pictograms
from gradcam._pictures.segments import otsu, segments

cv2 = peer("cv2")
quantus = peer("quantus")
filters = peer("skimage.filters")
measure = peer("skimage.measure")
metrics = peer("sklearn.metrics")
ndimage = peer("scipy.ndimage")

pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("ignore")]
SIDE, MAPS = 32, 12


@pytest.fixture(scope="module")
def drawn():
    """Smooth maps of 0 or more whose maximum lies on the mask in about half of the cases."""
    rng = np.random.default_rng(5)
    maps = ndimage.gaussian_filter(rng.normal(size=(MAPS, SIDE, SIDE)), (0, 3, 3))
    others = ndimage.gaussian_filter(rng.normal(size=maps.shape), (0, 4, 4))
    return np.maximum(maps, 0).astype(np.float32), 0.3 * maps + others > 0.05


def smooth(shape, sigma, seed=0):
    noise = np.random.default_rng(seed).normal(size=shape)
    return ndimage.gaussian_filter(noise, sigma).astype(np.float32)


# ------------------------------------------------------------------------ Quantus


def of_quantus(name, maps, masks):
    metric = getattr(quantus, name)(disable_warnings=True)
    return metric(
        model=None,
        x_batch=np.zeros((len(maps), 3, SIDE, SIDE), np.float32),
        y_batch=np.zeros(len(maps), int),
        a_batch=maps[:, None],
        s_batch=masks[:, None],
    )


def test_pointing_of_quantus(drawn):
    found = [measures.pointing(*each, tolerance=0) for each in zip(*drawn, strict=True)]
    assert 2 < sum(found) < MAPS - 2
    assert found == [bool(each) for each in of_quantus("PointingGame", *drawn)]


@pytest.mark.parametrize("name", ["AttributionLocalisation", "RelevanceMassAccuracy"])
def test_energy_inside_of_quantus(name, drawn):
    found = [measures.energy_inside(*each) for each in zip(*drawn, strict=True)]
    np.testing.assert_allclose(found, of_quantus(name, *drawn), rtol=0, atol=1e-6)


# ------------------------------------------------------------------------ scikit-image, OpenCV


@pytest.mark.parametrize("sigma", [0, 2, 10])
def test_otsu_of_scikit_image(sigma):
    values = smooth((90, 120), sigma)
    assert otsu(values) == pytest.approx(filters.threshold_otsu(np.float64(values)), rel=1e-12)


@pytest.mark.parametrize("sigma", [0, 1, 3])
def test_segments_of_scikit_image_and_opencv(sigma):
    mask = smooth((123, 171), sigma) > 0
    found = segments(mask)
    ours = sorted((int(a), *map(int, b)) for a, b in zip(found.areas, found.boxes, strict=True))
    labels = measure.label(mask, connectivity=1)
    boxes = [(int(r.area), r.bbox) for r in measure.regionprops(labels)]
    assert ours == sorted((area, x0, y0, x1, y1) for area, (y0, x0, y1, x1) in boxes)
    _, _, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
    assert ours == sorted(
        (area, x, y, x + width, y + height) for x, y, width, height, area in stats[1:].tolist()
    )


# ------------------------------------------------------------------------ scikit-learn


def test_mask_iou_of_scikit_learn(drawn):
    for values, mask in zip(*drawn, strict=True):
        for share in (0.15, 0.5):
            high = values >= np.float32(share) * values.max()
            expected = metrics.jaccard_score(mask.ravel(), high.ravel())
            assert measures.mask_iou(values, mask, share) == pytest.approx(expected, abs=1e-12)
        limits = np.unique(values[values > 0])
        every = [metrics.jaccard_score(mask.ravel(), (values >= t).ravel()) for t in limits[::40]]
        assert measures.best_mask_iou(values, mask).iou >= max(every)


def test_seeds_iou_of_scikit_learn(drawn):
    rng = np.random.default_rng(8)
    found = [measures.seeds(drawn[0][i : i + 3]) for i in (0, 3, 6)]
    true = [np.where(rng.random(each.shape) < 0.6, each, 2) for each in found]
    a, b = np.ravel(found), np.ravel(true)
    result = measures.seeds_iou(found, true)
    expected = metrics.jaccard_score(b, a, average=None)
    np.testing.assert_allclose(list(result.classes.values()), expected, rtol=0, atol=1e-12)
    assert result.mean == pytest.approx(metrics.jaccard_score(b, a, average="macro"))


# ------------------------------------------------------------------------ GrabCut


@pytest.mark.parametrize("iterations", [0, 3])
def test_grabcut_finds_the_whole_of_a_coloured_object(iterations):
    """The map is high on a corner of it alone."""
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 40, (60, 80, 3), np.uint8)
    picture[..., 1] += 150
    picture[20:45, 30:70] = rng.integers(0, 40, (25, 40, 3), np.uint8) + np.uint8([200, 0, 0])
    values = rng.random((60, 80))
    values[20:45, 30:70] += 1
    values[20:30, 30:40] += 3
    found = measures.grabcut_box(values, picture, iterations=iterations)
    assert found == (30, 20, 70, 45)
    assert measures.boxes(values, 0.6) == [(30, 20, 40, 30)]
    assert measures.grabcut_box(0 * values, picture) is None


def test_grabcut_from_saliency_is_better_than_a_threshold():
    network = pictograms.model()
    overlaps = []
    for seed in range(6):
        scene = pictograms.scene(500 + seed, objects=1)
        (truth,) = scene.objects
        saliency = network.forward(scene.picture).saliency(truth.index)
        box = measures.grabcut_box(saliency)
        assert box == measures.grabcut_box(saliency)  # the same random numbers
        overlaps.append((measures.iou(box, truth.box), measures.iou(saliency.box(), truth.box)))
    grabcut, threshold = np.mean(overlaps, 0)
    assert grabcut > 0.4 and grabcut > threshold + 0.2
    assert measures.grabcut_box(saliency.map, scene.picture) == box


@pytest.mark.parametrize("size", [(1, 1), (1, 2), (2, 3), (1, 40)])
def test_grabcut_of_tiny_pictures(size):
    rng = np.random.default_rng(1)
    values, picture = rng.random(size), rng.integers(0, 256, (*size, 3), np.uint8)
    found = measures.grabcut_box(values, picture)
    assert found is None or measures.region_mask(found, size).any()
