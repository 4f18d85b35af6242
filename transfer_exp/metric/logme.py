"""LogME: evidence of the labels under a Bayesian linear model of the features, fitted to each class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from transfer_exp.errors import InputError
from transfer_exp.metric.metric import FormulaMetric
from transfer_exp.metric.spectrum import label_spectrum, spectrum
from transfer_exp.statistics.class_statistics import ClassStatistics
from transfer_exp.statistics.feature_set import Features, Targets, check_targets
from transfer_exp.statistics.rounding import deviations, scale_by_power_of_two

EPSILON, TOLERANCE, ITERATIONS = 1e-5, 1e-3, 11
"""Addend of denominators, change of alpha / beta to stop at, and most rounds in the authors' code."""


def logme(statistics: ClassStatistics, effective_dimension: bool = False) -> float:
    """Compute the maximum log evidence per sample of one-hot labels given features, averaged over classes.

    For one class with target y in {0, 1}^N, weights w ~ N(0, I / alpha) and noise of precision beta,

        L = D/2 ln alpha + N/2 ln beta - 1/2 sum_k ln(alpha + beta s_k^2) - beta/2 |y - Xw|^2 - alpha/2 |w|^2
            - N/2 ln(2 pi),

    with the posterior mean w. For each class, alpha and beta follow MacKay's fixed point and start at 1. The sum runs
    over the min(N, D) singular values s_k of X, as in the released code. With N < D it therefore leaves out
    -(D - N)/2 ln alpha of the exact evidence, which adds (D - N)/(2N) ln alpha to the score.

    Args:
        statistics: Statistics of features X (N, D), not centred, and labels. A shift of X changes the score.
        effective_dimension: True for `debiased_logme`: the effective number of parameters replaces D.

    Returns:
        Unbounded; in practice between -1 and 20.

    Raises:
        InputError: If every feature is zero, because the evidence is then unbounded in alpha.

    References:
        You, Liu, Wang, Long, "LogME", ICML 2021, eq. 2 and algorithm 1; fixed point and epsilon of You et al.,
        "Ranking and Tuning Pre-trained Models", JMLR 2022, their optimised fixed-point iteration.
    """
    eigenvalues, coordinates = label_spectrum(statistics, centred=False)
    if len(eigenvalues) == 0:
        raise InputError("every feature is zero, so LogME is undefined: check the model's last layer")
    norms = statistics.counts.astype(np.float64)  # The squared norm of a one-hot column is the size of its class.
    shape = (statistics.samples, len(statistics.mean))
    return float(log_evidence(eigenvalues, coordinates**2, norms, *shape, effective_dimension).mean())


def log_evidence(
    eigenvalues: Float[np.ndarray, " rank"],
    squares: Float[np.ndarray, "rank targets"],
    norms: Float[np.ndarray, " targets"],
    samples: int,
    dim: int,
    effective_dimension: bool = False,
) -> Float[np.ndarray, " targets"]:
    """Return L / N of `logme` at the fixed point of each target y, (T,), from s^2, (U'y)^2 and |y|^2.

    The fixed point iterates alpha = g / |w|^2 and beta = (N - g) / |y - Xw|^2, each target until it settles, with the
    effective number of parameters g.
    """
    eigenvalues, rank, targets = eigenvalues[:, None], len(eigenvalues), len(norms)
    outside = np.maximum(norms - squares.sum(axis=0), 0.0)
    alpha, beta = np.ones(targets), np.ones(targets)
    weight_norm, residual, dimension = np.zeros(targets), np.zeros(targets), np.full(targets, float(dim))
    is_active: Bool[np.ndarray, " targets"] = np.full(targets, True)
    for _ in range(ITERATIONS):
        ratio = alpha[is_active] / beta[is_active]
        shrinkage = ratio / (eigenvalues + ratio)
        parameters = (eigenvalues / (eigenvalues + ratio)).sum(axis=0)
        # N - parameters, summed without the cancellation that would make it zero if the features fit all labels.
        remaining = samples - rank + shrinkage.sum(axis=0)
        weight_norm[is_active] = (eigenvalues * squares[:, is_active] / (eigenvalues + ratio) ** 2).sum(axis=0)
        residual[is_active] = (squares[:, is_active] * shrinkage**2).sum(axis=0) + outside[is_active]
        alpha[is_active] = parameters / (weight_norm[is_active] + EPSILON)
        beta[is_active] = remaining / (residual[is_active] + EPSILON)
        if effective_dimension:
            dimension[is_active] = parameters
        has_changed = np.abs(alpha[is_active] / beta[is_active] - ratio) > TOLERANCE * ratio
        is_active[is_active] = has_changed
        if not has_changed.any():
            break
    # Each zero among the min(N, D) singular values cancels one of the D terms ln(alpha).
    gain = (dimension - min(samples, dim) + rank) * np.log(alpha)
    gain -= np.log(alpha + beta * eigenvalues).sum(axis=0)
    gain = gain + samples * np.log(beta)
    cost = beta * residual + alpha * weight_norm
    return np.asarray((gain - cost - samples * np.log(2 * np.pi)) / (2 * samples))


