"""Newer metrics equal the reference implementations: TE-Bench, reptrix, stable-pretraining and others."""

import numpy as np
import pytest
from conftest import GOLDEN_CASES, golden_case, inputs_for
from scipy.special import softmax

from transfer_exp.metric.confidence import ATC, Entropy, MaxSoftmax, atc, free_energy
from transfer_exp.metric.disco import DISCO
from transfer_exp.metric.effective_rank import RankMe, StableRank, spectral_decay
from transfer_exp.metric.h_score import DebiasedHScore
from transfer_exp.metric.lidar import LiDAR
from transfer_exp.metric.logme import DebiasedLogME, LogME
from transfer_exp.metric.neural_collapse import CDNV, NC1, TraceRatio
from transfer_exp.metric.otce import OTCE
from transfer_exp.metric.rest import rest, rest_parts
from transfer_exp.metric.sfda import DebiasedSFDA
from transfer_exp.metric.weight_alpha import weight_alpha
from transfer_exp.statistics.class_statistics import class_statistics
from transfer_exp.statistics.feature_set import FeatureSet

pytestmark = pytest.mark.slow

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


@pytest.mark.parametrize("layer", ["gaussian", "student", "powerlaw", "conv", "spiked"])
def test_exponents_of_weights_equal_the_reference(layer):
    arrays, expected = golden_case("weights")
    matrix = arrays[layer].reshape(len(arrays[layer]), -1)
    assert -weight_alpha([matrix]) == pytest.approx(expected[layer]["alpha_float64"], rel=1e-9)
    # The reference decomposes in float32.
    assert -weight_alpha([matrix]) == pytest.approx(expected[layer]["alpha"], rel=1e-5)
    assert -weight_alpha([matrix], weighted=True) == pytest.approx(expected[layer]["alpha_weighted"], rel=1e-5)


def test_free_energy_equals_the_reference():
    arrays, expected = golden_case("source_target")
    assert free_energy(arrays["logits"]) == pytest.approx(expected["free_energy"], rel=1e-9)


@on_all_cases
def test_free_energy_of_features_as_logits_equals_the_reference(case):
    arrays, expected = golden_case(case)
    assert free_energy(arrays["features"]) == pytest.approx(expected["free_energy_features_as_logits"], rel=1e-9)


@pytest.mark.parametrize("regularisation", [0.0, 0.05])
def test_otce_equals_the_reference(regularisation):
    key = "otce" if regularisation == 0 else "otce[sinkhorn fallback]"
    arrays, expected = golden_case("source_target")
    source = FeatureSet(arrays["source_features"], arrays["source_labels"], softmax(arrays["source_logits"], axis=1))
    score = OTCE(regularisation)(arrays["features"], arrays["labels"], source)
    assert -score == pytest.approx(expected[key]["task_difference"], rel=1e-9)


# Without digits, whose halves of 899 and 898 images make a linear program that takes a minute.
@pytest.mark.parametrize(
    ("regularisation", "case"),
    [(0.05, case) for case in GOLDEN_CASES]
    + [(0.0, case) for case in (*GOLDEN_CASES, "singleton") if case != "digits"],
)
def test_otce_between_halves_equals_the_reference(regularisation, case):
    key = "otce_even_odd" if regularisation == 0 else "otce_even_odd[sinkhorn fallback]"
    arrays, expected = golden_case(case)
    source = FeatureSet(*(arrays[name][::2] for name in ("features", "labels", "source_probabilities")))
    score = OTCE(regularisation)(arrays["features"][1::2], arrays["labels"][1::2], source)
    reference = expected[key]
    assert -score == pytest.approx(reference["task_difference"] if isinstance(reference, dict) else reference, rel=1e-8)


def test_atc_equals_the_reference():
    arrays, expected = golden_case("source_target")
    target, source = (softmax(arrays[name].astype(float), axis=1) for name in ("logits", "source_logits"))
    accuracy = float(arrays["source_accuracy"]) / 100
    assert atc(target, source, accuracy, "max_softmax") == expected["atc"]["atc_mc"]
    assert atc(target, source, accuracy, "entropy") == expected["atc"]["atc_ne"]
    labelled = FeatureSet(arrays["source_features"], arrays["source_labels"], source)
    assert ATC()(target, labelled) == expected["atc"]["atc_ne"], "the accuracy is that of the source images"


@on_all_cases
def test_atc_between_halves_equals_the_reference(case):
    arrays, expected = golden_case(case)
    probabilities, reference = arrays["source_probabilities"], expected["atc_even_odd[source_top1=70]"]
    assert atc(probabilities[1::2], probabilities[::2], 0.7, "max_softmax") == reference["atc_mc"]
    assert atc(probabilities[1::2], probabilities[::2], 0.7, "entropy") == reference["atc_ne"]


@pytest.mark.parametrize("target", ["target_a", "target_b"])
@pytest.mark.parametrize("gamma", [0.2, 0.65])
def test_rest_equals_the_reference(target, gamma):
    arrays, expected = golden_case("rest_pool")
    names = {"penultimate": "penultimate", "head": "classifier"}
    parts = []
    for model in (f"m{i}" for i in range(5)):
        weights = {
            layer: arrays[f"{model}_weight_{name}"].reshape(len(arrays[f"{model}_weight_{name}"]), -1)
            for layer, name in names.items()
            if f"{model}_weight_{name}" in arrays
        }
        outputs, source = (
            {layer: arrays[f"{model}_{images}_{name}"] for layer, name in names.items()}
            for images in (target, "source")
        )
        parts.append(rest_parts(weights, outputs, source))
    reference = [expected[f"rest[gamma={gamma}]"][f"{target}/m{i}"] for i in range(5)]
    # The reference decomposes in float32.
    np.testing.assert_allclose(rest(parts, gamma), reference, atol=1e-4)


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
