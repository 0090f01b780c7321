"""The captioner as a program of PyTorch: a caption with the Grad-CAM maps of all its words.

The weights are those of a `gradcam.captioning.Captioner`. Three ways to the gradients of the words:
a backward pass for each word, as most programs do; all words in one call of autograd, by vmap; and
a copy of the code for each word, with one backward pass.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from gradcam.captioning import Captioner

MEAN, STD = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])

MAP = "relu6_3"
"""The default layer of the captioner's maps."""

GRADIENTS = ("word by word", "vmap", "copies")


class Program:
    """Describes a picture and explains every word.

    Parameters
    ----------
    captioner : Captioner
    memory_format : torch.memory_format
        Of the convolutions.
    """

    def __init__(self, captioner: Captioner, memory_format: Any) -> None:
        self.words, self.format = captioner.words, memory_format
        self.layers = list(captioner.network.layers.values())
        self.places = {layer.name: place for place, layer in enumerate(self.layers)}
        self.weights = {
            layer.name: [self._tensor(values) for values in layer.weights.values()]
            for layer in self.layers
            if layer.weights
        }
        tensors: Mapping[str, np.ndarray] = captioner._tensors
        rest = {name: torch.tensor(values) for name, values in tensors.items()}
        self.image = [rest["image.weight"], rest["image.bias"]]
        self.output = [rest["output.weight"], rest["output.bias"]]
        self.embedding = rest["embedding.weight"]
        hidden = rest["lstm.weight_hh"].shape[1]
        self.lstm = torch.nn.LSTM(self.embedding.shape[1], hidden).requires_grad_(False)
        names = [name.split(".")[1] for name in rest if name.startswith("lstm")]
        self.lstm.load_state_dict({f"{name}_l0": rest[f"lstm.{name}"] for name in names})

    def _tensor(self, values: Any) -> torch.Tensor:
        tensor = torch.tensor(np.asarray(values, np.float32))
        return tensor.contiguous(memory_format=self.format) if tensor.ndim == 4 else tensor

    def run(self, picture: np.ndarray, gradients: str, length: int = 20) -> Any:
        """Return the words' numbers and the maps on the picture, (T, H, W), 0 to 1."""
        with torch.no_grad():
            image = Image.fromarray(picture).resize((112, 112), Image.Resampling.BILINEAR)
            x = torch.from_numpy(np.array(image)) / 255
            x = ((x - MEAN) / STD).permute(2, 0, 1)[None].contiguous(memory_format=self.format)
            maps = self._run(x, "input", MAP)
            numbers = self._described(self._code(maps), length)
        by_map = getattr(self, f"_{gradients.replace(' ', '_')}")(maps, numbers)
        with torch.no_grad():
            cams = torch.relu((by_map.mean((2, 3), keepdim=True) * maps).sum(1, keepdim=True))
            cams = F.interpolate(cams, picture.shape[:2], mode="bilinear")[:, 0]
            low, high = cams.amin((1, 2), keepdim=True), cams.amax((1, 2), keepdim=True)
            return numbers, ((cams - low) / (high - low).clamp(min=1e-20)).numpy()

    def _run(self, x: torch.Tensor, start: str, last: str) -> torch.Tensor:
        """Return the output of a layer of the picture network, from that of an earlier one."""
        outputs = {start: x}
        for layer in self.layers[self.places[start] + 1 : self.places[last] + 1]:
            given, options = [outputs[name] for name in layer.inputs], dict(layer.attributes)
            if layer.op == "conv":
                x = F.conv2d(given[0], *self.weights[layer.name], **options)
            elif layer.op == "linear":
                x = F.linear(given[0], *self.weights[layer.name])
            elif layer.op == "affine":
                scale, shift = (each[:, None, None] for each in self.weights[layer.name])
                x = given[0] * scale + shift
            elif layer.op == "add":
                x = given[0] + given[1]
            elif layer.op == "relu":
                x = torch.relu_(given[0])
            elif layer.op == "max_pool":
                x = F.max_pool2d(given[0], options["kernel"], options["stride"])
            else:
                x = given[0].flatten(1) if layer.op == "flatten" else torch.cat(given, 1)
            outputs[layer.name] = x
        return x

    def _code(self, maps: torch.Tensor) -> torch.Tensor:
        return self._run(maps, MAP, "relu7")

    def _described(self, code: torch.Tensor, length: int) -> list[int]:
        """Return the most probable words, one after the other."""
        _, state = self.lstm(F.linear(code, *self.image)[None])
        last, found = len(self.words), []
        for step in range(length):
            h, state = self.lstm(self.embedding[last][None, None], state)
            scores = F.linear(h[0, 0], *self.output)
            last = int(scores[: -1 if step == 0 else None].argmax())
            if last == len(self.words):
                break
            found.append(last)
        return found

    def _log_probabilities(self, code: torch.Tensor, numbers: list[int]) -> torch.Tensor:
        """Return the log-probability of each word for each code, (T, N)."""
        read = self.embedding[[len(self.words), *numbers[:-1]]]
        first = F.linear(code, *self.image)[None]
        h, _ = self.lstm(torch.cat([first, read[:, None].expand(-1, len(code), -1)]))
        said = torch.log_softmax(F.linear(h[1:], *self.output), 2)
        return said.gather(2, torch.tensor(numbers)[:, None, None].expand(-1, len(code), 1))[..., 0]

    def _word_by_word(self, maps: torch.Tensor, numbers: list[int]) -> torch.Tensor:
        maps = maps.clone().requires_grad_()
        values = self._log_probabilities(self._code(maps), numbers)[:, 0]
        found = [torch.autograd.grad(value, maps, retain_graph=True)[0] for value in values]
        return torch.cat(found)

    def _vmap(self, maps: torch.Tensor, numbers: list[int]) -> torch.Tensor:
        maps = maps.clone().requires_grad_()
        values = self._log_probabilities(self._code(maps), numbers)[:, 0]
        seeds = torch.eye(len(numbers))
        return torch.autograd.grad(values, maps, seeds, is_grads_batched=True)[0][:, 0]

    def _copies(self, maps: torch.Tensor, numbers: list[int]) -> torch.Tensor:
        copies = maps.expand(len(numbers), -1, -1, -1).clone().requires_grad_()
        values = self._log_probabilities(self._code(copies), numbers)
        return torch.autograd.grad(values.diagonal().sum(), copies)[0]
