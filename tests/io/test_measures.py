"""Measures of error in tables of accuracies, and measures that cannot be compared."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from transfer_exp.errors import InputError
from transfer_exp.evaluation.score_table import join_scores, read_accuracies
from transfer_exp.io.measures import common_measure, larger_is_better, measure_heading

TABLE = """model,dataset,measure,accuracy
a,angles,rmse,12.5
b,angles,rmse,7.25
c,angles,rmse,3.0
a,pets,accuracy,0.9
b,pets,accuracy,0.8
c,pets,accuracy,0.7
"""


def test_only_errors_change_their_sign_in_a_comparison():
    assert larger_is_better(3.0, "rmse") == -3
    assert larger_is_better(3.0, "r2") == 3
    assert larger_is_better(np.array([1.0, 2.0]), "macro_mae").tolist() == [-1, -2]
    assert [measure_heading(name) for name in ("macro_f1", "mae")] == ["accuracy", "mae"]


def test_accuracies_and_errors_are_not_compared():
    assert common_measure(["accuracy", "macro_f1"], "dataset pets") == "accuracy"
    with pytest.raises(InputError, match="dataset pets has accuracies by accuracy and by mae, which cannot be"):
        common_measure(["accuracy", "mae"], "dataset pets")


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


def test_a_negative_error_and_two_directions_in_one_dataset_are_refused(tmp_path):
    path = tmp_path / "accuracies.csv"
    path.write_text(TABLE.replace("7.25", "-7.25"))
    with pytest.raises(InputError, match=r"line 3: rmse -7\.25 is negative"):
        read_accuracies(path)
    path.write_text(TABLE.replace("b,angles,rmse,7.25", "b,angles,r2,0.5"))
    with pytest.raises(InputError, match=r"dataset 'angles', has accuracies by rmse and by r2"):
        read_accuracies(path)
