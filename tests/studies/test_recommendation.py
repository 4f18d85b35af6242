"""Study of the default metric: choices by the other targets, and the page."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from studies.document_tables import fill_tables
from studies.real_pool.data import Cell
from studies.recommendation import HIGHEST_MEAN, TABLES, Evidence, measure_costs

PAGE = Path(__file__).parents[2] / "docs" / "results" / "recommendation.md"
TARGETS = [("p", "a"), ("p", "b"), ("p", "c")]


@pytest.fixture
def evidence():
    names = ["good", "fast", "lucky", "good + lucky"]
    taus = pd.DataFrame(
        [[0.6, 0.6, 0.6], [0.59, 0.59, 0.59], [0.9, 0.9, -0.6], [0.7, 0.7, 0.7]], names, columns=TARGETS
    )
    return Evidence(taus, 1 - taus, dict.fromkeys(TARGETS, 0.5), pd.Series([2.0, 0.1, 1.0, 3.0], names))


def test_a_rule_never_sees_the_target_that_it_is_judged_on(evidence):
    chosen = evidence.choose_without_each_target(tolerance=0.0, fusions=False)
    assert chosen == {TARGETS[0]: "good", TARGETS[1]: "good", TARGETS[2]: "lucky"}, "lucky is best on a and b alone"


def test_the_cheap_rule_takes_the_fastest_of_the_near_best(evidence):
    assert evidence.choose_without_each_target(tolerance=0.02, fusions=False)[TARGETS[0]] == "fast"
    assert evidence.choose_without_each_target(tolerance=0.0, fusions=True)[TARGETS[0]] == "good + lucky"


def test_costs_are_measured_for_metrics_of_features_and_of_statistics(tmp_path):
    measure_costs(tmp_path / "costs.csv", [Cell("ncm"), Cell("lda", "pca")], repeats=1)
    rows = pd.read_csv(tmp_path / "costs.csv", keep_default_na=False)
    assert list(rows["perturbation"]) == ["none", "pca"]
    assert (rows["seconds"] > 0).all()


def test_the_page_states_the_chosen_metric():
    (row,) = (line for line in PAGE.read_text().splitlines() if line.startswith(f"| 20 | always | {HIGHEST_MEAN} |"))
    assert np.isclose(float(row.split(" | ")[3]), 0.785)


@pytest.mark.study
@pytest.mark.slow
def test_the_page_agrees_with_its_rows():
    tables = {name: lambda maker=maker: maker(PAGE.parent) for name, maker in TABLES.items()}
    assert fill_tables(PAGE, tables) == PAGE.read_text(), f"run python -m studies.recommendation {PAGE}"
