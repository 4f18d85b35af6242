"""Pairwise metrics, literally: a double loop over classes, or all pairs of samples."""

from __future__ import annotations

from math import exp

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import spearmanr
from sklearn.metrics import pairwise_distances
from sklearn.preprocessing import StandardScaler

from benchmarks.reference.class_loop import class_rows


def gbc(features: Float[np.ndarray, "samples dim"], labels: Int[np.ndarray, " samples"]) -> float:
    """Return minus the summed Bhattacharyya coefficients of all ordered pairs of spherical classes, pair by pair.

    Pandy et al., CVPR 2022; variances floored at 1e-4, one logarithm per class as released.
    """
    groups = class_rows(features, labels)
    means = [group.mean(axis=0) for group in groups]
    variances = [np.maximum(group.var(axis=0, ddof=1), 1e-4).mean() for group in groups]
    total = 0.0
    for i in range(len(groups)):
        for j in range(len(groups)):
            if i != j:
                total -= exp(-bhattacharyya(means[i], means[j], variances[i], variances[j]))
    return total


def bhattacharyya(
    mean: Float[np.ndarray, " dim"],
    other_mean: Float[np.ndarray, " dim"],
    variance: np.float64,
    other_variance: np.float64,
) -> float:
    """Return the Bhattacharyya distance of two spherical Gaussians, its terms summed as for diagonal ones."""
    pooled = (variance + other_variance) / 2
    distance = np.sum((mean - other_mean) ** 2 / pooled) / 8
    logs = np.sum(np.log(pooled)) - np.sum(np.log(variance)) / 2 - np.sum(np.log(other_variance)) / 2
    return float(distance + logs / 2)


def parc(features: Float[np.ndarray, "samples dim"], labels: Int[np.ndarray, " samples"]) -> float:
    """Return Spearman's correlation over pairs of samples of 1 - corr of features and of one-hot labels.

    Bolya et al., NeurIPS 2021. One step is ours: label correlations are rounded, or their rounding errors would be
    ranked (see ``docs/metrics.md``).
    """
    unlike = 1 - np.corrcoef(StandardScaler().fit_transform(features))
    unlike_labels = np.round(1 - np.corrcoef(np.eye(labels.max() + 1)[labels]), 12)
    pairs = np.triu_indices(len(labels), 1)
    return float(spearmanr(unlike[pairs], unlike_labels[pairs])[0])


def knn(features: Float[np.ndarray, "samples dim"], labels: Int[np.ndarray, " samples"]) -> float:
    """Return leave-one-out accuracy of the nearest neighbour by sorting all distances (Bolya et al., NeurIPS 2021)."""
    order = np.argsort(pairwise_distances(features, metric="l2"), axis=1)
    return float(np.mean(labels[order[:, 1]] == labels))


def lfc(features: Float[np.ndarray, "samples dim"], labels: Int[np.ndarray, " samples"]) -> float:
    """Return the correlation of the entries of XX' with +1 for one class and -1 elsewhere (Deshpande et al., 2021)."""
    alike = np.where(labels[:, None] == labels, 1.0, -1.0)
    similar = features @ features.T
    similar, alike = similar - similar.mean(), alike - alike.mean()
    return float(np.sum(similar * alike) / (np.linalg.norm(similar) * np.linalg.norm(alike)))


def cka(features: Float[np.ndarray, "samples dim"], labels: Int[np.ndarray, " samples"]) -> float:
    """Return the alignment of the centred N x N kernels of features and of one-hot labels (Kornblith et al., 2019)."""
    onehot = np.eye(labels.max() + 1)[labels]
    kernels = []
    for rows in (features, onehot):
        kernel = rows @ rows.T
        kernel = kernel - kernel.mean(axis=0)
        kernels.append(kernel - kernel.mean(axis=1, keepdims=True))
    first, second = kernels
    return float(np.sum(first * second) / (np.linalg.norm(first) * np.linalg.norm(second)))
