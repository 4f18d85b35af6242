"""Results as a tracker receives them: summary numbers, tables, and the artifacts that were made and used."""

from dataclasses import replace
from pathlib import Path

import pandas as pd

from transfer_exp.features.model_on_target import CacheReference
from transfer_exp.io.atomic import digest
from transfer_exp.report.tracked_results import cell_results, precompute_results, search_results
from transfer_exp.results.cell import CellResult, ModelResult
from transfer_exp.results.search import SearchedModel, SearchResult

CELL = {"model_pool": "builtin", "dataset": "digits", "perturbation": "none", "metric": "logme", "seed": "0"}
MODELS = (
    ModelResult("small", 0.5, 0.71),
    ModelResult("large", 0.75, 0.9),
    ModelResult("headless", None, 0.8, "LEEP needs a classifier head"),
)
RESULT = CellResult(CELL, MODELS, {"weighted_tau": 0.625, "regret": 0.0}, (-1.0, 0.875))
REFERENCES = [
    CacheReference("hub/net", "digits", "scoring_set", {"weights": "w"}, "file:///store/features/ab/abc.safetensors")
]
FIGURE = Path("scatter.png")


def test_the_summary_of_a_cell_holds_the_correlation_and_its_band():
    summary = cell_results(RESULT, [], FIGURE, []).summary
    assert (summary["weighted_tau"], summary["regret"], summary["models_compared"]) == (0.625, 0.0, 2)
    assert (summary["null_band_low"], summary["null_band_high"], summary["tied"]) == (-1.0, 0.875, False)


def test_a_cell_without_ground_truth_has_no_band():
    unlabelled = CellResult(CELL, (ModelResult("a", 1.0), ModelResult("b", 2.0)))
    assert cell_results(unlabelled, [], FIGURE, []).summary == {"models_compared": 0, "tied": False}


def test_the_table_of_a_cell_lists_every_model_with_both_ranks(tmp_path):
    run = cell_results(RESULT, [], FIGURE, [tmp_path / "ranking.csv"])
    assert [list(row.values()) for row in run.tables["models"]] == [
        ["large", 0.75, 0.9, 1, 1, ""],
        ["small", 0.5, 0.71, 2, 2, ""],
        ["headless", None, 0.8, None, None, "LEEP needs a classifier head"],
    ]
    assert run.images == {"scatter": FIGURE}
    assert [(artifact.name, artifact.type, artifact.files) for artifact in run.output_artifacts] == [
        ("ranking-builtin-digits-none-logme", "ranking", [tmp_path / "ranking.csv"])
    ]


def test_features_are_named_after_what_decides_their_values():
    (artifact,) = cell_results(RESULT, REFERENCES, FIGURE, []).input_artifacts
    key = digest({"weights": "w"})
    assert (artifact.name, artifact.type, artifact.files) == (f"hub/net-digits-scoring_set-{key[:8]}", "features", ())
    assert artifact.addresses == {f"{key}.safetensors": REFERENCES[0].address}
    assert artifact.metadata["sha256"] == key
    assert artifact.metadata["key"] == {"weights": "w"}


def test_the_features_stage_makes_features_and_the_other_stages_use_them():
    counts = [
        {"what": "features of scoring_set", "was_there": True, "count": 2},
        {"what": "features of scoring_set", "was_there": False, "count": 1},
        {"what": "features of test", "was_there": False, "count": 4},
    ]
    for stage, (n_made, n_used) in {"features": (1, 0), "finetune": (0, 1)}.items():
        run = precompute_results(stage, counts, REFERENCES)
        assert (len(run.output_artifacts), len(run.input_artifacts)) == (n_made, n_used)
        assert run.summary == {"read": 2, "computed": 5}
        assert run.tables == {"found": counts}
    assert precompute_results("grid", [], []).tables == {}


def test_a_search_lists_its_models_best_first_with_images_and_seconds(tmp_path):
    models = (
        SearchedModel("a", 1, 1, 2, score=0.5, score_low_95=0.4, score_high_95=0.6, images=100),
        SearchedModel("b", 2, 1, 2, score=0.4, score_low_95=0.3, score_high_95=0.5, images=100),
        SearchedModel("c", status="failed", reason="no head"),
    )
    search = SearchResult(CELL, models, "budget", images=100, classes=3, forward_passes=250, seconds=3.5)
    run = search_results(search, [tmp_path / "rank.csv"])
    assert run.summary == {"images": 100, "pushed": 250, "seconds": 3.5, "may_be_best": 2}
    table = pd.DataFrame(run.tables["models"])
    assert table["model"].tolist() == ["a", "b", "c"]
    assert run.tables["models"][2]["score"] is None
    assert (run.tables["models"][0]["rank"], run.tables["models"][0]["score_low_95"]) == (1, 0.4)
    assert run.output_artifacts[0].files == [tmp_path / "rank.csv"]
    with_regret = replace(search, expected_regret=0.02)
    assert search_results(with_regret, []).summary["expected_regret"] == 0.02
