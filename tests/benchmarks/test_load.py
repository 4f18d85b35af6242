"""Runs on a machine with other work: ratios within a turn, and stored rows that say what the page says."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from benchmarks import load

ROWS = Path(__file__).parents[2] / "docs" / "results" / "load.csv"


def test_the_stored_rows_say_what_the_page_says():
    rows = pd.read_csv(ROWS)
    assert list(rows.columns) == list(load.COLUMNS)
    assert set(rows["command"]) == set(load.COMMANDS)
    assert (rows["all threads / auto"] > 1).all()
    assert (rows["jobs=auto (processor s)"] < 1.15 * rows["one thread (processor s)"]).all()


def test_ratios_are_computed_within_turns_and_rows_are_replaced(monkeypatch, tmp_path):
    durations = {"all threads": iter([80, 10, 40]), "one thread": iter([20, 4, 6]), "jobs=auto": iter([10, 2, 4])}
    monkeypatch.setattr(load, "run_seconds", lambda arguments, way: (next(durations[way]), 1.0))
    command, path = next(iter(load.COMMANDS)), tmp_path / "rows.csv"
    row = dict(zip(load.COLUMNS, load.measure(command, other=0, turns=3), strict=True))
    assert row["all threads / auto"] == "8.00", "the ratios are 8, 5 and 10"
    assert row["one thread / auto"] == "2.00"
    assert row["one thread / auto from - to"] == "1.50 - 2.00"
    for turns in (1, 3):
        load.write_rows(path, [tuple({**row, "turns": turns}.values())])
    assert pd.read_csv(path)["turns"].tolist() == [3]
