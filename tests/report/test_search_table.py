"""What a search found, as a table, files, and a cell of a page."""

from __future__ import annotations

from dataclasses import replace
from io import StringIO

import pandas as pd
import pytest
from rich.console import Console

from transfer_exp.report.record import last_round_as_cell, search_frame, write_search_tables
from transfer_exp.report.search_table import found_table, remark
from transfer_exp.results.search import SearchedModel, SearchResult

CELL = {"model_pool": "p", "dataset": "d", "perturbation": "pca", "metric": "logme", "seed": "0"}
FIRST = SearchedModel("first", 1, 0.512, 200, 0.49, 0.534, 1, 2, 0.8, 0.7, 0.9)
SECOND = SearchedModel("second", 2, 0.5, 200, 0.48, 0.52, 1, 2, 0.75, 0.65, 0.85)
DROPPED = SearchedModel("dropped", 3, 0.1, 50)
GONE = SearchedModel("gone", reason="no weights")
FOUND = SearchResult(CELL, (FIRST, SECOND, DROPPED, GONE), "top stable", 200, 450, 3.2, 0.012, ("a note",))


def shown(found, width=100):
    console = Console(file=StringIO(), width=width)
    console.print(found_table(found))
    return console.file.getvalue()


def test_the_table_says_order_doubt_and_what_to_expect():
    text = shown(FOUND)
    assert "d / pca / logme, on 200 images" in text
    assert "1 [1, 2]   first    0.512 [0.490, 0.534]   0.80 [0.70, 0.90]" in text
    assert "dropped after 50 images: dropped" in text
    assert "left out: gone: no weights" in text
    assert "cannot be told from the best (95 %): first, second" in text
    assert "expected to cost 0.012 of accuracy" in text
    assert "3 models ranked in 3 s: more images did not change the top" in text
    assert "images pushed: 75 % of" in text
    assert text.rstrip().endswith("a note")


def test_intervals_go_below_their_numbers_before_a_name_is_broken():
    name = "convnextv2_nano.fcmae_ft_in22k_in1k"
    named = replace(FOUND, models=(replace(FIRST, model=name), SECOND))
    assert f"1 [1, 2]   {name}   0.512 [0.490, 0.534]   0.80 [0.70, 0.90]" in shown(named)
    first, below, *_ = (line for line in shown(named, 80).splitlines() if name in line or "[0.490" in line)
    assert first.split() == ["1", name, "0.512", "0.80"]
    assert below.split() == ["[1,", "2]", "[0.490,", "0.534]", "[0.70,", "0.90]"]
    assert "".join(shown(named, 60).split()).count("[0.490,0.534]") == 1, "on fewer columns a name is broken after all"


def test_one_that_stands_alone_and_one_of_which_nothing_is_known():
    first, second = SearchedModel("a", 1, 0.5, 9, 0.4, 0.6, 1, 1), SearchedModel("b", 2, 0.1, 9, 0.0, 0.2, 2, 2)
    alone = SearchResult(CELL, (first, second), "budget", 9, 18, 1.0)
    assert "a is told from all others" in shown(alone)
    assert remark(alone.models[0]) == "may be 1"
    unknown = SearchResult(CELL, (SearchedModel("a", 1, 0.5, 9),), "all images", 9, 9, 1.0)
    assert "told" not in shown(unknown)
    assert unknown.best == ("a",)


def test_files_hold_every_field_of_every_model(tmp_path):
    frame = search_frame(FOUND)
    assert list(frame["model"]) == ["first", "second", "dropped", "gone"]
    assert frame.loc[3, ["rank", "score"]].isna().all()
    for path in write_search_tables(FOUND, tmp_path):
        read = pd.read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path)
        assert list(read.columns) == list(frame.columns)
        assert read["score"].tolist()[:3] == [0.512, 0.5, 0.1]
        assert read["worst_rank"].isna().tolist() == [False, False, True, True]


def test_a_cell_ranks_the_last_round_and_says_who_was_dropped():
    cell = last_round_as_cell(FOUND)
    assert [model.score for model in cell.models] == [0.512, 0.5, None, None]
    assert [model.reason for model in cell.models] == ["", "", "dropped after 50 images, at rank 3", "no weights"]
    assert cell.cell["ground_truth"] == "none"


@pytest.mark.parametrize("seconds", [0.0, 59.6])
def test_seconds_are_whole(seconds):
    assert f"in {seconds:.0f} s" in shown(SearchResult(CELL, (FIRST,), "budget", 200, 200, seconds))
