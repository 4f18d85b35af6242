"""NCE: negative conditional entropy of the target class given the predicted source class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy
from jaxtyping import Float

from transfer_exp.metric.metric import FormulaMetric
from transfer_exp.statistics.feature_set import Labels, check_source_probabilities, encode_labels


def nce(source_probabilities: Float[np.ndarray, "samples source_classes"], labels: Labels) -> float:
    """Compute the negative conditional entropy -H(Y | Z) = sum_{y, z} P(y, z) ln(P(y, z) / P(z)).

    Z is the most probable source class of each sample, on a tie that with the lowest index. P(y, z) and P(z) are the
    shares of the N samples.

    Args:
        source_probabilities: (N, S): non-negative rows that sum to 1 (within 0.01).
        labels: Y, (N,), integers, at least two classes.

    Returns:
        Value in nats, in [-ln C, 0] for C classes; 0 if the source class determines the label.

    References:
        Tran, Nguyen, Hassner, "Transferability and Hardness of Supervised Classification Tasks", ICCV 2019: the
        empirical conditional entropy with the opposite sign.
    """
    predicted = check_source_probabilities(source_probabilities, labels).argmax(axis=1)
    codes, _ = encode_labels(labels)
    _, source_counts = encode_labels(predicted)
    _, pair_counts = np.unique(np.stack([codes, predicted]), axis=1, return_counts=True)
    joint_entropy, source_entropy = scipy.stats.entropy(pair_counts), scipy.stats.entropy(source_counts)
    return min(float(source_entropy - joint_entropy), 0.0)


@dataclass(frozen=True)
class NCE(FormulaMetric):
    """`nce` as a metric, without hyperparameters."""

    name = "nce"
    source = "Tran, Nguyen and Hassner, ICCV 2019"
    formula = staticmethod(nce)
    upper = 0.0
    inputs = ("source_probabilities", "labels")
    invariances = ("source_permutation",)
