"""CKA: similarity of the kernel of the features and the kernel of the labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from transfer_exp.errors import InputError
from transfer_exp.metric import targets as targets_metrics
from transfer_exp.metric.metric import FormulaMetric
from transfer_exp.statistics.class_statistics import ClassStatistics


def cka(statistics: ClassStatistics) -> float:
    """Compute the linear centred kernel alignment of features and one-hot labels.

    It is |X'Y|^2 / (|X'X| |Y'Y|), with centred features X, centred one-hot labels Y and Frobenius norms: the cosine of
    the centred kernels XX' and YY'. X'Y holds the class sums of X, and Y'Y = diag(n) - nn'/N
    with the class sizes n.

    Args:
        statistics: Statistics of features (N, D) and their labels.

    Returns:
        Value in [0, 1]; 1 for features that equal the one-hot labels up to rotation, shift and scale.

    Raises:
        InputError: If every feature is constant.

    References:
        Kornblith et al., "Similarity of Neural Network Representations Revisited", ICML 2019: CKA with a linear kernel.
        With one-hot labels it is the target alignment of Guo, "KITE", 2024, which is also
        divided by that of a random network there.
    """
    counts = statistics.counts
    feature_gram_norm = np.linalg.norm(statistics.smaller_gram())
    if feature_gram_norm == 0:
        raise InputError("every feature is constant, so cka is undefined: check the layer that the features come from")
    label_gram_norm = np.linalg.norm(np.diag(counts) - np.outer(counts, counts) / counts.sum())
    squared_cross_norm = ((counts[:, None] * statistics.offsets) ** 2).sum()
    return float(min(squared_cross_norm / feature_gram_norm / label_gram_norm, 1.0))


@dataclass(frozen=True)
class CKA(FormulaMetric):
    """`cka` as a metric, without hyperparameters."""

    name = "cka"
    source = "Kornblith et al., ICML 2019; with labels the target alignment of Guo, KITE, 2024"
    formula = staticmethod(cka)
    lower = 0.0
    upper = 1.0
    inputs = ("class_statistics",)
    invariances = ("rotation", "translation", "scaling")
    multi_label_formula = staticmethod(targets_metrics.cka)
    regression_formula = staticmethod(targets_metrics.cka)
