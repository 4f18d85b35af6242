"""LDA: how surely a linear discriminant analysis, fitted on the features, tells each sample's class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Int, Real
from scipy.special import softmax

from transfer_exp.errors import InputError
from transfer_exp.statistics.class_statistics import statistics_and_deviations
from transfer_exp.statistics.discriminant import block_scores, mean_true_posterior


def lda(
    features: Real[np.ndarray, "samples dim"], labels: Int[np.ndarray, " samples"], shrinkage: float = 0.5
) -> float:
    """Return the mean posterior of the true class under Gaussian classes N(mu_c, S) with priors n_c / N.

    S = (1 - shrinkage) W + shrinkage tr(W)/D I, W the pooled within-class covariance (divided by N). This is
    linear discriminant analysis proper; the metric released under that name is `ncm`.

    Parameters
    ----------
    features
        (N, D).
    labels
        (N,), integers, at least two classes.
    shrinkage
        In [0, 1]. 0 is invariant to any affine map but needs N - C >= D; 1 ignores correlations. With N < D a
        small value lets every posterior reach 1, and the ranking is gone, hence the default of one half.

    Returns
    -------
    float
        In [0, 1]. Fitted and read on the same samples, so it grows with D.

    Raises
    ------
    InputError
        As `check_features`; when ``shrinkage`` is out of range or too small, or no sample differs from its
        class mean.

    References
    ----------
    Fisher, Annals of Eugenics 1936; Friedman, "Regularized Discriminant Analysis", JASA 1989, eq. 18 (with
    the covariance common to all classes).
    """
    _check(shrinkage)
    statistics, codes, deviations = statistics_and_deviations(features, labels)
    scores = block_scores(deviations, codes, statistics.offsets, statistics.within, shrinkage)
    return mean_true_posterior(softmax(scores, axis=1), codes)


def _check(shrinkage: float) -> None:
    """Refuse a hyperparameter out of range."""
    if not 0 <= shrinkage <= 1:
        raise InputError(f"shrinkage={shrinkage} of lda must lie in [0, 1]")


@dataclass(frozen=True)
class LDA:
    """`lda` as a metric.

    Attributes
    ----------
    shrinkage
        Of the within-class covariance towards a multiple of the identity, in [0, 1].
    """

    name: ClassVar[str] = "lda"
    source: ClassVar[str] = "Fisher, Annals of Eugenics 1936; shrinkage of Friedman, JASA 1989"
    lower: ClassVar[float] = 0.0
    upper: ClassVar[float] = 1.0
    inputs: ClassVar[tuple[str, ...]] = ("features", "labels")
    invariances: ClassVar[tuple[str, ...]] = ("rotation", "translation", "scaling")

    shrinkage: float = 0.5

    def __call__(self, features: np.ndarray, labels: np.ndarray) -> float:
        """Return `lda` of features (N, D) and labels (N,)."""
        return lda(features, labels, self.shrinkage)
