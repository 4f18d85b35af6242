"""LFC: correlation of inner products of features with agreement of labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from transfer_exp.errors import InputError
from transfer_exp.metric import targets as targets_metrics
from transfer_exp.metric.metric import FormulaMetric
from transfer_exp.statistics.class_statistics import ClassStatistics


def lfc(statistics: ClassStatistics) -> float:
    """Compute Pearson's correlation, over all N^2 entries, of XX' with the label matrix (1 same class, -1 not).

    X holds the features (N, D).

    With mean m and x_i = m + z_i, an entry of XX' minus their mean |m|^2 is a_i + a_j + z_i'z_j, where a_i = m'z_i. The
    squares of these entries sum to 2N |a|^2 + |Z'Z|^2. The entries within classes sum to sum_c (2 n_c m's_c + |s_c|^2),
    with the sum s_c of z over class c. |m|^2 is never subtracted, so features far from zero lose no precision.

    Args:
        statistics: Statistics of the features as they are, and their labels. A shift of X changes the score.

    Returns:
        Correlation in [-1, 1].

    Raises:
        InputError: If every feature is constant.

    References:
        Deshpande et al., "A Linearized Framework and a New Benchmark for Model Selection for Fine-Tuning", 2021, label-
        feature correlation: the cosine, with Frobenius norms, of the two matrices minus the means of their entries.
        Some ports divide by spectral norms instead; their score can exceed 1.
    """
    counts, mean, n_samples = statistics.counts, statistics.mean, statistics.samples
    sums = counts[:, None] * statistics.offsets
    norm = np.hypot(np.sqrt(2 * n_samples) * _norm_along(mean, statistics), np.linalg.norm(statistics.smaller_gram()))
    if norm == 0:
        raise InputError("every feature is constant, so lfc is undefined: check the layer that the features come from")
    same_class_share = ((counts / n_samples) ** 2).sum()  # of the N^2 pairs
    # Of the matrix with 1 and 0, whose correlation is that of the matrix with 1 and -1.
    label_norm = n_samples * np.sqrt(same_class_share * (1 - same_class_share))
    within = (2 * counts * (sums @ mean) + (sums**2).sum(axis=1)).sum()
    return float(np.clip(within / norm / label_norm, -1.0, 1.0))


def _norm_along(direction: Float[np.ndarray, " dim"], statistics: ClassStatistics) -> float:
    """Return the norm of Z ``direction``, with the centred features Z (N, D)."""
    between = statistics.counts @ (statistics.offsets @ direction) ** 2
    if statistics.few_samples is not None:
        within = ((statistics.few_samples.deviations() @ direction) ** 2).sum()
    else:
        within = direction @ statistics.within @ direction
    return float(np.sqrt(within + between))


@dataclass(frozen=True)
class LFC(FormulaMetric):
    """`lfc` as a metric, without hyperparameters."""

    name = "lfc"
    source = "Deshpande et al., arXiv 2021"
    formula = staticmethod(lfc)
    lower = -1.0
    upper = 1.0
    inputs = ("class_statistics",)
    invariances = ("rotation", "scaling")
    multi_label_formula = staticmethod(targets_metrics.lfc)
