"""PARC: whether pairs of samples with unlike features are pairs with unlike labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Int, Real

from transfer_exp.errors import InputError
from transfer_exp.statistics.discriminant import centred_features
from transfer_exp.statistics.feature_set import encode_labels
from transfer_exp.statistics.rounding import deviations

DECIMALS = 12
"""Correlations of samples that agree to so many decimals are equal: the rest is rounding, and ranks would show it."""


def parc(features: Real[np.ndarray, "samples dim"], labels: Int[np.ndarray, " samples"]) -> float:
    """Return Spearman's correlation, over pairs of samples, of 1 - r_ij with whether their labels differ.

    r_ij is Pearson's correlation of the features of i and j after each dimension is standardised over the samples (a
    constant one becomes 0). One-hot labels of two classes have one correlation, whatever the classes, so the labels'
    side takes two values only. The published score is a hundred times this one.

    The release ranks what rounding leaves of the labels' correlations (1 or 1 - 2e-16 for one class), which moves its
    score by up to 5 % and differs between machines. Here they tie; for 4 or 8 classes they tie there too.

    Parameters
    ----------
    features
        (N, D), D at least 2. Time and memory grow with N^2 (4 GB at N = 10,000): the paper uses scoring sets of 500. It
        reduces features to 32 dimensions first, which ``perturbation=pca`` with ``dim`` 32 does.
    labels
        (N,), integers, at least two classes, one of at least two samples.

    Returns
    -------
    float
        In [-1, 1], where ties keep it from the ends.

    Raises
    ------
    InputError
        As `check_features`; when a sample's standardised features are all equal (one dimension, constant features), so
        that it correlates with nothing, when all pairs are equally unlike, or when no two samples share a class.

    References
    ----------
    Bolya, Mittapalli, Hoffman, "Scalable Diverse Model Selection for Accessible Transfer Learning", NeurIPS 2021,
    and their released code.
    """
    similarity = sample_correlations(centred_features(features, labels))
    codes, counts = encode_labels(labels)
    if counts.max() == 1:
        raise InputError("no two samples share a class, so parc has nothing to compare: use larger classes")
    ordered, same = pair_values(similarity, codes)
    pairs, alike = len(ordered), len(same)
    # The variance of ranks is that of 1 .. P less what ties take away, so only pairs of one class need their ranks.
    runs = np.diff(np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1], [True]])))
    ties = runs[runs > 1].astype(float)
    variance = (float(pairs) ** 3 - pairs - (ties**3 - ties).sum()) / 12
    if variance == 0:
        raise InputError("all pairs of samples are equally unlike, so parc is undefined: check the model's last layer")
    ranks = (np.searchsorted(ordered, same) + np.searchsorted(ordered, same, side="right") - pairs) / 2
    return float(np.clip(ranks.sum() / np.sqrt(variance * alike * (1 - alike / pairs)), -1.0, 1.0))


def pair_values(
    similarity: Float[np.ndarray, "samples samples"], codes: Int[np.ndarray, " samples"]
) -> tuple[Float[np.ndarray, " pairs"], Float[np.ndarray, " alike"]]:
    """Return the rounded similarities of all unordered pairs of samples, and of those of one class, both ascending."""
    starts = np.concatenate([[0], np.arange(len(codes) - 1, 0, -1).cumsum()])
    values, same = np.empty(starts[-1]), []
    for i in range(len(codes) - 1):
        row = np.round(similarity[i, i + 1 :], DECIMALS, out=values[starts[i] : starts[i + 1]])
        same.append(row[codes[i + 1 :] == codes[i]])
    values.sort()
    return values, np.sort(np.concatenate(same))


def sample_correlations(centred: Float[np.ndarray, "samples dim"]) -> Float[np.ndarray, "samples samples"]:
    """Return Pearson's correlation of samples, (N, N), over dimensions scaled to unit variance.

    Raises
    ------
    InputError
        When a sample's scaled features are all equal.
    """
    scale = np.sqrt((centred**2).mean(axis=0))
    standardised = np.divide(centred, scale, out=np.zeros_like(centred), where=scale > 0)
    rows = deviations(standardised, np.broadcast_to(standardised.mean(axis=1, keepdims=True), standardised.shape))
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    if not norms.all():
        flat = int(np.flatnonzero(norms == 0)[0])
        raise InputError(f"sample {flat} has equal standardised features, so parc cannot correlate it: it needs D >= 2")
    rows /= norms
    return rows @ rows.T


@dataclass(frozen=True)
class PARC:
    """`parc` as a metric; no hyperparameters."""

    name: ClassVar[str] = "parc"
    source: ClassVar[str] = "Bolya, Mittapalli and Hoffman, NeurIPS 2021"
    lower: ClassVar[float] = -1.0
    upper: ClassVar[float] = 1.0
    inputs: ClassVar[tuple[str, ...]] = ("features", "labels")
    invariances: ClassVar[tuple[str, ...]] = ("translation", "scaling")

    def __call__(self, features: np.ndarray, labels: np.ndarray) -> float:
        """Return `parc` of features (N, D) and labels (N,)."""
        return parc(features, labels)
