"""Page on layers: it agrees with its rows, and the rows are those of the cells of a sweep."""

from __future__ import annotations

from pathlib import Path

import pytest

from studies.layers import POOLS, VITS, fill_page, read_taus, store_rows
from transfer_exp.io.csv import read_table
from transfer_exp.report.record import write_record
from transfer_exp.results.cell import CellResult, ModelResult

pytestmark = pytest.mark.slow

PAGE = Path(__file__).parents[2] / "docs" / "results" / "layers.md"


def test_the_page_agrees_with_its_rows():
    assert fill_page(PAGE) == PAGE.read_text(), f"run python -m studies.layers {PAGE}"


@pytest.mark.parametrize(("pool", "networks"), [("builtin", 14), ("real", 23)])
def test_every_cell_has_every_network_and_a_control_is_left_out(pool, networks):
    rows = read_table(PAGE.parent / POOLS[pool].rows)
    assert rows.groupby(["dataset", "metric"])["model"].nunique().eq(networks).all()
    taus = read_taus(PAGE.parent, pool)
    assert len(taus) == 20
    assert set(taus["dataset"]) == set(rows["dataset"]) - {POOLS[pool].control}


def test_a_choice_for_some_networks_leaves_the_others_as_they_are():
    every, vits = (read_taus(PAGE.parent, "builtin", models) for models in ((), VITS))
    assert every["head_input"].equals(vits["head_input"])
    assert not every["first block"].equals(vits["first block"])
    assert not vits["first block"].equals(vits["head_input"])


def test_rows_hold_the_layers_of_each_model_in_order(tmp_path):
    labels = {"model_pool": "builtin", "dataset": "digits", "perturbation": "none", "metric": "ncm", "seed": "0"}
    scores = {"b": 1.0, "a": 0.5, "head_input": 0.75}
    models = (ModelResult("net", 1.0, layer="b", layer_scores=scores), ModelResult("none", None, reason="no head"))
    write_record(CellResult(labels, models), {}, tmp_path / "sweep" / "0_cell")
    store_rows(tmp_path / "sweep", tmp_path / "rows.csv")
    rows = read_table(tmp_path / "rows.csv")
    assert rows["layer"].tolist() == list(scores)
    assert rows["score"].astype(float).tolist() == list(scores.values())
