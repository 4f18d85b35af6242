"""What a pool leaves to be ranked, against the sums these measures abbreviate."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from transfer_exp.errors import InputError
from transfer_exp.evaluation.correlation import weighted_tau
from transfer_exp.evaluation.dispersion import accuracy_spread, grouped_tau, kendalls_w, rank_deviation

shapes = st.tuples(st.integers(2, 6), st.integers(3, 8), st.integers(0, 2**32 - 1))


@given(shapes)
def test_w_follows_from_spearman_without_ties_and_splits_the_variance_of_ranks(drawn):
    datasets, models, seed = drawn
    table = np.random.default_rng(seed).normal(size=(datasets, models))
    rho = np.mean([stats.spearmanr(a, b).statistic for a, b in combinations(table, 2)])
    w = kendalls_w(table)
    assert (datasets * w - 1) / (datasets - 1) == pytest.approx(rho, abs=1e-12)
    assert (rank_deviation(table) ** 2).mean() == pytest.approx((1 - w) * (models**2 - 1) / 12, abs=1e-12)


@given(shapes, st.integers(2, 4))
def test_w_with_ties_is_friedmans_statistic(drawn, distinct):
    datasets, models, seed = drawn
    table = np.random.default_rng(seed).integers(0, distinct, (datasets, models)).astype(float)
    if (table == table[:, :1]).all():
        assert kendalls_w(table) == 0
        return
    friedman = stats.friedmanchisquare(*table.T).statistic
    assert kendalls_w(table) == pytest.approx(friedman / (datasets * (models - 1)), abs=1e-12)


def test_w_knows_one_order_two_opposite_ones_and_chance():
    rising = np.arange(5.0)
    assert kendalls_w(np.stack([rising, rising**3, rising - 9])) == pytest.approx(1)
    assert kendalls_w(np.stack([rising, -rising])) == pytest.approx(0)
    tables = np.random.default_rng(0).normal(size=(300, 4, 6))
    assert np.mean([kendalls_w(table) for table in tables]) == pytest.approx(1 / 4, abs=0.03)


def test_rank_deviation_names_the_model_that_moves():
    table = np.array([[0.9, 0.8, 0.1, 0.2], [0.9, 0.1, 0.8, 0.2], [0.9, 0.8, 0.1, 0.2]])
    found = rank_deviation(table)
    np.testing.assert_allclose(found, [np.std([1, 1, 1]), np.std([2, 4, 2]), np.std([4, 2, 4]), np.std([3, 3, 3])])


@pytest.mark.parametrize("measure", [kendalls_w, rank_deviation])
def test_too_small_or_incomplete_tables_are_refused(measure):
    for shape in ((1, 5), (5, 1), (0, 3)):
        with pytest.raises(InputError, match="two or more datasets and models"):
            measure(np.zeros(shape))
    with pytest.raises(InputError, match="model 1 on dataset 0"):
        measure(np.array([[0.1, np.nan], [0.2, 0.3]]))


def test_spread_is_in_points():
    found = accuracy_spread(np.array([0.70, 0.90, 0.87, 0.75]))
    assert (found.whole, found.lead) == pytest.approx((20, 3))
    assert found.deviation == pytest.approx(np.std([70, 90, 87, 75]))
    assert accuracy_spread(np.array([0.5, 0.9, 0.9])).lead == 0


@pytest.mark.parametrize("wrong", [[0.5], [], [0.5, np.nan], [50.0, 90.0], [-0.1, 0.5]])
def test_spread_refuses_what_is_no_accuracy(wrong):
    with pytest.raises(InputError, match="accuracies in"):
        accuracy_spread(np.array(wrong, dtype=float))


def test_grouped_tau_weighs_groups_by_pairs():
    scores, accuracies = np.random.default_rng(1).normal(size=(2, 8))
    groups = ["resnet", "vit", "resnet", "vit", "resnet", "alexnet", "vit", "vit"]
    resnets, vits = [0, 2, 4], [1, 3, 6, 7]
    taus = [weighted_tau(scores[group], accuracies[group]) for group in (resnets, vits)]
    assert grouped_tau(scores, accuracies, groups) == pytest.approx((3 * taus[0] + 6 * taus[1]) / 9)
    assert grouped_tau(scores, accuracies, ["one"] * 8) == pytest.approx(weighted_tau(scores, accuracies))


def test_grouped_tau_forgets_the_order_of_groups():
    accuracies = np.array([0.1, 0.2, 0.8, 0.9])
    groups = ["small", "small", "large", "large"]
    upside_down = np.array([2.0, 1.0, 4.0, 3.0])  # right between groups, wrong within
    assert weighted_tau(upside_down, accuracies) > 0
    assert grouped_tau(upside_down, accuracies, groups) == pytest.approx(-1)
    assert grouped_tau(np.array([1.0, 2.0, 7.0, 7.0]), accuracies, groups) == pytest.approx(0.5)


def test_grouped_tau_needs_groups():
    rising = np.arange(3.0)
    with pytest.raises(InputError, match="a group for each of 3"):
        grouped_tau(rising, rising, ["a", "b"])
    with pytest.raises(InputError, match="no group has two models"):
        grouped_tau(rising, rising, ["a", "b", "c"])
