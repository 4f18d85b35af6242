"""LEEP: likelihood of the target classes given the source classes that the model's head predicts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from transfer_exp.metric.metric import FormulaMetric
from transfer_exp.statistics.class_statistics import class_sums
from transfer_exp.statistics.feature_set import Labels, check_source_probabilities, encode_labels


def leep(source_probabilities: Float[np.ndarray, "samples source_classes"], labels: Labels) -> float:
    """Compute the mean over samples of ln sum_z P(y | z) theta(x)_z.

    theta(x) are the source probabilities and P(y | z) = sum_{i: y_i = y} theta(x_i)_z / sum_i theta(x_i)_z.

    Args:
        source_probabilities: theta, (N, S): non-negative rows that sum to 1 (within 0.01, then normalised exactly). A
            source class without mass on any sample is left out, because it adds nothing to any sum.
        labels: (N,), integers, at least two classes.

    Returns:
        Value in nats, at most 0 (each target class has its separate source classes). If the source is uninformative, it
        is -H(Y), the negative entropy of the labels: ln(1/C) for balanced classes.

    References:
        Nguyen et al., "LEEP", ICML 2020, eqs. 1 and 2.
    """
    theta = check_source_probabilities(source_probabilities, labels)
    codes, counts = encode_labels(labels)
    return float(np.log(expected_prediction(theta, codes, len(counts))).mean())


def expected_prediction(
    theta: Float[np.ndarray, "samples source_classes"], codes: Labels, classes: int
) -> Float[np.ndarray, " samples"]:
    """Return sum_z P(y | z) theta(x)_z at the true class y of every sample, in (0, 1], (N,)."""
    joint = class_sums(theta, codes, classes)
    mass = joint.sum(axis=0)
    conditional = np.divide(joint, mass, out=np.zeros_like(joint), where=mass > 0)
    return np.minimum(np.einsum("ns,ns->n", conditional[codes], theta), 1.0)


@dataclass(frozen=True)
class LEEP(FormulaMetric):
    """`leep` as a metric, without hyperparameters."""

    name = "leep"
    source = "Nguyen et al., ICML 2020"
    formula = staticmethod(leep)
    upper = 0.0
    inputs = ("source_probabilities", "labels")
    invariances = ("source_permutation",)
