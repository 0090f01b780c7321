"""Write networks as safetensors: those of other files, and those that exist already.

The file says everything that the network is made of (:mod:`gradcam._importers.stored`). Its tensors
have torchvision's names where the network is one of torchvision's.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

from numpy.typing import ArrayLike

from gradcam._engine.layers import INPUT
from gradcam._engine.network import Network
from gradcam._files import expanded
from gradcam._importers import stored
from gradcam._importers.imported import Imported
from gradcam._labels.classes import Labels
from gradcam._models.loading import (
    Options,
    check_bool,
    find_labels,
    imported_from,
    network_of,
    warn_of,
    with_name,
)
from gradcam._models.recognition import tensor_names
from gradcam._pictures import presets
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
    size: int | tuple[int, int] | None = None,
    output: str | None = None,
    dtype: Literal["float32", "float16"] = "float32",
    force: bool = False,
) -> Imported:
    """Write the network in a weight file as safetensors, the format that loads fastest.

    The new file holds the layers with their names, and, if they are known, the input preset and
    the classes: :func:`gradcam.load` makes the same network of it, whatever `source` was. An error
    leaves no incomplete file behind.

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
    size, output
        As for :func:`gradcam.load`.
    dtype : "float32" or "float16"
        float16 halves the file and rounds to 11 bits of precision.
    force : bool
        Whether to replace an existing `target`. `source` itself is never replaced.

    Returns
    -------
    gradcam._importers.imported.Imported
        What was written.

    Warns
    -----
    gradcam.WeightsWarning
        As :func:`gradcam.load`, and so does the new file when it is loaded.

    Raises
    ------
    FileExistsError
        If `target` exists, or is `source`.
    WeightsError, OSError, ImportError, ValueError
        As :func:`gradcam.load`; also if a value is not finite, or `target` cannot be written.
    """
    check_bool(force, "force")
    source, target = expanded(os.fsdecode(source)), expanded(os.fsdecode(target))
    if not target.endswith(".safetensors"):
        raise ValueError(f"{target}: the name of the new file must end in .safetensors")
    if os.path.exists(target):
        if os.path.exists(source) and os.path.samefile(source, target):
            raise FileExistsError(errno.EEXIST, "is the file to read: choose another", target)
        if not force:
            raise FileExistsError(errno.EEXIST, "exists already and is not replaced", target)
    options = Options(labels=labels, preset=preset, size=size, output=output)
    options.check()
    content = load(source)
    try:
        imported = with_name(imported_from(content, options), source)
        network = network_of(imported, options)  # refuses what does not fit together
        imported = replace(
            imported,
            labels=find_labels(labels, imported.labels, imported.classes),
            preset=imported.preset if preset is None else presets.find(preset),
            size=network.size,
        )
        tensors, metadata = stored.encoded(imported, tensor_names(imported))
        safetensors.write(tensors, target, metadata, dtype)
        warn_of(imported, source, stacklevel=3)
    except WeightsError as error:
        raise WeightsError(f"{source}: {error}") from error
    return imported


def save(
    content: Network | Mapping[str, ArrayLike],
    path: str | os.PathLike[str],
    metadata: Mapping[str, str] | None = None,
    dtype: Literal["float32", "float16"] = "float32",
) -> None:
    """Write a network or tensors to a safetensors file; an error leaves no incomplete file.

    Parameters
    ----------
    content : Network, or mapping of str to array
        Of a network everything is written: layers, classes, preset, size and target layer.
        :func:`gradcam.load` makes the same network of the file, also of one that was a live model
        of PyTorch or Keras, which then need not be installed.
    path : path
        An existing file is replaced when the new one is complete.
    metadata : mapping of str to str, optional
    dtype : "float32" or "float16"
        The type in the file; float16 takes half the space and has 11 bits of precision.

    Raises
    ------
    WeightsError
        If a tensor or the metadata cannot be written, or a value is not finite, in float16 if that
        is the type.
    ValueError
        If `path` ends in ``.npz``, or `dtype` is another one.
    """
    if isinstance(content, Network):
        tensors, own = stored.encoded(imported_of(content))
        safetensors.write(tensors, path, {**own, **(metadata or {})}, dtype)
    else:
        safetensors.write(content, path, metadata, dtype)


def imported_of(network: Network) -> Imported:
    """Return a network as an importer would have returned it."""
    return Imported(
        layers=tuple(layer for layer in network.layers.values() if layer.op != INPUT),
        channels=network.core.channels,
        classes=len(network.labels),
        size=network.size,
        fixed=network.fixed,
        target_layer=network.target_layer,
        name=network.name,
        title="a network of gradcam",
        preset=network.preset,
        labels=network.labels,
        assumed=network.assumed,
        notes=(network.about,) if network.about else (),
    )
