"""Concept variance: how rarely samples that lie close to each other differ in class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Int, Real

from transfer_exp.errors import InputError
from transfer_exp.metric.sample_distances import distance_blocks
from transfer_exp.statistics.discriminant import centred_features
from transfer_exp.statistics.feature_set import encode_labels

LEAST_GAP = 1e-9
"""Of sqrt(D) - d, as pymfe has it: two samples at opposite corners have no weight but a defined one."""


def concept_variance(
    features: Real[np.ndarray, "samples dim"], labels: Int[np.ndarray, " samples"], alpha: float = 2.0
) -> float:
    """Return minus the mean, over samples, of the weighted share of the other samples that differ in class.

    Scale every feature to [0, 1] over the samples. A pair at distance d <= sqrt(D) then weighs
    2^(-alpha d / (sqrt(D) - d)): 1 for equals, 0 for opposite corners.

    Parameters
    ----------
    features
        (N, D), N at least 2; a constant feature counts as 0. A shift or a scale of any feature leaves the score alone.
    labels
        (N,), integers, at least two classes.
    alpha
        Positive: the larger, the more the nearest samples decide.

    Returns
    -------
    float
        In [-1, 0].

    Raises
    ------
    InputError
        As `check_features`; when ``alpha`` is not positive.

    References
    ----------
    Vilalta, "Understanding Accuracy Performance through Concept Characterization and Algorithm Analysis", ICML workshop
    on meta-learning 1999 (concept variation), as pymfe computes it with alpha 2; proposed as a transferability metric
    by Singh, Hess and Vanschoren, "Occam's Model", 2025.
    """
    if not 0 < alpha < np.inf:
        raise InputError(f"alpha={alpha} of concept_variance must be positive")
    centred = centred_features(features, labels)
    codes, _ = encode_labels(labels)
    width = centred.max(axis=0) - centred.min(axis=0)
    scaled = centred / np.where(width > 0, width, 1.0)
    scaled -= scaled.mean(axis=0)
    corner = np.sqrt(scaled.shape[1])
    total = 0.0
    for block, distances in distance_blocks(scaled):
        exponents = -alpha * distances / np.maximum(corner - distances, LEAST_GAP)
        own = np.arange(len(distances)), np.arange(block.start, block.stop)
        exponents[own] = -np.inf
        # Only ratios of weights within a row count; the largest is made 1 so that they cannot all vanish.
        weights = np.exp2(exponents - exponents.max(axis=1, keepdims=True))
        differ = codes[block, None] != codes
        total += float(((weights * differ).sum(axis=1) / weights.sum(axis=1)).sum())
    return max(0.0 - total / len(codes), -1.0)


@dataclass(frozen=True)
class ConceptVariance:
    """`concept_variance` as a metric.

    Attributes
    ----------
    alpha
        How fast weights fall with distance, positive.
    """

    name: ClassVar[str] = "concept_variance"
    source: ClassVar[str] = "Singh, Hess and Vanschoren, 2025, after Vilalta, 1999"
    lower: ClassVar[float] = -1.0
    upper: ClassVar[float] = 0.0
    inputs: ClassVar[tuple[str, ...]] = ("features", "labels")
    invariances: ClassVar[tuple[str, ...]] = ("translation", "scaling")

    alpha: float = 2.0

    def __call__(self, features: np.ndarray, labels: np.ndarray) -> float:
        """Return `concept_variance` of features (N, D) and labels (N,)."""
        return concept_variance(features, labels, self.alpha)
