"""Page on speed: tables, completeness of the rows, and verdicts."""

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.cases import CASES, MEDIUM, SHAPES
from benchmarks.measure import Timing, read_rows
from benchmarks.page import bounds_table, fill_page, speed_table

PAGE = Path(__file__).parents[2] / "docs" / "results" / "performance.md"
ROW = Timing("sfda_released", *MEDIUM, 1.0, 12.3, 12.3, 2e-9, repeats=5, reference_repeats=2, threads=2)


@pytest.mark.parametrize("page", ["results/performance.md", "scale.md"])
def test_the_tables_of_a_page_agree_with_its_rows(page):
    path = PAGE.parents[1] / page
    assert fill_page(path) == path.read_text(), f"run python -m benchmarks.page docs/{page}"


def test_the_rows_hold_every_comparison_at_every_shape_that_it_is_run_at():
    keys = {(row.case, (row.N, row.D, row.C)) for row in read_rows(PAGE.with_suffix(".csv"))}
    assert keys == {(case.name, shape) for case in CASES for shape in SHAPES if shape[0] <= case.max_samples}


def test_every_value_agrees_with_its_reference():
    tolerances = {case.name: case.tolerance for case in CASES}
    for row in read_rows(PAGE.with_suffix(".csv")):
        assert row.difference <= tolerances[row.case], row


@pytest.mark.parametrize(
    ("ratio", "verdict"),
    [(12.3, "12 (2 runs) |  | at least 12 | reached"), (9.87, "9.9 (2 runs) |  | at least 12 | **not reached**")],
)
def test_the_verdict_follows_from_the_ratio(ratio, verdict):
    lines = speed_table([replace(ROW, ratio=ratio)]).splitlines()
    assert f"| sfda_released |  |  | {verdict} |" in lines
    assert "| logme |  |  |  |  | at least 5 | not measured |" in lines
    assert "2e-09 (`sfda_released`)" in lines[-1]


def test_the_bound_of_a_metric_stands_next_to_its_time():
    rows = [replace(ROW, bound_s=0.4), replace(ROW, case="knn", ours_s=2.0, bound_s=1.0, ranker_s=7.0)]
    head, _, *lines = bounds_table(rows).splitlines()
    assert head.startswith("| metric | bound | (1500, 1280, 10) |")
    assert lines == ["| sfda_released | 2 X'X, 2 Cholesky |  |  | 2.5 |  |  |", "| knn | XX' |  |  | 2 |  | 3.5 |"]
    assert len(bounds_table([ROW]).splitlines()) == 2
