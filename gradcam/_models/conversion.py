"""Convert weight files of any kind to safetensors, with torchvision's names and layout."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from typing import Literal

from gradcam._files import expanded
from gradcam._labels.classes import Labels
from gradcam._models import architecture as architectures
from gradcam._models import checkpoints
from gradcam._models.checkpoints import Checkpoint
from gradcam._models.loading import find_labels, labels_of
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
    """Write the network in a weight file as safetensors, the format that loads fastest.

    The new file stores the input preset and, if they are known, the classes. An error leaves no
    incomplete file behind.

    Parameters
    ----------
    source : path
        A file that :func:`gradcam.weights.load` reads.
    target : path
        A path that ends in ``.safetensors``.
    labels : Labels, sequence of str or path, optional
        The classes; by default those in the metadata of `source`.
    preset : str or Preset, optional
        By default that of `source`.
    dtype : "float32" or "float16"
        float16 halves the file and rounds to 11 bits of precision.
    force : bool
        Whether to replace an existing `target`. `source` itself is never replaced.

    Returns
    -------
    gradcam._models.checkpoints.Checkpoint
        The network in `source`.

    Raises
    ------
    FileExistsError
        If `target` exists, or is `source`.
    WeightsError, OSError, ImportError, ValueError
        As :func:`gradcam.load`; also if a value is not finite, or `target` cannot be written.
    """
    source, target = expanded(os.fsdecode(source)), expanded(os.fsdecode(target))
    if not target.endswith(".safetensors"):
        raise ValueError(f"{target}: the name of the new file must end in .safetensors")
    if os.path.exists(target):
        if os.path.exists(source) and os.path.samefile(source, target):
            raise FileExistsError(errno.EEXIST, "is the file to read: choose another", target)
        if not force:
            raise FileExistsError(errno.EEXIST, "exists already and is not replaced", target)
    content = load(source)
    try:
        checkpoint = checkpoints.identify(content, preset)
        found = find_labels(labels, labels_of(content.metadata), checkpoint.classes)
        tensors = checkpoint.tensors()
        metadata = dict(checkpoint.metadata) | checkpoint.preset.to_metadata()
        if checkpoint.eps != architectures.find(checkpoint.architecture).eps:
            metadata["eps"] = str(checkpoint.eps)  # the source's layout says so
        if found is not None:
            metadata |= found.to_metadata()
        safetensors.write(tensors, target, metadata, dtype)
    except WeightsError as error:
        raise WeightsError(f"{source}: {error}") from error
    return checkpoint
