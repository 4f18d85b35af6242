"""Regularised H-score: H-score with a shrunk covariance, which is informative with few samples too."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from transfer_exp.metric.metric import FormulaMetric
from transfer_exp.metric.spectrum import spectrum_and_coordinates
from transfer_exp.statistics.discriminant import centred_features, ledoit_wolf_shrinkage
from transfer_exp.statistics.feature_set import Features, Labels, encode_labels


def regularised_h_score(features: Features, labels: Labels) -> float:
    """Compute (1 - a) tr(S_a^-1 B), with S_a = (1 - a) S + a tr(S)/D I and the shrinkage a of Ledoit and Wolf.

    S is the covariance of the features (divided by N), B that of their class means E[f | y] (divided by N - 1, as
    released). With X = U diag(s) V' the centred features and Y the one-hot labels, each column divided by sqrt(n_c),
    the trace is the sum over k of s_k^2 |(U'Y)_k|^2 / (N - 1) / ((1 - a) s_k^2 / N + a tr(S)/D).

    Args:
        features, labels: (N, D); (N,) integers, at least two classes. The score does not saturate when N < D.

    Returns:
        Value in [0, (C - 1) N / (N - 1)]; 0 for constant features. Unchanged by rotation, shift and one scale.

    References:
        Ibrahim, Ponomareva, Mazumder, "Newer Is Not Always Better", NeurIPS 2021 workshop / ECML 2022: H_alpha;
        shrinkage of Ledoit and Wolf, "A Well-Conditioned Estimator", Journal of Multivariate Analysis 2004.
    """
    centred = centred_features(features, labels)
    codes, counts = encode_labels(labels)
    samples, dim = centred.shape
    eigenvalues, coordinates = spectrum_and_coordinates(centred, np.diag(1 / np.sqrt(counts))[codes])
    shrinkage = ledoit_wolf_shrinkage(centred, float((eigenvalues**2).sum()))
    variances = eigenvalues / samples
    between = eigenvalues * (coordinates**2).sum(axis=1) / (samples - 1)
    shrunk = (1 - shrinkage) * variances + shrinkage * variances.sum() / dim
    return float((1 - shrinkage) * (between / shrunk).sum())


@dataclass(frozen=True)
class RegularisedHScore(FormulaMetric):
    """`regularised_h_score` as a metric, without hyperparameters."""

    name = "regularised_h_score"
    source = "Ibrahim, Ponomareva and Mazumder, ECML 2022"
    formula = staticmethod(regularised_h_score)
    lower = 0.0
    invariances = ("rotation", "translation", "scaling")
