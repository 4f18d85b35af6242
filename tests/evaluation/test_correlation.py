"""Correlations: bounds, constants, and the literal sums they abbreviate."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from transfer_exp.errors import InputError
from transfer_exp.evaluation.correlation import kendall, pearson, spearman, weighted_tau


def by_accuracy(scores, accuracies):
    return weighted_tau(scores, accuracies, "by_accuracy")


ALL = [weighted_tau, by_accuracy, kendall, spearman, pearson]
values = st.lists(st.integers(-4, 4), min_size=2, max_size=9)


def literal_weighted_tau(scores, accuracies, leading):
    """Vigna's sum over pairs; ranks by ``leading``, equal ones by the other side."""
    other = accuracies if leading is scores else scores
    order = np.lexsort((other, leading))[::-1]
    rank = np.empty(len(order))
    rank[order] = np.arange(len(order))

    def product(a, b):
        pairs = [(i, j) for i in range(len(a)) for j in range(i)]
        weight = [1 / (rank[i] + 1) + 1 / (rank[j] + 1) for i, j in pairs]
        return sum(w * np.sign(a[i] - a[j]) * np.sign(b[i] - b[j]) for w, (i, j) in zip(weight, pairs, strict=True))

    return product(scores, accuracies) / np.sqrt(product(scores, scores) * product(accuracies, accuracies))


@given(values, st.randoms(use_true_random=False))
def test_weighted_tau_is_the_sum_over_pairs(drawn, random):
    scores = np.array(drawn, dtype=float)
    accuracies = np.array(random.sample(range(20), len(drawn)), dtype=float)
    if len(set(drawn)) == 1:
        return
    first = literal_weighted_tau(scores, accuracies, scores)
    second = literal_weighted_tau(scores, accuracies, accuracies)
    assert weighted_tau(scores, accuracies) == pytest.approx((first + second) / 2, abs=1e-12)
    assert by_accuracy(scores, accuracies) == pytest.approx(second, abs=1e-12)


@pytest.mark.parametrize("measure", ALL)
@given(values, st.randoms(use_true_random=False))
def test_every_correlation_is_finite_bounded_and_blind_to_order(measure, drawn, random):
    scores = np.array(drawn, dtype=float)
    accuracies = np.array([random.randint(0, 4) for _ in drawn], dtype=float)
    order = np.array(random.sample(range(len(drawn)), len(drawn)))
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
def test_what_is_not_finite_is_refused(measure, bad):
    with pytest.raises(InputError, match="scores must be finite: number 1"):
        measure(np.array([0.0, bad, 1.0]), np.arange(3.0))
    with pytest.raises(InputError, match="accuracies must be finite: number 2"):
        measure(np.arange(3.0), np.array([0.0, 1.0, bad]))


@pytest.mark.parametrize("measure", ALL)
@pytest.mark.parametrize("models", [0, 1])
def test_fewer_than_two_models_are_refused(measure, models):
    with pytest.raises(InputError, match="need two or more"):
        measure(np.arange(float(models)), np.arange(float(models)))


def test_an_unknown_convention_is_refused_with_the_nearest_one():
    with pytest.raises(InputError, match="did you mean symmetric"):
        weighted_tau(np.arange(3.0), np.arange(3.0), "symetric")