def logme_regression(features: Features, targets: Targets) -> float:
    """Compute the maximum log evidence per sample of each column of ``targets``, averaged over the columns.

    The evidence and its fixed point are those of `logme`, with a real-valued column y instead of one-hot labels.
    Neither features nor targets are centred or scaled, as in the released code, so the unit of a target matters.

    Args:
        features: (N, D), N at least 2. A rotation leaves the score unchanged.
        targets: (N, T), T at least 1: ages, counts, coordinates.

    Returns:
        Unbounded.

    Raises:
        InputError: If every feature is zero, or ``targets`` have another shape, are not real or not finite.

    References:
        You, Liu, Wang, Long, "LogME", ICML 2021, section 4 (regression); fixed point as in `logme`.
    """
    features, targets = check_targets(features, targets)
    return _mean_evidence(features, targets)


def logme_numbers(features: Features, targets: Targets) -> float:
    """Compute `logme_regression` of numbers with mean 0 and standard deviation 1.

    The linear model has no intercept, so the mean of ages or years would hide what the features predict, and its first
    alpha and beta suppose a unit. Here neither the offset nor the unit of the numbers changes the score.

    Args:
        features: (N, D), N at least 2, not centred.
        targets: (N, T), T at least 1 column of numbers. Each is centred and divided by its standard deviation.

    Returns:
        Unbounded.

    Raises:
        InputError: If every feature is zero, a column is constant, or ``targets`` have another shape, are not real or
            not finite.

    References:
        As `logme_regression`. The published formula does not standardise the targets.
    """
    features, targets = check_targets(features, targets)
    scaled = np.column_stack([scale_by_power_of_two(column) for column in targets.T])
    centred = deviations(scaled, scaled.mean(axis=0))
    spread = np.sqrt((centred**2).mean(axis=0))
    if not spread.all():
        raise InputError("all samples have the same target, so LogME is undefined: a ranking needs two values")
    return _mean_evidence(features, centred / spread)


def _mean_evidence(features: Features, targets: Targets) -> float:
    """Return the mean of `log_evidence` over the columns of targets (N, T)."""
    eigenvalues, coordinates = spectrum(features, targets)
    if len(eigenvalues) == 0:
        raise InputError("every feature is zero, so LogME is undefined: check the model's last layer")
    norms = np.einsum("nt,nt->t", targets, targets)
    return float(log_evidence(eigenvalues, coordinates**2, norms, *features.shape).mean())


@dataclass(frozen=True)
class LogME(FormulaMetric):
    """`logme` as a metric, with the constants of the authors' code and without hyperparameters.

    Numbers to predict are standardised (`logme_numbers`); the metric `logme_regression` takes them as they are.
    """

    name = "logme"
    source = "You, Liu, Wang and Long, ICML 2021; fixed point of You et al., JMLR 2022"
    formula = staticmethod(logme)
    inputs = ("class_statistics",)
    invariances = ("rotation",)
    multi_label_formula = staticmethod(logme_regression)
    regression_formula = staticmethod(logme_numbers)
