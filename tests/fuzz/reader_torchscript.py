"""The reader and the importer of TorchScript files, fuzzed; PyTorch opens them."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from zip_mutations import mutate

import gradcam
from gradcam._weights import torchscript
from gradcam.weights import Weights

__all__ = ["mutate", "read", "seeds"]


class Small(nn.Module):
    """A branch on a constant, a loop over modules, a rectifier in place, a reshape."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(True)])
        self.fc = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for block in self.blocks:
            x = block(x)
        x = x[:, 1:] if self.training else x * 2
        return self.fc(nn.functional.adaptive_avg_pool2d(x, 1).view(x.size(0), -1))


def read(path: str) -> Weights:
    weights = torchscript.read(path)
    for values in weights.tensors.values():
        values.sum()
    gradcam.load(weights, size=8)
    return weights


def seeds() -> list[bytes]:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model = Small().eval()
    files = []
    for scripted in (torch.jit.script(model), torch.jit.trace(model, torch.ones(1, 3, 8, 8))):
        file = io.BytesIO()
        torch.jit.save(scripted, file)
        files.append(file.getvalue())
    return files
