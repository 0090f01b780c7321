"""Write keras.applications as ONNX files by TensorFlow's exporters; needs no gradcam.

    python tests/write_tensorflow_files.py FOLDER [NAME ...]

To be run with a Python that has tensorflow, keras and tf2onnx. For each network it writes
``NAME.keras``; ``NAME-keras.onnx``, by ``model.export(format="onnx")`` of Keras on TensorFlow; and
``NAME-tf2onnx.onnx``, by tf2onnx from a SavedModel. ``report_importers.py`` compares them.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).parent / "peers"))

import keras_applications


def write(folder: Path, name: str) -> None:
    model = keras_applications.made(name)
    model.save(folder / f"{name}.keras")
    model.export(folder / f"{name}-keras.onnx", format="onnx", verbose=False)
    with tempfile.TemporaryDirectory() as saved:
        model.export(saved, format="tf_saved_model", verbose=False)
        target = str(folder / f"{name}-tf2onnx.onnx")
        command = [sys.executable, "-m", "tf2onnx.convert", "--saved-model", saved]
        subprocess.run([*command, "--output", target, "--opset", "15"], check=True)


if __name__ == "__main__":
    for each in sys.argv[2:] or keras_applications.SIZES:
        write(Path(sys.argv[1]), each)
        print(each, flush=True)
