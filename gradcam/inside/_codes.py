"""The codes of a set of pictures: the output of a layer, a vector for each."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, SupportsIndex, cast

import numpy as np
from numpy.typing import NDArray

from gradcam._codes import code_layer, pooled_codes, require_different
from gradcam._engine.network import check_network
from gradcam._files import expanded
from gradcam._methods.passes import integer, positive
from gradcam._pictures.decoding import PictureError
from gradcam._pictures.image import is_picture_source
from gradcam._pictures.presets import size_pair
from gradcam._text import brief, counted
from gradcam.inside._codes_file import Stored, check_file, read, write
from gradcam.inside._given import Given, read_given
from gradcam.inside._identity import Wanted, identity, kept_of, other_network, require
from gradcam.inside._nearest import Metric, nearest
from gradcam.inside._neighbours import Neighbours
from gradcam.inside._picture_set import PictureSet, path_of, small, source_key
from gradcam.inside._precision import NO_LABELS, Precision
from gradcam.inside._projection import Projection, Technique, project

if TYPE_CHECKING:
    from gradcam._engine.network import BatchArray, Network, PictureLike, Size
    from gradcam._engine.stream import OnError

_F32 = NDArray[np.float32]
_I64 = NDArray[np.int64]


@dataclass(frozen=True, eq=False, repr=False)
class Codes:
    """The codes of N pictures; made by :func:`codes`.

    Attributes
    ----------
    values : (N, D) array of float32
        A vector for each picture.
    pictures : PictureSet
        The pictures, with these attributes: ``sources``, a tuple of the pictures as they were
        given, None if they were not kept; ``labels``, a tuple with the class of each, or None;
        ``pixels``, (N, 32, 32, 3) uint8: what the network saw, reduced to this size.
    layer : str
        The layer, by its first name.
    network : str
        The network's name.
    skipped : tuple of (name, reason)
        The pictures that could not be read.
    """

    values: _F32
    pictures: PictureSet
    layer: str
    network: str
    skipped: tuple[tuple[str, str], ...]
    _identity: str
    _size: tuple[int, int]
    _folder: str
    _graph: Network | None

    @property
    def sources(self) -> tuple[PictureLike | None, ...]:
        """The pictures as they were given; None for those that were not kept."""
        return self.pictures.sources

    @property
    def labels(self) -> tuple[str, ...] | None:
        """The class of each picture, if it is known."""
        return self.pictures.labels

    def __len__(self) -> int:
        return len(self.values)

    def __repr__(self) -> str:
        classes = (
            f" of {counted(len(self.pictures.classes), 'class', 'classes')}"
            if self.labels is not None
            else ""
        )
        return (
            f"<Codes of {counted(len(self), 'picture')}{classes}: {self.values.shape[1]} "
            f"numbers each, layer {self.layer} of {self.network}>"
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the codes as .npz: the whole file or nothing.

        The file has no pickled objects: anybody's can be read. Of pictures, it holds the path, a
        digest, and the small copy. :func:`load_codes` reads it.

        Raises
        ------
        ValueError
            If the suffix is not .npz.
        OSError
            If the file cannot be written.
        """
        write(path, self._stored)

    @property
    def _stored(self) -> Stored:
        """What is written to a file."""
        parts = (self.values, self.pictures, self.skipped, self._folder, self.layer, self.network)
        return Stored(*parts, self._size, self._identity)

    def neighbours(
        self,
        query: Codes
        | PictureLike
        | Sequence[PictureLike]
        | SupportsIndex
        | Sequence[SupportsIndex]
        | None = None,
        count: SupportsIndex = 5,
        *,
        metric: Metric = "l2",
    ) -> Neighbours:
        """Find the nearest neighbours of pictures, in code and in pixels.

        Every picture is compared with every other, in blocks: memory stays limited. Distances in
        pixels are those of the small copies of 32 x 32 RGB pixels of 0 to 255, and exact.

        Parameters
        ----------
        query : picture, list of pictures, int, list of int, Codes, or None
            The pictures whose neighbours are found. Integers are places in this set, from 0 on;
            None means all of it. Anything else is a new picture, or its codes. A picture of
            the set is not its own neighbour: these codes themselves, the same file by whatever path
            or link, the same object in memory. A copy of a picture is another
            one, and so is preprocessed input.
        count : int
            Neighbours of each picture.
        metric : "l2" or "cosine"
            How codes are compared: by Euclidean distance, or by 1 minus the cosine of their angle.
            Pixels are always compared by Euclidean distance.

        Returns
        -------
        Neighbours

        Raises
        ------
        ValueError
            If there are fewer pictures than neighbours, the codes of all pictures are equal, codes
            are of another layer or network, or codes are zero and the metric is the cosine; if new
            pictures are asked for and these codes were read from a file, without a network.
        IndexError
            If there is no picture of that number.
        gradcam.PictureError, OSError
            If a picture cannot be read.
        """
        count = positive("count", count)
        require_different(self.values, self.layer)
        own = self._places(query)
        if own is None:
            new = query if isinstance(query, Codes) else self._new(query)
            self._check(new)
            own, vectors, asked = self._own(new), new.values, new.pictures
            if asked.labels is None and (own >= 0).all():
                asked = replace(asked, labels=self.pictures.among(own).labels)
        else:
            vectors = self.values[own]
            asked = self.pictures if query is None else self.pictures.among(own)
        places, distances = nearest(self.values, vectors, count, metric=metric, own=own)
        in_pixels = nearest(self.pictures.vectors, asked.vectors, count, own=own)
        names = (self.layer, self.network)
        return Neighbours(places, distances, *in_pixels, self.pictures, asked, own, metric, *names)

    def precision(
        self, count: SupportsIndex = 5, *, metric: Metric = "l2", seed: int = 0
    ) -> Precision:
        """Return the share of each picture's nearest neighbours that have its class.

        Parameters
        ----------
        count, metric
            As of :meth:`neighbours`.
        seed : int
            Of the bootstrap, which gives 95 % intervals over the pictures.

        Raises
        ------
        ValueError
            If there are no labels, one class only, or fewer pictures than neighbours.
        """
        self._require_labels()
        return self.neighbours(None, count, metric=metric).precision(seed=seed)

    def project(
        self, method: Technique = "pca", *, seed: int = 0, perplexity: float | None = None
    ) -> Projection:
        """Project the codes to a plane, by scikit-learn: ``pip install "gradcam[learn]"``.

        Parameters
        ----------
        method : "pca" or "tsne"
            Principal components: the two directions in which the codes vary most; distances in the
            plane are never larger than in code. Or t-SNE (van der Maaten and Hinton 2008), which
            keeps near what is near; distances between groups, and their sizes, have no meaning. It
            is given the first 50 principal components, and starts from the first two.
        seed : int
            The same seed gives the same points on one machine.
        perplexity : float, optional
            Of t-SNE: about how many neighbours count as near. 1 to a third of the number of other
            pictures; by default 30, or as many as are possible.

        Raises
        ------
        ValueError
            If there are fewer than 4 pictures, all codes are equal, or the perplexity does not fit
            the number of pictures.
        ImportError
            If scikit-learn is not installed.
        """
        parts = (self.pictures, self.values, self.layer, self.network)
        return project(*parts, method, seed=seed, perplexity=perplexity)

    def _places(self, query: object) -> _I64 | None:
        """Return the places that a query names; None if it is something else."""
        if query is None:
            return np.arange(len(self))
        if isinstance(query, (Codes, str, bytes)) or not len(self):
            return None
        single = isinstance(query, (int, np.integer)) and not isinstance(query, bool)
        several = (isinstance(query, np.ndarray) and query.ndim == 1) or (
            isinstance(query, Sequence)
            and all(isinstance(each, (int, np.integer)) for each in query)
        )
        if not single and not several:
            return None
        places = [query] if single else list(cast("Sequence[SupportsIndex]", query))
        found = [integer("query", cast(SupportsIndex, each)) for each in places]
        if not found:
            raise ValueError("query: expected one picture or more, got none")
        wrong = [each for each in found if not 0 <= each < len(self)]
        if wrong:
            raise IndexError(f"query: expected places of 0 to {len(self) - 1}, got {wrong[0]}")
        return np.array(found, np.int64)

    def _new(self, query: object) -> Codes:
        """Return the codes of new pictures."""
        if self._graph is None:
            raise ValueError(
                "these codes were read from a file, without their network: give the codes of the "
                "new pictures, gradcam.inside.codes(network, pictures, layer), or use "
                "load_codes(path, network)"
            )
        single = is_picture_source(query) or getattr(query, "ndim", 4) < 4
        folder = isinstance(query, (str, os.PathLike)) and os.path.isdir(expanded(query))
        pictures = [query] if single and not folder else query
        given = cast("Sequence[PictureLike]", pictures)
        size: Size = self._size if self._size[0] else "original"
        return codes(self._graph, given, self.layer, size=size)

    def _own(self, other: Codes) -> _I64:
        """Return the place in this set of each picture of other codes; -1 for those not in it."""
        if other is self:
            return np.arange(len(self))
        places = {source_key(each): n for n, each in enumerate(self.sources) if each is not None}
        found = [places.get(source_key(each), -1) for each in other.sources]
        return np.array(found, np.int64)

    def _check(self, other: Codes) -> None:
        """Raise ValueError if codes are not comparable with these."""
        wanted = Wanted(self.network, self.layer, self._size, self._identity)
        found = other_network(other._stored, wanted)
        if found:
            raise ValueError(f"query: {found}")

    def _require_labels(self) -> None:
        """Refuse before any work, if classes are not known."""
        if self.labels is None:
            raise ValueError(NO_LABELS)


