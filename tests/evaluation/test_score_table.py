"""ScoreTable: the join of scores with accuracies, the rows of each variant, and the notes about omissions."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from transfer_exp.errors import InputError
from transfer_exp.evaluation.correlation import weighted_tau
from transfer_exp.evaluation.score_files import read_scores
from transfer_exp.evaluation.score_table import RegimeAccuracies, join_regimes, join_scores

MODELS = ["vit", "alexnet", "resnet"]


@pytest.fixture
def scores(tmp_path):
    """Scores of two perturbations on two datasets with two seeds; model ``vit`` comes first in the file."""
    rng = np.random.default_rng(0)
    cells = [(p, d, s) for p in ("none", "pca") for d in ("pets", "cars") for s in ("0", "1")]
    rows = [
        {"metric": "logme", "perturbation": p, "dataset": d, "seed": s, "model": m, "score": rng.normal()}
        for p, d, s in cells
        for m in MODELS
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "scores.csv", index=False)
    return read_scores(tmp_path / "scores.csv")


def accuracies(regime="full", datasets=("cars", "dtd", "pets"), models=("alexnet", "resnet", "vit")):
    values = np.random.default_rng(1).uniform(size=(len(datasets), len(models)))
    return RegimeAccuracies(regime, pd.DataFrame(values, index=list(datasets), columns=list(models)))


def test_scores_keep_the_order_of_the_file_and_a_join_sorts_the_models(scores):
    assert list(scores) == MODELS
    table = join_scores(scores, accuracies())
    assert table.models == ("alexnet", "resnet", "vit")
    assert table.datasets == ("cars", "pets")
    np.testing.assert_array_equal(table.scores, scores[list(table.models)].to_numpy())


def test_a_variant_has_the_rows_of_its_seeds_by_dataset(scores):
    table = join_scores(scores, accuracies())
    assert table.variant_fields == ("metric", "perturbation")
    assert list(table.variants) == [("logme", "none"), ("logme", "pca")]
    for (_, perturbation), rows in table.variants.items():
        for dataset, numbers in rows.items():
            cells = table.cells.iloc[numbers]
            assert set(cells["perturbation"]) == {perturbation}
            assert set(cells["dataset"]) == {dataset}
            assert sorted(cells["seed"]) == ["0", "1"]


def test_measures_compare_each_cell_with_the_accuracies_of_its_dataset(scores):
    regime = accuracies()
    table = join_scores(scores, regime)
    for (_, cell), values in zip(table.measures.iterrows(), table.scores, strict=True):
        tau = weighted_tau(values, regime.table.loc[cell["dataset"]].to_numpy())
        assert cell["weighted_tau"] == pytest.approx(tau)
    assert set(table.measures["models"]) == {3}
    assert set(table.static_taus) == {"cars", "pets"}


def test_notes_of_all_regimes_are_separated_from_those_of_one(scores):
    regimes = [accuracies(), accuracies("lora", models=("alexnet", "resnet")), accuracies("probe", datasets=("dtd",))]
    tables, notes = join_regimes(scores, regimes)
    assert [table.regime for table in tables] == ["full", "lora"]
    assert tables[0].notes == ()
    assert tables[1].notes == ("models without accuracies (1): vit",)
    assert notes[0] == "datasets without scores (1): dtd"
    assert notes[1].startswith("left out: 3 models and 0 datasets have both scores and accuracies of probe")


def test_the_error_of_the_first_regime_is_raised_when_none_can_be_joined(scores):
    with pytest.raises(InputError, match="3 models and 0 datasets have both scores and accuracies of probe"):
        join_regimes(scores, [accuracies("probe", datasets=("dtd",)), accuracies("lora", models=("vgg", "vit"))])
