"""ONNX Runtime with its default settings, which optimise the graph."""

from __future__ import annotations

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from gradcam.bench._engines import Batch, Run, Setup, onnx_graph


class Engine:
    """Creates a session for each shape of the input."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup

    def versions(self) -> dict[str, str]:
        return {"onnxruntime": onnxruntime.__version__, "onnx": onnx_graph.version()}

    def variants(self, task: str, x: Batch) -> dict[str, Run]:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.setup.threads
        session = onnxruntime.InferenceSession(
            str(onnx_graph.write(self.setup, x.shape)),
            options,
            providers=["CPUExecutionProvider"],
        )

        def run() -> NDArray[np.float32]:
            scores: NDArray[np.float32] = session.run(None, {"input": x})[0][0]
            return scores

        return {"": run}
