"""Linear discriminants of classes that share one covariance, and how surely they tell the true class."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from scipy.linalg import LinAlgError, cho_factor, cho_solve
from scipy.special import softmax

from transfer_exp.types import ClassStatistics, InputError, check_features
from transfer_exp.types.class_statistics import deviations


def centred_features(features: np.ndarray, labels: np.ndarray) -> Float[np.ndarray, "samples dim"]:
    """Return checked features minus their mean: posteriors ignore a shift, rounding does not.

    Raises
    ------
    InputError
        As `check_features`.
    """
    features = check_features(features, labels)
    return deviations(features, features.mean(axis=0))


def shrunk_covariance(statistics: ClassStatistics, shrinkage: float) -> Float[np.ndarray, "dim dim"]:
    """Return (1 - shrinkage) W + shrinkage tr(W)/D I, where W = within / N is the pooled class covariance."""
    covariance = statistics.within * ((1 - shrinkage) / statistics.samples)
    variance = np.trace(statistics.within) / (statistics.samples * len(covariance))
    covariance.flat[:: len(covariance) + 1] += shrinkage * variance
    return covariance


def whitened_means(statistics: ClassStatistics, shrinkage: float) -> Float[np.ndarray, "classes dim"]:
    """Return the rows S^-1 mu_c for the shrunk within-class covariance S, by one Cholesky factorisation.

    Raises
    ------
    InputError
        When S is singular: no sample differs from its class mean, or ``shrinkage`` is too small for so few
        samples.
    """
    if not np.trace(statistics.within) > 0:
        raise InputError("every sample equals its class mean: a within-class covariance needs classes that vary")
    try:
        factor = cho_factor(shrunk_covariance(statistics, shrinkage), lower=True, overwrite_a=True)
    except LinAlgError as error:
        raise InputError(
            f"within-class covariance is singular at shrinkage {shrinkage:g}: use more samples or raise it"
        ) from error
    return np.asarray(cho_solve(factor, statistics.means.T)).T


def posterior(
    features: Float[np.ndarray, "samples dim"],
    means: Float[np.ndarray, "classes dim"],
    counts: Int[np.ndarray, " classes"],
    coefficients: Float[np.ndarray, "classes dim"],
) -> Float[np.ndarray, "samples classes"]:
    """Return P(c | x) = softmax_c(x'b_c - mu_c'b_c / 2 + ln(n_c / N)), (N, C).

    With coefficients b_c = S^-1 mu_c this is the posterior of Gaussian classes that share the covariance S.
    """
    constants = np.log(counts / counts.sum()) - np.einsum("cd,cd->c", means, coefficients) / 2
    return np.asarray(softmax(features @ coefficients.T + constants, axis=1))


def mean_true_posterior(
    probabilities: Float[np.ndarray, "samples classes"], codes: Int[np.ndarray, " samples"]
) -> float:
    """Return the mean over samples of the probability given to the true class, in [0, 1]."""
    return float(np.minimum(probabilities[np.arange(len(codes)), codes], 1.0).mean())
