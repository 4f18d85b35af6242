"""Nonzero singular values of features, and labels in their basis, from the smaller Gram matrix."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from transfer_exp.statistics.class_statistics import ClassStatistics, class_sums
from transfer_exp.statistics.feature_set import Features


def spectrum(
    features: Features, targets: Float[np.ndarray, "samples targets"]
) -> tuple[Float[np.ndarray, " rank"], Float[np.ndarray, "rank targets"]]:
    """Decompose X = U diag(s) V' over its nonzero singular values, without forming U if N > D.

    Args:
        features: X, (N, D). The function does not centre it.
        targets: Y, (N, T), for example one-hot labels.

    Returns:
        The eigenvalues s^2, (k,), ascending and positive, where k is the numerical rank, and the coordinates U'Y,
        (k, T). An eigenvalue below max(N, D) machine epsilons of the largest is a rounding error, and below the
        resolution of float32 features.
    """
    eigenvalues, vectors = _decomposed(smaller_gram(features), features.shape)
    if len(features) <= features.shape[1]:
        return eigenvalues, vectors.T @ targets
    return eigenvalues, vectors.T @ (features.T @ targets) / np.sqrt(eigenvalues)[:, None]


def label_spectrum(
    statistics: ClassStatistics, centred: bool
) -> tuple[Float[np.ndarray, " rank"], Float[np.ndarray, "rank classes"]]:
    """Return the `spectrum` of features (minus their mean if ``centred``) and their one-hot labels.

    X'X and X'Y follow from class statistics, so the N samples are needed only if N <= D.
    """
    dim = len(statistics.mean)
    eigenvalues, vectors = _decomposed(statistics.smaller_gram(centred), (statistics.samples, dim))
    if statistics.few_samples is not None:
        return eigenvalues, class_sums(vectors, statistics.few_samples.codes, len(statistics.counts)).T
    sums = statistics.counts[:, None] * (statistics.offsets if centred else statistics.means)
    return eigenvalues, vectors.T @ sums.T / np.sqrt(eigenvalues)[:, None]


def principal_components(centred: Features) -> tuple[Float[np.ndarray, " rank"], Float[np.ndarray, "samples rank"]]:
    """Return the s^2 of `spectrum`, ascending, (k,), and the coordinates U diag(s) of the samples, (N, k)."""
    eigenvalues, vectors = _decomposed(smaller_gram(centred), centred.shape)
    if len(centred) <= centred.shape[1]:
        return eigenvalues, vectors * np.sqrt(eigenvalues)
    return eigenvalues, centred @ vectors


def principal_axes(statistics: ClassStatistics) -> tuple[Float[np.ndarray, " rank"], Float[np.ndarray, "dim rank"]]:
    """Return the nonzero eigenvalues of the scatter within classes, ascending, (k,), and their vectors, (D, k)."""
    shape = (statistics.samples, len(statistics.mean))
    if statistics.few_samples is None:
        return _decomposed(statistics.within, shape)
    deviations = statistics.few_samples.deviations()
    eigenvalues, vectors = _decomposed(deviations @ deviations.T, shape)
    return eigenvalues, deviations.T @ vectors / np.sqrt(eigenvalues)


def squared_singular_values(features: Features) -> Float[np.ndarray, " rank"]:
    """Return only the nonzero s^2 of `spectrum`, ascending, (k,), in a quarter of its time."""
    eigenvalues = np.linalg.eigvalsh(smaller_gram(features))
    return np.asarray(eigenvalues[_nonzero(eigenvalues, features.shape)])


def smaller_gram(features: Features) -> Float[np.ndarray, "size size"]:
    """Return XX' (N, N) or X'X (D, D), whichever is smaller: they share nonzero eigenvalues, trace and norm."""
    samples, dim = features.shape
    return features @ features.T if samples <= dim else features.T @ features


def _decomposed(
    gram: Float[np.ndarray, "size size"], shape: tuple[int, int]
) -> tuple[Float[np.ndarray, " rank"], Float[np.ndarray, "size rank"]]:
    """Return the eigenvalues of a Gram matrix of features (N, D) above rounding errors, and their vectors."""
    eigenvalues, vectors = np.linalg.eigh(gram)
    is_nonzero = _nonzero(eigenvalues, shape)
    return eigenvalues[is_nonzero], vectors[:, is_nonzero]


def _nonzero(eigenvalues: Float[np.ndarray, " size"], shape: tuple[int, int]) -> Bool[np.ndarray, " size"]:
    """Return which ascending eigenvalues of a Gram matrix of features (N, D) are above rounding errors, (size,)."""
    return eigenvalues > max(shape) * np.finfo(np.float64).eps * eigenvalues[-1]
