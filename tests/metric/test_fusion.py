"""Fusion of metrics on one scale, and weights learned on other targets only."""

import numpy as np
import pandas as pd
import pytest
from conftest import inputs_for

from transfer_exp.errors import InputError
from transfer_exp.metric.fusion import Fusion
from transfer_exp.metric.lda import LDA
from transfer_exp.metric.learned_fusion import LearnedFusion, learned_weights
from transfer_exp.metric.leep import LEEP
from transfer_exp.metric.logme import LogME
from transfer_exp.metric.pool_scaling import unit_ranks, z_scores
from transfer_exp.metric.random import Random

RNG = np.random.default_rng(0)
LABELS = np.arange(90) % 3
MODELS = [RNG.standard_normal((90, 6)) + gap * np.eye(3, 6)[LABELS] for gap in (0.2, 3.0, 1.0, 2.0)]
PAIR = (LogME(), LDA())


def parts_of(metric):
    return [metric.parts(*inputs_for(metric, model, LABELS)) for model in MODELS]


@pytest.mark.parametrize(("rule", "scale"), [("z_score", z_scores), ("rank", unit_ranks)])
def test_fusion_is_the_mean_of_scaled_scores(rule, scale):
    fused = Fusion(PAIR, rule)
    parts = parts_of(fused)
    assert list(parts[0]) == ["logme", "lda"]
    member_scores = [[m(*inputs_for(m, model, LABELS)) for model in MODELS] for m in PAIR]
    np.testing.assert_allclose(fused.combine(parts), np.mean([scale(np.array(s)) for s in member_scores], axis=0))


def test_inputs_and_invariances_are_those_of_the_members():
    fused = Fusion((LEEP(), LogME(), LDA()))
    assert fused.inputs == ("source_probabilities", "labels", "class_statistics", "features")
    assert Fusion(PAIR).invariances == ("rotation",)
    assert Fusion([LogME()]).metrics == (LogME(),)


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize(
    ("metrics", "rule", "message"),
    [
        ((), "z_score", "at least one"),
        ((Random(),), "z_score", "one model at a time"),
        ((LDA(), LDA(0.1)), "z_score", "metric.metrics=.lda, lda.: need metrics of different names"),
        (PAIR, "mean", "metric.rule=mean"),
    ],
)
def test_an_invalid_fusion_is_rejected(metrics, rule, message):
    with pytest.raises(InputError, match=message):
        Fusion(metrics, rule)


@pytest.fixture
def rows(tmp_path):
    """Write rows in which only logme predicts the accuracies of targets a and b, and only lda those of target c."""
    frames = []
    for dataset, helpful in (("a", "logme"), ("b", "logme"), ("c", "lda")):
        accuracy = RNG.random(12)
        for metric in ("logme", "lda"):
            score = 30 * accuracy if metric == helpful else 30 * RNG.permutation(accuracy)
            cell = {"model_pool": "p", "dataset": dataset, "perturbation": "none", "ground_truth": "t", "seed": "0"}
            columns = {"model": [f"m{i}" for i in range(12)], "score": score, "accuracy": accuracy}
            frames.append(pd.DataFrame({**cell, "metric": metric, **columns}))
    path = tmp_path / "rows.csv"
    pd.concat(frames).to_csv(path, index=False)
    return str(path)


def test_weights_are_learned_only_from_other_targets(rows):
    without_c = dict(zip(("logme", "lda"), learned_weights(rows, "none", ("logme", "lda"), "c"), strict=True))
    assert without_c["logme"] > 0.7
    without_a = dict(zip(("logme", "lda"), learned_weights(rows, "none", ("logme", "lda"), "a"), strict=True))
    assert without_a["lda"] > without_c["lda"]
    for weights in (without_a, without_c):
        assert sum(weights.values()) == pytest.approx(1)
        assert min(weights.values()) >= 0


def test_learned_fusion_is_the_weighted_sum_and_lists_its_weights(rows):
    fused = LearnedFusion(PAIR, rows)
    parts = parts_of(fused)
    weights = learned_weights(rows, "none", ("logme", "lda"), "this")
    assert (parts[0]["weight of logme"], parts[0]["weight of lda"]) == weights
    scaled = [z_scores(np.array([part[name] for part in parts])) for name in ("logme", "lda")]
    np.testing.assert_allclose(fused.combine(parts), np.array(weights) @ scaled)
    assert list(np.argsort(fused.combine(parts))) == [0, 2, 3, 1]


def test_rows_without_usable_results_are_rejected(rows, tmp_path):
    calls = {
        "set metric.rows": lambda: parts_of(LearnedFusion(PAIR)),
        "is not a table of results": lambda: learned_weights(str(tmp_path / "absent.csv"), "none", ("lda",), "a"),
        "no rows of sfda": lambda: learned_weights(rows, "none", ("lda", "sfda"), "a"),
        "no rows of lda with perturbation=pca": lambda: learned_weights(rows, "pca", ("lda",), "a"),
    }
    for message, call in calls.items():
        with pytest.raises(InputError, match=message):
            call()
    opposite = pd.read_csv(rows)
    opposite["accuracy"] = -opposite["score"]
    opposite.to_csv(tmp_path / "opposite.csv", index=False)
    with pytest.raises(InputError, match="none of lda"):
        learned_weights(str(tmp_path / "opposite.csv"), "none", ("lda",), "a")
    pd.read_csv(rows).groupby(["dataset", "metric"]).head(1).to_csv(tmp_path / "single.csv", index=False)
    with pytest.raises(InputError, match="no other target with two models that lda scored"):
        learned_weights(str(tmp_path / "single.csv"), "none", ("lda",), "a")
