"""INT: how far apart, on average, two samples of different classes lie."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Int, Real

from transfer_exp.metric.sample_distances import distance_blocks
from transfer_exp.statistics.class_statistics import class_sums
from transfer_exp.statistics.discriminant import centred_features
from transfer_exp.statistics.feature_set import encode_labels


def interclass_distance(features: Real[np.ndarray, "samples dim"], labels: Int[np.ndarray, " samples"]) -> float:
    """Return the mean, over pairs of classes, of the mean Euclidean distance between their samples.

    Every pair of classes counts alike, however small: 2 / (C (C - 1)) sum_{a<b} sum |x - y| / (n_a n_b).

    Parameters
    ----------
    features
        (N, D). The score is in feature units: models whose features differ in scale are ranked by it.
    labels
        (N,), integers, at least two classes.

    Returns
    -------
    float
        At least 0, in feature units; 0 for constant features.

    Raises
    ------
    InputError
        As `check_features`.

    References
    ----------
    Bezdek and Pal, "Some New Indexes of Cluster Validity", IEEE Transactions on Systems, Man and Cybernetics B 1998
    (average distance between two clusters), as pymfe sums it up into the INT index; proposed as a transferability
    metric under that name by Singh, Hess and Vanschoren, "Occam's Model", 2025.
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


@dataclass(frozen=True)
class InterclassDistance:
    """`interclass_distance` as a metric; no hyperparameters."""

    name: ClassVar[str] = "interclass_distance"
    source: ClassVar[str] = "INT of Singh, Hess and Vanschoren, 2025, after Bezdek and Pal, 1998"
    lower: ClassVar[float] = 0.0
    upper: ClassVar[float] = np.inf
    inputs: ClassVar[tuple[str, ...]] = ("features", "labels")
    invariances: ClassVar[tuple[str, ...]] = ("rotation", "translation")

    def __call__(self, features: np.ndarray, labels: np.ndarray) -> float:
        """Return `interclass_distance` of features (N, D) and labels (N,)."""
        return interclass_distance(features, labels)
