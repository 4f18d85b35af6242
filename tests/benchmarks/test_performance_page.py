"""The page on speed: its table is that of its rows, every comparison is in it, and verdicts follow the numbers."""

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.cases import CASES, SHAPES
from benchmarks.measure import Row, read_rows
from benchmarks.page import filled, table

PAGE = Path(__file__).parents[2] / "docs" / "results" / "performance.md"
ROW = Row("sfda_released", *SHAPES[1], 1.0, 12.3, 12.3, 2e-9, repeats=5, reference_repeats=2, threads=2)


@pytest.mark.parametrize("page", ["results/performance.md", "scale.md"])
def test_a_page_says_what_its_rows_say(page):
    path = PAGE.parents[1] / page
    assert filled(path) == path.read_text(), f"run python -m benchmarks.page docs/{page}"


def test_every_comparison_was_measured_wherever_it_is_run():
    measured = {(row.what, (row.N, row.D, row.C)) for row in read_rows(PAGE.with_suffix(".csv"))}
    assert measured == {(case.what, shape) for case in CASES for shape in SHAPES if shape[0] <= case.most}


def test_no_measured_value_differs_from_its_reference():
    tolerances = {case.what: case.tolerance for case in CASES}
    for row in read_rows(PAGE.with_suffix(".csv")):
        assert row.difference <= tolerances[row.what], row


@pytest.mark.parametrize(
    ("ratio", "verdict"),
    [(12.3, "12 (2 runs) |  | at least 12 | reached"), (9.87, "9.9 (2 runs) |  | at least 12 | **not reached**")],
)
def test_a_verdict_follows_the_number(ratio, verdict):
    lines = table([replace(ROW, ratio=ratio)]).splitlines()
    assert f"| sfda_released |  | {verdict} |" in lines
    assert "| logme |  |  |  | at least 5 | not measured |" in lines
    assert "2e-09 (`sfda_released`)" in lines[-1]
