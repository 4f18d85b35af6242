"""Stored results of the built-in pool: accuracies differ between models, and rankings between targets."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import pandas as pd

from transfer_exp.model_pool.builtin import builtin

ROWS = pd.read_csv(Path(__file__).parents[2] / "docs" / "results" / "builtin_pool.csv")
ACCURACY = ROWS.drop_duplicates(["dataset", "model"]).pivot(index="model", columns="dataset", values="accuracy")


def test_accuracies_differ_by_ten_points_on_every_target():
    assert len(ACCURACY) >= 12
    assert ((ACCURACY.max() - ACCURACY.min()) >= 0.10).all()


def test_targets_rank_the_pool_differently():
    agreement = ACCURACY.corr(method="kendall")
    assert min(agreement.loc[a, b] for a, b in combinations(ACCURACY, 2)) < 0.3
    assert ACCURACY.idxmax().nunique() >= 3, "the best network depends on the target"


def test_the_rows_are_those_of_the_shipped_pool():
    assert [c.name for c in builtin().candidates] == list(ROWS["model"].unique())


def test_the_accuracies_are_those_of_the_rows():
    accuracies = pd.read_csv(Path(__file__).parents[2] / "docs" / "results" / "builtin_pool_accuracies.csv")
    merged = ROWS.merge(accuracies, on=["model", "dataset"], suffixes=("", "_alone"), how="outer")
    assert len(accuracies) == 14 * 5
    assert (merged["accuracy"] == merged["accuracy_alone"]).all()
