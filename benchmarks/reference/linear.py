"""LogME, H-scores and TransRate, literally: full decompositions and a loop over classes."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from sklearn.covariance import LedoitWolf
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.reference.class_loop import class_mean_rows, class_rows
from transfer_exp.metric.linear_classifier import sorted_samples, stratified_folds


def logme(features: Float[np.ndarray, "samples dim"], labels: Int[np.ndarray, " samples"]) -> float:
    """Return LogME by the singular value decomposition of the features and a fixed point for one class at a time."""
    left, values, _ = np.linalg.svd(features, full_matrices=False)
    return mean_evidence(left, values**2, features.shape[1], labels)


def logme_released(features: Float[np.ndarray, "samples dim"], labels: Int[np.ndarray, " samples"]) -> float:
    """Return LogME as the authors speed it up where N > D: the decomposition of X'X, then U = X V / s.

    You et al., "Ranking and Tuning Pre-trained Models", JMLR 2022, and its release.
    """
    if len(features) <= features.shape[1]:
        return logme(features, labels)
    _, squares, right = np.linalg.svd(features.T @ features)
    rank = int(np.sum(np.sqrt(squares) > 1e-10))
    left = (features @ right.T)[:, :rank] / np.sqrt(squares[:rank])
    return mean_evidence(left, squares[:rank], features.shape[1], labels)


def mean_evidence(
    left: Float[np.ndarray, "samples rank"],
    squares: Float[np.ndarray, " rank"],
    dim: int,
    labels: Int[np.ndarray, " samples"],
) -> float:
    """Return the mean over classes of the largest log evidence per sample, by MacKay's fixed point as released."""
    samples, scores = len(labels), []
    for c in range(labels.max() + 1):
        target = (labels == c).astype(float)
        coordinates = (left.T @ target) ** 2
        outside = target @ target - coordinates.sum()
        alpha = beta = 1.0
        for _ in range(11):
            ratio = alpha / beta
            effective = (squares / (squares + ratio)).sum()
            weight = (squares * coordinates / (ratio + squares) ** 2).sum()
            misfit = (coordinates / (1 + squares / ratio) ** 2).sum() + outside
            alpha, beta = effective / (weight + 1e-5), (samples - effective) / (misfit + 1e-5)
            if abs(alpha / beta - ratio) / ratio <= 1e-3:
                break
        evidence = dim * np.log(alpha) + samples * np.log(beta / (2 * np.pi)) - np.log(alpha + beta * squares).sum()
        scores.append((evidence - beta * misfit - alpha * weight) / (2 * samples))
    return float(np.mean(scores))


def h_score(features: Float[np.ndarray, "samples dim"], labels: Int[np.ndarray, " samples"]) -> float:
    """Return tr(cov(f)^+ cov(E[f | y])) by two covariances and a pseudo-inverse (Bao et al., ICIP 2019)."""
    covariance = np.cov(features, rowvar=False)
    between = np.cov(class_mean_rows(features, labels), rowvar=False)
    return float(np.trace(np.linalg.pinv(covariance, rcond=1e-15) @ between))


def regularised_h_score(features: Float[np.ndarray, "samples dim"], labels: Int[np.ndarray, " samples"]) -> float:
    """Return the H-score of a Ledoit-Wolf covariance (Ibrahim et al., ECML 2022)."""
    fitted = LedoitWolf().fit(features)
    between = np.cov(class_mean_rows(features, labels), rowvar=False)
    return float(np.trace(np.linalg.pinv(fitted.covariance_, rcond=1e-15) @ ((1 - fitted.shrinkage_) * between)))


def transrate(features: Float[np.ndarray, "samples dim"], labels: Int[np.ndarray, " samples"]) -> float:
    """Return R(Z) - sum_c n_c/N R(Z_c) of centred, scaled features (Huang et al., ICML 2022)."""
    centred = features - features.mean(axis=0)
    centred = centred / np.sqrt(np.trace(centred.T @ centred) / len(centred))
    within = [len(rows) / len(features) * coding_rate(rows) for rows in class_rows(centred, labels)]
    return coding_rate(centred) - float(sum(within))


def coding_rate(rows: Float[np.ndarray, "samples dim"]) -> float:
    """Return ln det(I + Z'Z / (n 1e-4)) / 2, always with the determinant of a D x D matrix."""
    _, logdet = np.linalg.slogdet(np.eye(rows.shape[1]) + rows.T @ rows / (len(rows) * 1e-4))
    return float(logdet / 2)


def linear_classifier(features: Float[np.ndarray, "samples dim"], labels: Int[np.ndarray, " samples"]) -> float:
    """Return the cross-validated accuracy of scikit-learn's logistic regression, on the folds of our metric.

    It fits what `LogisticRegressionCV` fits for one penalty, with features that are standardised in each fold.
    """
    order, classes = sorted_samples(features, labels)
    fold = stratified_folds(classes, 5, seed=0)
    folds = [(np.flatnonzero(fold != i), np.flatnonzero(fold == i)) for i in range(5)]
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=200))
    return float(np.mean(cross_val_predict(model, features[order], classes, cv=folds) == classes))
