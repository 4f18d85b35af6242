"""Documents: every generated block agrees with its stored rows, every link and every option exists."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from studies.stored_rows_pages import fill_page
from transfer_exp.results.search import SearchedModel, SearchResult

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
PAGES = [p for p in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))) if "<!-- rows:" in p.read_text()]
TEXTS = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]


@pytest.mark.parametrize("page", PAGES, ids=[p.name for p in PAGES])
def test_the_tables_of_a_page_agree_with_its_stored_rows(page):
    assert fill_page(page) == page.read_text(), f"run python -m studies.stored_rows_pages {page.relative_to(ROOT)}"


@pytest.mark.parametrize("text", TEXTS, ids=[p.name for p in TEXTS])
def test_every_link_leads_somewhere(text):
    for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", text.read_text()):
        assert (text.parent / target).exists(), target


def test_the_readme_has_the_two_commands_that_set_the_project_up():
    lines = (ROOT / "README.md").read_text().splitlines()
    assert len([line for line in lines if line.startswith("pip install -c constraints.txt -e ")]) == 2


@pytest.mark.parametrize("text", [p for p in TEXTS if p.name != "renamed.md"], ids=lambda path: path.name)
def test_every_option_a_document_names_exists(text):
    groups = {p.name: {f.stem for f in p.glob("*.yaml")} for p in (ROOT / "conf").iterdir() if p.is_dir()}
    groups["sweep"] |= {path.stem for path in (ROOT / "studies" / "conf" / "sweep").glob("*.yaml")}
    # A block of rows filters by what results are called, which for folders is their own name.
    prose = re.sub(r"<!-- rows: .*-->", "", text.read_text())
    for group, options in re.findall(r"(?<![\w.])([a-z_]+)=([a-z0-9_,]+)(?![\w.\[])", prose):
        if group in groups:
            assert set(options.split(",")) <= groups[group] | {"mine"}, f"{group}={options}"


@pytest.mark.parametrize("kind", [SearchedModel, SearchResult])
def test_the_page_on_result_files_explains_every_field(kind):
    text = (ROOT / "docs" / "output.md").read_text().partition("## A ranking")[2].partition("\n## ")[0]
    explained = {
        name for row in re.findall(r"^\| (`.*?) \|", text, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)
    }
    assert {field.name for field in fields(kind)} - {"models"} <= explained
