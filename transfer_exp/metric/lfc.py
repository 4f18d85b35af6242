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

    With mean m and x_i = m + z_i, an entry of XX' minus their mean |m|^2 is a_i + a_j + z_i'z_j, where a_i = m'z_i. The
    squares of these sum to 2N |a|^2 + |Z'Z|^2. Their sum within classes is sum_c (2 n_c m's_c + |s_c|^2), with the sum
    s_c of z over class c. Therefore nothing cancels, however far the features are from zero.

    Args:
        statistics: Statistics of features X (N, D), not centred, and their labels. A shift of X changes the score.

    Returns:
        Correlation in [-1, 1].

    Raises:
        InputError: If every feature is constant.

    References:
        Deshpande et al., "A Linearized Framework and a New Benchmark for Model Selection for Fine-Tuning", 2021, label-
        feature correlation: a cosine, hence Frobenius norms, of matrices minus their mean. Some ports divide by
        spectral norms instead, which gives no bound.
    """
    counts, mean, samples = statistics.counts, statistics.mean, statistics.samples
    sums = counts[:, None] * statistics.offsets
    norm = np.hypot(np.sqrt(2 * samples) * _norm_along(mean, statistics), np.linalg.norm(statistics.smaller_gram()))
    if norm == 0:
        raise InputError("every feature is constant, so lfc is undefined: check the model's last layer")
    share = ((counts / samples) ** 2).sum()
    label_norm = samples * np.sqrt(share * (1 - share))
    within = (2 * counts * (sums @ mean) + (sums**2).sum(axis=1)).sum()
    return float(np.clip(within / norm / label_norm, -1.0, 1.0))


def _norm_along(direction: Float[np.ndarray, " dim"], statistics: ClassStatistics) -> float:
    """Return the norm of the products z'``direction`` of all samples, with the centred features z."""
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
