"""``gradcam.fit_head``: a classifier of your own from a folder of pictures by class."""

from __future__ import annotations

import math
import os
import time
import warnings
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from gradcam._codes import PooledCodes, pooled_codes, require_different
from gradcam._engine.network import Size, check_network
from gradcam._heads.examples import Examples, assign_folds, examples, together
from gradcam._heads.regression import PURPOSE, USUAL, Learnt, learn
from gradcam._heads.trained import (
    TrainedNetwork,
    centre_of,
    described,
    is_exact,
    usual_layer,
    with_head,
)
from gradcam._heads.training import Training
from gradcam._methods.passes import check_seed, integer, real
from gradcam._scikit import scikit
from gradcam._text import brief

if TYPE_CHECKING:
    from gradcam._engine.network import BatchArray, Network, PictureLike
    from gradcam._engine.stream import OnError

_F64 = NDArray[np.float64]


def fit_head(
    network: Network,
    pictures: str | os.PathLike[str] | Iterable[PictureLike] | BatchArray,
    labels: Sequence[str] | None = None,
    *,
    layer: str | None = None,
    folds: SupportsIndex = 5,
    C: float | None = None,
    seed: int = 0,
    name: str | None = None,
    batch: int = 8,
    size: Size = None,
    on_error: OnError[PictureLike] = "raise",
    progress: bool = False,
) -> TrainedNetwork:
    """Train a classifier of other classes on what a network sees.

    The network runs once over the pictures. Its code of each, the output of `layer`, is
    standardised, and a logistic regression (scikit-learn's, with an L2 penalty) learns the classes
    from the codes. The new network is the old one up to `layer`, the mean over positions if it is a
    map, a linear layer into which the standardisation is folded, and a softmax. The weights below
    are not changed. Two classes have two scores: minus and plus half of the regression's own.

    Its accuracy is measured by cross-validation: standardisation, C and weights come from the other
    folds alone, and C is chosen among them by a second cross-validation. Pictures of exactly the
    same content, or the same code, are held out together. Pictures that are nearly the same, such
    as frames of one film, or a copy that was encoded again, are not recognised: with them the
    accuracy is too high.

    A value of a code that varies by less than 1e-5 of its mean, where the digits of float32 end, is
    not standardised, so that it hardly counts. Where the mean of the codes is so large that the
    scores would lose digits to it, a layer of the new network subtracts it first.

    Parameters
    ----------
    network : Network
        Any network.
    pictures : path, iterable of pictures, or (N, C, H, W) array of float32
        A folder with a folder for each class, whose names become the labels; or pictures as of
        :meth:`Network.stream`, or preprocessed input, and `labels`.
    labels : sequence of str, optional
        The class of each picture.
    layer : str, optional
        Any layer. By default the pooled code: what the network's global average pooling returns;
        in networks with several fully connected layers, as VGG, the mean of the target layer. So
        CAM exists for the new network.
    folds : int
        2 or more; fewer are used if a class has fewer pictures. With two folds, C is not
        chosen: it is 0.01.
    C : float, optional
        scikit-learn's: 1 / the strength of the penalty. By default it is chosen from 1e-4, 1e-3,
        ... 100.
    seed : int
        Of the random order in which pictures are assigned to folds.
    name : str, optional
        Of the new network; by default the name of the old one and "-head".
    batch, size, on_error, progress
        As of :meth:`Network.stream`. `size` is that of the codes' pictures alone: the network's
        own stays.

    Returns
    -------
    TrainedNetwork
        A network like any other, which :func:`gradcam.weights.save` writes; ``.training`` is its
        :class:`Training`: accuracy, confusion matrix, the pictures that were wrong.

    Warns
    -----
    UserWarning
        If a picture is in several classes, byte for byte, or the regression did not converge.

    Raises
    ------
    ImportError
        If scikit-learn is not installed: ``pip install "gradcam[learn]"``.
    ValueError, TypeError
        If the folder has no folders of pictures, there is one class alone, a class has fewer than
        two different pictures, labels are missing or ambiguous, or an option is out of range.
    gradcam.PictureError, OSError
        If a picture cannot be read and `on_error` is "raise".

    Examples
    --------
    >>> network = gradcam.fit_head(gradcam.imagenet.model(), "fruit")
    >>> print(network.training.accuracy, network.training.interval)
    >>> gradcam.weights.save(network, "fruit.safetensors")
    >>> network.forward("basket.jpg").grad_cam("banana").save("banana.png")
    """
    started = time.perf_counter()
    scikit("sklearn.linear_model", PURPOSE)  # before any work
    count, strength = _checked(folds, C, seed)
    _check_kinds(network, name)
    given = examples(pictures, labels)
    at = _size(network, given)
    code = network.names(usual_layer(network, at) if layer is None else layer)[0]
    contents = given.contents()
    # Refuses classes with too few pictures before any work.
    assign_folds(given, contents, count, seed)
    codes = pooled_codes(
        *(network, given.pictures, code),
        batch=batch,
        size=size,
        on_error=on_error,
        progress=progress,
    )
    require_different(codes.values, code)
    values, read = codes.values.astype(np.float64), given.part(codes.positions)
    assigned = assign_folds(read, together(contents[codes.positions], values), count, seed)
    learnt = learn(values, read.numbers, assigned.numbers, strength)
    centre = centre_of(learnt.linear, values)
    made = with_head(
        *(network, code, learnt.linear, given.classes),
        centre=centre,
        size=at,
        name=f"{network.name}-head" if name is None else name,
    )
    doubts = (*assigned.doubts, *_about(learnt, values, centre))
    for doubt in doubts:
        warnings.warn(doubt, UserWarning, stacklevel=2)
    training = Training(
        given.classes,
        *(read.sources, read.numbers, assigned.numbers, learnt.probabilities),
        *(network.name, code, learnt.strength, learnt.strengths),
        seconds=time.perf_counter() - started,
        skipped=_skipped(given, codes),
        notes=(*assigned.notes, *([_UNCHOSEN] if assigned.count == 2 and strength is None else [])),
        doubts=doubts,
    )
    return described(made, network, training)


