"""Measures of a classifier, compared with their literal definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax
from scipy.stats import spearmanr
from sklearn import metrics as skm

from transfer_exp.errors import InputError
from transfer_exp.ground_truth.measure import accuracy, compute_measure, map_11point, mean_per_class_accuracy


def test_a_rare_class_counts_as_much_as_a_frequent_one():
    labels = np.array([0] * 9 + [1])
    scores = np.tile([1.0, 0.0], (10, 1))
    assert accuracy(scores, labels) == 0.9
    assert mean_per_class_accuracy(scores, labels) == 0.5


def _eleven_points(scores, truth):
    """Everingham et al. 2010, sec. 4.2, point by point."""
    order = sorted(range(len(scores)), key=lambda i: -scores[i])
    points = []
    for k in range(1, len(order) + 1):
        hits = sum(truth[i] for i in order[:k])
        points.append((hits / sum(truth), hits / k))
    return sum(max(p for r, p in points if r >= level / 10 - 1e-12) for level in range(11)) / 11


@given(st.integers(2, 25), st.integers(0, 10_000))
def test_average_precision_equals_the_published_definition(samples, seed):
    rng = np.random.default_rng(seed)
    scores, targets = rng.normal(size=(samples, 3)), rng.integers(0, 2, (samples, 3))
    targets[0] = 1
    expected = np.mean([_eleven_points(scores[:, c], targets[:, c]) for c in range(3)])
    assert map_11point(scores, targets) == pytest.approx(expected)


def test_a_perfect_order_has_precision_one():
    targets = np.array([[1, 0], [1, 1], [0, 1]])
    assert map_11point(targets.astype(float), targets) == 1


def test_a_measure_is_selected_by_name():
    scores, labels = np.eye(3)[[0, 1, 1]], np.array([0, 1, 2])
    assert compute_measure("accuracy", scores, labels, None) == pytest.approx(2 / 3)
    assert compute_measure("map_11point", scores, labels, None) == map_11point(scores, np.eye(3, dtype=np.int64))


def test_average_precision_without_a_positive_sample_is_refused():
    with pytest.raises(InputError, match="no test image has a label"):
        map_11point(np.ones((3, 2)), np.zeros((3, 2), dtype=np.int64))


@pytest.mark.parametrize("seed", range(5))
def test_measures_of_several_labels_equal_those_of_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    scores, targets = rng.normal(size=(30, 4)), rng.integers(0, 2, (30, 4))
    targets[0], targets[1] = 1, 0
    targets[1, 2] = 1
    is_predicted, labels = scores > 0, targets.argmax(axis=1)
    expected = {
        "mean_average_precision": skm.average_precision_score(targets, scores, average="macro"),
        "macro_auroc": skm.roc_auc_score(targets, scores, average="macro"),
        "macro_f1": skm.f1_score(targets, is_predicted, average="macro"),
        "micro_f1": skm.f1_score(targets, is_predicted, average="micro"),
        "label_ranking_average_precision": skm.label_ranking_average_precision_score(targets, scores),
    }
    for name, value in expected.items():
        assert compute_measure(name, scores, labels, targets) == pytest.approx(value), name


@pytest.mark.parametrize("seed", range(5))
def test_measures_of_one_class_equal_those_of_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    scores, labels = rng.normal(size=(40, 4)), rng.integers(0, 4, 40)
    probabilities, predicted = softmax(scores, axis=1), scores.argmax(axis=1)
    expected = {
        "macro_f1": skm.f1_score(labels, predicted, average="macro"),
        "macro_auroc": skm.roc_auc_score(labels, probabilities, multi_class="ovr"),
        "mean_per_class_accuracy": skm.balanced_accuracy_score(labels, predicted),
    }
    for name, value in expected.items():
        assert compute_measure(name, scores, labels, None) == pytest.approx(value), name


def test_measures_of_numbers_equal_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    predicted, numbers = rng.normal(size=(20, 1)), rng.normal(size=(20, 1))
    labels = np.zeros(20, dtype=np.int64)
    assert compute_measure("r2", predicted, labels, numbers) == pytest.approx(skm.r2_score(numbers, predicted))
    expected = spearmanr(numbers[:, 0], predicted[:, 0]).statistic
    assert compute_measure("spearman", predicted, labels, numbers) == pytest.approx(expected)
    assert compute_measure("spearman", np.ones((20, 1)), labels, numbers) == 0


def test_a_measure_without_any_class_to_compare_is_refused():
    with pytest.raises(InputError, match="each class is on all test images or on none"):
        compute_measure("macro_auroc", np.ones((3, 2)), np.zeros(3, dtype=np.int64), np.array([[1, 0]] * 3))


@pytest.mark.parametrize("seed", range(3))
def test_errors_of_numbers_equal_those_of_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    predicted, numbers, labels = rng.normal(size=(20, 1)), rng.normal(size=(20, 1)), np.zeros(20, dtype=np.int64)
    expected = {
        "rmse": skm.root_mean_squared_error(numbers, predicted),
        "mae": skm.mean_absolute_error(numbers, predicted),
    }
    for name, value in expected.items():
        assert compute_measure(name, predicted, labels, numbers) == pytest.approx(value), name


def _macro_mae(grades, predicted):
    """Baccianella et al. 2009, eq. 3, with the error within one grade from scikit-learn."""
    return np.mean([skm.mean_absolute_error(grades[grades == g], predicted[grades == g]) for g in set(grades)])


@pytest.mark.parametrize("seed", range(5))
def test_measures_of_grades_equal_those_of_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    scores, labels = rng.normal(size=(60, 4)), rng.choice(4, 60, p=[0.6, 0.2, 0.1, 0.1])
    predicted = scores.argmax(axis=1)
    kappa = skm.cohen_kappa_score(labels, predicted, weights="quadratic", labels=range(4))
    assert compute_measure("quadratic_weighted_kappa", scores, labels, None) == pytest.approx(kappa)
    assert compute_measure("macro_mae", scores, labels, None) == pytest.approx(_macro_mae(labels, predicted))


@pytest.mark.parametrize("seed", range(5))
def test_numbers_are_rounded_to_the_grades_that_occur(seed):
    rng = np.random.default_rng(seed)
    numbers = rng.integers(1, 6, (60, 1)).astype(float)
    predicted, labels = numbers + rng.normal(0, 2, (60, 1)), np.zeros(60, dtype=np.int64)
    grades, nearest = numbers[:, 0].astype(int), np.clip(np.rint(predicted[:, 0]), 1, 5).astype(int)
    kappa = skm.cohen_kappa_score(grades, nearest, weights="quadratic", labels=range(1, 6))
    assert compute_measure("quadratic_weighted_kappa", predicted, labels, numbers) == pytest.approx(kappa)
    assert compute_measure("macro_mae", predicted, labels, numbers) == pytest.approx(_macro_mae(grades, nearest))


def test_limits_of_the_measures_of_grades():
    grades = np.array([[0.0], [1.0], [2.0], [2.0]])
    labels, always_two = np.zeros(4, dtype=np.int64), np.full((4, 1), 2.0)
    assert compute_measure("quadratic_weighted_kappa", grades, labels, grades) == 1
    assert compute_measure("quadratic_weighted_kappa", always_two, labels, grades) == pytest.approx(0)
    assert compute_measure("quadratic_weighted_kappa", always_two, labels, always_two) == 1
    assert compute_measure("macro_mae", grades, labels, grades) == 0
    assert compute_measure("macro_mae", always_two, labels, grades) == pytest.approx((2 + 1 + 0) / 3)
    with pytest.raises(InputError, match=r"the number 0.5 is not a grade, which is a whole number: use measure=mae"):
        compute_measure("macro_mae", grades, labels, grades + 0.5)
