"""Correlations: bounds, constants, literal sums, and batches that equal single rankings."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from transfer_exp.errors import InputError
from transfer_exp.evaluation.correlation import (
    kendall,
    pearson,
    pool_taus,
    spearman,
    weighted_tau,
    weighted_tau_many,
)

RNG = np.random.default_rng(0)


def by_accuracy(scores, accuracies):
    return weighted_tau(scores, accuracies, "by_accuracy")


ALL = [weighted_tau, by_accuracy, kendall, spearman, pearson]
values = st.lists(st.integers(-4, 4), min_size=2, max_size=9)


def literal_weighted_tau(scores, accuracies, primary):
    """Vigna's sum over pairs; ranks by ``primary``, ties by the other side."""
    secondary = accuracies if primary is scores else scores
    order = np.lexsort((secondary, primary))[::-1]
    rank = np.empty(len(order))
    rank[order] = np.arange(len(order))

    def product(a, b):
        pairs = [(i, j) for i in range(len(a)) for j in range(i)]
        weight = [1 / (rank[i] + 1) + 1 / (rank[j] + 1) for i, j in pairs]
        return sum(w * np.sign(a[i] - a[j]) * np.sign(b[i] - b[j]) for w, (i, j) in zip(weight, pairs, strict=True))

    return product(scores, accuracies) / np.sqrt(product(scores, scores) * product(accuracies, accuracies))


