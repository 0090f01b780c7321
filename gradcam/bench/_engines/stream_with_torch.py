"""Explain a folder of pictures with pytorch-grad-cam and a DataLoader, and save the maps.

This is the code in the README of pytorch-grad-cam, in a loop over a DataLoader with two workers
that decode and prepare the pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset

from gradcam.bench._engines import STREAM_BATCH
from gradcam.bench._engines.explain_with_torch import normalise, resize

WORKERS = 2


class Pictures(Dataset[tuple[int, torch.Tensor, NDArray[np.float32]]]):
    """The pictures of a folder: number, network input, and the part that the network sees."""

    def __init__(self, paths: Sequence[Path], side: int) -> None:
        self.paths = paths
        self.side = side

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, number: int) -> tuple[int, torch.Tensor, NDArray[np.float32]]:
        values = resize(Image.open(self.paths[number]).convert("RGB"), self.side)
        return number, normalise(values), values


def explain_all(
    model: nn.Module,
    layer: nn.Module,
    paths: Sequence[Path],
    side: int,
    memory_format: torch.memory_format,
) -> NDArray[np.float32]:
    """Save Grad-CAM of the top class over each picture; return the first picture's scores."""
    from pytorch_grad_cam import GradCAM
    from pytorch_grad_cam.utils.image import show_cam_on_image

    scores = []
    loader = DataLoader(Pictures(paths, side), STREAM_BATCH, num_workers=WORKERS)
    with TemporaryDirectory() as folder, GradCAM(model, [layer]) as cam:
        for numbers, input, pictures in loader:
            maps = cam(input.contiguous(memory_format=memory_format), None)
            scores.append(cam.outputs[0].detach().numpy())
            for number, picture, found in zip(numbers, pictures.numpy(), maps, strict=True):
                shown = show_cam_on_image(picture, found, use_rgb=True)
                file = Path(folder, paths[int(number)].name)
                cv2.imwrite(str(file), shown[:, :, ::-1])
    first: NDArray[np.float32] = scores[0]
    return first
