"""TMI, INT and concept variance equal literal formulas and known limits, and check their options."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import digamma

from transfer_exp.errors import InputError
from transfer_exp.metric.concept_variance import ConceptVariance, concept_variance
from transfer_exp.metric.interclass_distance import BLOCK, InterclassDistance, distance_blocks, interclass_distance
from transfer_exp.metric.tmi import TMI, tmi

pytestmark = pytest.mark.slow

oracle = settings(max_examples=25, deadline=None, derandomize=True)
METRICS = [TMI(), InterclassDistance(), ConceptVariance()]
each = pytest.mark.parametrize("metric", METRICS, ids=lambda m: m.name)


def labelled_features(seed=0, samples=150, dim=12, classes=3, signal=1.2, smallest=1):
    rng = np.random.default_rng(seed)
    labels = np.concatenate(
        [np.repeat(np.arange(classes), smallest), rng.integers(0, classes, samples - classes * smallest)]
    )
    features = rng.standard_normal((samples, dim)) + signal * rng.standard_normal((classes, dim))[labels]
    features[-1] = features[0]
    return features, labels


def slow_tmi(features, labels, k, least):
    total = 0.0
    for c in set(labels):
        rows = features[labels == c]
        logs = 0.0
        for i, row in enumerate(rows):
            distances = sorted(max(abs(row - neighbour)) for j, neighbour in enumerate(rows) if j != i)
            logs += math.log(2 * max(distances[k - 1], least))
        total += len(rows) / len(labels) * (digamma(len(rows)) - digamma(k) + features.shape[1] * logs / len(rows))
    return total


def slow_interclass(features, labels):
    means = []
    for a in sorted(set(labels)):
        for b in sorted(set(labels)):
            if a < b:
                pairs = [np.linalg.norm(x - y) for x in features[labels == a] for y in features[labels == b]]
                means.append(sum(pairs) / len(pairs))
    return sum(means) / len(means)


def slow_variance(features, labels, alpha):
    width = features.max(axis=0) - features.min(axis=0)
    x = (features - features.min(axis=0)) / np.where(width > 0, width, 1)
    shares = []
    for i in range(len(x)):
        above = below = 0.0
        for j in set(range(len(x))) - {i}:
            d = np.linalg.norm(x[i] - x[j])
            weight = 2 ** (-alpha * d / max(math.sqrt(x.shape[1]) - d, 1e-9))
            above, below = above + weight * (labels[i] != labels[j]), below + weight
        shares.append(above / below)
    return -sum(shares) / len(shares)


@oracle
@given(st.integers(12, 40), st.integers(1, 50), st.integers(0, 10**6), st.integers(1, 3), st.sampled_from([1e-6, 1.0]))
def test_tmi_equals_a_literal_formula(samples, dim, seed, k, least):
    features, labels = labelled_features(seed, samples, dim, smallest=4)
    assert tmi(features, labels, k, least) == pytest.approx(slow_tmi(features, labels, k, least), rel=1e-9, abs=1e-9)


@oracle
@given(st.integers(4, 40), st.integers(1, 50), st.integers(2, 4), st.integers(0, 10**6))
def test_interclass_distance_equals_a_literal_formula(samples, dim, classes, seed):
    features, labels = labelled_features(seed, samples, dim, classes)
    assert interclass_distance(features, labels) == pytest.approx(slow_interclass(features, labels), rel=1e-9)


@oracle
@given(st.integers(5, 40), st.integers(2, 50), st.integers(2, 4), st.integers(0, 10**6), st.sampled_from([0.5, 2.0]))
def test_concept_variance_equals_a_literal_formula(samples, dim, classes, seed, alpha):
    features, labels = labelled_features(seed, samples, dim, classes)
    expected = slow_variance(features, labels, alpha)
    assert concept_variance(features, labels, alpha) == pytest.approx(expected, rel=1e-8, abs=1e-9)


def test_blocks_cover_all_distances():
    rows = np.random.default_rng(0).standard_normal((BLOCK + 7, 3))
    rows[-1] = rows[0]
    blocks = list(distance_blocks(rows))
    assert [block for block, _ in blocks] == [slice(0, BLOCK), slice(BLOCK, BLOCK + 7)]
    expected = np.linalg.norm(rows[:, None] - rows, axis=2)
    np.testing.assert_allclose(np.concatenate([d for _, d in blocks]), expected, atol=1e-7)
    assert blocks[1][1][-1, 0] == 0


@each
@pytest.mark.parametrize("shape", [(150, 12), (40, 90), (BLOCK + 60, 5)])
def test_score_is_in_range_and_has_exactly_the_declared_invariances(metric, shape):
    features, labels = labelled_features(1, *shape, smallest=5)
    rng = np.random.default_rng(2)
    score = metric(features, labels)
    order = rng.permutation(shape[0])
    maps = {
        "rotation": features @ np.linalg.qr(rng.standard_normal((shape[1], shape[1])))[0],
        "translation": features + 3 * rng.standard_normal(shape[1]),
        "scaling": 1.7 * features,
        "affine": features @ (np.eye(shape[1]) + 0.1 * rng.standard_normal((shape[1], shape[1]))),
    }
    for kind, transformed in maps.items():
        assert (metric(transformed, labels) == pytest.approx(score, rel=1e-9)) == (kind in metric.invariances), kind
    assert metric(features[order], labels[order]) == pytest.approx(score, rel=1e-9)
    assert metric(features, np.array([70, -3, 9])[labels]) == pytest.approx(score, rel=1e-9)
    assert metric(features.astype(np.float16), labels) == pytest.approx(score, rel=0.05)
    assert type(score) is float
    for scale in (1e-8, 1e8):
        assert metric.lower <= metric(scale * features, labels) <= metric.upper
        assert np.isfinite(metric(scale * features, labels))


def test_tmi_at_a_large_floor_a_doubled_scale_and_for_uniform_features():
    features, labels = labelled_features(3, smallest=5)
    # With a floor above all distances, D ln(2 floor) and a term of the counts remain. A doubled scale adds D ln 2.
    low = 12 * math.log(2e3) + np.bincount(labels) @ (digamma(np.bincount(labels)) - digamma(3)) / 150
    assert tmi(features, labels, least_distance=1e3) == pytest.approx(low, rel=1e-12)
    gain = tmi(2 * features, labels, least_distance=2e-9) - tmi(features, labels, least_distance=1e-9)
    assert gain == pytest.approx(12 * math.log(2), rel=1e-9)
    uniform = np.random.default_rng(4).random((6000, 2)) * 5
    assert tmi(uniform, np.repeat([0, 1], 3000), least_distance=1e-6) == pytest.approx(2 * math.log(5), abs=0.1)


def test_interclass_distance_of_separate_points_and_of_constant_features():
    labels = np.array([0, 0, 0, 1, 2])
    assert interclass_distance(np.array([[0.0], [0], [0], [3], [4]]), labels) == pytest.approx((3 + 4 + 1) / 3)
    assert interclass_distance(np.full((5, 2), 7.0), labels) == 0.0


def test_concept_variance_of_separated_equal_and_isolated_samples():
    corners = np.repeat(np.eye(2) @ np.array([[0.0, 0], [1, 1]]), 4, axis=0)
    assert concept_variance(corners, np.repeat([0, 1], 4)) == 0.0
    assert concept_variance(np.zeros((6, 2)), np.array([0, 0, 0, 1, 1, 1])) == pytest.approx(-3 / 5)
    # For the sample in the opposite corner, all remaining samples differ in class: a share of 1, at any weight.
    assert concept_variance(np.array([[0.0], [0], [0], [1]]), np.array([0, 0, 0, 1])) == pytest.approx(-1 / 4)


@pytest.mark.parametrize("score", [interclass_distance, concept_variance])
def test_real_labels_score_higher_than_shuffled_labels(score):
    features, labels = labelled_features(5)
    shuffled = [score(features, np.random.default_rng(s).permutation(labels)) for s in range(5)]
    assert score(features, labels) > max(shuffled)


def test_tmi_is_higher_for_spread_within_classes():
    features, labels = labelled_features(6, smallest=5)
    shuffled = np.random.default_rng(7).permutation(labels)
    assert tmi(features, shuffled) > tmi(features, labels)


def test_invalid_options_and_small_classes_are_rejected():
    features, labels = labelled_features(8, smallest=5)
    with pytest.raises(InputError, match="class 3 has one sample, tmi needs more than k=3"):
        tmi(features, np.concatenate([labels[:-1], [3]]))
    with pytest.raises(InputError, match="class 3 has 3 samples"):
        tmi(features, np.concatenate([labels[:-3], [3, 3, 3]]))
    with pytest.raises(InputError, match="k=0"):
        tmi(features, labels, k=0)
    with pytest.raises(InputError, match=r"least_distance=0\.0"):
        tmi(features, labels, least_distance=0.0)
    with pytest.raises(InputError, match=r"alpha=0\.0"):
        concept_variance(features, labels, alpha=0.0)
