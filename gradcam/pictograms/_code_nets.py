"""The layers of the picture's code in PyTorch, for their training.

    maps    relu6_3: convolutions of pool5, one map for each kind of object with a colour or a size
    code    relu7, of fc6 and fc7; or of fc7_maxima, which also reads the maximum of each map

fc6 weighs each map by slow waves, so that what is learnt about an object at one place counts at the
places around it, too.
The maxima make the second code more exact. The maps of Grad-CAM are more local with the first one:
a sum over all positions has a gradient at all of them, a maximum only at one.

Batch normalisation is folded into the weights on export, but for that of pool5: the convolution
after it adds zeros at the border.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gradcam.pictograms._attributes import ATTRIBUTES
from gradcam.pictograms._described import NOUNS
from gradcam.pictograms._facts import FACTS, PLACES
from gradcam.pictograms._nets import folded, scale_and_shift
from gradcam.pictograms._waves import WAVES, waves

_CHANNELS, _BETWEEN, _FC6 = 128, 192, 512

MAPS = slice(len(ATTRIBUTES) - _CHANNELS, len(ATTRIBUTES))
"""The attributes that have a map: those of kinds with a colour or a size."""

SHIFT = 4.0
"""Added to the scores of places before the rectifier: what is uncertain is above 0, too."""


class CodeNet(nn.Module):
    """Reads pool5 of pictures, (N, 128, 7, 7).

    Parameters
    ----------
    dropout : float
        The share of values that training leaves out after fc6; of maps half of it.
    """

    waves: Tensor

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.norm5 = nn.BatchNorm2d(_CHANNELS, affine=False)
        self.conv1 = nn.Conv2d(_CHANNELS, _BETWEEN, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(_BETWEEN)
        self.conv2 = nn.Conv2d(_BETWEEN, _BETWEEN, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(_BETWEEN)
        self.skip = nn.Conv2d(_CHANNELS, _BETWEEN, 1)
        self.conv3 = nn.Conv2d(_BETWEEN, _CHANNELS, 1)
        self.register_buffer("waves", torch.from_numpy(waves()), persistent=False)
        self.fc6 = nn.Linear(_CHANNELS * WAVES**2, _FC6, bias=False)
        self.norm6 = nn.BatchNorm1d(_FC6)
        self.fc7 = nn.Linear(_FC6, len(FACTS))
        self.fc7_maxima = nn.Linear(_FC6 + _CHANNELS, PLACES)
        self.count = nn.Linear(_CHANNELS, len(NOUNS) * 4)  # for training only
        self.dropout, self.whole = nn.Dropout(dropout), nn.Dropout2d(dropout / 2)
        self._set_first_weights()

    @torch.no_grad()
    def _set_first_weights(self) -> None:
        """Begin with means of maps and their centres in fc6, and with these as attributes."""
        assert self.conv3.bias is not None
        nn.init.constant_(self.conv3.bias, -6.0)
        first = torch.zeros(_FC6, _CHANNELS, WAVES**2)
        for part, wave in enumerate((0, 1, WAVES)):
            first[part * _CHANNELS : (part + 1) * _CHANNELS, :, wave] = torch.eye(_CHANNELS)
        rest = _FC6 - 3 * _CHANNELS
        first[-rest:, :, 0] = torch.randn(rest, _CHANNELS) / _CHANNELS**0.5
        self.fc6.weight.copy_(first.flatten(1))
        for layer, first_map in ((self.fc7, 0), (self.fc7_maxima, _FC6)):
            nn.init.constant_(layer.bias[: len(FACTS)], -3.0)
            layer.weight[MAPS, first_map : first_map + _CHANNELS] += 0.5 * torch.eye(_CHANNELS)
            layer.bias[MAPS] = -2.0

    def places(self, pool5: Tensor) -> Tensor:
        """Return a score of each attribute of `MAPS` at each position, (N, 128, 7, 7)."""
        x = self.norm5(pool5)
        deeper = torch.relu(self.norm1(self.conv1(x)))
        deeper = torch.relu(self.norm2(self.conv2(deeper)))
        scores: Tensor = self.conv3(self.whole(deeper + self.skip(x)))
        return scores

    def forward(self, places: Tensor) -> tuple[Tensor, Tensor]:
        """Return scores of facts of both codes, (N, 694) and (N, 1086), above 0 if true.

        The codes are their ReLUs.
        """
        maps = torch.relu(places + SHIFT).flatten(2)
        hidden = self.dropout(torch.relu(self.norm6(self.fc6((maps @ self.waves.T).flatten(1)))))
        return self.fc7(hidden), self.fc7_maxima(torch.cat([hidden, maps.amax(2)], 1))

    def counted(self, places: Tensor) -> Tensor:
        """Return scores of the numbers of objects from the sums of maps alone, (N, 64)."""
        maps = torch.relu(places + SHIFT).flatten(2)
        scores: Tensor = self.count(maps @ self.waves[0])
        return scores

    @torch.no_grad()
    def tensors(self) -> dict[str, Tensor]:
        """Return the weights by the names of the network's layers."""
        found: dict[str, Tensor] = {}
        found["norm5.scale"], found["norm5.shift"] = scale_and_shift(self.norm5)
        for name, layer, norm in (
            ("conv6_1", self.conv1, self.norm1),
            ("conv6_2", self.conv2, self.norm2),
            ("skip6", self.skip, None),
            ("conv6_3", self.conv3, None),
            ("fc7", self.fc7, None),
            ("fc7_maxima", self.fc7_maxima, None),
        ):
            found[f"{name}.weight"], found[f"{name}.bias"] = folded(layer, norm)
        found["conv6_3.bias"] = found["conv6_3.bias"] + SHIFT
        weight, found["fc6.bias"] = folded(self.fc6, self.norm6)
        found["fc6.weight"] = (weight.view(_FC6, _CHANNELS, -1) @ self.waves).flatten(1)
        return found

    @torch.no_grad()
    def compact(self) -> dict[str, Tensor]:
        """Return the weights with those of waves, ``fc6.waves``, in the place of ``fc6.weight``."""
        found = self.tensors()
        del found["fc6.weight"]
        return found | {"fc6.waves": folded(self.fc6, self.norm6)[0]}
