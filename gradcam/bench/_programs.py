"""The programs that are compared, the tasks, and which program takes part in which task."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple

MALLOC = {
    # malloc keeps all freed memory, in one arena, for the next pass.
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(1 << 40),
    "MALLOC_TOP_PAD_": str(1 << 26),
    "THP_MEM_ALLOC_ENABLE": "1",
}

LEVELS: dict[str, dict[str, str]] = {
    # Limit the other programs to a level; ONNX Runtime has no such setting.
    "baseline": {
        "ATEN_CPU_CAPABILITY": "default",
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
    },
    "avx2": {
        "ATEN_CPU_CAPABILITY": "avx2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    },
}


class Program(NamedTuple):
    """A process: its module in ``_engines``, and how it runs.

    Attributes
    ----------
    engine : str
    tuned : bool
        Whether it runs with tuned settings.
    apart : bool
        Whether it leaves the last processor to the busy neighbour.
    """

    engine: str
    tuned: bool = False
    apart: bool = False


OURS = "gradcam"
APART = "gradcam-apart"
PROGRAMS = {
    OURS: Program("ours"),
    APART: Program("ours", apart=True),
    "torch": Program("pytorch"),
    "torch-tuned": Program("pytorch", tuned=True),
    "onnxruntime": Program("onnx_runtime"),
    "openvino": Program("open_vino"),
}


@dataclass(frozen=True)
class Candidate:
    """One way to do a task: a row of the table.

    Attributes
    ----------
    label : str
        The program, as text for the table.
    peer : str
        One of :data:`PEERS`; "" for gradcam.
    program : str
        A key of :data:`PROGRAMS`.
    task : str
        The name of the task in that program's engine.
    neighbour : bool
        Whether another process is busy on the last processor meanwhile.
    """

    label: str
    peer: str
    program: str
    task: str
    neighbour: bool = False

    @property
    def is_ours(self) -> bool:
        """Whether the program is gradcam."""
        return self.program in (OURS, APART)


PEERS = ("torch", "pytorch-grad-cam", "captum", "onnxruntime", "openvino")
TASKS = ("convs", "backward", "fc", "forward", "grad_cam", "grad_cam5", "guided", "stream", "start")
GENERAL = ("forward", "grad_cam", "grad_cam5", "guided")
"""The tasks of networks other than VGG-16."""

NEIGHBOUR = "neighbour"
"""The task of the option ``--neighbour``."""

OWN_BATCH = ("stream", "start")
"""Tasks whose number of pictures does not depend on ``--batch``; they run once."""

_OTHERS: dict[str, list[Candidate]] = {
    "convs": [],
    "backward": [Candidate("gradcam, forward", "", OURS, "convs")],
    "fc": [],
    "forward": [
        Candidate("PyTorch", "torch", "torch", "forward"),
        Candidate("PyTorch, tuned", "torch", "torch-tuned", "forward"),
        Candidate("ONNX Runtime", "onnxruntime", "onnxruntime", "forward"),
        Candidate("OpenVINO, f32", "openvino", "openvino", "forward"),
    ],
    "grad_cam": [
        Candidate("pytorch-grad-cam", "pytorch-grad-cam", "torch", "grad_cam_package"),
        Candidate("pytorch-grad-cam, tuned", "pytorch-grad-cam", "torch-tuned", "grad_cam_package"),
        Candidate("PyTorch by autograd, tuned", "torch", "torch-tuned", "grad_cam"),
    ],
    "grad_cam5": [Candidate("gradcam, one class", "", OURS, "grad_cam")],
    "guided": [
        Candidate("captum", "captum", "torch", "guided_package"),
        Candidate("captum, tuned", "captum", "torch-tuned", "guided_package"),
        Candidate("PyTorch by hooks, tuned", "torch", "torch-tuned", "guided"),
    ],
    "stream": [
        Candidate("pytorch-grad-cam", "pytorch-grad-cam", "torch", "stream"),
        Candidate("pytorch-grad-cam, tuned", "pytorch-grad-cam", "torch-tuned", "stream"),
    ],
    "start": [Candidate("PyTorch, a script", "torch", "torch", "start")],
    NEIGHBOUR: [Candidate("gradcam, alone", "", APART, "convs")],
}

_OURS = {
    "backward": Candidate("gradcam, backward", "", OURS, "backward"),
    "grad_cam5": Candidate("gradcam, five classes", "", OURS, "grad_cam5"),
    "start": Candidate("gradcam explain", "", OURS, "start"),
    NEIGHBOUR: Candidate("gradcam, busy neighbour", "", APART, "convs", neighbour=True),
}


def find_candidates(task: str, against: Collection[str]) -> list[Candidate]:
    """Return the candidates for a task, gradcam first, then those of the peers in `against`."""
    ours = _OURS.get(task, Candidate(OURS, "", OURS, task))
    return [ours, *(each for each in _OTHERS[task] if not each.peer or each.peer in against)]


def environment(threads: int, level: str | None) -> dict[str, str]:
    """Return the environment variables of every program's process."""
    variables = os.environ | {"OMP_NUM_THREADS": str(threads), "GRADCAM_NUM_THREADS": str(threads)}
    if level is not None:
        variables |= {"GRADCAM_CPU_LEVEL": level, **LEVELS.get(level, {})}
    return variables
