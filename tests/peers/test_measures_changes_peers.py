"""Measures that change the picture, beside pytorch-grad-cam's, torchcam's and Quantus's."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
import vggs
from helpers import peer

import gradcam
from gradcam import measures

torch = peer("torch")

from gradcam.bench._engines.pytorch import replace_missing_torchvision  # noqa: E402

replace_missing_torchvision()

import torch_modules  # noqa: E402

pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("ignore")]
SIZE, CLASS = 32, 3
PICTURE = np.random.default_rng(0).standard_normal((3, SIZE, SIZE), np.float32)
MAP = (np.random.default_rng(4).permutation(1024).reshape(SIZE, SIZE) / 1023).astype(np.float32)
"""0 to 1, and no two values are equal."""
TOLERANCE = {"rtol": 0, "atol": 1e-5}


@pytest.fixture(scope="module")
def tape():
    return gradcam.vgg16(vggs.tensors()).forward(PICTURE)


@pytest.fixture(scope="module")
def model():
    return torch_modules.VGG("vgg16", vggs.tensors()).float()


# --- pytorch-grad-cam ---


def of_pytorch_grad_cam(metric, model, on):
    peer("pytorch_grad_cam")
    from pytorch_grad_cam.utils import model_targets

    kinds = {
        "score": model_targets.ClassifierOutputTarget,
        "probability": model_targets.ClassifierOutputSoftmaxTarget,
    }
    return metric(torch.tensor(PICTURE[None]), MAP[None], [kinds[on](CLASS)], model)[0]


@pytest.mark.parametrize("on", ["score", "probability"])
def test_road(tape, model, on, monkeypatch):
    peer("pytorch_grad_cam")
    from pytorch_grad_cam.metrics import road

    monkeypatch.setattr(torch, "randn_like", torch.zeros_like)  # no noise
    percentiles = [10, 35, 60, 90]
    shares = [1 - each / 100 for each in percentiles]
    ours = measures.road(tape, MAP, CLASS, on=on, shares=shares, noise=0)
    for desired, value in (
        (road.ROADMostRelevantFirstAverage, ours.most_change),
        (road.ROADLeastRelevantFirstAverage, ours.least_change),
        (road.ROADCombined, ours.combined),
    ):
        theirs = of_pytorch_grad_cam(desired(percentiles), model, on)
        np.testing.assert_allclose(value, theirs, **TOLERANCE)
    for number, percentile in enumerate(percentiles):
        theirs = of_pytorch_grad_cam(road.ROADMostRelevantFirst(percentile), model, on)
        np.testing.assert_allclose(ours.most[number] - ours.before, theirs, **TOLERANCE)


def test_imputation_of_a_large_hole():
    peer("pytorch_grad_cam")
    from pytorch_grad_cam.metrics.road import NoisyLinearImputer

    from gradcam.measures._imputation import linear_imputation

    rows, columns = np.ogrid[:64, :80]
    removed = (rows - 30) ** 2 + (columns - 41) ** 2 < 28**2
    picture = np.random.default_rng(1).standard_normal((3, 64, 80), np.float32)
    theirs = NoisyLinearImputer(noise=0)(
        torch.tensor(picture), torch.tensor((~removed).astype(np.float32))
    )
    np.testing.assert_allclose(linear_imputation(picture, removed), theirs.numpy(), atol=1e-6)


def test_confidence_of_pytorch_grad_cam(tape, model):
    peer("pytorch_grad_cam")
    from pytorch_grad_cam.metrics.cam_mult_image import DropInConfidence, IncreaseInConfidence
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputSoftmaxTarget

    for index in range(10):
        targets = [ClassifierOutputSoftmaxTarget(index)]
        given = torch.tensor(PICTURE[None]), MAP[None], targets, model
        ours = measures.confidence_change(tape, MAP, index)
        np.testing.assert_allclose(ours.loss, DropInConfidence()(*given)[0], **TOLERANCE)
        assert ours.increase == bool(IncreaseInConfidence()(*given)[0])


# --- torchcam ---


class Given:
    """What torchcam asks for a map: it returns the one above."""

    def __init__(self, model):
        self.model = model

    def __call__(self, *arguments, **options):
        return [torch.tensor(MAP[None])]

    def fuse_cams(self, cams):
        return cams[0]

    def _hooks_off(self):
        return contextlib.nullcontext()


def softmax(scores):
    return torch.softmax(scores, -1)


def test_confidence_of_torchcam(tape, model):
    metrics = peer("torchcam.metrics")
    ours, metric = [], metrics.ClassificationMetric(Given(model), softmax)
    for index in range(10):
        metric.update(torch.tensor(PICTURE[None]), index)
        ours.append(measures.confidence_change(tape, MAP, index))
    average, theirs = measures.average_confidence_change(ours), metric.summary()
    assert 0 < average.increase < 1
    np.testing.assert_allclose(average.drop, theirs["avg_drop"], **TOLERANCE)
    np.testing.assert_allclose(average.increase, theirs["conf_increase"], **TOLERANCE)


@pytest.mark.parametrize("index", [0, CLASS])
def test_deletion_and_insertion_of_torchcam(tape, model, index):
    metrics = peer("torchcam.metrics")
    blurred = gradcam._methods.blur.gaussian_blur(PICTURE, 5).astype(np.float32)
    for baseline, given in ((0.0, None), ("blur", torch.tensor(blurred))):
        metric = metrics.DeletionInsertionMetric(
            Given(model), softmax, steps=16, baseline=given, batch_size=7
        )
        metric.update(torch.tensor(PICTURE[None]), index)
        theirs, options = metric.summary(), {"steps": 16, "baseline": baseline}
        deleted = measures.deletion(tape, MAP, index, **options)
        inserted = measures.insertion(tape, MAP, index, **options)
        np.testing.assert_allclose(deleted.auc, theirs["deletion_auc"], **TOLERANCE)
        np.testing.assert_allclose(inserted.auc, theirs["insertion_auc"], **TOLERANCE)


# --- Quantus ---


def of_quantus(name, model, values, **options):
    """Return what Quantus's measure of that name says of one map."""
    metric = getattr(peer("quantus"), name)(disable_warnings=True, **options)
    found = metric(model, PICTURE[None], np.array([CLASS]), a_batch=values[None, None])
    return np.array(found[0])


