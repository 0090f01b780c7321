"""The speed that is asked for: gradcam's time / that of the fastest other program."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Target(NamedTuple):
    """Two limits for a ratio of times."""

    must: float
    aim: float


_FORWARD = {
    "resnet18": Target(0.75, 0.55),
    "resnet34": Target(0.75, 0.55),
    "resnet50": Target(1.00, 0.85),
    "densenet121": Target(1.00, 0.85),
    "googlenet": Target(1.00, 0.85),
    "squeezenet1_1": Target(1.00, 0.85),
    "alexnet": Target(0.90, 0.70),
    "mobilenet_v2": Target(1.00, 0.80),
    "efficientnet_lite0": Target(1.00, 0.80),
}
_TARGETS = {
    "forward": _FORWARD,
    "grad_cam": dict.fromkeys(_FORWARD, Target(0.60, 0.40)),
    "guided": {"resnet50": Target(0.70, 0.50)},
}

PEERS = {
    "forward": ("torch", "onnxruntime", "openvino"),
    "grad_cam": ("pytorch-grad-cam",),
    "guided": ("captum",),
}
"""The programs of which the fastest counts, by task."""


def find(network: str, task: str) -> Target | None:
    """Return the target of a task; None if there is none."""
    return _TARGETS.get(task, {}).get(network)


def describe(network: str, task: str, ratios: Mapping[str, float]) -> str:
    """Return a line about the target of a task; "" if there is none.

    Parameters
    ----------
    network, task : str
    ratios : mapping of str to float
        The median ratio to each of the programs that count.
    """
    target = find(network, task)
    if target is None or not ratios:
        return ""
    best = max(ratios, key=lambda label: ratios[label])
    found = ratios[best]
    verdicts = [
        f"{name} {limit:.2f} {'reached' if found <= limit else 'missed'}"
        for name, limit in target._asdict().items()
    ]
    return f"target: {task} / {best}: {found:.2f}; {', '.join(verdicts)}"
