"""The page on budgeted search: its tables are those of its rows, and a replay counts what it says it counts."""

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.halving import SETTINGS, keep_rows, replayed
from benchmarks.halving_page import TUNED_ON, by_metric, filled, named
from benchmarks.probe_scores import POOLS, Candidates, ProbeScores, made

PAGE = Path(__file__).parents[2] / "docs" / "results" / "halving.md"
LABELS = np.arange(160) % 4


def candidates():
    """Return seven candidates, each a little worse than the one before."""
    rng = np.random.default_rng(0)
    signal = np.eye(4)[LABELS] * 3
    features = {f"m{i}": signal + (1 + i) * rng.normal(size=(160, 4)) for i in range(7)}
    return Candidates("toy", LABELS, {name: partial(np.asarray, own) for name, own in features.items()})


def test_the_page_says_what_its_rows_say():
    assert filled(PAGE) == PAGE.read_text(), "run python -m benchmarks.halving docs/results/halving.md"


def test_settings_were_confirmed_on_other_targets_than_they_were_chosen_on():
    targets = set(pd.read_csv(PAGE.with_suffix(".csv"))["target"])
    assert set(TUNED_ON) < targets
    assert len([t for t in targets if t not in TUNED_ON and ", " not in t]) >= 2


def test_scores_are_computed_once_and_come_back_from_the_file(tmp_path):
    scores = ProbeScores(candidates(), "ncm", tmp_path)
    found = scores(3, scores.names, 40)
    assert len(next(tmp_path.iterdir()).read_text().splitlines()) == 7
    others = dict.fromkeys(scores.names, partial(np.ones, (160, 4)))
    again = ProbeScores(Candidates("toy", LABELS, others), "ncm", tmp_path)
    assert again(3, scores.names, 40) == found
    assert scores(1, scores.names, 160) == scores(2, scores.names, 160)


def test_a_replay_counts_what_was_pushed_and_found(tmp_path):
    rows = list(replayed(ProbeScores(candidates(), "ncm", tmp_path), ["1/16, half"], None))
    assert [row["draw"] for row in rows] == list(range(10))
    for row in rows:
        # 7 candidates at 10 images, 4 at 20; then 3 are left.
        assert row["pushed"] == pytest.approx((7 * 10 + 4 * 10) / 7 / 160, abs=1e-4)
        assert row["probe"] == 20
        assert (row["all_same"], row["all_order"], row["all_common"], row["all_lost_score"]) == (1, 1, 3, 0)
        assert 0 <= row["search_common"] <= 3
        assert row["search_same"] == (row["search_common"] == 3)
    assert SETTINGS["1/16, half"].budget == 0.2


def test_a_verdict_follows_the_rows():
    ways = ("search", "uniform", "half", "all")
    row = {
        f"{way}_{key}": 1.0 for way in ways for key in ("same", "order", "common", "lost_score", "lost_accuracy_top")
    }
    row |= {"target": "t", "metric": "m", "setting": "s", "draw": 0, "pushed": 0.2}
    assert by_metric(pd.DataFrame([row] * 10), "s").splitlines()[2].endswith("| reached |")
    for worse in ({"search_same": 0.89}, {"pushed": 0.21}):
        assert "**not reached**" in by_metric(pd.DataFrame([row | worse]), "s")


def test_what_is_named_is_counted_by_score():
    row = {"target": "t", "score": "s", "split": 0, "first": 0, "first_loses": 0.02, "named_lose": 0.0}
    rows = [{**row, "named": 2, "held": 1}, {**row, "named": 5, "held": 0}]
    assert "| s | 2 | 3.5 | 50% | 0% | 2.0 | 0.0 |" in named(pd.DataFrame(rows))


@pytest.mark.parametrize("pool", POOLS)
def test_made_candidates_are_parts_of_real_ones_noisy_or_as_they_are(pool, monkeypatch):
    base = candidates()
    monkeypatch.setitem(POOLS, pool, (9, POOLS[pool][1]))
    found = made(Candidates("toy", LABELS, base.features), pool)
    assert (len(found.features), list(found.features)[7]) == (9, "m0 7")
    for name, features in found.features.items():
        assert features().shape == (160, 4), name
        np.testing.assert_array_equal(features(), features())
        assert np.allclose(features(), base.features[name.split()[0]]()) == (not POOLS[pool][1])


def test_rows_take_the_place_of_those_of_their_target_and_metric_alone(tmp_path):
    row = {"target": "a", "metric": "m", "draw": 0, "value": 1}
    keep_rows([row, {**row, "draw": 1}, {**row, "metric": "n"}], tmp_path / "rows.csv")
    keep_rows([{**row, "value": 2}], tmp_path / "rows.csv")
    kept = pd.read_csv(tmp_path / "rows.csv")
    assert sorted(zip(kept["metric"], kept["value"], strict=True)) == [("m", 2), ("n", 1)]
