"""The tensors of a file that can be the weights of a network, by their names."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import takewhile
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
"""Names of groups of tensors that belong to a training run and not to the network.

They count only outside of the network: a module in it can have any name.
"""

_COUNTER = "num_batches_tracked"
"""A buffer of each batch normalisation that no prediction depends on."""

_CONTAINER = re.compile(r"\w*(state_dict|model)\w*", re.IGNORECASE)
"""Keys of checkpoints under which a network and its training state lie side by side."""

_WRAPPERS = re.compile(
    r"(?<![^.])(module|_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\."
)
"""Parts of names that DataParallel, torch.compile and others insert, at any place."""

AVERAGE = re.compile(
    r"(^|[._])(ema|shadow|swa|averaged?|encoder_k|momentum_encoder)([._]|$)", re.IGNORECASE
)
"""In the prefix of a running average of the weights that is stored beside them.

A module of the network can have such a name too (attention is called EMA): see :func:`averages`.
"""


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
    for name in _outside_training(tensors):
        values = tensors[name]
        unwrapped = _WRAPPERS.sub("", name)
        if unwrapped in places:
            raise two_networks(places[unwrapped].name, name)
        places[unwrapped] = Place(name, values, unwrapped)
    return places


def _outside_training(tensors: Mapping[str, NDArray[Any]]) -> list[str]:
    """Return the names of the tensors that do not belong to a training run.

    A group of a training run lies beside the network: at the top of the file, or where the names of
    all other tensors begin ("state_dict.criterion.weight" beside "state_dict.model.fc.weight").
    """
    paths: dict[str, list[str]] = {}
    for name, values in tensors.items():
        if len(name) > MAX_NAME:
            raise WeightsError(
                f"the name of a tensor has {len(name)} characters; expected at most {MAX_NAME}"
            )
        path = re.split(r"[./]", name)
        if values.ndim and path[-1] != _COUNTER:
            paths[name] = path
    places = {name: _training_part(path) for name, path in paths.items()}
    network = [paths[name][:-1] for name, place in places.items() if place is None]
    ends = zip(min(network, default=[]), max(network, default=[]), strict=False)
    shared = [one for one, _ in takewhile(lambda pair: pair[0] == pair[1], ends)]
    return [
        name
        for name, place in places.items()
        if place is None
        or not (
            paths[name][:place] == shared[:place]
            or all(map(_CONTAINER.fullmatch, paths[name][:place]))
        )
    ]


def _training_part(path: list[str]) -> int | None:
    """Return the number of the first part that is the name of a training run's state."""
    return next((n for n, part in enumerate(path) if _TRAINING_STATE.fullmatch(part)), None)


def averages(others: Iterable[Place], network: Iterable[Place]) -> dict[str, list[Place]]:
    """Return the running averages of a network among the other tensors, by their prefixes.

    The prefix of an average says so, and the average has a tensor of the same shape for every
    convolution of the network. What has such a name and is less is a part of a network.
    """
    groups: dict[str, list[Place]] = {}
    for place in others:
        matched = AVERAGE.search(place.plain.rpartition(".")[0])
        if matched:
            end = place.plain.find(".", matched.end() - 1)
            groups.setdefault(place.plain[: end + 1], []).append(place)
    needed = _shapes(network)
    return {
        prefix: group for prefix, group in groups.items() if needed and not needed - _shapes(group)
    }


def _shapes(places: Iterable[Place]) -> Counter[tuple[int, ...]]:
    """Return how many convolutions have which shape."""
    return Counter(p.values.shape for p in places if p.values.ndim == 4)


def two_networks(first: str, second: str) -> WeightsError:
    return WeightsError(
        f"the file holds two networks, with the tensors {first} and {second}: save one of them to "
        f"a separate file"
    )
