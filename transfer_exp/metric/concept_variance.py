"""Concept variance: agreement of the labels of samples that are close to each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from transfer_exp.errors import InputError, check_options, check_types
from transfer_exp.metric.interclass_distance import distance_blocks
from transfer_exp.metric.metric import FormulaMetric
from transfer_exp.statistics.discriminant import centred_features
from transfer_exp.statistics.feature_set import Features, Labels, encode_labels

LEAST_GAP = 1e-9
"""Smallest value of sqrt(D) - d, as in pymfe, so that the weight of two samples at opposite corners is defined."""


def concept_variance(features: Features, labels: Labels, alpha: float = 2.0) -> float:
    """Compute minus the mean, over samples, of the weighted share of the remaining samples that differ in class.

    Features are scaled to [0, 1] over the samples. A pair at distance d <= sqrt(D) then has the weight
    2^(-alpha d / (sqrt(D) - d)): 1 for equal samples, 0 for opposite corners.

    Args:
        features, labels: (N, D); (N,) integers, at least two classes. A constant feature counts as 0. A shift or a
            scale of any feature leaves the score unchanged.
        alpha: Decay of the weights with distance, positive.

    Returns:
        Value in [-1, 0].

    Raises:
        InputError: If ``alpha`` is not positive.

    References:
        Vilalta, "Understanding Accuracy Performance through Concept Characterization and Algorithm Analysis", ICML
        workshop on meta-learning 1999 (concept variation), computed as in pymfe with alpha 2. Singh, Hess and
        Vanschoren, "Occam's Model", 2025, propose it as a transferability metric.
    """
    if not 0 < alpha < np.inf:
        raise InputError(f"alpha={alpha} of concept_variance must be positive")
    centred = centred_features(features, labels)
    codes, _ = encode_labels(labels)
    width = centred.max(axis=0) - centred.min(axis=0)
    scaled = centred / np.where(width > 0, width, 1.0)
    scaled -= scaled.mean(axis=0)
    diagonal = np.sqrt(scaled.shape[1])
    total = 0.0
    for block, distances in distance_blocks(scaled):
        exponents = -alpha * distances / np.maximum(diagonal - distances, LEAST_GAP)
        exponents[np.arange(len(distances)), np.arange(block.start, block.stop)] = -np.inf
        # Only ratios of weights within a row count. The largest weight becomes 1, so that they cannot all vanish.
        weights = np.exp2(exponents - exponents.max(axis=1, keepdims=True))
        differ = codes[block, None] != codes
        total += float(((weights * differ).sum(axis=1) / weights.sum(axis=1)).sum())
    return max(0.0 - total / len(codes), -1.0)


@dataclass(frozen=True)
class ConceptVariance(FormulaMetric):
    """`concept_variance` as a metric. The fields are its options."""

    name = "concept_variance"
    source = "Singh, Hess and Vanschoren, 2025, after Vilalta, 1999"
    formula = staticmethod(concept_variance)
    lower = -1.0
    upper = 0.0
    invariances = ("translation", "scaling")

    alpha: float = 2.0

    def __post_init__(self) -> None:
        check_types("metric", self)
        check_options("metric", self, {"alpha": (0 < self.alpha < np.inf, "a positive number")})
