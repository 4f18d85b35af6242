"""Linear discriminants of Gaussian classes with one shared covariance, and their class probabilities."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from scipy.linalg import LinAlgError, cho_factor, cho_solve, eigvalsh
from scipy.special import logsumexp, softmax

from transfer_exp.errors import InputError
from transfer_exp.statistics.class_statistics import ClassStatistics
from transfer_exp.statistics.feature_set import Features, Labels, check_features
from transfer_exp.statistics.rounding import RESOLUTION, deviations

DECAY, LEAST, POWER_STEPS = 5.0, 1e-10, 6
"""Constants of SFDA's released shrinkage: decay rate, smallest value and number of power steps."""


def centred_features(features: np.ndarray, labels: np.ndarray) -> Float[np.ndarray, "samples dim"]:
    """Return features minus their mean, for formulas that ignore a shift; raises InputError like `check_features`."""
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

    Classes with more variance get less shrinkage, so the value depends on the scale of the features.

    References:
        Shao et al., "Not All Models Are Equal", ECCV 2022, section 3, as in the authors' code: lambda comes from
        six power steps started at the row sums of W, which is not quite the largest eigenvalue.
    """
    covariance = statistics.within / statistics.samples
    vector = covariance.sum(axis=1)
    if np.linalg.norm(vector) <= RESOLUTION * np.trace(covariance):
        # The power iteration cannot start from row sums of zero, so its limit is used instead.
        last = len(covariance) - 1
        return max(float(np.exp(-DECAY * eigvalsh(covariance, subset_by_index=[last, last])[0])), LEAST)
    vector /= np.linalg.norm(vector)
    for _ in range(POWER_STEPS):
        previous, vector = vector, covariance @ vector
        vector /= np.linalg.norm(vector)
    return max(float(np.exp(-DECAY * (vector @ covariance @ previous))), LEAST)


def solve_covariance(
    rows: Float[np.ndarray, "rows dim"], within: Float[np.ndarray, "dim dim"], samples: int, shrinkage: float
) -> Float[np.ndarray, "rows dim"]:
    """Return S^-1 x for every row x, with the shrunk covariance S of `shrunk_covariance`.

    Raises:
        InputError: If S is singular: every sample equals its class mean, or ``shrinkage`` is too small.
    """
    if not np.trace(within) > 0:
        raise InputError("every sample equals its class mean: a within-class covariance needs classes that vary")
    try:
        # The transpose of a symmetric matrix is in the memory order that LAPACK takes without a copy.
        factor = cho_factor(shrunk_covariance(within, samples, shrinkage).T, lower=True, overwrite_a=True)
    except LinAlgError as error:
        raise InputError(
            f"within-class covariance is singular at shrinkage {shrinkage:g}: use more samples or raise it"
        ) from error
    return np.asarray(cho_solve(factor, rows.T)).T


def posterior(
    features: Features,
    means: Float[np.ndarray, "classes dim"],
    counts: Int[np.ndarray, " classes"],
    coefficients: Float[np.ndarray, "classes dim"],
) -> Float[np.ndarray, "samples classes"]:
    """Return P(c | x) = softmax_c(x'b_c - mu_c'b_c / 2 + ln(n_c / N)), (N, C).

    With coefficients b_c = S^-1 mu_c this is the posterior of Gaussian classes that share the covariance S.
    """
    constants = np.log(counts / counts.sum()) - np.einsum("cd,cd->c", means, coefficients) / 2
    return np.asarray(softmax(features @ coefficients.T + constants, axis=1))


def true_log_posterior(scores: Float[np.ndarray, "samples classes"], codes: Labels) -> Float[np.ndarray, " samples"]:
    """Return ln p of the true class, (N,), where p is the softmax of ``scores``; precise even if p rounds to 1."""
    samples = np.arange(len(codes))
    margins = scores - scores[samples, codes][:, None]
    margins[samples, codes] = -np.inf
    return -np.logaddexp(0.0, logsumexp(margins, axis=1))


def mean_true_posterior(probabilities: Float[np.ndarray, "samples classes"], codes: Labels) -> float:
    """Return the mean probability of the true class over samples, in [0, 1]."""
    return float(np.minimum(probabilities[np.arange(len(codes)), codes], 1.0).mean())


def fitted_posterior(
    features: Features, statistics: ClassStatistics, shrinkage: float
) -> Float[np.ndarray, "samples classes"]:
    """Return the posterior of every class, (N, C), at the samples that the discriminant is fitted on."""
    coefficients = solve_covariance(statistics.means, statistics.within, statistics.samples, shrinkage)
    return posterior(features, statistics.means, statistics.counts, coefficients)


def discriminant_scores(
    deviations: Float[np.ndarray, "samples dim"],
    codes: Labels,
    means: Float[np.ndarray, "classes dim"],
    within: Float[np.ndarray, "dim dim"],
    shrinkage: float,
    leave_one_out: bool = False,
) -> Float[np.ndarray, "samples classes"]:
    """Return (N, C) scores whose softmax is the posterior at the samples that the discriminant is fitted on.

    Args:
        deviations, codes: x - mu_c of every sample, (N, D), and its class in [0, C), (N,).
        means, within: mu_c relative to any origin, (C, D), and the scatter of the deviations, (D, D).
        shrinkage: Weight of the spherical covariance in `shrunk_covariance`, in [0, 1].
        leave_one_out: True if each sample's score of its own class uses the class mean without the sample, which is
            n / (n - 1) times as far from it. The only sample of a class keeps its score.

    Raises:
        InputError: If `solve_covariance` finds a singular covariance.
    """
    counts = np.bincount(codes, minlength=len(means))
    coefficients = solve_covariance(means, within, len(codes), shrinkage)
    products = means @ coefficients.T
    products += np.log(counts / len(codes)) - np.diag(products) / 2
    scores = deviations @ coefficients.T
    scores += products[codes]
    if leave_one_out:
        squares = np.einsum("nd,nd->n", deviations, solve_covariance(deviations, within, len(codes), shrinkage))
        growth = np.where(counts > 1, (counts / np.maximum(counts - 1, 1)) ** 2 - 1, 0.0)
        scores[np.arange(len(codes)), codes] -= growth[codes] * squares / 2
    return np.asarray(scores)


def ledoit_wolf_shrinkage(centred: Float[np.ndarray, "samples dim"], squared_norm: float) -> float:
    """Return Ledoit and Wolf's shrinkage of the covariance S of centred rows towards tr(S)/D I, in [0, 1].

    It is min(b, d) / d, where d = |S - tr(S)/D I|^2 and b = (sum_n |x_n|^4 / N - |S|^2) / N, Frobenius norms.
    ``squared_norm`` is |X'X|^2 or, equally, |XX'|^2. In one dimension S equals its target and the shrinkage is 0.
    """
    samples, dim = centred.shape
    squares = np.einsum("nd,nd->n", centred, centred)
    if dim == 1 or not squares.any():
        return 0.0
    norm = squared_norm / samples**2
    distance = norm - squares.mean() ** 2 / dim
    noise = ((squares**2).mean() - norm) / samples
    return float(noise / distance) if 0 < noise < distance else float(noise > 0)
