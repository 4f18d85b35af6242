"""GBC: overlap of the classes, each modelled as a Gaussian in feature space."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.spatial.distance import cdist

from transfer_exp.errors import InputError, check_options, check_types
from transfer_exp.metric.metric import FormulaMetric
from transfer_exp.statistics.class_statistics import ClassStatistics

FLOOR = 1e-4
"""Smallest variance, in squared units of the features, as in the authors' code."""


def gbc(statistics: ClassStatistics, covariance: str = "spherical") -> float:
    """Compute minus the sum of Bhattacharyya coefficients exp(-B) over ordered pairs of classes.

    With the variance v_ck of class c in dimension k, and v_k = (v_ik + v_jk) / 2, the Bhattacharyya distance is

        B = sum_k (mu_i - mu_j)_k^2 / (8 v_k) + sum_k (ln v_k - (ln v_ik + ln v_jk) / 2) / 2.

    ``"spherical"`` uses one variance per class, the mean of v_ck over k, and counts the logarithms once, as the code of
    Pandy et al. does. The formula would count them D times. Every v_ck below 1e-4 is first set to 1e-4, so the scale
    and the basis of the features matter if variances are that small.

    Args:
        statistics: Statistics of features (N, D) and labels, at least two samples per class.
        covariance: ``"spherical"`` (one variance per class) or ``"diagonal"`` (one per class and dimension;
            the basis matters).

    Returns:
        Value in [-C(C - 1), 0]: the minimum for identical classes, 0 for fully separated ones.

    Raises:
        InputError: If a class has one sample, and therefore no variance, or ``covariance`` is unknown.

    References:
        Pandy et al., "Transferability Estimation Using Bhattacharyya Class Separability", CVPR 2022; variances
        divided by n_c - 1 as in the code of Khoba et al., WACV 2025.
    """
    if covariance not in ("spherical", "diagonal"):
        raise InputError(f"covariance={covariance} of gbc must be spherical or diagonal")
    counts = statistics.counts
    if counts.min() < 2:
        index = int(counts.argmin())
        raise InputError(
            f"class {index} (counted from 0) has one sample, so gbc has no variance of it: leave it out or take more"
        )
    variances = np.maximum(statistics.squares / (counts - 1)[:, None], FLOOR)
    distances = _spherical_distances if covariance == "spherical" else _diagonal_distances
    # Each unordered pair counts twice; 0.0 - x is never -0.0.
    return float(0.0 - 2 * np.exp(-distances(statistics.offsets, variances)).sum())


def _spherical_distances(
    means: Float[np.ndarray, "classes dim"], variances: Float[np.ndarray, "classes dim"]
) -> Float[np.ndarray, " pairs"]:
    """Return B of every unordered pair of classes with one variance per class, (C(C-1)/2,)."""
    first, second = np.triu_indices(len(means), 1)
    single = variances.mean(axis=1)
    pooled = (single[first] + single[second]) / 2
    ratio = pooled / np.sqrt(single[first]) / np.sqrt(single[second])
    return cdist(means, means, "sqeuclidean")[first, second] / (8 * pooled) + np.log(np.maximum(ratio, 1.0)) / 2


def _diagonal_distances(
    means: Float[np.ndarray, "classes dim"], variances: Float[np.ndarray, "classes dim"]
) -> Float[np.ndarray, " pairs"]:
    """Return B of every unordered pair of classes with one variance per class and dimension, (C(C-1)/2,)."""
    halves = np.log(variances).sum(axis=1) / 2
    rows = []
    for i in range(len(means) - 1):
        pooled = (variances[i] + variances[i + 1 :]) / 2
        separation = ((means[i] - means[i + 1 :]) ** 2 / pooled).sum(axis=1) / 8
        rows.append(separation + np.maximum(np.log(pooled).sum(axis=1) - halves[i] - halves[i + 1 :], 0.0) / 2)
    return np.concatenate(rows)


@dataclass(frozen=True)
class GBC(FormulaMetric):
    """`gbc` as a metric. The fields are its options."""

    name = "gbc"
    source = "Pandy et al., CVPR 2022"
    formula = staticmethod(gbc)
    upper = 0.0
    inputs = ("class_statistics",)

    covariance: str = "spherical"

    def __post_init__(self) -> None:
        check_types("metric", self)
        check_options(
            "metric", self, {"covariance": (self.covariance in ("spherical", "diagonal"), "spherical or diagonal")}
        )

    @property
    def invariances(self) -> tuple[str, ...]:
        """Maps that leave the score unchanged if no variance is below `FLOOR`; ``"diagonal"`` depends on the axes."""
        return ("translation", "scaling", *(() if self.covariance == "diagonal" else ("rotation",)))
