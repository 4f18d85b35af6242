"""Discriminants and NCTI, literally: one covariance per class, generalised eigenproblems and full decompositions."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from scipy.linalg import eigh
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from benchmarks.reference.class_loop import class_rows


def fisher_discriminant(
    features: Float[np.ndarray, "samples dim"], labels: Int[np.ndarray, " samples"], shrinkage: float | None
) -> tuple[Float[np.ndarray, "samples classes"], float]:
    """Return the posterior of every class, (N, C), and the shrinkage; SFDA's rule chooses it if it is None.

    Within scatter W = sum_c n_c/N cov_c and total scatter T are both shrunk towards a multiple of I, and the directions
    solve (T - W) v = lambda W v (Shao et al., ECCV 2022, section 3, all directions kept as released).
    """
    dim = features.shape[1]
    groups = class_rows(features, labels)
    priors = np.array([len(group) / len(features) for group in groups])
    means = np.array([group.mean(axis=0) for group in groups])
    within = np.zeros((dim, dim))
    for prior, group in zip(priors, groups, strict=True):
        within += prior * np.atleast_2d(np.cov(group.T, bias=True))
    if shrinkage is None:
        shrinkage = decaying_shrinkage(within)
    total = shrunk(np.atleast_2d(np.cov(features.T, bias=True)), shrinkage)
    within = shrunk(within, shrinkage)
    _, directions = eigh(total - within, within)
    coefficients = means @ directions @ directions.T
    scores = features @ coefficients.T - np.diag(means @ coefficients.T) / 2 + np.log(priors)
    return softmax(scores), shrinkage


def decaying_shrinkage(within: Float[np.ndarray, "dim dim"]) -> float:
    """Return max(exp(-5 lambda), 1e-10), lambda the within scatter's largest eigenvalue by three double power steps."""
    right = within.sum(axis=1)
    for _ in range(3):
        left = within @ right
        left /= np.linalg.norm(left)
        right = within @ left
        right /= np.linalg.norm(right)
    return max(float(np.exp(-5 * (right @ within @ left))), 1e-10)


def shrunk(scatter: Float[np.ndarray, "dim dim"], shrinkage: float) -> Float[np.ndarray, "dim dim"]:
    """Return (1 - shrinkage) S + shrinkage tr(S)/D I."""
    dim = len(scatter)
    return np.asarray((1 - shrinkage) * scatter + shrinkage * np.trace(scatter) / dim * np.eye(dim))


def softmax(scores: Float[np.ndarray, "samples classes"]) -> Float[np.ndarray, "samples classes"]:
    """Return every row as probabilities."""
    odds = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(odds / odds.sum(axis=1, keepdims=True))


def lda(features: Float[np.ndarray, "samples dim"], labels: Int[np.ndarray, " samples"]) -> float:
    """Return the mean posterior of the true class at shrinkage 1/2."""
    posterior, _ = fisher_discriminant(features, labels, 0.5)
    return float(np.mean(posterior[np.arange(len(labels)), labels]))


def sfda(features: Float[np.ndarray, "samples dim"], labels: Int[np.ndarray, " samples"]) -> float:
    """Return SFDA: a discriminant, ConfMix class by class, and a second discriminant (Shao et al., ECCV 2022)."""
    first, shrinkage = fisher_discriminant(features, labels, None)
    confidence = softmax(first)
    means = np.array([group.mean(axis=0) for group in class_rows(features, labels)])
    mixed = np.empty_like(features)
    for c in range(len(means)):
        mean_of_rest = (means.sum(axis=0) - means[c]) / (len(means) - 1)
        rows = np.flatnonzero(labels == c)
        weight = confidence[rows, c][:, None]
        mixed[rows] = weight * features[rows] + (1 - weight) * mean_of_rest
    second, _ = fisher_discriminant(mixed, labels, shrinkage)
    return float(np.mean(second[np.arange(len(labels)), labels]))


def ncm(features: Float[np.ndarray, "samples dim"], labels: Int[np.ndarray, " samples"]) -> float:
    """Return the metric released as "LDA": inv(W) (T - W) is not symmetric, so eigh's vectors cancel in the result."""
    groups = class_rows(features, labels)
    priors = np.array([len(group) / len(features) for group in groups])
    means = np.array([group.mean(axis=0) for group in groups])
    within = np.zeros((features.shape[1], features.shape[1]))
    for prior, group in zip(priors, groups, strict=True):
        within += prior * np.atleast_2d(np.cov(group.T, bias=True))
    shrinkage = decaying_shrinkage(within)
    total = shrunk(np.atleast_2d(np.cov(features.T, bias=True)), shrinkage)
    within = shrunk(within, shrinkage)
    _, directions = np.linalg.eigh(np.linalg.inv(within) @ (total - within))
    coefficients = means @ directions @ directions.T
    posterior = softmax(features @ coefficients.T - np.diag(means @ coefficients.T) / 2 + np.log(priors))
    return float(np.mean(posterior[np.arange(len(labels)), labels]))


def ncti(features: Float[np.ndarray, "samples dim"], labels: Int[np.ndarray, " samples"]) -> float:
    """Return the sum of NCTI's three parts (Wang et al., ICCV 2023); their scaling over a pool is left out.

    Principal components are exact here. The release leaves the choice to scikit-learn, which approximates them from a
    random start where N and D are large.
    """
    reducer = PCA(n_components=min(64, *features.shape), svd_solver="full")
    reduced = reducer.fit_transform(features)
    shrinkage = max(float(np.exp(-reducer.explained_variance_[:32].sum())), 1e-10)
    if shrinkage == 1e-10:
        model = LinearDiscriminantAnalysis(solver="svd")
    else:
        model = LinearDiscriminantAnalysis(solver="eigen", shrinkage=shrinkage)
    projected = model.fit_transform(reduced, labels)
    spread = np.linalg.norm(projected - projected.mean(axis=0), ord="nuc")
    posterior = model.predict_proba(reduced)
    collapse = sum(np.linalg.norm(posterior[labels == c], ord="nuc") for c in range(labels.max() + 1))
    return float(spread + np.mean(posterior[np.arange(len(labels)), labels]) + np.log(collapse))
