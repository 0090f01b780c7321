"""Train the pictogram network, a narrow VGG-16, from image-level labels alone.

    python -m gradcam.pictograms train --out run

Training uses no boxes or masks: the target is the uniform distribution over the classes in the
picture, or over all classes if there is no object. The maps of the network are therefore weakly
supervised localisation, as in the papers.

There are two phases, because the convolutions can be trained mostly on small pictures:

A. pictures of 112 x 112, mostly of one object, for the convolutions with global average pooling
   of relu5_3 and one linear layer (the network of CAM, Zhou et al. 2016);
B. pictures of 224 x 224 with up to four objects, with pool5, fc6, fc7 and fc8 as in VGG-16. The
   linear layer of phase A remains as an auxiliary loss and is removed at the end.

During training, batch normalisation follows every layer but the last. It is folded into the
weights on export, so that the shipped network has only convolutions, ReLUs, pools and linear
layers. Each picture depends only on its number, so a run that is resumed from its checkpoint
continues with the same pictures. Needs PyTorch; shows the progress if tqdm is installed.

``training.log`` is the log of the run that trained the shipped weights, 66 minutes on two cores.
During that run both phases were shortened to the current defaults, so its learning rates decrease
faster than in a run with the defaults. ``weak.log`` is that of the weak network, an AlexNet that
saw 19,200 and 8,000 pictures (``--architecture alexnet --batch-a 32``); the lengths of its phases
were changed during the run.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from gradcam.pictograms._commands import new_parser
from gradcam.pictograms._nets import NETWORKS, PictogramNet, export
from gradcam.pictograms._picture_run import NumberedBatches, PictureRun, preprocess
from gradcam.pictograms._scenes import CLASSES, scene
from gradcam.pictograms._training_pictures import training_picture
from gradcam.pictograms._training_run import adamw, common_options

VALIDATION_SEED = 1_000_000


class Batches(NumberedBatches):
    """The batches of a phase."""

    def __init__(self, phase: str, first: int, last: int, size: int) -> None:
        super().__init__(first, last, size)
        self.phase = phase

    def drawn(self, numbers: range) -> tuple[Tensor, ...]:
        """Return the pictures with these numbers, and the targets."""
        drawn = [training_picture(number, self.phase) for number in numbers]
        pictures, targets = zip(*drawn, strict=True)
        return torch.from_numpy(np.stack(pictures)), torch.from_numpy(np.stack(targets))


class Validation:
    """Scenes of one and of two objects, and the accuracy of the network on them."""

    def __init__(self, scenes: int) -> None:
        self.sets = []
        for objects in (1, 2):
            seeds = range(VALIDATION_SEED * objects, VALIDATION_SEED * objects + scenes)
            drawn = [scene(seed, objects=objects) for seed in seeds]
            truth = torch.tensor([[o.index for o in s.objects] for s in drawn])
            self.sets.append((np.stack([s.picture for s in drawn]), truth))

    @torch.no_grad()
    def __call__(self, net: PictogramNet, phase: str) -> list[float]:
        """Return the accuracy on scenes of one object and on scenes of two objects."""
        net.eval()
        accuracies = []
        for pictures, truth in self.sets:
            found = []
            for start in range(0, len(pictures), 64):
                x = preprocess(pictures[start : start + 64])
                with torch.autocast("cpu", torch.bfloat16):
                    averaged, scores = net(x, phase)
                found.append((averaged if scores is None else scores).topk(truth.shape[1]).indices)
            correct = (torch.cat(found).sort().values == truth.sort().values).all(dim=1)
            accuracies.append(correct.float().mean().item())
        return accuracies


class Training(PictureRun[PictogramNet]):
    """One run of both phases."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        super().__init__(arguments)
        self.phase = "A"
        net = NETWORKS[arguments.architecture]()
        net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        classes = f"{len(CLASSES)} classes, {net.description}"
        self.start(net, adamw(net, arguments.decay), classes)
        self.validation = Validation(arguments.validation)

    def resumed(self) -> str:
        """Return the line of the log that says where a run was resumed."""
        a, b = self.arguments.pictures_a, self.arguments.pictures_b
        return f"resumed in phase {self.phase} at {self.done} pictures; planned are {a} and {b}"

    def run(self) -> None:
        """Run the rest of both phases, then export."""
        a = self.arguments
        if self.phase == "A":
            self.train_on(Batches("A", self.done, a.pictures_a, a.batch_a), a.rate_a)
            self.phase, self.done = "B", 0
            self.optimiser = adamw(self.net, a.decay)
            self.save()
        self.train_on(Batches("B", self.done, a.pictures_b, a.batch_b), a.rate_b)
        export(self.net, self.out / "pictograms.safetensors")
        self.log_export()

    def validate(self) -> str:
        """Return the accuracy on scenes that were not drawn for training."""
        one, two = self.validation(self.net, self.phase)
        return f"one object {one:.1%}, both of two {two:.1%}"

    def step(self, *batch: Tensor) -> float:
        """Train on one batch and return its loss."""
        pictures, target = batch
        with torch.autocast("cpu", torch.bfloat16):
            averaged, scores = self.net(preprocess(pictures.numpy()), self.phase)
        # The entropy of the targets is subtracted, so that the minimum of the loss is 0.
        entropy = torch.special.entr(target).sum(dim=1).mean()
        loss = F.cross_entropy(averaged.float(), target) - entropy
        if scores is not None:
            weight = self.arguments.auxiliary
            loss = weight * loss + F.cross_entropy(scores.float(), target) - entropy
        return self.descend(loss)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the training."""
    common_options(parser, decay=0.05, validate_every=6_400, workers=1)
    add = parser.add_argument
    add("--architecture", choices=NETWORKS, default="vgg16")
    add("--pictures-a", type=int, default=102_400, help="number of pictures in phase A")
    add("--pictures-b", type=int, default=44_800, help="number of pictures in phase B")
    add("--batch-a", type=int, default=64)
    add("--batch-b", type=int, default=32)
    add("--rate-a", type=float, default=2e-3, help="peak learning rate of phase A")
    add("--rate-b", type=float, default=1e-3, help="peak learning rate of phase B")
    add("--auxiliary", type=float, default=0.5, help="weight of phase A's loss in phase B")
    add("--validation", type=int, default=200, help="validation scenes of each kind")


def main(arguments: Sequence[str]) -> None:
    """Train from scratch or from the checkpoint in the folder ``--out``, then export."""
    description = "Train the pictogram network from image-level labels."
    parser = new_parser("pictograms train", description)
    add_arguments(parser)
    Training(parser.parse_args(arguments)).run()
