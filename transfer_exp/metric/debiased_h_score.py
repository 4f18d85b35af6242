"""De-biased H-score: H-score minus what the sampling noise of the class means adds to it in expectation."""

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
    """Compute h - ((1 - 1/C) / k) tr(cov(f)^+ S), where h is the `h_score`.

    Even if all classes have the same distribution, the mean of n_c samples varies with covariance S / n_c. The second
    term estimates what that adds to h. S = sum_c S_c / C, with the covariance S_c of class c (divided by n_c - 1), and
    k = max(1, sum_c n_c / C). Both sums leave out classes of one sample; C counts all classes.

    Args:
        features, labels: (N, D); (N,) integers, at least two classes.

    Returns:
        Value of at most min(D, N - 1, C - 1); about 0 for labels without relation to the features, and 0 for constant
        features. If the centred features have rank N - 1, as usual for D >= N - 1, and every class has at least two
        samples, it is 0 for any features and ranks nothing. Unchanged by any invertible affine map.

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
    else:  # With rank N - 1, the whitened features U have UU' = I - 11'/N for any features: no rounding errors.
        leverages = counts * (1 - 1 / samples)
        between = 1 - counts / samples
    has_variance = counts >= 2
    noise_trace = ((leverages - between) / np.maximum(counts - 1, 1))[has_variance].sum() * samples / classes
    mean_class_size = max(1.0, counts[has_variance].sum() / classes)
    h, bias = float(between.sum()), float((1 - 1 / classes) / mean_class_size * noise_trace)
    return 0.0 if abs(h - bias) <= RESOLUTION * abs(h) else h - bias  # a difference within rounding is none


@dataclass(frozen=True)
class DebiasedHScore(FormulaMetric):
    """`debiased_h_score` as a metric, without hyperparameters."""

    name = "debiased_h_score"
    source = "TE-Bench (alizkzm/te-guide), after Bao et al., ICIP 2019"
    formula = staticmethod(debiased_h_score)
    invariances = ("rotation", "translation", "scaling", "affine")
