"""Ranking: its measures, models left out, and refused values."""

import math

import numpy as np
import pytest

from transfer_exp.errors import InputError
from transfer_exp.evaluation.correlation import kendall, weighted_tau
from transfer_exp.evaluation.ranking import Ranking
from transfer_exp.results.cell import ModelResult

RANKING = Ranking(draws=200)


def pool(scores, accuracies):
    pairs = zip(scores, accuracies, strict=True)
    return [ModelResult(f"m{i}", s, a, "" if s is not None else "no head") for i, (s, a) in enumerate(pairs)]


def test_a_perfect_ranking_is_perfect_in_every_measure():
    agreement = RANKING("logme", pool([3.0, 1.0, 2.0, 0.0], [0.9, 0.5, 0.7, 0.1]))
    ones = ["weighted_tau", "weighted_tau_by_accuracy", "kendall", "spearman", "rel_at_3", "recall_at_3"]
    assert [agreement.measures[name] for name in ones] == pytest.approx([1] * 6)
    assert agreement.measures["regret"] == 0
    assert set(agreement.measures) == {*ones, "pearson", "regret"}
    assert not agreement.tied


def test_skipped_models_and_models_without_accuracy_are_left_out():
    agreement = RANKING("leep", pool([3.0, None, 2.0, 1.0, 9.0], [0.5, 0.9, 0.8, 0.4, None]))
    scores, accuracies = np.array([3.0, 2.0, 1.0]), np.array([0.5, 0.8, 0.4])
    assert agreement.measures["weighted_tau"] == weighted_tau(scores, accuracies)
    assert agreement.measures["kendall"] == kendall(scores, accuracies)
    assert agreement.measures["regret"] == pytest.approx(0.3)
    assert agreement.null_band == RANKING("leep", pool([1.0, 2.0, 3.0], [0.1, 0.2, 0.3])).null_band


@pytest.mark.parametrize(
    ("scores", "accuracies"),
    [([], []), ([1.0], [0.5]), ([1.0, 2.0], [None, None]), ([None, 2.0], [0.1, 0.2])],
)
def test_fewer_than_two_comparable_models_give_no_measures(scores, accuracies):
    agreement = RANKING("logme", pool(scores, accuracies))
    assert (agreement.measures, agreement.null_band, agreement.tied) == ({}, None, False)


@pytest.mark.parametrize(("scores", "accuracies"), [([2.0] * 3, [0.1, 0.2, 0.3]), ([1.0, 2.0, 3.0], [0.2] * 3)])
def test_a_constant_side_is_a_tie_and_no_measure_is_nan(scores, accuracies):
    agreement = RANKING("sfda", pool(scores, accuracies))
    assert agreement.tied
    assert agreement.measures["weighted_tau"] == agreement.measures["pearson"] == agreement.measures["spearman"] == 0
    assert all(math.isfinite(value) for value in agreement.measures.values())


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_the_error_names_metric_and_model_of_a_value_that_is_not_finite(bad):
    with pytest.raises(InputError, match=r"logme.*m1"):
        RANKING("logme", pool([1.0, bad, 2.0], [None, None, None]))
    with pytest.raises(InputError, match=r"m2.*logme"):
        RANKING("logme", pool([1.0, 3.0, 2.0], [0.1, 0.2, bad]))


def test_the_agreement_has_the_level_of_its_null_band():
    narrow, wide = Ranking(level=0.5, draws=500), Ranking(level=0.95, draws=500)
    models = pool([1.0, 2.0, 3.0, 4.0, 5.0], [0.1, 0.2, 0.3, 0.4, 0.5])
    assert narrow("x", models).null_level == 0.5
    assert narrow("x", models).null_band[1] < wide("x", models).null_band[1]


def test_scores_that_are_larger_for_smaller_errors_rank_well_and_losses_are_in_the_unit_of_the_error():
    errors = [4.0, 2.0, 5.0, 8.0]
    perfect = RANKING("ridge", pool([3.0, 4.0, 2.0, 1.0], errors), "rmse").measures
    assert all(perfect[name] == pytest.approx(1) for name in ("weighted_tau", "kendall", "spearman", "rel_at_3"))
    assert (perfect["recall_at_3"], perfect["regret"]) == (1, 0)
    wrong = Ranking(k=1, draws=200)("ridge", pool([1.0, 2.0, 3.0, 4.0], errors), "mae").measures
    assert wrong["regret"] == pytest.approx(8 - 2)
    assert wrong["rel_at_1"] == pytest.approx(2 / 8)
    assert wrong["recall_at_1"] == 0
    assert wrong["pearson"] == pytest.approx(-np.corrcoef([1, 2, 3, 4], errors)[0, 1])


def test_the_best_models_lose_nothing_if_the_smallest_error_is_zero():
    assert RANKING("ridge", pool([2.0, 1.0], [0.0, 1.0]), "mae").measures["rel_at_3"] == 1
    assert Ranking(k=1, draws=200)("ridge", pool([1.0, 2.0], [0.0, 1.0]), "mae").measures["rel_at_1"] == 0
