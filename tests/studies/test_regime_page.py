"""The comparison of regimes: what is paired, averaged and left out."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path

import pandas as pd
import pytest
from omegaconf import OmegaConf

from studies.regime_page import agreement_table, compared_table, costs_table, learning_rates_table, main, targets_table
from transfer_exp.cli.option_files import CONF

TARGETS, MODELS = ("one", "two", "three"), ("a", "b", "c")


@pytest.fixture
def folder(tmp_path):
    """Return a folder with rows in which LoRA is two points better, and knows no network c."""
    rows = []
    for (i, target), (j, model), seed in itertools.product(enumerate(TARGETS), enumerate(MODELS), range(2)):
        accuracy = 0.5 + 0.1 * j + 0.01 * i + 0.002 * seed
        names = {"pool": "p", "model": model, "dataset": target, "seed": seed}
        rows.append({**names, "regime": "full", "accuracy": accuracy, "trainable_parameters": 1000})
        rows[-1]["seconds"] = 2.0 + 100 * seed  # slow next to other programs
        if model != "c":
            costs = {"trainable_parameters": 100, "seconds": 3.0}
            rows.append({**names, "regime": "lora", "accuracy": accuracy + 0.02, **costs})
    # A seed without all networks must not count.
    rows.append({**rows[0], "seed": 2, "accuracy": 0.0})
    pd.DataFrame(rows).to_csv(tmp_path / "regimes.csv", index=False)
    return tmp_path


def entries(table, name):
    return [
        [c.strip() for c in line.strip("|").split("|")] for line in table.splitlines() if line.startswith(f"| {name}")
    ]


def test_targets_are_paired_over_the_networks_of_both_regimes(folder):
    ((regime, targets, mean, _, counts, p, holm_p),) = entries(compared_table(folder, "full"), "lora")
    assert (regime, targets, mean, counts, p, holm_p) == ("lora", "3", "+0.020", "3/0/0", "0.250", "0.250")


def test_a_target_shows_its_best_pair_and_complete_seeds_only(folder):
    ((_, full, lora, seeds, best),) = entries(targets_table(folder), "one")
    assert (full, lora, seeds) == ("0.601", "0.571", "2")
    assert best == "c, full (0.701)"


def test_costs_are_shares_of_the_baseline(folder):
    assert entries(costs_table(folder, "full"), "lora") == [["lora", "100", "10 %", "150 %"]]


def test_the_same_ranking_agrees_perfectly(folder):
    assert entries(agreement_table(folder, "full"), "two") == [["two", "1.00"]]


def test_factors_are_compared_by_their_means(tmp_path):
    rows = "regime,factor,validation,accuracy\nlora,10,0.5,0.25\nlora,10,0.7,0.35\nlora,4,0.1,0.2\n"
    (tmp_path / "learning_rates.csv").write_text(rows)
    expected = [["lora", "4", "0.100", "0.200"], ["lora", "10", "0.600", "0.300"]]
    assert entries(learning_rates_table(tmp_path), "lora") == expected


def test_the_default_factor_has_the_best_validation_accuracy():
    results = Path(__file__).parents[2] / "docs" / "results"
    for regime in ("lora", "bitfit"):
        rows = entries(learning_rates_table(results), regime)
        best = max(rows, key=lambda row: float(row[2]))
        assert float(best[1]) == OmegaConf.load(CONF / "ground_truth" / f"{regime}.yaml").learning_rate_factor


def test_the_page_is_filled_in_place(folder):
    page = folder / "page.md"
    page.write_text("before\n<!-- table: compared full -->\nold\n<!-- end -->\nafter\n")
    assert main([str(page)]) == 0
    text = page.read_text()
    assert text.startswith("before")
    assert text.endswith("after\n")
    assert "+0.020" in text
    assert "old" not in text


def test_the_tables_of_the_page_are_those_of_its_rows(tmp_path):
    results = Path(__file__).parents[2] / "docs" / "results"
    for name in ("regimes.md", "regimes.csv", "learning_rates.csv"):
        shutil.copy(results / name, tmp_path)
    assert main([str(tmp_path / "regimes.md")]) == 0
    assert (tmp_path / "regimes.md").read_text() == (results / "regimes.md").read_text()
