"""Posterior, evidence and source-label metrics equal literal formulas, even for N < D and classes with one sample."""

import math

import numpy as np
import pytest
from conftest import on_samples
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import eigh
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from transfer_exp.metric.h_score import h_score
from transfer_exp.metric.lda import lda
from transfer_exp.metric.leep import leep
from transfer_exp.metric.logme import logme
from transfer_exp.metric.nce import nce
from transfer_exp.metric.ncm import ncm
from transfer_exp.metric.sfda import sfda
from transfer_exp.metric.sfda_released import sfda_released

oracle = settings(max_examples=30, deadline=None, derandomize=True)


h_score, logme = map(on_samples, (h_score, logme))


@st.composite
def labelled(draw):
    """Draw features (N, D) and labels of C classes with 1 to 12 samples, at least 2 in the first."""
    classes = draw(st.integers(2, 5))
    sizes = [draw(st.integers(2, 12))] + [draw(st.integers(1, 12)) for _ in range(classes - 1)]
    labels = np.repeat(np.arange(classes), sizes)
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    dim = draw(st.integers(1, 40))
    features = rng.standard_normal((len(labels), dim)) + rng.standard_normal((classes, dim))[labels]
    return draw(st.sampled_from([0.3, 1.0])) * features, labels


def slow_logme(features, labels):
    samples, dim = features.shape
    squares = np.linalg.svd(features, compute_uv=False) ** 2
    scores = []
    for c in np.unique(labels):
        target = (labels == c).astype(float)
        alpha = beta = 1.0
        for _ in range(11):
            posterior = alpha * np.eye(dim) + beta * features.T @ features
            weights = beta * np.linalg.solve(posterior, features.T @ target)
            parameters = sum(beta * s / (alpha + beta * s) for s in squares)
            ratio, misfit = alpha / beta, np.sum((target - features @ weights) ** 2)
            alpha = parameters / (weights @ weights + 1e-5)
            beta = (samples - parameters) / (misfit + 1e-5)
            if abs(alpha / beta - ratio) / ratio <= 1e-3:
                break
        evidence = dim / 2 * math.log(alpha) + samples / 2 * math.log(beta / (2 * math.pi))
        evidence -= sum(math.log(alpha + beta * s) for s in squares) / 2
        scores.append((evidence - beta / 2 * misfit - alpha / 2 * weights @ weights) / samples)
    return np.mean(scores)


def slow_fisher(features, labels, shrinkage=None):
    """Return the posterior (N, C) by the generalised eigenvectors of the scatter, and the shrinkage."""
    classes, dim = np.unique(labels), features.shape[1]
    priors = np.array([np.mean(labels == c) for c in classes])
    means = np.array([features[labels == c].mean(axis=0) for c in classes])
    within = sum(
        p * np.atleast_2d(np.cov(features[labels == c].T, bias=True)) for p, c in zip(priors, classes, strict=True)
    )
    if shrinkage is None:
        right = within.sum(axis=1)
        for _ in range(3):
            left = within @ right / np.linalg.norm(within @ right)
            right = within @ left / np.linalg.norm(within @ left)
        shrinkage = max(math.exp(-5 * right @ within @ left), 1e-10)

    def shrunk(matrix):
        return (1 - shrinkage) * matrix + shrinkage * np.trace(matrix) / dim * np.eye(dim)

    total = np.atleast_2d(np.cov(features.T, bias=True))
    _, vectors = eigh(shrunk(total) - shrunk(within), shrunk(within))
    weights = means @ vectors @ vectors.T
    logits = features @ weights.T - np.diag(means @ weights.T) / 2 + np.log(priors)
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return odds / odds.sum(axis=1, keepdims=True), shrinkage


def slow_challenged(features, labels):
    first, shrinkage = slow_fisher(features, labels)
    soft = np.exp(first) / np.exp(first).sum(axis=1, keepdims=True)
    means = [features[labels == c].mean(axis=0) for c in np.unique(labels)]
    challenged = np.empty_like(features)
    for i, c in enumerate(labels):
        other_means = np.mean([m for k, m in enumerate(means) if k != c], axis=0)
        challenged[i] = soft[i, c] * features[i] + (1 - soft[i, c]) * other_means
    second, _ = slow_fisher(challenged, labels, shrinkage)
    return [second[i, c] for i, c in enumerate(labels)]


def slow_h_score(features, labels):
    replaced = np.array([features[labels == c].mean(axis=0) for c in labels])
    covariance, between = (np.atleast_2d(np.cov(x.T)) for x in (features, replaced))
    return np.trace(np.linalg.pinv(covariance, rcond=1e-12) @ between)


def slow_ncm(features, labels):
    total = 0.0
    for x, true in zip(features, labels, strict=True):
        weight = {
            c: np.mean(labels == c) * math.exp(-np.sum((x - features[labels == c].mean(axis=0)) ** 2) / 2)
            for c in np.unique(labels)
        }
        total += weight[true] / sum(weight.values())
    return total / len(labels)


def slow_lda(features, labels):
    model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.5).fit(features, labels)
    return np.mean(model.predict_proba(features)[np.arange(len(labels)), labels])


@pytest.mark.filterwarnings("ignore:Only one sample available")
@pytest.mark.parametrize(
    ("metric", "slow", "tolerance"),
    [
        (logme, slow_logme, 1e-6),
        (sfda_released, lambda x, y: np.mean(slow_challenged(x, y)), 1e-6),
        (sfda, lambda x, y: np.mean(np.log(slow_challenged(x, y))), 1e-6),
        (h_score, slow_h_score, 1e-7),
        (lda, slow_lda, 1e-9),
        (ncm, slow_ncm, 1e-9),
    ],
    ids=lambda x: getattr(x, "__name__", ""),
)
@oracle
@given(data=labelled())
def test_feature_metric_equals_its_literal_formula(metric, slow, tolerance, data):
    assert metric(*data) == pytest.approx(slow(*data), rel=tolerance, abs=1e-12)


@st.composite
def with_source(draw):
    """Draw source probabilities (N, S), some exactly zero, and labels."""
    samples, sources = draw(st.integers(2, 30)), draw(st.integers(1, 8))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    labels = np.concatenate([[0, 1], rng.integers(0, 4, samples - 2)])
    raw = rng.random((samples, sources)) ** 3 * (rng.random((samples, sources)) < draw(st.sampled_from([0.4, 1.0])))
    raw[raw.sum(axis=1) == 0] = 1.0
    return raw / raw.sum(axis=1, keepdims=True), labels


@oracle
@given(data=with_source())
def test_leep_equals_its_literal_formula(data):
    theta, labels = data
    total = 0.0
    for row, true in zip(theta, labels, strict=True):
        total += math.log(
            sum(row[z] * theta[labels == true, z].sum() / theta[:, z].sum() for z in range(len(row)) if row[z] > 0)
        )
    assert leep(theta, labels) == pytest.approx(total / len(labels), rel=1e-9, abs=1e-12)


@oracle
@given(data=with_source())
def test_nce_equals_its_literal_formula(data):
    theta, labels = data
    source = [int(np.argmax(row)) for row in theta]
    pairs = list(zip(source, labels.tolist(), strict=True))
    total = sum(math.log(pairs.count(pair) / source.count(pair[0])) for pair in pairs)
    assert nce(theta, labels) == pytest.approx(total / len(labels), rel=1e-9, abs=1e-12)
