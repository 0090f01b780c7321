"""Scores of real pictures beside those of pictures that the network made."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gradcam._engine.network import Network
from gradcam._labels.classes import Target
from gradcam._methods.passes import positive
from gradcam._pictures import figures
from gradcam._synthesis.results import Visualisation
from gradcam._text import wrap

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from gradcam._engine.network import PictureLike

_F32 = NDArray[np.float32]


@dataclass(frozen=True, eq=False, repr=False)
class SynthesisedScores:
    """How pictures that the network made compare with real ones.

    Attributes
    ----------
    targets : tuple of K Target
        The classes.
    made, made_probabilities : (K,) array of float32
        Of the picture that was made for each class: its score, before the softmax, and its
        probability.
    real, real_probabilities : (K, M) array of float32
        Of each of M real pictures: the score and the probability of each class.
    top : (M,) array of int
        The most probable class of each real picture.
    """

    targets: tuple[Target, ...]
    made: _F32
    made_probabilities: _F32
    real: _F32
    real_probabilities: _F32
    top: NDArray[np.intp]

    @property
    def ratio(self) -> _F32:
        """(K,): the score of the picture that was made, over the largest of a real one.

        NaN where no real picture has a score above 0.
        """
        largest = self.real.max(1)
        found: _F32 = np.full_like(self.made, np.nan)
        np.divide(self.made, largest, out=found, where=largest > 0)
        return found

    def plot(self) -> Figure:
        """Draw a line for each class: scores of real pictures, and of the one that was made."""
        height = 1.5 + 0.62 * len(self.targets)
        with figures.default_settings():
            figure = figures.figure_class()(figsize=(9, height), dpi=100)
            ax = figure.add_axes((0.2, 0.62 / height, 0.77, (height - 1.45) / height))
            self._draw(ax)
            title = "Scores of real pictures, and of pictures that the network made"
            figure.text(0.02, 1 - 0.12 / height, title, fontsize=13, fontweight="bold", va="top")
        return figure

    def _draw(self, ax: Axes) -> None:
        for row, target in enumerate(self.targets):
            own = self.top == target.index
            drawn = (
                ("other real pictures", self.real[row, ~own], ("o", 26, "0.72")),
                ("real, this is the top class", self.real[row, own], ("o", 42, "tab:blue")),
                ("made for the class", self.made[row : row + 1], ("*", 190, "tab:orange")),
            )
            for name, values, (marker, size, colour) in drawn:
                ax.scatter(
                    values,
                    np.full(len(values), row),
                    size,
                    color=colour,
                    marker=marker,
                    label=name if row == 0 else None,
                )
        words = ["\n".join(wrap(str(target), 18)) for target in self.targets]
        styles = [figures.text_style(word) for word in words]
        ax.set_yticks(range(len(words)), [text for text, _ in styles], fontsize=11)
        for label, (_, style) in zip(ax.get_yticklabels(), styles, strict=True):
            label.set(fontfamily=style["fontfamily"], parse_math=False)
        ax.set_ylim(len(words) - 0.5, -0.5)
        ax.set_xlabel("score of the class, before the softmax", fontsize=11)
        ax.grid(axis="x", color="0.9")
        ax.set_axisbelow(True)
        ax.spines[["top", "right", "left"]].set_visible(False)
        ax.tick_params(axis="y", length=0)
        ax.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=3, frameon=False)

    def __repr__(self) -> str:
        rows = [
            f"{target}: made {made:.1f}, real up to {real:.1f}"
            for target, made, real in zip(self.targets, self.made, self.real.max(1), strict=True)
        ]
        return f"<{type(self).__name__}: {'; '.join(rows)}>"


def synthesised_scores(
    network: Network,
    made: Visualisation | Sequence[Visualisation],
    pictures: Iterable[PictureLike],
    *,
    batch: int = 8,
    progress: bool = False,
) -> SynthesisedScores:
    """Compare the scores of real pictures with those of pictures that the network made.

    Parameters
    ----------
    network : Network
    made : Visualisation, or a list of these
        Made for classes: ``gradcam.visualise(network, ["cat", "dog"])``.
    pictures : iterable of pictures
        Real ones, as of :meth:`Network.stream`.
    batch : int
        Pictures in a pass.
    progress : bool
        Whether to show a progress bar on standard error.

    Returns
    -------
    SynthesisedScores
        ``.plot()`` draws them.

    Raises
    ------
    ValueError
        If a picture was made by another network or not for a class, or there are no real pictures.
    TypeError
        If `made` is something else.
    gradcam.PictureError, OSError
        If a picture cannot be read.
    """
    listed = [made] if isinstance(made, Visualisation) else list(made)
    for each in listed:
        if not isinstance(each, Visualisation):
            raise TypeError(
                f"made: expected pictures of gradcam.visualise, got {type(each).__name__}"
            )
        if each.graph is not network:
            raise ValueError(
                f"made: the picture for {each.words} was made by another network object, "
                f"{each.graph.name}: pass the network that made it"
            )
    positive("batch", batch)
    targets = [each.target for each in listed if each.target is not None]
    if not targets or len(targets) < len(listed):
        raise ValueError("made: expected pictures that were made for classes, of gradcam.visualise")
    scores, chances = [], []
    for _, tape in network.stream(pictures, batch, record=False, progress=progress):
        scores.append(tape.scores)
        chances.append(
            np.full_like(tape.scores, np.nan)
            if network.probability_layer is None
            else tape.probabilities
        )
    if not scores:
        raise ValueError("pictures: give at least one real picture")
    indices = [target.index for target in targets]
    every = np.concatenate(scores)
    nan = [np.nan if each.probability is None else each.probability for each in listed]
    return SynthesisedScores(
        targets=tuple(targets),
        made=np.array([each.score for each in listed], np.float32),
        made_probabilities=np.array(nan, np.float32),
        real=np.ascontiguousarray(every[:, indices].T),
        real_probabilities=np.ascontiguousarray(np.concatenate(chances)[:, indices].T),
        top=every.argmax(1),
    )
