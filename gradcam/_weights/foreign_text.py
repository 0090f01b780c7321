"""Recognise texts that are not weights: web pages, and definitions of other programs' networks."""

from __future__ import annotations

import re

ORIGINAL = "use the ONNX file, or the framework's own, that it was made from"
"""What to do with the file of another program."""

_PROTOTXT = re.compile(
    r"(\s|#[^\n]*\n)*(name|input|input_dim|input_shape|layers?|state|force_backward)\s*[:{]"
)
_SOLVER = re.compile(r"(\s|#[^\n]*\n)*(net|train_net|test_iter|base_lr|solver_mode)\s*:")

_BEGINNINGS = {
    "7767517": f"a network of ncnn (.param), as text: {ORIGINAL}",
    "model_checkpoint_path": "the state file of a TensorFlow checkpoint, not weights: load it in "
    "TensorFlow and save the model as .keras, or as ONNX with tf2onnx",
    "[net]": "a network of Darknet (.cfg) without its weights: convert both to ONNX, or to PyTorch",
}
"""How texts begin, in small letters, and what they are."""

_JSON = {
    '"weight_map"': "the list of weights in several files, not the weights themselves: pass "
    "the folder that holds them with their config.json",
    '"modeltopology"': "a network of TensorFlow.js (model.json): convert it with "
    "python -m tf2onnx.convert --tfjs, or use the model that it was made from",
    '"weightsmanifest"': "a network of TensorFlow.js (model.json): convert it with "
    "python -m tf2onnx.convert --tfjs, or use the model that it was made from",
    '"op": "null"': "a network of MXNet (symbol.json) without its weights: export both as ONNX",
    '"magic": "pir"': "a network of PaddlePaddle (.json) without its weights: convert both with "
    "paddle2onnx",
    '"class_name"': "the configuration of a Keras model without its weights: save the model as "
    ".keras",
}
"""What texts of JSON contain, in small letters, and what they are."""


def text(start: bytes, cut: bool) -> str | None:
    """Describe a text; None if the bytes are not text.

    Parameters
    ----------
    start : bytes
        The beginning of the file.
    cut : bool
        Whether the file is longer, so that the last character can be cut off.
    """
    try:
        found = start.decode("utf-8", "ignore" if cut else "strict")
    except UnicodeDecodeError:
        return None
    if any(ord(character) < 32 and character not in "\t\n\r\f\v\x1b" for character in found):
        return None
    found = found.lstrip("\ufeff \t\r\n").lower()
    if found.startswith(("<?xml", "<net")) and re.search(r"<net\s+name=", found):
        return f"a network of OpenVINO (.xml) without its weights: {ORIGINAL}"
    if found.startswith(("<!doctype", "<html", "<head", "<body", "<?xml", "<script", "<!--")):
        return "a web page, not weights: an error page, or the download needs a login"
    if found.startswith(("{", "[")) and not found.startswith("[net]"):
        spaced = re.sub(r'"\s*:\s*', '": ', found)
        return next((words for mark, words in _JSON.items() if mark in spaced), None) or (
            "a JSON text, not weights"
        )
    for beginning, words in _BEGINNINGS.items():
        if found.startswith(beginning):
            return words
    return _definition(found) or ("a text, not weights" if found else "a text of white space, not "
                                  "weights")  # fmt: skip


def _definition(found: str) -> str | None:
    """Describe a definition of Caffe's."""
    if _SOLVER.match(found) and ("base_lr" in found or "snapshot" in found):
        return "settings of a training with Caffe (solver.prototxt): pass the .caffemodel"
    if _PROTOTXT.match(found) and re.search(r"\blayers?\s*\{", found):
        return (
            "a definition of a Caffe network without weights (.prototxt): pass the .caffemodel, "
            "which holds both"
        )
    return None
