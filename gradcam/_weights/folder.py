"""Folders of Hugging Face: config.json, preprocessor_config.json and the weights, in one or more
files.

Only files of the folder itself are read, and nothing in them is run. A link counts as the folder's
own file if it leads to a file in the folder, or to the store of the Hugging Face cache, whose
folders consist of such links.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from typing import cast

import numpy as np
from numpy.typing import NDArray

from gradcam._text import printable
from gradcam._weights.graph import ModelFolder
from gradcam._weights.tensors import Weights, WeightsError, listed

CONFIG = "config.json"
PREPROCESSOR = "preprocessor_config.json"

WEIGHTS = ("model.safetensors", "pytorch_model.bin")
"""The files of weights, the preferred one first, as transformers and timm name them."""

_INDEX = ".index.json"
"""What follows the name of a file of weights in the name of the list of its parts."""

_OTHERS = {
    "adapter_model.safetensors": "an adapter, which changes the weights of another model: merge "
    "both and save the result",
    "tf_model.h5": "weights of TensorFlow: load them in transformers with from_tf=True and save "
    "the model again",
    "flax_model.msgpack": "weights of Flax: load them in transformers with from_flax=True and save "
    "the model again",
}

_NOT_OURS = {"metadata.json", "model.weights.h5", "saved_model.pb", "data.pkl"}
"""Files of unpacked archives of other kinds, which may have a config.json too."""

_MAX_JSON = 8 << 20
"""Bytes of a JSON file: those of 21,000 classes need one million."""

_MAX_PARTS = 1000
"""Files that the weights may be stored in."""


def is_model_folder(path: str | os.PathLike[str]) -> bool:
    """Whether a folder is one of Hugging Face, and not an unpacked archive of another kind."""
    names = set(os.listdir(path))
    return CONFIG in names and not names & _NOT_OURS


def files(path: str | os.PathLike[str]) -> tuple[str, ...]:
    """Return the paths of the files that :func:`read` opens, without looking at the weights.

    Raises
    ------
    WeightsError
        If a file is missing, or leads out of the folder.
    OSError
        If the folder or a list of parts cannot be read.
    """
    folder = os.fspath(path)
    described = [CONFIG]
    if os.path.lexists(os.path.join(folder, PREPROCESSOR)):
        described.append(PREPROCESSOR)
    main, parts = _weight_files(folder)
    return tuple(_own(folder, name) for name in (*described, *main, *parts))


def read(path: str | os.PathLike[str], read_file: Callable[[str], Weights]) -> Weights:
    """Read a folder.

    Parameters
    ----------
    path : path
    read_file : function
        Reads a file of weights of any format.

    Raises
    ------
    WeightsError
        If a file is missing, leads out of the folder or is not JSON; if two parts hold a tensor of
        the same name, or a tensor is in another part than the list says.
    """
    folder = os.fspath(path)
    config = _json(folder, CONFIG)
    present = os.path.lexists(os.path.join(folder, PREPROCESSOR))
    preprocessor = _json(folder, PREPROCESSOR) if present else None
    _, parts = _weight_files(folder)
    if not parts:
        raise _without_weights(folder)
    by_transformers = config.get("model_type") not in (None, "timm_wrapper")
    kind = "timm" if "architecture" in config and not by_transformers else "transformers"
    read_parts = {name: read_file(_own(folder, name)) for name in parts}
    tensors = _joined(read_parts, parts)
    first = next(iter(read_parts.values()))
    objects = {name: kind for part in read_parts.values() for name, kind in part.objects.items()}
    notes = dict.fromkeys(note for part in read_parts.values() for note in part.notes)
    dtypes = {name: text for part in read_parts.values() for name, text in part.dtypes.items()}
    return Weights(
        tensors,
        dict(first.metadata),
        f"a folder of {kind}, {first.format}",
        dtypes,
        graph=ModelFolder(kind, config, preprocessor, len(parts) > 1),
        objects=objects,
        notes=tuple(notes),
    )


def _without_weights(folder: str) -> WeightsError:
    names = set(os.listdir(folder))
    for name, words in _OTHERS.items():
        if name in names:
            return WeightsError(f"the folder {folder} holds {words}")
    return WeightsError(
        f"the folder {folder} has a {CONFIG} but no weights: expected model.safetensors or "
        f"pytorch_model.bin, or a list of their parts ({WEIGHTS[0]}{_INDEX}), found {listed(names)}"
    )


def _weight_files(folder: str) -> tuple[tuple[str, ...], dict[str, list[str]]]:
    """Return the list of parts, if there is one, and the files of weights.

    Each comes with the names of the tensors that the list expects in it.
    """
    for name in WEIGHTS:
        if os.path.lexists(os.path.join(folder, name)):
            return (), {name: []}
        index = name + _INDEX
        if os.path.lexists(os.path.join(folder, index)):
            return (index,), _parts(folder, index)
    return (), {}


def _parts(folder: str, index: str) -> dict[str, list[str]]:
    """Return the files that an index lists, with the tensors in each."""
    places = _json(folder, index).get("weight_map")
    if not isinstance(places, dict) or not places:
        raise WeightsError(f"{index}: expected an object weight_map with the file of each tensor")
    parts: dict[str, list[str]] = {}
    for tensor, name in places.items():
        if not isinstance(name, str) or not name or os.path.basename(name) != name:
            raise WeightsError(
                f"{index}: {printable(tensor)!r} is said to be in "
                f"{printable(str(name))[:100]!r}, expected the name of a file in the folder"
            )
        parts.setdefault(name, []).append(tensor)
    if len(parts) > _MAX_PARTS:
        raise WeightsError(f"{index}: lists {len(parts)} files; more than {_MAX_PARTS} are refused")
    return parts


def _joined(
    read: Mapping[str, Weights], parts: Mapping[str, list[str]]
) -> dict[str, NDArray[np.generic]]:
    """Return the tensors of all parts."""
    tensors: dict[str, NDArray[np.generic]] = {}
    for name, content in read.items():
        missing = [tensor for tensor in parts[name] if tensor not in content.tensors]
        if missing:
            raise WeightsError(
                f"{name}: has no tensor {printable(missing[0])!r}, which the list of the parts "
                f"expects there: parts of two models, or an incomplete download"
            )
        twice = tensors.keys() & content.tensors.keys()
        if twice:
            raise WeightsError(f"{name}: holds {listed(sorted(twice), 2)}, as another part does")
        tensors |= content.tensors
    return tensors


def _own(folder: str, name: str) -> str:
    """Return the path of a file of the folder.

    Raises WeightsError if there is none, or if it is a link to a file elsewhere.
    """
    path = os.path.join(folder, name)
    if not os.path.exists(path):
        raise WeightsError(f"the file {printable(name)} is missing in the folder {folder}")
    if not os.path.isfile(path):
        raise WeightsError(f"{path}: not a file")
    real, home = os.path.realpath(path), os.path.realpath(folder)
    allowed = [home]
    if os.path.basename(os.path.dirname(home)) == "snapshots":  # of the cache
        allowed.append(os.path.join(os.path.dirname(os.path.dirname(home)), "blobs"))
    if os.path.dirname(real) not in allowed:
        raise WeightsError(
            f"{path} is a link to a file outside of the folder, which is not read: copy the file "
            f"into the folder"
        )
    return path


def _json(folder: str, name: str) -> dict[str, object]:
    """Return the content of a JSON file: an object.

    Raises WeightsError if it is something else, or too large.
    """
    path = _own(folder, name)
    with open(path, "rb") as file:
        content = file.read(_MAX_JSON + 1)
    if len(content) > _MAX_JSON:
        raise WeightsError(f"{path}: more than {_MAX_JSON} bytes, which no configuration needs")
    try:
        found = json.loads(content.decode("utf-8"), parse_constant=_refused)
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"{path}: not JSON ({error})") from None
    if not isinstance(found, dict):
        raise WeightsError(f"{path}: expected a JSON object, got a {type(found).__name__}")
    return cast("dict[str, object]", found)


def _refused(constant: str) -> object:
    raise ValueError(f"{constant} is not a number of JSON")
