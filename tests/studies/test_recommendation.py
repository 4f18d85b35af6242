"""Study of the default metric: choices by the other targets, and the page."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from studies.document_tables import fill_tables
from studies.recommendation import HIGHEST_MEAN, TABLES, Evidence, _by_group, _regrets
from transfer_exp.metric.linear_classifier import Recommended

PAGE = Path(__file__).parents[2] / "docs" / "results" / "recommendation.md"
GROUPS = [("p", "a"), ("p", "b"), ("p", "c")]


@pytest.fixture
def evidence():
    names = ["good", "fast", "lucky", "good + lucky"]
    taus = pd.DataFrame([[0.6, 0.6, 0.6], [0.59, 0.59, 0.59], [0.9, 0.9, -0.6], [0.7, 0.7, 0.7]], names, columns=GROUPS)
    return Evidence(taus, 1 - taus, dict.fromkeys(GROUPS, 0.5), pd.Series([2.0, 0.1, 1.0, 3.0], names))


def test_a_rule_never_sees_the_group_that_it_is_judged_on(evidence):
    chosen = evidence.choose_without_each_group(tolerance=0.0, fusions=False)
    assert chosen == {GROUPS[0]: "good", GROUPS[1]: "good", GROUPS[2]: "lucky"}, "lucky is best on a and b alone"


def test_the_cheap_rule_takes_the_fastest_of_the_near_best(evidence):
    assert evidence.choose_without_each_group(tolerance=0.02, fusions=False)[GROUPS[0]] == "fast"
    assert evidence.choose_without_each_group(tolerance=0.0, fusions=True)[GROUPS[0]] == "good + lucky"


def test_the_page_states_the_chosen_metric():
    lines = PAGE.read_text().splitlines()
    (always,) = (line for line in lines if line.startswith(f"| 20 | always | {HIGHEST_MEAN} |"))
    (cheap,) = (line for line in lines if line.startswith("| 20 | cheap, without fusions |"))
    assert cheap.split(" | ")[2].startswith(f"{Recommended.chosen} ("), "the most frequent choice is recommended"
    assert Recommended.chosen == HIGHEST_MEAN
    assert float(always.split(" | ")[3]) > 0.7


def test_regrets_of_tied_scores_are_their_mean():
    scores = np.array([[1.0, 3.0, 3.0], [2.0, 1.0, 0.0]])
    np.testing.assert_allclose(_regrets(scores, np.array([0.9, 0.5, 0.7])), [0.3, 0.0])


def test_targets_of_one_dataset_are_a_group():
    values = {("p", "x", "a"): [1.0], ("p", "x", "b"): [0.0], ("p", "y", "c"): [0.2]}
    means = _by_group(values, pd.Index(["metric"]))
    assert list(means.columns) == [("p", "x"), ("p", "y")]
    assert means.loc["metric"].tolist() == [0.5, 0.2]


@pytest.mark.study
@pytest.mark.slow
def test_the_page_agrees_with_its_rows():
    assert fill_tables(PAGE, TABLES) == PAGE.read_text(), f"run python -m studies.recommendation {PAGE}"
