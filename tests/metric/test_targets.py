"""Scores for several labels per image, or numbers: equal to those of one class where both apply, and to oracles."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.metrics import r2_score

from transfer_exp.errors import InputError
from transfer_exp.metric import targets as on_targets
from transfer_exp.metric.cka import CKA
from transfer_exp.metric.h_score import HScore
from transfer_exp.metric.knn import KNN, knn_labels, knn_numbers
from transfer_exp.metric.lfc import LFC
from transfer_exp.metric.logme import LogME, logme_regression, standardised_logme_regression
from transfer_exp.metric.parc import PARC, parc_labels
from transfer_exp.metric.ridge import PENALTIES, ridge
from transfer_exp.metric.ridge import Ridge as RidgeMetric
from transfer_exp.statistics.class_statistics import class_statistics

RNG = np.random.default_rng(0)
CLASSES = RNG.integers(0, 4, 60)
FEATURES = RNG.standard_normal((60, 9)) + 5 + 1.5 * np.eye(4, 9)[CLASSES]
ONE_HOT = np.eye(4, dtype=np.int64)[CLASSES]
SEVERAL = np.maximum(ONE_HOT, RNG.random((60, 4)) < 0.2).astype(np.int64)
NUMBERS = (FEATURES[:, :1] * 3 + RNG.standard_normal((60, 1))).astype(np.float64)


@pytest.mark.parametrize("metric", [CKA(), LFC(), HScore(), PARC(), KNN(), LogME()], ids=lambda metric: metric.name)
def test_one_label_per_image_is_one_class_per_image(metric):
    values = {"features": FEATURES, "labels": CLASSES, "class_statistics": class_statistics(FEATURES, CLASSES)}
    expected = metric(*(values[name] for name in metric.inputs))
    assert metric.score_targets(FEATURES, ONE_HOT, "multi_label") == pytest.approx(expected, rel=1e-9)


def test_lfc_is_the_correlation_of_two_matrices():
    agreement = (SEVERAL[:, None] == SEVERAL[None]).mean(axis=2)
    expected = np.corrcoef((FEATURES @ FEATURES.T).ravel(), agreement.ravel())[0, 1]
    assert on_targets.lfc(FEATURES, SEVERAL) == pytest.approx(expected)


def test_parc_is_the_rank_correlation_over_pairs():
    x = (FEATURES - FEATURES.mean(axis=0)) / FEATURES.std(axis=0)
    pairs = np.triu_indices(60, 1)
    both = (SEVERAL[:, None] & SEVERAL[None]).sum(axis=2)
    either = (SEVERAL[:, None] | SEVERAL[None]).sum(axis=2)
    expected = spearmanr((1 - np.corrcoef(x))[pairs], (1 - both / either)[pairs]).statistic
    assert parc_labels(FEATURES, SEVERAL) == pytest.approx(expected, abs=1e-9)


def test_the_h_score_of_a_number_is_the_r2_of_least_squares():
    expected = LinearRegression().fit(FEATURES, NUMBERS).score(FEATURES, NUMBERS)
    assert on_targets.h_score(FEATURES, NUMBERS) == pytest.approx(expected)


@pytest.mark.parametrize("k", [1, 3])
def test_neighbours_predict_the_mean_of_their_numbers(k):
    distance = np.linalg.norm(FEATURES[:, None] - FEATURES[None], axis=2) + np.diag(np.full(60, np.inf))
    nearest = np.argsort(distance, axis=1)[:, :k]
    predicted = NUMBERS[nearest].mean(axis=1)
    others = (NUMBERS.sum() - NUMBERS) / 59
    expected = 1 - ((NUMBERS - predicted) ** 2).sum() / ((NUMBERS - others) ** 2).sum()
    assert knn_numbers(FEATURES, NUMBERS, k) == pytest.approx(expected)
    assert 0 <= knn_labels(FEATURES, SEVERAL, k) <= 1


@pytest.mark.slow
@pytest.mark.parametrize("dim", [9, 3])
def test_ridge_is_the_best_explicit_leave_one_out(dim):
    x = (FEATURES - FEATURES.mean(axis=0))[:, :dim]
    x = np.pad(x / x.std(axis=0), ((0, 0), (0, 1)))  # a constant feature changes nothing
    unit = (np.linalg.svd(x[:, :dim], compute_uv=False) ** 2).mean()
    scores = []
    for penalty in PENALTIES:
        predicted = []
        for i in range(60):
            rest = np.delete(np.arange(60), i)
            model = Ridge(penalty * unit, solver="svd")
            # The intercept is fitted to centred features, as if the sample had been there when they were centred.
            model.fit(x[rest], NUMBERS[rest])
            predicted.append(model.predict(x[[i]]))
        others = (NUMBERS.sum() - NUMBERS) / 59
        error = ((NUMBERS - np.concatenate(predicted).reshape(60, 1)) ** 2).sum()
        scores.append(1 - error / ((NUMBERS - others) ** 2).sum())
    padded = np.pad(FEATURES[:, :dim], ((0, 0), (0, 1)))
    assert ridge(padded[:, :dim], NUMBERS) == pytest.approx(max(scores), rel=1e-6)


def test_ridge_of_numbers_without_relation_is_near_zero():
    rng = np.random.default_rng(1)
    scores = [ridge(rng.standard_normal((100, 5)), rng.standard_normal((100, 1))) for _ in range(20)]
    assert -0.05 < np.mean(scores) < 0.05


def test_the_linear_classifier_prefers_features_that_show_the_labels():
    noise = np.random.default_rng(2).standard_normal((60, 9))
    good = on_targets.linear_classifier(noise + 4 * np.pad(SEVERAL, ((0, 0), (0, 5))), SEVERAL)
    assert on_targets.linear_classifier(noise, SEVERAL) < good <= 1
    order = np.random.default_rng(3).permutation(60)
    again = on_targets.linear_classifier(noise[order], SEVERAL[order])
    assert again == pytest.approx(on_targets.linear_classifier(noise, SEVERAL))


@pytest.mark.parametrize(
    ("function", "features", "targets", "message"),
    [
        (on_targets.cka, np.ones((60, 3)), SEVERAL, "every feature is constant, so cka is undefined"),
        (on_targets.cka, FEATURES, np.ones((60, 2), dtype=np.int64), "all samples have the same target"),
        (knn_labels, FEATURES[:1], SEVERAL[:1], "one sample only"),
        (on_targets.h_score, FEATURES, np.where(NUMBERS.max() - 1 < NUMBERS, np.nan, NUMBERS), "targets hold NaN"),
        (ridge, FEATURES * np.nan, NUMBERS, "features hold NaN"),
        (ridge, FEATURES[:1], NUMBERS[:1], "one sample only"),
        (on_targets.linear_classifier, FEATURES, np.eye(60, 2, dtype=np.int64), "no label is on two images"),
    ],
)
def test_targets_that_cannot_be_scored_are_refused(function, features, targets, message):
    with pytest.raises(InputError, match=message):
        function(features, targets)


OFFSETS_AND_UNITS = [(273.15, 1), (1990, 1), (-1e6, 1), (0, 1e-300), (0, 1e-8), (0, 1e8), (0, 1e305), (1e305, 1e303)]


@pytest.mark.parametrize(("offset", "unit"), OFFSETS_AND_UNITS)
@pytest.mark.parametrize("metric", [LogME(), RidgeMetric(), KNN(k=3), CKA(), HScore()], ids=lambda metric: metric.name)
def test_offset_and_unit_of_numbers_change_no_score(metric, offset, unit):
    rng = np.random.default_rng(0)
    years = rng.uniform(0, 40, (200, 1))
    bad, good = (rng.normal(size=(200, 16)) + 1 for _ in range(2))
    bad[:, :1] += years / 40
    good[:, :1] += years / 5 - 4
    expected = [metric.score_targets(features, years, "regression") for features in (bad, good)]
    scores = [metric.score_targets(features, offset + unit * years, "regression") for features in (bad, good)]
    assert scores == pytest.approx(expected, rel=1e-6)
    assert scores[1] > scores[0] + 0.1


def test_logme_of_numbers_is_the_published_formula_of_standardised_numbers():
    standardised = (NUMBERS - NUMBERS.mean()) / NUMBERS.std()
    assert standardised_logme_regression(FEATURES, NUMBERS) == pytest.approx(
        logme_regression(FEATURES, standardised), rel=1e-12
    )
    with pytest.raises(InputError, match="all samples have the same target, so LogME is undefined"):
        standardised_logme_regression(FEATURES, np.full((60, 1), 0.1))


def test_a_constant_number_counts_as_zero():
    assert r2_score([1.0, 2.0], [1.5, 1.5]) == 0
    assert on_targets.leave_one_out_r2(np.ones((5, 1)), np.zeros((5, 1))) == 0
