"""Batch normalisation folded into the weights of the layer before or after it."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from gradcam.pictograms._nets import folded, folded_before  # noqa: E402

MAPS = (4, 6, 5, 5)


def normalisation(channels: int, affine: bool) -> nn.BatchNorm2d:
    """One whose statistics and weights are random."""
    norm = nn.BatchNorm2d(channels, eps=1e-2, affine=affine).double().eval()
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 2)
    if affine:
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
    return norm


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize(("kernel", "stride"), [(1, 1), (3, 2), ((2, 3), 1)])
@torch.no_grad()
def test_before_a_convolution(affine, kernel, stride):
    torch.manual_seed(0)
    norm, conv = normalisation(6, affine), nn.Conv2d(6, 7, kernel, stride).double()
    maps = torch.randn(MAPS).double()
    weight, bias = folded_before(norm, conv.weight, conv.bias)
    torch.testing.assert_close(F.conv2d(maps, weight, bias, stride), conv(norm(maps)))


@pytest.mark.parametrize("affine", [True, False])
@torch.no_grad()
def test_before_a_linear_layer_that_reads_flat_maps(affine):
    torch.manual_seed(0)
    norm, layer = normalisation(6, affine), nn.Linear(6 * 5 * 5, 7).double()
    maps = torch.randn(MAPS).double()
    weight, bias = folded_before(norm, layer.weight, layer.bias)
    torch.testing.assert_close(
        F.linear(maps.flatten(1), weight, bias), layer(norm(maps).flatten(1))
    )


@torch.no_grad()
def test_before_and_after_one_layer():
    torch.manual_seed(0)
    before, after = normalisation(6, affine=False), normalisation(7, affine=True)
    conv = nn.Conv2d(6, 7, 3, bias=False).double()
    maps = torch.randn(MAPS).double()
    weight, bias = folded_before(before, *folded(conv, after))
    torch.testing.assert_close(F.conv2d(maps, weight, bias), after(conv(before(maps))))


@torch.no_grad()
def test_float32_weights_stay_float32():
    norm, conv = normalisation(6, affine=True).float(), nn.Conv2d(6, 7, 1)
    weight, bias = folded_before(norm, conv.weight, conv.bias)
    assert weight.dtype == bias.dtype == torch.float32
