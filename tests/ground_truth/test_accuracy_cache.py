"""Table of accuracies in a store: one row each with everything that decides it, readable as ground truth."""

from __future__ import annotations

import pandas as pd
import pytest
from torch_helpers import fake_pairing

from transfer_exp.errors import InputError
from transfer_exp.ground_truth.accuracy_cache import COLUMNS, TABLE, accuracy_row, append_row
from transfer_exp.ground_truth.regime import Accuracy
from transfer_exp.ground_truth.table import AccuracyTable
from transfer_exp.progress import silent
from transfer_exp.store import open_backend

IDENTITY = {"model": {"weights": "w"}, "train": "a", "validation": None, "test": "b", "measure": "accuracy"}
NAMES = {"pool": "p", "model": "m", "dataset": "d", "regime": "full", "protocol": "quick", "seed": "0"}


def row(key="k", value=0.1 + 0.2, **names):
    accuracy = Accuracy(value, "accuracy", {"learning_rate": 0.1}, steps=3)
    return {**accuracy_row(accuracy, {**NAMES, **names}, IDENTITY, "cpu", 1.5), "key": key}


def test_a_row_has_all_columns():
    assert set(row()) == set(COLUMNS)
    assert (
        row()["data"]
        != {**accuracy_row(Accuracy(0.5, "accuracy"), NAMES, {**IDENTITY, "test": "c"}, "cpu", 1.0)}["data"]
    )
    assert "torch 2" in row()["versions"]


def test_each_accuracy_is_one_row_and_is_read_back_exactly(tmp_path):
    path = tmp_path / TABLE
    for key, seed, value in (("k", "0", 0.1 + 0.2), ("k", "0", 0.9), ("l", "1", 0.5)):
        append_row(open_backend(tmp_path), row(key, value, seed=seed))
    table = pd.read_csv(path)
    assert list(table["key"]) == ["k", "l"]
    assert table["accuracy"][0] == 0.1 + 0.2
    pairing = fake_pairing("m", type("Target", (), {"name": "d"}))
    assert AccuracyTable(str(path))(pairing, silent).value == (0.1 + 0.2 + 0.5) / 2


def test_rows_of_several_protocols_are_not_averaged(tmp_path):
    path = tmp_path / TABLE
    append_row(open_backend(tmp_path), row("k", 0.4))
    append_row(open_backend(tmp_path), row("l", 0.6, protocol="paper"))
    pairing = fake_pairing("m", type("Target", (), {"name": "d"}))
    with pytest.raises(InputError, match="several values of protocol"):
        AccuracyTable(str(path))(pairing, silent)
    assert AccuracyTable(str(path), protocol="paper")(pairing, silent).value == 0.6


def test_a_foreign_table_is_not_overwritten(tmp_path):
    path = tmp_path / TABLE
    path.write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="move it away"):
        append_row(open_backend(tmp_path), row())
    assert path.read_text() == "a,b\n1,2\n"
