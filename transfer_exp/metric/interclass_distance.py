"""INT: mean distance between samples of different classes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from transfer_exp.metric.metric import FormulaMetric
from transfer_exp.statistics.class_statistics import class_sums
from transfer_exp.statistics.discriminant import centred_features
from transfer_exp.statistics.feature_set import Features, Labels, encode_labels
from transfer_exp.statistics.rounding import RESOLUTION

BLOCK = 1024
"""Rows of distances in memory at a time, so that memory grows with N instead of N^2."""


def interclass_distance(features: Features, labels: Labels) -> float:
    """Compute the mean, over pairs of classes, of the mean Euclidean distance between their samples.

    It is 2 / (C (C - 1)) sum_{a<b} sum |x - y| / (n_a n_b), so classes of any size count alike.

    Args:
        features, labels: (N, D); (N,) integers, at least two classes. The scale of the features matters.

    Returns:
        Distance in feature units, at least 0; 0 for constant features.

    References:
        Bezdek and Pal, "Some New Indexes of Cluster Validity", IEEE Transactions on Systems, Man and Cybernetics B 1998
        (average distance between two clusters), summed up into the INT index as in pymfe. Singh, Hess and Vanschoren,
        "Occam's Model", 2025, propose it under that name as a transferability metric.
    """
    centred = centred_features(features, labels)
    codes, counts = encode_labels(labels)
    classes = len(counts)
    sums = np.zeros((classes, classes))
    for block, distances in distance_blocks(centred):
        to_classes = class_sums(distances.T, codes, classes).T
        sums += class_sums(to_classes, codes[block], classes)
    means = sums / np.outer(counts, counts)
    return float((means.sum() - np.trace(means)) / (classes * (classes - 1)))


def distance_blocks(
    rows: Float[np.ndarray, "samples dim"],
) -> Iterator[tuple[slice, Float[np.ndarray, "block samples"]]]:
    """Yield slices of at most 1024 samples and their distances to all samples, from inner products.

    A square below `RESOLUTION` of the squared norms it is the difference of is rounding and becomes zero. So does the
    distance of a sample to itself and to its duplicates. Centre the rows first to keep the norms small.
    """
    squares = np.einsum("nd,nd->n", rows, rows)
    for start in range(0, len(rows), BLOCK):
        block = slice(start, min(start + BLOCK, len(rows)))
        sums = squares[block, None] + squares
        distances = sums - 2 * rows[block] @ rows.T
        distances[distances <= RESOLUTION * sums] = 0.0
        yield block, np.sqrt(distances)


@dataclass(frozen=True)
class InterclassDistance(FormulaMetric):
    """`interclass_distance` as a metric, without hyperparameters."""

    name = "interclass_distance"
    source = "INT of Singh, Hess and Vanschoren, 2025, after Bezdek and Pal, 1998"
    formula = staticmethod(interclass_distance)
    lower = 0.0
    invariances = ("rotation", "translation")
