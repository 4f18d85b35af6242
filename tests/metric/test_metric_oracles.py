"""Metrics equal literal formulas on random shapes, including N < D and classes with one sample."""

import math

import numpy as np
import pytest
from conftest import on_samples
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import eigh
from scipy.spatial import KDTree
from scipy.stats import spearmanr
from sklearn.covariance import LedoitWolf
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.mixture import GaussianMixture
from sklearn.preprocessing import StandardScaler

from transfer_exp.metric.cka import cka
from transfer_exp.metric.gbc import gbc
from transfer_exp.metric.h_score import h_score, regularised_h_score
from transfer_exp.metric.knn import knn
from transfer_exp.metric.lda import lda
from transfer_exp.metric.leep import leep
from transfer_exp.metric.lfc import lfc
from transfer_exp.metric.linear_classifier import held_out_hits, linear_classifier, stratified_folds
from transfer_exp.metric.logme import logme
from transfer_exp.metric.nce import nce
from transfer_exp.metric.ncm import ncm
from transfer_exp.metric.nleep import nleep
from transfer_exp.metric.parc import parc
from transfer_exp.metric.sfda import sfda, sfda_released
from transfer_exp.metric.transrate import transrate

pytestmark = pytest.mark.slow

oracle = settings(max_examples=30, deadline=None, derandomize=True)
cka, gbc, h_score, lfc, logme = map(on_samples, (cka, gbc, h_score, lfc, logme))


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
def test_posterior_and_evidence_metrics_equal_their_literal_formulas(metric, slow, tolerance, data):
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


@st.composite
def labelled_off_centre(draw, smallest=1, dims=(1, 40)):
    """Draw features (N, D), off centre and partly repeated, and labels of 2 to 5 classes of up to 12 samples."""
    classes = draw(st.integers(2, 5))
    sizes = [draw(st.integers(2, 12))] + [draw(st.integers(smallest, 12)) for _ in range(classes - 1)]
    labels = np.repeat(np.arange(classes), sizes)
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    dim = draw(st.integers(*dims))
    features = rng.standard_normal((len(labels), dim)) + rng.standard_normal((classes, dim))[labels]
    if draw(st.booleans()):
        features[-1] = features[0]
    return draw(st.sampled_from([0.3, 1.0])) * features + draw(st.sampled_from([0.0, 2.0])), labels


def slow_regularised_h_score(features, labels):
    centred = features - features.mean(axis=0)
    fitted = LedoitWolf().fit(centred)
    replaced = np.array([centred[labels == c].mean(axis=0) for c in labels])
    between = (1 - fitted.shrinkage_) * np.atleast_2d(np.cov(replaced, rowvar=False))
    return np.trace(np.linalg.pinv(fitted.covariance_, rcond=1e-12) @ between)


def slow_coding_rate(rows):
    return np.linalg.slogdet(np.eye(rows.shape[1]) + rows.T @ rows / (len(rows) * 1e-4))[1] / 2


def slow_transrate(features, labels):
    z = features - features.mean(axis=0)
    z = z / math.sqrt(np.trace(z.T @ z) / len(z))
    return slow_coding_rate(z) - sum(np.mean(labels == c) * slow_coding_rate(z[labels == c]) for c in set(labels))


def slow_transrate_tllib(features, labels):
    z = features - features.mean(axis=0)
    return slow_coding_rate(z) - np.mean([slow_coding_rate(z[labels == c]) for c in set(labels)])


def slow_gbc(features, labels, spherical):
    total = 0.0
    for i in set(labels):
        for j in set(labels) - {i}:
            u, v = features[labels == i], features[labels == j]
            s, t = (np.maximum(x.var(axis=0, ddof=1), 1e-4) for x in (u, v))
            if spherical:
                s, t = s.mean(keepdims=True), t.mean(keepdims=True)
            mean = (s + t) / 2
            distance = np.sum((u.mean(axis=0) - v.mean(axis=0)) ** 2 / mean) / 8
            total -= math.exp(-distance - 0.5 * math.log(np.prod(mean / np.sqrt(s) / np.sqrt(t))))
    return total


def slow_parc(features, labels):
    dissimilarity = 1 - np.corrcoef(StandardScaler().fit_transform(features))
    pairs = [(i, j) for i in range(len(labels)) for j in range(i)]
    # Repeated samples have equal features, which rounding errors must not rank.
    rounded = [round(dissimilarity[i, j], 11) for i, j in pairs]
    return spearmanr(rounded, [labels[i] != labels[j] for i, j in pairs])[0]


def slow_knn(features, labels, k):
    correct = 0.0
    for i in range(len(labels)):
        neighbours = [j for j in range(len(labels)) if j != i]
        distances = np.array([math.dist(features[i], features[j]) for j in neighbours])
        near = distances <= np.sort(distances)[k - 1] + 1e-9
        votes = np.bincount(labels[neighbours][near], minlength=labels.max() + 1)
        correct += (votes[labels[i]] == votes.max()) / np.sum(votes == votes.max())
    return correct / len(labels)


def slow_cka(features, labels):
    centring = np.eye(len(labels)) - 1 / len(labels)
    k, y = features @ features.T, (labels[:, None] == labels).astype(float)
    k, y = centring @ k @ centring, centring @ y @ centring
    return np.sum(k * y) / np.linalg.norm(k) / np.linalg.norm(y)


def slow_lfc(features, labels):
    return np.corrcoef((features @ features.T).ravel(), np.where(labels[:, None] == labels, 1, -1).ravel())[0, 1]


