"""Tables of the document on the paper, and the published rows behind them."""

from __future__ import annotations

import csv
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from studies.document_tables import fill_tables
from studies.paper.document import fill_page, main
from studies.paper.tables import IMAGES, POOLS, extraction_cost, ped, pools, real_pool_changes, teaser
from transfer_exp.errors import InputError
from transfer_exp.io.accuracies import PUBLISHED
from transfer_exp.report.published_comparison import PUBLISHED_TAUS

DOCUMENT = Path(__file__).parents[2] / "docs" / "reproduction.md"
RESULTS = DOCUMENT.parent / "results"
SSL = "group2_ssl_resnet50_12"


def cells(table, first):
    """Return the cells of the Markdown row that begins with a cell."""
    (line,) = (line for line in table.splitlines() if line.startswith(f"| {first} |"))
    return [cell.strip() for cell in line.strip("| ").split("|")]


@pytest.mark.slow
@pytest.mark.study
def test_the_document_agrees_with_its_rows():
    assert fill_page(DOCUMENT) == DOCUMENT.read_text(), "run python -m studies.paper.document FILE.md"


def test_the_claim_of_the_paper_is_quoted_as_a_claim():
    text = DOCUMENT.read_text()
    assert "LogME improves by **28.84 %**" in text
    assert "These are the paper's numbers. We could not measure them" in text


@pytest.mark.slow
def test_static_rankings_of_both_pools_have_their_published_taus():
    lines = [line.split(" | ")[3:5] for line in pools(*POOLS).splitlines()[2:]]
    assert [all_targets for all_targets, _ in lines] == [
        *("0.837 (11)", "0.707 (11)", "0.616 (11)"),
        *("0.685 (11)", "0.482 (11)", "0.789 (11)"),
    ]
    assert [sound_targets for _, sound_targets in lines] == [
        *("0.837 (11)", "0.743 (8)", "0.660 (8)"),
        *("0.685 (11)", "0.467 (8)", "0.846 (8)"),
    ]


@pytest.mark.slow
def test_random_accuracies_have_no_static_ranking(monkeypatch, tmp_path):
    rows = pd.read_csv(PUBLISHED)
    rows["accuracy"] = np.random.default_rng(0).permutation(rows["accuracy"])
    rows.to_csv(tmp_path / "shuffled.csv", index=False)
    monkeypatch.setattr("studies.paper.tables.PUBLISHED", tmp_path / "shuffled.csv")
    assert max(float(line.split(" | ")[3][:5]) for line in pools(*POOLS).splitlines()[2:]) < 0.4


@pytest.mark.slow
def test_published_correlations_are_compared_target_by_target():
    rows = pd.read_csv(PUBLISHED_TAUS)
    logme = rows[(rows["pool"] == SSL) & (rows["metric"] == "logme")].pivot(
        index="dataset", columns="perturbation", values="weighted_tau"
    )
    gains = (logme["ped"] - logme["none"]).to_numpy()
    flips = [np.mean(np.array(signs) * gains) for signs in product((1, -1), repeat=len(gains))]
    p = np.mean(np.abs(flips) >= abs(gains.mean()) - 1e-12)
    row = cells(ped(), "logme ped - none")
    assert row[1] == f"{gains.mean():+.3f}"
    assert row[3] == f"{(gains > 0).sum()}-{(gains == 0).sum()}-{(gains < 0).sum()}"
    assert row[5] == f"{p:.3f}"


@pytest.mark.assets
def test_the_stored_points_of_the_figure_are_the_digitised_ones(shared):
    digitised = (shared / "published" / "enhancing_TE_teaser_pets_digitised.csv").read_text().splitlines()
    rows = {tuple(r.values()) for r in csv.DictReader(digitised)}
    points = csv.DictReader((RESULTS / "teaser_pets.csv").read_text().splitlines())
    assert {tuple(r[name] for name in csv.DictReader(digitised).fieldnames) for r in points} == rows


