"""Nonzero squared singular values and singular vectors of features, from the smaller of the two Gram matrices.

With X = U diag(s) V' for features X (N, D), the s^2 are the nonzero eigenvalues of both XX' (N, N) and X'X (D, D). An
eigenvalue counts as zero, a rounding error, if it is at most max(N, D) machine epsilons times the largest one.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from transfer_exp.statistics.class_statistics import ClassStatistics, class_sums
from transfer_exp.statistics.feature_set import Features


def spectrum_and_coordinates(
    features: Features, targets: Float[np.ndarray, "samples targets"]
) -> tuple[Float[np.ndarray, " rank"], Float[np.ndarray, "rank targets"]]:
    """Return the nonzero s^2 of features, and the coordinates of targets along U; U is not formed if N > D.

    Args:
        features: X, (N, D), not centred by this function.
        targets: Y, (N, T), for example one-hot labels.

    Returns:
        The k nonzero s^2, (k,), ascending; and U'Y, (k, T).
    """
    eigenvalues, vectors = _nonzero_eigenpairs(smaller_gram(features), features.shape)
    if len(features) <= features.shape[1]:
        return eigenvalues, vectors.T @ targets
    return eigenvalues, vectors.T @ (features.T @ targets) / np.sqrt(eigenvalues)[:, None]


def label_spectrum_and_coordinates(
    statistics: ClassStatistics, centred: bool
) -> tuple[Float[np.ndarray, " rank"], Float[np.ndarray, "rank classes"]]:
    """Return `spectrum_and_coordinates` of features (minus their mean if ``centred``) and their one-hot labels.

    Class statistics give X'X and X'Y, so the samples themselves are only used if N <= D.
    """
    dim = len(statistics.mean)
    eigenvalues, vectors = _nonzero_eigenpairs(statistics.smaller_gram(centred), (statistics.samples, dim))
    if statistics.few_samples is not None:
        return eigenvalues, class_sums(vectors, statistics.few_samples.codes, len(statistics.counts)).T
    sums = statistics.counts[:, None] * (statistics.offsets if centred else statistics.means)
    return eigenvalues, vectors.T @ sums.T / np.sqrt(eigenvalues)[:, None]


def principal_components(features: Features) -> tuple[Float[np.ndarray, " rank"], Float[np.ndarray, "samples rank"]]:
    """Return the nonzero s^2 of centred features, ascending, (k,), and the samples along V: X V = U diag(s), (N, k)."""
    eigenvalues, vectors = _nonzero_eigenpairs(smaller_gram(features), features.shape)
    if len(features) <= features.shape[1]:
        return eigenvalues, vectors * np.sqrt(eigenvalues)
    return eigenvalues, features @ vectors


def within_class_axes(statistics: ClassStatistics) -> tuple[Float[np.ndarray, " rank"], Float[np.ndarray, "dim rank"]]:
    """Return the nonzero eigenvalues of the within-class scatter, ascending, (k,), and its eigenvectors, (D, k)."""
    shape = (statistics.samples, len(statistics.mean))
    if statistics.few_samples is None:
        return _nonzero_eigenpairs(statistics.within, shape)
    deviations = statistics.few_samples.deviations()
    eigenvalues, vectors = _nonzero_eigenpairs(deviations @ deviations.T, shape)
    return eigenvalues, deviations.T @ vectors / np.sqrt(eigenvalues)


def squared_singular_values(features: Features) -> Float[np.ndarray, " rank"]:
    """Return the nonzero s^2 of features, ascending, (k,); without vectors, this takes a quarter of the time."""
    eigenvalues = np.linalg.eigvalsh(smaller_gram(features))
    return np.asarray(eigenvalues[_is_nonzero(eigenvalues, features.shape)])


def smaller_gram(features: Features) -> Float[np.ndarray, "size size"]:
    """Return XX' (N, N) or X'X (D, D), whichever is smaller; their nonzero eigenvalues, trace and norm are equal."""
    samples, dim = features.shape
    return features @ features.T if samples <= dim else features.T @ features


def _nonzero_eigenpairs(
    gram: Float[np.ndarray, "size size"], shape: tuple[int, int]
) -> tuple[Float[np.ndarray, " rank"], Float[np.ndarray, "size rank"]]:
    """Return the nonzero eigenvalues, ascending, and their vectors, of a Gram matrix of features of shape (N, D)."""
    eigenvalues, vectors = np.linalg.eigh(gram)
    is_nonzero = _is_nonzero(eigenvalues, shape)
    return eigenvalues[is_nonzero], vectors[:, is_nonzero]


def _is_nonzero(eigenvalues: Float[np.ndarray, " size"], shape: tuple[int, int]) -> Bool[np.ndarray, " size"]:
    """Return which of the ascending eigenvalues are more than rounding errors, see the top of the module."""
    return eigenvalues > max(shape) * np.finfo(np.float64).eps * eigenvalues[-1]
