"""Linear discriminants of classes that share one covariance: how surely they tell the class of a sample."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from scipy.linalg import LinAlgError, cho_factor, cho_solve, eigvalsh
from scipy.special import logsumexp, softmax

from transfer_exp.errors import InputError
from transfer_exp.statistics.class_statistics import ClassStatistics
from transfer_exp.statistics.feature_set import check_features
from transfer_exp.statistics.rounding import RESOLUTION, deviations

DECAY, LEAST, POWER_STEPS = 5.0, 1e-10, 6
"""Of SFDA's shrinkage, as released: exp(-decay * largest eigenvalue), its least value, the power steps."""


def centred_features(features: np.ndarray, labels: np.ndarray) -> Float[np.ndarray, "samples dim"]:
    """Return checked features minus their mean: posteriors ignore a shift, rounding does not.

    Raises
    ------
    InputError
        As `check_features`.
    """
    features = check_features(features, labels)
    return deviations(features, features.mean(axis=0))


def shrunk_covariance(
    within: Float[np.ndarray, "dim dim"], samples: int, shrinkage: float
) -> Float[np.ndarray, "dim dim"]:
    """Return (1 - shrinkage) W + shrinkage tr(W)/D I, where W = within / N is the pooled class covariance."""
    covariance = within * ((1 - shrinkage) / samples)
    variance = np.trace(within) / (samples * len(covariance))
    covariance.flat[:: len(covariance) + 1] += shrinkage * variance
    return covariance


def adaptive_shrinkage(statistics: ClassStatistics) -> float:
    """Return max(exp(-5 lambda), 1e-10), with lambda close to the largest eigenvalue of W, in [1e-10, 1].

    The more the classes vary, the less is shrunk, so the value depends on the scale of the features.

    References
    ----------
    Shao et al., "Not All Models Are Equal", ECCV 2022, section 3, as released: lambda comes from six power
    steps started at the row sums of W, which is not quite the largest eigenvalue.
    """
    covariance = statistics.within / statistics.samples
    vector = covariance.sum(axis=1)
    if np.linalg.norm(vector) <= RESOLUTION * np.trace(covariance):
        # Rows that sum to zero give the power iteration nothing to start from: take its limit instead.
        last = len(covariance) - 1
        return max(float(np.exp(-DECAY * eigvalsh(covariance, subset_by_index=[last, last])[0])), LEAST)
    vector /= np.linalg.norm(vector)
    for _ in range(POWER_STEPS):
        previous, vector = vector, covariance @ vector
        vector /= np.linalg.norm(vector)
    return max(float(np.exp(-DECAY * (vector @ covariance @ previous))), LEAST)


def whitened_means(statistics: ClassStatistics, shrinkage: float) -> Float[np.ndarray, "classes dim"]:
    """Return the rows S^-1 mu_c for the shrunk within-class covariance S.

    Raises
    ------
    InputError
        As `whitened`.
    """
    return whitened(statistics.means, statistics.within, statistics.samples, shrinkage)


def whitened(
    rows: Float[np.ndarray, "rows dim"], within: Float[np.ndarray, "dim dim"], samples: int, shrinkage: float
) -> Float[np.ndarray, "rows dim"]:
    """Return the rows S^-1 x for the shrunk within-class covariance S, by one Cholesky factorisation.

    Raises
    ------
    InputError
        When S is singular: no sample differs from its class mean, or ``shrinkage`` is too small for so few
        samples.
    """
    if not np.trace(within) > 0:
        raise InputError("every sample equals its class mean: a within-class covariance needs classes that vary")
    try:
        # Transposed it is the same matrix, in the order of rows and columns that LAPACK takes without a copy.
        factor = cho_factor(shrunk_covariance(within, samples, shrinkage).T, lower=True, overwrite_a=True)
    except LinAlgError as error:
        raise InputError(
            f"within-class covariance is singular at shrinkage {shrinkage:g}: use more samples or raise it"
        ) from error
    return np.asarray(cho_solve(factor, rows.T)).T


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


def true_log_posterior(
    scores: Float[np.ndarray, "samples classes"], codes: Int[np.ndarray, " samples"]
) -> Float[np.ndarray, " samples"]:
    """Return ln p of the true class, p the softmax of ``scores``, exact also where p is 1 but for rounding, (N,)."""
    everyone = np.arange(len(codes))
    against = scores - scores[everyone, codes][:, None]
    against[everyone, codes] = -np.inf
    return -np.logaddexp(0.0, logsumexp(against, axis=1))


def mean_true_posterior(
    probabilities: Float[np.ndarray, "samples classes"], codes: Int[np.ndarray, " samples"]
) -> float:
    """Return the mean over samples of the probability given to the true class, in [0, 1]."""
    return float(np.minimum(probabilities[np.arange(len(codes)), codes], 1.0).mean())


def fitted_posterior(
    features: Float[np.ndarray, "samples dim"], statistics: ClassStatistics, shrinkage: float
) -> Float[np.ndarray, "samples classes"]:
    """Return the posterior of every class, (N, C), at the very samples the discriminant was fitted on.

    Raises
    ------
    InputError
        As `whitened_means`.
    """
    coefficients = whitened_means(statistics, shrinkage)
    return posterior(features, statistics.means, statistics.counts, coefficients)


def block_scores(
    deviations: Float[np.ndarray, "samples dim"],
    codes: Int[np.ndarray, " samples"],
    means: Float[np.ndarray, "classes dim"],
    within: Float[np.ndarray, "dim dim"],
    shrinkage: float,
) -> Float[np.ndarray, "samples classes"]:
    """Return scores whose softmax is the posterior of every class, (N, C), at the samples a discriminant is fitted on.

    Parameters
    ----------
    deviations, codes
        x - mu_c of every sample, (N, D), and its class in [0, C), (N,).
    means, within
        mu_c, from any origin, (C, D), and the scatter of the deviations, (D, D).
    shrinkage
        As `shrunk_covariance`.

    Raises
    ------
    InputError
        As `whitened`.
    """
    counts = np.bincount(codes, minlength=len(means))
    coefficients = whitened(means, within, len(codes), shrinkage)
    products = means @ coefficients.T
    products += np.log(counts / len(codes)) - np.diag(products) / 2
    scores = deviations @ coefficients.T
    scores += products[codes]
    return np.asarray(scores)


def self_challenge(
    features: Float[np.ndarray, "samples dim"],
    codes: Int[np.ndarray, " samples"],
    statistics: ClassStatistics,
    shrinkage: float,
) -> Float[np.ndarray, "samples dim"]:
    """Return ConfMix's displacement (1 - p(x)) (m_c - x), (N, D): unsure samples move to the other classes.

    p(x) is the softmax of the fitted posterior, true class, in [1 / (C - 1 + e), e / (C - 1 + e)]; m_c
    averages the means of the classes other than that of x.

    Parameters
    ----------
    features
        (N, D), centred for precision.
    codes
        (N,), classes as 0 .. C-1.
    statistics
        Of ``features`` and ``codes``.
    shrinkage
        Of the discriminant, as `adaptive_shrinkage`.

    Raises
    ------
    InputError
        As `whitened_means`.

    References
    ----------
    Shao et al., "Not All Models Are Equal", ECCV 2022, section 3 (ConfMix), as released.
    """
    soft = softmax(fitted_posterior(features, statistics, shrinkage), axis=1)
    doubt = 1 - soft[np.arange(len(codes)), codes]
    others = (statistics.means.sum(axis=0) - statistics.means) / (len(statistics.counts) - 1)
    move = others[codes]
    move -= features
    move *= doubt[:, None]
    return move
