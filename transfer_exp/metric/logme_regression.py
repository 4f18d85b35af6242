"""LogME for regression: evidence of real-valued targets under a Bayesian linear model of the features."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from transfer_exp.metric.logme import logme_regression
from transfer_exp.metric.metric import FormulaMetric
from transfer_exp.statistics.feature_set import check_features


@dataclass(frozen=True)
class LogMERegression(FormulaMetric):
    """`logme_regression` as a metric, without hyperparameters.

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
