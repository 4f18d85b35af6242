"""Ridge: leave-one-out R2 of a ridge regression of the targets on the features."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from transfer_exp.metric.metric import FormulaMetric
from transfer_exp.metric.targets import leave_one_out_r2
from transfer_exp.statistics.feature_set import Features, Targets, check_features, check_targets, encode_labels
from transfer_exp.statistics.rounding import deviations, scale_by_power_of_two

PENALTIES = tuple(10.0**power for power in range(-4, 5))
"""Penalties to choose from, as multiples of the mean squared singular value of the standardised features."""
_MAX_LEVERAGE = 1 - 1e-10
"""Largest leverage h_ii of a sample; at 1, its residual and 1 - h_ii would both be rounding errors."""


def ridge(features: Features, targets: Targets) -> float:
    """Compute the leave-one-out R2 of a ridge regression, averaged over the columns of the targets.

    The features are standardised (a constant one becomes 0) and the intercept is not penalised. With the hat matrix H,
    the prediction for a sample that was left out is y_i - (y_i - Hy_i) / (1 - h_ii), so nothing is fitted N times. Two
    steps do use all samples: the standardisation, and the choice of the penalty of `PENALTIES` with the highest R2 for
    each column, which raises the score slightly.

    Args:
        features: (N, D), N at least 2.
        targets: (N, T), numbers, or zeros and ones for T labels.

    Returns:
        Value of at most 1; close to 0, or below, for features that predict nothing. A constant column counts as 0.

    Raises:
        InputError: If features or targets are not finite or do not fit.

    References:
        Leave-one-out residuals: Allen, "The Relationship between Variable Selection and Data Augmentation and a Method
        for Prediction", Technometrics 1974 (PRESS).
    """
    x, y = check_targets(features, targets)
    y = scale_by_power_of_two(y)
    x = deviations(x, x.mean(axis=0))
    scale = np.sqrt((x**2).mean(axis=0))
    x = np.divide(x, scale, out=np.zeros_like(x), where=scale > 0)
    centred = deviations(y, y.mean(axis=0))
    if not x.any():
        return 0.0
    basis, singular_values, _ = np.linalg.svd(x, full_matrices=False)
    eigenvalues = singular_values**2
    coordinates = basis.T @ centred
    squared_basis = basis**2
    best = np.full(y.shape[1], -np.inf)
    for penalty in PENALTIES:
        kept_share = eigenvalues / (eigenvalues + penalty * eigenvalues.mean())
        fitted = basis @ (kept_share[:, None] * coordinates)
        leverage = np.minimum(1 / len(x) + squared_basis @ kept_share, _MAX_LEVERAGE)[:, None]
        predicted = y - (centred - fitted) / (1 - leverage)
        best = np.maximum(best, [leave_one_out_r2(y[:, [t]], predicted[:, [t]]) for t in range(y.shape[1])])
    return float(best.mean())


@dataclass(frozen=True)
class Ridge(FormulaMetric):
    """`ridge` as a metric, without hyperparameters. With one class per image, the targets are one-hot labels."""

    name = "ridge"
    source = "ridge regression; leave-one-out residuals of Allen, Technometrics 1974"
    upper = 1.0
    invariances = ("translation", "scaling")
    multi_label_formula = staticmethod(ridge)
    regression_formula = staticmethod(ridge)

    def __call__(self, features: np.ndarray, labels: np.ndarray) -> float:
        """Return `ridge` of features (N, D) and one-hot labels."""
        codes, counts = encode_labels(labels)
        return ridge(check_features(features, labels), np.eye(len(counts))[codes])
