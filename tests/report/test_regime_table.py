"""Models and regimes of a sweep: means over seeds, the pairs that none beats, table, file and page."""

from __future__ import annotations

import io

import pandas as pd
import pytest
from rich.console import Console

from transfer_exp.report.html.page import page_data, render_page
from transfer_exp.report.record import write_record
from transfer_exp.report.regime_table import regime_frame, regime_table
from transfer_exp.report.sweep import show_sweep
from transfer_exp.report.sweep_cells import collect
from transfer_exp.results.cell import CellResult, ModelResult
from transfer_exp.results.search import pareto_front

pytestmark = pytest.mark.slow

# Accuracy, trained parameters and seconds of two models by regime.
REGIMES = {
    "full": {"a": (0.9, 1000, 4.0), "b": (0.8, 2000, 9.0)},
    "lora": {"a": (0.9, 100, 5.0), "b": (0.7, 150, 6.0)},
    "bitfit": {"a": (0.6, 10, 3.0)},
}


def write(folder, regime, seed="0", metric="logme", shift=0.0, measure="accuracy", **changed):
    fields = {"model_pool": "p", "dataset": "digits", "perturbation": "none", "metric": metric}
    cell = {**fields, "ground_truth": regime, "seed": seed, **changed}
    models = tuple(
        ModelResult(name, 1.0, accuracy + shift, trainable_parameters=count, training_seconds=seconds)
        for name, (accuracy, count, seconds) in REGIMES[regime].items()
    )
    models += (ModelResult("c", 1.0, None, "no linear layers"),)
    write_record(CellResult(cell, models, measure=measure), {}, folder / "-".join(cell.values()))


@pytest.fixture
def sweep(tmp_path):
    for regime in REGIMES:
        write(tmp_path, regime)
    return tmp_path


def test_pairs_are_ordered_by_accuracy_and_only_those_that_none_beats_are_marked(sweep):
    pairs = regime_frame(sweep, collect(sweep))
    named = pairs.set_index(["model", "ground_truth"])
    assert list(named.index) == [("a", "full"), ("a", "lora"), ("b", "full"), ("b", "lora"), ("a", "bitfit")]
    assert list(named.index[named["least_parameters"]]) == [("a", "lora"), ("a", "bitfit")]
    assert list(named.index[named["least_seconds"]]) == [("a", "full"), ("a", "bitfit")]


def test_seeds_are_averaged_and_metrics_count_once(sweep):
    write(sweep, "full", metric="h_score")
    write(sweep, "full", seed="1", shift=0.1)
    row = regime_frame(sweep, collect(sweep)).set_index(["model", "ground_truth"]).loc["a", "full"]
    assert row["seeds"] == 2
    assert row["accuracy"] == pytest.approx(0.95)


def test_a_protocol_is_named_only_where_it_differs(tmp_path):
    names = {}
    for changed in ("full", "lora(rank=4)/quick(steps=10)", "bitfit/quick(steps=10)", "full/paper"):
        models = (ModelResult("a", 1.0, 0.5),)
        fields = {"model_pool": "p", "dataset": "d", "perturbation": "none", "metric": "logme", "seed": "0"}
        write_record(CellResult({**fields, "ground_truth": changed}, models), {}, tmp_path / changed)
        names = set(regime_frame(tmp_path, collect(tmp_path))["ground_truth"])
        if changed.startswith("bitfit"):
            assert names == {"full", "lora(rank=4)", "bitfit"}
    assert names == {"full", "lora(rank=4)/quick(steps=10)", "bitfit/quick(steps=10)", "full/paper"}


def test_one_regime_or_no_accuracies_are_no_comparison(tmp_path):
    write(tmp_path, "full")
    pairs = regime_frame(tmp_path, collect(tmp_path))
    assert pairs.empty
    assert regime_table(pairs) is None
    assert page_data(tmp_path)["regimes"] == []


def test_equal_costs_and_equal_accuracies():
    assert pareto_front([(1.0, 0.5, "a"), (1.0, 0.6, "b"), (2.0, 0.6, "c")]) == ["b"]


def test_a_pair_of_unknown_cost_is_not_marked_and_beats_none(sweep):
    cell = {"model_pool": "p", "dataset": "digits", "perturbation": "none", "metric": "logme", "seed": "0"}
    result = CellResult({**cell, "ground_truth": "table"}, (ModelResult("a", 1.0, 0.99),))
    write_record(result, {}, sweep / "table")
    named = regime_frame(sweep, collect(sweep)).set_index(["model", "ground_truth"])
    assert not named.loc[("a", "table"), ["least_parameters", "least_seconds"]].any()
    assert list(named.index[named["least_parameters"]]) == [("a", "lora"), ("a", "bitfit")]


def test_the_terminal_and_the_file_have_the_pairs(sweep):
    text = io.StringIO()
    failures, error = show_sweep(sweep, Console(file=text, width=80))
    assert (failures, error) == ([], None)
    lines = [line.split() for line in text.getvalue().splitlines()]
    assert ["digits", "a", "lora", "0.900", "100", "5.0"] in lines
    assert ["a", "bitfit", "0.600", "10", "3.0"] in lines
    assert "3 of 5 pairs of model and regime are in regimes.csv only" in text.getvalue()
    assert list(pd.read_csv(sweep / "regimes.csv", dtype=str)["trainable_parameters"])[:2] == ["1000", "100"]


def test_the_page_has_the_pairs_of_every_dataset(sweep):
    write(sweep, "full", dataset="glyphs")
    data = page_data(sweep)
    assert [(row["dataset"], row["model"], row["least_parameters"]) for row in data["regimes"]][-2:] == [
        ("glyphs", "a", True),
        ("glyphs", "b", False),
    ]
    assert "Models and regimes" in render_page(data)


def test_pairs_of_errors_start_with_the_smallest_and_the_page_knows_the_direction(tmp_path):
    for regime in REGIMES:
        write(tmp_path, regime, measure="rmse")
    pairs = regime_frame(tmp_path, collect(tmp_path))
    named = pairs.set_index(["model", "ground_truth"])
    assert list(named.index) == [("a", "bitfit"), ("b", "lora"), ("b", "full"), ("a", "full"), ("a", "lora")]
    assert list(named.index[named["least_parameters"]]) == [("a", "bitfit")]
    text = io.StringIO()
    Console(file=text, width=100).print(regime_table(pairs))
    assert "rmse" in text.getvalue()
    assert "accuracy" not in text.getvalue()
    data = page_data(tmp_path)
    assert {(row["accuracy_name"], row["smaller_is_better"]) for row in data["regimes"]} == {("rmse", True)}
    assert {(cell["accuracy_name"], cell["smaller_is_better"]) for cell in data["cells"]} == {("rmse", True)}


def test_a_dataset_with_two_measures_is_left_out_of_the_table_with_a_warning(tmp_path, caplog):
    for regime in REGIMES:
        write(tmp_path, regime, dataset="glyphs")
        write(tmp_path, regime, measure="macro_f1" if regime == "full" else "accuracy")
    pairs = regime_frame(tmp_path, collect(tmp_path))
    assert set(pairs["dataset"]) == {"glyphs"}
    assert "is left out of the table of regimes: its accuracies by accuracy and by macro_f1 cannot" in caplog.text
