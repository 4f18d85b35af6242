"""Scores that differ by rounding only are tied, and genuine differences of any size are kept."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfer_exp.evaluation.correlation import kendall, spearman, weighted_tau, weighted_tau_many
from transfer_exp.evaluation.halving import Halving
from transfer_exp.evaluation.ranking import Ranking, recall_at_k, regret, rel_at_k
from transfer_exp.metric.h_score import HScore
from transfer_exp.results.cell import ModelResult
from transfer_exp.statistics.class_statistics import class_statistics
from transfer_exp.statistics.rounding import merge_ties

ACCURACIES = np.array([0.5, 0.6, 0.7, 0.8, 0.9])


@given(
    levels=st.lists(st.integers(-40, 40), min_size=2, max_size=8),
    noise=st.lists(st.floats(-1e-13, 1e-13), min_size=8, max_size=8),
    exponent=st.integers(-250, 250),
    gap=st.sampled_from([1e-6, 1e-3, 1.0]),
)
def test_rounding_ties_and_genuine_differences_do_not_in_any_unit(levels, noise, exponent, gap):
    scale = 10.0**exponent
    exact = np.array([1 + gap * level if abs(level) < 2 else level for level in levels]) * scale
    noisy = exact * (1 + np.array(noise[: len(exact)]))
    merged = merge_ties(noisy)
    np.testing.assert_array_equal(merged[:, None] == merged, exact[:, None] == exact)
    np.testing.assert_array_equal(np.argsort(merged, kind="stable"), np.argsort(exact, kind="stable"))
    np.testing.assert_array_equal(merge_ties(merged), merged)


def test_values_without_ties_are_unchanged():
    values = np.array([[3.0, np.nan, -1e-20, -1e-30, 0.0, 5e-324], [np.inf, 1.0, 1 + 1e-8, -np.inf, 2.0, np.nan]])
    np.testing.assert_array_equal(merge_ties(values), values)


@pytest.mark.parametrize("seed", range(5))
def test_saturated_scores_say_nothing(seed):
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(5), 8)
    scores = np.array([HScore()(class_statistics(rng.normal(size=(40, 90)), labels)) for _ in ACCURACIES])
    np.testing.assert_allclose(scores, 4, rtol=1e-9)
    assert weighted_tau(scores, ACCURACIES) == kendall(scores, ACCURACIES) == spearman(scores, ACCURACIES) == 0
    assert weighted_tau(scores, ACCURACIES, "by_accuracy") == 0
    assert weighted_tau_many(scores[None], ACCURACIES[None]) == 0
    assert regret(scores, ACCURACIES) == pytest.approx(0.2)
    assert recall_at_k(scores, ACCURACIES, 1) == pytest.approx(0.2)
    assert rel_at_k(scores, ACCURACIES, 1) == pytest.approx(0.7 / 0.9)
    models = [
        ModelResult(str(i), *pair) for i, pair in enumerate(zip(scores.tolist(), ACCURACIES.tolist(), strict=True))
    ]
    agreement = Ranking(draws=100)("h_score", models)
    assert agreement.tied
    assert agreement.measures["weighted_tau"] == 0
    by_name = dict(zip("abcde", scores, strict=True))
    result = Halving(first=10, top=1)(list("abcde"), 40, lambda names, _: {name: by_name[name] for name in names})
    assert list(result.rounds[0].scores) == list("abcde")
    assert result.rounds[0].eliminated == {}
