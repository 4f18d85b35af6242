"""Page on budgeted search: tables, replayed searches and synthetic pools."""

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.halving import SETTINGS, replay, update_rows
from benchmarks.halving_page import TUNING_TARGETS, best_set, by_metric, fill_page
from benchmarks.subset_scores import SYNTHETIC_POOLS, Candidates, SubsetScores, create_synthetic_pool

pytestmark = pytest.mark.slow

PAGE = Path(__file__).parents[2] / "docs" / "results" / "halving.md"
LABELS = np.arange(160) % 4


def candidates():
    """Return seven candidates, each a little worse than the one before."""
    rng = np.random.default_rng(0)
    signal = np.eye(4)[LABELS] * 3
    features = {f"m{i}": signal + (1 + i) * rng.normal(size=(160, 4)) for i in range(7)}
    return Candidates("toy", LABELS, {name: partial(np.asarray, x) for name, x in features.items()})


def test_the_tables_of_the_page_agree_with_its_rows():
    assert fill_page(PAGE) == PAGE.read_text(), "run python -m benchmarks.halving docs/results/halving.md"


def test_settings_are_confirmed_on_targets_that_they_were_not_chosen_on():
    targets = set(pd.read_csv(PAGE.with_suffix(".csv"))["target"])
    assert set(TUNING_TARGETS) < targets
    assert len([t for t in targets if t not in TUNING_TARGETS and ", " not in t]) >= 2


def test_scores_are_computed_once_and_read_from_the_file_afterwards(tmp_path):
    scores = SubsetScores(candidates(), "ncm", tmp_path)
    computed = scores(3, scores.names, 40)
    assert len(next(tmp_path.iterdir()).read_text().splitlines()) == 7
    constant = dict.fromkeys(scores.names, partial(np.ones, (160, 4)))
    cached = SubsetScores(Candidates("toy", LABELS, constant), "ncm", tmp_path)
    assert cached(3, scores.names, 40) == computed
    assert scores(1, scores.names, 160) == scores(2, scores.names, 160)


def test_a_replay_counts_forward_passes_and_the_common_top_3(tmp_path):
    rows = list(replay(SubsetScores(candidates(), "ncm", tmp_path), ["1/16, half"], None))
    assert [row["draw"] for row in rows] == list(range(10))
    for row in rows:
        # 7 candidates on 10 images, 4 of them on 10 more; then 3 are left.
        assert row["pushed"] == pytest.approx((7 * 10 + 4 * 10) / 7 / 160, abs=1e-4)
        assert row["probe"] == 20
        assert (row["all_same"], row["all_order"], row["all_common"], row["all_lost_score"]) == (1, 1, 3, 0)
        assert 0 <= row["search_common"] <= 3
        assert row["search_same"] == (row["search_common"] == 3)
    assert SETTINGS["1/16, half"].budget == 0.2


def test_the_verdict_follows_from_the_rows():
    ways = ("search", "uniform", "half", "all")
    row = {
        f"{way}_{key}": 1.0 for way in ways for key in ("same", "order", "common", "lost_score", "lost_accuracy_top")
    }
    row |= {"target": "t", "metric": "m", "setting": "s", "draw": 0, "pushed": 0.2}
    assert by_metric(pd.DataFrame([row] * 10), "s").splitlines()[2].endswith("| reached |")
    for worse in ({"search_same": 0.89}, {"pushed": 0.21}):
        assert "**not reached**" in by_metric(pd.DataFrame([row | worse]), "s")


def test_the_set_of_possibly_best_models_is_summarised_by_score():
    row = {"target": "t", "score": "s", "split": 0, "first": 0, "first_loses": 0.02, "named_lose": 0.0}
    rows = [{**row, "named": 2, "held": 1}, {**row, "named": 5, "held": 0}]
    assert "| s | 2 | 3.5 | 50% | 0% | 2.0 | 0.0 |" in best_set(pd.DataFrame(rows))


@pytest.mark.parametrize("pool", SYNTHETIC_POOLS)
def test_synthetic_candidates_are_parts_of_real_ones_with_or_without_noise(pool, monkeypatch):
    base = candidates()
    monkeypatch.setitem(SYNTHETIC_POOLS, pool, (9, SYNTHETIC_POOLS[pool][1]))
    created = create_synthetic_pool(Candidates("toy", LABELS, base.features), pool)
    assert (len(created.features), list(created.features)[7]) == (9, "m0 7")
    for name, features in created.features.items():
        assert features().shape == (160, 4), name
        np.testing.assert_array_equal(features(), features())
        assert np.allclose(features(), base.features[name.split()[0]]()) == (not SYNTHETIC_POOLS[pool][1])


def test_new_rows_replace_only_rows_of_the_same_target_and_metric(tmp_path):
    row = {"target": "a", "metric": "m", "draw": 0, "value": 1}
    update_rows([row, {**row, "draw": 1}, {**row, "metric": "n"}], tmp_path / "rows.csv")
    update_rows([{**row, "value": 2}], tmp_path / "rows.csv")
    rows = pd.read_csv(tmp_path / "rows.csv")
    assert sorted(zip(rows["metric"], rows["value"], strict=True)) == [("m", 2), ("n", 1)]
