"""The comparison of regimes: what is paired, averaged and left out."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path

import pandas as pd
import pytest

from studies.regime_page import agreement_table, compared_table, costs_table, main, targets_table

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
    ((regime, targets, mean, _, counts, p),) = entries(compared_table(folder, "full"), "lora")
    assert (regime, targets, mean, counts, p) == ("lora", "3", "+0.020", "3/0/0", "0.250")


def test_a_target_shows_its_best_pair_and_complete_seeds_only(folder):
    ((_, full, lora, seeds, best),) = entries(targets_table(folder), "one")
    assert (full, lora, seeds) == ("0.601", "0.571", "2")
    assert best == "c, full (0.701)"


def test_costs_are_shares_of_the_baseline(folder):
    assert entries(costs_table(folder, "full"), "lora") == [["lora", "100", "10 %", "150 %"]]


def test_the_same_ranking_agrees_perfectly(folder):
    assert entries(agreement_table(folder, "full"), "two") == [["two", "1.00"]]


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
    for name in ("regimes.md", "regimes.csv"):
        shutil.copy(results / name, tmp_path)
    assert main([str(tmp_path / "regimes.md")]) == 0
    assert (tmp_path / "regimes.md").read_text() == (results / "regimes.md").read_text()
