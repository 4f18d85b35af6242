"""The result of a search as a terminal table, as files, and as a cell of a page."""

from __future__ import annotations

from dataclasses import replace
from io import StringIO

import pandas as pd
import pytest
from rich.console import Console

from transfer_exp.report.record import last_round_as_cell, search_frame, write_search_tables
from transfer_exp.report.search_table import rank_remark, search_table
from transfer_exp.results.search import SearchedModel, SearchResult

CELL = {"model_pool": "p", "dataset": "d", "perturbation": "pca", "metric": "logme", "seed": "0"}
FIRST = SearchedModel("first", 1, 0.512, 200, 0.49, 0.534, 1, 2, 0.8, 0.7, 0.9)
SECOND = SearchedModel("second", 2, 0.5, 200, 0.48, 0.52, 1, 2, 0.75, 0.65, 0.85)
DROPPED = SearchedModel("dropped", 3, 0.1, 50)
HEADLESS = SearchedModel("headless", reason="no weights")
SEARCH = SearchResult(CELL, (FIRST, SECOND, DROPPED, HEADLESS), "top stable", 200, 450, 3.2, 0.012, ("a note",))


def rendered(search, width=100):
    console = Console(file=StringIO(), width=width)
    console.print(search_table(search))
    return console.file.getvalue()


def test_the_table_has_ranks_intervals_eliminated_models_and_verdict():
    text = rendered(SEARCH)
    assert "d / pca / logme, on 200 images" in text
    assert "1 [1, 2]   first    0.512 [0.490, 0.534]   0.80 [0.70, 0.90]" in text
    assert "dropped after 50 images: dropped" in text
    assert "skipped headless: no weights" in text
    assert "not distinguishable from the best model (95 %): first, second" in text
    assert "expected loss of accuracy if only the first model is fine-tuned: 0.012" in text
    assert "3 models ranked in 3 s: more images did not change the top" in text
    assert "75 % of the forward passes of a full evaluation" in text, "450 of 3 models times 200 images"
    assert text.rstrip().endswith("a note")


def test_intervals_go_below_their_numbers_before_a_name_is_broken():
    name = "convnextv2_nano.fcmae_ft_in22k_in1k"
    search = replace(SEARCH, models=(replace(FIRST, model=name), SECOND))
    assert f"1 [1, 2]   {name}   0.512 [0.490, 0.534]   0.80 [0.70, 0.90]" in rendered(search)
    first, below, *_ = (line for line in rendered(search, 80).splitlines() if name in line or "[0.490" in line)
    assert first.split() == ["1", name, "0.512", "0.80"]
    assert below.split() == ["[1,", "2]", "[0.490,", "0.534]", "[0.70,", "0.90]"]
    assert "".join(rendered(search, 60).split()).count("[0.490,0.534]") == 1, "on fewer columns the name is broken"


def test_a_model_that_beats_every_finalist_is_called_significantly_better():
    winner, second = SearchedModel("a", 1, 0.5, 9, 0.4, 0.6, 1, 1), SearchedModel("b", 2, 0.1, 9, 0.0, 0.2, 2, 2)
    search = SearchResult(CELL, (winner, second), "budget", 9, 18, 1.0)
    assert "a is significantly better than every other finalist (95 %)" in rendered(search)
    assert rank_remark(search.models[0]) == "possible rank 1"


def test_a_model_that_does_not_beat_every_finalist_is_not_called_better():
    models = (
        SearchedModel("a", 1, 0.5, 9, 0.4, 0.6, 1, 2),
        SearchedModel("b", 2, 0.3, 9, 0.0, 0.6, 2, 3),
        SearchedModel("c", 3, 0.1, 9, 0.0, 0.2, 2, 3),
    )
    text = rendered(SearchResult(CELL, models, "budget", 9, 27, 1.0))
    assert "a is the only finalist that may be the best (95 %)" in text
    assert "significantly" not in text


def test_without_intervals_nothing_is_claimed_about_the_best_model():
    search = SearchResult(CELL, (SearchedModel("a", 1, 0.5, 9),), "all images", 9, 9, 1.0)
    assert "best" not in rendered(search)
    assert search.best == ("a",)


def test_files_hold_every_field_of_every_model(tmp_path):
    frame = search_frame(SEARCH)
    assert list(frame["model"]) == ["first", "second", "dropped", "headless"]
    assert frame.loc[3, ["rank", "score"]].isna().all()
    for path in write_search_tables(SEARCH, tmp_path):
        table = pd.read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path)
        assert list(table.columns) == list(frame.columns)
        assert table["score"].tolist()[:3] == [0.512, 0.5, 0.1]
        assert table["worst_rank"].isna().tolist() == [False, False, True, True]


def test_the_cell_of_a_search_ranks_the_last_round_and_gives_a_reason_for_each_dropped_model():
    cell = last_round_as_cell(SEARCH)
    assert [model.score for model in cell.models] == [0.512, 0.5, None, None]
    assert [model.reason for model in cell.models] == ["", "", "dropped after 50 images, at rank 3", "no weights"]
    assert cell.cell["ground_truth"] == "none"


@pytest.mark.parametrize("seconds", [0.0, 59.6])
def test_seconds_are_rounded_to_whole_numbers(seconds):
    assert f"in {seconds:.0f} s" in rendered(SearchResult(CELL, (FIRST,), "budget", 200, 200, seconds))
