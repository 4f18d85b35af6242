"""SFDA: how surely a Fisher discriminant tells the true class once unsure samples move to the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Int, Real
from scipy.linalg import eigvalsh
from scipy.special import softmax

from transfer_exp.metric.discriminant import centred_features, mean_true_posterior, posterior, whitened_means
from transfer_exp.types import ClassStatistics, class_statistics, encode_labels
from transfer_exp.types.class_statistics import RESOLUTION

STRENGTH, FLOOR, POWER_STEPS = 5.0, 1e-10, 6
"""Of the released shrinkage: exp(-strength * largest eigenvalue), the least value, the power steps."""


def sfda(features: Real[np.ndarray, "samples dim"], labels: Int[np.ndarray, " samples"]) -> float:
    """Return the mean posterior of the true class under a Fisher discriminant of self-challenged features.

    1. Fit Gaussian classes that share the covariance (1 - l) W + l tr(W)/D I, with W the pooled within-class
       covariance and l = max(exp(-5 lambda_max(W)), 1e-10). Let p(x) be the softmax of its posterior, true
       class.
    2. Self-challenge (ConfMix): x' = p(x) x + (1 - p(x)) m_c, where m_c averages the means of the other
       classes.
    3. Fit again on x' with the same l, and average the posterior of the true class over x'.

    Parameters
    ----------
    features
        (N, D). With N < D the score often is exactly 1: nothing is left to rank by.
    labels
        (N,), integers, at least two classes.

    Returns
    -------
    float
        In [0, 1]. Depends on the scale of the features through l, and slightly on their basis through
        lambda_max.

    Raises
    ------
    InputError
        As `check_features`; when no sample differs from its class mean, or W is too ill-conditioned to
        invert.

    References
    ----------
    Shao et al., "Not All Models Are Equal", ECCV 2022, section 3, as released: no dimension of the
    Fisher space is dropped, nor is the log of the posterior taken, and lambda_max comes from six power steps
    started at the row sums of W.
    """
    centred = centred_features(features, labels)
    codes, counts = encode_labels(labels)
    statistics = class_statistics(centred, labels)
    shrinkage = adaptive_shrinkage(statistics)
    first = _fitted_posterior(centred, statistics, shrinkage)
    confidence = softmax(first, axis=1)[np.arange(len(codes)), codes][:, None]
    others = (statistics.means.sum(axis=0) - statistics.means) / (len(counts) - 1)
    challenged = confidence * centred + (1 - confidence) * others[codes]
    second = _fitted_posterior(challenged, class_statistics(challenged, labels), shrinkage)
    return mean_true_posterior(second, codes)


def adaptive_shrinkage(statistics: ClassStatistics) -> float:
    """Return max(exp(-5 lambda), 1e-10), with lambda close to the largest eigenvalue of W, as released."""
    covariance = statistics.within / statistics.samples
    vector = covariance.sum(axis=1)
    if np.linalg.norm(vector) <= RESOLUTION * np.trace(covariance):
        # Rows that sum to zero give the power iteration nothing to start from: take its limit instead.
        last = len(covariance) - 1
        return max(float(np.exp(-STRENGTH * eigvalsh(covariance, subset_by_index=[last, last])[0])), FLOOR)
    vector /= np.linalg.norm(vector)
    for _ in range(POWER_STEPS):
        previous, vector = vector, covariance @ vector
        vector /= np.linalg.norm(vector)
    return max(float(np.exp(-STRENGTH * (vector @ covariance @ previous))), FLOOR)


def _fitted_posterior(
    features: Float[np.ndarray, "samples dim"], statistics: ClassStatistics, shrinkage: float
) -> Float[np.ndarray, "samples classes"]:
    """Return the posterior of every class, (N, C), at the samples the discriminant was fitted on."""
    coefficients = whitened_means(statistics, shrinkage)
    return posterior(features, statistics.means, statistics.counts, coefficients)


@dataclass(frozen=True)
class SFDA:
    """`sfda` as a metric; deterministic, with the release's constants and no hyperparameters."""

    name: ClassVar[str] = "sfda"
    source: ClassVar[str] = "Shao et al., ECCV 2022"
    lower: ClassVar[float] = 0.0
    upper: ClassVar[float] = 1.0
    inputs: ClassVar[tuple[str, ...]] = ("features",)
    invariances: ClassVar[tuple[str, ...]] = ("translation",)

    def __call__(self, features: np.ndarray, labels: np.ndarray) -> float:
        """Return `sfda` of features (N, D) and labels (N,)."""
        return sfda(features, labels)
