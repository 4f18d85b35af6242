"""Bootstrap intervals: definition, coverage, and refused input."""

import numpy as np
import pytest

from transfer_exp.errors import InputError
from transfer_exp.evaluation.correlation import weighted_tau, weighted_tau_many
from transfer_exp.evaluation.intervals import mean_interval, mean_tau_interval


def tau_interval(scores, accuracies, level=0.95, draws=2000, seed=0):
    return mean_tau_interval(scores[None], accuracies[None], np.ones(1), level, draws, seed)


def related(rng, models, correlation):
    accuracies = rng.normal(size=models)
    return correlation * accuracies + np.sqrt(1 - correlation**2) * rng.normal(size=models), accuracies


def test_the_interval_is_the_quantiles_of_taus_of_drawn_models():
    scores, accuracies = related(np.random.default_rng(0), 9, 0.6)
    drawn = np.random.default_rng(5).integers(9, size=(60, 9))
    taus = [weighted_tau(scores[d], accuracies[d]) for d in drawn]
    expected = np.quantile(taus, [0.1, 0.9])
    assert tau_interval(scores, accuracies, 0.8, 60, 5) == pytest.approx(expected, abs=1e-12)


@pytest.mark.slow
def test_the_interval_covers_the_expected_tau_at_its_level():
    rng = np.random.default_rng(1)
    pools = np.array([related(rng, 15, 0.7) for _ in range(4000)])
    expected = weighted_tau_many(pools[:, 0], pools[:, 1]).mean()
    intervals = [tau_interval(*pool, 0.9, 300) for pool in pools[:150]]
    assert np.mean([low <= expected <= high for low, high in intervals]) == pytest.approx(0.9, abs=0.06)


def test_a_perfect_ranking_is_certain_and_a_random_one_is_not():
    rising = np.arange(12.0)
    assert tau_interval(rising, rising) == pytest.approx((1, 1))
    low, high = tau_interval(np.random.default_rng(2).permutation(rising), rising)
    assert -1 <= low < 0 < high <= 1


def test_the_mean_has_its_textbook_error_for_many_values():
    values = np.random.default_rng(5).normal(3, 2, size=400)
    half = 1.96 * values.std() / np.sqrt(400)
    assert mean_interval(values) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.02)


def test_intervals_are_seeded_and_nested():
    scores, accuracies = related(np.random.default_rng(6), 11, 0.5)
    assert tau_interval(scores, accuracies, seed=1) == tau_interval(scores, accuracies, seed=1)
    assert tau_interval(scores, accuracies, seed=1) != tau_interval(scores, accuracies, seed=2)
    wide, narrow = (tau_interval(scores, accuracies, level) for level in (0.95, 0.5))
    assert wide[0] < narrow[0] < narrow[1] < wide[1]


RISING = np.arange(4.0)


@pytest.mark.parametrize("level", [0.0, 1.0, 95.0, np.nan])
def test_an_impossible_level_is_refused(level):
    with pytest.raises(InputError, match="is not a share of the draws"):
        tau_interval(RISING, RISING, level)


def test_too_few_values_or_draws_are_refused():
    for call in (lambda: tau_interval(RISING[:1], RISING[:1]), lambda: mean_interval(RISING[:1])):
        with pytest.raises(InputError, match="cannot resample 1 in 2000"):
            call()
    with pytest.raises(InputError, match="in 0 draws"):
        tau_interval(RISING, RISING, draws=0)
    with pytest.raises(InputError, match="number 1 is not"):
        mean_interval(np.array([0.0, np.nan]))
