"""LDA and SFDA of classes that move as wholes: one whitening of the class means serves every move."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import csr_matrix
from scipy.special import softmax

from transfer_exp.statistics.discriminant import adaptive_shrinkage, mean_true_posterior, true_log_posterior, whitened
from transfer_exp.statistics.moving_classes import MovingClasses
from transfer_exp.statistics.rounding import RESOLUTION


def lda_over_moves(
    classes: MovingClasses, mixings: Float[np.ndarray, "moves classes classes"], shrinkage: float
) -> Float[np.ndarray, " moves"]:
    """Return `lda` after each move, (moves,)."""
    fitted = _first_fit(classes, shrinkage)
    posteriors = (softmax(fitted.scores(classes.centred(mixing)), axis=1) for mixing in mixings)
    return np.array([mean_true_posterior(posterior, classes.codes) for posterior in posteriors])


def sfda_over_moves(
    classes: MovingClasses, mixings: Float[np.ndarray, "moves classes classes"]
) -> Iterator[Float[np.ndarray, " samples"]]:
    """Yield ln p of the true class of every sample, as `sfda` averages them, after each move, (N,).

    The first fit is shared; of the second, what unsure samples change.
    """
    shrinkage = adaptive_shrinkage(classes.statistics)
    first, everyone = _first_fit(classes, shrinkage), np.arange(len(classes.codes))
    for mixing in map(classes.centred, mixings):
        sure = softmax(softmax(first.scores(mixing), axis=1), axis=1)[everyone, classes.codes]
        second = _second_fit(classes, mixing @ classes.statistics.offsets, sure, shrinkage)
        yield true_log_posterior(second.scores(np.eye(len(mixing))), classes.codes)


@dataclass(frozen=True, eq=False)
class _Fit:
    """A discriminant with covariance S of samples that deviate by d from their class mean m, all relative to the mean.

    Attributes
    ----------
    cross
        d' S^-1 m_c, (N, C).
    gram
        m_b' S^-1 m_c, (C, C).
    codes, counts
        Class of each sample, (N,), and samples per class, (C,).
    """

    cross: Float[np.ndarray, "samples classes"]
    gram: Float[np.ndarray, "classes classes"]
    codes: Int[np.ndarray, " samples"]
    counts: Int[np.ndarray, " classes"]

    def scores(self, mixing: Float[np.ndarray, "classes classes"]) -> Float[np.ndarray, "samples classes"]:
        """Return scores whose softmax is P(c | x), (N, C), once the class means are ``mixing`` times themselves."""
        gram = mixing @ self.gram @ mixing.T
        constants = np.log(self.counts / self.counts.sum()) - np.diag(gram) / 2
        return np.asarray(self.cross @ mixing.T + (gram + constants)[self.codes])


def _first_fit(classes: MovingClasses, shrinkage: float) -> _Fit:
    """Return the discriminant of the classes as they are."""
    assert classes.deviations is not None, "asked for by the metric's inputs"
    statistics = classes.statistics
    coefficients = whitened(statistics.offsets, statistics.within, statistics.samples, shrinkage)
    gram = statistics.offsets @ coefficients.T
    return _Fit(classes.deviations @ coefficients.T, gram, classes.codes, statistics.counts)


def _second_fit(
    classes: MovingClasses,
    means: Float[np.ndarray, "classes dim"],
    sure: Float[np.ndarray, " samples"],
    shrinkage: float,
) -> _Fit:
    """Return the discriminant of `self_challenge`d samples, given the moved class means and p of every sample.

    With d a sample's deviation from its class mean, o what that mean is from the other classes', and averages over the
    class in brackets, x' deviates from its own by p d - [p d] + (p - [p]) o. The sum of p^2 dd' is the scatter before
    times the largest p^2, less what the samples of a smaller p fall short of it. As p varies by a factor of e at most,
    at most a factor of e^2 cancels.
    """
    assert classes.deviations is not None, "asked for by the metric's inputs"
    codes, counts, samples = classes.codes, classes.statistics.counts, classes.statistics.samples
    others = (means.sum(axis=0) - means) / (len(means) - 1)
    away = means - others
    share = np.bincount(codes, weights=sure) / counts
    apart = sure - share[codes]
    short = sure.max() ** 2 - sure**2
    drift = _class_averages(classes, sure - sure.max())
    lean = (_class_averages(classes, -short) - share[:, None] * drift) * counts[:, None]
    tilt = away.T @ (lean + np.bincount(codes, weights=apart**2)[:, None] / 2 * away)
    unsure = np.flatnonzero(short > RESOLUTION * sure.max() ** 2)
    less = np.vstack([classes.deviations[unsure], drift])
    less *= np.sqrt(np.concatenate([short[unsure], counts]))[:, None]
    within = sure.max() ** 2 * classes.statistics.within - less.T @ less + tilt + tilt.T
    challenged = others + drift + share[:, None] * away
    challenged -= counts @ challenged / samples
    coefficients = whitened(challenged, within, samples, shrinkage)
    cross = sure[:, None] * (classes.deviations @ coefficients.T)
    cross += apart[:, None] * (away @ coefficients.T)[codes] - (drift @ coefficients.T)[codes]
    return _Fit(cross, challenged @ coefficients.T, codes, counts)


def _class_averages(classes: MovingClasses, weights: Float[np.ndarray, " samples"]) -> Float[np.ndarray, "classes dim"]:
    """Return the average over each class of weight times deviation, (C, D)."""
    assert classes.deviations is not None, "asked for by the metric's inputs"
    some = np.flatnonzero(weights)
    share = weights[some] / classes.statistics.counts[classes.codes[some]]
    shape = (len(classes.statistics.counts), len(weights))
    return np.asarray(csr_matrix((share, (classes.codes[some], some)), shape=shape) @ classes.deviations)
