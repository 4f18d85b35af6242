"""NCM: softmax probability of the true class by distance to the class means."""

from __future__ import annotations

from dataclasses import dataclass

from transfer_exp.metric.metric import FormulaMetric
from transfer_exp.statistics.class_statistics import class_statistics
from transfer_exp.statistics.discriminant import centred_features, mean_true_posterior, posterior
from transfer_exp.statistics.feature_set import Features, Labels, encode_labels


def ncm(features: Features, labels: Labels) -> float:
    """Compute the mean over samples of softmax_c(-|x - mu_c|^2 / 2 + ln(n_c / N)) at the true class.

    The released code of ETran and of Spread-Attract computes this under the name "LDA": it applies a symmetric
    eigendecomposition to a matrix that is not symmetric, so the eigenvectors cancel and no covariance remains.

    Args:
        features, labels: (N, D); (N,) integers, at least two classes. A scale t of the features scales logits by t^2.

    Returns:
        Probability in [0, 1]; sum_c (n_c / N)^2 for constant features.

    References:
        Released code of Gholami et al., "ETran", ICCV 2023, and of Khoba et al., WACV 2025.
    """
    centred = centred_features(features, labels)
    codes, counts = encode_labels(labels)
    means = class_statistics(centred, labels).means
    return mean_true_posterior(posterior(centred, means, counts, means), codes)


@dataclass(frozen=True)
class NCM(FormulaMetric):
    """`ncm` as a metric, without hyperparameters."""

    name = "ncm"
    source = "released as LDA with Gholami et al., ICCV 2023, and Khoba et al., WACV 2025"
    formula = staticmethod(ncm)
    lower = 0.0
    upper = 1.0
    invariances = ("rotation", "translation")
