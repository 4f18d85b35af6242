"""Tables of documents filled from stored results."""

from __future__ import annotations

import pytest

from studies.stored_rows_pages import fill_page, read_result_rows
from transfer_exp.cli.report import main
from transfer_exp.errors import InputError
from transfer_exp.evaluation.ranking import Ranking
from transfer_exp.report.record import write_record, write_result_rows
from transfer_exp.results.cell import CellResult, ModelResult

pytestmark = pytest.mark.slow

MODELS = ("a", "b", "c", "d")
ACCURACIES = {"pets": (0.9, 0.8, 0.7, 0.6), "cars": (0.1, 0.2, 0.3, 0.4)}


@pytest.fixture
def sweep(tmp_path):
    for dataset, accuracies in ACCURACIES.items():
        for metric, scores in (("good", accuracies), ("odd", (1.0, 3.0, 2.0, None))):
            models = tuple(
                ModelResult(m, s, a, "" if s is not None else "no head, and a comma")
                for m, s, a in zip(MODELS, scores, accuracies, strict=True)
            )
            cell = {"model_pool": "p", "dataset": dataset, "perturbation": "none", "metric": metric}
            agreement = Ranking()(metric, models)
            result = CellResult(
                {**cell, "ground_truth": "full", "seed": "0"},
                models,
                agreement.measures,
                agreement.null_band,
                agreement.tied,
            )
            write_record(result, {}, tmp_path / "sweep" / f"{dataset}_{metric}")
    return tmp_path / "sweep"


def test_rows_are_read_back_as_the_cells_that_were_written(sweep, tmp_path):
    assert write_result_rows(sweep, tmp_path / "rows.csv") == 4
    cells = {(c.cell["dataset"], c.cell["metric"]): c for c in read_result_rows(tmp_path / "rows.csv")}
    assert len(cells) == 4
    assert cells["pets", "good"].measures["weighted_tau"] == pytest.approx(1)
    assert cells["pets", "odd"].models[3] == ModelResult("d", None, 0.6, "no head, and a comma")


def test_a_block_is_filled_and_the_prose_around_it_unchanged(sweep, tmp_path):
    write_result_rows(sweep, tmp_path / "rows.csv")
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- rows: rows.csv -->\nold numbers\n<!-- end -->\nafter\n")
    text = fill_page(page)
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old numbers" not in text
    assert "| pets | none | 1.00 |" in text, "not bold: four models are often ranked correctly by chance"
    assert "| a | 0.100 | **0.900** |" in text
    assert "| best minus worst | 0.300 | 0.300 |" in text
    assert "| cars | pets | -1.00 |" in text
    page.write_text(text)
    assert fill_page(page) == text


def test_a_filtered_block_holds_one_cell_as_a_run_prints_it(sweep, tmp_path):
    write_result_rows(sweep, tmp_path / "rows.csv")
    page = tmp_path / "page.md"
    page.write_text("<!-- rows: rows.csv dataset=pets metric=odd -->\n<!-- end -->")
    assert "skipped d: no head, and a comma" in fill_page(page)
    page.write_text("<!-- rows: rows.csv dataset=pets -->\n<!-- end -->")
    with pytest.raises(InputError, match="exactly one"):
        fill_page(page)


def test_missing_blocks_rows_columns_and_cells_are_reported(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("no block")
    with pytest.raises(InputError, match="no block to fill"):
        fill_page(page)
    page.write_text("<!-- rows: absent.csv -->\n<!-- end -->")
    with pytest.raises(InputError, match="no rows"):
        fill_page(page)
    (tmp_path / "absent.csv").write_text("model,score\n")
    with pytest.raises(InputError, match="lacks the column"):
        fill_page(page)
    with pytest.raises(InputError, match="no finished cell"):
        write_result_rows(tmp_path, tmp_path / "rows.csv")


def test_the_report_command_writes_rows(sweep, tmp_path, capsys):
    assert main([str(sweep), "--rows", str(tmp_path / "rows.csv")]) == 0
    assert "(4 cells)" in capsys.readouterr().out
    assert (tmp_path / "rows.csv").is_file()