@pytest.mark.slow
def test_no_panel_of_the_figure_has_the_tau_that_is_printed_in_it():
    table = teaser(RESULTS / "teaser_pets.csv")
    assert cells(table, "before")[2:] == ["0.372", "0.734"]
    assert cells(table, "after")[2:] == ["0.773", "0.865"]


def test_the_change_in_percent_is_that_of_the_mean_over_targets(tmp_path):
    fields = {"regime": "full", "metric": "logme", "images_per_class": "all"}
    rows = [
        fields | {"perturbation": p, "mean without x": t} for p, t in {"none": 0.2, "pca": 0.3, "ped": 0.15}.items()
    ]
    rows += [rows[0] | {"metric": "leep", "mean without x": 0.9}, rows[0] | {"images_per_class": "20"}]
    pd.DataFrame(rows).to_csv(tmp_path / "taus.csv", index=False)
    assert cells(real_pool_changes(tmp_path / "taus.csv"), "full") == ["full", "0.20", "0.30 (+50%)", "0.15 (-25%)"]
    rows[0]["mean without x"] = -0.1
    pd.DataFrame(rows).to_csv(tmp_path / "taus.csv", index=False)
    assert cells(real_pool_changes(tmp_path / "taus.csv"), "full")[2] == "0.30 (no ratio)"


def test_costs_are_the_cost_of_an_image_times_the_number_of_images(tmp_path):
    rows = [
        {"model_pool": "p", "model": "a", "networks": 1, "input_size": 224, "gflops": 2, "seconds_per_image": 0.5},
        {"model_pool": "p", "model": "b", "networks": 3, "input_size": 224, "gflops": 4, "seconds_per_image": 1.5},
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "cost.csv", index=False)
    table = extraction_cost(tmp_path / "cost.csv")
    assert cells(table, "networks")[1] == "4"
    assert cells(table, "GFLOPs per image, all networks")[1] == "14"
    assert cells(table, "core-seconds per image, all networks")[1] == "5.0"
    assert cells(table, "dtd (3,760 images), core-hours")[1] == f"{5 * 3760 / 3600:.1f}"
    assert len(IMAGES) == 11
    pd.DataFrame(rows).drop(columns="gflops").to_csv(tmp_path / "cost.csv", index=False)
    with pytest.raises(InputError, match="lacks the column gflops"):
        extraction_cost(tmp_path / "cost.csv")


def test_all_networks_of_the_pools_have_a_cost():
    rows = pd.read_csv(RESULTS / "extraction_cost.csv")
    assert rows.groupby("model_pool")["networks"].sum().to_dict() == {
        "supervised_cnn": 11,
        "self_supervised": 12,
        "vit": 13,
    }
    assert rows.set_index("model")["input_size"].to_dict()["inception_v3"] == 299
    assert (rows["seconds_per_image"] > 0).all()


def test_blocks_are_filled_and_the_rest_is_unchanged(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- table: two a b -->\nold\n<!-- end -->\nafter\n")
    text = fill_tables(page, {"two": lambda *arguments: "+".join(arguments)})
    assert text == "before\n<!-- table: two a b -->\na+b\n<!-- end -->\nafter\n"
    with pytest.raises(InputError, match="two"):
        fill_tables(page, {"three": str})


@pytest.mark.slow
def test_the_command_fills_a_document_or_reports_missing_rows_in_one_line(tmp_path, monkeypatch, capsys):
    page = tmp_path / "page.md"
    page.write_text("<!-- table: pools group1_supervised_cnn11 -->\n<!-- end -->\n")
    monkeypatch.setattr(sys, "argv", ["document", str(page)])
    assert main() == 0
    assert "0.837" in page.read_text()
    page.write_text("<!-- table: extraction_cost -->\n<!-- end -->\n")
    assert main() == 1
    message = capsys.readouterr().err
    assert "no costs" in message
    assert len(message.splitlines()) == 1