def codes(
    network: Network,
    pictures: str | os.PathLike[str] | Iterable[PictureLike] | BatchArray,
    layer: str | None = None,
    *,
    labels: Sequence[str] | None = None,
    file: str | os.PathLike[str] | None = None,
    size: Size = None,
    batch: int = 8,
    on_error: OnError[PictureLike] = "raise",
    progress: bool = False,
) -> Codes:
    """Run pictures through a network, and return the output of a layer: a vector for each.

    Parameters
    ----------
    network : Network
    pictures : folder, iterable of pictures, or array
        A folder that has a folder for each class: the labels are their names. A folder of pictures,
        or several pictures as :meth:`gradcam.Network.stream` takes them: there are no labels,
        unless `labels` are given. Pictures that are not files stay in memory, for figures. A
        (N, C, H, W) array of floats is preprocessed input.
    layer : str, optional
        By any of its names. By default the one that the last linear layer reads: the rectified fc7
        of VGG, the pooled map of networks with global average pooling. A map is averaged over its
        positions.
    labels : sequence of str, optional
        The class of each picture of a list.
    file : path, optional
        An .npz file. If it exists, the codes are read from it, and the network does not run. If
        not, it is written. Pictures that could not be read when it was made are treated as
        `on_error` says; if one has changed since, the file is refused.
    size, batch, on_error, progress
        As of :meth:`gradcam.Network.stream`.

    Returns
    -------
    Codes

    Raises
    ------
    ValueError
        If there are no pictures, or not as many labels; pictures lie beside the folders of classes,
        or a class has no picture; the layer is unknown; a code is not finite; or `file` holds the
        codes of another network, layer, or of other pictures.
    gradcam.PictureError, OSError
        If a picture cannot be read and `on_error` is "raise".
    """
    check_network(network)
    given = read_given(pictures, labels)
    name = network.names(code_layer(network) if layer is None else layer)[0]
    wanted = _wanted(network, name, given.input_size or size)
    if file is not None and os.path.exists(expanded(file)):
        stored = read(file)
        require(os.fspath(file), stored, wanted, given)
        _report(stored.skipped, on_error)
        return _of_file(stored, network, given)
    if file is not None:
        check_file(file)
        given.paths  # noqa: B018 - refuses pictures that are not files
    copies: list[NDArray[np.uint8]] = []
    found = pooled_codes(
        *(network, given.pictures, name),
        batch=batch,
        size=None if given.input_size else size,
        on_error=on_error,
        progress=progress,
        watch=lambda tape: copies.append(small(tape)),
    )
    kept = found.positions.tolist()
    labelled = None if given.labels is None else tuple(given.labels[n] for n in kept)
    sources = tuple(found.sources) or (None,) * len(kept)
    made = Codes(
        found.values,
        PictureSet(sources, labelled, np.concatenate(copies)),
        name,
        network.name,
        tuple((_name(source), _reason(source, error)) for source, error in found.skipped),
        wanted.identity,
        wanted.size,
        given.folder,
        network,
    )
    if file is not None:
        made.save(file)
    return made