@given(values, st.randoms(use_true_random=False))
def test_weighted_tau_is_the_sum_over_pairs(values_drawn, random):
    scores = np.array(values_drawn, dtype=float)
    accuracies = np.array(random.sample(range(20), len(values_drawn)), dtype=float)
    if len(set(values_drawn)) == 1:
        return
    first = literal_weighted_tau(scores, accuracies, scores)
    second = literal_weighted_tau(scores, accuracies, accuracies)
    assert weighted_tau(scores, accuracies) == pytest.approx((first + second) / 2, abs=1e-12)
    assert by_accuracy(scores, accuracies) == pytest.approx(second, abs=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("measure", ALL)
@given(values, st.randoms(use_true_random=False))
def test_every_correlation_is_finite_bounded_and_independent_of_model_order(measure, values_drawn, random):
    scores = np.array(values_drawn, dtype=float)
    accuracies = np.array([random.randint(0, 4) for _ in values_drawn], dtype=float)
    order = np.array(random.sample(range(len(values_drawn)), len(values_drawn)))
    value = measure(scores, accuracies)
    assert -1 - 1e-12 <= value <= 1 + 1e-12
    assert measure(scores[order], accuracies[order]) == pytest.approx(value, abs=1e-12)


@pytest.mark.parametrize("measure", ALL)
def test_the_same_order_gives_one_and_the_reverse_minus_one(measure):
    ascending = np.arange(6.0)
    assert measure(ascending, ascending * 2 + 1) == pytest.approx(1)
    assert measure(-ascending, ascending) == pytest.approx(-1)


@pytest.mark.parametrize("measure", ALL)
@pytest.mark.parametrize("constant", [0.1, 0.0, 1e300])
def test_a_constant_side_is_zero(measure, constant):
    level, rising = np.full(5, constant), np.arange(5.0)
    assert measure(level, rising) == 0
    assert measure(rising, level) == 0


@pytest.mark.parametrize("scale", [1e-200, 1.0, 1e300])
def test_pearson_does_not_depend_on_scale(scale):
    scores, accuracies = np.array([1.0, 4.0, 2.0, 8.0]), np.array([0.1, 0.5, 0.6, 0.7])
    assert pearson(scores * scale, accuracies) == pytest.approx(stats.pearsonr(scores, accuracies).statistic)


def test_a_swap_at_the_top_costs_more_than_one_at_the_bottom():
    accuracies = np.array([0.9, 0.8, 0.7, 0.6, 0.5])
    top, bottom = np.array([4.0, 5, 3, 2, 1]), np.array([5.0, 4, 3, 1, 2])
    assert weighted_tau(top, accuracies) < weighted_tau(bottom, accuracies)
    assert kendall(top, accuracies) == pytest.approx(kendall(bottom, accuracies))


@pytest.mark.parametrize("measure", ALL)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused(measure, bad):
    with pytest.raises(InputError, match="scores must be finite: number 1"):
        measure(np.array([0.0, bad, 1.0]), np.arange(3.0))
    with pytest.raises(InputError, match="accuracies must be finite: number 2"):
        measure(np.arange(3.0), np.array([0.0, 1.0, bad]))


@pytest.mark.parametrize("measure", ALL)
@pytest.mark.parametrize("models", [0, 1])
def test_fewer_than_two_models_are_refused(measure, models):
    with pytest.raises(InputError, match="need two or more"):
        measure(np.arange(float(models)), np.arange(float(models)))


def test_an_unknown_convention_is_refused_with_a_suggestion():
    with pytest.raises(InputError, match="did you mean symmetric"):
        weighted_tau(np.arange(3.0), np.arange(3.0), "symetric")


def one_by_one(scores, accuracies):
    return [weighted_tau(s, a) for s, a in zip(scores, accuracies, strict=True)]


@given(st.integers(1, 4), st.integers(2, 12), st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_the_batch_equals_the_single_weighted_tau_with_ties(draws, models, distinct, seed):
    scores, accuracies = np.random.default_rng(seed).integers(0, distinct, (2, draws, models)).astype(float)
    np.testing.assert_allclose(
        weighted_tau_many(scores, accuracies), one_by_one(scores, accuracies), atol=1e-12, rtol=0
    )


@pytest.mark.parametrize("models", [2, 11, 23, 40])
def test_the_batch_equals_the_single_weighted_tau_for_random_rows(models):
    scores, accuracies = RNG.normal(size=(2, 40, models))
    np.testing.assert_allclose(
        weighted_tau_many(scores, accuracies), one_by_one(scores, accuracies), atol=1e-12, rtol=0
    )


def test_rows_are_independent_and_a_constant_row_is_zero():
    scores = np.array([[1.0, 2.0, 3.0], [7.0, 7.0, 7.0], [3.0, 2.0, 1.0], [1.0, 2.0, 3.0]])
    accuracies = np.array([[0.1, 0.2, 0.3], [0.1, 0.2, 0.3], [0.1, 0.2, 0.3], [0.5, 0.5, 0.5]])
    np.testing.assert_allclose(weighted_tau_many(scores, accuracies), [1, 0, -1, 0], atol=1e-15)


def test_only_order_counts_even_for_huge_values():
    scores = np.array([[-1.7e308, 1.7e308, 0.0, 5e-324]])
    order = np.array([[0.0, 3.0, 1.0, 2.0]])
    truth = np.array([[0.2, 0.1, 0.4, 0.3]])
    assert weighted_tau_many(scores, truth) == weighted_tau_many(order, truth)
    assert weighted_tau_many(scores, scores) == pytest.approx(1)


def test_a_pool_is_its_models_and_copies_of_a_model_are_tied():
    scores, accuracies = RNG.normal(size=(2, 6))
    pools = np.array([[0, 2, 3, 5], [5, 3, 2, 0], [1, 1, 4, 4], [2, 2, 2, 2]])
    taus = pool_taus(scores, accuracies, pools)
    assert taus[0] == pytest.approx(weighted_tau(scores[[0, 2, 3, 5]], accuracies[[0, 2, 3, 5]]), abs=1e-12)
    assert taus[1] == pytest.approx(taus[0], abs=1e-12)
    assert taus[2] == pytest.approx(np.sign((scores[1] - scores[4]) * (accuracies[1] - accuracies[4])))
    assert taus[3] == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_the_error_names_row_and_model_of_a_value_that_is_not_finite(bad):
    wrong, right = np.ones((3, 4)), np.ones((3, 4))
    wrong[1, 2] = bad
    with pytest.raises(InputError, match="scores must be finite: model 2 of row 1"):
        weighted_tau_many(wrong, right)
    with pytest.raises(InputError, match="accuracies must be finite: model 2 of row 1"):
        weighted_tau_many(right, wrong)
    with pytest.raises(InputError, match="scores must be finite: number 2"):  # the index of the model, not of the draw
        pool_taus(wrong[1], right[1], np.array([[2, 0, 1]]))


def test_a_batch_needs_two_models():
    with pytest.raises(InputError, match="two or more models"):
        weighted_tau_many(np.ones((5, 1)), np.ones((5, 1)))
