"""Scoring: inputs of a metric by name, parts combined over the pool, and scores along a strength path."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest
from scipy.special import softmax

from transfer_exp.errors import InputError, ModelFailureError, NotApplicableError, SharedInputError
from transfer_exp.experiment.scoring import Scoring, flatten_parts
from transfer_exp.features.model_on_target import ModelArrays
from transfer_exp.ground_truth.regime import NoGroundTruth
from transfer_exp.metric.confidence import ATC, FreeEnergy
from transfer_exp.metric.gbc import GBC
from transfer_exp.metric.h_score import HScore
from transfer_exp.metric.lda import LDA
from transfer_exp.metric.logme import LogME
from transfer_exp.metric.metric import ModelFacts, ModelWeights
from transfer_exp.metric.otce import OTCE
from transfer_exp.metric.parameter_count import ParameterCount
from transfer_exp.metric.random import Random
from transfer_exp.metric.rest import ReST
from transfer_exp.metric.sfda import SFDA
from transfer_exp.metric.static_rank import StaticRank
from transfer_exp.metric.weight_alpha import WeightAlpha
from transfer_exp.perturbation.attract import Attract
from transfer_exp.perturbation.none import NoPerturbation
from transfer_exp.perturbation.spread import Spread
from transfer_exp.perturbation.strength_path import StrengthPath
from transfer_exp.statistics.class_statistics import class_statistics
from transfer_exp.statistics.feature_set import FeatureSet

RNG = np.random.default_rng(0)
LABELS = np.arange(60) % 3
MODELS = [RNG.standard_normal((60, 8)) + gap * np.eye(3, 8)[LABELS] for gap in (0.5, 2.0, 1.0)]


SEVEN = ModelFacts("net", parameters=7)


class _Net(ModelArrays):
    """Model represented by features in memory."""

    def __init__(self, values, facts=None):
        self.name, self.dataset = "net", SimpleNamespace(name="target", target_kind="single_label")
        self.values, self.model_facts = values, facts or SEVEN

    def features(self, split):
        assert self.values is not None, "features were requested by a metric that needs none"
        return FeatureSet(self.values, LABELS)

    def facts(self):
        return self.model_facts


def scored(metric, perturbation=None, models=MODELS):
    scoring = Scoring(metric, perturbation or NoPerturbation(), seed=0)
    return scoring.combine([scoring.compute_parts(_Net(model), NoGroundTruth()) for model in models])


def test_a_metric_without_pool_is_its_only_score_and_has_no_parts():
    assert scored(LogME()) == [LogME()(class_statistics(model, LABELS)) for model in MODELS]
    assert flatten_parts(Scoring(LogME(), NoPerturbation(), 0).compute_parts(_Net(MODELS[0]), NoGroundTruth())) == {}
    assert scored(LogME(), models=[]) == []


@pytest.mark.parametrize("perturbation", [Attract(0.3), Attract(0.3, sign="released", clamp=False), NoPerturbation()])
@pytest.mark.parametrize("shape", [(60, 8), (60, 100)], ids=["tall", "wide"])
def test_perturbed_statistics_are_those_of_the_perturbed_features(perturbation, shape):
    features = RNG.standard_normal(shape) + np.eye(3, shape[1])[LABELS] + 7
    moved = class_statistics(perturbation(features, LABELS, RNG), LABELS)
    followed = perturbation.on_statistics(class_statistics(features, LABELS))
    for name in ("mean", "offsets", "squares", "within", "between"):
        np.testing.assert_allclose(getattr(followed, name), getattr(moved, name), atol=1e-10)
    assert LogME()(followed) == pytest.approx(LogME()(moved), rel=1e-9)


@dataclass(frozen=True)
class _AboveTheMean:
    name: ClassVar[str] = "above"
    source: ClassVar[str] = "this test"
    lower: ClassVar[float] = -np.inf
    upper: ClassVar[float] = np.inf
    invariances: ClassVar[tuple[str, ...]] = ()
    inputs: ClassVar[tuple[str, ...]] = ("features",)

    def parts(self, features):
        return {"norm": float(np.linalg.norm(features))}

    def combine(self, parts):
        norms = np.array([part["norm"] for part in parts])
        return norms - norms.mean()


def test_parts_are_combined_over_the_pool():
    norms = np.array([np.linalg.norm(model) for model in MODELS])
    np.testing.assert_allclose(scored(_AboveTheMean()), norms - norms.mean())
    parts = Scoring(_AboveTheMean(), NoPerturbation(), 0).compute_parts(_Net(MODELS[0]), NoGroundTruth())
    assert flatten_parts(parts) == {"norm": pytest.approx(norms[0])}


@pytest.mark.parametrize("metric", [LogME(), _AboveTheMean()])
def test_a_path_is_the_mean_of_its_steps(metric):
    path = StrengthPath(Spread(), "force", (0.0, 1.0, 3.0))
    curves = np.array([scored(metric, Spread(force)) for force in (0.0, 1.0, 3.0)])
    np.testing.assert_allclose(scored(metric, path), np.trapezoid(curves, [0, 1, 3], axis=0) / 3)


def test_a_path_keeps_the_score_at_each_strength():
    parts = flatten_parts(
        Scoring(LogME(), StrengthPath(Spread(), "force", (0.0, 1.0)), 0).compute_parts(_Net(MODELS[0]), NoGroundTruth())
    )
    assert parts == {f"force={f:g}": pytest.approx(scored(LogME(), Spread(f))[0]) for f in (0.0, 1.0)}
    parts = flatten_parts(Scoring(_AboveTheMean(), StrengthPath(), 0).compute_parts(_Net(MODELS[0]), NoGroundTruth()))
    assert list(parts)[:2] == ["alpha=0 norm", "alpha=0.05 norm"]


ALPHAS, SIGMAS = StrengthPath(), StrengthPath(Attract(0.2, clamp=False), "sigma", (0.0, 0.6, 1.2))


@pytest.mark.parametrize("path", [ALPHAS, SIGMAS], ids=["alpha", "sigma"])
@pytest.mark.parametrize("metric", [LogME(), SFDA(), LDA(), GBC(), HScore()], ids=lambda m: m.name)
def test_each_step_of_a_path_scores_as_the_metric_scores_the_perturbed_features(metric, path):
    scores = Scoring(metric, path, 0).compute_parts(_Net(MODELS[0]), NoGroundTruth())
    assert list(scores) == list(path.steps())
    for step, perturbation in path.steps().items():
        features = perturbation(MODELS[0], LABELS, RNG)
        inputs = {"features": features, "labels": LABELS, "class_statistics": class_statistics(features, LABELS)}
        expected = metric(*(inputs[name] for name in metric.inputs))
        assert scores[step] == {"score": pytest.approx(expected, rel=1e-9)}


def test_a_path_with_a_strength_out_of_range_is_refused_naming_the_setting():
    with pytest.raises(InputError, match=r"perturbation\.strengths=\[-1\.0, 0\.0\]: alpha=-1\.0: need a finite number"):
        scored(LogME(), StrengthPath(Attract(), "alpha", (-1.0, 0.0)))


class _NotANumber(LogME):
    def __call__(self, statistics):
        return float("nan")


def test_a_score_that_is_no_number_is_a_failure_of_the_model():
    with pytest.raises(ModelFailureError, match="logme on model net: the score is nan"):
        scored(_NotANumber(), NoPerturbation())


def test_baselines_need_no_features():
    for metric, expected in ((ParameterCount(), 7.0), (Random(3), np.random.default_rng(3).random())):
        scoring = Scoring(metric, NoPerturbation(), 0)
        assert scoring.combine([scoring.compute_parts(_Net(None), NoGroundTruth())]) == [expected]


@dataclass(frozen=True)
class _Misnamed(LogME):
    inputs: ClassVar[tuple[str, ...]] = ("class_statistic",)


@dataclass(frozen=True)
class _Private(LogME):
    inputs: ClassVar[tuple[str, ...]] = ("_scoring_set",)


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        (_Misnamed(), "logme on model net: no input 'class_statistic': did you mean class_statistics"),
        (_Private(), "no input '_scoring_set'"),
        (StaticRank(), "static_rank on model net: needs accuracies on other targets"),
    ],
)
def test_an_unknown_or_missing_input_is_refused_with_its_name(metric, message):
    with pytest.raises(InputError, match=message):
        scored(metric)


def test_a_metric_that_needs_a_network_is_not_applicable_to_features():
    with pytest.raises(NotApplicableError, match="no network"):
        Scoring(ParameterCount(), NoPerturbation(), 0).compute_parts(_Net(None, ModelFacts("net")), NoGroundTruth())


class _NetWithSource(_Net):
    """Model with weights, a linear head, and source images that lie at the target classes."""

    def features(self, split):
        return FeatureSet(self.values, LABELS, softmax(self.values[:, :3], axis=1))

    def weights(self):
        return ModelWeights((np.eye(8),), (np.eye(3, 8), np.zeros(3)))

    def source_set(self):
        return FeatureSet(self.values, LABELS, softmax(self.values[:, :3], axis=1))


@pytest.mark.parametrize("metric", [OTCE(), ATC(), ReST(), FreeEnergy(), WeightAlpha()], ids=lambda m: m.name)
def test_metrics_of_the_network_and_its_source_images_refuse_what_a_perturbation_does_not_change(metric):
    def score(perturbation):
        scoring = Scoring(metric, perturbation, 0)
        return scoring.combine([scoring.compute_parts(_NetWithSource(MODELS[0]), NoGroundTruth())])

    if metric.name == "weight_alpha":
        with pytest.raises(NotApplicableError, match="no layer"):  # The matrices are too small.
            score(NoPerturbation())
        return
    expected = score(NoPerturbation())
    assert np.isfinite(expected).all()
    if "features" in metric.inputs:
        with pytest.raises(SharedInputError, match=f"{metric.name} on model net: relates features .*perturbation=none"):
            score(Spread())
    else:
        assert score(Spread()) == expected


def test_arrays_have_no_weights_and_models_without_source_images_are_not_applicable():
    net = _Net(MODELS[0])
    net.source_set = lambda: None
    for metric, message in ((WeightAlpha(), "no network, hence no weights"), (OTCE(), "no images of the dataset")):
        with pytest.raises(NotApplicableError, match=message):
            Scoring(metric, NoPerturbation(), 0).compute_parts(net, NoGroundTruth())


@dataclass(frozen=True)
class _Score:
    """A metric that returns a fixed score."""

    value: float
    name: ClassVar[str] = "mine"
    source: ClassVar[str] = "this test"
    lower: ClassVar[float] = 0.0
    upper: ClassVar[float] = 1.0
    invariances: ClassVar[tuple[str, ...]] = ()
    inputs: ClassVar[tuple[str, ...]] = ("features",)

    def __call__(self, features):
        return self.value


@dataclass(frozen=True)
class _PoolScore(_AboveTheMean):
    value: float = 0.0
    lower: ClassVar[float] = 0.0
    upper: ClassVar[float] = 1.0

    def combine(self, parts):
        return [self.value] * len(parts)


@pytest.mark.parametrize("value", [0.0, 1.0, 1 + 1e-9, -1e-9, 0.5])
def test_scores_within_their_bounds_up_to_rounding_are_scores(value):
    assert scored(_Score(value)) == [value] * len(MODELS)
    assert scored(_PoolScore(value)) == [value] * len(MODELS)


@pytest.mark.parametrize("value", [1.01, -2.0, 1e300])
def test_a_score_outside_the_declared_bounds_is_refused(value):
    problem = f"the score {value:.6g} is outside the bounds of the metric, 0 to 1: correct the metric or its bounds"
    with pytest.raises(ModelFailureError, match=re.escape(f"mine on model net: {problem}")):
        scored(_Score(value))
    with pytest.raises(InputError, match=re.escape(f"above: {problem}")):
        scored(_PoolScore(value))


@pytest.mark.parametrize(
    "value", [None, "a", 1j, [0.5], np.array([0.5]), np.array([0.1, 0.2]), 10**400], ids=lambda v: str(v)[:9]
)
def test_a_score_that_is_not_a_number_is_refused(value):
    with pytest.raises(ModelFailureError, match=r"mine on model net: the score is .+, which is not a number"):
        scored(_Score(value))
    with pytest.raises(InputError, match=r"above: (?s:.)+ is not one number for each of 3 models: correct the metric"):
        scored(_PoolScore(value))


@dataclass(frozen=True)
class _Mistaken(_Score):
    def __call__(self, features):
        return np.linalg.inv(np.zeros((2, 2)))[self.value] / len(features)


@dataclass(frozen=True)
class _MistakenInPool(_PoolScore):
    def combine(self, parts):
        return parts[self.value]


@dataclass(frozen=True)
class _Ending(_Score):
    def __call__(self, features):
        sys.exit("no licence")


def test_an_unexpected_error_of_a_metric_leaves_the_model_out_and_names_the_line():
    with pytest.raises(ModelFailureError, match=r"mine on model net: LinAlgError in \S+ line \d+ \(Singular matrix\)"):
        scored(_Mistaken(0.0))
    with pytest.raises(ModelFailureError, match=r"SystemExit in test_scoring\.py line \d+ \(no licence\)"):
        scored(_Ending(0.0))
    with pytest.raises(InputError, match=r"above: TypeError in test_scoring\.py line \d+ \(list indices must be"):
        scored(_MistakenInPool(0.5))


def test_numbers_of_any_type_are_scores():
    assert scored(_Score(np.float16(0.5)))[0] == scored(_Score(np.int64(1)))[0] / 2 == scored(_Score(True))[0] / 2


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_score_that_is_not_finite_is_refused(value):
    with pytest.raises(ModelFailureError, match=f"mine on model net: the score is {value}"):
        scored(_Score(value))
    with pytest.raises(InputError, match=f"above: the score is {value}"):
        scored(_PoolScore(value))
