"""Extreme values that theory predicts for the posterior, evidence and source-label metrics."""

import numpy as np
import pytest
from conftest import on_samples

from transfer_exp.errors import InputError
from transfer_exp.metric.h_score import h_score
from transfer_exp.metric.lda import lda
from transfer_exp.metric.leep import leep
from transfer_exp.metric.logme import logme
from transfer_exp.metric.nce import nce
from transfer_exp.metric.ncm import ncm
from transfer_exp.metric.sfda import sfda
from transfer_exp.metric.sfda_released import sfda_released

LABELS = np.repeat(np.arange(4), [30, 20, 10, 5])

h_score, logme = map(on_samples, (h_score, logme))
SHARES = np.array([30, 20, 10, 5]) / 65
ENTROPY = float(-(SHARES * np.log(SHARES)).sum())
CONSTANT = np.full((65, 6), 0.1)


def noise(dim=6, scale=1.0):
    return scale * np.random.default_rng(3).standard_normal((65, dim))


def separated(gap):
    """Return features of four classes on the axes, at distance ``gap`` from the origin."""
    return gap * np.eye(4, 6)[LABELS] + noise(scale=0.1)


@pytest.mark.parametrize("metric", [leep, nce])
def test_perfect_source_scores_zero_even_with_unused_source_classes(metric):
    assert metric(np.eye(7)[LABELS + 2], LABELS) == 0.0


@pytest.mark.parametrize("metric", [leep, nce])
def test_uninformative_source_scores_minus_the_label_entropy(metric):
    assert metric(np.full((65, 5), 0.2), LABELS) == pytest.approx(-ENTROPY)
    assert metric(np.full((8, 5), 0.2), np.arange(8) % 4) == pytest.approx(np.log(1 / 4))


@pytest.mark.parametrize("metric", [leep, nce])
@pytest.mark.parametrize("values", [np.full((65, 5), 0.3), noise(), np.tile([1.5, -0.5], (65, 1))])
def test_values_that_are_not_probabilities_are_rejected(metric, values):
    with pytest.raises(InputError, match="softmax"):
        metric(values, LABELS)


def test_leep_grows_with_confidence_in_the_true_class():
    right = np.eye(4)[LABELS]
    scores = [leep(t * right + (1 - t) / 4, LABELS) for t in (0.0, 0.3, 0.6, 0.9, 1.0)]
    assert scores == sorted(scores)
    assert scores[0] < scores[1]


def test_h_score_is_between_zero_and_its_rank_bound():
    assert h_score(CONSTANT, LABELS) == 0.0
    assert 0 < h_score(noise(2), LABELS) < 2
    assert h_score(4.0 * np.eye(4)[LABELS] + 7, LABELS) == pytest.approx(3)
    assert h_score(noise(200), LABELS) == pytest.approx(3)


def test_h_score_ignores_repeated_and_constant_dimensions():
    features = noise() + np.eye(4, 6)[LABELS]
    padded = np.concatenate([features, features[:, :2], CONSTANT], axis=1)
    assert h_score(padded, LABELS) == pytest.approx(h_score(features, LABELS), rel=1e-9)


def test_logme_rejects_zero_features_and_accepts_constant_features():
    with pytest.raises(InputError, match="zero"):
        logme(np.zeros((65, 6)), LABELS)
    assert logme(CONSTANT, LABELS) < logme(separated(3), LABELS)


def test_logme_is_finite_if_the_features_fit_every_label_exactly():
    for scale in (1.0, 1e4, 1e8):
        assert np.isfinite(logme(scale * np.eye(65), LABELS))


def test_logme_ignores_zero_dimensions_while_there_are_more_samples_than_dimensions():
    features = noise(10) + np.eye(4, 10)[LABELS]
    padded = np.concatenate([features, np.zeros((65, 40))], axis=1)
    assert logme(padded, LABELS) == pytest.approx(logme(features, LABELS), rel=1e-9)


@pytest.mark.parametrize("metric", [lda, ncm, sfda_released])
def test_posterior_is_one_for_separated_classes_and_chance_without_signal(metric):
    assert metric(separated(30), LABELS) == pytest.approx(1.0, abs=1e-6)
    assert metric(noise(1, 0.01) if metric is ncm else noise(1), LABELS) == pytest.approx((SHARES**2).sum(), abs=0.05)


def test_ncm_of_constant_features_is_the_prior():
    assert ncm(CONSTANT, LABELS) == pytest.approx((SHARES**2).sum())


@pytest.mark.parametrize("metric", [lda, sfda_released])
@pytest.mark.parametrize("features", [CONSTANT, np.eye(4)[LABELS] / 3 + 0.1], ids=["constant", "collapsed"])
def test_classes_without_variance_are_rejected(metric, features):
    with pytest.raises(InputError, match="class mean"):
        metric(features, LABELS)


def test_lda_rejects_shrinkage_that_is_out_of_range_or_too_small():
    with pytest.raises(InputError, match="shrinkage"):
        lda(noise(), LABELS, shrinkage=1.5)
    with pytest.raises(InputError, match="shrinkage 0"):
        lda(np.concatenate([noise(), np.zeros((65, 1))], axis=1), LABELS, shrinkage=0.0)


def test_lda_is_invariant_to_affine_maps_without_shrinkage_only():
    features = noise() + np.eye(4, 6)[LABELS]
    skewed = features @ np.triu(np.ones((6, 6))) + 5
    assert lda(skewed, LABELS, shrinkage=0.0) == pytest.approx(lda(features, LABELS, shrinkage=0.0), rel=1e-9)
    assert lda(skewed, LABELS, shrinkage=1.0) != pytest.approx(lda(features, LABELS, shrinkage=1.0), rel=1e-3)


def test_sfda_accepts_scatter_with_rows_that_sum_to_zero():
    features = np.outer(noise(1)[:, 0], [1.0, -1.0]) + np.eye(4, 2)[LABELS]
    centred = features - np.stack([features[c == LABELS].mean(axis=0) for c in range(4)])[LABELS]
    assert np.allclose(centred.sum(axis=1), 0)
    assert 0 < sfda_released(features, LABELS) <= 1


def test_sfda_distinguishes_models_for_which_its_release_saturates():
    features = [separated(gap) for gap in (2.5, 3)]
    assert sfda_released(features[0], LABELS) == sfda_released(features[1], LABELS) == 1.0
    assert sfda(features[0], LABELS) < sfda(features[1], LABELS) < 0
