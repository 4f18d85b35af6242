"""Newer metrics equal the reference implementations: TE-Bench, reptrix, stable-pretraining and others."""

import numpy as np
import pytest
from conftest import GOLDEN_CASES, golden_case, inputs_for

from transfer_exp.metric.confidence import Entropy, MaxSoftmax
from transfer_exp.metric.debiased_h_score import DebiasedHScore
from transfer_exp.metric.debiased_logme import DebiasedLogME
from transfer_exp.metric.debiased_sfda import DebiasedSFDA
from transfer_exp.metric.disco import DISCO
from transfer_exp.metric.effective_rank import RankMe, StableRank, spectral_decay
from transfer_exp.metric.lidar import LiDAR
from transfer_exp.metric.logme import LogME
from transfer_exp.metric.neural_collapse import CDNV, NC1, TraceRatio
from transfer_exp.statistics.class_statistics import class_statistics

on_all_cases = pytest.mark.parametrize("case", [*GOLDEN_CASES, "singleton"])


def score_on(metric, arrays):
    """Return the score of a metric on the features or source probabilities of a golden case."""
    values = arrays["source_probabilities" if "source_probabilities" in metric.inputs else "features"]
    return metric(*inputs_for(metric, values, arrays["labels"]))


@on_all_cases
@pytest.mark.parametrize(
    ("metric", "key"),
    [
        (DebiasedHScore(), "h_score_refined"),
        (DebiasedLogME(), "logme_refined"),
        (LogME(), "logme_refined[effective_dim=False]"),
        (DebiasedSFDA(), "sfda_refined"),
        (DebiasedSFDA("ledoit_wolf"), "sfda_refined[shrinkage=ledoit_wolf]"),
        (DISCO(), "disco"),
        (DISCO(8), "disco[n_components=8]"),
        (RankMe(), "rankme"),
        (StableRank(), "stable_rank_normalised"),
        (StableRank(normalised=False), "stable_rank"),
        (Entropy(), "entropy"),
        (Entropy(normalised=True), "norm_entropy"),
        (MaxSoftmax(), "msp"),
    ],
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_score_equals_the_reference(metric, key, case):
    arrays, expected = golden_case(case)
    assert score_on(metric, arrays) == pytest.approx(expected[key], rel=1e-8, abs=1e-9)


@on_all_cases
def test_neural_collapse_is_minus_the_reference(case):
    arrays, expected = golden_case(case)
    assert -score_on(NC1(), arrays) == pytest.approx(expected["nc1_pinv"], rel=1e-9)
    assert -score_on(TraceRatio(), arrays) == pytest.approx(expected["nc1_quotient"], rel=1e-9)
    assert -1 / score_on(TraceRatio(weighted=True), arrays) == pytest.approx(expected["fisher_ratio"], rel=1e-9)
    assert -score_on(CDNV(), arrays) == pytest.approx(expected["cdnv"], rel=1e-9)


@pytest.mark.parametrize("case", GOLDEN_CASES)
def test_decay_of_variances_equals_the_reference_where_it_has_a_value(case):
    arrays, expected = golden_case(case)
    ranges = {"1:8": (2, 8), "5:50": (6, 50), "10:100": (11, 100)}
    compared = [key for key in ranges if expected.get(f"alpha_req[{key}]")]
    assert compared
    for key in compared:
        # The reference weighs in float32.
        decay = spectral_decay(arrays["features"], *ranges[key])
        assert decay == pytest.approx(expected[f"alpha_req[{key}]"], rel=1e-7)


@pytest.mark.parametrize("delta", ["0.0001", "1e-06"])
def test_lidar_of_views_equals_the_reference(delta):
    arrays, expected = golden_case("views")
    objects, views, dim = arrays["features"].shape
    statistics = class_statistics(arrays["features"].reshape(-1, dim), np.repeat(np.arange(objects), views))
    reference = expected["lidar"][f"stable_pretraining[delta={delta}]"]
    assert LiDAR(float(delta))(statistics) == pytest.approx(reference, rel=1e-8)


@pytest.mark.parametrize("case", GOLDEN_CASES)
def test_lidar_of_classes_equals_the_reference(case):
    arrays, expected = golden_case(case)
    labels = arrays["labels"]
    views = min(20, np.bincount(labels).min())
    rows = np.concatenate([np.flatnonzero(labels == c)[:views] for c in range(labels.max() + 1)])
    score = LiDAR()(class_statistics(arrays["features"][rows], labels[rows]))
    assert score == pytest.approx(expected["lidar_classes_as_objects"]["stable_pretraining[delta=0.0001]"], rel=1e-8)
