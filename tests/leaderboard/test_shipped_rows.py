"""The rows of the leaderboard are complete, and a sample of them is what the networks give."""

from __future__ import annotations

from pathlib import Path

import hydra
import pandas as pd
import pytest

import transfer_exp.leaderboard
from studies.leaderboard_rows import accuracy_rows, finish_accuracies, read_targets, score_rows
from transfer_exp.cli.option_files import CONF
from transfer_exp.model_pool.builtin import builtin
from transfer_exp.store import Store

FOLDER = Path(transfer_exp.leaderboard.__file__).parent
TARGETS = read_targets()
MODELS = [candidate.name for candidate in builtin().candidates]
SAMPLE, SAMPLED_MODELS = "signs_four_alike", ["efficientnet_gn_shapes", "resnet_glyphs"]


@pytest.fixture(scope="module")
def scores():
    return pd.read_csv(FOLDER / "scores.csv", dtype={"images_per_class": str, "seed": str}, keep_default_na=False)


@pytest.fixture(scope="module")
def accuracies():
    return pd.read_csv(FOLDER / "accuracies.csv")


@pytest.fixture
def composed_config():
    with hydra.initialize_config_dir(str(CONF), version_base=None):
        yield


def test_there_are_at_least_24_targets_of_five_datasets():
    assert len(TARGETS) >= 24
    assert len({overrides[0] for overrides in TARGETS.values()}) == 5


def test_every_target_has_the_same_scores(scores):
    assert list(scores.columns[7:]) == MODELS
    cells = scores.groupby("dataset")[["perturbation", "metric"]].apply(lambda rows: frozenset(map(tuple, rows.values)))
    assert set(cells.index) == set(TARGETS)
    assert cells.nunique() == 1
    assert len(next(iter(cells))) >= 200, "metrics after perturbations"


def test_every_target_has_accuracies_of_all_networks(accuracies):
    counts = accuracies.groupby(["regime", "seed", "dataset"]).size()
    assert (counts == len(MODELS)).all(), "no network is missing where others have an accuracy"
    assert not accuracies.duplicated(["regime", "seed", "dataset", "model"]).any()
    assert set(accuracies[accuracies["regime"] == "linear_probe"]["dataset"]) == set(TARGETS)
    assert accuracies["accuracy"].between(0, 1).all()


def test_no_target_is_solved_by_all_networks_and_targets_disagree(accuracies):
    means = accuracies.groupby(["regime", "dataset", "model"])["accuracy"].mean().unstack("model")
    assert ((means.max(axis=1) - means.min(axis=1)) > 0.1).all(), "best minus worst"
    correlations = means.loc["linear_probe"].T.corr(method="kendall")
    assert correlations.to_numpy().mean() < 0.5, "targets with one order of the networks would count as one"


@pytest.mark.slow
def test_a_sample_of_the_rows_is_computed_again(composed_config, scores, accuracies, tmp_path):
    store = Store(tmp_path)
    finish_accuracies(store, SAMPLE, "linear_probe", 0, SAMPLED_MODELS)
    rows = accuracy_rows(store, SAMPLE, "linear_probe", 0).assign(accuracy=lambda rows: rows["accuracy"].astype(float))
    _assert_equal_accuracies(rows, accuracies)
    cells = scores[scores["dataset"] == SAMPLE].set_index(["perturbation", "metric"])[SAMPLED_MODELS]
    for row in score_rows(store, SAMPLE, ["logme", "knn", "parameter_count"], ["none", "pca"], SAMPLED_MODELS):
        stored = cells.loc[(row["perturbation"], row["metric"])].astype(float)
        assert [float(row[name]) for name in SAMPLED_MODELS] == pytest.approx(list(stored), rel=1e-3)


@pytest.mark.slow
def test_a_sample_of_fine_tuned_accuracies_is_computed_again(composed_config, accuracies, tmp_path):
    finish_accuracies(Store(tmp_path), "digits_5_shots", "full", 0, SAMPLED_MODELS[:1])
    rows = accuracy_rows(Store(tmp_path), "digits_5_shots", "full", 0)
    _assert_equal_accuracies(rows.assign(accuracy=rows["accuracy"].astype(float)), accuracies)


def _assert_equal_accuracies(rows, stored):
    """Compare within two points: another processor rounds differently, and training amplifies it."""
    keys = ["model", "dataset", "regime"]
    joined = rows.merge(stored[stored["seed"] == 0], on=keys, suffixes=("", "_stored"))
    assert len(joined) == len(rows) > 0
    assert list(joined["accuracy"]) == pytest.approx(list(joined["accuracy_stored"]), abs=0.02)
