"""The page of the leaderboard agrees with its stored rows."""

from __future__ import annotations

from pathlib import Path

import pytest

from studies.document_tables import fill_tables
from studies.leaderboard_page import TABLES

PAGE = Path(__file__).parents[2] / "docs" / "leaderboard.md"


@pytest.mark.study
def test_the_tables_of_the_page_agree_with_the_stored_rows():
    assert fill_tables(PAGE, TABLES) == PAGE.read_text(), "run python -m studies.leaderboard_page docs/leaderboard.md"
