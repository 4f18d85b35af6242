"""Bootstrap intervals: their coverage, what they are of, and what they refuse."""

import numpy as np
import pytest

from transfer_exp.errors import InputError
from transfer_exp.evaluation.correlation import weighted_tau, weighted_tau_many
from transfer_exp.evaluation.intervals import bootstrap_interval, mean_interval, paired_interval


def related(rng, models, correlation):
    accuracies = rng.normal(size=models)
    return correlation * accuracies + np.sqrt(1 - correlation**2) * rng.normal(size=models), accuracies


def test_the_interval_is_made_of_slow_taus_of_drawn_models():
    scores, accuracies = related(np.random.default_rng(0), 9, 0.6)
    drawn = np.random.default_rng(5).integers(9, size=(60, 9))
    taus = [weighted_tau(scores[d], accuracies[d]) for d in drawn]
    expected = np.quantile(taus, [0.1, 0.9])
    assert bootstrap_interval(scores, accuracies, 0.8, 60, 5) == pytest.approx(expected, abs=1e-12)


def test_it_holds_the_expected_tau_about_as_often_as_it_says():
    rng = np.random.default_rng(1)
    pools = np.array([related(rng, 15, 0.7) for _ in range(4000)])
    expected = weighted_tau_many(pools[:, 0], pools[:, 1]).mean()
    intervals = [bootstrap_interval(*pool, 0.9, 300) for pool in pools[:150]]
    assert np.mean([low <= expected <= high for low, high in intervals]) == pytest.approx(0.9, abs=0.06)


def test_a_perfect_ranking_is_certain_and_a_random_one_is_not():
    rising = np.arange(12.0)
    assert bootstrap_interval(rising, rising) == pytest.approx((1, 1))
    low, high = bootstrap_interval(np.random.default_rng(2).permutation(rising), rising)
    assert -1 <= low < 0 < high <= 1


def test_pairing_is_sharper_than_two_intervals_and_signed():
    rng = np.random.default_rng(3)
    good, accuracies = related(rng, 23, 0.9)
    close = good + 0.1 * rng.normal(size=23)
    low, high = paired_interval(good, close, accuracies)
    alone = bootstrap_interval(good, accuracies)
    assert high - low < (alone[1] - alone[0]) / 2
    assert paired_interval(close, good, accuracies) == pytest.approx((-high, -low), abs=1e-12)
    assert paired_interval(good, 2 * good + 1, accuracies) == (0, 0)
    assert paired_interval(good, -good, accuracies)[0] > 1


def test_datasets_share_the_drawn_models():
    rng = np.random.default_rng(4)
    first, second, accuracies = rng.normal(size=(3, 8))
    twice = [np.stack([values, values]) for values in (first, second, accuracies)]
    assert paired_interval(*twice) == paired_interval(first, second, accuracies)


def test_the_mean_has_its_textbook_error_for_many_values():
    values = np.random.default_rng(5).normal(3, 2, size=400)
    half = 1.96 * values.std() / np.sqrt(400)
    assert mean_interval(values) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.02)


def test_intervals_are_seeded_and_nested():
    scores, accuracies = related(np.random.default_rng(6), 11, 0.5)
    assert bootstrap_interval(scores, accuracies, seed=1) == bootstrap_interval(scores, accuracies, seed=1)
    assert bootstrap_interval(scores, accuracies, seed=1) != bootstrap_interval(scores, accuracies, seed=2)
    wide, narrow = (bootstrap_interval(scores, accuracies, level) for level in (0.95, 0.5))
    assert wide[0] < narrow[0] < narrow[1] < wide[1]


RISING = np.arange(4.0)


@pytest.mark.parametrize("level", [0.0, 1.0, 95.0, np.nan])
def test_an_impossible_level_is_refused(level):
    with pytest.raises(InputError, match="is not a share of the draws"):
        bootstrap_interval(RISING, RISING, level)


def test_too_little_to_draw_from_is_refused():
    for call in (lambda: bootstrap_interval(RISING[:1], RISING[:1]), lambda: mean_interval(RISING[:1])):
        with pytest.raises(InputError, match="cannot resample 1 in 2000"):
            call()
    with pytest.raises(InputError, match="in 0 draws"):
        paired_interval(RISING, RISING, RISING, draws=0)
    with pytest.raises(InputError, match="number 1 is not"):
        mean_interval(np.array([0.0, np.nan]))
    with pytest.raises(InputError, match="scores must be finite: number 3"):
        bootstrap_interval(np.array([0.0, 1.0, 2.0, np.inf]), RISING)
