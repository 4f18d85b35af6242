"""LogME: how probable the labels are under a Bayesian linear model of the features, fitted to each class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Float

from transfer_exp.errors import InputError
from transfer_exp.metric.logme_fixed_point import fixed_point
from transfer_exp.metric.spectrum import label_spectrum
from transfer_exp.statistics.class_statistics import ClassStatistics


def logme(statistics: ClassStatistics) -> float:
    """Return the largest log evidence per sample of one-hot labels given features, averaged over classes.

    For one class with target y in {0, 1}^N, weights w ~ N(0, I / alpha) and noise of precision beta,

        L = D/2 ln alpha + N/2 ln beta - 1/2 sum_k ln(alpha + beta s_k^2) - beta/2 |y - Xw|^2 - alpha/2 |w|^2
            - N/2 ln(2 pi),

    w being the posterior mean; alpha and beta follow MacKay's fixed point, started at 1 for each class. The
    sum runs over the min(N, D) singular values s_k of X, as in the released code. With N < D it therefore
    leaves out -(D - N)/2 ln alpha of the exact evidence, which adds (D - N)/(2N) ln alpha to the score.

    Parameters
    ----------
    statistics
        Of the features X (N, D), not centred (a rotation leaves the score alone, a shift does not), and their labels.

    Returns
    -------
    float
        Unbounded; in practice between -1 and 20.

    Raises
    ------
    InputError
        When every feature is zero (the evidence is then unbounded in alpha).

    References
    ----------
    You, Liu, Wang, Long, "LogME", ICML 2021, eq. 2 and algorithm 1; fixed point and epsilon of You et al.,
    "Ranking and Tuning Pre-trained Models", JMLR 2022, their optimised fixed-point iteration.
    """
    eigenvalues, coordinates = label_spectrum(statistics, centred=False)
    if len(eigenvalues) == 0:
        raise InputError("every feature is zero, so LogME is undefined: check the model's last layer")
    norms = statistics.counts.astype(np.float64)  # a one-hot column's squared norm is the size of its class
    scores = evidence(eigenvalues[:, None], coordinates**2, norms, statistics.samples, len(statistics.mean))
    return float(scores.mean())


def evidence(
    eigenvalues: Float[np.ndarray, "rank 1"],
    squares: Float[np.ndarray, "rank targets"],
    norms: Float[np.ndarray, " targets"],
    samples: int,
    dim: int,
) -> Float[np.ndarray, " targets"]:
    """Return L / N of `logme` at the fixed point of each target y, (T,), from s^2, (U'y)^2 and |y|^2."""
    rank = len(eigenvalues)
    outside = np.maximum(norms - squares.sum(axis=0), 0.0)

    def ridge(ratio: Float[np.ndarray, " active"], active: Bool[np.ndarray, " targets"]) -> tuple[np.ndarray, ...]:
        unused = ratio / (eigenvalues + ratio)
        known = (eigenvalues / (eigenvalues + ratio)).sum(axis=0)
        weight = (eigenvalues * squares[:, active] / (eigenvalues + ratio) ** 2).sum(axis=0)
        residual = (squares[:, active] * unused**2).sum(axis=0) + outside[active]
        # N - known, summed without the cancellation that would make it zero when the features fit all labels.
        return known, samples - rank + unused.sum(axis=0), weight, residual

    found = fixed_point(ridge, len(norms))
    # Of D terms ln(alpha) the zeros among the min(N, D) singular values take back one each.
    gain = (max(dim - samples, 0) + rank) * np.log(found.alpha)
    gain -= np.log(found.alpha + found.beta * eigenvalues).sum(axis=0)
    return found.evidence(gain, samples)


@dataclass(frozen=True)
class LogME:
    """`logme` as a metric; the fixed point's constants are those of the release and no hyperparameters."""

    name: ClassVar[str] = "logme"
    source: ClassVar[str] = "You, Liu, Wang and Long, ICML 2021; fixed point of You et al., JMLR 2022"
    lower: ClassVar[float] = -np.inf
    upper: ClassVar[float] = np.inf
    inputs: ClassVar[tuple[str, ...]] = ("class_statistics",)
    invariances: ClassVar[tuple[str, ...]] = ("rotation",)

    def __call__(self, class_statistics: ClassStatistics) -> float:
        """Return `logme` of class statistics."""
        return logme(class_statistics)