def test_pixel_flipping(tape, model):
    """Quantus counts each colour as a feature, and gives all colours of a pixel one place.

    Every third of its values is ours. It has no value of the whole picture, and its "black" is the
    lowest value of the input.
    """
    theirs = of_quantus("PixelFlipping", model, MAP, features_in_step=64)
    black = float(PICTURE.min())
    ours = measures.pixel_flipping(tape, MAP, CLASS, steps=16, baseline=black)
    np.testing.assert_allclose(ours.values[1:], theirs[2::3], **TOLERANCE)
    backward = measures.pixel_flipping(
        tape, 1 - MAP, CLASS, steps=16, baseline=black, first="least"
    )
    np.testing.assert_array_equal(backward.values, ours.values)


@pytest.mark.parametrize("first, order", [("most", "morf"), ("least", "lerf")])
def test_region_perturbation(tape, model, first, order):
    """Quantus's values are the first value minus each."""
    options = {"region": 8, "first": first, "baseline": float(PICTURE.min())}
    ours = measures.pixel_flipping(tape, MAP, CLASS, **options)
    theirs = of_quantus(
        "RegionPerturbation", model, MAP, patch_size=8, regions_evaluation=16, order=order
    )
    np.testing.assert_allclose(ours.values[0] - ours.values[1:], theirs, **TOLERANCE)


def test_selectivity(tape, model):
    ours = measures.pixel_flipping(tape, MAP, CLASS, region=8, baseline=float(PICTURE.min()))
    theirs = of_quantus("Selectivity", model, MAP, patch_size=8)
    np.testing.assert_allclose(ours.values[1:], theirs, **TOLERANCE)
