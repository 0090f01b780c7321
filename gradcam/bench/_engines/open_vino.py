"""OpenVINO in float32, which is not its default on all processors."""

from __future__ import annotations

import numpy as np
import openvino
from numpy.typing import NDArray

from gradcam.bench._engines import Batch, Run, Setup, onnx_graph


class Engine:
    """Compiles a model for each shape of the input."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup

    def versions(self) -> dict[str, str]:
        return {"openvino": openvino.__version__, "onnx": onnx_graph.version()}

    def variants(self, task: str, x: Batch) -> dict[str, Run]:
        model = openvino.Core().compile_model(
            str(onnx_graph.write(self.setup, x.shape)),
            "CPU",
            {
                "INFERENCE_PRECISION_HINT": "f32",
                "PERFORMANCE_HINT": "LATENCY",
                "INFERENCE_NUM_THREADS": self.setup.threads,
            },
        )
        request = model.create_infer_request()

        def run() -> NDArray[np.float32]:
            scores: NDArray[np.float32] = request.infer([x], share_inputs=True)[0][0].copy()
            return scores

        return {"": run}
