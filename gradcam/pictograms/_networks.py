"""The networks that were trained on the scenes."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from gradcam.pictograms._scenes import CLASSES

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from gradcam._engine.network import Network

_FOLDER = Path(__file__).parent

FEATURES = "relu5_3"
"""The last rectified maps."""


@lru_cache(maxsize=1)
def model() -> Network:
    """Return the pictogram network, a VGG-16 with 2.6 million weights.

    It is loaded once; later calls return the same network, which is immutable.
    """
    from gradcam._models.constructors import vgg16  # scenes do not need it

    network = vgg16(weights=_FOLDER / "pictograms.safetensors", name="pictograms")
    network.origin = lambda network: (model, ())
    network.about = (
        f"the built-in model knows {len(CLASSES)} pictograms and was not trained on photographs"
    )
    return network


@lru_cache(maxsize=1)
def gap_model() -> Network:
    """Return the pictogram network with another end: global average pooling and one linear layer.

    CAM (Zhou et al. 2016) needs such a network. The convolutions are those of :func:`model`; the
    linear layer was trained on them (`_train_gap`). It is loaded once.
    """
    from gradcam._weights.reading import load

    tensors = load(_FOLDER / "gap.safetensors").tensors
    network = with_gap(tensors["weight"], tensors["bias"])
    network.origin = lambda network: (gap_model, ())
    network.about = model().about
    return network


@lru_cache(maxsize=1)
def weak_model() -> Network:
    """Return a network that is right less often, an AlexNet with 0.5 million weights.

    It was trained on fewer scenes of the same kind (``python -m gradcam.pictograms train
    --architecture alexnet``; ``weak.log`` is the log of the run). On 300 scenes of one object that
    were not used for training, seeds 0 to 299, its most probable class is right in 218. It is to be
    compared with :func:`model`: which of the two do their maps recommend? See
    :func:`gradcam.measures.trust`. It is loaded once.
    """
    from gradcam._models.constructors import alexnet

    network = alexnet(weights=_FOLDER / "weak.safetensors", name="pictograms-weak")
    network.origin = lambda network: (weak_model, ())
    network.about = model().about
    return network


def with_gap(weight: ArrayLike, bias: ArrayLike) -> Network:
    """Return the network with the mean of the last maps and this linear layer, (C, K) and (C,)."""
    from gradcam._engine.layers import Layer
    from gradcam._engine.network import Network

    network = model()
    layers = list(network.layers.values())[1:]
    names = [layer.name for layer in layers]
    layers = layers[: names.index(FEATURES) + 1]
    layers += [
        Layer("average", "global_average_pool"),
        Layer("flatten", "flatten"),
        Layer("fc", "linear", weights={"weight": weight, "bias": bias}),
        Layer("prob", "softmax"),
    ]
    return Network.from_layers(
        layers, labels=network.labels, preset=network.preset, name="pictograms-gap"
    )
