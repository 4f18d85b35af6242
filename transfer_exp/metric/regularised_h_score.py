"""Regularised H-score: H-score with a shrunk covariance, which is informative with few samples too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from transfer_exp.metric.spectrum import spectrum
from transfer_exp.statistics.discriminant import centred_features
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
    eigenvalues, coordinates = spectrum(centred, np.diag(1 / np.sqrt(counts))[codes])
    shrinkage = _ledoit_wolf_shrinkage(centred, eigenvalues)
    variances = eigenvalues / samples
    between = eigenvalues * (coordinates**2).sum(axis=1) / (samples - 1)
    shrunk = (1 - shrinkage) * variances + shrinkage * variances.sum() / dim
    return float((1 - shrinkage) * (between / shrunk).sum())


def _ledoit_wolf_shrinkage(centred: Float[np.ndarray, "samples dim"], eigenvalues: Float[np.ndarray, " rank"]) -> float:
    """Return Ledoit and Wolf's shrinkage of the covariance S of centred features towards tr(S)/D I, in [0, 1].

    It is min(b, d) / d, where d = |S - tr(S)/D I|^2 and b = (sum_n |x_n|^4 / N - |S|^2) / N, Frobenius norms.
    ``eigenvalues`` are those of X'X. In one dimension S equals its target and the shrinkage is 0 by convention.
    """
    samples, dim = centred.shape
    if dim == 1 or len(eigenvalues) == 0:
        return 0.0
    variances = eigenvalues / samples
    norm = (variances**2).sum()
    distance = norm - variances.sum() ** 2 / dim
    noise = ((np.einsum("nd,nd->n", centred, centred) ** 2).sum() / samples - norm) / samples
    return float(noise / distance) if 0 < noise < distance else float(noise > 0)


@dataclass(frozen=True)
class RegularisedHScore:
    """`regularised_h_score` as a metric, without hyperparameters."""

    name: ClassVar[str] = "regularised_h_score"
    source: ClassVar[str] = "Ibrahim, Ponomareva and Mazumder, ECML 2022"
    lower: ClassVar[float] = 0.0
    upper: ClassVar[float] = np.inf
    inputs: ClassVar[tuple[str, ...]] = ("features", "labels")
    invariances: ClassVar[tuple[str, ...]] = ("rotation", "translation", "scaling")

    def __call__(self, features: np.ndarray, labels: np.ndarray) -> float:
        """Return `regularised_h_score` of features (N, D) and labels (N,)."""
        return regularised_h_score(features, labels)
