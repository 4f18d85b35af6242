"""Spread and concordance of accuracies, against scipy and worked values."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from transfer_exp.errors import InputError
from transfer_exp.evaluation.accuracy_spread import accuracy_spread, kendalls_w

shapes = st.tuples(st.integers(2, 6), st.integers(3, 8), st.integers(0, 2**32 - 1))


@given(shapes)
def test_w_follows_from_spearman_without_ties(drawn):
    datasets, models, seed = drawn
    table = np.random.default_rng(seed).normal(size=(datasets, models))
    rho = np.mean([stats.spearmanr(a, b).statistic for a, b in combinations(table, 2)])
    w = kendalls_w(table)
    assert (datasets * w - 1) / (datasets - 1) == pytest.approx(rho, abs=1e-12)


@given(shapes, st.integers(2, 4))
def test_w_with_ties_is_friedmans_statistic(drawn, distinct):
    datasets, models, seed = drawn
    table = np.random.default_rng(seed).integers(0, distinct, (datasets, models)).astype(float)
    if (table == table[:, :1]).all():
        assert kendalls_w(table) == 0
        return
    friedman = stats.friedmanchisquare(*table.T).statistic
    assert kendalls_w(table) == pytest.approx(friedman / (datasets * (models - 1)), abs=1e-12)


def test_w_is_one_for_equal_orders_zero_for_opposite_ones_and_small_by_chance():
    rising = np.arange(5.0)
    assert kendalls_w(np.stack([rising, rising**3, rising - 9])) == pytest.approx(1)
    assert kendalls_w(np.stack([rising, -rising])) == pytest.approx(0)
    tables = np.random.default_rng(0).normal(size=(300, 4, 6))
    assert np.mean([kendalls_w(table) for table in tables]) == pytest.approx(1 / 4, abs=0.03)


def test_too_small_or_incomplete_tables_are_refused():
    for shape in ((1, 5), (5, 1), (0, 3)):
        with pytest.raises(InputError, match="two or more datasets and models"):
            kendalls_w(np.zeros(shape))
    with pytest.raises(InputError, match="model 1 on dataset 0"):
        kendalls_w(np.array([[0.1, np.nan], [0.2, 0.3]]))


def test_spread_is_in_percentage_points():
    spread = accuracy_spread(np.array([0.70, 0.90, 0.87, 0.75]))
    assert (spread.range, spread.lead) == pytest.approx((20, 3))
    assert accuracy_spread(np.array([0.5, 0.9, 0.9])).lead == 0


@pytest.mark.parametrize("wrong", [[0.5], [], [0.5, np.nan], [50.0, 90.0], [-0.1, 0.5]])
def test_spread_refuses_values_that_are_not_accuracies(wrong):
    with pytest.raises(InputError, match="accuracies in"):
        accuracy_spread(np.array(wrong, dtype=float))
