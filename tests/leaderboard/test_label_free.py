"""The sentence on metrics without labels has the numbers of the stored rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import weightedtau

import transfer_exp.leaderboard
from transfer_exp.leaderboard.standings import evidence_without_labels

FOLDER = Path(transfer_exp.leaderboard.__file__).parent


def mean_tau(metric, perturbation):
    """Return the mean weighted tau over the stored targets by scipy, from the files."""
    scores = pd.read_csv(FOLDER / "scores.csv", keep_default_na=False, dtype={"images_per_class": str})
    rows = scores[(scores["metric"] == metric) & (scores["perturbation"] == perturbation)]
    rows = rows[rows["images_per_class"] == "all"].set_index("dataset")
    accuracies = pd.read_csv(FOLDER / "accuracies.csv")
    accuracies = accuracies[accuracies["regime"].str.partition("/")[0] == "full"]
    table = accuracies.groupby(["dataset", "model"])["accuracy"].mean().unstack("model")
    taus = [weightedtau(rows.loc[name, table.columns].astype(float), table.loc[name]).statistic for name in table.index]
    return np.mean(taus), len(taus)


@pytest.mark.parametrize("metric", ["rankme", "entropy"])
def test_the_numbers_are_those_of_the_stored_rows(metric):
    tau, targets = mean_tau(metric, "none")
    text = evidence_without_labels(metric, "none")
    assert f"on {targets} stored targets, {metric} ranked 14 small networks with a mean tau_w of {tau:.2f} [" in text
    assert text.endswith(f"pca / logme, which reads labels, had {mean_tau('logme', 'pca')[0]:.2f}")


def test_a_metric_without_stored_rows_is_named():
    assert evidence_without_labels("mine", "none") == "no stored rows show how well mine ranks models"
