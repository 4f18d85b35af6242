"""The page on choosing a metric says what the stored rows say, and the gallery can be rendered from its rows."""

from __future__ import annotations

from pathlib import Path

import pytest

from studies.document_tables import fill_tables
from studies.gallery import write_pictures
from studies.which_metric import TABLES, read_taus

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_equals_its_rows():
    page = DOCS / "which_metric.md"
    assert fill_tables(page, TABLES) == page.read_text(), "run python -m studies.which_metric docs/which_metric.md"


def test_rows_are_ordered_by_their_mean_and_hold_the_worst_target():
    taus = read_taus()
    assert taus["mean"].is_monotonic_decreasing
    assert (taus["worst"] <= taus["all"]).all()


@pytest.mark.slow
def test_the_pictures_of_the_gallery_are_rendered_without_the_network(tmp_path):
    written = write_pictures(tmp_path, browser=None)
    assert {path.name for path in written} == {path.name for path in (DOCS / "gallery").iterdir()} - {
        "run_page.png",
        "sweep_page.png",
    }
    for path in written:
        assert path.suffix == ".png" or "https://" not in path.read_text().replace("https://www.textualize.io", "")