def load_codes(path: str | os.PathLike[str], network: Network | None = None) -> Codes:
    """Read codes that :meth:`Codes.save` wrote.

    Parameters
    ----------
    path : path
    network : Network, optional
        The network whose codes they are: needed for neighbours of new pictures.

    Raises
    ------
    ValueError
        If the file is damaged or does not hold codes, or they are of another network.
    OSError
        If it cannot be opened.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"expected the path of a file of codes, got {brief(path)}")
    if network is not None:
        check_network(network)
    stored = read(path)
    if network is not None:
        name = network.names(stored.layer)[0]
        digest = identity(network, name, stored.size)
        found = other_network(stored, Wanted(network.name, name, stored.size, digest))
        if found:
            raise ValueError(f"{os.fspath(path)}: {found}")
    return _of_file(stored, network, None)


def _wanted(network: Network, layer: str, size: Size) -> Wanted:
    """Return which codes are wanted."""
    chosen = network.input_size if size is None else size_pair(size)
    pair = chosen or (0, 0)  # "original"; the stream refuses what is no size
    return Wanted(network.name, layer, pair, identity(network, layer, pair))


def _of_file(stored: Stored, network: Network | None, given: Given | None) -> Codes:
    """Return the codes of a file; its pictures are those that were given, if any were."""
    pictures, folder = stored.pictures, stored.folder
    if given is not None:
        paths = given.paths
        sources = tuple(paths[n] for n in kept_of(stored, given))
        pictures, folder = replace(pictures, sources=sources), given.folder
    names = (stored.layer, stored.network, stored.skipped, stored.identity, stored.size)
    return Codes(stored.values, pictures, *names, folder, network)


def _report(skipped: Sequence[tuple[str, str]], on_error: OnError[PictureLike]) -> None:
    """Do with pictures that could not be read when a file was made as `on_error` says."""
    for name, reason in skipped:
        error = PictureError(f"{name}: {reason}", name)
        if on_error == "raise":
            raise error
        if callable(on_error):
            on_error(name, error)


def _name(source: object) -> str:
    """Return the path of a picture that could not be read; for others their type."""
    return path_of(source) or type(source).__name__


def _reason(source: object, error: Exception) -> str:
    """Return why a picture could not be read, without its name."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error).removeprefix(f"{_name(source)}: ")
