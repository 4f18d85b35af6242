"""SFDA: log posterior of the true class under a Fisher discriminant of self-challenged features."""

from __future__ import annotations

from dataclasses import dataclass

from transfer_exp.metric.metric import FormulaMetric
from transfer_exp.metric.sfda_released import log_posterior_after_mixing
from transfer_exp.statistics.feature_set import Features, Labels


def sfda(features: Features, labels: Labels) -> float:
    """Compute the mean log posterior of the true class under a Fisher discriminant of self-challenged features.

    Steps 1 to 3 are those of `sfda_released`; only the logarithm differs. If most posteriors are near 1, their mean is
    1 for every model and ranks nothing, but their logarithms still differ.

    The paper states the shrinkage in three ways that exclude each other (equation 3, the text after it, algorithm 1).
    This is equation 3 as in the authors' code, with the covariance instead of the scatter.

    Args:
        features, labels: (N, D); (N,) integers, at least two classes. With N < D the score is often 0 for all models.

    Returns:
        Value in nats, at most 0. Depends on the scale of the features through the shrinkage.

    Raises:
        InputError: If no sample differs from its class mean, or W is too ill-conditioned to invert.

    References:
        Shao et al., "Not All Models Are Equal", ECCV 2022, equations 1, 2 and 5 to 7.
    """
    return float(log_posterior_after_mixing(features, labels).mean())


@dataclass(frozen=True)
class SFDA(FormulaMetric):
    """`sfda` as a metric, with the constants of the authors' code and without hyperparameters."""

    name = "sfda"
    source = "Shao et al., ECCV 2022"
    formula = staticmethod(sfda)
    upper = 0.0
    invariances = ("translation",)
