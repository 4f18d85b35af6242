"""tau_w against images per class: means and intervals over draws, in the terminal, in a file and on the page."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from scipy import stats

from transfer_exp.report.html.page import page_data
from transfer_exp.report.record import write_record
from transfer_exp.report.sweep import show_sweep
from transfer_exp.report.sweep_cells import collect
from transfer_exp.report.sweep_table import shots_frame, shots_table
from transfer_exp.results.cell import CellResult, ModelResult

pytestmark = pytest.mark.slow

TAUS = {"1": [0.1, 0.3, -0.1], "5": [0.4, 0.5, 0.6], "10": [0.6, 0.7, 0.65], "None": [0.8, 0.8, 0.8]}


def write(folder, metric, shots, seed, tau):
    cell = {"model_pool": "p", "dataset": "digits", "perturbation": "none", "metric": metric, "ground_truth": "full"}
    cell |= {"seed": str(seed)} | ({} if shots is None else {"shots": shots})
    models = (ModelResult("a", 1.0, 0.5), ModelResult("b", 2.0, 0.6))
    write_record(CellResult(cell, models, {"weighted_tau": tau}, (-0.5, 0.5)), {}, folder / "-".join(cell.values()))


@pytest.fixture
def sweep(tmp_path):
    for shots, taus in TAUS.items():
        for seed, tau in enumerate(taus):
            write(tmp_path, "logme", shots, seed, tau)
            write(tmp_path, "sfda", shots, seed, tau / 2)
    return tmp_path


def test_the_interval_is_that_of_the_mean_over_draws_and_sizes_are_in_ascending_order(sweep):
    means = shots_frame(collect(sweep))
    logme = means[means["metric"] == "logme"]
    assert logme["shots"].tolist() == [1, 5, 10, pd.NA]
    assert set(means["draws"]) == {3}
    for taus, (_, row) in zip(TAUS.values(), logme.iterrows(), strict=True):
        assert row["tau"] == pytest.approx(np.mean(taus))
        if len(set(taus)) > 1:
            low, high = stats.t.interval(0.95, 2, loc=np.mean(taus), scale=stats.sem(taus))
            assert (row["tau_low_95"], row["tau_high_95"]) == (pytest.approx(low), pytest.approx(high))


def test_the_table_has_a_column_for_each_size_and_the_sweep_writes_it(sweep):
    text = io.StringIO()
    Console(file=text, width=120).print(shots_table(shots_frame(collect(sweep))))
    lines = [line.split() for line in text.getvalue().splitlines()]
    assert text.getvalue().startswith("tau_w by images per class, mean [95 % interval] over 3 draws")
    assert lines[1] == ["dataset", "perturbation", "metric", "1", "5", "10", "all"]
    assert lines[3][:6] == ["digits", "none", "logme", "0.10", "[-0.40,", "0.60]"]
    show_sweep(sweep, Console(file=text, width=120))
    assert len(pd.read_csv(sweep / "shots.csv")) == 8


def test_one_draw_has_no_interval_and_a_sweep_of_other_settings_no_table(tmp_path):
    write(tmp_path, "logme", "1", 0, 0.2)
    write(tmp_path, "logme", "5", 0, 0.4)
    means = shots_frame(collect(tmp_path))
    assert means["tau_low_95"].isna().all()
    assert page_data(tmp_path)["shots"][0]["tau_low_95"] is None
    other = tmp_path / "other"
    write(other, "logme", None, 0, 0.2)
    write(other, "logme", None, 1, 0.4)
    assert shots_table(shots_frame(collect(other))) is None
    assert page_data(other)["shots"] == []


def test_the_page_has_a_line_for_each_metric_with_its_points(sweep):
    rows = page_data(sweep)["shots"]
    assert {row["line"] for row in rows} == {"logme", "sfda"}
    assert [row["shots"] for row in rows if row["line"] == "sfda"] == [1, 5, 10, None]
    assert set(rows[0]) == {"line", "dataset", "shots", "tau", "tau_low_95", "tau_high_95", "draws"}
    assert "shotsChart" in (show_sweep(sweep, Console(file=io.StringIO())) and (sweep / "report.html").read_text())
