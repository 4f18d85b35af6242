"""SFDA: posterior of the true class under a Fisher discriminant of self-challenged features, in three versions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.special import softmax

from transfer_exp.errors import InputError, check_options, check_types
from transfer_exp.metric.metric import FormulaMetric
from transfer_exp.statistics.class_statistics import block_rows, centre_block, statistics_and_deviations
from transfer_exp.statistics.discriminant import (
    LEAST,
    adaptive_shrinkage,
    discriminant_scores,
    ledoit_wolf_shrinkage,
    true_log_posterior,
)
from transfer_exp.statistics.feature_set import Features, Labels
from transfer_exp.statistics.memory import check_memory


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
    """SFDA: log posterior of the true class under a Fisher discriminant of self-challenged features."""

    name = "sfda"
    source = "Shao et al., ECCV 2022"
    formula = staticmethod(sfda)
    upper = 0.0
    invariances = ("translation",)


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
    """De-biased SFDA: posterior of the true class under SFDA's discriminant, each sample left out of its class mean."""

    name = "debiased_sfda"
    source = "TE-Bench (alizkzm/te-guide), after Shao et al., ECCV 2022"
    formula = staticmethod(debiased_sfda)
    lower = 0.0
    upper = 1.0

    shrinkage: str = "adaptive"

    def __post_init__(self) -> None:
        check_types("metric", self)
        check_options(
            "metric", self, {"shrinkage": (self.shrinkage in ("adaptive", "ledoit_wolf"), "adaptive or ledoit_wolf")}
        )

    @property
    def invariances(self) -> tuple[str, ...]:
        """Maps of the features that leave the score unchanged; only the adaptive shrinkage depends on their scale."""
        return ("translation", *(("rotation", "scaling") if self.shrinkage == "ledoit_wolf" else ()))


def sfda_released(features: Features, labels: Labels) -> float:
    """Compute the mean posterior of the true class under a Fisher discriminant of features mixed over classes.

    1. Fit Gaussian classes that share the covariance (1 - l) W + l tr(W)/D I, with the pooled within-class covariance
       W and l = max(exp(-5 lambda_max(W)), 1e-10). Let p(x) be the softmax of the posteriors at the true class: the
       released code applies a softmax to probabilities.
    2. Self-challenge (ConfMix): x' = p(x) x + (1 - p(x)) m_c, where m_c averages the means of the other classes.
    3. Fit again on x' with the same l, and average the posterior of the true class over x'.

    All published tables of SFDA used this score. `sfda` takes the logarithm, as the paper states.

    Args:
        features, labels: (N, D); (N,) integers, at least two classes. With N < D the score is often exactly 1.

    Returns:
        Probability in [0, 1]. The scale of the features matters through l. Their basis matters slightly: lambda_max
        is estimated by a few power steps from a fixed vector.

    Raises:
        InputError: If no sample differs from its class mean, or W is too ill-conditioned to invert.

    References:
        Shao et al., "Not All Models Are Equal", ECCV 2022, section 3, as in the authors' code: without removing
        dimensions of the Fisher space or taking the log of the posterior; lambda_max as in `adaptive_shrinkage`.
    """
    return float(np.exp(log_posterior_after_mixing(features, labels)).mean())


def log_posterior_after_mixing(
    features: Features, labels: Labels, shrinkage: str = "adaptive", leave_one_out: bool = False
) -> Float[np.ndarray, " samples"]:
    """Return ln p of the true class of every sample after step 3 of `sfda_released`, (N,).

    The values are sorted by class, not in the order of the samples.

    Args:
        features, labels: Arguments of `sfda_released`.
        shrinkage: ``adaptive``, which is the l of `sfda_released`, or ``ledoit_wolf``.
        leave_one_out: Whether a sample's posterior, in both fits, comes from class means without that sample.
    """
    # At its peak it holds between eight and nine arrays of a number per sample and class.
    check_memory("sfda", 8.5 * len(labels) * len(np.unique(labels)))
    statistics, codes, deviations = statistics_and_deviations(features, labels)
    counts, means = statistics.counts, statistics.offsets  # class means minus the mean of all samples
    if shrinkage == "ledoit_wolf":
        weight = max(ledoit_wolf_shrinkage(deviations, float((statistics.within**2).sum())), LEAST)
    else:
        weight = adaptive_shrinkage(statistics)
    posterior = softmax(discriminant_scores(deviations, codes, means, statistics.within, weight, leave_one_out), axis=1)
    confidence = softmax(posterior, axis=1)[np.arange(len(codes)), codes]
    # ConfMix in place, class by class: deviations become those of x' from its class mean, and mixed_means these means.
    mixed_means = (means.sum(axis=0) - means) / (len(counts) - 1)
    for c, rows in enumerate(block_rows(counts)):
        block, share = deviations[rows], confidence[rows, None]
        block *= share
        block += share * (means[c] - mixed_means[c])
        mixed_means[c] += centre_block(block)
    mixed_means -= counts @ mixed_means / counts.sum()
    within = deviations.T @ deviations
    return true_log_posterior(discriminant_scores(deviations, codes, mixed_means, within, weight, leave_one_out), codes)


@dataclass(frozen=True)
class SFDAReleased(FormulaMetric):
    """SFDA as its authors' code computes it: mean posterior of the true class, without the logarithm of the paper."""

    name = "sfda_released"
    source = "released code of Shao et al., ECCV 2022"
    formula = staticmethod(sfda_released)
    lower = 0.0
    upper = 1.0
    invariances = ("translation",)
