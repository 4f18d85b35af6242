"""Expected regret: against the mean of realised regret, and in the cases that can be said without drawing."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfer_exp.errors import InputError
from transfer_exp.evaluation.expected_accuracy import (
    Calibration,
    ScoredPool,
    accuracy_at,
    expected_regrets,
    predicted_angles,
)
from transfer_exp.evaluation.selection import regret, rel_at_k

CALIBRATION = Calibration(0.8, None, 0.1, 0.1, 8, 0.12, 90)
SURE = replace(CALIBRATION, between=0.0, within=0.0)
tied_scores = st.lists(st.integers(-3, 3), min_size=1, max_size=7).map(lambda v: np.array(v, dtype=float))


@given(tied_scores, st.integers(2, 20), st.floats(0, 1), st.floats(0, 1))
def test_a_regret_is_a_share_that_never_rises_and_ends_at_zero(scores, classes, between, within):
    pool, calibration = ScoredPool(scores, classes), replace(CALIBRATION, between=between, within=within)
    found = expected_regrets(calibration, pool, draws=40)
    assert found.shape == scores.shape
    assert ((found >= 0) & (found <= 1)).all()
    assert (np.diff(found) <= 0).all()
    assert found[-1] == 0


@pytest.mark.parametrize("scores", [[3.0, 2.0, 1.0, 0.0], [1.0, 1.0, 0.0, 0.0], [5.0, 5.0, 5.0, 5.0]])
def test_it_is_the_mean_of_what_is_realised(scores):
    pool = ScoredPool(np.array(scores), 10)
    rng = np.random.default_rng(7)
    centres = predicted_angles(CALIBRATION, pool)
    realised = np.zeros((500, 4))
    for row in realised:
        own = accuracy_at(centres + 0.1 * rng.standard_t(8) + 0.12 * rng.standard_normal(4), 10)
        row[0] = regret(pool.scores, own)
        row[1:] = [own.max() * (1 - rel_at_k(pool.scores, own, k)) for k in (2, 3, 4)]
    assert expected_regrets(CALIBRATION, pool, draws=4000) == pytest.approx(realised.mean(axis=0), abs=0.01)


def test_without_a_spread_nothing_is_risked_by_the_best_score():
    assert expected_regrets(SURE, ScoredPool(np.array([1.0, 3.0, 2.0]), 10)) == pytest.approx([0, 0, 0])
    assert expected_regrets(CALIBRATION, ScoredPool(np.array([4.0]), 10)) == pytest.approx([0])


def test_anchors_tell_what_a_score_leaves_on_the_table():
    by_anchor = Calibration(0.0, 1.0, 0.0, 0.0, 4, 0.0, 90)
    pool = ScoredPool(np.array([3.0, 2.0, 1.0]), 10, np.array([0.5, 0.6, 0.9]))
    assert expected_regrets(by_anchor, pool) == pytest.approx([0.4, 0.3, 0])
    tied = replace(pool, scores=np.array([1.0, 1.0, 0.0]))
    assert expected_regrets(by_anchor, tied, draws=20000) == pytest.approx([0.35, 0.3, 0], abs=0.002)


def test_a_score_that_tells_less_is_expected_to_cost_more():
    pool = ScoredPool(np.arange(6.0), 10)
    strong, weak = (expected_regrets(replace(CALIBRATION, score_slope=slope), pool)[0] for slope in (0.2, 0.02))
    assert strong < weak


def test_the_same_seed_draws_the_same_and_no_draw_is_refused():
    pool = ScoredPool(np.zeros(4), 10)
    first = expected_regrets(CALIBRATION, pool, seed=1)
    assert (first == expected_regrets(CALIBRATION, pool, seed=1)).all()
    assert (first != expected_regrets(CALIBRATION, pool, seed=2)).any()
    with pytest.raises(InputError, match="draws=0"):
        expected_regrets(CALIBRATION, pool, draws=0)
