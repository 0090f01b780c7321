"""From a weight file of any kind to a safetensors file with torchvision's names and layout."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from typing import Literal

from gradcam._labels.classes import Labels
from gradcam._models import checkpoints
from gradcam._models.checkpoints import Checkpoint
from gradcam._models.loading import known_labels
from gradcam._pictures.presets import Preset
from gradcam._weights import safetensors
from gradcam._weights.reading import load
from gradcam._weights.tensors import WeightsError


def convert(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    labels: Labels | Sequence[str] | str | os.PathLike[str] | None = None,
    preset: str | Preset | None = None,
    dtype: Literal["float32", "float16"] = "float32",
    force: bool = False,
) -> Checkpoint:
    """Write the VGG that a weight file holds as safetensors, which loads fastest.

    The new file says which input preset goes with the weights and, where that is known, which
    classes they tell apart. It is complete or not there at all.

    Parameters
    ----------
    source : path
        As :func:`gradcam.weights.load` takes it.
    target : path
        A name that ends in ``.safetensors``.
    labels : Labels, sequence of str or path, optional
        The classes; by default those that `source` names.
    preset : str or Preset, optional
        By default the one that goes with `source`.
    dtype : "float32" or "float16"
        float16 halves the file and rounds to 11 bits of precision.
    force : bool
        Whether an existing `target` is replaced; never where it is `source` itself.

    Returns
    -------
    gradcam._models.checkpoints.Checkpoint
        What `source` was recognised as.

    Raises
    ------
    FileExistsError
        Where `target` is there already, or is `source`.
    WeightsError, OSError, ImportError, ValueError
        As of :func:`gradcam.load`; where a value is not finite; where `target` cannot be written.
    """
    target = os.fsdecode(target)
    if not target.endswith(".safetensors"):
        raise ValueError(f"{target}: this writes safetensors; name the file ....safetensors")
    if os.path.exists(target):
        if os.path.exists(source) and os.path.samefile(source, target):
            raise FileExistsError(errno.EEXIST, "is the file to be read: name another", target)
        if not force:
            raise FileExistsError(errno.EEXIST, "exists already, and is not replaced", target)
    content = load(source)
    try:
        checkpoint = checkpoints.identify(content, preset)
        known = known_labels(labels, content.metadata, checkpoint.classes)
        tensors = checkpoint.tensors()
        metadata = dict(checkpoint.metadata) | checkpoint.preset.to_metadata()
        if known is not None:
            metadata |= known.to_metadata()
        safetensors.write(tensors, target, metadata, dtype)
    except WeightsError as error:
        raise WeightsError(f"{os.fsdecode(source)}: {error}") from error
    return checkpoint
