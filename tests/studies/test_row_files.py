"""Files of accuracies are filled piece by piece, and what they hold is not computed again."""

from __future__ import annotations

import pandas as pd

from studies import leaderboard_rows, regime_rows
from transfer_exp.store import Store

COLUMNS = ["model", "dataset", "regime", "seed", "accuracy"]


def test_only_missing_pieces_are_computed_and_rows_are_in_the_order_of_the_targets(tmp_path, monkeypatch):
    computed = []
    monkeypatch.setattr(leaderboard_rows, "finish_accuracies", lambda *piece: computed.append(piece[1:]))
    monkeypatch.setattr(leaderboard_rows, "accuracy_rows", lambda store, *piece: rows(*piece).assign(seconds="1"))
    path, store = tmp_path / "rows.csv", Store(tmp_path)
    pieces = [("b", "full", 1), ("a", "lora", 0), ("b", "full", 0), ("b", "full", 1)]
    added = [leaderboard_rows.add_accuracies(path, store, *piece, COLUMNS, ("b", "a")) for piece in pieces]
    assert added == [True, True, True, False]
    assert computed == pieces[:3]
    table = pd.read_csv(path)
    assert list(table) == COLUMNS
    assert list(zip(table["dataset"], table["regime"], table["seed"], strict=True))[::2] == [
        ("b", "full", 0),
        ("b", "full", 1),
        ("a", "lora", 0),
    ]


def rows(target, regime, seed):
    cells = [["m", target, regime, str(seed), "0.5"], ["n", target, regime, str(seed), "0.6"]]
    return pd.DataFrame(cells, columns=COLUMNS)


def test_regimes_are_compared_on_targets_of_the_leaderboard():
    assert set(regime_rows.TARGETS) <= set(leaderboard_rows.read_targets())
