"""k-NN: leave-one-out accuracy of the nearest neighbours."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from transfer_exp.errors import InputError
from transfer_exp.metric import targets as targets_metrics
from transfer_exp.metric.metric import FormulaMetric
from transfer_exp.statistics.discriminant import centred_features
from transfer_exp.statistics.feature_set import Features, Labels, encode_labels
from transfer_exp.statistics.rounding import RESOLUTION

BLOCK = 1024
"""Rows of distances in memory at a time, so that memory grows with N instead of N^2."""


def knn(features: Features, labels: Labels, k: int = 1) -> float:
    """Compute the leave-one-out accuracy of a vote of the k nearest samples in Euclidean distance.

    All samples as near as the k-th neighbour vote. A tie of t classes counts 1/t if the true class is among them, so
    neither the order of the samples nor the names of the classes matter.

    Args:
        features: (N, D), N above ``k``.
        labels: (N,), integers, at least two classes. The only sample of a class always counts as wrong.
        k: Number of neighbours that vote, at least 1.

    Returns:
        Accuracy in [0, 1].

    Raises:
        InputError: If ``k`` is below 1 or not below N.

    References:
        Cover and Hart, "Nearest Neighbor Pattern Classification", 1967; as a transferability metric Bolya et al.,
        "PARC", NeurIPS 2021, who report it in percent.
    """
    centred = centred_features(features, labels)
    codes, counts = encode_labels(labels)
    if not 1 <= k < len(codes):
        raise InputError(f"k={k} of knn must lie between 1 and the {len(codes) - 1} other samples")
    correct = 0.0
    for start in range(0, len(codes), BLOCK):
        votes = _votes(centred, codes, len(counts), k, start)
        is_best = votes == votes.max(axis=1, keepdims=True)
        true_class = np.arange(len(votes)), codes[start : start + BLOCK]
        correct += float((is_best[true_class] / is_best.sum(axis=1)).sum())
    return min(correct / len(codes), 1.0)


def _votes(
    centred: Float[np.ndarray, "samples dim"], codes: Labels, classes: int, k: int, start: int
) -> Int[np.ndarray, "block {classes}"]:
    """Return the number of nearest neighbours in each class for the samples of one block, (<= 1024, C)."""
    block = centred[start : start + BLOCK]
    rows = np.arange(len(block))
    squares = np.einsum("nd,nd->n", centred, centred)
    block_squares = squares[start : start + BLOCK, None]
    distances = block_squares + squares - 2 * block @ centred.T
    distances[rows, start + rows] = np.inf
    nearest = np.partition(distances, k - 1, axis=1)[:, k - 1 : k]
    # Equal distances agree only up to the rounding of the squares whose differences they are.
    samples, neighbours = np.nonzero(distances <= nearest + RESOLUTION * (block_squares + np.abs(nearest)))
    return np.bincount(samples * classes + codes[neighbours], minlength=len(block) * classes).reshape(-1, classes)


@dataclass(frozen=True)
class KNN(FormulaMetric):
    """`knn` as a metric. The fields are its options."""

    name = "knn"
    source = "Cover and Hart, IEEE Transactions on Information Theory 1967"
    formula = staticmethod(knn)
    multi_label_formula = staticmethod(targets_metrics.knn_labels)
    regression_formula = staticmethod(targets_metrics.knn_numbers)
    lower = 0.0
    upper = 1.0
    invariances = ("rotation", "translation", "scaling")

    k: int = 1
