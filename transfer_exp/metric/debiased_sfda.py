"""De-biased SFDA: posterior of the true class under SFDA's discriminant, each sample left out of its class mean."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from transfer_exp.errors import InputError, check_options
from transfer_exp.metric.metric import FormulaMetric
from transfer_exp.metric.sfda_released import log_posterior_after_mixing
from transfer_exp.statistics.feature_set import Features, Labels


def debiased_sfda(features: Features, labels: Labels, shrinkage: str = "adaptive") -> float:
    """Compute the score of `sfda_released` with each sample's true class judged by its mean without the sample.

    Both fits leave the sample out of the mean of its class, but not out of the covariance or the prior. The only sample
    of a class is not left out.

    Args:
        features, labels: (N, D); (N,) integers, at least two classes.
        shrinkage: Shrinkage of the covariance. ``"adaptive"``: that of SFDA, with which the score still is 1 if N < D,
            because the covariance has been fitted to the sample. ``"ledoit_wolf"``: the estimate of Ledoit and Wolf.

    Returns:
        Probability in [0, 1].

    Raises:
        InputError: If ``shrinkage`` is unknown, no sample differs from its class mean, or the covariance is singular.

    References:
        alizkzm/te-guide (TE-Bench), its refined SFDA; no publication is known.
    """
    if shrinkage not in ("adaptive", "ledoit_wolf"):
        raise InputError(f"shrinkage={shrinkage} of debiased_sfda must be adaptive or ledoit_wolf")
    return float(np.exp(log_posterior_after_mixing(features, labels, shrinkage, leave_one_out=True)).mean())


@dataclass(frozen=True)
class DebiasedSFDA(FormulaMetric):
    """`debiased_sfda` as a metric. The fields are its options."""

    name = "debiased_sfda"
    source = "TE-Bench (alizkzm/te-guide), after Shao et al., ECCV 2022"
    formula = staticmethod(debiased_sfda)
    lower = 0.0
    upper = 1.0

    shrinkage: str = "adaptive"

    def __post_init__(self) -> None:
        check_options(
            "metric", self, {"shrinkage": (self.shrinkage in ("adaptive", "ledoit_wolf"), "adaptive or ledoit_wolf")}
        )

    @property
    def invariances(self) -> tuple[str, ...]:
        """Maps of the features that leave the score unchanged; only the adaptive shrinkage depends on their scale."""
        return ("translation", *(("rotation", "scaling") if self.shrinkage == "ledoit_wolf" else ()))
