"""H-score: variation between the classes relative to the covariance of the features; also shrunk and de-biased."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import lapack, solve_triangular

from transfer_exp.metric import targets as targets_metrics
from transfer_exp.metric.metric import FormulaMetric
from transfer_exp.metric.spectrum import label_spectrum_and_coordinates, principal_components, spectrum_and_coordinates
from transfer_exp.statistics.class_statistics import ClassStatistics, class_sums
from transfer_exp.statistics.discriminant import centred_features, ledoit_wolf_shrinkage
from transfer_exp.statistics.feature_set import Features, Labels, encode_labels
from transfer_exp.statistics.rounding import RESOLUTION

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
    """H-score: variation between the classes, relative to the covariance of the features."""

    name = "h_score"
    source = "Bao et al., ICIP 2019"
    formula = staticmethod(h_score)
    lower = 0.0
    inputs = ("class_statistics",)
    invariances = ("rotation", "translation", "scaling", "affine")
    multi_label_formula = staticmethod(targets_metrics.h_score)
    regression_formula = staticmethod(targets_metrics.h_score)


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
    """Regularised H-score: H-score with a shrunk covariance, which is informative with few samples too."""

    name = "regularised_h_score"
    source = "Ibrahim, Ponomareva and Mazumder, ECML 2022"
    formula = staticmethod(regularised_h_score)
    lower = 0.0
    invariances = ("rotation", "translation", "scaling")


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
    """De-biased H-score: H-score minus what the sampling noise of the class means adds to it in expectation."""

    name = "debiased_h_score"
    source = "TE-Bench (alizkzm/te-guide), after Bao et al., ICIP 2019"
    formula = staticmethod(debiased_h_score)
    invariances = ("rotation", "translation", "scaling", "affine")
