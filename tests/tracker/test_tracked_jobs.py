"""What a tracker is told of jobs: numbers, rows, and what they made and used."""

import pandas as pd

from transfer_exp.cli.tracking import filled, scored, searched
from transfer_exp.features.cache_reference import CacheReference
from transfer_exp.io.atomic import digest
from transfer_exp.results.cell import CellResult, ModelResult
from transfer_exp.results.search import SearchedModel, SearchResult

CELL = {"model_pool": "builtin", "dataset": "digits", "perturbation": "none", "metric": "logme", "seed": "0"}
MODELS = (
    ModelResult("small", 0.5, 0.71),
    ModelResult("large", 0.75, 0.9),
    ModelResult("headless", None, 0.8, "LEEP needs a classifier head"),
)
RESULT = CellResult(CELL, MODELS, {"weighted_tau": 0.625, "regret": 0.0}, (-1.0, 0.875))
STORED = [
    CacheReference("hub/net", "digits", "scoring_set", {"weights": "w"}, "file:///store/features/ab/abc.safetensors")
]


def test_the_summary_of_a_cell_holds_the_correlation_and_its_band(tmp_path):
    summary = scored(RESULT, {}, None, None, [], []).summary
    assert (summary["weighted_tau"], summary["regret"], summary["models_compared"]) == (0.625, 0.0, 2)
    assert (summary["null_band_low"], summary["null_band_high"], summary["tied"]) == (-1.0, 0.875, False)


def test_a_cell_without_ground_truth_has_no_band():
    bare = CellResult(CELL, (ModelResult("a", 1.0), ModelResult("b", 2.0)))
    assert scored(bare, {}, None, None, [], []).summary == {"models_compared": 0, "tied": False}


def test_the_table_of_a_cell_lists_every_model_with_both_ranks(tmp_path):
    run = scored(RESULT, {"seed": 0}, "sweep-7", tmp_path / "scatter.png", [tmp_path / "ranking.csv"], STORED)
    assert [list(row.values()) for row in run.tables["models"]] == [
        ["large", 0.75, 0.9, 1, 1, ""],
        ["small", 0.5, 0.71, 2, 2, ""],
        ["headless", None, 0.8, None, None, "LEEP needs a classifier head"],
    ]
    assert (run.stage, run.group, run.cell, run.images) == (
        "score",
        "sweep-7",
        CELL,
        {"scatter": tmp_path / "scatter.png"},
    )
    assert [(one.name, one.type, one.files) for one in run.made] == [
        ("ranking-builtin-digits-none-logme", "ranking", [tmp_path / "ranking.csv"])
    ]


def test_features_are_named_after_what_decides_their_values():
    (one,) = scored(RESULT, {}, None, None, [], STORED).used
    key = digest({"weights": "w"})
    assert (one.name, one.type, one.files) == (f"hub/net-digits-scoring_set-{key[:8]}", "features", ())
    assert one.addresses == {f"{key}.safetensors": STORED[0].address}
    assert one.metadata["sha256"] == key
    assert one.metadata["key"] == {"weights": "w"}


def test_features_are_made_by_the_stage_of_that_name_and_used_by_the_others():
    counts = [
        {"what": "features of scoring_set", "was_there": True, "count": 2},
        {"what": "features of scoring_set", "was_there": False, "count": 1},
        {"what": "features of test", "was_there": False, "count": 4},
    ]
    for stage, (made, used) in {"features": (1, 0), "finetune": (0, 1)}.items():
        run = filled(CELL, {"stage": stage}, "s", counts, STORED)
        assert (run.stage, len(run.made), len(run.used)) == (stage, made, used)
        assert run.summary == {"read": 2, "computed": 5}
        assert run.tables == {"found": counts}
    assert filled(CELL, {"stage": "grid"}, "s", [], []).tables == {}


def test_a_search_has_its_models_best_first_and_what_it_took(tmp_path):
    models = (
        SearchedModel("a", 1, 0.5, 100, 0.4, 0.6, 1, 2),
        SearchedModel("b", 2, 0.4, 100, 0.3, 0.5, 1, 2),
        SearchedModel("c", reason="no head"),
    )
    found = SearchResult(CELL, models, "budget", 100, 250, 3.5)
    run = searched(found, {}, None, [tmp_path / "rank.csv"])
    assert run.summary == {"images": 100, "pushed": 250, "seconds": 3.5, "may_be_best": 2}
    table = pd.DataFrame(run.tables["models"])
    assert table["model"].tolist() == ["a", "b", "c"]
    assert run.tables["models"][2]["score"] is None
    assert (run.tables["models"][0]["rank"], run.tables["models"][0]["low"]) == (1, 0.4)
    assert run.made[0].files == [tmp_path / "rank.csv"]
    assert "expected_regret" in searched(SearchResult(CELL, models, "budget", 1, 1, 1.0, 0.02), {}, None, []).summary
