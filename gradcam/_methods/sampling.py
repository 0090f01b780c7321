"""Explanations of noisy copies of a picture, taken together.

x_i = x + noise_i; the noise is normal, its standard deviation is a share of the picture's range
``max(x) - min(x)``. g_i is the gradient of the score at x_i.

- SmoothGrad: the mean of the g_i (Smilkov et al., 2017).
- SmoothGrad squared: the mean of the g_i^2 (Hooker et al., 2019).
- VarGrad: the variance of the g_i (Adebayo et al., 2018).

:func:`smooth` does the same with any method in place of the gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps

import numpy as np
from numpy.typing import NDArray

from gradcam._engine.forward_pass import ForwardPass
from gradcam._engine.layers import INPUT
from gradcam._engine.tape import BatchTape, checked_evidence
from gradcam._methods import passes
from gradcam._methods.estimates import Estimate, Statistic, check_statistic, note_error, stacked
from gradcam._pictures.image import Geometry
from gradcam._registry import METHODS, OVER_PICTURE, Method, View, method
from gradcam._results import notes
from gradcam._results.explanation import Evidence
from gradcam._results.objectives import Objectives

_F32 = NDArray[np.float32]
_Run = Callable[[ForwardPass, Objectives], Evidence]


@method(title="SmoothGrad", source="Smilkov et al. 2017", view="magnitude")
def smooth_grad(
    tape: ForwardPass,
    objective: Objectives,
    *,
    samples: int = 50,
    noise: float = 0.15,
    seed: int = 0,
    batch: int | None = None,
    progress: bool = False,
) -> Evidence:
    """The mean of the gradients of noisy copies of the picture.

    Raw values: the mean, signed, (C, h, w).

    Parameters
    ----------
    samples : int
        Noisy copies of each picture.
    noise : float
        Standard deviation of the noise, as a share of the range of the preprocessed picture.
    seed : int
        Of the noise, which is the same for every picture and whatever `batch` is.
    batch : int, optional
        Copies in a pass; by default 8 of 224 x 224 pixels, or as many pixels of another size.
    progress : bool
        Whether to show a progress bar on standard error.

    Raises
    ------
    ValueError
        If `samples` is below 1, or `noise` is negative or not finite.
    """
    sampling = Sampling(samples, noise, "mean", seed, batch, progress)
    return _sampled(tape, objective, sampling, "SmoothGrad", _gradient)


@method(title="SmoothGrad squared", source="Hooker et al. 2019", view="magnitude")
def smooth_grad_squared(
    tape: ForwardPass,
    objective: Objectives,
    *,
    samples: int = 50,
    noise: float = 0.15,
    seed: int = 0,
    batch: int | None = None,
    progress: bool = False,
) -> Evidence:
    """The mean of the squared gradients of noisy copies of the picture.

    Raw values: the mean of the squares, (C, h, w). The parameters are those of `smooth_grad`.
    """
    sampling = Sampling(samples, noise, "square", seed, batch, progress)
    return _sampled(tape, objective, sampling, "SmoothGrad squared", _gradient)


@method(title="VarGrad", source="Adebayo et al. 2018", view="magnitude")
def var_grad(
    tape: ForwardPass,
    objective: Objectives,
    *,
    samples: int = 50,
    noise: float = 0.15,
    seed: int = 0,
    batch: int | None = None,
    progress: bool = False,
) -> Evidence:
    """The variance of the gradients of noisy copies of the picture.

    Raw values: the variance, (C, h, w): the mean squared distance from the mean, divided by the
    number of samples n as in captum, not by n - 1. The parameters are those of `smooth_grad`;
    `samples` is at least 2.
    """
    sampling = Sampling(samples, noise, "variance", seed, batch, progress)
    return _sampled(tape, objective, sampling, "VarGrad", _gradient)


_TITLES = {
    "mean": ("mean_of", "Mean of {}", "Smilkov et al. 2017"),
    "square": ("mean_square_of", "Mean square of {}", "Hooker et al. 2019"),
    "variance": ("variance_of", "Variance of {}", "Adebayo et al. 2018"),
}
"""The name, the title and the source of a method that :func:`smooth` returns."""

_SUMMARIES = {
    "mean": "The mean of the explanations",
    "square": "The mean of the squared explanations",
    "variance": "The variance of the explanations",
}


def smooth(
    method: str | Method = "saliency",
    *,
    samples: int = 25,
    noise: float = 0.15,
    statistic: Statistic = "mean",
    seed: int = 0,
    batch: int | None = None,
    progress: bool = False,
    title: str | None = None,
) -> Method:
    """Return a method that runs another one on noisy copies of the picture.

    It can be given to :meth:`Tape.explain`, :func:`compare` and :func:`explain`, with the options
    of the other method: ``tape.explain(gradcam.smooth("grad_cam"), "cat", layer="relu4_3")``. The
    raw values of the copies are taken together, and the weights if there are any. So a mean class
    activation map is one of maps before their ReLU.

    Parameters
    ----------
    method : str or Method
        The other method; any that is registered, or one of yours.
    samples, noise, seed, batch, progress
        As of the method ``smooth_grad``, which is ``smooth("saliency")`` with 50 samples.
    statistic : "mean", "square" or "variance"
        The mean of the raw values, of their squares (Hooker et al. 2019), or their variance
        (divided by the number of samples).
    title : str, optional
        For figures; by default made from the other method's title.

    Returns
    -------
    Method
        Not registered. Its view is the other method's; squares and variances of signed values have
        the view "magnitude".

    Raises
    ------
    ValueError, TypeError
        If the method is unknown, or a parameter is invalid.

    Examples
    --------
    >>> import gradcam
    >>> tape = gradcam.pictograms.model().forward(gradcam.pictograms.example("cat_and_dog"))
    >>> smoothed = gradcam.smooth("grad_cam", samples=4)
    >>> tape.explain(smoothed, "cat").raw.shape
    (14, 14)
    """
    base = METHODS.find(method)
    sampling = Sampling(samples, noise, statistic, seed, batch, progress)
    name, words, source = _TITLES[statistic]
    named = words.format(base.title)

    @wraps(base.function)
    def sampled(tape: ForwardPass, objective: Objectives, **options: object) -> Evidence:
        def run(copies: ForwardPass, asked: Objectives) -> Evidence:
            given = base(copies, asked, **options)
            return checked_evidence(base, given, (asked.count, len(copies)))

        found = _sampled(tape, objective, sampling, named, run, options.get("layer"))
        return found._replace(view=_view(found.view or base.view, statistic))

    sampled.__doc__ = f"{_SUMMARIES[statistic]} of {samples} noisy copies.\n\n{base.documentation}"
    view = _view(base.view, statistic)
    return Method(f"{name}_{base.name}", title or named, source, view, sampled, base.against)


@dataclass(frozen=True)
class Sampling:
    """Settings that the methods of this file share, checked."""

    samples: int
    noise: float
    statistic: Statistic
    seed: int
    batch: int | None
    progress: bool

    def __post_init__(self) -> None:
        passes.positive("samples", self.samples)
        check_statistic(self.statistic, self.samples)
        passes.non_negative("noise", self.noise)
        passes.check_seed(self.seed)
        passes.positive("batch", 1 if self.batch is None else self.batch)


def _gradient(copies: ForwardPass, objective: Objectives) -> Evidence:
    return Evidence(objective.gradient(copies, INPUT))


def _view(view: View, statistic: Statistic) -> View:
    """Return the view of a statistic of raw values that have this view."""
    return view if statistic == "mean" or view in OVER_PICTURE else "magnitude"


class _Together:
    """The evidence of all noisy copies of one picture, taken together.

    Attributes
    ----------
    raw, weights : Estimate
        Of the method's evidence; weights are None if it has none.
    values : (S,) array of float64
        The sums of the objectives' values.
    notes : list of str
        Those that were made on every pass.
    last : Evidence
        Of the last pass, for its view and its layer.
    """

    def __init__(self, statistic: Statistic, count: int) -> None:
        self.raw = Estimate(statistic)
        self.weights: Estimate | None = None
        self.values = np.zeros(count)
        self.notes: list[str] | None = None
        self.last = Evidence(np.empty(0, np.float32))
        self._statistic = statistic

    def add(self, evidence: Evidence, notes: list[str], values: _F32) -> None:
        """Add the evidence of a pass, the notes on it, and the objectives' values, (S, B)."""
        self.raw.add(evidence.raw)
        if evidence.weights is not None:
            self.weights = self.weights or Estimate(self._statistic)
            self.weights.add(evidence.weights)
        self.values += values.sum(1, dtype=np.float64)
        before = notes if self.notes is None else self.notes
        self.notes = [note for note in before if note in notes]
        self.last = evidence


