"""Null band: width, coverage, and agreement with scipy's weighted tau."""

import numpy as np
import pytest
from scipy import stats

from transfer_exp.errors import InputError
from transfer_exp.evaluation.null_band import _taus, null_band


def test_fast_taus_equal_scipy():
    rng = np.random.default_rng(1)
    for models in (2, 3, 7, 20):
        orders = rng.permuted(np.tile(np.arange(models), (30, 1)), axis=1)
        literal = [stats.weightedtau(-np.arange(models), -order).statistic for order in orders]
        np.testing.assert_allclose(_taus(orders), literal, atol=1e-12)


def test_eleven_models_reach_about_half_by_chance():
    low, high = null_band(11)
    assert low == pytest.approx(-0.53, abs=0.03)
    assert high == pytest.approx(0.53, abs=0.03)
    assert (high - low) / 2 == pytest.approx(0.53, abs=0.01)


@pytest.mark.parametrize("models", [6, 14])
def test_the_band_covers_new_random_scores_at_its_level(models):
    low, high = null_band(models, 0.9, seed=0)
    fresh = np.random.default_rng(99).permuted(np.tile(np.arange(models), (4000, 1)), axis=1)
    taus = _taus(fresh)
    assert np.mean((taus >= low) & (taus <= high)) == pytest.approx(0.9, abs=0.025)
    assert np.mean(taus > high) == pytest.approx(0.05, abs=0.02)


def test_more_models_narrow_it_and_a_higher_level_widens_it():
    widths = [null_band(m)[1] for m in (2, 5, 11, 40)]
    assert widths == sorted(widths, reverse=True)
    assert widths[0] == 1
    assert null_band(11, 0.5)[1] < null_band(11, 0.99)[1]


def test_it_is_seeded():
    assert null_band(8, 0.95, 50, 3) == null_band.__wrapped__(8, 0.95, 50, 3)
    assert null_band(8, 0.95, 50, 3) != null_band(8, 0.95, 50, 4)


@pytest.mark.parametrize("wrong", [(1, 0.95, 10), (5, 0.0, 10), (5, 1.0, 10), (5, 95.0, 10), (5, 0.95, 0)])
def test_an_impossible_band_is_refused(wrong):
    with pytest.raises(InputError, match="no null band"):
        null_band(*wrong)
