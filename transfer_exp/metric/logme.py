"""LogME: evidence of labels or numbers under a Bayesian linear model of the features; also de-biased."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from transfer_exp.errors import InputError
from transfer_exp.metric.metric import FormulaMetric
from transfer_exp.metric.spectrum import label_spectrum_and_coordinates, spectrum_and_coordinates
from transfer_exp.statistics.class_statistics import ClassStatistics
from transfer_exp.statistics.feature_set import Features, Targets, check_features, check_targets
from transfer_exp.statistics.rounding import deviations, scale_by_power_of_two

# The values of the authors' code.
EPSILON = 1e-5
"""Number added to |w|^2 and |y - Xw|^2 where they are denominators."""
TOLERANCE = 1e-3
"""Relative change of alpha / beta at which the fixed-point iteration stops."""
MAX_ITERATIONS = 11


def logme(statistics: ClassStatistics, effective_dimension: bool = False) -> float:
    """Compute the maximum log evidence per sample of one-hot labels given features, averaged over classes.

    For one class with target y in {0, 1}^N, weights w ~ N(0, I / alpha) and noise of precision beta,

        L = D/2 ln alpha + N/2 ln beta - 1/2 sum_k ln(alpha + beta s_k^2) - beta/2 |y - Xw|^2 - alpha/2 |w|^2
            - N/2 ln(2 pi),

    where w stands for its posterior mean. For each class, alpha and beta start at 1 and follow MacKay's fixed-point
    iteration. The sum has min(N, D) terms, one for each singular value s_k of X, as in the released code. The exact
    evidence has D terms. If N < D, the D - N missing terms are -1/2 ln alpha each, which adds (D - N)/(2N) ln alpha
    to the score.

    Args:
        statistics: Statistics of features X (N, D), not centred, and labels. A shift of X changes the score.
        effective_dimension: Whether the effective number of parameters replaces D, as in `debiased_logme`.

    Returns:
        Unbounded; in practice between -1 and 20.

    Raises:
        InputError: If every feature is zero, because the evidence is then unbounded in alpha.

    References:
        You, Liu, Wang, Long, "LogME", ICML 2021, eq. 2 and algorithm 1; fixed point and epsilon of You et al.,
        "Ranking and Tuning Pre-trained Models", JMLR 2022, their optimised fixed-point iteration.
    """
    eigenvalues, coordinates = label_spectrum_and_coordinates(statistics, centred=False)
    if len(eigenvalues) == 0:
        raise InputError("every feature is zero, so LogME is undefined: check the layer that the features come from")
    squared_norms = statistics.counts.astype(np.float64)  # |y|^2 of a one-hot column is the size of its class.
    samples, dim = statistics.samples, len(statistics.mean)
    evidence = log_evidence_per_sample(eigenvalues, coordinates**2, squared_norms, samples, dim, effective_dimension)
    return float(evidence.mean())


def log_evidence_per_sample(
    eigenvalues: Float[np.ndarray, " rank"],
    squared_coordinates: Float[np.ndarray, "rank targets"],
    squared_norms: Float[np.ndarray, " targets"],
    samples: int,
    dim: int,
    effective_dimension: bool = False,
) -> Float[np.ndarray, " targets"]:
    """Return L / N of `logme` for each target y, (T,), from the s^2 of X, the (U'y)^2 and |y|^2.

    With g = sum_k s_k^2 / (s_k^2 + alpha / beta), the effective number of parameters, the fixed-point iteration sets
    alpha = g / |w|^2 and beta = (N - g) / |y - Xw|^2. It stops for each target on its own.
    """
    rank, targets = len(eigenvalues), len(squared_norms)
    eigenvalues = eigenvalues[:, None]
    # The part of |y|^2 that no weights can fit.
    unexplained = np.maximum(squared_norms - squared_coordinates.sum(axis=0), 0.0)
    alpha, beta = np.ones(targets), np.ones(targets)
    squared_weights, squared_residuals = np.zeros(targets), np.zeros(targets)  # |w|^2 and |y - Xw|^2
    dimension = np.full(targets, float(dim))
    is_active: Bool[np.ndarray, " targets"] = np.full(targets, True)
    for _ in range(MAX_ITERATIONS):
        ratio = alpha[is_active] / beta[is_active]
        shrinkage = ratio / (eigenvalues + ratio)
        parameters = (eigenvalues / (eigenvalues + ratio)).sum(axis=0)
        # N - parameters, summed without the cancellation that would make it zero if the features fit all labels.
        remaining = samples - rank + shrinkage.sum(axis=0)
        squares = squared_coordinates[:, is_active]
        squared_weights[is_active] = (eigenvalues * squares / (eigenvalues + ratio) ** 2).sum(axis=0)
        squared_residuals[is_active] = (squares * shrinkage**2).sum(axis=0) + unexplained[is_active]
        alpha[is_active] = parameters / (squared_weights[is_active] + EPSILON)
        beta[is_active] = remaining / (squared_residuals[is_active] + EPSILON)
        if effective_dimension:
            dimension[is_active] = parameters
        has_changed = np.abs(alpha[is_active] / beta[is_active] - ratio) > TOLERANCE * ratio
        is_active[is_active] = has_changed
        if not has_changed.any():
            break
    # Each zero among the min(N, D) singular values cancels one of the D terms ln(alpha).
    twice_evidence = (
        (dimension - min(samples, dim) + rank) * np.log(alpha)
        - np.log(alpha + beta * eigenvalues).sum(axis=0)
        + samples * np.log(beta)
        - (beta * squared_residuals + alpha * squared_weights)
        - samples * np.log(2 * np.pi)
    )
    return np.asarray(twice_evidence / (2 * samples))


def logme_regression(features: Features, targets: Targets) -> float:
    """Compute the maximum log evidence per sample of each column of ``targets`` as it is, averaged over the columns.

    The evidence is that of `logme`, with a column of real numbers y instead of one-hot labels. As in the released code,
    neither features nor targets are centred or scaled, so the offset and the unit of a target change the score.

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


def standardised_logme_regression(features: Features, targets: Targets) -> float:
    """Compute `logme_regression` after giving each column of ``targets`` mean 0 and standard deviation 1.

    The offset and the unit of the numbers then do not change the score. Otherwise the mean of ages or years would hide
    what the features predict, because the linear model has no intercept, and alpha and beta would start far off.

    Args:
        features: (N, D), N at least 2, not centred.
        targets: (N, T), T at least 1: ages, counts, coordinates.

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
    """Return the mean of `log_evidence_per_sample` over the columns of targets (N, T)."""
    eigenvalues, coordinates = spectrum_and_coordinates(features, targets)
    if len(eigenvalues) == 0:
        raise InputError("every feature is zero, so LogME is undefined: check the layer that the features come from")
    squared_norms = np.einsum("nt,nt->t", targets, targets)
    samples, dim = features.shape
    return float(log_evidence_per_sample(eigenvalues, coordinates**2, squared_norms, samples, dim).mean())


@dataclass(frozen=True)
class LogME(FormulaMetric):
    """LogME: evidence of the labels under a Bayesian linear model of the features, fitted to each class.

    With several labels per image, it is `logme_regression` of their zeros and ones. Numbers to predict are standardised
    (`standardised_logme_regression`); the metric `logme_regression` takes them as they are.
    """

    name = "logme"
    source = "You, Liu, Wang and Long, ICML 2021; fixed point of You et al., JMLR 2022"
    formula = staticmethod(logme)
    inputs = ("class_statistics",)
    invariances = ("rotation",)
    multi_label_formula = staticmethod(logme_regression)
    regression_formula = staticmethod(standardised_logme_regression)


@dataclass(frozen=True)
class LogMERegression(FormulaMetric):
    """LogME for regression: evidence of real-valued targets under a Bayesian linear model of the features.

    On a dataset with one class per image, the numbers of the classes are the target. This is meaningful only if they
    are ordered (a count, a severity grade). Unlike for every other metric, the names of the classes then matter.

    This is the published formula without intercept, so the offset and the unit of the numbers change the score. The
    metric `logme` standardises them.
    """

    name = "logme_regression"
    source = "You, Liu, Wang and Long, ICML 2021; fixed point of You et al., JMLR 2022"
    invariances = ("rotation",)
    multi_label_formula = staticmethod(logme_regression)
    regression_formula = staticmethod(logme_regression)

    def __call__(self, features: np.ndarray, labels: np.ndarray) -> float:
        """Return `logme_regression` of features (N, D) and labels (N,) as numbers."""
        return logme_regression(check_features(features, labels), np.asarray(labels)[:, None])


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
    """De-biased LogME: LogME with the effective number of parameters instead of the dimension."""

    name = "debiased_logme"
    source = "TE-Bench (alizkzm/te-guide), after You et al., ICML 2021"
    formula = staticmethod(debiased_logme)
    inputs = ("class_statistics",)
    invariances = ("rotation",)
