"""gradcam."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

import gradcam
from gradcam import _core
from gradcam._engine.layers import INPUT
from gradcam._labels.classes import top_indices
from gradcam._models.constructors import CONSTRUCTORS
from gradcam.bench._engines import STREAM_BATCH, Batch, Run, Setup


class Engine:
    """gradcam, whose fully connected weights are mapped from the file."""

    def __init__(self, setup: Setup) -> None:
        _core.set_num_threads(setup.threads)
        self.network = CONSTRUCTORS[setup.network](setup.weights)
        self.setup = setup

    def versions(self) -> dict[str, str]:
        return {"gradcam": gradcam.__version__, "BLAS of gradcam": _core.blas_config()}

    def _stream(self, size: int) -> NDArray[np.float32]:
        """Explain a folder of pictures, and save a picture of each."""
        scores: list[NDArray[np.float32]] = []
        with TemporaryDirectory() as folder, ThreadPoolExecutor(2) as threads:
            saved: list[Future[None]] = []
            for files, tape in self.network.stream(self.setup.pictures, STREAM_BATCH, size=size):
                scores.append(tape.scores[0])
                for file, found in zip(files, tape.grad_cam(), strict=True):
                    saved.append(threads.submit(found.save, Path(folder, file.name)))
            for each in saved:
                each.result()
        return scores[0]

    def _part(self, task: str, x: Batch) -> Run:
        """Return a run of the convolutions, forward or backward, or of the layers above them."""
        network, size = self.network, (x.shape[2], x.shape[3])
        pool5 = network.index("pool5")
        tape = network.run_core(x, until="pool5")
        maps = tape.activation(pool5)
        seeds = np.random.default_rng(0).standard_normal((1, *maps.shape), np.float32)
        network.prepare_backward("pool5", [INPUT])

        def convs() -> NDArray[np.float32]:
            network.run_core(x, until="pool5")
            return np.empty(0, np.float32)

        def backward() -> NDArray[np.float32]:
            gradient: NDArray[np.float32] = tape.backward(pool5, seeds, [0])[0][0, 0]
            return gradient

        def fc() -> NDArray[np.float32]:
            network.run_core(maps, start="pool5", size=size)
            return np.empty(0, np.float32)

        return {"convs": convs, "backward": backward, "fc": fc}[task]

    def variants(self, task: str, x: Batch) -> dict[str, Run]:
        if task in ("convs", "backward", "fc"):
            return {"": self._part(task, x)}
        network = self.network

        def forward() -> NDArray[np.float32]:
            scores: NDArray[np.float32] = network.forward(x, record=False).scores[0]
            return scores

        def grad_cam() -> NDArray[np.float32]:
            maps = [explanation.map for explanation in network.forward(x).grad_cam()]
            return maps[0]

        def grad_cam5() -> NDArray[np.float32]:
            tape = network.forward(x)
            top = [top_indices(scores, 5) for scores in tape.scores]
            maps = [[each.map for each in picture] for picture in tape.grad_cam(top)]
            return np.stack(maps[0])

        def guided() -> NDArray[np.float32]:
            return network.forward(x).guided_backprop()[0].raw

        tasks: dict[str, Run] = {
            "forward": forward,
            "grad_cam": grad_cam,
            "grad_cam5": grad_cam5,
            "guided": guided,
            "stream": partial(self._stream, x.shape[-1]),
        }
        return {"": tasks[task]}
