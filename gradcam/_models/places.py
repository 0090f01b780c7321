"""The tensors of a file that can be the weights of a network, by their names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from numpy.typing import NDArray

from gradcam._weights.tensors import WeightsError

MAX_NAME = 500
"""Characters in the name of a tensor."""

_TRAINING_STATE = re.compile(
    r"(opt|optim|optimi[sz]ers?|schedulers?|lr_schedulers?|scaler|grad_scaler|amp|criterion|loss"
    r"|loss_fn|loss_func(tion)?|callbacks?|metrics?|hyper_parameters|(\w+_)?rng|epoch|step"
    r"|global_step|n_averaged|num_batches_tracked|queue|queue_ptr"
    r"|(train|val|valid|test)_(acc|accuracy|auroc|f1|loss|metrics?|precision|recall))"
    r"(_states?|_state_dict)?(_\w*cuda\w*)?",
    re.IGNORECASE,
)
"""Parts of the names of tensors that belong to a training run and not to the network."""

_WRAPPERS = re.compile(
    r"(?<![^.])(module|_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\."
)
"""Parts of names that DataParallel, torch.compile and others insert, at any place."""

AVERAGE = re.compile(
    r"(^|[._])(ema|shadow|swa|averaged?|encoder_k|momentum_encoder)([._]|$)", re.IGNORECASE
)
"""In the prefix of a running average of the weights that is stored beside them."""


class Place(NamedTuple):
    """A tensor and its name in the file.

    Attributes
    ----------
    name : str
        In the file.
    values : array
    plain : str
        The name without wrappers.
    """

    name: str
    values: NDArray[Any]
    plain: str


Found = dict[tuple[str, str], Place]
"""Tensors by the layer's name in the layout and PyTorch's name of the parameter."""


def network_tensors(tensors: Mapping[str, NDArray[Any]]) -> dict[str, Place]:
    """Return the tensors that can be weights, by their names without wrappers."""
    places: dict[str, Place] = {}
    for name, values in tensors.items():
        if len(name) > MAX_NAME:
            raise WeightsError(
                f"the name of a tensor has {len(name)} characters; expected at most {MAX_NAME}"
            )
        if values.ndim == 0 or any(map(_TRAINING_STATE.fullmatch, re.split(r"[./]", name))):
            continue
        unwrapped = _WRAPPERS.sub("", name)
        if unwrapped in places:
            raise two_networks(places[unwrapped].name, name)
        places[unwrapped] = Place(name, values, unwrapped)
    return places


def two_networks(first: str, second: str) -> WeightsError:
    return WeightsError(
        f"the file holds two networks, with the tensors {first} and {second}: save one of them to "
        f"a separate file"
    )