@pytest.mark.parametrize(
    ("metric", "slow", "tolerance"),
    [
        (regularised_h_score, slow_regularised_h_score, 1e-7),
        (transrate, slow_transrate, 1e-8),
        (lambda x, y: transrate(x, y, "tllib"), slow_transrate_tllib, 1e-8),
        (cka, slow_cka, 1e-9),
        (lfc, slow_lfc, 1e-8),
        (knn, lambda x, y: slow_knn(x, y, 1), 1e-12),
    ],
    ids=["regularised_h_score", "transrate", "transrate_tllib", "cka", "lfc", "knn"],
)
@oracle
@given(data=labelled_off_centre())
def test_similarity_and_covariance_metrics_equal_their_literal_formulas(metric, slow, tolerance, data):
    assert metric(*data) == pytest.approx(slow(*data), rel=tolerance, abs=1e-9)


@oracle
@given(data=labelled_off_centre(dims=(3, 40)))
def test_parc_equals_its_literal_formula(data):
    assert parc(*data) == pytest.approx(slow_parc(*data), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("covariance", ["spherical", "diagonal"])
@oracle
@given(data=labelled_off_centre(smallest=2))
def test_gbc_equals_a_loop_over_pairs_of_classes(covariance, data):
    assert gbc(*data, covariance) == pytest.approx(slow_gbc(*data, covariance == "spherical"), rel=1e-9, abs=1e-12)


@oracle
@given(data=labelled_off_centre(dims=(1, 2)), k=st.integers(2, 3), coarse=st.booleans())
def test_knn_shares_ties_like_its_literal_formula(data, k, coarse):
    features, labels = data
    features = np.round(features) if coarse else features
    assert knn(features, labels, k) == pytest.approx(slow_knn(features, labels, k), rel=1e-12)


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("spread", [1.0, 1e-3], ids=str)
@pytest.mark.parametrize("clusters", [1, 40])
def test_knn_tells_apart_neighbours_that_single_precision_cannot(clusters, spread, k):
    rng = np.random.default_rng(0)
    centres, noise = rng.standard_normal((clusters, 30)), rng.standard_normal((1300, 30))
    labels = rng.integers(0, 3, len(noise))
    noise[:, :3] += np.eye(3)[labels] * 2
    features = centres[np.arange(len(noise)) % clusters] + spread * noise
    _, nearest = KDTree(features).query(features, k + 1)
    votes = np.eye(3)[labels[nearest[:, 1:]]].sum(axis=1)
    is_best = votes == votes.max(axis=1, keepdims=True)
    expected = np.mean(is_best[np.arange(len(labels)), labels] / is_best.sum(axis=1))
    assert 0.4 < expected < 1
    assert knn(features, labels, k) == pytest.approx(expected, abs=1e-12)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("shape", [(60, 8), (40, 70)], ids=["tall", "wide"])
@pytest.mark.parametrize("convention", ["paper", "released"])
def test_nleep_equals_its_literal_formula(convention, shape):
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 3, shape[0])
    features = rng.standard_normal(shape) + rng.standard_normal((3, shape[1]))[labels]
    score = nleep(features, labels, components_per_class=2, convention=convention, seed=4)
    if convention == "paper":
        order = sorted(range(len(labels)), key=lambda i: tuple(features[i]))
        features, labels = features[order], labels[order]
    reduced = PCA(0.8).fit_transform(features)
    reduced /= math.sqrt(np.sum(features.var(axis=0)))
    posterior = GaussianMixture(6, random_state=4).fit(reduced).predict_proba(reduced)
    predicted = []
    for i, c in enumerate(labels):
        conditional = posterior[labels == c].sum(axis=0) / posterior.sum(axis=0)
        predicted.append(sum(conditional[v] * posterior[i, v] for v in range(6)))
    expected = np.mean(np.log(predicted)) if convention == "paper" else np.mean(predicted)
    assert score == pytest.approx(expected, rel=1e-6)


def test_linear_classifier_equals_its_literal_formula():
    rng = np.random.default_rng(5)
    labels = np.repeat([0, 1, 2], [23, 14, 8])
    features = np.sort(rng.standard_normal((45, 1)), axis=0) + [[0, 1e-3, 5]] * rng.standard_normal((45, 3))
    order = sorted(range(45), key=lambda i: tuple(features[i]))
    by_appearance = list(dict.fromkeys(labels[order].tolist()))
    renamed = np.array([by_appearance.index(c) for c in labels[order]])
    fold, correct = stratified_folds(renamed, 4, seed=1), 0
    for held_out in range(4):
        scaler = StandardScaler().fit(features[order][fold != held_out])
        model = LogisticRegression(C=1 / 500).fit(
            scaler.transform(features[order][fold != held_out]), renamed[fold != held_out]
        )
        correct += np.sum(
            model.predict(scaler.transform(features[order][fold == held_out])) == renamed[fold == held_out]
        )
    assert linear_classifier(features, labels, folds=4, penalty=500.0, seed=1) == correct / 45
    assert correct / 45 < linear_classifier(features, labels, folds=4, seed=1) < 1


def test_hits_of_the_linear_classifier_are_in_the_order_of_the_samples():
    rng = np.random.default_rng(6)
    labels = np.arange(40) % 2
    features = rng.standard_normal((40, 3)) + 20 * labels[:, None]
    labels[[3, 17]] = 1 - labels[[3, 17]]
    assert np.flatnonzero(~held_out_hits(features, labels)).tolist() == [3, 17]


@oracle
@given(sizes=st.lists(st.integers(1, 9), min_size=2, max_size=6), folds=st.integers(2, 5))
def test_folds_have_equal_shares_of_every_class_and_of_all_samples(sizes, folds):
    classes = np.repeat(np.arange(len(sizes)), sizes)
    fold = stratified_folds(classes, folds, seed=0)
    for group in (fold, *(fold[classes == c] for c in range(len(sizes)))):
        counts = np.bincount(group, minlength=folds)
        assert counts.max() - counts.min() <= 1
