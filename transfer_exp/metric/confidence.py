"""Confidence: certainty of the model's own head on the target images, without labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float
from scipy.special import xlogy

from transfer_exp.statistics.feature_set import check_probabilities


def negative_entropy(
    source_probabilities: Float[np.ndarray, "samples source_classes"], normalised: bool = False
) -> float:
    """Compute the mean over samples of sum_z p_z ln p_z.

    Args:
        source_probabilities: p, (N, S), rows that sum to 1.
        normalised: True to divide by ln S, so that heads with different numbers of classes are comparable.

    Returns:
        Value in [-ln S, 0], or [-1, 0] if normalised; 0 for a head that is certain, or has one class.

    References:
        Entropy as in alizkzm/te-guide (TE-Bench), which adds 1e-12 inside the logarithm.
    """
    probabilities = check_probabilities(source_probabilities)
    entropy = float(xlogy(probabilities, probabilities).sum(axis=1).mean())
    classes = probabilities.shape[1]
    return min(entropy / np.log(classes), 0.0) if normalised and classes > 1 else min(entropy, 0.0)


def max_softmax(source_probabilities: Float[np.ndarray, "samples source_classes"]) -> float:
    """Compute the mean over samples of max_z p_z, in [1/S, 1], of source probabilities p (N, S).

    References:
        Hendrycks and Gimpel, "A Baseline for Detecting Misclassified and Out-of-Distribution Examples", ICLR 2017.
    """
    return float(check_probabilities(source_probabilities).max(axis=1).mean())


@dataclass(frozen=True)
class Entropy:
    """`entropy`: negative entropy of the source classes that the model's head predicts, without labels."""

    name: ClassVar[str] = "entropy"
    source: ClassVar[str] = "baseline of TE-Bench (alizkzm/te-guide)"
    lower: ClassVar[float] = -np.inf
    upper: ClassVar[float] = 0.0
    inputs: ClassVar[tuple[str, ...]] = ("source_probabilities",)
    invariances: ClassVar[tuple[str, ...]] = ("source_permutation",)

    normalised: bool = False

    def __call__(self, source_probabilities: np.ndarray) -> float:
        """Return `negative_entropy` of source probabilities (N, S)."""
        return negative_entropy(source_probabilities, self.normalised)


@dataclass(frozen=True)
class MaxSoftmax:
    """`max_softmax`: largest probability of a source class that the model's head predicts, without labels."""

    name: ClassVar[str] = "max_softmax"
    source: ClassVar[str] = "Hendrycks and Gimpel, ICLR 2017"
    lower: ClassVar[float] = 0.0
    upper: ClassVar[float] = 1.0
    inputs: ClassVar[tuple[str, ...]] = ("source_probabilities",)
    invariances: ClassVar[tuple[str, ...]] = ("source_permutation",)

    def __call__(self, source_probabilities: np.ndarray) -> float:
        """Return `max_softmax` of source probabilities (N, S)."""
        return max_softmax(source_probabilities)
