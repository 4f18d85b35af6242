"""LogME for regression equals a literal evidence and the released code, and uses labels as numbers."""

import math

import numpy as np
import pytest
from conftest import GOLDEN_CASES, golden_case
from hypothesis import given, settings
from hypothesis import strategies as st

from transfer_exp.errors import InputError
from transfer_exp.metric.logme import LogMERegression, logme_regression


def literal_evidence(x, y):
    """Iterate MacKay's updates with explicit inverses and return the evidence per sample."""
    samples, dim = x.shape
    singular = np.linalg.svd(x, compute_uv=False) ** 2
    alpha = beta = 1.0
    for _ in range(11):
        ratio = alpha / beta
        weights = np.linalg.solve(x.T @ x + ratio * np.eye(dim), x.T @ y)
        gamma = (singular / (singular + ratio)).sum()
        residual = ((y - x @ weights) ** 2).sum()
        alpha, beta = gamma / (weights @ weights + 1e-5), (samples - gamma) / (residual + 1e-5)
        if abs(alpha / beta - ratio) <= 1e-3 * ratio:
            break
    total = dim * math.log(alpha) + samples * math.log(beta) - np.log(alpha + beta * singular).sum()
    total -= beta * residual + alpha * weights @ weights + samples * math.log(2 * math.pi)
    return total / (2 * samples)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.integers(2, 40), st.integers(1, 30), st.integers(1, 4), st.integers(0, 10**6))
def test_score_equals_the_literal_evidence(samples, dim, count, seed):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((samples, dim)) + 1
    y = x @ rng.standard_normal((dim, count)) + 0.5 * rng.standard_normal((samples, count))
    expected = np.mean([literal_evidence(x, column) for column in y.T])
    assert logme_regression(x, y) == pytest.approx(expected, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("case", GOLDEN_CASES)
def test_score_equals_the_released_code(case):
    arrays, expected = golden_case(case)
    features = arrays["features"].astype(float)
    score = logme_regression(features[:, 3:], features[:, :3])
    assert score == pytest.approx(expected["logme_regression_first3"], rel=1e-6)


def example(seed=0):
    rng = np.random.default_rng(seed)
    ages = rng.integers(20, 60, 120)
    return np.column_stack([0.1 * ages, np.ones(120)]) @ rng.standard_normal((2, 8)) + rng.standard_normal(
        (120, 8)
    ), ages


def test_labels_count_as_numbers_and_sample_order_does_not_matter():
    features, ages = example()
    metric = LogMERegression()
    renamed = np.random.default_rng(1).permutation(100)[ages]
    assert metric(features, ages) == logme_regression(features, ages[:, None])
    assert metric(features, ages) > metric(features, renamed)
    order = np.random.default_rng(2).permutation(120)
    assert metric(features[order], ages[order]) == pytest.approx(metric(features, ages), rel=1e-9)


def test_score_is_invariant_to_a_rotation_but_not_to_a_shift():
    features, ages = example()
    rotation = np.linalg.qr(np.random.default_rng(3).standard_normal((8, 8)))[0]
    score = LogMERegression()(features, ages)
    assert LogMERegression()(features @ rotation, ages) == pytest.approx(score, rel=1e-9)
    assert LogMERegression()(features + 5, ages) != pytest.approx(score, rel=1e-6)


@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e8])
def test_any_scale_and_type_gives_a_finite_score(scale):
    features, ages = example()
    assert np.isfinite(LogMERegression()(scale * features, ages))
    assert np.isfinite(LogMERegression()(features.astype(np.float16), ages.astype(np.int8)))


def test_invalid_targets_are_rejected():
    features, ages = example()
    with pytest.raises(InputError, match="targets hold NaN"):
        logme_regression(features, np.full((120, 1), np.nan))
    with pytest.raises(InputError, match="targets must be real"):
        logme_regression(features, np.zeros((120, 0)))
    with pytest.raises(InputError, match="every feature is zero"):
        LogMERegression()(np.zeros((120, 3)), ages)
