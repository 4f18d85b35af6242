"""Study of real networks: its numbers, its verdict and its page."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from studies.real_pool.__main__ import fill_page, main, source_digest, sources
from studies.real_pool.comparisons import comparisons, random_ranking_band, seed_ceiling, static_tau
from studies.real_pool.data import Cell, read_study
from studies.real_pool.tables import CSV_FILES, TABLES, tau_text
from transfer_exp.errors import InputError
from transfer_exp.evaluation.correlation import weighted_tau
from transfer_exp.evaluation.score_files import update_scores

pytestmark = pytest.mark.slow

MODELS, TARGETS = [f"net{i}" for i in range(8)], ["a", "b", "c", "control"]
PAGES = [p for p in (Path(__file__).parents[2] / "docs").rglob("*.md") if "\n<!-- study:" in p.read_text()]
# Scores rank like the accuracies after "good", in reverse order after "bad", and partly with the other perturbations.
SIGN = {"none": 0.3, "pca": 0.3, "good": 1.0, "bad": -1.0}


@pytest.fixture
def rows(tmp_path):
    rng = np.random.default_rng(0)
    truth = {t: rng.permutation(len(MODELS)) / 10 for t in TARGETS}
    accuracies = []
    for t in TARGETS:
        for i, m in enumerate(MODELS):
            for r in ("full/short", "linear_probe"):
                for seed in (0, 1):
                    row = {"pool": "p", "model": m, "dataset": t, "regime": r, "seed": seed, "seconds": 9}
                    accuracies.append({**row, "accuracy": truth[t][i] + 0.001 * seed * (i % 2)})
    pd.DataFrame(accuracies).to_csv(tmp_path / "accuracies.csv", index=False)
    noise = {t: rng.standard_normal(len(MODELS)) for t in TARGETS}
    scored = []
    for t in TARGETS:
        for p, weight in SIGN.items():
            for size in ("20", "all"):
                values = {"logme": weight * truth[t] + (1 - abs(weight)) * noise[t], "leep": noise[t]}
                for metric, score in values.items():
                    cell = {"model_pool": "p", "dataset": t, "splits": "train", "images_per_class": size}
                    by_model = dict(zip(MODELS, (f"{v:.9g}" for v in score), strict=True))
                    if metric == "leep":
                        by_model["net7"] = ""
                    scored.append({**cell, "seed": "0", "perturbation": p, "metric": metric, **by_model})
    update_scores(tmp_path / "scores.csv", scored)
    return tmp_path


@pytest.fixture
def study(rows):
    return read_study(rows / "accuracies.csv", rows / "scores.csv", "control")


def test_rows_are_read_as_arrays_by_regime_and_cell(study):
    assert study.models == tuple(MODELS)
    assert study.averaged == ("a", "b", "c")
    assert list(study.accuracies) == ["full", "linear_probe"]
    assert study.seed_accuracies["full"].shape == (2, 4, 8)
    assert study.hours["full"] == pytest.approx(8 * 4 * 2 * 9 / 3600)
    assert study.perturbations == ("none", "pca", "bad", "good")
    assert study.sizes == ("20", "all")
    assert study.perturbable == ("logme",)


def test_tau_is_over_the_models_with_a_score(study):
    for metric, models in (("logme", slice(None)), ("leep", slice(7))):
        scores, truth = study.scores[Cell(metric)][1, models], study.truth("full")[1, models]
        assert study.tau(Cell(metric), "full", "b") == pytest.approx(weighted_tau(scores, truth))
    mean = np.mean([study.tau(Cell("logme"), "full", t) for t in study.averaged])
    assert study.taus(Cell("logme"), "full", study.averaged)[0] == pytest.approx(mean)


def test_a_comparison_holds_differences_intervals_and_p_values(study):
    by_pair = {(c.perturbation, c.reference): c for c in comparisons(study, "full", ("logme",))}
    assert list(by_pair) == [("pca", "none"), ("bad", "none"), ("good", "none"), ("bad", "pca"), ("good", "pca")]
    good, bad, pca = by_pair["good", "none"], by_pair["bad", "none"], by_pair["pca", "none"]
    expected = 1 - np.mean([study.tau(Cell("logme"), "full", t) for t in study.averaged])
    assert good.mean == pytest.approx(expected)
    assert [c.is_clear for c in (good, bad, pca)] == [True, True, False]
    assert (good.paired.wins, bad.paired.losses, pca.paired.ties) == (3, 3, 3)
    assert pca.mean == pca.flips == 0
    assert good.flips == 0
    assert good.holm_p == bad.holm_p == 1.0, "five comparisons on three targets cannot be significant"


def test_baselines_do_not_use_the_target(study):
    truth = study.truth("full")
    mean_ranks = sum(np.argsort(np.argsort(truth[i])) for i in (1, 2))
    assert static_tau(study, "full", "a") == pytest.approx(weighted_tau(mean_ranks.astype(float), truth[0]))
    low, high = random_ranking_band(study, "full")
    assert -1 < low < 0 < high < 1
    assert seed_ceiling(study, "full", "a") == pytest.approx(1.0)


def test_every_table_shows_numbers_of_the_study(study):
    for name in TABLES:
        takes_regime = name in ("changes", "further", "means", "scoring_set_sizes")
        text = TABLES[name](study, "full") if takes_regime else TABLES[name](study)
        assert text
        assert "nan" not in text
    assert f"{study.taus(Cell('logme', 'good'), 'full', study.averaged)[0]:.2f}" in TABLES["means"](study, "full")


def test_the_verdict_follows_from_the_numbers(study):
    cells = {
        line.split("`")[1]: [cell.strip() for cell in line.split("|")[2:4]]
        for line in TABLES["verdict"](study).splitlines()
        if line.startswith("| `")
    }
    assert cells == {
        "pca": ["not clear (0, 0)", ""],
        "bad": ["worse (0, 0)", "worse (0, 0)"],
        "good": ["better (3, 3)", "better (3, 3)"],
    }
    by_pair = {(c.perturbation, c.reference): c for c in comparisons(study, "full", ("logme",))}
    assert f"| good | **{by_pair['good', 'none'].mean:+.3f}** [" in TABLES["changes"](study, "full")


def _page(rows, text="<!-- table: means full -->\nold\n<!-- end -->"):
    page = rows / "page.md"
    page.write_text(f"# Title\n\n<!-- study: accuracies=accuracies.csv scores=scores.csv control=control -->\n{text}\n")
    return page


def test_the_command_fills_the_page_and_draws_its_figures(rows, study, monkeypatch):
    page = _page(rows)
    monkeypatch.setattr(sys, "argv", ["study", str(page)])
    assert main() == 0
    assert "| logme |" in page.read_text()
    assert fill_page(page, study) == page.read_text()
    taus = pd.read_csv(rows / "page_taus.csv").set_index(["regime", "metric", "perturbation", "images_per_class"])
    assert len(taus) == 2 * 2 * 4 * 2
    assert taus.loc["full", "logme", "good", "all"].tolist() == [1.0] * 5
    comparisons_rows = pd.read_csv(rows / "page_comparisons.csv")
    is_good = (comparisons_rows["perturbation"] == "good") & (comparisons_rows["against"] == "none")
    good = comparisons_rows[is_good & (comparisons_rows["metric"] == "LogME")]
    assert good["regime"].tolist() == ["full", "linear_probe"]
    assert good["targets_better"].tolist() == [3, 3]
    accuracies = pd.read_csv(rows / "page_mean_accuracies.csv")
    assert accuracies[["full", "linear_probe"]].shape == (4 * 8, 2)
    for figure in ("page_heat_map.png", "page_before_after.png"):
        with Image.open(rows / figure) as image:
            assert image.text["Source"] == source_digest(page)


def test_pages_with_an_unknown_table_or_without_rows_are_rejected(rows, study, monkeypatch, capsys):
    with pytest.raises(InputError, match=r"asks for a table 'mean'.*means"):
        fill_page(_page(rows, "<!-- table: mean full -->\n<!-- end -->"), study)
    (rows / "bare.md").write_text("no rows")
    monkeypatch.setattr(sys, "argv", ["study", str(rows / "bare.md")])
    assert main() == 1
    assert "does not name its rows" in capsys.readouterr().err


def test_a_study_needs_two_targets_without_the_control(rows):
    scores = pd.read_csv(rows / "scores.csv", dtype=str, keep_default_na=False)
    scores[scores["dataset"].isin(["a", "control"])].to_csv(rows / "scores.csv", index=False)
    with pytest.raises(InputError, match="fewer than two targets"):
        read_study(rows / "accuracies.csv", rows / "scores.csv", "control")


def test_a_metric_with_missing_cells_is_left_out_of_comparisons(rows):
    scores = pd.read_csv(rows / "scores.csv", dtype=str, keep_default_na=False)
    half = scores[(scores["metric"] == "logme") & (scores["images_per_class"] == "all")].assign(metric="sfda")
    pd.concat([scores, half]).to_csv(rows / "scores.csv", index=False)
    study = read_study(rows / "accuracies.csv", rows / "scores.csv", "control")
    assert "sfda" in study.metrics
    assert study.perturbable == ("logme",)
    assert study.blind == ("leep",)


def test_means_are_computed_before_rounding(study):
    row = next(line for line in TABLES["scoring_set_sizes"](study, "full").splitlines() if line.startswith("| mean"))
    assert row.split(" | ")[1] == f"{study.taus(Cell('logme', 'none', '20'), 'full', study.averaged)[0]:.2f}"


def test_a_table_of_an_unknown_metric_is_rejected(study):
    with pytest.raises(InputError, match=r"no metric 'logm'.*logme"):
        TABLES["scoring_set_sizes"](study, "full", "logm")


def test_a_metric_that_ranks_like_another_one_counts_once(rows):
    scores = pd.read_csv(rows / "scores.csv", dtype=str, keep_default_na=False)
    doubled = scores[scores["metric"] == "logme"].assign(metric="emms")
    doubled[MODELS] = (2 * doubled[MODELS].astype(float) - 1).astype(str)
    pd.concat([scores, doubled]).to_csv(rows / "scores.csv", index=False)
    study = read_study(rows / "accuracies.csv", rows / "scores.csv", "control")
    assert study.perturbable == ("emms", "logme")
    assert study.distinct == ("logme",)
    assert study.further == ()


def test_random_rankings_of_two_models_follow_one_of_two_orders(study):
    truth = study.truth("full")[: len(study.averaged), :2]
    agreement = abs(float(np.sign(truth[:, 0] - truth[:, 1]).mean()))
    assert agreement > 0
    assert random_ranking_band(study, "full", (0, 1)) == pytest.approx((-agreement, agreement))


def test_zero_has_no_sign():
    assert [tau_text(tau) for tau in (-0.004, 0.004, -0.006)] == ["0.00", "0.00", "-0.01"]


def test_accuracies_without_a_column_are_rejected(rows):
    pd.read_csv(rows / "accuracies.csv").drop(columns="seconds").to_csv(rows / "accuracies.csv", index=False)
    with pytest.raises(InputError, match="lacks the column seconds"):
        read_study(rows / "accuracies.csv", rows / "scores.csv", "control")


def test_a_missing_accuracy_is_reported(rows):
    table = pd.read_csv(rows / "accuracies.csv")
    table[(table["model"] != "net3") | (table["dataset"] != "b")].to_csv(rows / "accuracies.csv", index=False)
    with pytest.raises(InputError, match="no accuracy of net3 on b"):
        read_study(rows / "accuracies.csv", rows / "scores.csv")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_figures_of_a_page_are_drawn_from_its_rows(page):
    figures = re.findall(r"\]\((\w+\.png)\)", page.read_text())
    assert len(figures) == 2
    for figure in figures:
        with Image.open(page.with_name(figure)) as image:
            assert image.text["Source"] == source_digest(page), f"run python -m studies.real_pool {page}"


@pytest.mark.study
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_agrees_with_its_rows(page):
    study = read_study(*sources(page))
    assert fill_page(page, study) == page.read_text(), f"run python -m studies.real_pool {page}"
    for name, make_rows in CSV_FILES.items():
        stored = pd.read_csv(page.with_name(f"{page.stem}_{name}.csv"), dtype={"images_per_class": str})
        pd.testing.assert_frame_equal(stored, make_rows(study), check_dtype=False)
