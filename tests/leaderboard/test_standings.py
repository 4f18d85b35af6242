"""Standings: the statistics agree with scipy and with direct computation, and what cannot be compared has no rank."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from tests.leaderboard.pools import MODELS, TARGETS, small_pool
from transfer_exp.errors import InputError
from transfer_exp.evaluation.intervals import mean_interval
from transfer_exp.evaluation.paired import holm, sign_flip_p_values
from transfer_exp.leaderboard.page import _target_taus
from transfer_exp.leaderboard.rows import read_builtin_rows, read_real_rows
from transfer_exp.leaderboard.standings import (
    STATIC,
    STATIC_FAMILY,
    ComputedBaselines,
    Standings,
    published_static_taus,
    variant_name,
)
from transfer_exp.leaderboard.table import all_standings, leaderboard_table, ordinal, rank_text, verdict
from transfer_exp.terminal import Terminal

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


def main_view(rows):
    return next(all_standings(rows))


def tau(rows, target, variant, regime):
    scores = rows.scores.loc[(target, "all", "0", *variant)]
    return stats.weightedtau(scores, rows.accuracies[regime].loc[target]).statistic


def test_a_value_is_the_weighted_tau_of_scipy_and_the_mean_over_regimes():
    rows = small_pool()
    view = main_view(rows)
    for variant in (("none", "good"), ("pca", "noise")):
        for target in TARGETS:
            expected = np.mean([tau(rows, target, variant, regime) for regime in ("full", "probe")])
            assert view.values.loc[variant, target] == pytest.approx(expected, abs=1e-12)
    single = Standings(rows, "probe", "all", ComputedBaselines(rows))
    assert single.values.loc[("none", "good"), "c"] == pytest.approx(tau(rows, "c", ("none", "good"), "probe"))


def test_the_order_the_interval_and_the_tests_agree_with_direct_computation():
    view = main_view(small_pool())
    table = view.table
    ranked = table[table["rank"].notna()]
    means = view.values.mean(axis=1)
    assert list(ranked["rank"]) == sorted(ranked["rank"])
    assert ranked["rank"].tolist() == stats.rankdata(-means[ranked.index], method="min").tolist()
    best = ranked.index[0]
    for variant in ranked.index:
        low, high = mean_interval(view.values.loc[variant].to_numpy())
        assert (ranked.loc[variant, "tau_low_95"], ranked.loc[variant, "tau_high_95"]) == pytest.approx((low, high))
    others = ranked.index[1:]
    differences = [(view.values.loc[v] - view.values.loc[best]).to_numpy() for v in others]
    assert ranked.loc[others, "difference_to_best"].to_numpy() == pytest.approx(np.mean(differences, axis=1))
    exact = [
        stats.permutation_test((d,), np.mean, permutation_type="samples", n_resamples=np.inf).pvalue
        for d in differences
    ]
    assert ranked.loc[others, "p_to_best"].to_numpy() == pytest.approx(holm(np.array(exact)))
    assert [sign_flip_p_values(np.array(d)[:, None])[0] for d in differences] == pytest.approx(exact)
    wins = (view.values.round(12) == view.values.round(12).max()).sum(axis=1)
    assert ranked["wins"].tolist() == wins[ranked.index].tolist()


def test_the_comparisons_of_one_variant_are_corrected_for_each_other():
    view = main_view(small_pool())
    compared = view.compare(("none", "fair"))
    assert set(compared) == {"best", "random", "parameter_count", STATIC, STATIC_FAMILY}
    raw = np.array([paired.sign_flip_p for _, paired, _ in compared.values()])
    assert [p for *_, p in compared.values()] == pytest.approx(holm(raw))
    best = view.table.index[0]
    assert view.compare(best)["best"][0] != best, "the best is compared with the next"


def test_static_rankings_leave_out_the_target_and_the_second_one_its_whole_family():
    rows = small_pool()
    static = ComputedBaselines(rows).static["full"]
    truth = rows.accuracies["full"]
    ranks = truth.rank(axis=1, ascending=False)
    for name, left_out in ((STATIC, ["a"]), (STATIC_FAMILY, ["a", "b"])):
        expected = stats.weightedtau(-ranks.drop(index=left_out).mean(), truth.loc["a"]).statistic
        assert static.loc[name, "a"] == pytest.approx(expected)
    alone = small_pool(families=dict(zip("abcd", "abcd", strict=True)))
    assert list(ComputedBaselines(alone).static["full"].index) == [STATIC]


def test_random_scores_have_a_mean_of_zero_and_a_band_that_holds_95_percent_of_them():
    rows = small_pool()
    view = main_view(rows)
    low, high = view.null_band
    rng = np.random.default_rng(7)
    means = [
        np.mean(
            [
                stats.weightedtau(rng.permutation(8), rows.accuracies[r].loc[t]).statistic
                for t in TARGETS
                for r in ("full",)
            ]
        )
        for _ in range(300)
    ]
    assert 0.9 < np.mean([low * 1.25 < mean < high * 1.25 for mean in means]) <= 1
    assert view.table.loc[("none", "random"), "tau"] == pytest.approx(0, abs=0.03)
    assert pd.isna(view.table.loc[("none", "random"), "rank"])


def test_equal_variants_share_a_rank_and_a_perturbation_without_effect_has_no_row():
    rows = small_pool()
    copy = rows.scores.xs("good", level="metric", drop_level=False).rename(index={"good": "twin"}, level="metric")
    view = main_view(replace(rows, scores=pd.concat([rows.scores, copy])))
    table = view.table
    assert ("pca", "parameter_count") not in table.index
    assert ("pca", "good") in table.index
    pair = table.loc[[("none", "good"), ("none", "twin")]]
    assert pair["is_shared"].all()
    assert pair["rank"].nunique() == 1
    assert rank_text(3, True) == "3="
    assert [ordinal(n) for n in (1, 2, 3, 4, 11, 12, 13, 21, 102, 111)] == (
        ["1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "102nd", "111th"]
    )
    own = main_view(replace(rows, own_variant=("pca", "parameter_count")))
    assert own.table.loc[("pca", "parameter_count"), "kind"] == "yours"


def test_a_variant_that_lacks_a_model_or_a_target_has_no_rank_and_says_so():
    rows = small_pool()
    scores = rows.scores.copy()
    scores.loc[("c", "all", "0", "none", "fair"), "model_3"] = np.nan
    scores = scores.drop(index=("d", "all", "0", "none", "good"))
    view = main_view(replace(rows, scores=scores, own_variant=("none", "fair")))
    for variant in (("none", "fair"), ("none", "good")):
        assert pd.isna(view.table.loc[variant, "rank"])
        assert pd.isna(view.table.loc[variant, "p_to_best"])
    assert view.table.loc[("none", "fair"), "models"] == len(MODELS) - 1
    assert verdict(view) == "fair has no rank: it scores 7 of 8 models, and 7 of 7 targets"


def test_the_verdict_names_the_rank_the_best_and_the_baselines():
    text = verdict(main_view(small_pool(own_variant=("none", "good"))))
    assert text.startswith("good is ")
    assert " of 7 on 7 targets; " in text
    assert "random" in text
    assert "static_rank" in text
    assert "cannot be distinguished" not in text
    few = small_pool().select(["a", "c", "d"])
    assert "3 targets are too few for a corrected test to reach 0.05" in verdict(
        main_view(replace(few, own_variant=("none", "good")))
    )


def test_the_table_fits_80_columns_and_always_has_the_baselines_and_the_own_variant(tmp_path):
    view = main_view(small_pool(own_variant=("none", "noise")))
    console = Terminal(width=80, record=True, file=(tmp_path / "out").open("w"))
    console.print(leaderboard_table([view], None, 1))
    text = console.export_text()
    assert all(len(line) <= 80 for line in text.splitlines())
    for name in ("noise", "random", STATIC, "parameter_count"):
        assert any(name in line.split() for line in text.splitlines()), name
    assert "and 4 more (--top 0 shows all)" in text


def test_an_unknown_target_is_refused_with_the_names():
    with pytest.raises(InputError, match="no target 'z' in the pool small: available: a, b, c"):
        small_pool().select(["z"])


def test_the_stored_rows_of_the_real_networks_agree_with_the_study():
    study = pd.read_csv(ROOT / "docs" / "results" / "real_pool_taus.csv", dtype={"images_per_class": str})
    rows = read_real_rows()
    found = rows.taus.set_index(["regime", "metric", "perturbation", "images_per_class", "target"])["tau"]
    assert rows.control not in rows.averaged_targets
    checked = study[study["metric"].isin(["logme", "h_score"])]
    assert len(checked) > 30
    for row in checked.to_dict("records"):
        for target in rows.targets:
            key = (row["regime"].replace(" ", "_"), row["metric"], row["perturbation"], row["images_per_class"], target)
            if key in found.index:
                assert found[key] == pytest.approx(row[target], abs=6e-5)


def test_the_stored_rows_of_the_built_in_pool_score_every_model_of_the_pool():
    from omegaconf import OmegaConf

    targets = OmegaConf.load(ROOT / "conf" / "leaderboard.yaml").targets
    rows = read_builtin_rows({str(name): str(settings[0]) for name, settings in targets.items()})
    assert len(rows.models) == 14
    view = main_view(rows)
    assert view.is_ranked.sum() > 40
    assert set(rows.targets) <= set(targets)


def test_static_rankings_of_published_tables_reach_the_published_values():
    table = published_static_taus().set_index(["pool", "regime"])["tau"]
    expected = {"itm_hub20": 0.62, "lovm_openclip35": 0.50, "peft9_vitb16_vtab19": 0.39, "mieb_linear_probe": 0.70}
    for pool, value in expected.items():
        assert table.loc[pool].iloc[0] == pytest.approx(value, abs=0.005)


def test_the_page_has_the_means_of_the_table():
    standings = main_view(read_builtin_rows())
    taus = _target_taus(standings)
    compared = 0
    for variant, tau in standings.table["tau"].dropna().items():
        entries = taus.get(variant_name(variant), [None])
        if None not in entries:
            assert np.mean([entry[0] for entry in entries]) == pytest.approx(tau, abs=1e-6)
            compared += 1
    assert compared > 200
