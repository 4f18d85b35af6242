"""Files of scores: rows replace those of the same cells, and are read back as numbers."""

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
    scores = read_scores(path)
    assert list(scores.index.get_level_values("metric")) == ["a", "b"]
    assert scores[["one", "two"]].to_numpy().tolist() == [[3, 4], [5, 6]]


def test_an_empty_score_is_nan(tmp_path):
    update_scores(tmp_path / "s.csv", [row("a", one="", two="2")])
    scores = read_scores(tmp_path / "s.csv")
    assert np.isnan(scores["one"].iloc[0])
    assert scores["two"].iloc[0] == 2


def test_a_table_of_other_models_is_not_changed(tmp_path):
    path = tmp_path / "s.csv"
    update_scores(path, [row("a", one="1")])
    before = path.read_text()
    with pytest.raises(InputError, match="other models"):
        update_scores(path, [row("a", other="1")])
    assert path.read_text() == before
    assert update_scores(path, []) == 0


def test_missing_and_invalid_files_are_refused(tmp_path):
    with pytest.raises(InputError, match="no scores"):
        read_scores(tmp_path / "none.csv")
    (tmp_path / "other.csv").write_text("name,value\na,1\n")
    with pytest.raises(InputError, match="neither the columns model and score nor those of a grid: model_pool"):
        read_scores(tmp_path / "other.csv")


def test_a_score_matrix_without_models_is_refused(tmp_path):
    path = tmp_path / "scores.csv"
    path.write_text("model_pool,dataset,splits,images_per_class,seed,perturbation,metric\n")
    with pytest.raises(InputError, match="has no column of a model"):
        read_scores(path)
