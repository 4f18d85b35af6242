"""De-biased LogME: LogME with the effective number of parameters instead of the dimension."""

from __future__ import annotations

from dataclasses import dataclass

from transfer_exp.metric.logme import logme
from transfer_exp.metric.metric import FormulaMetric
from transfer_exp.statistics.class_statistics import ClassStatistics


def debiased_logme(statistics: ClassStatistics) -> float:
    """Compute `logme` with the effective number of parameters g = sum_k s_k^2 / (s_k^2 + alpha / beta) for D.

    In the evidence, a direction with s_k near zero adds 1/2 ln alpha through D and takes it away through
    1/2 ln(alpha + beta s_k^2). Here only the second remains, so such a direction lowers the score wherever alpha > 1.
    This holds for all min(N, D) singular values, those that are zero included, as in the reference.

    Args:
        statistics: Statistics of features X (N, D), not centred, and labels.

    Returns:
        Unbounded; in practice between -2 and 2.

    Raises:
        InputError: If every feature is zero.

    References:
        alizkzm/te-guide (TE-Bench), its refined LogME, which it calls a hypothesis; no publication is known.
    """
    return logme(statistics, effective_dimension=True)


@dataclass(frozen=True)
class DebiasedLogME(FormulaMetric):
    """`debiased_logme` as a metric, without hyperparameters."""

    name = "debiased_logme"
    source = "TE-Bench (alizkzm/te-guide), after You et al., ICML 2021"
    formula = staticmethod(debiased_logme)
    inputs = ("class_statistics",)
    invariances = ("rotation",)
