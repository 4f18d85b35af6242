"""Expected regret: against the mean of realised regret, and in cases with a closed form."""

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
    predict_regrets,
    predicted_angles,
)
from transfer_exp.evaluation.ranking import regret, rel_at_k

CALIBRATION = Calibration(0.8, None, 0.1, 0.1, 8, 0.12, 90)
WITHOUT_SPREAD = replace(CALIBRATION, dataset_std=0.0, model_std=0.0)
tied_scores = st.lists(st.integers(-3, 3), min_size=1, max_size=7).map(lambda v: np.array(v, dtype=float))


@given(tied_scores, st.integers(2, 20), st.floats(0, 1), st.floats(0, 1))
def test_regrets_are_in_0_1_never_rise_and_end_at_zero(scores, classes, between, within):
    pool, calibration = ScoredPool(scores, classes), replace(CALIBRATION, dataset_std=between, model_std=within)
    regrets = predict_regrets(calibration, pool, draws=40)
    assert regrets.shape == scores.shape
    assert ((regrets >= 0) & (regrets <= 1)).all()
    assert (np.diff(regrets) <= 0).all()
    assert regrets[-1] == 0


@pytest.mark.slow
@pytest.mark.parametrize("scores", [[3.0, 2.0, 1.0, 0.0], [1.0, 1.0, 0.0, 0.0], [5.0, 5.0, 5.0, 5.0]])
def test_expected_regret_is_the_mean_of_realised_regret(scores):
    pool = ScoredPool(np.array(scores), 10)
    rng = np.random.default_rng(7)
    centres = predicted_angles(CALIBRATION, pool)
    realised = np.zeros((500, 4))
    for row in realised:
        accuracies = accuracy_at(centres + 0.1 * rng.standard_t(8) + 0.12 * rng.standard_normal(4), 10)
        row[0] = regret(pool.scores, accuracies)
        row[1:] = [accuracies.max() * (1 - rel_at_k(pool.scores, accuracies, k)) for k in (2, 3, 4)]
    assert predict_regrets(CALIBRATION, pool, draws=4000) == pytest.approx(realised.mean(axis=0), abs=0.01)


def test_without_spread_or_with_a_single_model_the_regret_is_zero():
    assert predict_regrets(WITHOUT_SPREAD, ScoredPool(np.array([1.0, 3.0, 2.0]), 10)) == pytest.approx([0, 0, 0])
    assert predict_regrets(CALIBRATION, ScoredPool(np.array([4.0]), 10)) == pytest.approx([0])


def test_regret_follows_from_anchors_that_disagree_with_the_scores():
    by_anchor = Calibration(0.0, 1.0, 0.0, 0.0, 4, 0.0, 90)
    pool = ScoredPool(np.array([3.0, 2.0, 1.0]), 10, np.array([0.5, 0.6, 0.9]))
    assert predict_regrets(by_anchor, pool) == pytest.approx([0.4, 0.3, 0])
    tied = replace(pool, scores=np.array([1.0, 1.0, 0.0]))
    assert predict_regrets(by_anchor, tied, draws=20000) == pytest.approx([0.35, 0.3, 0], abs=0.002)


def test_a_weaker_score_has_a_larger_expected_regret():
    pool = ScoredPool(np.arange(6.0), 10)
    strong, weak = (predict_regrets(replace(CALIBRATION, score_slope=slope), pool)[0] for slope in (0.2, 0.02))
    assert strong < weak


def test_draws_are_seeded_and_zero_draws_are_refused():
    pool = ScoredPool(np.zeros(4), 10)
    first = predict_regrets(CALIBRATION, pool, seed=1)
    assert (first == predict_regrets(CALIBRATION, pool, seed=1)).all()
    assert (first != predict_regrets(CALIBRATION, pool, seed=2)).any()
    with pytest.raises(InputError, match="draws=0"):
        predict_regrets(CALIBRATION, pool, draws=0)


def test_models_may_be_ordered_by_another_quantity_than_the_score():
    pool = ScoredPool(np.array([3.0, 2.0, 1.0]), 10)
    by_score = predict_regrets(WITHOUT_SPREAD, pool)
    reversed_order = predict_regrets(WITHOUT_SPREAD, pool, rank_by=-pool.scores)
    accuracies = accuracy_at(predicted_angles(WITHOUT_SPREAD, pool), 10)
    assert by_score == pytest.approx([0, 0, 0])
    assert reversed_order == pytest.approx([accuracies[0] - accuracies[2], accuracies[0] - accuracies[1], 0])
