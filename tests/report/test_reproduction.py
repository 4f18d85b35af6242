"""Comparison with published results: transcribed values, and the numbers of the page."""

from __future__ import annotations

import csv
import sys

import numpy as np
import pandas as pd
import pytest
from scipy.stats import weightedtau

from transfer_exp.cli.report import main
from transfer_exp.evaluation.score_files import update_scores
from transfer_exp.io.accuracies import PUBLISHED
from transfer_exp.report.published_comparison import (
    PUBLISHED_TAUS,
    read_published_taus,
    write_published_comparison,
)

CNN, SSL = "group1_supervised_cnn11", "group2_ssl_resnet50_12"
# Means over targets, as computed from each published table.
MEANS = {
    (CNN, "leep", "none"): 0.410,
    (CNN, "logme", "none"): 0.509,
    (CNN, "nleep(convention=released)", "none"): 0.611,
    (CNN, "parc", "none"): 0.467,
    (CNN, "sfda_released", "none"): 0.710,
    (SSL, "nleep(convention=released)", "none"): 0.365,
    (SSL, "parc", "none"): 0.314,
    (SSL, "logme", "none"): 0.358,
    (SSL, "logme", "ped"): 0.627,
    (SSL, "sfda_released", "none"): 0.582,
    (SSL, "sfda_released", "ped"): 0.628,
    (SSL, "gbc", "none"): 0.151,
    (SSL, "gbc", "ped"): 0.407,
}


@pytest.mark.assets
def test_every_published_value_equals_its_transcription(shared):
    with (shared / "published" / "published_weighted_taus.csv").open() as file:
        transcribed = {
            (r["pool"], r["method"], r["dataset"].lower().replace("voc2007", "voc"), float(r["weighted_tau"]))
            for r in csv.DictReader(file)
            if r["pool"] in (CNN, SSL)
        }
    ours = pd.read_csv(PUBLISHED_TAUS)
    datasets = ours["dataset"].str.replace("voc2007", "voc")
    assert set(zip(ours["pool"], ours["printed_as"], datasets, ours["weighted_tau"], strict=True)) == transcribed
    assert len(ours) == len(transcribed) == 135


@pytest.mark.parametrize(("pool", "metric", "perturbation"), MEANS)
def test_means_equal_those_quoted_in_the_literature(pool, metric, perturbation):
    published_taus = read_published_taus(pool, "vanilla_ft")[metric, perturbation].by_dataset
    assert np.mean(list(published_taus.values())) == pytest.approx(MEANS[pool, metric, perturbation], abs=1e-3)


def test_other_regimes_have_no_published_values():
    assert read_published_taus(CNN, "linear_ft") == {}


@pytest.fixture
def scores(tmp_path):
    """Scores of the eleven CNNs on three targets: noise, better after pca; leep unchanged."""
    rows = pd.read_csv(PUBLISHED)
    subset = rows[(rows["pool"] == CNN) & (rows["regime"] == "vanilla_ft")]
    truth = subset.pivot_table(index="dataset", columns="model", values="accuracy")
    rng, cells = np.random.default_rng(0), []
    for target in ("cars", "pets", "sun397"):
        noise = rng.standard_normal((2, truth.shape[1]))
        for perturbation, weight in (("none", 0.0), ("pca", 30.0)):
            for metric, values in (("logme", weight * truth.loc[target] + noise[0]), ("leep", noise[1])):
                cell = {"model_pool": "p", "dataset": target, "splits": "train", "images_per_class": "all"}
                cell |= {"seed": "0", "perturbation": perturbation, "metric": metric}
                cells.append(cell | dict(zip(truth.columns, (f"{v:.9g}" for v in values), strict=True)))
    update_scores(tmp_path / "scores.csv", cells)
    return tmp_path / "scores.csv"


@pytest.mark.slow
def test_the_page_shows_our_tau_next_to_the_published_one(scores):
    page, measures = write_published_comparison(scores, CNN)
    text, rows = page.read_text(), pd.read_csv(measures)
    assert text.count("\n## ") == 3
    assert "Full fine-tuning: 11 models, 3 targets" in text
    table = pd.read_csv(PUBLISHED)
    truth = table[(table["pool"] == CNN) & (table["regime"] == "vanilla_ft")]
    truth = truth.pivot_table(index="dataset", columns="model", values="accuracy")
    raw = pd.read_csv(scores).query("metric == 'logme' and perturbation == 'none'").set_index("dataset")
    taus = {t: weightedtau(raw.loc[t, truth.columns].astype(float), truth.loc[t]).statistic for t in raw.index}
    subset = rows.query("regime == 'vanilla_ft' and metric == 'logme' and perturbation == 'none'").set_index("dataset")
    assert subset["weighted_tau"].to_dict() == pytest.approx(taus)
    published = read_published_taus(CNN, "vanilla_ft")["logme", "none"].by_dataset
    ours, published_mean = np.mean(list(taus.values())), np.mean([published[t] for t in taus])
    line = next(line for line in text.splitlines() if line.startswith("| logme | none |"))
    assert f"| {ours:.3f} |" in line
    assert line.endswith(f"| {published_mean:.3f} | {ours - published_mean:+.3f} |")
    assert f"| logme | none | pets | {taus['pets']:.3f} | {published['pets']:.3f} |" in text


@pytest.mark.slow
def test_unperturbed_metrics_appear_once_and_unsound_targets_are_left_out(scores):
    page, _ = write_published_comparison(scores, CNN)
    full, last_block, linear = page.read_text().split("\n## ")[1:]
    assert full.count("\n| leep |") == 2 + 3, "once in each table, and its three targets next to the published values"
    assert full.count("\n| logme | pca |") == 2
    assert "Static ranking" in full
    for regime in (last_block, linear):
        assert "2 targets" in regime.splitlines()[0]
        assert "published" not in regime
        assert "unsound accuracies left out" in page.read_text()


@pytest.mark.slow
def test_the_command_names_its_files_or_the_error(scores, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["transfer-exp report", str(scores), "--published", CNN])
    assert main() == 0
    assert "reproduction.md" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["transfer-exp report", str(scores), "--published", SSL])
    assert main() == 1
    output = capsys.readouterr().err
    assert "0 models" in output
    assert len(output.splitlines()) == 1
