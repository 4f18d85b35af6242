"""TMI: spread of the features within classes, as the entropy of the features given the class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.spatial.distance import cdist
from scipy.special import digamma

from transfer_exp.errors import InputError, check_options, check_types
from transfer_exp.metric.metric import FormulaMetric
from transfer_exp.statistics.discriminant import centred_features
from transfer_exp.statistics.feature_set import Features, Labels, encode_labels

BLOCK = 1024
"""Rows of distances in memory at a time, so that memory grows with the size of a class instead of its square."""


def tmi(features: Features, labels: Labels, k: int = 3, least_distance: float = 1.0) -> float:
    """Compute sum_c (n_c / N) H_c, with an estimate H_c of the differential entropy of the features of class c.

    H_c = psi(n_c) - psi(k) + D / n_c sum_i ln(2 max(r_i, least distance)), the estimator of Kozachenko and Leonenko for
    the maximum norm. r_i is the distance from sample i to its k-th nearest neighbour in the class. Unlike most scores,
    this one is larger for classes that spread, and it ignores the positions of classes relative to each other.

    Args:
        features: (N, D). The norm depends on the basis and the entropy on the scale, so both matter.
        labels: (N,), integers, at least two classes; every class has more than ``k`` samples.
        k: Index of the neighbour, at least 1.
        least_distance: Smallest distance in feature units, positive, as in the authors' code: nearer neighbours count
            as this far. If all are nearer (small scale, few dimensions), only D and the class sizes decide the score.

    Returns:
        Value in nats, unbounded; at least D ln(2 least distance).

    Raises:
        InputError: If a class has too few samples, ``k`` is below 1, or ``least_distance`` is not positive and finite.

    References:
        Xu and Kang, "Fast and Accurate Transferability Measurement by Evaluating Intra-class Feature Variance", ICCV
        2023; estimator, k and floor of the authors' code, which also divides by C, alike for all models.
    """
    if k < 1:
        raise InputError(f"k={k} of tmi must be at least 1")
    if not 0 < least_distance < np.inf:
        raise InputError(
            f"least_distance={least_distance} of tmi must be positive and finite (the authors' code takes 1)"
        )
    centred = centred_features(features, labels)
    codes, counts = encode_labels(labels)
    if counts.min() <= k:
        smallest, size = np.unique(labels)[counts.argmin()], counts.min()
        samples = "one sample" if size == 1 else f"{size} samples"
        raise InputError(
            f"class {smallest} has {samples}, tmi needs more than k={k}: leave it out, or take more or a smaller k"
        )
    groups = np.split(centred[np.argsort(codes, kind="stable")], np.cumsum(counts)[:-1])
    dim = centred.shape[1]
    entropies = [digamma(len(g)) - digamma(k) + dim * _log_distance(g, k, least_distance) for g in groups]
    return float(counts @ np.array(entropies) / len(codes))


def _log_distance(rows: Float[np.ndarray, "samples dim"], k: int, least: float) -> float:
    """Return the mean of ln(2 max(r, least)), with the distance r of a row to its k-th neighbour in maximum norm."""
    total = 0.0
    for start in range(0, len(rows), BLOCK):
        distances = cdist(rows[start : start + BLOCK], rows, "chebyshev")
        # The nearest row, at index 0, is the sample or a duplicate.
        nearest = np.partition(distances, k, axis=1)[:, k]
        total += float(np.log(2 * np.maximum(nearest, least)).sum())
    return total / len(rows)


@dataclass(frozen=True)
class TMI(FormulaMetric):
    """`tmi` as a metric. The fields are its options."""

    name = "tmi"
    source = "Xu and Kang, ICCV 2023"
    formula = staticmethod(tmi)
    invariances = ("translation",)

    k: int = 3
    least_distance: float = 1.0

    def __post_init__(self) -> None:
        check_types("metric", self)
        checks = {
            "k": (self.k >= 1, "at least 1"),
            "least_distance": (0 < self.least_distance < np.inf, "a positive number (the authors' code takes 1)"),
        }
        check_options("metric", self, checks)
