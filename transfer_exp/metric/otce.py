"""OTCE: entropy of the target class given the source class that optimal transport couples it with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int, Real
from scipy.optimize import linear_sum_assignment, linprog
from scipy.sparse import eye_array, kron, vstack
from scipy.spatial.distance import cdist
from scipy.special import rel_entr

from transfer_exp.errors import InputError, NotApplicableError, check_options, check_types
from transfer_exp.metric.metric import Metric
from transfer_exp.statistics.class_statistics import class_sums
from transfer_exp.statistics.feature_set import (
    Features,
    FeatureSet,
    Labels,
    check_features,
    check_unlabelled,
    encode_labels,
)

STEPS = 500
"""Sinkhorn steps, as in the reference."""


def otce(
    features: Features,
    labels: Labels,
    source_features: Real[np.ndarray, "source dim"],
    source_labels: Int[np.ndarray, " source"],
    regularisation: float = 0.05,
) -> float:
    """Compute -H(Y | Z), the conditional entropy of target class Y and source class Z under a transport plan.

    The plan P couples source and target samples, each with equal mass, at the smallest total Euclidean distance.
    J(z, y) is the mass between samples of source class z and target class y, and the score is
    sum_zy J(z, y) ln(J(z, y) / J(z)).

    Args:
        features, labels: Features (N, D) and labels (N,) of the target, at least two classes.
        source_features, source_labels: (n, D) and (n,); the labels can be those that the model's own head predicts.
        regularisation: Weight of the plan's entropy, as a fraction of the mean distance, for 500 Sinkhorn steps. 0: the
            exact plan, by linear programming, which takes seconds for some hundred samples a side (less if n = N).

    Returns:
        Value in nats, in [-ln C, 0].

    Raises:
        InputError: If the option is negative or too small, or the widths of the features differ.

    References:
        Tan, Li, Huang, "OTCE", CVPR 2021, without auxiliary tasks, as in alizkzm/te-guide: the exact plan, or Sinkhorn
        steps where its solver is missing. The paper uses entropic transport of squared distances, and fits weights of
        this entropy and of the transport cost on auxiliary tasks.
    """
    if not 0 <= regularisation < np.inf:
        raise InputError(f"regularisation={regularisation} of otce must be at least 0 (0 is the exact plan)")
    features, source_features = check_features(features, labels), check_unlabelled(source_features)
    if features.shape[1] != source_features.shape[1]:
        raise InputError(
            f"features have {features.shape[1]} dimensions, and source features {source_features.shape[1]}"
        )
    distances = cdist(source_features, features)
    plan = _sinkhorn(distances, regularisation) if regularisation > 0 else _exact(distances)
    (codes, counts), (source_codes, source_counts) = encode_labels(labels), encode_labels(source_labels)
    joint = class_sums(class_sums(plan, source_codes, len(source_counts)).T, codes, len(counts)).T
    joint /= joint.sum()
    return min(float(rel_entr(joint, joint.sum(axis=1, keepdims=True)).sum()), 0.0)


def _exact(distances: Float[np.ndarray, "source samples"]) -> Float[np.ndarray, "source samples"]:
    """Return a plan of the smallest cost between samples of equal mass."""
    sources, samples = distances.shape
    if sources == samples:
        plan = np.zeros(distances.shape)
        plan[linear_sum_assignment(distances)] = 1 / samples
        return plan
    rows = kron(eye_array(sources), np.ones((1, samples)))
    columns = kron(np.ones((1, sources)), eye_array(samples))
    masses = np.concatenate([np.full(sources, 1 / sources), np.full(samples, 1 / samples)])
    constraints: Any = vstack([rows, columns])  # The stubs of SciPy know no sparse constraints.
    result = linprog(distances.ravel(), A_eq=constraints, b_eq=masses, method="highs")
    if not result.success:
        raise InputError(f"otce found no transport plan ({result.message}): set metric.regularisation=0.05")
    return np.asarray(result.x).reshape(distances.shape)


def _sinkhorn(distances: Float[np.ndarray, "source samples"], fraction: float) -> Float[np.ndarray, "source samples"]:
    """Return the entropic plan after `STEPS` steps; the last step gives every target sample its exact mass."""
    scale = fraction * distances.mean()
    if scale == 0:
        return np.full(distances.shape, 1 / distances.size)
    # The smallest distances are taken out of the kernel, so that it does not vanish for distant samples.
    costs = distances - distances.min(axis=1, keepdims=True)
    nearest = costs.min(axis=0)
    kernel = np.exp(-(costs - nearest) / scale)
    right = np.exp(-nearest / scale)
    sources, samples = kernel.shape
    with np.errstate(all="ignore"):
        for _ in range(STEPS):
            left = 1 / sources / (kernel @ right)
            right = 1 / samples / (left @ kernel)
        plan = left[:, None] * kernel * right
    if not np.isfinite(plan).all():
        raise InputError(f"regularisation={fraction} of otce is too small for these distances: raise it")
    return plan


@dataclass(frozen=True)
class OTCE(Metric):
    """`otce` as a metric, with the source classes that the model's head predicts. The fields are its options."""

    name = "otce"
    source = "Tan, Li and Huang, CVPR 2021, without auxiliary tasks, as in TE-Bench (alizkzm/te-guide)"
    upper = 0.0
    inputs = ("features", "labels", "source_set")

    regularisation: float = 0.05

    def __post_init__(self) -> None:
        check_types("metric", self)
        is_allowed = 0 <= self.regularisation < np.inf
        check_options("metric", self, {"regularisation": (is_allowed, "a finite number, at least 0 (the exact plan)")})

    def __call__(self, features: np.ndarray, labels: np.ndarray, source_set: FeatureSet) -> float:
        """Return `otce` of features (N, D), labels (N,) and source images.

        Raises:
            NotApplicableError: If the model has no head to predict source classes.
        """
        if source_set.source_probabilities is None:
            raise NotApplicableError("no source probabilities: the model has no head")
        predicted = source_set.source_probabilities.argmax(axis=1)
        return otce(features, labels, source_set.features, predicted, self.regularisation)
