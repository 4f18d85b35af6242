"""De-biased H-score: H-score minus its expected value for class means of noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from transfer_exp.metric.metric import FormulaMetric
from transfer_exp.metric.spectrum import principal_components
from transfer_exp.statistics.class_statistics import class_sums
from transfer_exp.statistics.discriminant import centred_features
from transfer_exp.statistics.feature_set import Features, Labels, encode_labels
from transfer_exp.statistics.rounding import RESOLUTION


def debiased_h_score(features: Features, labels: Labels) -> float:
    """Compute h - (1 - 1/C) / k tr(cov(f)^+ S), where h is the `h_score`.

    The mean of n_c samples has a variance of about S / n_c without any difference between classes; the second term
    is what that adds to h. S = sum_c S_c / C, where S_c is the covariance of class c (divided by n_c - 1), and k is
    the sum of n_c over C, at least 1. Both sums leave out classes of one sample.

    Args:
        features, labels: (N, D); (N,) integers, at least two classes. With N <= D independent directions, the score is
            0 for any features if every class has two samples, so it ranks nothing.

    Returns:
        Value of at most min(D, N - 1, C - 1), about 0 for labels without relation to the features and for constant
        features. Unchanged by any invertible affine map.

    References:
        alizkzm/te-guide (TE-Bench), its refined H-score; no publication is known.
    """
    centred = centred_features(features, labels)
    codes, counts = encode_labels(labels)
    samples, classes = len(codes), len(counts)
    eigenvalues, components = principal_components(centred)
    if len(eigenvalues) < samples - 1:
        whitened = components / np.sqrt(eigenvalues)
        leverages = class_sums((whitened**2).sum(axis=1)[:, None], codes, classes)[:, 0]
        between = (class_sums(whitened, codes, classes) ** 2).sum(axis=1) / counts
    else:  # U U' is exactly I - 11'/N for any features, and rounding errors must not rank models.
        leverages = counts * (1 - 1 / samples)
        between = 1 - counts / samples
    has_variance = counts >= 2
    within = ((leverages - between) / np.maximum(counts - 1, 1))[has_variance].sum() * samples / classes
    members = max(1.0, counts[has_variance].sum() / classes)
    total, bias = float(between.sum()), float((1 - 1 / classes) / members * within)
    return 0.0 if abs(total - bias) <= RESOLUTION * abs(total) else total - bias


@dataclass(frozen=True)
class DebiasedHScore(FormulaMetric):
    """`debiased_h_score` as a metric, without hyperparameters."""

    name = "debiased_h_score"
    source = "TE-Bench (alizkzm/te-guide), after Bao et al., ICIP 2019"
    formula = staticmethod(debiased_h_score)
    invariances = ("rotation", "translation", "scaling", "affine")
