"""H-score: variation between the classes, relative to the covariance of the features."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import lapack, solve_triangular

from transfer_exp.metric import targets as targets_metrics
from transfer_exp.metric.metric import FormulaMetric
from transfer_exp.metric.spectrum import label_spectrum_and_coordinates
from transfer_exp.statistics.class_statistics import ClassStatistics

WELL_CONDITIONED = 1e-8
"""Reciprocal condition number (1-norm) above which no eigenvalue is near rounding, for D up to about 10,000."""


def h_score(statistics: ClassStatistics) -> float:
    """Compute tr(cov(f)^+ cov(E[f | y])), the expected squared norm of the whitened class means.

    With X = U diag(s) V' the centred features and Y the one-hot labels, each column divided by sqrt(n_c), this equals
    |U'Y|^2 (Frobenius), which needs no inverse. The pseudo-inverse ignores rounding errors (see `metric.spectrum`).

    Args:
        statistics: Statistics of features (N, D) and labels. With D >= N - 1 independent directions the score is C - 1
            for any labels, so it ranks nothing.

    Returns:
        Value in [0, min(D, N - 1, C - 1)]; 0 for constant features. Unchanged by any invertible affine map.

    References:
        Bao et al., "An Information-Theoretic Approach to Transferability in Task Transfer Learning", ICIP 2019,
        definition 2.
    """
    if statistics.few_samples is None:
        score = _by_cholesky(statistics)
        if score is not None:
            return score
    _, coordinates = label_spectrum_and_coordinates(statistics, centred=True)
    return float((coordinates**2 / statistics.counts).sum())


def _by_cholesky(statistics: ClassStatistics) -> float | None:
    """Return the score by a Cholesky factorisation of T = X'X, or None if T is too close to singular.

    If all eigenvalues of T are far above rounding, the pseudo-inverse is the inverse and no eigenvectors are needed.
    """
    total = statistics.smaller_gram()
    norm = np.abs(total).sum(axis=0).max()
    factor, failed = lapack.dpotrf(total, lower=True)
    if failed or lapack.dpocon(factor, norm, uplo="L")[0] < WELL_CONDITIONED:
        return None
    weighted = np.sqrt(statistics.counts)[:, None] * statistics.offsets
    whitened = solve_triangular(factor, weighted.T, lower=True, check_finite=False)
    return float((whitened**2).sum())


@dataclass(frozen=True)
class HScore(FormulaMetric):
    """`h_score` as a metric, without hyperparameters."""

    name = "h_score"
    source = "Bao et al., ICIP 2019"
    formula = staticmethod(h_score)
    lower = 0.0
    inputs = ("class_statistics",)
    invariances = ("rotation", "translation", "scaling", "affine")
    multi_label_formula = staticmethod(targets_metrics.h_score)
    regression_formula = staticmethod(targets_metrics.h_score)
