"""A finished run is written in an order that loses nothing: a late failure keeps the earlier files."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest

from tests.report.html.folders import cell_result, halved, run_context
from transfer_exp.errors import IncompleteOutputError, InputError
from transfer_exp.report.html.page import page_data
from transfer_exp.report.record import read_record
from transfer_exp.report.write_run import write_run, write_search
from transfer_exp.results.search import SearchedModel, SearchResult

pytestmark = pytest.mark.slow

CELL = {"model_pool": "builtin", "dataset": "digits", "perturbation": "none", "metric": "logme", "seed": "0"}
SEARCH = SearchResult(
    CELL,
    (
        SearchedModel("clear", 1, 1, 1, 0.8, 0.7, 0.9, 0.5, 0.4, 0.6, images=36),
        SearchedModel("dim", 2, score=0.1, images=9, status="dropped", reason="dropped after 9 images"),
    ),
    "budget",
    images=36,
    classes=3,
    forward_passes=45,
    seconds=1.0,
)


class ListFinish:
    """Keeps the results that it is given in memory."""

    def __init__(self, entry=None):
        self.entry, self.results = entry, []

    def __call__(self, results):
        self.results.append(results)
        return self.entry


def unreachable(results):
    raise InputError("no network")


def context(sweep=None):
    return run_context(sweep, command="python -m it", perturb=halved)


def fail(*args):
    raise ValueError("unknown symbol\nof 40 lines")


def interrupt(*args):
    raise KeyboardInterrupt


def files(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_single_run_leaves_record_figure_details_and_page(tmp_path):
    finish = ListFinish("runs/7")
    written = write_run(cell_result(), context(), tmp_path, finish).written
    assert [getattr(entry, "name", entry) for entry in written] == [
        "result.json",
        "ranking.csv",
        "scatter.png",
        "report.html",
        "runs/7",
    ]
    assert files(tmp_path) == ["page.json", "ranking.csv", "report.html", "result.json", "scatter.png"]
    assert read_record(tmp_path / "result.json") == cell_result()
    (results,) = finish.results
    assert [path.name for path in results.output_artifacts[0].files] == ["result.json", "ranking.csv"]


def test_a_cell_of_a_sweep_has_neither_figure_nor_page(tmp_path):
    written = write_run(cell_result(), context("sweep-7"), tmp_path, None).written
    assert [path.name for path in written] == ["result.json", "ranking.csv"]
    assert files(tmp_path) == ["page.json", "ranking.csv", "result.json"]


def test_a_tracked_cell_of_a_sweep_has_a_figure_for_the_tracker(tmp_path):
    written = write_run(cell_result(), context("sweep-7"), tmp_path, ListFinish()).written
    assert [path.name for path in written] == ["result.json", "ranking.csv", "scatter.png"]
    assert "report.html" not in files(tmp_path)
    assert len(json.loads((tmp_path / "page.json").read_text())["views"]) == 3


def test_a_failing_tracker_keeps_record_and_figure(tmp_path):
    problem = write_run(cell_result(), context(), tmp_path, unreachable).problem
    assert isinstance(problem, IncompleteOutputError)
    assert str(problem).startswith("cannot write the entry of the tracker (no network): the results are in ")
    assert files(tmp_path) == ["page.json", "ranking.csv", "report.html", "result.json", "scatter.png"]


def test_a_failing_figure_keeps_everything_else(tmp_path):
    (tmp_path / "scatter.png").mkdir()
    finish = ListFinish("runs/7")
    problem = write_run(cell_result(), context(), tmp_path, finish).problem
    assert isinstance(problem, IncompleteOutputError)
    assert re.search(r"the figure \(.*scatter\.png is a folder, not .*\): the results are in .*json", str(problem))
    assert read_record(tmp_path / "result.json") == cell_result()
    assert "report.html" in files(tmp_path)
    assert dict(finish.results[0].images) == {}


def test_any_failure_of_a_library_that_draws_is_one_line_after_the_results(tmp_path, monkeypatch):
    for name in ("scatter", "write_page", "collect_run_details"):
        monkeypatch.setattr(f"transfer_exp.report.write_run.{name}", fail)
    output = write_run(cell_result(), context(), tmp_path, ListFinish("runs/7"))
    assert str(output.problem).count("(unknown symbol)") == 3
    assert [getattr(entry, "name", entry) for entry in output.written] == ["result.json", "ranking.csv", "runs/7"]
    assert read_record(tmp_path / "result.json") == cell_result()


@pytest.mark.parametrize("name", ["scatter", "collect_run_details", "write_page"])
def test_an_interrupt_after_the_results_keeps_them(tmp_path, monkeypatch, name):
    monkeypatch.setattr(f"transfer_exp.report.write_run.{name}", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_run(cell_result(), context(), tmp_path, ListFinish())
    assert read_record(tmp_path / "result.json") == cell_result()
    assert "ranking.csv" in files(tmp_path)


def test_a_search_leaves_its_ranking_record_details_and_page(tmp_path):
    written = write_search(SEARCH, context(), tmp_path, ListFinish()).written
    assert [path.name for path in written] == ["result.json", "rank.csv", "rank.parquet", "report.html"]
    assert files(tmp_path) == ["page.json", "rank.csv", "rank.parquet", "report.html", "result.json"]
    (cell,) = page_data(tmp_path)["cells"]
    assert cell["answer"]["headline"].startswith("Fine-tune clear")
    assert [(row["model"], row["rank"], row["score_low_95"]) for row in cell["models"]] == [
        ("clear", 1, 0.4),
        ("dim", 2, None),
    ]


def test_a_failing_tracker_keeps_the_ranking_of_a_search(tmp_path):
    problem = write_search(SEARCH, context(), tmp_path, unreachable).problem
    assert isinstance(problem, IncompleteOutputError)
    assert str(problem).startswith("cannot write the entry of the tracker (no network): the results are in ")
    names = ["page.json", "rank.csv", "rank.parquet", "report.html", "result.json"]
    assert files(tmp_path) == names


def test_failing_details_and_page_keep_the_record_of_a_search_and_the_tracker(tmp_path, monkeypatch):
    for name in ("collect_run_details", "write_page"):
        monkeypatch.setattr(f"transfer_exp.report.write_run.{name}", fail)
    finish = ListFinish("runs/7")
    output = write_search(SEARCH, context(), tmp_path, finish)
    assert str(output.problem).count("(unknown symbol)") == 2
    assert [getattr(e, "name", e) for e in output.written] == ["result.json", "rank.csv", "rank.parquet", "runs/7"]
    assert files(tmp_path) == ["rank.csv", "rank.parquet", "result.json"]
    assert json.loads((tmp_path / "result.json").read_text())["models"][0]["model"] == "clear"
    assert len(finish.results) == 1


@pytest.mark.parametrize("name", ["collect_run_details", "write_page"])
def test_an_interrupt_after_the_record_of_a_search_keeps_it(tmp_path, monkeypatch, name):
    monkeypatch.setattr(f"transfer_exp.report.write_run.{name}", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_search(SEARCH, context(), tmp_path, ListFinish())
    assert {"rank.csv", "rank.parquet", "result.json"} <= set(files(tmp_path))


def test_findings_about_the_images_are_in_the_record_and_on_the_page(tmp_path):
    finding = "warning: the same image is in several splits, 1 time(s): <b>a</b> = b"
    write_run(cell_result(), replace(context(), findings=[finding]), tmp_path, ListFinish())
    assert json.loads((tmp_path / "result.json").read_text())["findings"] == [finding]
    assert page_data(tmp_path)["cells"][0]["findings"] == (finding,)
    page = (tmp_path / "report.html").read_text()
    assert "the same image is in several splits" in page
    assert "<b>a" not in page
