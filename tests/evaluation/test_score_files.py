"""Rows of scores: kept in the place of those of the same cells, and read back as numbers."""

from __future__ import annotations

import numpy as np
import pytest

from transfer_exp.errors import InputError
from transfer_exp.evaluation.score_files import read_scores, update_scores


def row(metric, **scores):
    cell = {
        "model_pool": "p",
        "dataset": "d",
        "splits": "train",
        "images_per_class": "all",
        "seed": "0",
        "perturbation": "none",
    }
    return {**cell, "metric": metric, **scores}


def test_a_cell_that_is_scored_again_replaces_its_row(tmp_path):
    path = tmp_path / "new" / "scores.csv"
    assert update_scores(path, [row("b", one="1", two=""), row("a", one="3", two="4")]) == 2
    assert update_scores(path, [row("b", one="5", two="6")]) == 1
    found = read_scores(path)
    assert list(found.index.get_level_values("metric")) == ["a", "b"]
    assert found[["one", "two"]].to_numpy().tolist() == [[3, 4], [5, 6]]


def test_a_score_that_is_not_there_is_not_a_number(tmp_path):
    update_scores(tmp_path / "s.csv", [row("a", one="", two="2")])
    found = read_scores(tmp_path / "s.csv")
    assert np.isnan(found["one"].iloc[0])
    assert found["two"].iloc[0] == 2


def test_scores_of_other_models_are_not_mixed_in(tmp_path):
    path = tmp_path / "s.csv"
    update_scores(path, [row("a", one="1")])
    before = path.read_text()
    with pytest.raises(InputError, match="other models"):
        update_scores(path, [row("a", other="1")])
    assert path.read_text() == before
    assert update_scores(path, []) == 0


def test_what_is_no_table_of_scores_is_said(tmp_path):
    with pytest.raises(InputError, match="no scores"):
        read_scores(tmp_path / "none.csv")
    (tmp_path / "other.csv").write_text("name,value\na,1\n")
    with pytest.raises(InputError, match="neither the columns model and score nor those of a grid: model_pool"):
        read_scores(tmp_path / "other.csv")
