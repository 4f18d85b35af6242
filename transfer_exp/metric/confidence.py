"""Confidence: certainty of the model's own head on the target images, without labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.special import logsumexp, xlogy

from transfer_exp.errors import InputError, NotApplicableError, check_options, check_types
from transfer_exp.metric.metric import FormulaMetric, Metric, ModelWeights
from transfer_exp.statistics.feature_set import FeatureSet, check_probabilities, check_unlabelled

CONFIDENCES = {"entropy": lambda p: xlogy(p, p).sum(axis=1), "max_softmax": lambda p: p.max(axis=1)}
"""Confidence of each row of probabilities (N, S), by the name that `atc` takes."""


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


def free_energy(logits: Float[np.ndarray, "samples source_classes"]) -> float:
    """Compute the mean over samples of ln sum_z exp(logit_z), in nats, of source logits (N, S).

    References:
        Liu et al., "Energy-based Out-of-distribution Detection", NeurIPS 2020, negated; as in alizkzm/te-guide.
    """
    return float(logsumexp(check_unlabelled(logits), axis=1).mean())


def atc(
    source_probabilities: Float[np.ndarray, "samples source_classes"],
    source_set_probabilities: Float[np.ndarray, "source_samples source_classes"],
    source_accuracy: float,
    score: str = "entropy",
) -> float:
    """Compute the share of target samples whose confidence reaches a threshold learnt on source samples.

    The threshold lies above as large a share of the source samples' confidences as the head classifies wrongly there.

    Args:
        source_probabilities: Probabilities of the target samples, (N, S).
        source_set_probabilities: Probabilities of source samples, (n, S).
        source_accuracy: Accuracy of the head on source samples, in [0, 1].
        score: Confidence of a sample: ``"entropy"``, the negative entropy, or ``"max_softmax"``.

    Returns:
        Estimate in [0, 1] of the head's accuracy on the target, as if target and source had the same classes.

    Raises:
        InputError: If ``score`` is unknown, or ``source_accuracy`` is not in [0, 1].

    References:
        Garg et al., "Leveraging Unlabeled Data to Predict Out-of-Distribution Performance", ICLR 2022.
    """
    if score not in CONFIDENCES:
        raise InputError(f"score={score} of atc must be entropy or max_softmax")
    if not 0 <= source_accuracy <= 1:
        raise InputError(f"source_accuracy={source_accuracy} of atc must be in [0, 1]")
    source = CONFIDENCES[score](check_probabilities(source_set_probabilities))
    threshold = np.quantile(source, 1 - source_accuracy)
    return float((CONFIDENCES[score](check_probabilities(source_probabilities)) >= threshold).mean())


@dataclass(frozen=True)
class Entropy(FormulaMetric):
    """`entropy`: negative entropy of the source classes that the model's head predicts, without labels."""

    name = "entropy"
    source = "baseline of TE-Bench (alizkzm/te-guide)"
    formula = staticmethod(negative_entropy)
    upper = 0.0
    inputs = ("source_probabilities",)
    invariances = ("source_permutation",)

    normalised: bool = False

    def __post_init__(self) -> None:
        check_types("metric", self)


@dataclass(frozen=True)
class MaxSoftmax(FormulaMetric):
    """`max_softmax`: largest probability of a source class that the model's head predicts, without labels."""

    name = "max_softmax"
    source = "Hendrycks and Gimpel, ICLR 2017"
    formula = staticmethod(max_softmax)
    lower = 0.0
    upper = 1.0
    inputs = ("source_probabilities",)
    invariances = ("source_permutation",)


@dataclass(frozen=True)
class FreeEnergy(Metric):
    """`free_energy`: log-sum-exp of the logits of the model's linear head, without labels."""

    name = "free_energy"
    source = "Liu et al., NeurIPS 2020, as in TE-Bench (alizkzm/te-guide)"
    inputs = ("features", "source_probabilities", "weights")

    def __call__(self, features: np.ndarray, source_probabilities: np.ndarray, weights: ModelWeights) -> float:
        """Return `free_energy` of the head's logits of features (N, D); errors are those of `ModelWeights.logits`."""
        return free_energy(weights.logits(features, source_probabilities))


@dataclass(frozen=True)
class ATC(Metric):
    """`atc`: share of images as confident as correctly classified source images, without labels."""

    name = "atc"
    source = "Garg et al., ICLR 2022"
    lower = 0.0
    upper = 1.0
    inputs = ("source_probabilities", "source_set")
    invariances = ("source_permutation",)

    score: str = "entropy"

    def __post_init__(self) -> None:
        check_types("metric", self)
        check_options("metric", self, {"score": (self.score in CONFIDENCES, "entropy or max_softmax")})

    def __call__(self, source_probabilities: np.ndarray, source_set: FeatureSet) -> float:
        """Return `atc` of source probabilities (N, S), with the accuracy of the head on the source images.

        Raises:
            NotApplicableError: If the model has no head.
        """
        probabilities = source_set.source_probabilities
        if probabilities is None:
            raise NotApplicableError("no source probabilities: the model has no head")
        accuracy = float((probabilities.argmax(axis=1) == source_set.labels).mean())
        return atc(source_probabilities, probabilities, accuracy, self.score)
