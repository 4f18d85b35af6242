"""Measures of error in tables of accuracies, and measures that cannot be compared."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest

from transfer_exp.dataset.target_dataset import MEASURES
from transfer_exp.errors import InputError
from transfer_exp.evaluation.score_table import join_scores, read_accuracies
from transfer_exp.ground_truth.table import AccuracyTable
from transfer_exp.io.measures import (
    ERRORS,
    INVARIANT,
    NAMES,
    ORDINAL,
    SIGNED,
    common_measure,
    is_possible,
    larger_is_better,
    measure_heading,
)
from transfer_exp.report.record import read_record
from transfer_exp.results.cell import CellResult, ModelResult

TABLE = """model,dataset,measure,accuracy
a,angles,rmse,12.5
b,angles,rmse,7.25
c,angles,rmse,3.0
a,pets,accuracy,0.9
b,pets,accuracy,0.8
c,pets,accuracy,0.7
"""


@pytest.mark.parametrize(
    ("value", "measure", "expected"),
    [
        *((value, "accuracy", 0 <= value <= 1) for value in (-0.1, 0.0, 1.0, 1.1)),
        *((value, "spearman", -1 <= value <= 1) for value in (-1.1, -1.0, 1.0, 1.1)),
        *((value, "quadratic_weighted_kappa", -1 <= value <= 1) for value in (-1.1, -1.0, 1.0, 1.1)),
        *((value, "r2", value <= 1) for value in (-100.0, 1.0, 1.1)),
        *((value, "rmse", value >= 0) for value in (-0.1, 0.0, 100.0)),
        *((value, name, False) for value in (float("inf"), float("-inf"), float("nan")) for name in NAMES),
    ],
)
def test_a_measure_has_only_values_within_its_limits(value, measure, expected):
    assert is_possible(value, measure) is expected


def test_only_errors_change_their_sign_in_a_comparison():
    assert larger_is_better(3.0, "rmse") == -3
    assert larger_is_better(3.0, "r2") == 3
    assert larger_is_better(np.array([1.0, 2.0]), "macro_mae").tolist() == [-1, -2]
    assert [measure_heading(name) for name in ("macro_f1", "mae")] == ["accuracy", "mae"]


@pytest.mark.parametrize("other", ["mae", "macro_f1", "map_11point"])
def test_two_measures_are_not_compared(other):
    assert common_measure(["accuracy", "accuracy"], "dataset pets") == "accuracy"
    with pytest.raises(InputError, match=f"dataset pets has accuracies by accuracy and by {other}, which cannot be"):
        common_measure(["accuracy", other], "dataset pets")


def test_every_measure_of_a_dataset_has_a_name_here():
    assert set(NAMES) == {name for measures in MEASURES.values() for name in measures}
    assert set(SIGNED) | set(ERRORS) | set(ORDINAL) | set(INVARIANT) <= set(NAMES)


@pytest.mark.parametrize("name", ["RMSE", "Rmse", "rmse"])
def test_a_measure_in_a_table_may_be_in_any_case(tmp_path, name):
    path = tmp_path / "accuracies.csv"
    path.write_text(TABLE.replace("rmse", name))
    (accuracies,) = read_accuracies(path)
    assert accuracies.measures["angles"] == "rmse"
    rows = pd.DataFrame({"a": [1.0], "b": [2.0], "c": [3.0]})
    rows.index = pd.MultiIndex.from_tuples([("ridge", "angles")], names=["metric", "dataset"])
    assert join_scores(rows, accuracies).measures["weighted_tau"].tolist() == pytest.approx([1])


def test_an_unknown_measure_in_a_table_is_refused_with_its_line(tmp_path):
    path = tmp_path / "accuracies.csv"
    path.write_text(TABLE.replace("b,angles,rmse", "b,angles,mse"))
    for read in (read_accuracies, lambda path: AccuracyTable(str(path)).other_accuracies("a", "lengths")):
        with pytest.raises(InputError, match=r"accuracies\.csv line 3: there is no measure 'mse': did you mean rmse"):
            read(path)


def test_the_abbreviation_of_published_tables_is_read(tmp_path):
    path = tmp_path / "accuracies.csv"
    path.write_text("model,dataset,measure,accuracy\na,voc2007,lrap,0.9\nb,voc2007,lrap,0.8\n")
    assert read_accuracies(path)[0].measures == {"voc2007": "label_ranking_average_precision"}


def test_a_record_with_an_unknown_measure_is_refused(tmp_path):
    record = asdict(CellResult({"metric": "logme", "dataset": "pets"}, (ModelResult("a", 1.0, 0.5),)))
    path = tmp_path / "result.json"
    for name, expected in (("RMSE", "rmse"), ("accuracy", "accuracy")):
        path.write_text(json.dumps({**record, "measure": name}))
        assert read_record(path).measure == expected
    path.write_text(json.dumps({**record, "measure": "mse"}))
    with pytest.raises(InputError, match=r"result\.json: there is no measure 'mse': did you mean rmse"):
        read_record(path)


@pytest.mark.parametrize("unit", ["fraction", "percent"])
def test_errors_stay_as_they_are_in_a_table_and_rank_the_other_way(tmp_path, unit):
    path = tmp_path / "accuracies.csv"
    text = TABLE if unit == "fraction" else TABLE.replace(",0.", ",").replace("9\n", "90\n")
    path.write_text(text)
    (accuracies,) = read_accuracies(path, unit=unit)
    assert accuracies.table.loc["angles"].tolist() == [12.5, 7.25, 3.0]
    assert accuracies.measures == {"angles": "rmse", "pets": "accuracy"}
    rows = pd.DataFrame({"a": [1.0, 3.0], "b": [2.0, 2.0], "c": [3.0, 1.0]})
    rows.index = pd.MultiIndex.from_tuples([("ridge", "angles"), ("ridge", "pets")], names=["metric", "dataset"])
    table = join_scores(rows, accuracies)
    measures = table.measures.set_index("dataset")
    if unit == "fraction":
        assert measures["weighted_tau"].tolist() == pytest.approx([1, 1])
        assert table.static_taus == pytest.approx({"angles": -1, "pets": -1})
    assert measures.loc["angles", "regret"] == 0
    assert table.accuracies.loc["angles"].tolist() == [12.5, 7.25, 3.0]
    assert table.cell_accuracies[0].tolist() == [-12.5, -7.25, -3.0]


def test_a_negative_error_and_two_measures_in_one_dataset_are_refused(tmp_path):
    path = tmp_path / "accuracies.csv"
    path.write_text(TABLE.replace("7.25", "-7.25"))
    with pytest.raises(InputError, match=r"line 3: rmse -7\.25 is negative"):
        read_accuracies(path)
    path.write_text(TABLE.replace("b,angles,rmse,7.25", "b,angles,r2,0.5"))
    with pytest.raises(InputError, match=r"dataset 'angles', has accuracies by rmse and by r2"):
        read_accuracies(path)
    path.write_text(TABLE.replace("b,angles,rmse,7.25", "b,angles,mae,5.5"))
    with pytest.raises(InputError, match=r"dataset 'angles', has accuracies by rmse and by mae"):
        read_accuracies(path)
