"""LDA: posterior of the true class under a linear discriminant analysis of the features."""

from __future__ import annotations

from dataclasses import dataclass

from scipy.special import softmax

from transfer_exp.errors import InputError, check_options, check_types
from transfer_exp.metric.metric import FormulaMetric
from transfer_exp.statistics.class_statistics import statistics_and_deviations
from transfer_exp.statistics.discriminant import discriminant_scores, mean_true_posterior
from transfer_exp.statistics.feature_set import Features, Labels


def lda(features: Features, labels: Labels, shrinkage: float = 0.5) -> float:
    """Compute the mean posterior of the true class under Gaussian classes N(mu_c, S) with priors n_c / N.

    S = (1 - shrinkage) W + shrinkage tr(W)/D I, with the pooled within-class covariance W (divided by N). This is
    linear discriminant analysis proper; the ``LDA`` in the code of ETran and of Spread-Attract is `ncm`.

    Args:
        features, labels: (N, D); (N,) integers, at least two classes.
        shrinkage: Shrinkage of W towards a multiple of the identity, in [0, 1]. At 0, invertible affine maps of the
            features leave the score unchanged, but N - C >= D is needed; 1 ignores correlations. With N < D and a small
            value, every posterior reaches 1 and the score ranks nothing, hence the default of one half.

    Returns:
        Probability in [0, 1]. The same samples are used to fit and to score, so it grows with D.

    Raises:
        InputError: If ``shrinkage`` is out of range or too small, or no sample differs from its class mean.

    References:
        Fisher, Annals of Eugenics 1936; Friedman, "Regularized Discriminant Analysis", JASA 1989, eq. 18.
    """
    if not 0 <= shrinkage <= 1:
        raise InputError(f"shrinkage={shrinkage} of lda must lie in [0, 1]")
    statistics, codes, centred = statistics_and_deviations(features, labels)  # each sample minus its class mean
    scores = discriminant_scores(centred, codes, statistics.offsets, statistics.within, shrinkage)
    return mean_true_posterior(softmax(scores, axis=1), codes)


@dataclass(frozen=True)
class LDA(FormulaMetric):
    """`lda` as a metric. The fields are its options."""

    name = "lda"
    source = "Fisher, Annals of Eugenics 1936; shrinkage of Friedman, JASA 1989"
    formula = staticmethod(lda)
    lower = 0.0
    upper = 1.0
    invariances = ("rotation", "translation", "scaling")

    shrinkage: float = 0.5

    def __post_init__(self) -> None:
        check_types("metric", self)
        check_options("metric", self, {"shrinkage": (0 <= self.shrinkage <= 1, "a number from 0 to 1")})