def _sampled(
    tape: ForwardPass,
    objective: Objectives,
    sampling: Sampling,
    title: str,
    run: _Run,
    layer: object = None,
) -> Evidence:
    """Run a method on noisy copies of each picture, and return the statistic of its evidence.

    Parameters
    ----------
    tape : ForwardPass
    objective : Objectives
    sampling : Sampling
    title : str
        For the progress bar.
    run : callable
        ``run(copies, objectives)`` returns the evidence of a pass of noisy copies.
    layer : str, optional
        A layer that the method reads.
    """
    found = [_Together(sampling.statistic, objective.count) for _ in range(len(tape))]
    size = passes.batch_size(tape, sampling.batch, gradients=True)
    with passes.bar(len(tape) * sampling.samples, title, sampling.progress) as done:
        for n, together in enumerate(found):
            for part in passes.even_batches(sampling.samples, size):
                copies = passes.noisy(tape.input[n], sampling.noise, sampling.seed, part)
                forward = _tape_of(tape, copies, layer)
                with notes.collected(pass_on=False) as said:
                    evidence = run(forward, objective.variants(n, len(copies)))
                together.add(evidence, said, objective.variant_values(n, forward))
                done(len(copies))
    _note(tape, objective, sampling, found)
    raw = stacked([each.raw.value() for each in found], objective.count)
    weights = [each.weights.value() for each in found if each.weights is not None]
    last = found[0].last  # its view and layer are those of all
    return last._replace(raw=raw, weights=stacked(weights, objective.count) if weights else None)


def _note(
    tape: ForwardPass, objective: Objectives, sampling: Sampling, found: Sequence[_Together]
) -> None:
    """Note what the method noted, what the noise does to the score, and the estimate's error."""
    for each in found:
        for note in each.notes or ():
            notes.add(note)
    passes.note_constant(tape.input)
    before = objective.values(tape)
    after = np.stack([each.values for each in found], 1) / sampling.samples
    if before.size == 1:
        notes.add(
            f"The score is {before.item():.3g}; of the noisy copies it is {after.item():.3g} on "
            f"average."
        )
    else:
        most = np.nanmax(np.abs(after - before))
        notes.add(f"The mean scores of the noisy copies differ by up to {most:.2g} from the score.")
    note_error(sampling.samples, [each.raw.relative_error() for each in found], sampling.seed)


def _tape_of(tape: ForwardPass, copies: _F32, layer: object) -> BatchTape:
    """Return the tape of a pass of variants of one picture, as methods get it."""
    made = tape.run(copies, () if layer is None else str(layer))
    geometries = [Geometry.straight(tape.size, tape.size)] * len(copies)
    return BatchTape(tape.graph, made.core, made.input, None, geometries)