def _checked(folds: SupportsIndex, c: float | None, seed: int) -> tuple[int, float | None]:
    """Return the number of folds and C, having checked them."""
    count = integer("folds", folds)
    if count < 2:
        raise ValueError(f"folds: expected 2 or more, got {count}")
    if c is not None and not 0 < real("C", c) < math.inf:
        raise ValueError(f"C: expected a number above 0, got {c}")
    check_seed(seed)
    return count, None if c is None else float(c)


def _check_kinds(network: object, name: object) -> None:
    """Raise TypeError for what is not a network, and for a name that is not a text."""
    check_network(network)
    if name is not None and not isinstance(name, str):
        raise TypeError(f"name: expected a text, got {brief(name)}")


def _size(network: Network, given: Examples) -> tuple[int, int]:
    """Return the height and width of the input, at which shapes of layers are looked up."""
    if isinstance(given.pictures, np.ndarray) and given.pictures.ndim == 4:
        return given.pictures.shape[2], given.pictures.shape[3]
    return network.input_size


_UNCHOSEN = f"With two folds, C is not chosen: it is {USUAL:g}."


def _about(learnt: Learnt, values: _F64, centre: _F64 | None) -> list[str]:
    """Say what is wrong with a regression."""
    found = []
    if not learnt.linear.converged:
        found.append("The regression did not converge: a smaller C, or another layer, may help.")
    if centre is not None and not is_exact(learnt.linear, values, centre):
        found.append(
            "The scores are so large that float32 rounds them: the network's probabilities may "
            "differ from those of the regression that was tested; a smaller C may help."
        )
    return found


def _skipped(given: Examples, codes: PooledCodes[PictureLike]) -> tuple[tuple[str, str], ...]:
    """Return the names of the pictures that could not be read, and why."""
    read = set(codes.positions.tolist())
    left = [name for n, name in enumerate(given.sources) if n not in read]
    reasons = [str(error) for _, error in codes.skipped]
    return tuple(zip(left, reasons, strict=True))
