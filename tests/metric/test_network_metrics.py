"""Metrics that read the network's weights, or images of the dataset that it was pretrained on."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax

from transfer_exp.errors import InputError, NotApplicableError
from transfer_exp.metric.confidence import ATC, FreeEnergy, atc
from transfer_exp.metric.metric import ModelWeights
from transfer_exp.metric.otce import OTCE, otce
from transfer_exp.metric.rest import ReST, rest
from transfer_exp.metric.weight_alpha import WeightAlpha, tail_exponent, weight_alpha
from transfer_exp.statistics.feature_set import FeatureSet

RNG = np.random.default_rng(0)
LABELS = np.arange(60) % 3
FEATURES = RNG.standard_normal((60, 8)) + 3 * np.eye(3, 8)[LABELS]
HEAD = (RNG.standard_normal((5, 8)).astype(np.float32), np.ones(5, dtype=np.float32))
WEIGHTS = ModelWeights((RNG.standard_normal((40, 30)), RNG.standard_normal((8, 40))), HEAD)
SOURCE_LABELS = np.arange(40) % 5
SOURCE_FEATURES = RNG.standard_normal((40, 8))
SOURCE = FeatureSet(SOURCE_FEATURES, SOURCE_LABELS, softmax(SOURCE_FEATURES @ HEAD[0].T + HEAD[1], axis=1))
WITHOUT_HEAD = FeatureSet(SOURCE.features, SOURCE.labels)


@settings(max_examples=20, deadline=None, derandomize=True)
@given(st.floats(1.6, 5.0), st.integers(0, 10**6))
def test_tail_exponent_of_a_power_law_is_its_exponent(exponent, seed):
    values = np.random.default_rng(seed).pareto(exponent - 1, 3000) + 1
    assert tail_exponent(np.sort(values)) == pytest.approx(exponent, rel=0.2)
    assert tail_exponent(np.sort(9 * values)) == pytest.approx(tail_exponent(np.sort(values)), rel=1e-6)


def test_weight_alpha_leaves_out_small_layers_and_includes_the_head():
    large, small = RNG.standard_normal((40, 30)), RNG.standard_normal((9, 500))
    assert weight_alpha([large, small]) == weight_alpha([large])
    assert weight_alpha([large]) < -1
    head = (RNG.standard_normal((40, 30)).astype(np.float32), np.zeros(40, dtype=np.float32))
    score = WeightAlpha()(ModelWeights((large,), head))
    assert score == pytest.approx((weight_alpha([large]) + weight_alpha([head[0]])) / 2)
    for layers, message in (([], "no layer"), ([small], "no layer"), ([np.full((20, 20), np.nan)], "NaN")):
        with pytest.raises(NotApplicableError, match=message):
            weight_alpha(layers)


def test_free_energy_is_that_of_the_logits_of_the_head():
    logits = FEATURES @ HEAD[0].T.astype(float) + HEAD[1]
    probabilities = softmax(logits, axis=1)
    score = FreeEnergy()(FEATURES, probabilities, WEIGHTS)
    assert score == pytest.approx(np.log(np.exp(logits).sum(axis=1)).mean(), rel=1e-12)
    with pytest.raises(NotApplicableError, match="no linear head"):
        FreeEnergy()(FEATURES, probabilities, ModelWeights(WEIGHTS.layers))
    # A network that normalises between its features and the head, and one whose head reads something else.
    for features in (FEATURES / 3, FEATURES[:, :5]):
        with pytest.raises(NotApplicableError, match="not a linear layer of its features"):
            FreeEnergy()(features, probabilities, WEIGHTS)


def test_atc_estimates_the_accuracy_of_the_source_on_the_source_itself():
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 5, 1000)
    probabilities = softmax(2 * np.eye(5)[labels] + rng.standard_normal((1000, 5)), axis=1)
    accuracy = (probabilities.argmax(axis=1) == labels).mean()
    for score in ("entropy", "max_softmax"):
        estimate = ATC(score)(probabilities, FeatureSet(np.zeros((1000, 2)), labels, probabilities))
        assert estimate == pytest.approx(accuracy, abs=0.002)
    uncertain = softmax(0.1 * rng.standard_normal((50, 5)), axis=1)
    assert atc(uncertain, probabilities, accuracy) < 0.1
    with pytest.raises(InputError, match="score=energy of atc"):
        atc(uncertain, probabilities, accuracy, "energy")
    for wrong in (float("nan"), -0.1, 1.1):
        with pytest.raises(InputError, match=r"source_accuracy=\S+ of atc must be in \[0, 1\]"):
            atc(uncertain, probabilities, wrong)
    assert atc(uncertain, probabilities, 0.0) == 0.0
    assert atc(probabilities, probabilities, 1.0) == 1.0
    with pytest.raises(NotApplicableError, match="no head"):
        ATC()(uncertain, WITHOUT_HEAD)


@pytest.mark.parametrize("regularisation", [0.0, 0.01])
def test_otce_is_zero_if_each_source_class_lies_at_one_target_class_and_minus_the_label_entropy_without_relation(
    regularisation,
):
    centres = 100 * np.eye(3, 8)
    source_labels = np.arange(48) % 3
    source = centres[source_labels] + RNG.standard_normal((48, 8))
    assert otce(centres[LABELS], LABELS, source, source_labels, regularisation) == pytest.approx(0.0, abs=1e-6)
    assert otce(FEATURES, LABELS, source, np.zeros(48, int), regularisation) == pytest.approx(-np.log(3), rel=1e-6)


@pytest.mark.usefixtures("untyped")
def test_otce_does_not_depend_on_scale_or_on_an_outlier_and_accepts_equal_points():
    args = (LABELS, SOURCE.features, SOURCE.labels)
    score = otce(FEATURES, *args)
    assert -np.log(3) <= score <= 0
    scaled = otce(1e-6 * FEATURES, LABELS, 1e-6 * SOURCE.features, SOURCE.labels)
    assert scaled == pytest.approx(score, rel=1e-9)
    assert otce(np.ones((60, 8)), LABELS, np.ones((40, 8)), SOURCE.labels) == pytest.approx(-np.log(3), rel=1e-9)
    far = FEATURES.copy()
    far[0] += 1e4
    assert np.isfinite(otce(far, *args))
    for call, message in (
        (lambda: otce(FEATURES, *args, -1.0), "regularisation=-1.0 of otce"),
        (lambda: otce(FEATURES[:, :5], *args), "5 dimensions, and source features 8"),
    ):
        with pytest.raises(InputError, match=message):
            call()
    with pytest.raises(NotApplicableError, match="no head"):
        OTCE()(FEATURES, LABELS, WITHOUT_HEAD)


def test_rest_of_a_pool_with_a_headless_model_is_finite_and_does_not_depend_on_its_order():
    metric = ReST()
    parts = [
        metric.parts(ModelWeights((scale * WEIGHTS.layers[0], np.diag(np.arange(1.0, 9) ** scale))), FEATURES, SOURCE)
        for scale in (1, 2)
    ]
    parts.append(metric.parts(WEIGHTS, FEATURES + 5, SOURCE))
    assert "head weights" not in parts[0]
    assert "head weights" in parts[2]
    scores = metric.combine(parts)
    assert np.isfinite(scores).all()
    np.testing.assert_allclose(metric.combine(parts[::-1]), scores[::-1], rtol=1e-12)
    np.testing.assert_array_equal(metric.combine(parts[:1] * 3), np.zeros(3))
    assert rest([]).shape == (0,)
    with pytest.raises(InputError, match="gamma=2"):
        rest(parts, 2.0)
    with pytest.raises(NotApplicableError, match="no layer"):
        metric.parts(ModelWeights((), HEAD), FEATURES, SOURCE)
