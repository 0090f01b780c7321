"""Codes in two dimensions: principal components and t-SNE."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal, SupportsIndex, get_args

import numpy as np
from numpy.typing import NDArray

from gradcam._codes import require_different
from gradcam._methods.passes import check_seed, flag, one_of, positive, real
from gradcam._scikit import scikit
from gradcam._text import counted, percent
from gradcam.inside import _map
from gradcam.inside._nearest import nearest
from gradcam.inside._neighbours import check_classes
from gradcam.inside._picture_set import PictureSet
from gradcam.inside._precision import NO_LABELS, Precision, precision

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Technique = Literal["pca", "tsne"]

_F32 = NDArray[np.float32]
_F64 = NDArray[np.float64]

_BEFORE = 50
"""Principal components that t-SNE is given."""

_PERPLEXITY = 30.0

_SEEDS = 1 << 32
"""scikit-learn's seeds are below this number."""

_SMALL = 1 << 22
"""Numbers of codes whose singular values are all computed."""


@dataclass(frozen=True, eq=False, repr=False)
class Projection:
    """Pictures as points of a plane.

    Attributes
    ----------
    points : (N, 2) array of float64
        The place of each picture. Only distances have a meaning: the axes of t-SNE have no unit.
    method : "pca" or "tsne"
    pictures : PictureSet
        The set. Its ``sources``, ``labels`` and ``pixels`` are those of the codes.
    values : (N, D) array of float32
        The codes.
    explained : (2,) array of float64, or None
        PCA: the share of the codes' variance that each axis has.
    divergence : float or None
        t-SNE: the Kullback-Leibler divergence that it ended with, in nats; 0 is perfect.
    perplexity : float or None
        t-SNE: about how many neighbours count as near.
    seed : int
    layer, network : str
        What the codes are the output of.
    """

    points: _F64
    method: Technique
    pictures: PictureSet
    values: _F32
    explained: _F64 | None
    divergence: float | None
    perplexity: float | None
    seed: int
    layer: str
    network: str

    def __len__(self) -> int:
        return len(self.points)

    def precision(self, count: SupportsIndex = 5) -> Precision:
        """Return the share of the nearest neighbours of the same class, in the plane and in code.

        It says how well the plane separates the classes: a plane that keeps what the code knows
        has the share of the code.

        Parameters
        ----------
        count : int
            Neighbours of each picture.

        Raises
        ------
        ValueError
            If there are no labels, one class only, or not as many pictures.
        """
        count = positive("count", count)
        if self.pictures.labels is None:
            raise ValueError(NO_LABELS)
        check_classes(self.pictures)
        numbers, own = self.pictures.numbers, np.arange(len(self))
        same = {}
        for name, vectors in (("plane", self.points), ("code", self.values)):
            places, _ = nearest(vectors, vectors, count, own=own)
            same[name] = numbers[places] == numbers[:, None]
        others = np.bincount(numbers)[numbers] - 1
        return precision(count, same, self.pictures.labels, others, len(self) - 1, self.seed)

    @cached_property
    def finding(self) -> str:
        """What was found, in a sentence or two."""
        if self.explained is not None:
            one, two = (percent(float(each)) for each in self.explained)
            found = f"The two axes have {one} and {two} of the codes' variance"
        else:
            found = (
                f"t-SNE of perplexity {self.perplexity:.3g} ended with a divergence of "
                f"{self.divergence:.3g}"
            )
        count = min(5, len(self) - 1)
        if len(self.pictures.classes) < 2:
            return found
        return f"{found}. {self.precision(count).finding}"

    def __repr__(self) -> str:
        return (
            f"<Projection of {counted(len(self), 'picture')} by {self.method}, layer {self.layer}>"
        )

    def grid(self, most: SupportsIndex = 1600) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Snap the points to a square grid: one cell for each picture, the nearest on the whole.

        The points are scaled to the grid's width and height, and the pictures are assigned to the
        cells so that the sum of the squared distances is as small as possible (Karpathy's
        cnnembed does so one after the other).

        Parameters
        ----------
        most : int
            Of a larger set, so many pictures are drawn at random, by `seed`. The time grows with
            the third power of their number: 1600 take some seconds.

        Returns
        -------
        (M,) array of int64
            Which pictures are in the grid.
        (M, 2) array of int64
            Their rows, from the top, and columns. All are different.
        """
        count = min(positive("most", most), len(self))
        if count not in self._grids:
            chosen = np.sort(self._order[:count])
            self._grids[count] = chosen, _map.snapped(self.points[chosen])
        chosen, cells = self._grids[count]
        return chosen.copy(), cells.copy()

    @cached_property
    def _grids(self) -> dict[int, tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """The grids that were asked for, which take long."""
        return {}

    @property
    def _order(self) -> NDArray[np.int64]:
        """The order in which pictures are drawn: at random, always the same for one seed."""
        return np.random.default_rng(self.seed).permutation(len(self))

    def plot(self, grid: bool = False) -> Figure:
        """Draw the pictures at their points, as small copies.

        With labels, frames have the colours of the classes.

        Parameters
        ----------
        grid : bool
            Snap the pictures to a grid, so that each can be seen: :meth:`grid`. Otherwise they are
            drawn in a random order that the seed decides, each only if it overlaps none that is
            drawn already; the others are dots.
        """
        details = f"{self.finding}."
        heading = f"Code of {self.layer} of {self.network}: {_WORDS[self.method]}"
        if flag("grid", grid):
            chosen, cells = self.grid()
            shown = self.pictures.among(chosen)
            left = len(self) - len(chosen)
            more = (
                f" {left} of {len(self)} pictures, drawn at random, are left out." if left else ""
            )
            return _map.grid_figure(shown, cells, heading, details + more)
        return _map.scatter_figure(
            self.pictures, self.points, self._order, heading, details, self._axes()
        )

    def _axes(self) -> tuple[str, str]:
        """Return the names of the axes; those of t-SNE have none."""
        if self.explained is None:
            return "", ""
        one, two = (percent(float(each)) for each in self.explained)
        return f"first component: {one} of the variance", f"second component: {two}"


_WORDS = {"pca": "principal components", "tsne": "t-SNE"}


def project(
    pictures: PictureSet,
    values: _F32,
    layer: str,
    network: str,
    method: Technique,
    *,
    seed: int,
    perplexity: float | None,
) -> Projection:
    """Project codes to a plane; see :meth:`gradcam.inside.Codes.project`."""
    one_of("method", method, get_args(Technique))
    check_seed(seed)
    if method == "pca" and perplexity is not None:
        raise ValueError("perplexity is for method='tsne'; PCA has none")
    if len(values) < 4 or values.shape[1] < 2:
        raise ValueError(
            f"expected codes of 4 pictures or more and of 2 numbers or more, got {len(values)} of "
            f"{values.shape[1]}"
        )
    require_different(values, layer)
    explained = divergence = None
    if method == "pca":
        points, explained = principal(values, 2, seed)
    else:
        perplexity = _perplexity(perplexity, len(values))
        points, divergence = _tsne(values, perplexity, seed)
    return Projection(
        *(points, method, pictures, values, explained, divergence, perplexity),
        *(seed, layer, network),
    )


def principal(values: _F32, count: int, seed: int) -> tuple[_F64, _F64]:
    """Return the principal components of codes, and the share of the variance of each.

    For large sets only these components are computed, by ARPACK, to the precision of float32; the
    seed decides where it begins. The sign of a component is such that its largest weight is
    positive.

    Returns
    -------
    (N, count) array of float64
    (count,) array of float64
    """
    pca = scikit("sklearn.decomposition", "PCA").PCA
    large = values.size > _SMALL and count < min(values.shape)
    made = pca(count, svd_solver="arpack" if large else "full", random_state=seed % _SEEDS)
    _, power = np.frexp(np.abs(values).max())  # squares of large and small float32 do not fit in it
    given = np.ldexp(values, -power) if large else np.ldexp(values.astype(np.float64), -power)
    points = np.ldexp(made.fit_transform(given).astype(np.float64), power)
    return points, np.asarray(made.explained_variance_ratio_, np.float64)


def _perplexity(given: float | None, count: int) -> float:
    """Return the perplexity: three times as many pictures are needed, besides each itself."""
    most = (count - 1) / 3
    if given is None:
        return min(_PERPLEXITY, most)
    if not 1 <= real("perplexity", given) <= most:
        raise ValueError(
            f"perplexity: expected 1 to {most:.4g} for {count} pictures, which must be more than "
            f"three times as many, got {given}"
        )
    return float(given)


def _tsne(values: _F32, perplexity: float, seed: int) -> tuple[_F64, float]:
    """Return the points of t-SNE (van der Maaten and Hinton 2008), and its divergence."""
    tsne = scikit("sklearn.manifold", "t-SNE").TSNE
    count = min(_BEFORE, *values.shape)
    given, _ = principal(values, count, seed)
    given /= given.std(0).max()  # scikit-learn fails for very small and very large numbers
    options = {"init": "pca", "learning_rate": "auto", "random_state": seed % _SEEDS}
    made = tsne(2, perplexity=perplexity, **options)
    # Several threads would add up in an order that differs from run to run.
    with scikit("threadpoolctl", "t-SNE").threadpool_limits(1):
        points = made.fit_transform(given).astype(np.float64)
    if not np.isfinite(points).all() or (points == points[0]).all():
        raise ValueError("t-SNE found no points for these codes: use method='pca'")
    return points, float(made.kl_divergence_)
