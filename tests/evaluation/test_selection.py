"""Selection measures, against the mean over every way to break ties."""

from itertools import pairwise, permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfer_exp.errors import InputError
from transfer_exp.evaluation.ranking import recall_at_k, regret, rel_at_k

scores_and_accuracies = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 4)), min_size=2, max_size=5)


def over_all_draws(pairs, measure_of):
    """Mean of ``measure_of(accuracies, best first)`` over all orders in which the scores never rise."""
    orders = [o for o in permutations(pairs) if all(a[0] >= b[0] for a, b in pairwise(o))]
    return np.mean([measure_of(np.array([accuracy for _, accuracy in o]) / 5) for o in orders])


@given(scores_and_accuracies, st.integers(1, 6))
def test_each_measure_is_its_mean_over_all_ways_to_break_ties(pairs, k):
    scores, accuracies = np.array(pairs, dtype=float).T
    accuracies = accuracies / 5
    best = accuracies.max()
    expected_rel = over_all_draws(pairs, lambda a: a[:k].max() / best if best else 1.0)
    assert rel_at_k(scores, accuracies, k) == pytest.approx(expected_rel)
    assert recall_at_k(scores, accuracies, k) == pytest.approx(over_all_draws(pairs, lambda a: a[:k].max() == best))
    assert regret(scores, accuracies) == pytest.approx(over_all_draws(pairs, lambda a: best - a[0]), abs=1e-12)


def test_values_worked_by_hand():
    scores, accuracies = np.array([3.0, 2.0, 1.0, 0.0]), np.array([0.6, 0.4, 0.8, 0.2])
    assert rel_at_k(scores, accuracies, 2) == pytest.approx(0.75)
    assert (recall_at_k(scores, accuracies, 2), recall_at_k(scores, accuracies, 3)) == (0, 1)
    assert regret(scores, accuracies) == pytest.approx(0.2)


def test_values_below_zero_count_as_zero():
    scores = np.array([3.0, 2.0, 1.0])
    assert rel_at_k(scores, np.array([-0.2, -0.3, -0.1]), 1) == 1.0, "R2 of models that are all worse than the mean"
    assert rel_at_k(scores, np.array([-0.2, 0.3, 0.6]), 1) == 0.0
    assert rel_at_k(scores, np.array([-0.2, 0.3, 0.6]), 2) == pytest.approx(0.5)


def test_a_constant_score_equals_a_random_choice():
    scores, accuracies = np.zeros(4), np.array([0.2, 0.4, 0.6, 0.8])
    assert recall_at_k(scores, accuracies, 1) == pytest.approx(1 / 4)
    assert rel_at_k(scores, accuracies, 1) == pytest.approx(0.5 / 0.8)
    assert regret(scores, accuracies) == pytest.approx(0.3)


@pytest.mark.parametrize("k", [0, -1])
@pytest.mark.parametrize("measure", [rel_at_k, recall_at_k])
def test_choosing_no_model_is_refused(measure, k):
    with pytest.raises(InputError, match=f"k={k}"):
        measure(np.arange(3.0), np.arange(3.0), k)


def test_values_that_are_not_finite_are_refused():
    for call in (lambda s, a: rel_at_k(s, a, 1), lambda s, a: recall_at_k(s, a, 1), regret):
        with pytest.raises(InputError, match="scores must be finite"):
            call(np.array([np.nan, 1.0]), np.array([0.1, 0.2]))
        with pytest.raises(InputError, match="need two or more"):
            call(np.array([]), np.array([]))
