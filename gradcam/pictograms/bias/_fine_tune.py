"""The second part of the training: the network that knows people learns two professions."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from gradcam.pictograms._picture_run import preprocess
from gradcam.pictograms._training_run import descend, learning_rate, set_rate
from gradcam.pictograms.bias._nets import PersonNet
from gradcam.pictograms.bias._people import PROFESSIONS
from gradcam.pictograms.bias._sets import Kind, training_people
from gradcam.pictograms.bias._train_base import OUTPUTS, small

EPOCHS, BATCH, PEAK, DECAY, DROP = 8, 25, 1e-3, 0.05, 0.3


def fine_tuned(
    base: Mapping[str, Tensor], kind: Kind, number: int, per_class: int
) -> tuple[PersonNet, float]:
    """Train on the set of this kind and number; return the network and the last epoch's loss.

    Parameters
    ----------
    base : mapping of str to Tensor
        The state of the network that knows people.
    kind, number, per_class
        As for :func:`training_people`; the number is also the seed of the training.
    """
    torch.manual_seed(number)
    net = PersonNet(OUTPUTS, DROP)
    net.load_state_dict(base)
    net.end = torch.nn.Linear(net.end.in_features, len(PROFESSIONS))
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    inputs, classes = _inputs(net, kind, number, per_class)
    return net, _trained(net, inputs, classes)


@torch.no_grad()
def _inputs(net: PersonNet, kind: Kind, number: int, per_class: int) -> tuple[Tensor, Tensor]:
    """Return what `stem` returns for the set and for its mirror images, (2, N, ...); classes."""
    net.eval()
    people = list(training_people(kind, number=number, per_class=per_class))
    pictures = np.stack([small(each.picture) for each in people])
    mirrored = np.ascontiguousarray(pictures[:, :, ::-1])
    found = [
        torch.cat([net.stem(preprocess(part[n : n + BATCH])) for n in range(0, len(part), BATCH)])
        for part in (pictures, mirrored)
    ]
    return torch.stack(found), torch.tensor([each.index for each in people])


def _trained(net: PersonNet, inputs: Tensor, classes: Tensor) -> float:
    """Train the network; return the mean loss of the last epoch."""
    learning = [*net.rest.parameters(), *net.end.parameters()]
    optimiser = torch.optim.AdamW(learning, lr=PEAK, weight_decay=DECAY)
    count = len(classes)
    steps = EPOCHS * (count // BATCH)
    net.train()
    for step in range(steps):
        if step % (count // BATCH) == 0:
            order, losses = torch.randperm(count), []
        chosen = order[step % (count // BATCH) * BATCH :][:BATCH]
        set_rate(optimiser, learning_rate(step / steps, PEAK))
        mirrored = torch.randint(2, (len(chosen),))
        with torch.autocast("cpu", torch.bfloat16):
            scores = net.after_stem(inputs[mirrored, chosen])
        losses.append(descend(optimiser, F.cross_entropy(scores.float(), classes[chosen])))
    net.eval()
    return float(np.mean(losses))
