"""GBC: how little the classes, each taken as a Gaussian, overlap in feature space."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float
from scipy.spatial.distance import cdist

from transfer_exp.errors import InputError
from transfer_exp.statistics.class_statistics import ClassStatistics

FLOOR = 1e-4
"""Of every variance, in squared feature units, as released."""


def gbc(statistics: ClassStatistics, covariance: str = "spherical") -> float:
    """Return minus the sum, over ordered pairs of classes, of exp(-B), B their Bhattacharyya distance.

    For diagonal covariances with variances v_c (D,), each at least 1e-4, and v = (v_i + v_j) / 2,

        B = sum_k (mu_i - mu_j)_k^2 / (8 v_k) + sum_k (ln v_k - (ln v_ik + ln v_jk) / 2) / 2.

    ``"spherical"`` puts the mean over k in the place of every v_ck, and has the logarithms once rather than D times:
    that is what the authors' release computes, though the determinant of v I would give them D times.

    Parameters
    ----------
    statistics
        Of features (N, D) and their labels, classes of at least two samples each. The floor is absolute: once variances
        fall below it, scale and basis of the features matter.
    covariance
        ``"spherical"`` or ``"diagonal"``.

    Returns
    -------
    float
        In [-C(C - 1), 0]: all classes alike, all classes apart.

    Raises
    ------
    InputError
        When a class has one sample, which has no variance, or ``covariance`` is unknown.

    References
    ----------
    Pandy et al., "Transferability Estimation Using Bhattacharyya Class Separability", CVPR 2022; variances
    divided by n_c - 1 as in the release of Khoba et al., WACV 2025.
    """
    variances = class_variances(statistics, covariance)
    distances = spherical_distances if covariance == "spherical" else diagonal_distances
    return total_overlap(distances(statistics.offsets, variances))


def class_variances(statistics: ClassStatistics, covariance: str) -> Float[np.ndarray, "classes dim"]:
    """Return the variance of every class and dimension, (C, D), none below the floor, or refuse as `gbc`."""
    if covariance not in ("spherical", "diagonal"):
        raise InputError(f"covariance={covariance} of gbc must be spherical or diagonal")
    counts = statistics.counts
    if counts.min() < 2:
        lone = int(counts.argmin())
        raise InputError(f"class {lone} has one sample, hence no variance for gbc: leave it out or take more samples")
    return np.maximum(statistics.squares / (counts - 1)[:, None], FLOOR)


def total_overlap(distances: Float[np.ndarray, " pairs"]) -> float:
    """Return the score from B of every unordered pair, (C(C-1)/2,)."""
    return float(0.0 - 2 * np.exp(-distances).sum())


def spherical_distances(
    means: Float[np.ndarray, "classes places"], variances: Float[np.ndarray, "classes dim"]
) -> Float[np.ndarray, " pairs"]:
    """Return B of every unordered pair of classes with one variance each, the mean over dimensions, (C(C-1)/2,).

    Of the means only distances count, so that they may be given in another basis than the variances.
    """
    first, second = np.triu_indices(len(means), 1)
    single = variances.mean(axis=1)
    pooled = (single[first] + single[second]) / 2
    ratio = pooled / np.sqrt(single[first]) / np.sqrt(single[second])
    return cdist(means, means, "sqeuclidean")[first, second] / (8 * pooled) + np.log(np.maximum(ratio, 1.0)) / 2


def diagonal_distances(
    means: Float[np.ndarray, "classes dim"], variances: Float[np.ndarray, "classes dim"]
) -> Float[np.ndarray, " pairs"]:
    """Return B of every unordered pair of classes with a variance per dimension, (C(C-1)/2,), one class at a time."""
    halves = np.log(variances).sum(axis=1) / 2
    rows = []
    for i in range(len(means) - 1):
        pooled = (variances[i] + variances[i + 1 :]) / 2
        apart = ((means[i] - means[i + 1 :]) ** 2 / pooled).sum(axis=1) / 8
        rows.append(apart + np.maximum(np.log(pooled).sum(axis=1) - halves[i] - halves[i + 1 :], 0.0) / 2)
    return np.concatenate(rows)


@dataclass(frozen=True)
class GBC:
    """`gbc` as a metric.

    Attributes
    ----------
    covariance
        Of a class: ``"spherical"`` (one variance) or ``"diagonal"`` (one per dimension, and tied to the basis).
    """

    name: ClassVar[str] = "gbc"
    source: ClassVar[str] = "Pandy et al., CVPR 2022"
    lower: ClassVar[float] = -np.inf
    upper: ClassVar[float] = 0.0
    inputs: ClassVar[tuple[str, ...]] = ("class_statistics",)
    invariances: ClassVar[tuple[str, ...]] = ("rotation", "translation", "scaling")

    covariance: str = "spherical"

    def __call__(self, class_statistics: ClassStatistics) -> float:
        """Return `gbc` of class statistics."""
        return gbc(class_statistics, self.covariance)
