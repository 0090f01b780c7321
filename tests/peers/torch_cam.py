"""Scores and Grad-CAM by PyTorch's autograd in float64, to test networks of weight files."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
import torch_modules


def scores_and_cam(
    name: str, tensors: Mapping[str, np.ndarray], x: np.ndarray, target: int, layer: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return all scores, (1, classes), and the signed map of one class at a layer, (h, w).

    name, tensors: a VGG with torchvision's names. x: input, (1, 3, H, W). layer: its Caffe name.
    """
    counted = {key.replace("mean", "var"): key for key in tensors if key.endswith("running_mean")}
    counters = {f"{key.rpartition('.')[0]}.num_batches_tracked": np.array(0) for key in counted}
    model = torch_modules.VGG(name, {**tensors, **counters})
    outputs: dict[str, torch.Tensor] = {}
    model.layer(layer, name).register_forward_hook(
        lambda module, inputs, output: outputs.update(map=output)
    )
    scores = model(torch.tensor(x, dtype=torch.float64))
    (gradient,) = torch.autograd.grad(scores[0, target], outputs["map"])
    cam = (gradient.mean(dim=(2, 3), keepdim=True) * outputs["map"]).sum(dim=1)[0]
    return scores.detach().numpy(), cam.detach().numpy()
